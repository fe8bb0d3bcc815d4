//! libc's own entry points, past any hook.
//!
//! A program may replace libc's names (`cove::interpose!()`, `LD_PRELOAD`), and the replacements
//! end up here again when they need the real call. Linking against `read` would find the
//! replacement; so each entry point is looked up once with `dlsym(RTLD_NEXT, ..)`, which finds the
//! next definition after the object that this code is part of, and kept in an atomic:
//!
//! ```text
//! ENTRY --> first_call: looks up, stores, calls       (until the first call)
//! ENTRY --> read in libc.so.6                         (ever after)
//! ```
//!
//! So a call costs one relaxed load and an indirect call, with no branch. Relaxed suffices: the
//! pointer leads to code, which was mapped before any thread could look it up, and every thread
//! stores the same one.
//!
//! Where there is nothing to find (a statically linked program has no "next" object), the linked
//! symbol is used.
//!
//! dlsym may allocate and take the loader's lock. [`resolve_all`] gets that over with before the
//! first coroutine with a small stack, or the first hook inside malloc's lock, comes along.
//!
//! The functions have libc's signatures and conventions: `-1` and errno, and EINTR is the caller's.

use libc::{
    c_int, c_void, epoll_event, iovec, msghdr, nfds_t, pollfd, sigset_t, size_t, sockaddr,
    socklen_t, ssize_t, timespec,
};
use std::mem;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Declares the entry points: for each, the function, its slot, and its row in [`resolve_all`].
macro_rules! entry_points {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty, linked $linked:path;)*) => {
        $(
            #[doc = concat!("libc's own `", stringify!($name), "`.")]
            ///
            /// # Safety
            /// As the manual page says: pointers lead to memory of the size and kind that it names.
            #[inline]
            pub(crate) unsafe fn $name($($argument: $type),*) -> $result {
                type Entry = unsafe extern "C" fn($($type),*) -> $result;
                let entry = slot::$name.load(Ordering::Relaxed);
                // SAFETY: the slot only ever holds functions of this very signature:
                // `first_call::$name`, libc's function of that name, or the linked one.
                let entry = unsafe { mem::transmute::<*mut c_void, Entry>(entry) };
                // SAFETY: the caller vouches for the arguments, as the manual page asks.
                unsafe { entry($($argument),*) }
            }
        )*

        /// Where each entry point was found; until then, its `first_call`.
        #[allow(non_upper_case_globals, reason = "a slot has the name of its function")]
        mod slot {
            use super::{first_call, AtomicPtr, c_void};
            $(pub(super) static $name: AtomicPtr<c_void> =
                AtomicPtr::new(first_call::$name as *mut c_void);)*
        }

        /// What the slots hold before the first call.
        mod first_call {
            use super::{
                c_int, c_void, epoll_event, iovec, msghdr, nfds_t, pollfd, resolve, sigset_t,
                size_t, slot, sockaddr, socklen_t, ssize_t, timespec,
            };
            $(pub(super) unsafe extern "C" fn $name($($argument: $type),*) -> $result {
                resolve(concat!(stringify!($name), "\0"), &slot::$name, $linked as *mut c_void);
                // SAFETY: libc's caller vouches for the arguments, as the manual page asks; they go
                // on unchanged.
                unsafe { super::$name($($argument),*) }
            })*
        }

        /// Looks every entry point up now, so that no later call enters the dynamic loader.
        pub(crate) fn resolve_all() {
            $(resolve(concat!(stringify!($name), "\0"), &slot::$name, $linked as *mut c_void);)*
        }

        #[cfg(test)]
        static SLOTS: &[(&str, &AtomicPtr<c_void>)] = &[$((stringify!($name), &slot::$name)),*];
    };
}

entry_points! {
    read(fd: c_int, buffer: *mut c_void, bytes: size_t) -> ssize_t, linked libc::read;
    write(fd: c_int, buffer: *const c_void, bytes: size_t) -> ssize_t, linked libc::write;
    readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t, linked libc::readv;
    writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t, linked libc::writev;
    recv(fd: c_int, buffer: *mut c_void, bytes: size_t, flags: c_int) -> ssize_t,
        linked libc::recv;
    send(fd: c_int, buffer: *const c_void, bytes: size_t, flags: c_int) -> ssize_t,
        linked libc::send;
    recvfrom(fd: c_int, buffer: *mut c_void, bytes: size_t, flags: c_int, address: *mut sockaddr,
        address_bytes: *mut socklen_t) -> ssize_t, linked libc::recvfrom;
    sendto(fd: c_int, buffer: *const c_void, bytes: size_t, flags: c_int,
        address: *const sockaddr, address_bytes: socklen_t) -> ssize_t, linked libc::sendto;
    recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t, linked libc::recvmsg;
    sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t, linked libc::sendmsg;
    accept4(fd: c_int, address: *mut sockaddr, address_bytes: *mut socklen_t, flags: c_int)
        -> c_int, linked libc::accept4;
    connect(fd: c_int, address: *const sockaddr, address_bytes: socklen_t) -> c_int,
        linked libc::connect;
    close(fd: c_int) -> c_int, linked libc::close;
    poll(fds: *mut pollfd, count: nfds_t, timeout_ms: c_int) -> c_int, linked libc::poll;
    epoll_wait(fd: c_int, events: *mut epoll_event, events_max: c_int, timeout_ms: c_int)
        -> c_int, linked libc::epoll_wait;
    epoll_pwait2(fd: c_int, events: *mut epoll_event, events_max: c_int,
        timeout: *const timespec, mask: *const sigset_t) -> c_int,
        linked crate::sys::real::epoll_pwait2_by_number;
    nanosleep(duration: *const timespec, remaining: *mut timespec) -> c_int,
        linked libc::nanosleep;
    clock_nanosleep(clock: libc::clockid_t, flags: c_int, duration: *const timespec,
        remaining: *mut timespec) -> c_int, linked libc::clock_nanosleep;
}

/// Finds `name` (which ends in a zero byte) after the object that this code is part of.
#[cold]
fn resolve(name: &'static str, slot: &AtomicPtr<c_void>, linked: *mut c_void) {
    assert!(name.ends_with('\0'), "dlsym(3) wants a C string");
    // SAFETY: `name` ends in a zero byte, as just asserted; RTLD_NEXT is a pseudo-handle.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast()) };
    let entry = if found.is_null() { linked } else { found };
    assert!(!entry.is_null(), "a linked function has an address");
    slot.store(entry, Ordering::Relaxed);
}

/// `epoll_pwait2` for a libc without it: glibc has it since 2.35, and linking its name would bind
/// the whole program to that version.
///
/// # Safety
/// As the manual page says.
unsafe extern "C" fn epoll_pwait2_by_number(
    fd: c_int,
    events: *mut epoll_event,
    events_max: c_int,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    /// What the kernel takes a signal set to be: 64 signals, on both architectures.
    const KERNEL_SIGSET_BYTES: size_t = 8;
    let number = libc::SYS_epoll_pwait2;
    // SAFETY: the caller vouches for the arguments. The first bytes of libc's signal set are the
    // kernel's. The result of this call is -1 or a count that fits an int.
    unsafe {
        libc::syscall(number, fd, events, events_max, timeout, mask, KERNEL_SIGSET_BYTES) as c_int
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::ptr;

    const NO_WAIT: timespec = timespec { tv_sec: 0, tv_nsec: 0 };

    fn errno() -> i32 {
        io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }

    #[test]
    fn every_entry_point_is_found_and_stays() {
        // Goal: each slot leads to a function other than its first_call, and looking it up again
        // finds the same. Method: resolve twice. No hook is linked into this test, so libc's linked
        // symbols are the answer.
        resolve_all();
        let first: Vec<_> = SLOTS.iter().map(|(_, slot)| slot.load(Ordering::Relaxed)).collect();
        assert_eq!(first.len(), 18);
        assert!(first.iter().all(|entry| !entry.is_null()));
        assert_ne!(slot::read.load(Ordering::Relaxed), first_call::read as *mut c_void);
        let distinct: std::collections::BTreeSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), first.len());
        resolve_all();
        let second: Vec<_> = SLOTS.iter().map(|(_, slot)| slot.load(Ordering::Relaxed)).collect();
        assert_eq!(first, second);
    }

    #[test]
    fn unknown_name_falls_back_to_the_linked_function() {
        // Goal: a static program works too. Method: look up a name that nothing defines.
        let slot = AtomicPtr::new(ptr::null_mut());
        resolve("cove_no_such_function\0", &slot, libc::close as *mut c_void);
        assert_eq!(slot.load(Ordering::Relaxed), libc::close as *mut c_void);
    }

    #[test]
    fn stream_calls_move_bytes() {
        // Goal: read, write and their families work. Method: one byte through a socket pair by each
        // pair.
        let (near, far) = UnixStream::pair().expect("a socket pair");
        let (near, far) = (near.as_raw_fd(), far.as_raw_fd());
        let mut byte = 0_u8;
        let at: *mut c_void = (&raw mut byte).cast();
        let part = iovec { iov_base: at, iov_len: 1 };
        // SAFETY: zeroes are a valid msghdr; its fields differ between libc's, so no literal.
        let mut message: msghdr = unsafe { mem::zeroed() };
        message.msg_iov = (&raw const part).cast_mut();
        message.msg_iovlen = 1;
        // SAFETY: `at`, `part` and `message` lead to `byte`, which lives through the calls.
        unsafe {
            assert_eq!((write(near, at, 1), read(far, at, 1)), (1, 1));
            assert_eq!((writev(near, &part, 1), readv(far, &part, 1)), (1, 1));
            assert_eq!((send(near, at, 1, 0), recv(far, at, 1, 0)), (1, 1));
            assert_eq!(sendto(near, at, 1, 0, ptr::null(), 0), 1);
            assert_eq!(recvfrom(far, at, 1, 0, ptr::null_mut(), ptr::null_mut()), 1);
            assert_eq!((sendmsg(near, &message, 0), recvmsg(far, &mut message, 0)), (1, 1));
        }
    }

    #[test]
    fn connections_are_made_and_closed() {
        // Goal: connect, accept4, close. Method: a loopback connection, its end closed twice.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let client = UdpSocket::bind("127.0.0.1:0").expect("a datagram socket");
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
            sin_zero: [0; 8],
        };
        let stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        // SAFETY: `address` is readable for its size; accept4 is told of no place for one; the
        // accepted descriptor belongs to this test alone.
        unsafe {
            let bytes = size_of_val(&address) as socklen_t;
            assert_eq!(connect(client.as_raw_fd(), (&raw const address).cast(), bytes), 0);
            let accepted =
                accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), libc::SOCK_CLOEXEC);
            assert!(accepted >= 0);
            assert_eq!(close(accepted), 0);
        }
        drop(stream);
        // SAFETY: -1 is never open.
        assert_eq!((unsafe { close(-1) }, errno()), (-1, libc::EBADF));
    }

    #[test]
    fn waiting_calls_wait() {
        // Goal: poll, both epoll waits and both sleeps. Method: nothing is ready and no time
        // passes. SAFETY: the pointers are null where the manual pages allow it, or lead to locals;
        // the epoll instance belongs to this test alone.
        unsafe {
            let mut event: epoll_event = mem::zeroed();
            let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            assert_eq!(poll(ptr::null_mut(), 0, 0), 0);
            assert_eq!(epoll_wait(epoll, &mut event, 1, 0), 0);
            let found = epoll_pwait2(epoll, &mut event, 1, &NO_WAIT, ptr::null());
            assert!(found == 0 || errno() == libc::ENOSYS);
            let linked = epoll_pwait2_by_number(epoll, &mut event, 1, &NO_WAIT, ptr::null());
            assert!(linked == 0 || errno() == libc::ENOSYS);
            assert_eq!(close(epoll), 0);
            assert_eq!(nanosleep(&NO_WAIT, ptr::null_mut()), 0);
            assert_eq!(clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &NO_WAIT, ptr::null_mut()), 0);
        }
    }
}
