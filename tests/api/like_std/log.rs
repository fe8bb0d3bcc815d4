//! What a program notes of its steps.

use std::any::Any;
use std::fmt::{Debug, Write};
use std::io;
use std::thread;

/// A transcript: a line for each step.
#[derive(Default)]
pub(crate) struct Log {
    lines: Vec<String>,
}

impl Log {
    /// Notes a value.
    #[track_caller]
    pub(crate) fn value(&mut self, value: impl Debug) {
        self.line(format!("{value:?}"));
    }

    /// Notes the outcome of an operation of the system: a value, or an error in all its parts.
    #[track_caller]
    pub(crate) fn outcome<T: Debug>(&mut self, outcome: io::Result<T>) {
        self.line(match outcome {
            Ok(value) => format!("Ok({value:?})"),
            Err(error) => {
                format!("Err({:?}, {:?}, {error})", error.kind(), error.raw_os_error())
            }
        });
    }

    /// Notes how a thread or a closure ended: a value, or the text of its panic.
    #[track_caller]
    pub(crate) fn end<T: Debug>(&mut self, end: thread::Result<T>) {
        self.line(match end {
            Ok(value) => format!("returned {value:?}"),
            Err(payload) => format!("panicked: {}", text(&*payload)),
        });
    }

    /// A line with the place that it was noted at.
    #[track_caller]
    fn line(&mut self, text: String) {
        self.lines.push(format!("{}: {text}", std::panic::Location::caller().line()));
    }

    /// Compares with another program's. An empty transcript compares nothing.
    #[track_caller]
    pub(crate) fn assert_same(&self, found: &Log) {
        assert!(!self.lines.is_empty(), "nothing was noted");
        let mut differences = String::new();
        for (expected, found) in self.lines.iter().zip(&found.lines) {
            if expected != found {
                writeln!(differences, "std:  {expected}\ncove: {found}").expect("a string");
            }
        }
        assert!(differences.is_empty(), "line of the program: what came of it\n{differences}");
        assert_eq!(self.lines.len(), found.lines.len(), "lines");
    }
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or(payload.downcast_ref::<&str>().copied()).unwrap_or("something")
}
