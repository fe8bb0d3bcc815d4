//! Guards below stacks: which kind a slot gets, and how the mappings for them are budgeted.
//!
//! The kinds form a chain, [`Guard::Install`] -> [`Guard::Protect`] -> [`Guard::Canary`]. A slab
//! starts somewhere in the chain and only ever moves down it, so that two indices describe all of
//! its slots:
//!
//! ```text
//!   slot     0 ............ protect_from ............ canary_from ............ next
//!   guard    Install        Protect                   Canary                   none yet
//! ```

use std::cell::Cell;
use std::io::Write;
use std::ptr::NonNull;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

use super::config::{Guard, StackConfig};
use crate::sys::{limits, mmap, page_size};

/// The words of a canary page that are nearest to the stack, looked at by the quick check.
const CANARY_ROW_WORDS: usize = 64;

/// A guard by mprotect splits a mapping into three: two more than before.
const MAPPINGS_PER_GUARD: isize = 2;

/// With fewer mappings than this left to half of the limit, no further guard is made by mprotect.
const MAPPINGS_LEFT_MIN: isize = 64;

/// Mappings that may still be made before they are counted anew. Any thread takes from it. A race
/// between two that refill it can at worst double a budget that is a quarter of the limit or less,
/// so the limit holds.
static MAPPINGS_BUDGET: AtomicIsize = AtomicIsize::new(0);

/// Set with the first canary, for good.
static HAS_CANARIES: AtomicBool = AtomicBool::new(false);

/// Where a slab stands in the chain of guards. See the module's drawing.
#[derive(Debug)]
pub(super) struct GuardChain {
    protect_from: Cell<u32>,
    canary_from: Cell<u32>,
}

impl GuardChain {
    /// A chain that starts with what `config` asks for, or with the best that the kernel has.
    pub(super) fn new(config: &StackConfig) -> GuardChain {
        let first = config.guard_asked_for().unwrap_or(Guard::Install);
        let install = first == Guard::Install && mmap::supports_guard_install();
        GuardChain {
            protect_from: Cell::new(if install { u32::MAX } else { 0 }),
            canary_from: Cell::new(if first == Guard::Canary { 0 } else { u32::MAX }),
        }
    }

    /// The kind of guard that slot `index` has.
    pub(super) fn kind(&self, index: u32) -> Guard {
        if index >= self.canary_from.get() {
            Guard::Canary
        } else if index >= self.protect_from.get() {
            Guard::Protect
        } else {
            Guard::Install
        }
    }

    /// Whether no slot has a canary, so that there is nothing to check.
    #[inline]
    pub(super) fn all_hard(&self) -> bool {
        self.canary_from.get() == u32::MAX
    }

    /// How many of the first `used` slots have a guard of each kind: install, protect, canary.
    pub(super) fn counts(&self, used: u32) -> [usize; 3] {
        let canary_from = self.canary_from.get().min(used);
        let protect_from = self.protect_from.get().min(canary_from);
        [protect_from, canary_from - protect_from, used - canary_from].map(|count| count as usize)
    }

    /// Arms the guard of slot `index`, in the best way that is left. Never fails: a canary needs
    /// nothing.
    ///
    /// # Safety
    ///
    /// `page` is the start of that slot's guard page (one page), in a mapping that lives and of
    /// which nobody uses that page. Slots are armed in the order of their indices.
    pub(super) unsafe fn arm(&self, index: u32, page: NonNull<u8>) {
        let page_bytes = page_size();
        if index < self.protect_from.get() {
            // SAFETY: the caller promises that the page is mapped and unused.
            if unsafe { mmap::guard_install(page.as_ptr(), page_bytes) }.is_ok() {
                return;
            }
            // Refused although the kernel knows it: the memory is locked (mlockall), for example.
            self.protect_from.set(index);
        }
        if index < self.canary_from.get() {
            // SAFETY: the caller promises that the page is mapped and that nobody uses it, so
            // nobody misses it when it cannot be accessed any more.
            if take_mappings() && unsafe { mmap::protect_none(page.as_ptr(), page_bytes) }.is_ok() {
                return;
            }
            self.canary_from.set(index);
        }
        say_canary_once();
    }
}

/// Whether the canary page that starts at `page` is still all zero; if not `whole`, only the row of
/// words is looked at that an overflow meets first.
///
/// Why zero and not a pattern: a page that nobody has written is a mapping of the kernel's one page
/// of zeros. So this canary costs no memory, and its check reads lines that are always in the
/// first-level cache. What it cannot see: an overflow that writes nothing but zeros into the page,
/// or jumps over it.
///
/// # Safety
///
/// `page` is the start of a readable page.
pub(super) unsafe fn canary_intact(page: NonNull<u8>, whole: bool) -> bool {
    let words = page_size() / size_of::<u64>();
    let first = if whole { 0 } else { words - CANARY_ROW_WORDS };
    // SAFETY: the caller promises a readable page; pages are aligned for u64, and `words` is its
    // length.
    (first..words).all(|index| unsafe { page.cast::<u64>().add(index).read_volatile() } == 0)
}

/// Takes the mappings for one guard from the budget, refilling it by a count of what the process
/// has.
fn take_mappings() -> bool {
    if MAPPINGS_BUDGET.fetch_sub(MAPPINGS_PER_GUARD, Ordering::Relaxed) >= MAPPINGS_PER_GUARD {
        return true;
    }
    // Counting reads /proc/self/maps, which is long by then. Half of what is left until the next
    // count makes the number of counts logarithmic, and leaves room for mappings that others make
    // meanwhile.
    let count = limits::map_count().unwrap_or(usize::MAX / 2);
    let left = (map_count_max() / 2) as isize - count as isize;
    let enough = left >= MAPPINGS_LEFT_MIN;
    let budget = if enough { left / 2 - MAPPINGS_PER_GUARD } else { 0 };
    MAPPINGS_BUDGET.store(budget, Ordering::Relaxed);
    enough
}

/// The limit on mappings, or its default (Linux, `DEFAULT_MAX_MAP_COUNT`) where /proc does not
/// tell.
pub(super) fn map_count_max() -> usize {
    limits::map_count_max().unwrap_or(65_530)
}

/// Whether any stack of the process has had a canary in the place of a guard.
#[inline]
pub(crate) fn has_canaries() -> bool {
    HAS_CANARIES.load(Ordering::Relaxed)
}

fn say_canary_once() {
    HAS_CANARIES.store(true, Ordering::Relaxed);
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        say(format_args!(
            "some stacks have no guard page but a canary, which notices an overflow only \
             afterwards. Guard pages need Linux 6.13, or a higher vm.max_map_count (now {})",
            map_count_max()
        ));
    });
}

/// Writes a line to stderr. A closed stderr is no reason to stop, and there is nowhere else to
/// complain.
pub(crate) fn say(message: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "cove: {message}");
}
