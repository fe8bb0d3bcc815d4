//! Why a task could not be made, in words that say what to do about it.

use crate::scheduler::task::Task;
use crate::stack::StackError;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// What a task lacks. Each is a part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Stack,
    Table,
    Block,
}

impl Lack {
    /// What it is, in a message, and how to need less of it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Lack::Stack => ("a stack", "use fewer or smaller stacks"),
            Lack::Table => ("a table of all coroutines", "use fewer coroutines"),
            Lack::Block => {
                ("what coroutines on shared stacks keep", "use fewer coroutines or smaller frames")
            }
        }
    }
}

/// A task could not be made: there was no memory for one of its parts.
#[derive(Debug)]
pub(crate) struct SpawnError {
    lack: Lack,
    limit: StackError,
}

impl SpawnError {
    /// No room for a table of so many tasks, which was to double its size.
    #[cold]
    pub(in crate::scheduler) fn table(tasks: usize) -> SpawnError {
        SpawnError::diagnose(Lack::Table, 2 * tasks * size_of::<*const Task>())
    }

    /// No room for a piece of the saver, which takes so many bytes at a time.
    #[cold]
    pub(in crate::scheduler) fn block(bytes: usize) -> SpawnError {
        SpawnError::diagnose(Lack::Block, bytes)
    }

    fn diagnose(lack: Lack, bytes: usize) -> SpawnError {
        SpawnError { lack, limit: StackError::diagnose(bytes, &ErrorKind::OutOfMemory.into()) }
    }
}

impl From<StackError> for SpawnError {
    fn from(limit: StackError) -> SpawnError {
        SpawnError { lack: Lack::Stack, limit }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, remedy) = self.lack.words();
        self.limit.describe(f, what, remedy)
    }
}

impl Error for SpawnError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.limit)
    }
}

impl From<SpawnError> for io::Error {
    fn from(error: SpawnError) -> io::Error {
        if error.lack == Lack::Stack {
            return error.limit.into();
        }
        io::Error::new(ErrorKind::OutOfMemory, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_says_what_was_for_want_of_memory() {
        // Goal: only a stack is called one, and a stack's error stays what it was. Method: the
        // words for each part, for each limit.
        let limits = [
            StackError::AddressSpace { bytes: 4096, limit_bytes: 1 << 30 },
            StackError::Mappings { bytes: 4096, limit: 65_530 },
            StackError::Memory { bytes: 4096 },
        ];
        for limit in limits {
            let stack = io::Error::from(SpawnError::from(limit.clone()));
            assert_eq!(stack.to_string(), limit.to_string());
            assert!(stack.get_ref().is_some_and(|inner| inner.is::<StackError>()));
            for (lack, part) in [(Lack::Table, "table of all"), (Lack::Block, "shared stacks")] {
                let error = io::Error::from(SpawnError { lack, limit: limit.clone() });
                assert_eq!(error.kind(), ErrorKind::OutOfMemory);
                let text = error.to_string();
                assert!(text.contains(part) && text.contains("4096"), "{text}");
                assert!(!text.contains("a stack") && !text.contains("smaller stacks"), "{text}");
            }
        }
    }
}
