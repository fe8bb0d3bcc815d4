//! A thread's stacks: live ones counted, free ones kept for reuse, by size.

use std::sync::atomic::{AtomicU64, Ordering};

use super::class::Class;
use super::config::StackConfig;
use super::error::StackError;
use super::private::{Stack, stack_destroyed};
use super::{STACK_BYTES_MAX, STACK_BYTES_MIN};
use crate::sys::page_size;

/// The stacks of one thread. Taking one that was used before costs some nanoseconds and no system
/// call.
#[derive(Debug)]
pub(crate) struct StackPool {
    config: StackConfig,
    /// By which slabs know their pool. Never 0 and never used twice.
    id: u64,
    /// What was asked for last, and the class that it led to.
    last: (usize, usize),
    classes: Vec<Class>,
    /// The sizes of `classes` with their indices, sorted by size.
    sizes: Vec<(usize, usize)>,
    hits: u64,
    misses: u64,
    trim_failures: u64,
}

/// What a pool holds and has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StackStats {
    /// Stacks that are out of the pool.
    pub(crate) live: usize,
    /// Stacks that can be had without carving one.
    pub(crate) free: usize,
    /// Stacks that were taken from the free ones.
    pub(crate) hits: u64,
    /// Stacks that had to be carved from a slab.
    pub(crate) misses: u64,
    /// Address space reserved by slabs, in bytes.
    pub(crate) reserved_bytes: usize,
    /// Slabs mapped.
    pub(crate) slabs: usize,
    /// Stacks with a guard of `MADV_GUARD_INSTALL`.
    pub(crate) guards_install: usize,
    /// Stacks with a guard of `mprotect`.
    pub(crate) guards_protect: usize,
    /// Stacks with a canary.
    pub(crate) guards_canary: usize,
    /// Batches of which the kernel did not take all the pages back: they are locked in memory, for
    /// example.
    pub(crate) trim_failures: u64,
}

impl StackPool {
    /// An empty pool. Reserves nothing yet.
    pub(crate) fn new(config: StackConfig) -> StackPool {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let default_bytes = config.default_bytes_in_range();
        let stack_bytes = default_bytes.next_multiple_of(page_size());
        StackPool {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            last: (default_bytes, 0),
            classes: vec![Class::new(stack_bytes, &config)],
            sizes: vec![(stack_bytes, 0)],
            config,
            hits: 0,
            misses: 0,
            trim_failures: 0,
        }
    }

    /// The size of a stack that nobody gave a size, in bytes.
    #[cfg(test)]
    pub(crate) fn default_bytes(&self) -> usize {
        self.config.default_bytes_in_range()
    }

    /// Takes a stack of `bytes`, rounded up to whole pages and to 4 KiB. Its content is arbitrary.
    ///
    /// # Errors
    ///
    /// [`StackError::Size`] above 1 GiB; else the limit of the process or of the machine that was
    /// hit.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) -> Result<Stack, StackError> {
        if bytes != self.last.0 {
            self.last = (bytes, self.class_for(bytes)?);
        }
        match self.classes[self.last.1].pop() {
            Some(raw) => {
                self.hits += 1;
                Ok(Stack::make_live(raw))
            }
            None => self.take_fresh(self.last.1),
        }
    }

    /// Takes a stack back. One of another pool (of this thread: that one may be gone) is dropped
    /// instead.
    ///
    /// Aborts the process if the stack's canary shows an overflow, because other memory is damaged
    /// then.
    #[inline]
    pub(crate) fn give(&mut self, stack: Stack) {
        stack.abort_if_overflowed();
        if !stack.slab().is_owned_by(self.id) {
            return;
        }
        stack_destroyed(&stack);
        let slab = stack.slab();
        assert!(slab.live.get() > 0, "a stack is given back once");
        slab.live.set(slab.live.get() - 1);
        let class = slab.class as usize;
        if !self.classes[class].push(stack.into_raw(), &self.config) {
            self.trim_failures += 1;
        }
    }

    /// Gives the pages of all free stacks back, and unmaps all idle slabs but one for each size.
    pub(crate) fn trim(&mut self) {
        for class in &mut self.classes {
            if !class.trim_to(0) {
                self.trim_failures += 1;
            }
        }
    }

    /// When [`trim_due`](Self::trim_due) will have something to do, if nobody uses what is free.
    pub(crate) fn trim_due_ns(&self) -> Option<u64> {
        self.classes.iter().filter_map(Class::decay_ends_ns).min()
    }

    /// Gives back the pages of stacks that have lain idle for as long as they may.
    pub(crate) fn trim_due(&mut self) {
        for class in &mut self.classes {
            if !class.trim_due(&self.config) {
                self.trim_failures += 1;
            }
        }
    }

    /// What the pool holds and has done. Takes time in proportion to the slabs.
    pub(crate) fn stats(&self) -> StackStats {
        let mut stats = StackStats {
            hits: self.hits,
            misses: self.misses,
            trim_failures: self.trim_failures,
            ..StackStats::default()
        };
        for class in &self.classes {
            stats.free += class.free_count();
            stats.slabs += class.slabs.len();
            for slab in &class.slabs {
                // SAFETY: the slabs of this pool live.
                let slab = unsafe { slab.as_ref() };
                stats.live += slab.live.get() as usize;
                stats.reserved_bytes += slab.len();
                let [install, protect, canary] = slab.guards.counts(slab.used.get());
                stats.guards_install += install;
                stats.guards_protect += protect;
                stats.guards_canary += canary;
            }
        }
        stats
    }

    #[cold]
    fn take_fresh(&mut self, class: usize) -> Result<Stack, StackError> {
        let raw = match self.carve(class) {
            Ok(raw) => raw,
            Err(_) => {
                // What other sizes keep idle may be what is missing.
                self.trim();
                self.carve(class)?
            }
        };
        self.misses += 1;
        Ok(Stack::make_live(raw))
    }

    fn carve(&mut self, class: usize) -> Result<super::slab::RawStack, StackError> {
        self.classes[class].carve(class as u32, self.id, &self.config)
    }

    /// The class for stacks of `bytes`, made if it is the first of them.
    #[cold]
    fn class_for(&mut self, bytes: usize) -> Result<usize, StackError> {
        if bytes > STACK_BYTES_MAX {
            return Err(StackError::Size { bytes });
        }
        let stack_bytes = bytes.max(STACK_BYTES_MIN).next_multiple_of(page_size());
        let place = match self.sizes.binary_search_by_key(&stack_bytes, |(size, _)| *size) {
            Ok(place) => return Ok(self.sizes[place].1),
            Err(place) => place,
        };
        let no_memory = |_| StackError::Memory { bytes: size_of::<Class>() };
        self.sizes.try_reserve(1).map_err(no_memory)?;
        self.classes.try_reserve(1).map_err(no_memory)?;
        self.classes.push(Class::new(stack_bytes, &self.config));
        self.sizes.insert(place, (stack_bytes, self.classes.len() - 1));
        Ok(self.classes.len() - 1)
    }
}
