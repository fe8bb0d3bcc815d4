//! Names for code addresses: which function, which line.
//!
//! By the `backtrace` crate, which reads the debug information and the symbols of the objects that
//! are loaded. It runs nothing and unwinds nothing, so that any address may be asked for.

use crate::sys::unwind::exported_name;
use std::collections::HashMap;
use std::sync::Arc;

/// A function at an address, or one inlined there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) function: Arc<str>,
    pub(crate) file: Option<Arc<str>>,
    pub(crate) line: Option<u32>,
}

/// Names addresses, each once: what it has found it remembers.
pub(crate) struct Symbols {
    known: HashMap<usize, Arc<[Symbol]>>,
}

impl Symbols {
    /// Knows nothing yet.
    pub(crate) fn new() -> Symbols {
        Symbols { known: HashMap::new() }
    }

    /// The function that a return address returns to, last the one that has code of its own, before
    /// it those that are inlined there, innermost first. Empty if it has no name. Needs some tens
    /// of KiB of stack, and memory for the debug information.
    pub(crate) fn resolve(&mut self, return_address: usize) -> Arc<[Symbol]> {
        self.known.entry(return_address).or_insert_with(|| look_up(return_address)).clone()
    }
}

fn look_up(return_address: usize) -> Arc<[Symbol]> {
    let mut symbols = Vec::new();
    backtrace::resolve(return_address as *mut _, |found| {
        let Some(name) = found.name() else { return };
        symbols.push(Symbol {
            // In this form, without the hashes that the compiler adds.
            function: format!("{name:#}").into(),
            file: found.filename().map(|file| file.to_string_lossy().into()),
            line: found.lineno(),
        });
    });
    if symbols.is_empty() {
        // The crate knows only what was loaded when it was asked first.
        let name = exported_name(return_address.wrapping_sub(1));
        symbols.extend(name.map(|name| Symbol { function: name.into(), file: None, line: None }));
    }
    symbols.into()
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
        // Goal: the right function, without its hash. Method: a backtrace of our own, of which one
        // function is known.
        let mut addresses = Addresses::EMPTY;
        let line = a_function_to_be_named(&mut addresses);
        let mut symbols = Symbols::new();
        let found = addresses.first().iter().flat_map(|pc| symbols.resolve(*pc).to_vec());
        let named: Vec<_> =
            found.filter(|found| found.function.ends_with("a_function_to_be_named")).collect();
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
}
