//! Memory runs out: spawning gives an error that names the limit, nothing aborts, and everything
//! works again when memory comes free.

use crate::child::{self, limit};
use crate::holdings::yield_until;
use cove::JoinHandle;
use cove::task::{self, Builder, Evicted};
use std::cell::Cell;
use std::fs;
use std::hint::black_box;
use std::io;
use std::rc::Rc;

const MIB: u64 = 1 << 20;

/// Small allocations, too, come out of the address space that is limited: glibc's arenas for
/// threads reserve more than the tests' limits leave.
const ONE_ARENA: &[(&str, &str)] = &[("MALLOC_ARENA_MAX", "1")];

/// Where `RLIMIT_AS` means nothing: to qemu-user, and to AddressSanitizer, which reserves
/// terabytes.
fn has_no_limit() -> bool {
    child::is_emulated() || cfg!(cove_asan)
}

/// No test gets as many into its limit.
const SPAWNS_MAX: usize = 1 << 20;

/// Lets the address space grow by `bytes` and no more.
fn limit_address_space(bytes: u64) {
    let statm = fs::read_to_string("/proc/self/statm").expect("sizes");
    let pages: u64 = statm.split(' ').next().and_then(|field| field.parse().ok()).expect("pages");
    limit(libc::RLIMIT_AS, pages * 4096 + bytes);
}

/// The error says what is short and what to do.
#[track_caller]
fn names_the_limit(error: &io::Error) {
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory, "{error}");
    let text = error.to_string();
    for part in ["RLIMIT_AS", "prlimit --as"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

/// Coroutines that wait for one flag, and the error that ended the spawning.
struct Crowd {
    handles: Vec<JoinHandle<usize>>,
    go: Rc<Cell<bool>>,
}

impl Crowd {
    fn new() -> Crowd {
        Crowd { handles: Vec::with_capacity(SPAWNS_MAX), go: Rc::default() }
    }

    /// Spawns until that fails.
    fn grow(&mut self, spawn: impl Fn(Waiter) -> io::Result<JoinHandle<usize>>) -> io::Error {
        loop {
            assert!(self.handles.len() < SPAWNS_MAX, "there is no limit");
            let number = self.handles.len();
            match spawn(Waiter { number, go: self.go.clone() }) {
                Ok(handle) => self.handles.push(handle),
                Err(error) => return error,
            }
        }
    }

    /// Lets all of them end, and checks what each returns.
    fn finish(&mut self) {
        self.go.set(true);
        for (number, handle) in self.handles.drain(..).enumerate() {
            handle.task().unpark();
            assert_eq!(handle.join().expect("a result"), number);
        }
        self.go.set(false);
    }
}

struct Waiter {
    number: usize,
    go: Rc<Cell<bool>>,
}

impl Waiter {
    fn wait(self) -> usize {
        while !self.go.get() {
            task::park();
        }
        self.number
    }
}

fn spawn_private(waiter: Waiter) -> io::Result<JoinHandle<usize>> {
    Builder::new().spawn(|| waiter.wait())
}

fn spawn_shared(waiter: Waiter) -> io::Result<JoinHandle<usize>> {
    // SAFETY: nobody points to what the coroutine keeps on its stack.
    unsafe { Builder::new().spawn_on_shared_stack(|| waiter.wait()) }
}

/// Fills the address space twice, and uses what is there in between.
fn fill_twice(spawn: impl Fn(Waiter) -> io::Result<JoinHandle<usize>> + Copy) {
    let mut crowd = Crowd::new();
    names_the_limit(&crowd.grow(spawn));
    let first = crowd.handles.len();
    // Again, and it is an error again; what is there goes on.
    names_the_limit(&crowd.grow(spawn));
    task::yield_now();
    assert_eq!(cove::metrics().live as usize, crowd.handles.len());
    crowd.handles.pop().expect("some").cancel();
    yield_until(|| (cove::metrics().live as usize) == crowd.handles.len());
    let handle = spawn(Waiter { number: crowd.handles.len(), go: crowd.go.clone() });
    crowd.handles.push(handle.expect("the place of the cancelled one"));
    crowd.finish();
    names_the_limit(&crowd.grow(spawn));
    let second = crowd.handles.len();
    assert!(second >= first - first / 10, "{first} coroutines, then {second}");
    crowd.finish();
}

/// Goal: at the limit of the address space spawning is an error, and works again when others have
/// ended. Method: `RLIMIT_AS` in a child; private stacks, until there is no more, twice.
#[test]
fn address_space_for_private_stacks_runs_out() {
    if has_no_limit() {
        return println!("skipped: the address space cannot be limited here");
    }
    child::alone_with("memory::address_space_for_private_stacks_runs_out", ONE_ARENA, || {
        cove::run(|| {
            assert_eq!(cove::spawn(|| 1).join().expect("a result"), 1);
            limit_address_space(400 * MIB);
            fill_twice(spawn_private);
            let error = Builder::new().stack_bytes(1 << 30).spawn(|| ()).expect_err("no room");
            names_the_limit(&error);
            assert_eq!(cove::spawn(|| 2).join().expect("a result"), 2);
        });
    });
}

/// Goal: the same for shared stacks, whose blocks and frames are in the saver. Method: as above.
#[test]
fn address_space_for_shared_stacks_runs_out() {
    if has_no_limit() {
        return println!("skipped: the address space cannot be limited here");
    }
    child::alone_with("memory::address_space_for_shared_stacks_runs_out", ONE_ARENA, || {
        cove::run(|| {
            limit_address_space(100 * MIB);
            let mut crowd = Crowd::new();
            names_the_limit(&crowd.grow(spawn_shared));
            let spawned = crowd.handles.len();
            assert!(spawned > 10_000, "{spawned}");
            crowd.finish();
            drop(crowd.grow(spawn_shared));
            assert!(crowd.handles.len() >= spawned - spawned / 10);
            crowd.finish();
        });
    });
}

/// Uses some stack, and waits with it.
#[inline(never)]
fn wait_with<const BYTES: usize>(waiter: Waiter, started: &Cell<usize>) -> usize {
    started.set(started.get() + 1);
    let mut frame = [waiter.number as u8; BYTES];
    black_box(&mut frame);
    let number = waiter.wait();
    assert!(frame.iter().all(|byte| *byte == number as u8), "somebody else's frame");
    number
}

/// Many wait on shared stacks with frames of so many bytes, more than there is memory for.
fn overfill<const BYTES: usize>() {
    let mut crowd = Crowd::new();
    let started = Rc::new(Cell::new(0));
    names_the_limit(&crowd.grow(|waiter| {
        let started = started.clone();
        // SAFETY: nobody points to what the coroutine keeps on its stack.
        unsafe {
            Builder::new().spawn_on_shared_stack(move || wait_with::<BYTES>(waiter, &started))
        }
    }));
    let spawned = crowd.handles.len();
    // All start, and find no memory to be put away to.
    yield_until(|| started.get() == spawned);
    crowd.go.set(true);
    let (mut ended, mut evicted) = (0, 0);
    for (number, handle) in crowd.handles.drain(..).enumerate() {
        handle.task().unpark();
        match handle.join() {
            Ok(result) => {
                assert_eq!(result, number);
                ended += 1;
            }
            Err(payload) => {
                let evicted_for = payload.downcast::<Evicted>().expect("the lack of memory");
                assert!(evicted_for.to_string().contains("RLIMIT_AS"));
                evicted += 1;
            }
        }
    }
    eprintln!("{BYTES} bytes each: {spawned} spawned, {ended} ended, {evicted} evicted");
    assert!(evicted > 0 && ended > 0, "{ended} ended, {evicted} evicted");
    assert_eq!(cove::metrics().live, 0);
}

/// Goal: if the saver finds no memory for frames, those whom it concerns end with an error; all
/// others with their results. Method: frames of several sizes, in a child with `RLIMIT_AS`.
#[test]
fn saver_without_memory_evicts_and_goes_on() {
    if has_no_limit() {
        return println!("skipped: the address space cannot be limited here");
    }
    child::alone_with("memory::saver_without_memory_evicts_and_goes_on", ONE_ARENA, || {
        cove::run(|| {
            limit_address_space(20 * MIB);
            overfill::<100>();
            overfill::<1500>();
            overfill::<20_000>();
            let mut crowd = Crowd::new();
            let shared = spawn_shared(Waiter { number: 0, go: crowd.go.clone() });
            crowd.handles.push(shared.expect("memory came free"));
            crowd.finish();
        });
    });
}

/// Maps pages that cannot merge, until the kernel makes no more mappings.
fn take_all_mappings() -> Vec<(*mut libc::c_void, usize)> {
    let mut taken = Vec::with_capacity(SPAWNS_MAX);
    loop {
        let protection = if taken.len() % 2 == 0 { libc::PROT_READ } else { libc::PROT_NONE };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping where the kernel likes touches nothing of ours.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return taken;
        }
        taken.push((page, 4096));
    }
}

fn give_back(taken: Vec<(*mut libc::c_void, usize)>) {
    for (page, bytes) in taken {
        // SAFETY: mapped above, and nobody else's.
        assert_eq!(unsafe { libc::munmap(page, bytes) }, 0);
    }
}

fn map_count_max() -> usize {
    let text = fs::read_to_string("/proc/sys/vm/max_map_count").expect("a limit");
    text.trim().parse().expect("a number")
}

/// Goal: `vm.max_map_count` is met by an error that names it, whatever guards there are; those that
/// run go on; spawning works again afterwards. Method: use all mappings up, with guards that cost
/// two each.
#[test]
fn mappings_run_out() {
    let name = "memory::mappings_run_out";
    if has_no_limit() || map_count_max() > 300_000 {
        return println!("skipped: vm.max_map_count cannot be used up here");
    }
    child::alone_with(name, &[("COVE_GUARD", "protect")], || {
        cove::run(|| {
            let mut crowd = Crowd::new();
            crowd.handles.push(spawn_private(Waiter { number: 0, go: crowd.go.clone() }).unwrap());
            task::yield_now();
            let taken = take_all_mappings();
            let error = crowd.grow(spawn_private);
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            assert!(error.to_string().contains("sysctl vm.max_map_count="), "{error}");
            let spawned = crowd.handles.len();
            crowd.finish();
            let refused = std::thread::Builder::new().spawn(|| ()).is_err();
            let built = cove::task::try_blocking(|| 1);
            assert!(refused == built.is_err(), "{built:?}");
            give_back(taken);
            while crowd.handles.len() < 2 * spawned + 100 {
                let waiter = Waiter { number: crowd.handles.len(), go: crowd.go.clone() };
                crowd.handles.push(spawn_private(waiter).expect("mappings came free"));
            }
            crowd.finish();
        });
    });
}

/// Goal: guards by mprotect stop at half of the mappings, said aloud, and coroutines go on without.
/// Method: more coroutines than mappings.
#[test]
fn guards_make_way_when_mappings_are_short() {
    let name = "memory::guards_make_way_when_mappings_are_short";
    if has_no_limit() || map_count_max() > 300_000 {
        return println!("skipped: vm.max_map_count cannot be used up here");
    }
    let child = child::observed(name, &[("COVE_GUARD", "protect")], || {
        cove::run(|| {
            let mut crowd = Crowd::new();
            for number in 0..map_count_max() / 3 {
                let waiter = Waiter { number, go: crowd.go.clone() };
                let handle = Builder::new().stack_bytes(16 << 10).spawn(|| waiter.wait());
                crowd.handles.push(handle.expect("a coroutine"));
            }
            task::yield_now();
            crowd.finish();
        });
    });
    if let Some(child) = child {
        child.says("have no guard page but a canary");
        child.succeeded();
    }
}
