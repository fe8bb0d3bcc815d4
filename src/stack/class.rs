//! The stacks of one size: their slabs, the free ones among them, and which of those hold memory.
//!
//! ```text
//!   free:   [ cold ......... | hot ............... ]  <- push (give), pop (take)
//!             pages given      pages perhaps
//!             back             resident; the last one was used last
//! ```
//!
//! A trim moves the border between cold and hot to the right; taking moves it to the left when the
//! hot ones are used up. So trimming always finds the stacks that lay idle longest, in one piece.
//!
//! To give one stack's pages back costs more than to run a coroutine on it, and those of many
//! neighbours cost little more than those of one. So a pool that holds more than it may does not
//! trim at once: a *decay* begins, and at its end those go that nobody has taken meanwhile. A
//! million coroutines that end in any order give all their pages back in a few large pieces, and
//! a crowd that comes again within the time finds its stacks warm.

use std::io;
use std::ptr::NonNull;

use super::config::StackConfig;
use super::error::StackError;
use super::slab::{RawStack, Slab};
use crate::sys::{clock, mmap, page_size};

/// The first slab of a class is this large, and each one twice as large as the one before it.
pub(super) const SLAB_BYTES_FIRST: usize = 8 << 20;

/// No slab is larger than this, unless one stack is.
pub(super) const SLAB_BYTES_MAX: usize = 4 << 30;

/// How many stacks are looked at to estimate how much memory the free ones hold.
const SAMPLES: usize = 8;

/// At least this many stacks are given back between two estimates, so that an estimate costs each
/// of them little, unless so many stacks could hold more than the watermark. Thus it may be
/// exceeded by itself.
const GIVES_BETWEEN_ESTIMATES_MIN: usize = 512;

/// All stacks of one size of a pool.
#[derive(Debug)]
pub(super) struct Class {
    /// The usable bytes of a stack, whole pages.
    pub(super) stack_bytes: usize,
    pub(super) slabs: Vec<NonNull<Slab>>,
    /// Has room for all slots of `slabs`, so that giving back never allocates.
    free: Vec<RawStack>,
    /// This many of `free`, from its start on, have had their pages given back.
    cold: usize,
    /// Slots in `slabs`.
    slots: usize,
    /// When this many more stacks were given back, the memory held is estimated anew.
    gives_until_estimate: usize,
    /// When the present decay ends.
    decay_ends_ns: Option<u64>,
    /// The fewest free stacks since the decay began: so many, from the start of `free` on, have not
    /// been used. Not below `cold`.
    unused: usize,
}

impl Class {
    pub(super) fn new(stack_bytes: usize, config: &StackConfig) -> Class {
        let mut class = Class {
            stack_bytes,
            slabs: Vec::new(),
            free: Vec::new(),
            cold: 0,
            slots: 0,
            gives_until_estimate: 0,
            decay_ends_ns: None,
            unused: 0,
        };
        class.gives_until_estimate = class.gives_to_reach(0, config.watermark_bytes);
        class
    }

    pub(super) fn free_count(&self) -> usize {
        self.free.len()
    }

    /// Takes the free stack that was used last.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<RawStack> {
        let raw = self.free.pop()?;
        if self.free.len() < self.unused {
            self.unused = self.free.len();
            if self.unused < self.cold {
                self.cold = self.unused;
                // SAFETY: the slabs of free stacks are those of this class, which live.
                let cold = unsafe { &raw.0.as_ref().cold };
                cold.set(cold.get() - 1);
            }
        }
        Some(raw)
    }

    /// Puts a stack back, and trims if the free ones hold more memory than the watermark. Returns
    /// whether the kernel took all pages that it was given.
    #[inline]
    pub(super) fn push(&mut self, raw: RawStack, config: &StackConfig) -> bool {
        debug_assert!(self.free.len() < self.free.capacity(), "room was made with the slab");
        self.free.push(raw);
        self.gives_until_estimate -= 1;
        self.gives_until_estimate > 0 || self.estimate_and_trim(config)
    }

    /// Takes a slot that was never used, from a new slab if need be.
    pub(super) fn carve(
        &mut self,
        id: u32,
        owner: u64,
        config: &StackConfig,
    ) -> Result<RawStack, StackError> {
        // Only the newest slab has slots that were never used.
        if let Some(raw) = self.slabs.last().and_then(|slab| {
            // SAFETY: the slabs of this class live.
            unsafe { Slab::carve(*slab) }
        }) {
            return Ok(raw);
        }
        let slab = self.add_slab(id, owner, config)?;
        // SAFETY: `add_slab` has just mapped it, and it is listed among the slabs, which live.
        Ok(unsafe { Slab::carve(slab) }.expect("a new slab has a slot"))
    }

    /// Maps a slab: the largest that there is room for.
    fn add_slab(
        &mut self,
        id: u32,
        owner: u64,
        config: &StackConfig,
    ) -> Result<NonNull<Slab>, StackError> {
        let stride = self.stack_bytes + page_size();
        let doublings = self.slabs.len().min(SLAB_BYTES_MAX.ilog2() as usize) as u32;
        let bytes = SLAB_BYTES_FIRST.saturating_mul(1 << doublings).min(SLAB_BYTES_MAX);
        let mut slots = (bytes / stride).max(1);
        let slab = loop {
            self.reserve_bookkeeping(slots)?;
            match Slab::new(self.stack_bytes, slots as u32, id, owner, config) {
                Ok(slab) => break slab,
                Err(_) if slots > 1 => slots /= 2,
                Err(error) => return Err(StackError::diagnose(stride, &error)),
            }
        };
        self.slabs.push(slab);
        self.slots += slots;
        Ok(slab)
    }

    /// Makes room to note one more slab, and `slots` more free stacks.
    fn reserve_bookkeeping(&mut self, slots: usize) -> Result<(), StackError> {
        let wanted = self.slots + slots - self.free.len();
        let bytes = wanted * size_of::<RawStack>();
        let slabs = self.slabs.try_reserve(1);
        slabs
            .and_then(|()| self.free.try_reserve(wanted))
            .map_err(|_| StackError::diagnose(bytes, &io::ErrorKind::OutOfMemory.into()))
    }

    /// How many stacks may be given back until the free ones can hold more than `watermark` bytes,
    /// if they hold `held` now.
    fn gives_to_reach(&self, held: usize, watermark: usize) -> usize {
        let least = GIVES_BETWEEN_ESTIMATES_MIN.min(watermark / self.stack_bytes);
        (watermark.saturating_sub(held) / self.stack_bytes).max(least).max(1)
    }

    /// Looks whether the free stacks hold more than the watermark; then a decay begins, or ends
    /// with a trim.
    #[cold]
    fn estimate_and_trim(&mut self, config: &StackConfig) -> bool {
        let watermark = config.watermark_bytes;
        let hot = &self.free[self.cold..];
        let held_at_most = hot.len() * self.stack_bytes;
        if held_at_most <= watermark {
            self.settle(held_at_most, watermark);
            return true;
        }
        let each = mean_resident_bytes(hot);
        if hot.len() * each <= watermark {
            self.settle(hot.len() * each, watermark);
            return true;
        }
        // One that is larger than the watermark is no use to anybody.
        let decay_ns = if each > watermark { 0 } else { config.decay_ns };
        self.decay(each, watermark, decay_ns)
    }

    /// The free stacks hold no more than they may.
    fn settle(&mut self, held: usize, watermark: usize) {
        self.decay_ends_ns = None;
        self.unused = self.cold;
        self.gives_until_estimate = self.gives_to_reach(held, watermark);
    }

    /// They hold more, `each` so many bytes.
    fn decay(&mut self, each: usize, watermark: usize, decay_ns: u64) -> bool {
        let now_ns = clock::monotonic_ns();
        let ends_ns = match self.decay_ends_ns {
            _ if decay_ns == 0 => {
                self.unused = self.free.len();
                now_ns
            }
            Some(ends_ns) => ends_ns,
            None => {
                self.begin_decay(now_ns.saturating_add(decay_ns));
                return true;
            }
        };
        self.gives_until_estimate = GIVES_BETWEEN_ESTIMATES_MIN;
        if now_ns < ends_ns {
            return true;
        }
        let keep = (watermark / 2 / each).max(self.free.len() - self.unused);
        let done = self.trim_to(keep);
        let held = (self.free.len() - self.cold) * each;
        if held > watermark {
            // Those that have been used, or came, since the decay began.
            self.begin_decay(now_ns.saturating_add(decay_ns));
        } else {
            self.settle(held, watermark);
        }
        done
    }

    fn begin_decay(&mut self, ends_ns: u64) {
        self.unused = self.free.len();
        self.decay_ends_ns = Some(ends_ns);
        self.gives_until_estimate = GIVES_BETWEEN_ESTIMATES_MIN;
    }

    /// When the pages of some free stacks are due to go back, should nobody use them until then.
    pub(super) fn decay_ends_ns(&self) -> Option<u64> {
        self.decay_ends_ns
    }

    /// Gives back what is due. Returns whether the kernel took all the pages.
    pub(super) fn trim_due(&mut self, config: &StackConfig) -> bool {
        let due = self.decay_ends_ns.is_some_and(|ends_ns| ends_ns <= clock::monotonic_ns());
        !due || self.estimate_and_trim(config)
    }

    /// Gives back the pages of all free stacks but the `keep` that were used last, and unmaps the
    /// slabs that are thereby idle and cold, but for one. Returns whether the kernel took all the
    /// pages.
    pub(super) fn trim_to(&mut self, keep: usize) -> bool {
        let border = self.free.len().saturating_sub(keep).max(self.cold);
        let batch = &mut self.free[self.cold..border];
        for (slab, _) in batch.iter() {
            // SAFETY: the slabs of free stacks are those of this class, which live.
            let cold = unsafe { &slab.as_ref().cold };
            cold.set(cold.get() + 1);
        }
        self.cold = border;
        self.unused = self.unused.max(border);
        let warm_from = border - batch.len();
        self.unmap_idle_slabs(warm_from)
    }

    /// Unmaps what is idle, and decommits what is left of the cold stacks from `warm_from` on.
    fn unmap_idle_slabs(&mut self, warm_from: usize) -> bool {
        // Marked first, so that no pages are given back one by one that go with their slab.
        let mut idle_kept = false;
        for slab in &self.slabs {
            // SAFETY: the slabs of this class live.
            let slab = unsafe { slab.as_ref() };
            let pooled = slab.used.get() - slab.lost.get();
            let idle = slab.live.get() == 0 && slab.cold.get() == pooled;
            slab.doomed.set(idle && idle_kept);
            idle_kept |= idle;
        }
        // SAFETY: the slabs of free stacks are those of this class, which live.
        let is_doomed = |raw: &RawStack| unsafe { raw.0.as_ref() }.doomed.get();
        let batch = &mut self.free[warm_from..self.cold];
        batch.sort_unstable_by_key(|raw| raw.1);
        let done = decommit(batch.iter().filter(|raw| !is_doomed(raw)));

        // Only idle, cold slabs are doomed, and the stacks of those are all before the border.
        let before = self.free.len();
        self.free.retain(|raw| !is_doomed(raw));
        let gone = before - self.free.len();
        self.cold -= gone;
        self.unused -= gone;
        self.slabs.retain(|slab| {
            // SAFETY: the slabs of this class live.
            let (doomed, slots) = unsafe { (slab.as_ref().doomed.get(), slab.as_ref().slots()) };
            if doomed {
                self.slots -= slots as usize;
                // SAFETY: the pool owns it, and forgets it here; its stacks are gone from `free`.
                unsafe { Slab::disown(*slab) };
            }
            !doomed
        });
        done
    }
}

impl Drop for Class {
    fn drop(&mut self) {
        for slab in self.slabs.drain(..) {
            // SAFETY: the pool owns it, and forgets it here.
            unsafe { Slab::disown(slab) };
        }
    }
}

/// The mean of the resident bytes of some of the stacks, evenly spread; at least one page.
fn mean_resident_bytes(stacks: &[RawStack]) -> usize {
    let step = (stacks.len() / SAMPLES).max(1);
    let samples = stacks.iter().step_by(step);
    let (count, bytes) = samples.fold((0, 0), |(count, bytes), (slab, top)| {
        // SAFETY: the slabs of free stacks live.
        (count + 1, bytes + unsafe { slab.as_ref() }.resident_bytes_sample(*top))
    });
    (bytes / count.max(1)).max(page_size())
}

/// Gives the pages of these stacks back, which are sorted by address; neighbours in one call,
/// because a call costs more than the pages of ten stacks (2.3 us for one, 0.13 us each for many).
/// The guards between them stay: MADV_DONTNEED keeps those of both kinds. A canary between them
/// stays zero, which is what it is.
fn decommit<'a>(stacks: impl Iterator<Item = &'a RawStack>) -> bool {
    let mut done = true;
    let mut flush = |start: *mut u8, end: *mut u8| {
        // SAFETY: whole slots of a slab, all of them free, so that nobody needs what they hold.
        done &= unsafe { mmap::decommit(start, end.addr() - start.addr()) }.is_ok();
    };
    let mut run: Option<(*mut u8, *mut u8)> = None;
    for (slab, top) in stacks {
        // SAFETY: the slabs of free stacks live.
        let slab = unsafe { slab.as_ref() };
        let limit = slab.limit_of(*top).as_ptr();
        let end = limit.wrapping_add(slab.slot_bytes());
        run = match run {
            Some((start, run_end)) if run_end.wrapping_add(page_size()) == limit => {
                Some((start, end))
            }
            Some((start, run_end)) => {
                flush(start, run_end);
                Some((limit, end))
            }
            None => Some((limit, end)),
        };
    }
    if let Some((start, end)) = run {
        flush(start, end);
    }
    done
}
