//! Spawning with a name, a stack of a given size, or a shared stack.

use super::JoinHandle;
use crate::scheduler::Scheduler;
use crate::scheduler::spawn::{RawHandle, SpawnOptions};
use std::io;

/// How to spawn a coroutine: [`std::thread::Builder`] with what coroutines have besides.
///
/// ```
/// cove::run(|| {
///     let coroutine = cove::task::Builder::new()
///         .name("parser")
///         .stack_bytes(1 << 20)
///         .spawn(|| cove::task::current().name().map(String::from))?;
///     assert_eq!(coroutine.join().unwrap().as_deref(), Some("parser"));
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "a builder spawns nothing until `spawn` is called"]
pub struct Builder {
    options: SpawnOptions,
}

impl Builder {
    /// The defaults: no name, a private stack of the runtime's size (128 KiB if not set).
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::task::Builder;
    /// assert_eq!(Builder::new().spawn(|| 6 * 7)?.join().unwrap(), 42);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    #[inline]
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the coroutine, for dumps, the overflow message and the stall watchdog.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::task::Builder;
    /// let coroutine = Builder::new().name("parser").spawn(|| ())?;
    /// assert_eq!(coroutine.task().name(), Some("parser"));
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn name(mut self, name: impl AsRef<str>) -> Builder {
        self.options.name = Some(name.as_ref().into());
        self
    }

    /// Sets the size of the private stack in bytes: 4 KiB to 1 GiB, rounded up to pages.
    ///
    /// Besides what its own functions need, a coroutine needs room to unwind: when it is cancelled,
    /// when a deadline ends its wait, when its runtime ends, when it panics. 8 KiB hold that and
    /// some small frames; less is for coroutines that end by themselves. A panic's message with a
    /// backtrace (`RUST_BACKTRACE=1`) takes 32 KiB.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::task::Builder;
    /// let coroutine = Builder::new().stack_bytes(1 << 20).spawn(|| [0_u8; 512 << 10].len())?;
    /// assert_eq!(coroutine.join().unwrap(), 512 << 10);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn stack_bytes(mut self, stack_bytes: usize) -> Builder {
        self.options.stack_bytes = Some(stack_bytes);
        self
    }

    /// Spawns the coroutine.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::task::Builder;
    /// assert_eq!(Builder::new().name("adder").spawn(|| 40 + 2)?.join().unwrap(), 42);
    /// let error = Builder::new().stack_bytes(2 << 30).spawn(|| ()).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a size out of range, else `OutOfMemory`; the message names the limit that
    /// was hit and how to raise it.
    ///
    /// # Panics
    /// Outside a runtime.
    #[inline]
    #[track_caller]
    pub fn spawn<F, T>(self, function: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        // SAFETY: closure and result are 'static, and the stack is a private one.
        let raw = unsafe { self.spawn_raw(false, function)? };
        // SAFETY: spawned with this result type.
        Ok(unsafe { JoinHandle::new(raw) })
    }

    /// Spawns the coroutine on one of the thread's shared stacks: while it waits and another
    /// coroutine uses the stack, its frames are kept aside in a buffer of their size. Ten million
    /// such coroutines fit into 4 GB. Each time two coroutines take turns on a stack, the frames of
    /// both are copied, so keep them small, and wait near the root.
    ///
    /// If there is no memory to keep the frames in, the coroutine unwinds from its wait, and `join`
    /// brings back [`Evicted`](super::Evicted).
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::task::Builder;
    /// let wait = || {
    ///     cove::task::yield_now();
    ///     "woken"
    /// };
    /// // SAFETY: it lends its locals to nobody, and waits in no other coroutine.
    /// let coroutine = unsafe { Builder::new().spawn_on_shared_stack(wait) }?;
    /// assert_eq!(coroutine.join().unwrap(), "woken");
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    ///
    /// # Panics
    /// Outside a runtime.
    ///
    /// # Safety
    /// While the coroutine waits, the addresses of its local variables hold somebody else's bytes.
    /// So nobody else may use a pointer or reference to them meanwhile:
    /// - it must not lend locals to other coroutines or threads over a wait: no
    ///   [`scope`](super::scope()) whose coroutines borrow from this one, no channel that carries
    ///   references to its locals;
    /// - it must not wait inside a [`Coroutine`](crate::coroutine::Coroutine) that it resumes.
    ///
    /// `Builder::check_shared_stacks` of the runtime makes a violation fault where it happens.
    pub unsafe fn spawn_on_shared_stack<F, T>(self, function: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        // SAFETY: closure and result are 'static; the caller vouches for what lies on the stack.
        let raw = unsafe { self.spawn_raw(true, function)? };
        // SAFETY: spawned with this result type.
        Ok(unsafe { JoinHandle::new(raw) })
    }

    /// # Safety
    /// As [`Scheduler::spawn`].
    #[inline]
    #[track_caller]
    pub(super) unsafe fn spawn_raw<F, T>(self, shared: bool, function: F) -> io::Result<RawHandle>
    where
        F: FnOnce() -> T,
    {
        let scheduler = Scheduler::current().expect("a coroutine is spawned outside a runtime");
        let options = SpawnOptions { shared, ..self.options };
        // SAFETY: as the caller says.
        unsafe { scheduler.spawn(options, function) }.map_err(io::Error::from)
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.options.name)
            .field("stack_bytes", &self.options.stack_bytes)
            .finish()
    }
}
