//! The gdb script, on a live process and on core files: 200 parked coroutines, all of them listed
//! with the user's function.
//!
//! The process under the debugger is this very program, run again with [`CHILD`] in its
//! environment. Where gdb is missing the tests say so and pass: a build needs no debugger. The job
//! that is about gdb sets `COVE_GDB_REQUIRED`.

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cove::net::{TcpListener, UdpSocket};
use cove::sync::mpsc;

/// Marks a child that is to be debugged.
const CHILD: &str = "COVE_GDB_CHILD";

/// What a child prints when all its coroutines are parked.
const PARKED: &str = "all coroutines are parked";

/// Coroutines of each kind.
const EACH: usize = 40;

/// The user's function and the wait of each kind.
const KINDS: [(&str, &str); 5] = [
    ("user_accepts", "reading descriptor "),
    ("user_receives_datagram", "reading descriptor "),
    ("user_sleeps", "sleep"),
    ("user_receives_message", "channel receive"),
    ("user_parks", "unpark"),
];

#[inline(never)]
fn user_accepts(listener: &TcpListener) {
    let _ = black_box(listener.accept());
}

#[inline(never)]
fn user_receives_datagram(socket: &UdpSocket) {
    let _ = black_box(socket.recv(&mut [0]));
}

#[inline(never)]
fn user_sleeps() {
    cove::time::sleep(Duration::from_secs(3600));
    black_box(());
}

#[inline(never)]
fn user_receives_message(receiver: &mpsc::Receiver<u8>) {
    let _ = black_box(receiver.recv());
}

#[inline(never)]
fn user_parks() {
    cove::task::park();
    black_box(());
}

/// The child's part: parks everything, says so, and waits to be killed.
fn be_debugged() {
    // SAFETY: no memory is involved. Any process may attach: where ptrace is restricted to
    // descendants (Yama), the debugger is none of ours.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
    let cores = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is readable.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const cores) };
    cove::run(|| {
        let (mut handles, mut senders) = (Vec::new(), Vec::new());
        for _ in 0..EACH {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let (sender, receiver) = mpsc::channel();
            senders.push(sender);
            handles.push(cove::spawn(move || user_accepts(&listener)));
            handles.push(cove::spawn(move || user_receives_datagram(&socket)));
            handles.push(cove::spawn(user_sleeps));
            handles.push(cove::spawn(move || user_receives_message(&receiver)));
            handles.push(cove::spawn(user_parks));
        }
        let named = cove::task::Builder::new().name("the named one");
        // SAFETY: nobody points to what the coroutine keeps on its stack.
        handles.push(unsafe { named.spawn_on_shared_stack(user_parks) }.expect("a coroutine"));
        cove::task::yield_now();
        println!("\n{PARKED}");
        cove::task::park();
    });
}

/// A child with all its coroutines parked; killed on drop.
struct Debuggee(Child);

impl Debuggee {
    fn start(guard: &str, folder: &Path) -> Debuggee {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "gdb_debuggee", "--nocapture", "--test-threads=1"]);
        command.env(CHILD, "1").env("COVE_GUARD", guard).current_dir(folder);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a child");
        let stdout = child.stdout.take().expect("its output");
        let mut lines = BufReader::new(stdout).lines();
        let parked = lines.any(|line| line.is_ok_and(|line| line.contains(PARKED)));
        assert!(parked, "the child ended before its coroutines were parked");
        Debuggee(child)
    }

    fn id(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Debuggee {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder for core files; removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("cove-gdb-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether `program` is installed here; if not, says that the test is skipped, or fails where it
/// must not be.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    assert!(there || std::env::var_os("COVE_GDB_REQUIRED").is_none(), "{program} is missing");
    if !there {
        println!("SKIPPED: {program} is not installed");
    }
    there && SUPPORTED
}

/// Whether suspended contexts can be looked into on this processor.
const SUPPORTED: bool =
    cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(cove_portable)));

/// Runs gdb with these arguments, the script, and these commands; returns what it printed.
fn gdb(arguments: &[&str], commands: &[&str]) -> String {
    let script = concat!("source ", env!("CARGO_MANIFEST_DIR"), "/src/inspect/gdb/cove_gdb.py");
    let mut command = Command::new("gdb");
    command.args(["-batch", "-nx"]).args(arguments).args(["-ex", script]);
    for one in commands {
        command.args(["-ex", one]);
    }
    let output = command.env("LC_ALL", "C").stdin(Stdio::null()).output().expect("gdb");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    stdout + &String::from_utf8_lossy(&output.stderr)
}

/// Checks that a listing shows all coroutines, each with its function and its wait.
fn check_list(text: &str) {
    assert!(text.contains(&format!("\n{} coroutines\n", 5 * EACH + 2)), "{text}");
    for (function, wait) in KINDS {
        let rows = text.lines().filter(|line| {
            line.contains(" parked ") && line.contains(wait) && line.ends_with(function)
        });
        let expected = EACH + usize::from(function == "user_parks");
        assert_eq!(rows.count(), expected, "{function}: {text}");
    }
    assert!(text.contains(" the named one "), "{text}");
}

/// Goal: the children of the other tests. Method: does what a debuggee does.
#[test]
fn gdb_debuggee() {
    if std::env::var_os(CHILD).is_some() {
        be_debugged();
    }
}

/// Goal: a live process shows all its coroutines, and goes on. Method: attach, list, show one and
/// all, detach; then it is still there.
#[test]
fn gdb_lists_200_coroutines_of_a_live_process() {
    if !is_there("gdb") {
        return;
    }
    let folder = Folder::new("live");
    let mut debuggee = Debuggee::start("install", &folder.0);
    let text = gdb(&["-p", &debuggee.id()], &["cove list", "cove bt all", "cove bt 999999999"]);
    check_list(&text);
    let frames = |function: &str| {
        text.lines().filter(|line| line.starts_with('#') && line.contains(function)).count()
    };
    KINDS.iter().for_each(|(function, _)| assert!(frames(function) >= EACH, "{function}: {text}"));
    assert!(frames("tests/gdb.rs:") >= 5 * EACH, "{text}");
    assert!(text.contains("coroutine 1: parked, unpark"), "{text}");
    assert!(text.contains("no coroutine 999999999"), "{text}");
    assert!(debuggee.0.try_wait().expect("its state").is_none(), "the child has ended");
}

/// Goal: a core that gdb writes shows the same. Method: guards by mprotect, since gdb cannot save
/// mappings with the other kind.
#[test]
fn gdb_lists_200_coroutines_of_a_core_by_gcore() {
    // AddressSanitizer reserves terabytes, which gcore would write.
    if !is_there("gdb") || !is_there("gcore") || cfg!(cove_asan) {
        return;
    }
    let folder = Folder::new("gcore");
    let debuggee = Debuggee::start("protect", &folder.0);
    let prefix = folder.0.join("core").to_string_lossy().into_owned();
    let gcore = Command::new("gcore").args(["-o", &prefix, &debuggee.id()]).output();
    let gcore = gcore.expect("gcore");
    assert!(gcore.status.success(), "{}", String::from_utf8_lossy(&gcore.stderr));
    check_core(&format!("{prefix}.{}", debuggee.id()));
}

/// Goal: so does a core that the kernel writes. Method: SIGABRT; skipped where cores do not go to
/// a file beside the process.
#[test]
fn gdb_lists_200_coroutines_of_a_core_by_the_kernel() {
    if !is_there("gdb") {
        return;
    }
    let folder = Folder::new("kernel");
    let mut debuggee = Debuggee::start("install", &folder.0);
    // SAFETY: the child is ours and was not waited for.
    assert_eq!(unsafe { libc::kill(debuggee.0.id() as i32, libc::SIGABRT) }, 0);
    let status = debuggee.0.wait().expect("its end");
    assert_eq!(status.signal(), Some(libc::SIGABRT));
    let files = std::fs::read_dir(&folder.0).expect("the folder");
    match files.flatten().next() {
        Some(core) => check_core(&core.path().to_string_lossy()),
        None => println!("SKIPPED: the kernel's core_pattern names no file in the folder"),
    }
}

fn check_core(core: &str) {
    let program = std::env::current_exe().expect("this program");
    let text = gdb(&[&program.to_string_lossy(), core], &["cove list", "cove bt 1"]);
    check_list(&text);
    assert!(text.contains("gdb::be_debugged"), "{text}");
}
