//! Stackful coroutines for Linux: **write blocking code; run a million of it.**
//!
//! A coroutine is a function with a stack of its own. It may wait anywhere, at any depth, inside
//! any function that it calls, and while it waits the thread runs another one. So a server can be
//! written as one coroutine per connection, in plain blocking style, and serve a hundred thousand
//! connections on one thread.
//!
//! ```
//! use cove::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! cove::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     cove::spawn(move || -> std::io::Result<()> {
//!         for client in listener.incoming() {
//!             let mut client = client?;
//!             cove::spawn(move || {
//!                 let mut buffer = [0; 1024];
//!                 while let Ok(count @ 1..) = client.read(&mut buffer) {
//!                     client.write_all(&buffer[..count]).unwrap();
//!                 }
//!             });
//!         }
//!         Ok(())
//!     });
//!     let mut stream = TcpStream::connect(address)?;
//!     stream.write_all(b"echo")?;
//!     let mut answer = [0; 4];
//!     stream.read_exact(&mut answer)?;
//!     assert_eq!(&answer, b"echo");
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Coming from threads
//! The names and the behaviour are std's: change the imports, and most of a program of threads is a
//! program of coroutines. What else must change is listed below.
//!
//! | std | here |
//! |---|---|
//! | `std::thread::{spawn, scope, Builder, park, yield_now}` | [`spawn`], [`scope`], [`task`] |
//! | `std::net`, `std::os::unix::net` | [`net`] |
//! | `std::sync`, `std::sync::mpsc` | [`sync`], [`sync::mpsc`] |
//! | `std::thread::sleep` | [`time::sleep`] |
//! | `std::fs` | [`fs`] |
//! | `thread_local!` | [`coroutine_local!`] |
//!
//! What is different, because a coroutine stays on the thread that started it, can be
//! [cancelled](JoinHandle::cancel), and any code can be given a [time-out](time::timeout) from
//! outside:
//!
//! - **Spawning**: neither closure nor result need be `Send`. In return a [`JoinHandle`] stays on
//!   its thread; [`RuntimeHandle::spawn_on`] has one that does not. Outside a runtime [`spawn`]
//!   panics. `stack_size` is called [`stack_bytes`](task::Builder::stack_bytes), and `thread()` of
//!   a handle [`task()`](JoinHandle::task). `std::thread::current` still tells of the thread, which
//!   all of its coroutines share.
//! - **The end**: what is left when [`run`] returns is cancelled and unwound, where threads would
//!   just be gone.
//! - **[`net`]**: sockets are `Send`, but not `Sync`. What was an `Arc<TcpStream>` is an `Rc` for
//!   the coroutines of one thread, and a `try_clone` for another thread; it cannot be a `static`.
//!   What `set_nonblocking` and the time-outs are set to does not reach clones made before. Inside
//!   a deadline scope a wait ends with an error of kind `TimedOut`.
//! - **[`fs`]**: one read or write moves a mebibyte at most, and an operation that was cancelled or
//!   timed out may still take effect. A [`File`](fs::File) can be made from std's or from an
//!   `OwnedFd`, but not turned into one.
//! - **[`sync`]**: waits for locks, channels and conditions can unwind, when they are cancelled or
//!   time out; a lock that is held meanwhile is poisoned as by a panic.
//! - **What has no counterpart here** (child processes, standard input, `std::net` inside other
//!   crates) blocks the thread: see the next section.
//!
//! # What blocks and what yields
//! Everything in this crate that waits lets other coroutines run. Whatever blocks the *thread*
//! stops them all: `std::thread::sleep`, a read from a `std::net` socket, a long computation. Three
//! ways out: use this crate's counterpart; give it to the pool of threads by [`task::blocking`]; in
//! a computation, call [`task::yield_now`] now and then.
//!
//! # Choosing a stack
//! **Private** stacks are the default: 128 KiB of address space, of which only touched pages take
//! memory, 4 KiB for most coroutines that wait. Their guard pages turn an overflow into a message
//! with the coroutine's name and an abort. Choose a size with [`task::Builder::stack_bytes`]: a
//! recursive parser may want a megabyte, and nothing is lost by giving it one. The
//! [high-water mark](task::dump) tells what was used.
//!
//! **Shared** stacks are for millions of coroutines that mostly wait: a few stacks per thread, and
//! of each waiting coroutine only the bytes that it has on its stack are kept, some 300 bytes in
//! all. Each time two coroutines take turns on a stack their frames are copied. Because addresses
//! of locals mean something else while the coroutine waits,
//! [spawning on one](task::Builder::spawn_on_shared_stack) is `unsafe`, with a mode that catches
//! mistakes ([`Builder::check_shared_stacks`]).
//!
//! # Cancelling
//! [`JoinHandle::cancel`] makes the present wait of a coroutine, and every later one, unwind:
//! destructors run, locks are released, descriptors are closed, and `join` returns an error that
//! holds [`task::Cancelled`]. It is the panic machinery, past the panic hook; so a `panic =
//! "abort"` build cannot cancel. Dropping a [`Runtime`] cancels whatever is left.
//!
//! # Many cores
//! One scheduler per thread, and coroutines never move. [`Builder::workers`] starts several;
//! [`RuntimeHandle::spawn_on`] starts a coroutine on a given one, [`RuntimeHandle::spawn`] on
//! whichever is idle first. A server listens on each with
//! [`TcpListener::bind_reuse_port`](net::TcpListener::bind_reuse_port). Channels, locks and
//! everything else in [`sync`] work across threads.
//!
//! # Pitfalls
//! - **A `std::sync::Mutex` held across a wait** stops the thread for ever as soon as a second
//!   coroutine of the thread locks it. Use [`sync::Mutex`], or do not wait while it is held. The
//!   same goes for a `RefCell`: a borrow held across a wait makes the next one panic.
//! - **Thread-locals** are shared by the coroutines of a thread: what one of them puts there
//!   another one sees; [`coroutine_local!`] is each coroutine's own.
//! - **A `thread_local!` lent across a suspend, by a coroutine that is itself kept in a
//!   `thread_local!`**, is a use after free that safe code can write: a known hole of stackful
//!   coroutines with std's thread-locals, which none of them can close. `LocalKey::with`
//!   promises that the reference does not outlive the thread, because its closure returns before; a
//!   [`Coroutine`](coroutine::Coroutine) or [`Runtime`] that is suspended inside the closure, and
//!   dropped by a destructor of the thread's end, goes on with the closure when the variable may
//!   have been destroyed. Stay out of it by either half: keep coroutines and runtimes in variables,
//!   not in thread-locals; or do not suspend or wait inside `with` (take a copy or an `Rc` out of
//!   it). Inside a runtime, a [`coroutine_local!`] lasts as long as it is lent.
//! - **Recursion without a bound** overflows 128 KiB sooner than 8 MiB.
//! - **Destructors that wait** while their coroutine unwinds keep the thread to themselves. What
//!   only another coroutine of the thread can give (a [`sync::Mutex`] that one of them holds over a
//!   sleep, the end of one) never comes then, and the program hangs: when a coroutine is cancelled,
//!   and so also when [`run`] returns while others are parked. After five seconds stderr is told
//!   which coroutine it is and what it waits for. See [`task`].
//! - **After `fork`** only the coroutine that forked goes on in the child; see [`Runtime`].
//!
//! # Looking inside
//! [`task::dump`] lists every coroutine with its state, what it waits for and its backtrace;
//! [`metrics`] counts; `ARCHITECTURE.md` tells how the parts fit.
//!
//! gdb sees the coroutines of a live process or a core file with the script
//! `src/inspect/gdb/cove_gdb.py`, which lies in the crate's folder:
//!
//! ```text
//! (gdb) source src/inspect/gdb/cove_gdb.py
//! (gdb) cove list                  all coroutines: id, state, wait, name, function
//! (gdb) cove bt 17                 the frames of coroutine 17; `cove bt all`: of every one
//! ```

pub mod coroutine;
pub mod fs;
pub mod local;
pub mod net;
pub mod signal;
pub mod sync;
pub mod task;
pub mod time;

mod arch;
mod inspect;
mod list;
mod primitive;
mod reactor;
mod runtime;
mod scheduler;
mod stack;
mod sys;
mod timer;

pub use inspect::{Metrics, Stall, metrics};
pub use runtime::{
    Builder, RemoteJoinHandle, Runtime, RuntimeHandle, ShutdownError, run, runtime_handle,
};
pub use stack::{Guard, StackError};
pub use task::{JoinHandle, scope, spawn};

/// The example in the README is compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
