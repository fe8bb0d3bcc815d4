//! Files and directories.

use super::super::log::Log;
use super::fs;
use crate::support::Scratch;
use std::io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::time::{Duration, UNIX_EPOCH};

pub(crate) fn contents(log: &mut Log) {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    log.outcome(fs::write(&path, "hello"));
    log.outcome(fs::read_to_string(&path));
    log.outcome(fs::read(&path));
    let mut file = fs::File::options().read(true).write(true).open(&path).expect("a file");
    let mut buffer = [0; 4];
    log.outcome(file.read(&mut buffer));
    log.value(buffer);
    log.outcome(file.stream_position());
    log.outcome(file.seek(SeekFrom::End(-2)));
    log.outcome(file.read_exact(&mut buffer));
    log.outcome(file.seek(SeekFrom::Current(-9)));
    log.outcome(file.seek(SeekFrom::Start(10)));
    log.outcome(file.write(b"behind a hole"));
    log.outcome(file.flush());
    log.outcome(file.rewind());
    let (mut one, mut two) = ([0; 3], [0; 30]);
    log.outcome(file.read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)]));
    log.value((one, two));
    log.outcome(file.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")]));
    log.outcome(file.read_at(&mut buffer, 11));
    log.outcome(file.write_at(b"XY", 1));
    log.outcome(file.read_exact_at(&mut buffer, 26));
    log.outcome(file.set_len(3));
    log.outcome(file.metadata().map(|metadata| (metadata.len(), metadata.is_file())));
    log.outcome(file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)));
    log.outcome(file.metadata().and_then(|metadata| metadata.modified()));
    log.outcome(file.set_permissions(fs::Permissions::from_mode(0o640)));
    log.outcome(file.metadata().map(|metadata| metadata.permissions().mode()));
    log.outcome(file.sync_all());
    log.outcome(file.sync_data());
    let mut clone = file.try_clone().expect("a clone");
    log.outcome(clone.stream_position());
    log.outcome(file.seek(SeekFrom::Start(1)));
    let mut rest = String::new();
    log.outcome(clone.read_to_string(&mut rest));
    log.value(rest);

    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("a file");
    log.outcome(file.seek(SeekFrom::Start(0)));
    log.outcome(file.write_all(b" appended"));
    log.outcome(file.read(&mut buffer));
    log.outcome(fs::read_to_string(&path));
    log.outcome(fs::OpenOptions::new().write(true).truncate(true).open(&path).map(drop));
    log.outcome(fs::metadata(&path).map(|metadata| metadata.len()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    log.outcome(options.open(&path).map(drop));
    let made = options.open(scratch.path("made"));
    let made = made.and_then(|file| file.metadata());
    log.outcome(made.map(|metadata| metadata.permissions().mode()));
}

pub(crate) fn directories(log: &mut Log) {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path(name);
    log.outcome(fs::create_dir(path("d")));
    log.outcome(fs::create_dir(path("d")));
    log.outcome(fs::create_dir_all(path("d/e/f")));
    log.outcome(fs::create_dir_all(path("d/e/f")));
    log.outcome(fs::DirBuilder::new().recursive(true).create(path("d/g/h")));
    log.outcome(fs::write(path("d/file"), "x"));
    log.outcome(fs::copy(path("d/file"), path("d/copy")));
    log.outcome(fs::hard_link(path("d/file"), path("d/link")));
    log.outcome(fs::rename(path("d/copy"), path("d/renamed")));
    log.outcome(std::os::unix::fs::symlink("file", path("d/symbolic")));
    log.outcome(fs::read_link(path("d/symbolic")));
    let real = fs::canonicalize(path("d/symbolic")).expect("a path");
    log.value(real.file_name());
    log.outcome(fs::metadata(path("d/symbolic")).map(|metadata| metadata.is_file()));
    log.outcome(fs::symlink_metadata(path("d/symbolic")).map(|metadata| metadata.is_symlink()));
    let entries = fs::read_dir(path("d")).expect("a directory");
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in &entries {
        log.value((entry.file_name(), entry.path() == path("d").join(entry.file_name())));
        log.outcome(entry.file_type().map(|kind| (kind.is_dir(), kind.is_symlink())));
        log.outcome(entry.metadata().map(|metadata| metadata.is_symlink()));
    }
    log.outcome(fs::exists(path("d/file")));
    log.outcome(fs::remove_dir(path("d")));
    log.outcome(fs::remove_file(path("d/file")));
    log.outcome(fs::exists(path("d/symbolic")));
    log.outcome(fs::set_permissions(path("d/link"), fs::Permissions::from_mode(0o400)));
    log.outcome(fs::metadata(path("d/link")).map(|metadata| metadata.permissions().readonly()));
    log.outcome(fs::remove_dir(path("d/g/h")));
    log.outcome(fs::remove_dir_all(path("d")));
    log.outcome(fs::exists(path("d")));
}

pub(crate) fn errors(log: &mut Log) {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path(name);
    fs::write(path("file"), b"\xff").expect("written");
    for name in ["missing", "file/below", "zero\0byte"] {
        log.outcome(fs::File::open(path(name)).map(drop));
        log.outcome(fs::read(path(name)));
        log.outcome(fs::metadata(path(name)).map(drop));
        log.outcome(fs::symlink_metadata(path(name)).map(drop));
        log.outcome(fs::read_dir(path(name)).map(drop));
        log.outcome(fs::remove_file(path(name)));
        log.outcome(fs::remove_dir(path(name)));
        log.outcome(fs::remove_dir_all(path(name)));
        log.outcome(fs::rename(path(name), path("other")));
        log.outcome(fs::copy(path(name), path("other")));
        log.outcome(fs::hard_link(path(name), path("other")));
        log.outcome(fs::canonicalize(path(name)));
        log.outcome(fs::read_link(path(name)));
        log.outcome(fs::exists(path(name)));
        log.outcome(fs::create_dir(path(name).join("below")));
    }
    log.outcome(fs::read_to_string(path("file")));
    log.outcome(fs::read_dir(path("file")).map(drop));
    log.outcome(fs::read_link(path("file")));
    log.outcome(fs::create_dir(path("file")));
    log.outcome(fs::create_dir_all(path("file/below")));
    log.outcome(fs::remove_dir(path("file")));
    log.outcome(fs::File::create_new(path("file")).map(drop));
    log.outcome(fs::File::create(scratch.root()).map(drop));
    log.outcome(fs::read(scratch.root()));
    log.outcome(fs::copy(scratch.root(), path("other")));
    log.outcome(fs::OpenOptions::new().open(path("file")).map(drop));
    log.outcome(fs::OpenOptions::new().read(true).create_new(true).open(path("new")).map(drop));
    let mut file = fs::File::open(path("file")).expect("a file");
    log.outcome(file.write(b"read-only"));
    log.outcome(file.set_len(0));
}
