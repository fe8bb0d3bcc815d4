//! The same program against std, on a thread, and against this crate, in a runtime: each step notes
//! what came of it, and the two transcripts must be equal, down to the texts of the errors.
//!
//! The programs are compiled twice, each time with other modules of the same names around them.

mod log;

#[path = "."]
mod of_std {
    use std::os::unix::net as unix;
    use std::{fs, net, sync, thread};

    pub(super) mod datagrams;
    pub(super) mod files;
    pub(super) mod locks;
    pub(super) mod queues;
    pub(super) mod streams;
}

#[path = "."]
#[allow(clippy::duplicate_mod, reason = "one program against two libraries")]
mod of_cove {
    use cove::net::unix;
    use cove::{fs, net, sync, task as thread};

    pub(super) mod datagrams;
    pub(super) mod files;
    pub(super) mod locks;
    pub(super) mod queues;
    pub(super) mod streams;
}

use log::Log;

/// Runs both programs; the first difference is what the test says.
#[track_caller]
fn compare(of_std: impl FnOnce(&mut Log), of_cove: impl FnOnce(&mut Log)) {
    let (mut expected, mut found) = (Log::default(), Log::default());
    of_std(&mut expected);
    cove::run(|| of_cove(&mut found));
    expected.assert_same(&found);
}

#[test]
fn tcp_options_and_addresses() {
    // Goal: setters, getters and addresses. Method: a pair over loopback, each option set and read.
    if crate::child::is_emulated() {
        return println!("skipped: qemu-user does not tell what time-outs a socket has");
    }
    compare(of_std::streams::options, of_cove::streams::options);
}

#[test]
fn tcp_transfers_and_ends() {
    // Goal: reads, writes, peeks, shutdowns and what follows them. Method: a peer that is joined
    // before its effect is looked at.
    compare(of_std::streams::transfers, of_cove::streams::transfers);
}

#[test]
fn tcp_errors() {
    // Goal: kinds, numbers and texts of errors. Method: refused, used, wrong and missing addresses,
    // time-outs of zero.
    compare(of_std::streams::errors, of_cove::streams::errors);
}

#[test]
fn tcp_modes() {
    // Goal: time-outs and non-blocking mode. Method: nobody sends.
    compare(of_std::streams::modes, of_cove::streams::modes);
}

#[test]
fn unix_streams() {
    // Goal: pairs, paths, abstract names. Method: both ends in turn.
    compare(of_std::streams::unix_streams, of_cove::streams::unix_streams);
}

#[test]
fn udp_sockets() {
    // Goal: datagrams, connecting, peeking, truncation. Method: two sockets on loopback.
    if crate::child::is_emulated() {
        return println!("skipped: qemu-user does not tell what time-outs a socket has");
    }
    compare(of_std::datagrams::udp, of_cove::datagrams::udp);
}

#[test]
fn udp_options() {
    // Goal: broadcast and multicast. Method: each option set and read, groups joined and left.
    compare(of_std::datagrams::udp_options, of_cove::datagrams::udp_options);
}

#[test]
fn unix_datagrams() {
    // Goal: pairs, paths, abstract names, senders. Method: both ends in turn.
    compare(of_std::datagrams::unix_datagrams, of_cove::datagrams::unix_datagrams);
}

#[test]
fn files_and_directories() {
    // Goal: std's results of every function. Method: one directory each, walked through.
    compare(of_std::files::contents, of_cove::files::contents);
    compare(of_std::files::directories, of_cove::files::directories);
}

#[test]
fn file_errors() {
    // Goal: kinds, numbers and texts of errors. Method: every function on what it cannot work on.
    compare(of_std::files::errors, of_cove::files::errors);
}

#[test]
fn channels() {
    // Goal: results and errors of every operation. Method: each state of a channel in turn.
    compare(of_std::queues::states, of_cove::queues::states);
    compare(of_std::queues::transfers, of_cove::queues::transfers);
}

#[test]
fn poisoning() {
    // Goal: who is poisoned when, and what every method says then. Method: panics that are joined.
    compare(of_std::locks::mutex, of_cove::locks::mutex);
    compare(of_std::locks::rwlock, of_cove::locks::rwlock);
}

#[test]
fn once_and_its_kin() {
    // Goal: Once, OnceLock, LazyLock with panics between. Method: every state in turn.
    compare(of_std::locks::once, of_cove::locks::once);
    compare(of_std::locks::lazy, of_cove::locks::lazy);
}

#[test]
fn condvars_and_barriers() {
    // Goal: results of waits. Method: time-outs of zero, conditions that hold, leaders counted.
    compare(of_std::locks::waits, of_cove::locks::waits);
}
