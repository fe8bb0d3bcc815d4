//! Frames of backtraces, with names, and without those of the runtime's own that only hide the
//! user's.

use crate::arch::symbols::Symbols;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A function in a backtrace.
///
/// ```
/// # cove::run(|| {
/// let dump = cove::task::dump();
/// for frame in dump.coroutines[0].backtrace.iter() {
///     assert_ne!(frame.address, 0);
///     println!("{frame}"); // The function, and if it is known the file and the line.
/// }
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// Where the function goes on. The same for functions that are inlined into each other.
    pub address: usize,
    /// Its name; none if the program has no symbols for it.
    pub function: Option<Arc<str>>,
    /// The file and the line of the call, if the program has debug information for it.
    pub file: Option<Arc<str>>,
    /// See `file`.
    pub line: Option<u32>,
}

/// Files whose frames are the scheduler's. Matched by file too, because functions have short names
/// in programs with line tables only.
const SCHEDULER_FILES: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/src/scheduler/"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/src/arch/"),
];

/// The beginnings of names of functions that are the scheduler's.
const SCHEDULER_NAMES: [&str; 2] = ["cove::scheduler::", "cove::arch::"];

/// What lies between the scheduler and a coroutine's closure besides.
const ROOT_FILES: [&str; 3] = ["/library/std/src/", "/library/core/src/", "/library/alloc/src/"];

/// Where a stack begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// At a coroutine's first function.
    Coroutine,
    /// At a thread's.
    Thread,
}

/// Makes frames of addresses, each stack once.
pub(super) struct Namer {
    symbols: Symbols,
    known: HashMap<Box<[usize]>, Arc<[Frame]>>,
}

impl Namer {
    pub(super) fn new() -> Namer {
        Namer { symbols: Symbols::new(), known: HashMap::new() }
    }

    /// The frames at these addresses, innermost first, without the runtime's at both ends.
    pub(super) fn name(&mut self, addresses: &[usize], root: Root) -> Arc<[Frame]> {
        if let Some(frames) = self.known.get(addresses) {
            return frames.clone();
        }
        let mut frames = Vec::new();
        for &address in addresses {
            let symbols = self.symbols.resolve(address);
            if symbols.is_empty() {
                frames.push(Frame { address, function: None, file: None, line: None });
            }
            frames.extend(symbols.iter().map(|symbol| Frame {
                address,
                function: Some(symbol.function.clone()),
                file: symbol.file.clone(),
                line: symbol.line,
            }));
        }
        let frames: Arc<[Frame]> = trim(&frames, root).into();
        self.known.insert(addresses.into(), frames.clone());
        frames
    }
}

/// Cuts the runtime's frames off: those of its waiting; below a coroutine's closure, those of its
/// start; and std's below a thread's closure, as std does itself.
fn trim(frames: &[Frame], root: Root) -> &[Frame] {
    let first = frames.iter().position(|frame| !frame.is_scheduler()).unwrap_or(0);
    let frames = &frames[first..];
    let end = match root {
        Root::Coroutine => frames
            .iter()
            .rposition(|frame| !(frame.is_scheduler() || frame.is_root_glue() || frame.is_main())),
        Root::Thread => {
            frames.iter().position(Frame::is_thread_start).and_then(|at| at.checked_sub(1))
        }
    };
    end.map_or(frames, |last| &frames[..=last])
}

impl Frame {
    fn is_scheduler(&self) -> bool {
        let name = self.function.as_deref().unwrap_or_default().trim_start_matches('<');
        let file = self.file.as_deref().unwrap_or_default();
        SCHEDULER_NAMES.iter().any(|prefix| name.starts_with(prefix))
            || SCHEDULER_FILES.iter().any(|prefix| file.starts_with(prefix))
    }

    /// The first function of a coroutine, in programs with line tables only.
    fn is_main(&self) -> bool {
        self.function.as_deref() == Some("main") && self.file.is_none()
    }

    fn is_thread_start(&self) -> bool {
        self.function.as_deref().is_some_and(|name| name.contains("__rust_begin_short_backtrace"))
    }

    fn is_root_glue(&self) -> bool {
        let name = self.function.as_deref().unwrap_or_default();
        let file = self.file.as_deref().unwrap_or_default();
        ROOT_FILES.iter().any(|part| file.contains(part))
            || ["__rust_try", "core::", "std::", "<core::", "<std::", "<alloc::"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => out.write_str(function)?,
            None => write!(out, "{:#x}", self.address)?,
        }
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(out, " at {file}:{line}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: &str) -> Frame {
        Frame { address: 1, function: Some(function.into()), file: Some(file.into()), line: None }
    }

    fn root(function: &str) -> Frame {
        Frame { address: 2, file: None, ..frame(function, "") }
    }

    #[test]
    fn trimming_leaves_what_lies_between_the_scheduler_and_the_root() {
        // Goal: the user's function is near the top, the glue below it gone. Method: a stack as it
        // is with full names, and one with line tables only.
        let own = SCHEDULER_FILES[0];
        let frames = [
            frame("cove::scheduler::switch::<impl cove::scheduler::Scheduler>::park", ""),
            frame("cove::task::current::park", ""),
            frame("user::wait", "/u/src/main.rs"),
            frame("<F as core::ops::function::FnOnce<A>>::call_once", "/x/library/core/src/ops.rs"),
            frame("__rust_try", ""),
            root("cove::scheduler::spawn::main"),
        ];
        assert_eq!(trim(&frames, Root::Coroutine), &frames[1..3]);
        let frames = [
            frame("park", &format!("{own}switch.rs")),
            frame("wait", "/u/src/main.rs"),
            frame("call_once<F>", "/rustc/1/library/core/src/ops/function.rs"),
            frame("run", &format!("{own}spawn.rs")),
            root("main"),
            frame("start_address", &format!("{own}x86_64.rs")),
        ];
        assert_eq!(trim(&frames, Root::Coroutine), &frames[1..2]);
        assert_eq!(trim(&frames[..1], Root::Coroutine), &frames[..1]);
    }

    #[test]
    fn trimming_leaves_a_thread_its_root() {
        // Goal: the root task's stack is shown down to main. Method: with and without std's mark.
        let frames = [
            frame("cove::scheduler::park", ""),
            frame("user::main", ""),
            frame("std::sys::backtrace::__rust_begin_short_backtrace", ""),
            root("_start"),
        ];
        assert_eq!(trim(&frames, Root::Thread), &frames[1..2]);
        assert_eq!(trim(&frames[..2], Root::Thread), &frames[1..2]);
        assert!(trim(&[], Root::Thread).is_empty() && trim(&[], Root::Coroutine).is_empty());
    }
}
