//! What a pool of stacks can be told: sizes, guards, how much memory it may hold back.

use std::sync::OnceLock;

use super::guard::say;
use super::{DEFAULT_BYTES, STACK_BYTES_MAX, STACK_BYTES_MIN};

/// How the end of a stack is watched. In the order of preference; each falls back to the next.
///
/// ```
/// use cove::{Builder, Guard};
/// let runtime = Builder::new().stack_guard(Guard::Protect).build()?;
/// assert_eq!(runtime.run(|| cove::spawn(|| 1).join().unwrap()), 1);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `MADV_GUARD_INSTALL` (Linux 6.13): the processor stops an overflow at its first byte, and
    /// the guard costs no mapping, so there may be a million of them.
    Install,
    /// `mprotect(PROT_NONE)`: the processor stops an overflow as well, but each guard costs two
    /// mappings. Used only while the process has less than half of `vm.max_map_count` mappings.
    Protect,
    /// The guard page is ordinary memory that must stay zero. An overflow is noticed when the stack
    /// is given back or checked, after it has happened: better than nothing, and said on stderr.
    Canary,
}

impl Guard {
    /// Parses the value of `COVE_GUARD`.
    fn parse(name: &str) -> Option<Guard> {
        match name {
            "install" => Some(Guard::Install),
            "protect" => Some(Guard::Protect),
            "canary" => Some(Guard::Canary),
            _ => None,
        }
    }
}

/// How a thread's pool of stacks behaves; what users set of it, they set by [`crate::Builder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StackConfig {
    /// The size of a stack that nobody gave a size, in bytes; 4 KiB to 1 GiB, rounded up to whole
    /// pages. The guard is extra, the colour (at most 1/16) is not. Default: 128 KiB.
    pub(crate) default_bytes: usize,
    /// The kind of guard to begin with. `None` takes the best that this kernel has. The environment
    /// variable `COVE_GUARD` (`install`, `protect` or `canary`) overrides it. Default: `None`.
    pub(crate) guard: Option<Guard>,
    /// How much resident memory the free stacks of one size may hold for good, in bytes. Default:
    /// 64 MiB.
    pub(crate) watermark_bytes: usize,
    /// How long they may hold more, in nanoseconds: what was not used for this long goes back until
    /// half of the watermark is left. Default: 10 s.
    pub(crate) decay_ns: u64,
    /// Whether tops of stacks are spread over the sets of the cache. Default: `true`.
    pub(crate) colour: bool,
}

impl Default for StackConfig {
    fn default() -> StackConfig {
        StackConfig {
            default_bytes: DEFAULT_BYTES,
            guard: None,
            watermark_bytes: 64 << 20,
            decay_ns: 10_000_000_000,
            colour: true,
        }
    }
}

impl StackConfig {
    /// The default size brought into the range that can be had.
    pub(super) fn default_bytes_in_range(&self) -> usize {
        self.default_bytes.clamp(STACK_BYTES_MIN, STACK_BYTES_MAX)
    }

    /// The kind of guard that was asked for, by the environment or by this configuration.
    pub(super) fn guard_asked_for(&self) -> Option<Guard> {
        guard_by_environment().or(self.guard)
    }
}

/// Reads `COVE_GUARD` once for the process. Empty is as if it were not set.
fn guard_by_environment() -> Option<Guard> {
    static CHOICE: OnceLock<Option<Guard>> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        let value = std::env::var_os("COVE_GUARD").filter(|value| !value.is_empty())?;
        let choice = value.to_str().and_then(Guard::parse);
        if choice.is_none() {
            say(format_args!(
                "COVE_GUARD={value:?} is not one of install, protect, canary: ignored"
            ));
        }
        choice
    })
}
