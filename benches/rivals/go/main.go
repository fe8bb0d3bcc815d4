// Go's goroutines: the works of `rivals --child`. Usage: rivals-go WORK COUNT ITERATIONS.
//
// A run is a warm-up lap and ten more; the figure is their median, in processor time of the whole
// process, the garbage collector's included.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

func cpuNs() float64 {
	var t syscall.Timespec
	// CLOCK_PROCESS_CPUTIME_ID is 2.
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 2, uintptr(unsafe.Pointer(&t)), 0)
	return float64(t.Sec)*1e9 + float64(t.Nsec)
}

// measure runs laps that each return how many operations they were.
func measure(iterations int, lap func(each int) int) {
	each := iterations / 10
	if each < 1 {
		each = 1
	}
	var times []float64
	all := 0
	for number := 0; number <= 10; number++ {
		start := cpuNs()
		operations := lap(each)
		all += operations
		if number > 0 {
			times = append(times, (cpuNs()-start)/float64(operations))
		}
	}
	sort.Float64s(times)
	fmt.Printf("{\"ns\":%.4f,\"operations\":%d}\n", (times[4]+times[5])/2, all)
}

func round(count, iterations int) {
	turns := 0
	for n := 1; n < count; n++ {
		go func() {
			for {
				turns++
				runtime.Gosched()
			}
		}()
	}
	runtime.Gosched()
	measure(iterations/count, func(each int) int {
		before := turns
		for n := 0; n < each; n++ {
			turns++
			runtime.Gosched()
		}
		return turns - before
	})
}

func spawn(iterations int) {
	measure(iterations, func(each int) int {
		done := make(chan int)
		for n := 0; n < each; n++ {
			go func() { done <- 1 }()
			<-done
		}
		return each
	})
}

func pingPong(iterations int) {
	there, back := make(chan int), make(chan int)
	go func() {
		for value := range there {
			back <- value
		}
	}()
	measure(iterations, func(each int) int {
		for n := 0; n < each; n++ {
			there <- n
			<-back
		}
		return each
	})
}

// kib reads a line `NAME  VALUE kB`.
func kib(path, name string) float64 {
	text, _ := os.ReadFile(path)
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, name) {
			value, _ := strconv.ParseFloat(strings.Fields(line)[1], 64)
			return value
		}
	}
	return 0
}

func memory() (process, kernel float64) {
	process = kib("/proc/self/status", "VmRSS:") + kib("/proc/self/status", "VmPTE:")
	kernel = kib("/proc/meminfo", "SUnreclaim:") + kib("/proc/meminfo", "KernelStack:")
	return process * 1024, kernel * 1024
}

// park makes goroutines that wait at the gate.
func park(count int, gate chan int) {
	var parked int64
	for n := 0; n < count; n++ {
		go func() {
			atomic.AddInt64(&parked, 1)
			<-gate
		}()
		if n%32 == 31 {
			runtime.Gosched()
		}
	}
	for atomic.LoadInt64(&parked) < int64(count) {
		runtime.Gosched()
	}
}

func parkAll(count int) {
	process, kernel := memory()
	start := cpuNs()
	gate := make(chan int)
	park(count, gate)
	ns := cpuNs() - start
	processNow, kernelNow := memory()
	bytes := processNow - process
	if kernelNow > kernel {
		bytes += kernelNow - kernel
	}
	n := float64(count)
	fmt.Printf("{\"ns\":%.3f,\"bytes\":%.3f,\"bytes_total\":%.0f,\"count\":%d}\n",
		ns/n, bytes/n, bytes, count)
	os.Exit(0)
}

func sleepers(count, patience int) {
	start := time.Now()
	park(count/100+1, make(chan int))
	first := time.Now().Add(time.Since(start)*time.Duration(100*patience) + 500*time.Millisecond)
	deadline := func(n int) time.Time {
		part := float64(uint32(n)*0x9e3779b9) / 4294967296.0
		return first.Add(time.Duration(part * 2e9))
	}
	late := make([]int64, count)
	var early int64
	var parked, finished sync.WaitGroup
	parked.Add(count)
	finished.Add(count)
	for n := 0; n < count; n++ {
		n := n
		go func() {
			parked.Done()
			time.Sleep(time.Until(deadline(n)))
			late[n] = int64(time.Since(deadline(n)))
			if late[n] < 0 {
				atomic.AddInt64(&early, 1)
			}
			finished.Done()
		}()
		if n%32 == 31 {
			runtime.Gosched()
		}
	}
	parked.Wait()
	if !time.Now().Before(first) {
		fmt.Fprintln(os.Stderr, "the machine is too slow: the first woke before all were parked")
		os.Exit(1)
	}
	parkedNs := cpuNs()
	finished.Wait()
	cpu := cpuNs() - parkedNs
	sort.Slice(late, func(a, b int) bool { return late[a] < late[b] })
	fmt.Printf("{\"cpu_s\":%.6f,\"ns\":%.3f,\"early\":%d,\"late_ms\":%.4f,\"late_p99_ms\":%.4f,"+
		"\"count\":%d}\n", cpu/1e9, cpu/float64(count), early, float64(late[count/2])/1e6,
		float64(late[count-count/100-1])/1e6, count)
	os.Exit(0)
}

// ask asks for the signal that answer waits for.
func ask() chan os.Signal {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	return signals
}

// answer tells what has been used, at each signal.
func answer(signals chan os.Signal) {
	for range signals {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		fmt.Printf("{\"user_us\":%d,\"system_us\":%d}\n",
			u.Utime.Sec*1e6+u.Utime.Usec, u.Stime.Sec*1e6+u.Stime.Usec)
	}
}

func serve(client net.Conn) {
	defer client.Close()
	buffer := make([]byte, 1024)
	for {
		count, err := client.Read(buffer)
		if err != nil {
			return
		}
		if _, err = client.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func echo() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go answer(ask())
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		client, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go serve(client)
	}
}

func main() {
	if len(os.Args) != 4 {
		os.Exit(2)
	}
	count, _ := strconv.Atoi(os.Args[2])
	iterations, _ := strconv.Atoi(os.Args[3])
	switch os.Args[1] {
	case "round":
		round(count, iterations)
	case "spawn":
		spawn(iterations)
	case "ping-pong":
		pingPong(iterations)
	case "park-private":
		parkAll(count)
	case "sleepers":
		sleepers(count, iterations)
	case "echo":
		echo()
	case "idle":
		park(count, make(chan int))
		fmt.Printf("{\"count\":%d}\n", count)
		answer(ask())
	default:
		os.Exit(2)
	}
}
