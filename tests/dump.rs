//! Dumps and counters, over the public API.

use cove::net::{TcpListener, TcpStream, UdpSocket};
use cove::sync::mpsc;
use cove::task::{self, CoroutineDump, Dump, StackKind, State};
use std::time::Duration;

/// Long enough never to pass in a test.
const LONG: Duration = Duration::from_secs(3600);

/// Whether this processor's switch lets backtraces be taken.
const SHOWS_FRAMES: bool =
    cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(cove_portable)));

#[inline(never)]
fn user_accepts(listener: &TcpListener) {
    let _ = std::hint::black_box(listener.accept());
}

#[inline(never)]
fn user_receives_datagram(socket: &UdpSocket) {
    let _ = std::hint::black_box(socket.recv(&mut [0]));
}

#[inline(never)]
fn user_sleeps() {
    cove::time::sleep(LONG);
    std::hint::black_box(());
}

#[inline(never)]
fn user_parks() {
    task::park();
    std::hint::black_box(());
}

#[inline(never)]
fn user_receives(receiver: &mpsc::Receiver<u8>) {
    let _ = std::hint::black_box(receiver.recv());
}

fn find<'a>(dump: &'a Dump, name: &str) -> &'a CoroutineDump {
    let found = dump.iter().find(|coroutine| coroutine.name.as_deref() == Some(name));
    found.unwrap_or_else(|| panic!("{name} is missing in:\n{dump}"))
}

fn shows(coroutine: &CoroutineDump, function: &str) -> bool {
    let names = |frame: &task::Frame| {
        frame.function.as_deref().is_some_and(|name| name.ends_with(function))
    };
    !SHOWS_FRAMES || coroutine.backtrace.iter().take(8).any(names)
}

/// Goal: a dump of many names each one's function, near the top. Method: 200 in five kinds of wait.
#[test]
fn dump_lists_200_blocked_coroutines_with_the_users_functions() {
    const EACH: usize = 40;
    cove::run(|| {
        let (mut spawned, mut senders) = (Vec::new(), Vec::new());
        for _ in 0..EACH {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let (sender, receiver) = mpsc::channel();
            senders.push(sender);
            spawned.push(cove::spawn(move || user_accepts(&listener)));
            spawned.push(cove::spawn(move || user_receives_datagram(&socket)));
            spawned.push(cove::spawn(user_sleeps));
            spawned.push(cove::spawn(user_parks));
            spawned.push(cove::spawn(move || user_receives(&receiver)));
        }
        task::yield_now();
        let dump = task::dump();
        assert_eq!(dump.len(), 5 * EACH + 1);
        let kinds = [
            ("user_accepts", "reading descriptor "),
            ("user_receives_datagram", "reading descriptor "),
            ("user_sleeps", "sleeping, 3599.9 s left"),
            ("user_parks", "unpark"),
            ("user_receives", "channel receive"),
        ];
        for (number, handle) in spawned.iter().enumerate() {
            let id = handle.task().id().get();
            let found = dump.iter().find(|coroutine| coroutine.id == id).expect("listed");
            let (function, reason) = kinds[number % kinds.len()];
            let waiting_for = found.waiting_for.as_deref().unwrap_or_default();
            assert!(waiting_for.starts_with(reason), "{waiting_for} instead of {reason}");
            assert!(shows(found, function), "{function} is missing in:\n{found}");
            assert!(found.function.contains("dump_lists_200") || number % 5 > 1, "{found}");
        }
        spawned.iter().for_each(cove::JoinHandle::cancel);
    });
}

/// Goal: a dump needs next to none of its caller's stack. Method: one of 4 KiB.
#[test]
fn dump_works_on_the_smallest_stack() {
    cove::run(|| {
        // The portable switch has frames of its own, and AddressSanitizer makes all frames larger.
        let bytes = if SHOWS_FRAMES && cfg!(not(cove_asan)) { 4096 } else { 64 << 10 };
        let small = task::Builder::new().name("small").stack_bytes(bytes);
        let dump = small.spawn(task::dump).expect("a stack").join().expect("a dump");
        let small = find(&dump, "small");
        assert_eq!((small.state, small.waiting_for.as_deref()), (State::Running, None));
        assert!(small.stack.bytes <= Some(bytes) && small.stack.used_bytes > Some(0), "{small}");
        assert!(shows(small, "dump"), "{small}");
        assert_eq!(dump.coroutines[0].stack.kind, StackKind::Thread);
        assert_eq!(dump.coroutines[0].waiting_for.as_deref(), Some("join"));
        assert!(
            shows(&dump.coroutines[0], "dump_works_on_the_smallest_stack::{{closure}}")
                || shows(&dump.coroutines[0], "{closure#0}"),
            "{}",
            dump.coroutines[0]
        );
    });
}

/// Goal: frames that are put away are seen, and nothing is disturbed. Method: many on one shared
/// stack, each with a number on it, one of which takes the dump.
#[test]
fn dump_sees_coroutines_whose_shared_stack_another_uses() {
    cove::run(|| {
        let coroutine = |number: usize| {
            let numbers = std::hint::black_box([number; 8]);
            user_parks();
            let dump = (number == 5).then(task::dump);
            assert_eq!(std::hint::black_box(numbers), [number; 8]);
            dump
        };
        let spawned: Vec<_> = (0..20)
            .map(|number| {
                let builder = task::Builder::new().name(format!("number {number}"));
                // SAFETY: nobody points to what the coroutine keeps on its stack.
                unsafe { builder.spawn_on_shared_stack(move || coroutine(number)) }.expect("one")
            })
            .collect();
        task::yield_now();
        spawned[5].task().unpark();
        task::yield_now();
        for number in (0..20).filter(|number| *number != 5) {
            spawned[number].task().unpark();
        }
        let mut dumps = spawned.into_iter().filter_map(|handle| handle.join().expect("numbers"));
        let dump = dumps.next().expect("a dump");
        assert_eq!(find(&dump, "number 5").state, State::Running);
        for number in (0..20).filter(|number| *number != 5) {
            let found = find(&dump, &format!("number {number}"));
            assert_eq!(found.stack.kind, StackKind::Shared);
            assert!(found.stack.used_bytes > Some(64), "{found}");
            assert!(shows(found, "user_parks"), "{found}");
        }
    });
}

/// Goal: what has not started has no frames, what is ready says so. Method: dump before they ran,
/// and after.
#[test]
fn dump_tells_fresh_and_ready_coroutines_apart() {
    cove::run(|| {
        let yields = || (0..2).for_each(|_| task::yield_now());
        let handle = task::Builder::new().name("one").spawn(yields).expect("a coroutine");
        let before = task::dump();
        task::yield_now();
        let after = task::dump();
        assert!(find(&before, "one").backtrace.is_empty());
        assert_eq!(find(&before, "one").state, State::Ready);
        assert_eq!(find(&after, "one").state, State::Ready);
        assert!(!SHOWS_FRAMES || !find(&after, "one").backtrace.is_empty());
        assert!(find(&after, "one").stack.high_water_bytes > Some(0));
        handle.join().expect("a result");
        assert_eq!(task::dump().len(), 1);
    });
    assert!(task::dump().is_empty());
}

/// Goal: both texts hold what the dump holds. Method: look for it.
#[test]
fn dump_prints_as_text_and_as_json() {
    cove::run(|| {
        let sleeper = task::Builder::new().name("a \"sleeper\"").spawn(user_sleeps).expect("one");
        task::yield_now();
        let dump = task::dump();
        let (text, json) = (dump.to_string(), dump.to_json());
        let id = sleeper.task().id();
        assert!(text.contains(&format!("coroutine {id} 'a \"sleeper\"' (")), "{text}");
        assert!(text.contains("parked, sleeping, "), "{text}");
        assert!(json.contains(&format!("{{\"id\":{id},\"name\":\"a \\\"sleeper\\\"\"")), "{json}");
        assert!(json.contains("\"stack\":{\"kind\":\"private\",\"bytes\":"), "{json}");
        sleeper.cancel();
    });
}

/// Goal: each counter counts its own thing. Method: do each thing once or so.
#[test]
fn metrics_count_what_happens() {
    cove::run(|| {
        let before = cove::metrics();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let acceptor = cove::spawn(move || listener.accept().map(|_| ()));
        let sleeper = cove::spawn(|| cove::time::sleep(Duration::from_millis(1)));
        task::yield_now();
        let during = cove::metrics();
        assert_eq!(during.spawned - before.spawned, 2);
        assert_eq!((during.live, during.timers_armed, during.descriptors), (2, 1, 1));
        assert!(during.stacks_live >= 3 && during.stack_reserved_bytes > 0);
        let _stream = TcpStream::connect(address).expect("a connection");
        acceptor.join().expect("a result").expect("a stream");
        sleeper.join().expect("a result");
        let after = cove::metrics();
        assert_eq!((after.completed, after.live, after.timers_armed), (2, 0, 0));
        assert_eq!(after.timers_fired - before.timers_fired, 1);
        assert!(after.switches > during.switches && after.polls > before.polls);
        // SAFETY: nobody points to what the coroutines keep on their stacks.
        let shared = |_| unsafe { task::Builder::new().spawn_on_shared_stack(user_parks) };
        let shared: Vec<_> = (0..10).map(|number| shared(number).expect("one")).collect();
        task::yield_now();
        assert!(cove::metrics().shared_stack_swaps >= 10 && cove::metrics().saved_bytes > 0);
        shared.iter().for_each(cove::JoinHandle::cancel);
    });
    assert_eq!(cove::metrics().spawned, 0);
}

/// Code of the C compiler's whose frame no simple rule finds: aligned locals, and a size that is
/// known at run time only.
const CALLS_BACK: &str = "
    #include <alloca.h>
    static void use(char *bytes) { __asm__ volatile(\"\" :: \"r\"(bytes) : \"memory\"); }
    int calls_back(void (*call)(void), int a, int b, int c, int d, int e, int f, int g) {
        _Alignas(64) char aligned[64];
        char *sized = alloca(a * 100);
        use(aligned);
        use(sized);
        call();
        use(aligned);
        return a + b + c + d + e + f + g;
    }
";

type CallsBack = unsafe extern "C" fn(extern "C" fn(), i32, i32, i32, i32, i32, i32, i32) -> i32;

/// Goal: coroutines that wait below functions of C are listed, whatever their frames are like.
/// Method: a library made of the code above; one waits in what it calls.
#[test]
fn dump_goes_through_frames_of_c() {
    extern "C" fn user_waits() {
        cove::time::sleep(Duration::from_millis(20));
    }
    let folder = std::env::temp_dir().join(format!("cove-dump-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (source, library) = (folder.join("calls_back.c"), folder.join("calls_back.so"));
    std::fs::write(&source, CALLS_BACK).expect("room");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = std::process::Command::new(compiler);
    command.args(["-O2", "-g", "-shared", "-fPIC", "-o"]).args([&library, &source]);
    assert!(command.status().expect("a C compiler").success());
    let path = std::ffi::CString::new(library.to_string_lossy().as_bytes()).expect("a path");
    // SAFETY: the strings are C strings, the library is the one above, which runs nothing when it
    // is loaded, and the function there has this type.
    let calls_back = unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null());
        let symbol = libc::dlsym(handle, c"calls_back".as_ptr());
        assert!(!symbol.is_null());
        std::mem::transmute::<*mut libc::c_void, CallsBack>(symbol)
    };
    cove::run(|| {
        let waiting = task::Builder::new().name("below C").spawn(move || {
            // SAFETY: it calls back and adds up.
            unsafe { calls_back(user_waits, 1, 2, 3, 4, 5, 6, 7) }
        });
        let waiting = waiting.expect("a coroutine");
        task::yield_now();
        let dump = task::dump();
        assert_eq!(waiting.join().expect("no panic"), 28);
        let found = find(&dump, "below C");
        assert!(shows(found, "user_waits") && shows(found, "calls_back"), "{dump}");
    });
    std::fs::remove_dir_all(&folder).expect("removed");
}
