//! Overflows of coroutines' stacks and other faults, each in a child process: what is said, and how
//! the process ends.
//!
//! A test runs this very program again with the scenario's name in the environment; the scenario
//! then takes the place of all tests. Aborts thus end the child only.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

/// Names the scenario in a child's environment.
const SCENARIO: &str = "COVE_OVERFLOW_SCENARIO";

/// Recurses until the stack is used up.
#[allow(unconditional_recursion, reason = "that is what overflows a stack")]
#[inline(never)]
fn recurse_without_end(depth: u64) -> u64 {
    let mut local = [depth; 16];
    black_box(&mut local);
    recurse_without_end(depth + 1) + local[3]
}

/// Where a recursion begins.
#[inline(never)]
fn start_to_recurse() -> u64 {
    black_box(recurse_without_end(0)) + 1
}

/// An allocator that overflows the stack while it holds a lock, when told to.
struct Allocator;

static OVERFLOW_IN_ALLOCATOR: AtomicBool = AtomicBool::new(false);
static ALLOCATOR_LOCKED: AtomicBool = AtomicBool::new(false);

// SAFETY: passes everything on to the system's allocator, or does not return.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        while ALLOCATOR_LOCKED.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        if OVERFLOW_IN_ALLOCATOR.load(Ordering::Relaxed) {
            ALLOCATOR_LOCKED.store(true, Ordering::Release);
            black_box(recurse_without_end(0));
        }
        // SAFETY: passed on to the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on to the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn scenario_named() {
    cove::run(|| {
        let coroutine = cove::task::Builder::new()
            .name("deep thinker")
            .stack_bytes(64 << 10)
            .spawn(start_to_recurse)
            .expect("a coroutine");
        let _ = coroutine.join();
    });
}

/// Has more locals than the stack has bytes: it is the compiler's probes that meet the guard.
#[inline(never)]
fn keep_too_much() -> usize {
    let mut local = [1_u8; 300 << 10];
    black_box(&mut local);
    local.iter().map(|byte| usize::from(*byte)).sum()
}

fn scenario_of_one_large_frame() {
    cove::run(|| {
        let coroutine = cove::task::Builder::new().name("hoarder").spawn(keep_too_much);
        let _ = coroutine.expect("a coroutine").join();
    });
}

fn scenario_inside_a_bare_coroutine() {
    let mut coroutine =
        cove::coroutine::Coroutine::<(), (), u64>::new(|_, ()| recurse_without_end(0));
    let _ = coroutine.resume(());
}

fn scenario_bare_within_task() {
    cove::run(|| {
        let _ = cove::task::Builder::new()
            .name("resumer")
            .spawn(scenario_inside_a_bare_coroutine)
            .map(|coroutine| coroutine.join());
    });
}

fn scenario_on_a_shared_stack() {
    cove::run(|| {
        // SAFETY: nobody points to what the coroutine keeps on its stack.
        let coroutine =
            unsafe { cove::task::Builder::new().spawn_on_shared_stack(|| recurse_without_end(0)) };
        let _ = coroutine.expect("a coroutine").join();
    });
}

fn scenario_in_the_allocator() {
    cove::run(|| {
        let coroutine = cove::spawn(|| {
            OVERFLOW_IN_ALLOCATOR.store(true, Ordering::Relaxed);
            vec![black_box(1_u8)]
        });
        let _ = coroutine.join();
    });
}

fn scenario_of_the_main_thread() {
    cove::run(|| {
        cove::spawn(|| ()).join().expect("a result");
        recurse_without_end(0)
    });
}

fn scenario_of_another_thread() {
    let thread = std::thread::Builder::new().name("a plain thread".into()).spawn(|| {
        cove::run(|| cove::spawn(|| ()).join().expect("a result"));
        recurse_without_end(0)
    });
    let _ = thread.expect("a thread").join();
}

fn scenario_of_an_ordinary_fault() {
    cove::run(|| {
        let coroutine = cove::spawn(|| {
            let nowhere = black_box(8_usize) as *const u64;
            // SAFETY: none; the fault is the purpose.
            unsafe { nowhere.read_volatile() }
        });
        let _ = coroutine.join();
    });
}

extern "C" fn program_handler(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let text = b"the program's own handler\n";
    // SAFETY: the text is readable; both calls are async-signal-safe.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(42)
    }
}

fn scenario_of_a_chained_handler() {
    // SAFETY: zeros are a valid action; the handler is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = program_handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()), 0);
    }
    scenario_of_an_ordinary_fault();
}

/// Writes below its stack once, by little, and stops.
fn scenario_of_a_canary() {
    cove::run(|| {
        let coroutine = cove::task::Builder::new().name("trespasser").stack_bytes(16 << 10);
        let coroutine = coroutine.spawn(|| {
            let local = 0_u8;
            let inside = (&raw const local).addr();
            // The stack lies in whole pages, four of them, below which is the canary's.
            let below = (inside & !4095) - 3 * 4096 - 8;
            // SAFETY: in the mode under test that page is ordinary memory of nobody's.
            unsafe { (below as *mut u64).write_volatile(1) };
            cove::task::yield_now();
            unreachable!("the coroutine goes on after its overflow was noticed");
        });
        let _ = coroutine.expect("a coroutine").join();
    });
}

/// Reads a local of a coroutine on a shared stack while that waits.
fn scenario_of_a_stack_that_is_put_away() {
    let runtime = cove::Builder::new().check_shared_stacks(true).build().expect("a runtime");
    runtime.run(|| {
        let address = std::rc::Rc::new(std::cell::Cell::new(std::ptr::null::<u8>()));
        let shown = address.clone();
        let owner = move || {
            let local = black_box(1_u8);
            shown.set(&raw const local);
            cove::task::park();
            black_box(local)
        };
        // SAFETY: none; the violation is the purpose.
        let _owner =
            unsafe { cove::task::Builder::new().name("owner").spawn_on_shared_stack(owner) };
        cove::task::yield_now();
        // SAFETY: as above.
        unsafe { address.get().read_volatile() }
    });
}

const SCENARIOS: &[(&str, fn())] = &[
    ("named", scenario_named),
    ("large_frame", scenario_of_one_large_frame),
    ("bare", scenario_inside_a_bare_coroutine),
    ("bare_within_task", scenario_bare_within_task),
    ("shared", scenario_on_a_shared_stack),
    ("allocator", scenario_in_the_allocator),
    ("main_thread", scenario_of_the_main_thread),
    ("other_thread", scenario_of_another_thread),
    ("fault", scenario_of_an_ordinary_fault),
    ("chained", scenario_of_a_chained_handler),
    ("canary", scenario_of_a_canary),
    ("put_away", scenario_of_a_stack_that_is_put_away),
];

/// What a child wrote to stderr, and how it ended.
struct Child {
    output: Output,
    text: String,
}

impl Child {
    fn signal(&self) -> Option<i32> {
        self.output.status.signal()
    }

    fn expect(&self, part: &str) {
        assert!(self.text.contains(part), "{part:?} is missing in:\n{}", self.text);
    }
}

/// Runs a scenario in a child with these variables set.
fn run(scenario: &str, environment: &[(&str, &str)]) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--exact", "scenario", "--nocapture", "--test-threads=1"]);
    command.env(SCENARIO, scenario).env_remove("COVE_GUARD");
    let output = command.envs(environment.iter().copied()).output().expect("a child");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Child { output, text }
}

/// Goal: the children of the other tests. Method: runs the scenario that the environment names.
#[test]
fn scenario() {
    let Ok(name) = std::env::var(SCENARIO) else { return };
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is readable.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core) };
    let scenario = SCENARIOS.iter().find(|scenario| scenario.0 == name).expect("a scenario");
    scenario.1();
    panic!("the scenario came back");
}

/// Goal: the message names coroutine, size and function, whatever guards the stack. Method: with
/// each kind of guard page.
#[test]
fn overflow_names_the_coroutine_its_size_and_its_frames() {
    for guard in ["install", "protect"] {
        let child = run("named", &[("COVE_GUARD", guard)]);
        child.expect("cove: stack overflow in coroutine ");
        child.expect(" 'deep thinker': its 65536-byte stack");
        child.expect("task::Builder::stack_bytes");
        assert_eq!(child.signal(), Some(libc::SIGABRT), "{}", child.text);
        if SHOWS_FRAMES {
            child.expect("recurse_without_end");
            child.expect(" frames ...");
            child.expect("start_to_recurse");
        }
    }
}

/// Goal: coroutines without a scheduler are reported too. Method: one by itself, one in a task.
#[test]
fn overflow_of_a_bare_coroutine_is_reported() {
    let child = run("bare", &[]);
    child.expect("cove: stack overflow in a Coroutine: its 131072-byte stack");
    assert_eq!(child.signal(), Some(libc::SIGABRT));
    let child = run("bare_within_task", &[]);
    child.expect("cove: stack overflow in a Coroutine that was resumed by coroutine ");
    child.expect(" 'resumer': its 131072-byte stack");
    assert_eq!(child.signal(), Some(libc::SIGABRT));
}

/// Goal: shared stacks are guarded as well. Method: overflow the default one of 256 KiB.
#[test]
fn overflow_of_a_shared_stack_is_reported() {
    let child = run("shared", &[]);
    child.expect("cove: stack overflow in coroutine ");
    child.expect("its 262144-byte stack");
    assert_eq!(child.signal(), Some(libc::SIGABRT));
}

/// Goal: the message appears, and the process ends, even if naming the frames cannot get memory.
/// Method: overflow in an allocator whose lock is held.
#[test]
fn overflow_inside_malloc_is_reported_and_ends() {
    let child = run("allocator", &[]);
    child.expect("cove: stack overflow in coroutine ");
    child.expect("naming the frames hangs");
    child.expect("      0x");
    assert_eq!(child.signal(), Some(libc::SIGABRT), "{}", child.text);
}

/// Goal: std's own report is not lost. Method: overflow the main thread's stack, and another's.
#[test]
fn overflow_of_a_thread_is_reported_by_std() {
    for scenario in ["main_thread", "other_thread"] {
        let child = run(scenario, &[]);
        child.expect("has overflowed its stack");
        assert!(!child.text.contains("cove: stack overflow"), "{}", child.text);
        assert_eq!(child.signal(), Some(libc::SIGABRT), "{}", child.text);
    }
}

/// Goal: a function with a frame larger than the stack is named as well. Method: an array.
#[test]
#[cfg_attr(cove_asan, ignore = "AddressSanitizer lays frames out, without the compiler's probes")]
fn overflow_by_one_large_frame_is_reported() {
    let child = run("large_frame", &[]);
    child.expect("cove: stack overflow in coroutine ");
    child.expect(" 'hoarder': its ");
    if SHOWS_FRAMES {
        child.expect("keep_too_much");
    }
    assert_eq!(child.signal(), Some(libc::SIGABRT), "{}", child.text);
}

/// Goal: other faults stay what they are. Method: without and with a handler of the program's.
#[test]
fn ordinary_faults_go_to_the_handler_before() {
    let child = run("fault", &[]);
    assert_eq!(child.signal(), Some(libc::SIGSEGV), "{}", child.text);
    assert!(!child.text.contains("cove:"), "{}", child.text);
    let child = run("chained", &[]);
    child.expect("the program's own handler");
    assert_eq!(child.output.status.code(), Some(42), "{}", child.text);
}

/// Goal: without guard pages an overflow is noticed before the coroutine goes on. Method: one that
/// writes a word below its stack and yields.
#[test]
fn canary_notices_an_overflow_when_the_coroutine_stops() {
    let child = run("canary", &[("COVE_GUARD", "canary")]);
    child.expect("cove: stack overflow in coroutine ");
    child.expect(" 'trespasser': its ");
    child.expect("noticed by the canary");
    assert_eq!(child.signal(), Some(libc::SIGABRT), "{}", child.text);
}

/// Goal: in checking mode a pointer into a stack that is put away faults, with a message. Method: a
/// coroutine shows the address of a local and waits; another one reads there.
#[test]
fn access_to_a_shared_stack_that_is_put_away_is_reported() {
    let child = run("put_away", &[]);
    child
        .expect("cove: access to the stack of a coroutine on a shared stack while it does not run");
    child.expect("belongs to coroutine ");
    child.expect(" 'owner'");
    assert_eq!(child.signal(), Some(libc::SIGABRT), "{}", child.text);
    if SHOWS_FRAMES {
        child.expect("scenario_of_a_stack_that_is_put_away");
    }
}

/// Whether this processor's switch lets backtraces be taken.
const SHOWS_FRAMES: bool =
    cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(cove_portable)));
