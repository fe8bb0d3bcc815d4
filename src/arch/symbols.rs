//! Names for code addresses: which function, which line.
//!
//! std knows them but names only the addresses of a stack that it walks itself. So it is shown one:
//! a stack on which there is nothing but a function suspended at the address in question. Its
//! frame consists of zeros, as does the rest of the memory that stands in for the stack, and the
//! first return address of zero ends the walk.
//!
//! ```text
//!   std's own frames | unwind_from | the function at the address | end (return address 0)
//! ```

use super::backtrace::IS_SUPPORTED;
use super::{Context, imitate, imitate_interrupted, unwind_from};
use crate::sys::mmap::Mapping;
use crate::sys::unwind::{each_frame, exported_name, function_start, is_in_object};
use std::backtrace::Backtrace;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Room for the frame of the function in question; a larger frame's address has no name.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Zeros below the imitated stack, since frames may be looked for below it too.
const BELOW_BYTES: usize = 64 << 10;

/// More frames than there are in the walk over an imitated stack.
const WALK_FRAMES_MAX: usize = 64;

/// A function at an address, or one inlined there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) function: Arc<str>,
    pub(crate) file: Option<Arc<str>>,
    pub(crate) line: Option<u32>,
}

/// Names addresses, each once: what it has found it remembers.
pub(crate) struct Symbols {
    zeros: Option<Mapping>,
    known: HashMap<usize, Arc<[Symbol]>>,
}

impl Symbols {
    /// Knows nothing yet.
    pub(crate) fn new() -> Symbols {
        let zeros =
            if IS_SUPPORTED { Mapping::reserve(BELOW_BYTES + FRAME_BYTES_MAX).ok() } else { None };
        Symbols { zeros, known: HashMap::new() }
    }

    /// The function that a return address returns to, last the one that has code of its own, before
    /// it those that are inlined there, innermost first. Empty if it has no name. Needs some tens
    /// of KiB of stack, and memory for the debug information that std reads.
    pub(crate) fn resolve(&mut self, return_address: usize) -> Arc<[Symbol]> {
        if let Some(symbols) = self.known.get(&return_address) {
            return symbols.clone();
        }
        let symbols = self.look_up(return_address).unwrap_or_default();
        self.known.insert(return_address, symbols.clone());
        symbols
    }

    fn look_up(&self, return_address: usize) -> Option<Arc<[Symbol]>> {
        // The unwinder reads the code at addresses for which it has no table.
        if !is_in_object(return_address) || !is_in_object(return_address.wrapping_sub(1)) {
            return None;
        }
        if signs_return_address(return_address - 1) {
            let function = exported_name(return_address - 1)?.into();
            return Some([Symbol { function, file: None, line: None }].into());
        }
        let base = self.zeros.as_ref()?.base().as_ptr().wrapping_add(BELOW_BYTES);
        let mut backtrace: Option<Backtrace> = None;
        // SAFETY: the mapping is ours, writable and page-aligned. What the unwinder reads lies
        // above `base`, or not far below, in memory that is all zero but for what is put there
        // here. `capture` does not unwind.
        unsafe {
            let mut context = imitate(return_address, base);
            if !ends(context) {
                context = imitate_interrupted(return_address, base).filter(|it| ends(*it))?;
            }
            unwind_from(context, capture, (&raw mut backtrace).cast());
        }
        Some(symbols_at(&format!("{:#}", backtrace?), return_address))
    }
}

/// Whether the function around `address` signs its return address before it gets there (aarch64,
/// FEAT_PAuth). An unwinder checks the signature, and processors may fault if it is wrong, as that
/// of a return address of zero is. Debian's C library does so.
fn signs_return_address(address: usize) -> bool {
    const PACIASP: u32 = 0xd503_233f;
    const PACIBSP: u32 = 0xd503_237f;
    if !cfg!(target_arch = "aarch64") {
        return false;
    }
    let Some(start) = function_start(address) else { return false };
    (start..address).step_by(size_of::<u32>()).any(|at| {
        // SAFETY: between a function's start and an address in it there is code, which is readable.
        let instruction = unsafe { (at as *const u32).read() };
        matches!(u32::from_le(instruction), PACIASP | PACIBSP)
    })
}

/// Whether a walk from the context ends by itself; std's would else go on until memory is used up.
///
/// # Safety
/// The context is an imitated one.
unsafe fn ends(context: Context) -> bool {
    /// # Safety
    /// `left` is a number.
    unsafe extern "C" fn walk(left: *mut u8) {
        // SAFETY: as the caller says.
        let left = unsafe { &mut *left.cast::<usize>() };
        each_frame(|_| {
            *left -= 1;
            if *left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    let mut left = WALK_FRAMES_MAX;
    // SAFETY: as the caller says; `walk` does not unwind.
    unsafe { unwind_from(context, walk, (&raw mut left).cast()) };
    left > 0
}

/// # Safety
/// `to` is an `Option<Backtrace>`.
unsafe extern "C" fn capture(to: *mut u8) {
    // SAFETY: as the caller says.
    unsafe { *to.cast::<Option<Backtrace>>() = Some(Backtrace::force_capture()) };
}

/// The symbols of the frame at `address` in std's long form of a backtrace:
///
/// ```text
///    3:     0x55b4c2d0e0f1 - first_of_the_frame::h0123456789abcdef
///                                at /path/file.rs:12:34
///                            - the_one_into_which_it_is_inlined::h0123456789abcdef
///                                at /path/file.rs:56:7
/// ```
fn symbols_at(text: &str, address: usize) -> Arc<[Symbol]> {
    let mut symbols: Vec<Symbol> = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim_start) {
        let name = if let Some(name) = line.strip_prefix("- ") {
            name
        } else if let Some((file, line_number)) = line.strip_prefix("at ").and_then(place) {
            if let (true, Some(symbol)) = (inside, symbols.last_mut()) {
                symbol.file = Some(file.into());
                symbol.line = Some(line_number);
            }
            continue;
        } else {
            let Some((frame, name)) = line.split_once(" - ") else { continue };
            let number = frame.rsplit_once("0x").map_or("", |(_, number)| number.trim());
            inside = usize::from_str_radix(number, 16) == Ok(address);
            name
        };
        if inside && name != "<unknown>" {
            let function = without_hash(name).into();
            symbols.push(Symbol { function, file: None, line: None });
        }
    }
    symbols.into()
}

/// Splits `file:line:column`.
fn place(text: &str) -> Option<(&str, u32)> {
    let (rest, _column) = text.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    Some((file, line.parse().ok()?))
}

/// A name without the hashes that the compiler adds: in one manner at the end (`name::h` and 16
/// digits), in the other one behind each crate (`crate[digits]::name`).
fn without_hash(name: &str) -> String {
    let is_hash = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = match name.rsplit_once("::h") {
        Some((stem, hash)) if hash.len() == 16 && is_hash(hash) => stem,
        _ => name,
    };
    let mut parts = name.split('[');
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((hash, rest))
                if clean.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                    && is_hash(hash) =>
            {
                clean.push_str(rest);
            }
            _ => {
                clean.push('[');
                clean.push_str(part);
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::super::backtrace::Addresses;
    use super::*;

    #[inline(never)]
    fn a_function_to_be_named(addresses: &mut Addresses<8, 0>) -> u32 {
        addresses.collect(8);
        line!() - 1
    }

    #[test]
    fn addresses_get_the_names_and_lines_of_their_calls() {
        // Goal: the imitated stack leads std to the right function. Method: a backtrace of our own,
        // of which one function is known.
        let mut addresses = Addresses::EMPTY;
        let line = a_function_to_be_named(&mut addresses);
        let mut symbols = Symbols::new();
        let found = addresses.first().iter().flat_map(|pc| symbols.resolve(*pc).to_vec());
        let named: Vec<_> =
            found.filter(|found| found.function.ends_with("a_function_to_be_named")).collect();
        if !IS_SUPPORTED {
            return assert!(named.is_empty());
        }
        assert_eq!(named.len(), 1, "{named:?}");
        assert_eq!(named[0].line, Some(line));
        assert!(named[0].file.as_ref().is_some_and(|file| file.ends_with("symbols.rs")));
    }

    #[test]
    fn addresses_without_code_have_no_name() {
        // Goal: no fault and no false name. Method: addresses of data, of nothing, of the edges.
        let mut symbols = Symbols::new();
        let data = 0_u64;
        for address in [1, 4096, (&raw const data).addr(), usize::MAX, 1 << 63] {
            assert!(symbols.resolve(address).is_empty(), "{address:#x}");
        }
    }

    #[test]
    fn text_is_taken_apart_as_std_writes_it() {
        // Goal: inlined functions, hashes and missing places. Method: a text of all forms.
        let text = "   0:     0x55b4c2d0e0f0 - other::h0123456789abcdef\n\
                    \x20                            at /x/a.rs:1:2\n\
                    \x20  1:     0x55b4c2d0e0f1 - inner::{{closure}}::h0123456789abcdef\n\
                    \x20                            at /x/a.rs:12:34\n\
                    \x20                          - <T as outer>::h12\n\
                    \x20  2:                0x0 - <unknown>\n";
        let symbols = symbols_at(text, 0x55b4c2d0e0f1);
        let brief: Vec<_> = symbols.iter().map(|symbol| (&*symbol.function, symbol.line)).collect();
        assert_eq!(brief, [("inner::{{closure}}", Some(12)), ("<T as outer>::h12", None)]);
        assert_eq!(symbols[0].file.as_deref(), Some("/x/a.rs"));
        assert!(symbols_at(text, 0).is_empty());
        let name = "<core[c1f1a4ba060b9bfa]::cell::Cell<[u8; 4]> as cove[12]::T>::f::<&[abc]>";
        assert_eq!(without_hash(name), "<core::cell::Cell<[u8; 4]> as cove::T>::f::<&[abc]>");
    }
}
