//! Files: roundtrips in every way, the errors of std, and operations that are left behind.

use super::*;
use crate::task::{Cancelled, yield_now};
use crate::time::{Duration, timeout};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// A directory of a test's own, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("cove-fs-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a directory");
        Scratch(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes that take several chunks, with a pattern that shows a misplaced one.
fn many_bytes() -> Vec<u8> {
    (0..CHUNK_BYTES * 3 + 17).map(|n| (n % 251) as u8).collect()
}

#[test]
fn what_is_written_is_read_back_in_every_way() {
    // Goal: roundtrips across chunks, inside and outside of a runtime. Method: whole files, reads
    // in pieces, reads to the end, reads by lines.
    let steps = || {
        let scratch = Scratch::new();
        let (path, bytes) = (scratch.path("file"), many_bytes());
        write(&path, &bytes).expect("written");
        assert_eq!(read(&path).expect("read"), bytes);
        let mut file = File::open(&path).expect("open");
        let mut pieces = vec![0; bytes.len()];
        file.read_exact(&mut pieces).expect("read");
        assert_eq!(pieces, bytes);
        assert_eq!(file.read(&mut [0; 4]).expect("the end"), 0);
        file.seek(SeekFrom::Start(10)).expect("seek");
        let mut rest = vec![1, 2];
        assert_eq!(file.read_to_end(&mut rest).expect("read"), bytes.len() - 10);
        assert_eq!(rest[2..], bytes[10..]);
        write(&path, "short\nlines\n").expect("written");
        let lines = BufReader::new(File::open(&path).expect("open")).lines();
        assert_eq!(lines.map(|line| line.expect("text")).collect::<Vec<_>>(), ["short", "lines"]);
        assert_eq!(read_to_string(&path).expect("text"), "short\nlines\n");
    };
    steps();
    crate::run(steps);
}

#[test]
fn one_operation_moves_a_chunk_at_most() {
    // Goal: bounded copies. Method: a read and a write of more.
    crate::run(|| {
        let scratch = Scratch::new();
        let mut file = File::create_new(scratch.path("file")).expect("made");
        assert_eq!(file.write(&many_bytes()).expect("written"), CHUNK_BYTES);
        file.write_all(&many_bytes()).expect("written");
        file.rewind().expect("rewound");
        assert!(file.read(&mut vec![0; CHUNK_BYTES * 2]).expect("read") <= CHUNK_BYTES);
    });
}

#[test]
fn positions_offsets_lengths_and_clones() {
    // Goal: the rest of File. Method: each once.
    crate::run(|| {
        let scratch = Scratch::new();
        let mut file = File::create_new(scratch.path("file")).expect("made");
        file.write_all(b"0123456789").expect("written");
        file.write_all_at(b"AB", 2).expect("written");
        let mut four = [0; 4];
        file.read_exact_at(&mut four, 1).expect("read");
        assert_eq!(&four, b"1AB4");
        assert_eq!(file.stream_position().expect("position"), 10);
        assert_eq!(file.seek(SeekFrom::End(-4)).expect("seek"), 6);
        let mut clone = file.try_clone().expect("a clone");
        let mut text = String::new();
        clone.read_to_string(&mut text).expect("read");
        assert_eq!(text, "6789");
        file.set_len(3).expect("cut off");
        file.sync_data().expect("on disk");
        file.sync_all().expect("on disk");
        let metadata = file.metadata().expect("metadata");
        assert!(metadata.is_file() && metadata.len() == 3);
        file.set_permissions(Permissions::from_mode(0o600)).expect("set");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
        let metadata = metadata_of(&scratch);
        assert_eq!((metadata.mode() & 0o777, metadata.mtime()), (0o600, 0));
    });
}

fn metadata_of(scratch: &Scratch) -> Metadata {
    metadata(scratch.path("file")).expect("metadata")
}

#[test]
fn text_that_is_no_utf_8_leaves_the_string_alone() {
    // Goal: std's contract of read_to_string. Method: a file of one bad byte.
    crate::run(|| {
        let scratch = Scratch::new();
        write(scratch.path("file"), [b'a', 0xff]).expect("written");
        let mut text = String::from("before");
        let mut file = File::open(scratch.path("file")).expect("open");
        let error = file.read_to_string(&mut text).expect_err("no text");
        assert_eq!((error.kind(), text.as_str()), (ErrorKind::InvalidData, "before"));
    });
}

#[test]
fn names_links_and_directories() {
    // Goal: the functions on paths. Method: a small tree, made, moved about and removed.
    crate::run(|| {
        let scratch = Scratch::new();
        let [a, b, link] = ["a", "b", "link"].map(|name| scratch.path(name));
        write(&a, "text").expect("written");
        assert_eq!(copy(&a, &b).expect("copied"), 4);
        hard_link(&a, &link).expect("linked");
        assert_eq!(metadata(&link).expect("metadata").nlink(), 2);
        rename(&b, &link).expect("renamed");
        assert!(!exists(&b).expect("told") && exists(&link).expect("told"));
        std::os::unix::fs::symlink(&a, &b).expect("a link");
        assert_eq!(read_link(&b).expect("a link"), a);
        assert!(symlink_metadata(&b).expect("metadata").is_symlink());
        assert_eq!(canonicalize(&b).expect("a path"), a.canonicalize().expect("a path"));
        set_permissions(&a, Permissions::from_mode(0o400)).expect("set");
        assert!(metadata(&a).expect("metadata").permissions().readonly());
        remove_file(&b).expect("removed");
        create_dir(scratch.path("d")).expect("made");
        create_dir_all(scratch.path("d/e/f")).expect("made");
        DirBuilder::new().mode(0o700).create(scratch.path("d/g")).expect("made");
        assert_eq!(metadata(scratch.path("d/g")).expect("metadata").mode() & 0o777, 0o700);
        remove_dir(scratch.path("d/e/f")).expect("removed");
        remove_dir_all(scratch.path("d")).expect("removed");
        let mut names: Vec<_> = read_dir(&scratch.0)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["a", "link"]);
    });
}

#[test]
fn a_directory_of_several_batches_is_listed_once_and_whole() {
    // Goal: nothing lost or twice at the seams. Method: all sizes around the batch.
    crate::run(|| {
        for size in [0, 1, 3, 4, 5, 8, 21] {
            let scratch = Scratch::new();
            for n in 0..size {
                write(scratch.path(&n.to_string()), "").expect("written");
            }
            let mut seen: Vec<usize> = Vec::new();
            for entry in read_dir(&scratch.0).expect("a directory") {
                let entry = entry.expect("an entry");
                assert!(entry.file_type().expect("a type").is_file());
                let metadata = entry.metadata().expect("metadata");
                assert_eq!((metadata.len(), metadata.ino()), (0, entry.ino()));
                assert_eq!(entry.path(), scratch.0.join(entry.file_name()));
                seen.push(entry.file_name().to_str().expect("text").parse().expect("a number"));
            }
            seen.sort();
            assert!(seen.into_iter().eq(0..size));
        }
    });
}

#[test]
fn errors_are_those_of_std() {
    // Goal: kinds and numbers come through. Method: one wrong call of each sort.
    crate::run(|| {
        let scratch = Scratch::new();
        let (missing, file) = (scratch.path("missing"), scratch.path("file"));
        write(&file, "x").expect("written");
        let kind = |result: io::Result<()>| result.expect_err("an error").kind();
        assert_eq!(kind(File::open(&missing).map(drop)), ErrorKind::NotFound);
        assert_eq!(kind(File::create_new(&file).map(drop)), ErrorKind::AlreadyExists);
        assert_eq!(kind(read(&scratch.0).map(drop)), ErrorKind::IsADirectory);
        assert_eq!(kind(read_dir(&file).map(drop)), ErrorKind::NotADirectory);
        assert_eq!(kind(remove_dir(&scratch.0)), ErrorKind::DirectoryNotEmpty);
        assert_eq!(kind(create_dir(&scratch.0)), ErrorKind::AlreadyExists);
        assert_eq!(kind(write(scratch.path("a\0b"), "")), ErrorKind::InvalidInput);
        let mut reader = File::open(&file).expect("open");
        let error = reader.write(b"y").expect_err("read only");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        let error = reader.seek(SeekFrom::Current(-5)).expect_err("before the start");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_NOFOLLOW).mode(0o600);
        std::os::unix::fs::symlink(&file, &missing).expect("a link");
        let error = options.open(&missing).expect_err("a link");
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    });
}

#[test]
fn a_cancelled_read_is_left_behind_and_leaks_nothing() {
    // Goal: soundness and no leak. Method: a file that blocks, a socket: cancel the reader, see
    // that the thread keeps the descriptor, let the read end, and see that it is closed.
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let file = File::from(OwnedFd::from(theirs));
    let inner = Arc::downgrade(&file.inner);
    crate::run(|| {
        let reader = crate::spawn(move || {
            let mut bytes = [7_u8; 32];
            (&file).read(&mut bytes)
        });
        yield_now();
        reader.cancel();
        assert!(reader.join().expect_err("cancelled").is::<Cancelled>());
        assert!(inner.upgrade().is_some(), "the thread reads still");
    });
    ours.write_all(b"late").expect("sent");
    ours.shutdown(std::net::Shutdown::Write).expect("shut down");
    // The end of the stream from the other side comes when the last owner has closed.
    assert_eq!(ours.read(&mut [0; 8]).expect("the end"), 0);
    assert!(inner.upgrade().is_none());
}

#[test]
fn a_read_in_a_deadline_scope_times_out_as_an_error() {
    // Goal: I/O does not unwind, and the file is usable after. Method: a file that blocks.
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let file = File::from(OwnedFd::from(theirs));
    crate::run(|| {
        let late = timeout(Duration::from_millis(1), || (&file).read(&mut [0; 8]));
        assert_eq!(late.expect("returned").expect_err("late").kind(), ErrorKind::TimedOut);
        // The read that was left behind takes the first bytes.
        ours.write_all(b"lost").expect("sent");
        while Arc::strong_count(&file.inner) > 1 {
            yield_now();
        }
        ours.write_all(b"kept").expect("sent");
        let mut bytes = [0; 4];
        (&file).read_exact(&mut bytes).expect("read");
        assert_eq!(&bytes, b"kept");
    });
}

#[test]
fn many_coroutines_use_files_at_once() {
    // Goal: more operations than threads, on one file and on many. Method: 200 coroutines, each
    // with a place in a common file and a file of its own.
    crate::run(|| {
        let scratch = Scratch::new();
        let common = File::create_new(scratch.path("common")).expect("made");
        crate::scope(|scope| {
            for n in 0..200_u64 {
                let (common, scratch) = (&common, &scratch);
                scope.spawn(move || {
                    common.write_all_at(&n.to_le_bytes(), n * 8).expect("written");
                    let own = scratch.path(&n.to_string());
                    write(&own, n.to_string()).expect("written");
                    assert_eq!(read_to_string(&own).expect("read"), n.to_string());
                });
            }
        });
        let all = read(scratch.path("common")).expect("read");
        let numbers = all.chunks(8).map(|part| u64::from_le_bytes(part.try_into().expect("8")));
        assert!(numbers.eq(0..200));
    });
}
