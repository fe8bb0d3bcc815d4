//! What can be set about a runtime, and whether it makes sense.

use super::workers::{self, Threads};
use super::{Crew, Runtime};
use crate::inspect::watchdog::{self, StallConfig};
use crate::inspect::{Stall, on_signal};
use crate::scheduler::pool::{self, PoolLimits};
use crate::scheduler::{Scheduler, SchedulerConfig};
use crate::signal::Signal;
use crate::stack::{self, Guard, STACK_BYTES_MAX, StackConfig};
use crate::sys::thread::CpuSet;
use std::io;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

/// More workers than any machine has processors.
const WORKERS_MAX: usize = 1024;

/// More shared stacks of a worker gain nothing: their use is to be few.
const SHARED_STACKS_MAX: usize = 1 << 16;

/// How to set up a [`Runtime`].
///
/// ```
/// let runtime = cove::Builder::new().stack_bytes(64 << 10).workers(2).build()?;
/// assert_eq!(runtime.run(|| cove::runtime_handle().workers()), 2);
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// Values out of range are errors of [`build`](Builder::build).
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing until `build` is called"]
pub struct Builder {
    pub(super) scheduler: SchedulerConfig,
    /// Only if something about the stacks was set.
    pub(super) stacks: Option<StackConfig>,
    pub(super) workers: usize,
    pub(super) worker_name: Arc<str>,
    pub(super) pin_workers: bool,
    blocking: Option<PoolLimits>,
    dump_signal: Option<Signal>,
    stalls: Option<StallConfig>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// The defaults: one worker, stacks of 128 KiB with the best guards that the kernel has.
    ///
    /// ```
    /// let runtime = cove::Builder::new().build()?;
    /// assert_eq!(runtime.handle().workers(), 1);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn new() -> Builder {
        Builder {
            scheduler: SchedulerConfig::default(),
            stacks: None,
            workers: 1,
            worker_name: "cove-worker".into(),
            pin_workers: false,
            blocking: None,
            dump_signal: None,
            stalls: None,
        }
    }

    /// Sets the size in bytes of a coroutine's private stack where the spawn does not: 4 KiB to
    /// 1 GiB, rounded up to pages. Default: 128 KiB. Memory is taken only as far as a stack has
    /// been used. Coroutines that may have to unwind need 8 KiB; see
    /// [`task::Builder::stack_bytes`](crate::task::Builder::stack_bytes).
    ///
    /// ```
    /// let runtime = cove::Builder::new().stack_bytes(1 << 20).build()?;
    /// runtime.run(|| cove::spawn(|| [0_u8; 512 << 10].len()).join()).unwrap();
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn stack_bytes(mut self, stack_bytes: usize) -> Builder {
        self.scheduler.stack_bytes = stack_bytes;
        self
    }

    /// Sets the kind of guard below each private stack. Default: the best that the kernel has. The
    /// environment variable `COVE_GUARD` (`install`, `protect`, `canary`) wins over this.
    ///
    /// ```
    /// let runtime = cove::Builder::new().stack_guard(cove::Guard::Canary).build()?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn stack_guard(mut self, guard: Guard) -> Builder {
        self.stacks.get_or_insert_default().guard = Some(guard);
        self
    }

    /// Sets how much resident memory the unused stacks of one size may hold for reuse, per worker,
    /// in bytes. What they hold above it goes back to the system when it has not been used for the
    /// time set by [`stack_decay`](Self::stack_decay). Default: 64 MiB.
    ///
    /// ```
    /// let runtime = cove::Builder::new().stack_watermark_bytes(1 << 20).build()?;
    /// runtime.run(|| (0..1000).for_each(|_| drop(cove::spawn(|| ()))));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn stack_watermark_bytes(mut self, watermark_bytes: usize) -> Builder {
        self.stacks.get_or_insert_default().watermark_bytes = watermark_bytes;
        self
    }

    /// Sets how long unused stacks may hold more memory than
    /// [`stack_watermark_bytes`](Self::stack_watermark_bytes): a crowd that comes again within this
    /// time finds its stacks as it left them. Zero gives memory back at once, a few stacks at a
    /// time, which costs more processor time. Default: 10 s.
    ///
    /// ```
    /// use std::time::Duration;
    /// let runtime = cove::Builder::new().stack_decay(Duration::from_millis(100)).build()?;
    /// runtime.run(|| (0..1000).for_each(|_| drop(cove::spawn(|| ()))));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn stack_decay(mut self, time: Duration) -> Builder {
        let decay_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.stacks.get_or_insert_default().decay_ns = decay_ns;
        self
    }

    /// Sets how many stacks each worker has for coroutines that share one
    /// ([`spawn_on_shared_stack`](crate::task::Builder::spawn_on_shared_stack)), 1 to 65,536.
    /// Default: 4.
    ///
    /// ```
    /// let runtime = cove::Builder::new().shared_stacks(16).build()?;
    /// assert!(cove::Builder::new().shared_stacks(0).build().is_err());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn shared_stacks(mut self, shared_stacks: usize) -> Builder {
        self.scheduler.shared_stacks = shared_stacks;
        self
    }

    /// Sets the size of each shared stack in bytes, up to 1 GiB. Default: 256 KiB.
    ///
    /// ```
    /// let runtime = cove::Builder::new().shared_stack_bytes(1 << 20).build()?;
    /// assert!(cove::Builder::new().shared_stack_bytes(2 << 30).build().is_err());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn shared_stack_bytes(mut self, shared_stack_bytes: usize) -> Builder {
        self.scheduler.shared_stack_bytes = shared_stack_bytes;
        self
    }

    /// Gives each coroutine on a shared stack one of its own, inaccessible while it does not run,
    /// so that using a pointer into a stack that would have been swapped out faults there and then.
    /// For tests; slow. The environment variable `COVE_CHECK_SHARED=1` does the same.
    ///
    /// ```
    /// let runtime = cove::Builder::new().check_shared_stacks(true).build()?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn check_shared_stacks(mut self, check: bool) -> Builder {
        self.scheduler.check_shared_stacks = check;
        self
    }

    /// Sets the number of workers, 1 to 1024: threads with coroutines of their own. The first is
    /// the thread that calls [`Runtime::run`]. Default: 1.
    ///
    /// ```
    /// let cores = std::thread::available_parallelism()?.get();
    /// let runtime = cove::Builder::new().workers(cores).build()?;
    /// assert_eq!(runtime.handle().workers(), cores);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers;
        self
    }

    /// Names the threads of the workers: `NAME-1` for the second worker, and so on (the kernel
    /// keeps 15 bytes). Default: `cove-worker`. The first worker's thread keeps its name.
    ///
    /// ```
    /// let runtime = cove::Builder::new().workers(2).worker_name("web").build()?;
    /// let name = || std::thread::current().name().map(String::from);
    /// assert_eq!(runtime.handle().spawn_on(1, name).join().unwrap().as_deref(), Some("web-1"));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn worker_name(mut self, name: impl AsRef<str>) -> Builder {
        self.worker_name = name.as_ref().into();
        self
    }

    /// Keeps each worker on one processor: the first worker on the first that this thread may use,
    /// and so on, round and round if there are more workers. Threads that a coroutine starts
    /// inherit its worker's processor (those for blocking work do not). Default: no.
    ///
    /// ```
    /// let runtime = cove::Builder::new().workers(2).pin_workers(true).build()?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn pin_workers(mut self, pin: bool) -> Builder {
        self.pin_workers = pin;
        self
    }

    /// Sets how many threads may do blocking work at a time, at least 1. All runtimes of the
    /// process share them, and the last setting counts. Default: four for each processor, and 8 at
    /// least.
    ///
    /// ```
    /// let runtime = cove::Builder::new().blocking_threads_max(32).build()?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn blocking_threads_max(mut self, threads_max: usize) -> Builder {
        self.blocking.get_or_insert_default().threads_max = threads_max;
        self
    }

    /// Sets how many jobs may wait for a thread for blocking work, at least 1. Once there are so
    /// many, a coroutine that brings another one waits for room. Shared as
    /// [`blocking_threads_max`](Self::blocking_threads_max) is. Default: 65,536.
    ///
    /// ```
    /// let runtime = cove::Builder::new().blocking_queue_max(1000).build()?;
    /// assert!(cove::Builder::new().blocking_queue_max(0).build().is_err());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn blocking_queue_max(mut self, queue_max: usize) -> Builder {
        self.blocking.get_or_insert_default().queue_max = queue_max;
        self
    }

    /// Sets after how long an idle thread for blocking work ends. Shared as
    /// [`blocking_threads_max`](Self::blocking_threads_max) is. Default: 10 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = cove::Builder::new().blocking_idle(Duration::from_secs(60)).build()?;
    /// assert_eq!(runtime.run(|| cove::task::blocking(|| 6 * 7)), 42);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn blocking_idle(mut self, idle: Duration) -> Builder {
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        self.blocking.get_or_insert_default().idle_ms = idle_ms;
        self
    }

    /// Has every worker print a [`dump`](crate::task::dump()) to standard error whenever the
    /// process gets this signal. One that computes without a wait does so when it next waits.
    ///
    /// The signal no longer ends the process, or does what else it does by default, for good; a
    /// handler that was there before is called as well.
    ///
    /// ```
    /// use cove::signal::SIGUSR1;
    ///
    /// let runtime = cove::Builder::new().dump_on_signal(SIGUSR1).build()?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn dump_on_signal(mut self, signal: Signal) -> Builder {
        self.dump_signal = Some(signal);
        self
    }

    /// Watches for coroutines that do not let others run: when one has not waited or yielded for
    /// `limit`, a report on standard error names it and shows where it is, once for each time. The
    /// limit must not be zero.
    ///
    /// This starts one more thread for each worker, which looks every quarter of the limit. Workers
    /// are not disturbed, but for the one that is late: it gets a SIGURG, by which blocking system
    /// calls of its coroutine may end early (those that do in spite of `SA_RESTART`, signal(7)).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let limit = Duration::from_millis(100);
    /// let runtime = cove::Builder::new().stall_watchdog(limit).build()?;
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn stall_watchdog(mut self, limit: Duration) -> Builder {
        let on_stall = self.stalls.and_then(|stalls| stalls.on_stall);
        self.stalls = Some(StallConfig { limit, on_stall });
        self
    }

    /// As [`stall_watchdog`](Self::stall_watchdog), but calls `on_stall` in place of reporting. It
    /// is called on the watchdog's thread, and should be quick.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (stalled, stalls) = mpsc::channel();
    /// let runtime = cove::Builder::new()
    ///     .on_stall(Duration::from_millis(10), move |stall| stalled.send(stall.id).unwrap())
    ///     .build()?;
    /// // A blocking call of std's where one of cove's belongs.
    /// let id = runtime.run(|| stalls.recv())?;
    /// assert!(id > 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_stall<F>(mut self, limit: Duration, on_stall: F) -> Builder
    where
        F: Fn(&Stall) + Send + Sync + 'static,
    {
        self.stalls = Some(StallConfig { limit, on_stall: Some(Arc::new(on_stall)) });
        self
    }

    /// Makes the runtime, and starts its workers.
    ///
    /// ```
    /// let error = cove::Builder::new().workers(0).build().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// assert_eq!(error.to_string(), "workers(0): the value must be 1 to 1024");
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a value out of range. Else the system's error, with the limit that may
    /// have been hit: no memory, no descriptor (each worker needs two), no thread.
    pub fn build(&self) -> io::Result<Runtime> {
        self.check()?;
        let cpus = if self.pin_workers { Some(CpuSet::of_this_thread()?) } else { None };
        if let Some(config) = self.stack_config() {
            stack::set_pool_config(config);
        }
        if let Some(limits) = self.blocking {
            pool::configure(limits);
        }
        let scheduler = workers::make_scheduler(self.scheduler_config(), 0)?;
        self.attach(&scheduler)?;
        let crew = Crew::new(self.workers);
        scheduler.join_crew(crew.clone(), 0);
        // From here on, dropping the runtime undoes what was done.
        let mut runtime = Runtime {
            scheduler: ManuallyDrop::new(scheduler),
            crew,
            threads: Threads::none(),
            cpus,
            own_stacks: self.stacks.is_some(),
            ended: false,
        };
        workers::start(self, &mut runtime.threads, &runtime.crew, cpus)?;
        Ok(runtime)
    }

    /// The pool of stacks that each worker is to have, if not the default one.
    pub(super) fn stack_config(&self) -> Option<StackConfig> {
        let mut config = self.stacks.clone()?;
        config.default_bytes = self.scheduler.stack_bytes;
        Some(config)
    }

    /// Lets those look at a worker's scheduler who shall.
    pub(super) fn attach(&self, scheduler: &Scheduler) -> io::Result<()> {
        if let Some(signal) = self.dump_signal {
            on_signal::listen(scheduler, signal.number())?;
        }
        match &self.stalls {
            Some(stalls) => watchdog::watch(scheduler, stalls.clone()),
            None => Ok(()),
        }
    }

    /// The scheduler's part, with what the environment says.
    pub(super) fn scheduler_config(&self) -> SchedulerConfig {
        let mut config = self.scheduler.clone();
        config.check_shared_stacks |=
            std::env::var_os("COVE_CHECK_SHARED").is_some_and(|value| value == "1");
        config
    }

    /// Finds what is out of range.
    fn check(&self) -> io::Result<()> {
        let blocking = self.blocking.unwrap_or_default();
        let config = &self.scheduler;
        let ranges = [
            ("stack_bytes", config.stack_bytes, 0, STACK_BYTES_MAX),
            ("shared_stacks", config.shared_stacks, 1, SHARED_STACKS_MAX),
            ("shared_stack_bytes", config.shared_stack_bytes, 0, STACK_BYTES_MAX),
            ("workers", self.workers, 1, WORKERS_MAX),
            ("blocking_threads_max", blocking.threads_max, 1, usize::MAX),
            ("blocking_queue_max", blocking.queue_max, 1, usize::MAX),
        ];
        for (name, value, min, max) in ranges {
            if value < min || value > max {
                let range = match max {
                    usize::MAX => format!("at least {min}"),
                    _ => format!("{min} to {max}"),
                };
                return Err(invalid(format!("{name}({value}): the value must be {range}")));
            }
        }
        if self.stalls.as_ref().is_some_and(|stalls| stalls.limit.is_zero()) {
            return Err(invalid(
                "stall_watchdog(0ns), or on_stall: the limit must be above zero".into(),
            ));
        }
        if self.worker_name.contains('\0') {
            return Err(invalid("worker_name: a thread's name holds no zero byte".into()));
        }
        Ok(())
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
