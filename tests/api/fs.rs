//! Files among coroutines: others go on meanwhile, positions are shared, waits end. (What each
//! function brings is compared with std in `like_std`.)

use crate::support::{Scratch, until};
use cove::fs::{self, File, OpenOptions};
use cove::net::{TcpListener, TcpStream};
use cove::task;
use cove::time::{Duration, timeout};
use std::cell::Cell;
use std::ffi::CString;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A pipe with a name: whoever opens it waits for the other side.
fn fifo(scratch: &Scratch) -> PathBuf {
    let path = scratch.path("fifo");
    let name = CString::new(path.as_os_str().as_bytes()).expect("no zero");
    // SAFETY: a string that ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    path
}

/// Lets whoever waits for `path`'s other side go on, a side that a thread of the pool opened too.
fn release(path: &Path) {
    let both = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("the pipe");
    drop(both);
}

#[test]
fn others_run_while_a_file_keeps_its_reader_waiting() {
    // Goal: a read that takes long holds up nobody. Method: a pipe with a name, which gives nothing
    // before another coroutine has had a hundred turns.
    let scratch = Scratch::new();
    let path = fifo(&scratch);
    cove::run(|| {
        let turns = Rc::new(Cell::new(0));
        let reader = {
            let (path, turns) = (path.clone(), turns.clone());
            cove::spawn(move || (fs::read_to_string(path).unwrap(), turns.get()))
        };
        let ticker = {
            let turns = turns.clone();
            cove::spawn(move || {
                loop {
                    turns.set(turns.get() + 1);
                    task::yield_now();
                }
            })
        };
        until(|| turns.get() >= 100);
        fs::write(&path, "at last").unwrap();
        let (text, turns) = reader.join().unwrap();
        assert_eq!(text, "at last");
        assert!(turns >= 100);
        ticker.cancel();
    });
}

#[test]
fn waits_for_files_end_by_deadline_and_by_cancellation() {
    // Goal: a scope makes it TimedOut, a cancellation unwinds, and the file system is usable
    // afterwards. Method: open a pipe that nobody writes to.
    let scratch = Scratch::new();
    let path = fifo(&scratch);
    cove::run(|| {
        let late = timeout(Duration::from_millis(1), || File::open(&path).map(drop));
        assert_eq!(late.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        let reader = {
            let path = path.clone();
            cove::spawn(move || File::open(path).map(drop))
        };
        task::yield_now();
        reader.cancel();
        assert!(reader.join().unwrap_err().is::<task::Cancelled>());
        release(&path);
        fs::write(scratch.path("other"), "works").unwrap();
        assert_eq!(fs::read_to_string(scratch.path("other")).unwrap(), "works");
    });
}

#[test]
fn appending_coroutines_do_not_tear_each_others_lines() {
    // Goal: append mode from many handles. Method: lines of ten coroutines, each with a file of its
    // own; every line must be whole, and in order for its writer.
    let scratch = Scratch::new();
    let path = scratch.path("log");
    cove::run(|| {
        let writers: Vec<_> = (0..10)
            .map(|writer| {
                let path = path.clone();
                cove::spawn(move || {
                    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
                    (0..20).try_for_each(|n| file.write_all(format!("{writer} {n}\n").as_bytes()))
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap().unwrap());
        let mut next = [0; 10];
        for line in BufReader::new(File::open(&path).unwrap()).lines() {
            let line = line.unwrap();
            let (writer, number) = line.split_once(' ').unwrap();
            let writer: usize = writer.parse().unwrap();
            assert_eq!(number.parse::<u32>().unwrap(), next[writer]);
            next[writer] += 1;
        }
        assert_eq!(next, [20; 10]);
    });
}

#[test]
fn one_of_many_makes_a_new_file() {
    // Goal: create_new excludes. Method: twenty coroutines try; one succeeds, the rest say why not.
    let scratch = Scratch::new();
    cove::run(|| {
        let makers: Vec<_> = (0..20)
            .map(|_| scratch.path("lock"))
            .map(|path| cove::spawn(move || File::create_new(path).map_err(|error| error.kind())))
            .collect();
        let outcomes: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
        let refused = outcomes.iter().filter(|it| matches!(it, Err(ErrorKind::AlreadyExists)));
        assert_eq!((outcomes.iter().filter(|it| it.is_ok()).count(), refused.count()), (1, 19));
    });
}

#[test]
fn coroutines_fill_parts_of_one_file() {
    // Goal: write_at and read_at on a shared handle. Method: coroutines borrow one file and write
    // their blocks in any order; what std reads is all of them.
    const BLOCK: usize = 10_000;
    let scratch = Scratch::new();
    let path = scratch.path("blocks");
    cove::run(|| {
        let file = File::options().read(true).write(true).create(true).open(&path).unwrap();
        cove::scope(|scope| {
            for number in 0..10_u8 {
                let file = &file;
                scope.spawn(move || {
                    let offset = u64::from(number) * BLOCK as u64;
                    file.write_all_at(&[number; BLOCK], offset).unwrap();
                    let mut back = vec![0; BLOCK];
                    file.read_exact_at(&mut back, offset).unwrap();
                    assert_eq!(back, [number; BLOCK]);
                });
            }
        });
        file.sync_all().unwrap();
    });
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.len(), 10 * BLOCK);
    assert!(bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at / BLOCK));
}

#[test]
fn files_flow_into_sockets_and_back() {
    // Goal: std::io around these types. Method: a few megabytes from a file through a connection
    // into a file, by io::copy and BufWriter.
    let scratch = Scratch::new();
    let (from, to) = (scratch.path("from"), scratch.path("to"));
    let bytes: Vec<u8> = (0..3_000_017_u32).map(|n| (n % 251) as u8).collect();
    cove::run(|| {
        fs::write(&from, &bytes).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let path = to.clone();
        let receiver = cove::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let mut file = BufWriter::new(File::create(path)?);
            let count = io::copy(&mut stream, &mut file)?;
            file.into_inner()?.sync_all()?;
            Ok::<_, io::Error>(count)
        });
        let mut stream = TcpStream::connect(address).unwrap();
        let count = io::copy(&mut File::open(&from).unwrap(), &mut stream).unwrap();
        drop(stream);
        assert_eq!(count, bytes.len() as u64);
        assert_eq!(receiver.join().unwrap().unwrap(), count);
        assert!(fs::read(&to).unwrap() == bytes);
    });
}

#[test]
fn files_come_from_std_and_work_without_a_runtime() {
    // Goal: conversions and plain threads. Method: one open file through its types, on a thread
    // without a runtime and in one; the position goes along.
    let scratch = Scratch::new();
    let path = scratch.path("file");
    fs::write(&path, "0123456789").unwrap();
    let mut of_std = std::fs::File::open(&path).unwrap();
    of_std.seek(SeekFrom::Start(2)).unwrap();
    let mut file = File::from(of_std);
    let mut buffer = [0; 2];
    file.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"23");
    let file = cove::run(move || {
        file.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"45");
        file
    });
    let thread = std::thread::spawn(move || {
        let mut text = String::new();
        (&file).read_to_string(&mut text).unwrap();
        (file, text)
    });
    let (mut file, text) = thread.join().unwrap();
    assert_eq!(text, "6789");
    file.rewind().unwrap();
    let descriptor = OwnedFd::from(std::fs::File::open(&path).unwrap());
    let both = [file, File::from(descriptor)];
    assert!(cove::run(|| both.iter().all(|file| io::read_to_string(file).unwrap().len() == 10)));
}
