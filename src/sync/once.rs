//! Running something once: [`Once`].

mod raw;

#[cfg(all(test, not(loom)))]
mod tests;

use raw::POISONED;
pub(super) use raw::{COMPLETE, INCOMPLETE, RawOnce};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// [`std::sync::Once`], for coroutines: runs a closure once in the life of the program, and lets
/// others wait meanwhile. The closure may yield.
///
/// ```
/// static START: cove::sync::Once = cove::sync::Once::new();
/// cove::run(|| {
///     let mut runs = 0;
///     START.call_once(|| runs += 1);
///     START.call_once(|| runs += 1);
///     assert_eq!(runs, 1);
/// });
/// ```
pub struct Once {
    raw: RawOnce,
}

/// What the closure of [`Once::call_once_force`] learns: [`std::sync::OnceState`].
/// See [`Once::call_once_force`] for an example.
#[derive(Debug)]
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// Whether an earlier closure unwound.
    ///
    /// ```
    /// let once = cove::sync::Once::new();
    /// once.call_once_force(|state| assert!(!state.is_poisoned()));
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

impl Once {
    constructor! {
        /// A `Once` of which no closure has run.
        ///
        /// ```
        /// let once = cove::sync::Once::new();
        /// assert!(!once.is_completed());
        /// ```
        pub const fn new() -> Once {
            Once { raw: RawOnce::new() }
        }
    }

    /// Runs `function` if none has run; waits if one is running. One that calls this for its own
    /// `Once` waits for itself, for ever.
    ///
    /// ```
    /// let once = cove::sync::Once::new();
    /// let mut runs = 0;
    /// (0..3).for_each(|_| once.call_once(|| runs += 1));
    /// assert_eq!(runs, 1);
    /// ```
    ///
    /// # Panics
    /// If an earlier closure unwound, by a panic or because it was cancelled.
    pub fn call_once<F: FnOnce()>(&self, function: F) {
        let run = |state| {
            assert_ne!(state, POISONED, "the closure of an earlier call_once has unwound");
            function();
            (true, ())
        };
        self.raw.run(POISONED, run);
    }

    /// As [`call_once`](Self::call_once), but runs `function` also after one that unwound.
    ///
    /// ```
    /// let once = cove::sync::Once::new();
    /// let _ = std::panic::catch_unwind(|| once.call_once(|| panic!("half done")));
    /// once.call_once_force(|state| assert!(state.is_poisoned()));
    /// assert!(once.is_completed());
    /// ```
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, function: F) {
        let run = |state| {
            function(&OnceState { poisoned: state == POISONED });
            (true, ())
        };
        self.raw.run(POISONED, run);
    }

    /// Whether a closure has run to its end.
    ///
    /// ```
    /// let once = cove::sync::Once::new();
    /// once.call_once(|| assert!(!once.is_completed()));
    /// assert!(once.is_completed());
    /// ```
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.raw.state() == COMPLETE
    }
}

impl Default for Once {
    fn default() -> Once {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}
