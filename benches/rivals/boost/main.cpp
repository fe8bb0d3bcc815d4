// Boost.Context's fibers: the works switch, round and spawn, as `rivals --child` runs them.
//
// Usage: rivals-boost WORK COUNT ITERATIONS. A run is a warm-up lap and ten more; the figure is
// their median, in processor time. Stacks: fixedsize_stack of the library's default size, and a
// pooled_fixedsize_stack for spawn, as the documentation advises for many short fibers.

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

namespace ctx = boost::context;

static double cpu_ns() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

template <typename Lap>
static void measure(unsigned long iterations, unsigned long operations, Lap lap) {
    unsigned long each = std::max(iterations / 10, 1ul);
    std::vector<double> times;
    for (int number = 0; number <= 10; number++) {
        double start = cpu_ns();
        for (unsigned long n = 0; n < each; n++) lap();
        if (number > 0) times.push_back(cpu_ns() - start);
    }
    std::sort(times.begin(), times.end());
    double all = static_cast<double>(each) * operations;
    std::printf("{\"ns\":%.4f,\"operations\":%.0f}\n", (times[4] + times[5]) / 2 / all, all * 11);
    std::fflush(stdout);
}

static ctx::fiber yielding() {
    return ctx::fiber([](ctx::fiber &&resumer) {
        for (;;) resumer = std::move(resumer).resume();
        return std::move(resumer);
    });
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    std::string work = argv[1];
    unsigned long count = std::strtoul(argv[2], nullptr, 10);
    unsigned long iterations = std::strtoul(argv[3], nullptr, 10);
    if (work == "switch") {
        ctx::fiber fiber = yielding();
        measure(iterations, 1, [&] { fiber = std::move(fiber).resume(); });
    } else if (work == "round") {
        std::vector<ctx::fiber> fibers;
        for (unsigned long n = 0; n < count; n++) fibers.push_back(yielding());
        measure(iterations / count, count, [&] {
            for (ctx::fiber &fiber : fibers) fiber = std::move(fiber).resume();
        });
    } else if (work == "spawn") {
        ctx::pooled_fixedsize_stack stacks;
        measure(iterations, 1, [&] {
            ctx::fiber fiber(std::allocator_arg, stacks,
                             [](ctx::fiber &&resumer) { return std::move(resumer); });
            fiber = std::move(fiber).resume();
        });
    } else {
        return 2;
    }
    std::_Exit(0);
}
