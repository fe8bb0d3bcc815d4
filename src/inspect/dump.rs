//! What a dump tells of each coroutine, and how it is printed.

use super::frames::Frame;
use super::json::Json;
use std::fmt;
use std::sync::Arc;

/// All coroutines of a thread at one moment; see [`dump`](super::dump()).
///
/// Printing it with `{}` gives a text for people, [`to_json`](Self::to_json) one for programs.
///
/// ```
/// let text = cove::run(|| {
///     let dump = cove::task::dump();
///     assert_eq!(dump.coroutines.len(), 1); // The root.
///     dump.to_string()
/// });
/// println!("{text}");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// The kernel's number of the thread.
    pub thread_id: i32,
    /// The coroutines: the root first, the others in the order of their slots.
    pub coroutines: Vec<CoroutineDump>,
}

/// What a dump tells of one coroutine.
///
/// ```
/// # cove::run(|| {
/// use cove::task::State;
/// cove::task::Builder::new().name("waiter").spawn(cove::task::park)?;
/// cove::task::yield_now();
/// let dump = cove::task::dump();
/// let waiter = &dump.coroutines[1];
/// assert_eq!((waiter.name.as_deref(), waiter.state), (Some("waiter"), State::Parked));
/// assert_eq!(waiter.waiting_for.as_deref(), Some("unpark"));
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CoroutineDump {
    /// The coroutine's number, unique in the process.
    pub id: u64,
    /// The name that it was given.
    pub name: Option<Arc<str>>,
    /// The type of the closure that it was spawned with, which names the spawning function.
    pub function: &'static str,
    /// Whether it runs, could run, or waits.
    pub state: State,
    /// What it waits for, in words: `reading descriptor 7`, `sleeping, 1.2 s left`. None if it does
    /// not wait.
    pub waiting_for: Option<String>,
    /// The stack that it is on.
    pub stack: StackDump,
    /// Its functions, innermost first, without the scheduler's own. Empty if it has not started, if
    /// there was no memory to bring its frames in, and on processors where suspended coroutines
    /// cannot be looked into.
    pub backtrace: Arc<[Frame]>,
    /// How many frames were left out of the middle of the backtrace, because there were too many.
    pub frames_left_out: usize,
}

/// Where a coroutine stands.
///
/// ```
/// # cove::run(|| {
/// use cove::task::State;
/// cove::spawn(|| ());
/// let states: Vec<State> = cove::task::dump().iter().map(|coroutine| coroutine.state).collect();
/// assert_eq!(states, [State::Running, State::Ready]);
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It has not started, or could go on.
    Ready,
    /// It runs: it is the one that asked for the dump.
    Running,
    /// It waits.
    Parked,
}

/// A coroutine's stack.
///
/// ```
/// # cove::run(|| {
/// cove::task::Builder::new().stack_bytes(64 << 10).spawn(cove::task::park)?;
/// cove::task::yield_now();
/// let stack = cove::task::dump().coroutines[1].stack;
/// assert!(stack.bytes >= Some(64 << 10) && stack.used_bytes < stack.bytes);
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackDump {
    /// Whose it is.
    pub kind: StackKind,
    /// Its usable bytes; none if it is the thread's own.
    pub bytes: Option<usize>,
    /// The bytes in use now; none before the coroutine has started, and on the thread's own stack.
    pub used_bytes: Option<usize>,
    /// The most bytes that were ever in use, by this coroutine or an earlier one on the same stack;
    /// known for private stacks.
    pub high_water_bytes: Option<usize>,
}

/// Whose a stack is.
///
/// ```
/// # cove::run(|| {
/// use cove::task::StackKind;
/// cove::spawn(cove::task::park);
/// let dump = cove::task::dump();
/// assert_eq!(dump.coroutines[0].stack.kind, StackKind::Thread); // The root's.
/// assert_eq!(dump.coroutines[1].stack.kind, StackKind::Private);
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StackKind {
    /// The coroutine's own.
    Private,
    /// One on which several coroutines take turns.
    Shared,
    /// The thread's: the root coroutine runs on it.
    Thread,
}

impl Dump {
    /// The coroutines.
    ///
    /// ```
    /// # cove::run(|| {
    /// let idle = cove::spawn(cove::task::park);
    /// let dump = cove::task::dump();
    /// assert!(dump.iter().any(|coroutine| coroutine.id == idle.task().id().get()));
    /// # });
    /// ```
    pub fn iter(&self) -> std::slice::Iter<'_, CoroutineDump> {
        self.coroutines.iter()
    }

    /// How many coroutines there are, the root included.
    ///
    /// ```
    /// # cove::run(|| {
    /// cove::spawn(cove::task::park);
    /// assert_eq!(cove::task::dump().len(), 2);
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        self.coroutines.len()
    }

    /// Whether there are none, as outside a runtime.
    ///
    /// ```
    /// assert!(cove::task::dump().is_empty());
    /// assert!(!cove::run(|| cove::task::dump().is_empty()));
    /// ```
    pub fn is_empty(&self) -> bool {
        self.coroutines.is_empty()
    }

    /// The dump as one JSON object: `{"thread_id", "coroutines": [{"id", "name", "function",
    /// "state", "waiting_for", "stack": {"kind", "bytes", "used_bytes", "high_water_bytes"},
    /// "backtrace": [{"address", "function", "file", "line"}], "frames_left_out"}]}`. What is not
    /// known is null.
    ///
    /// ```
    /// let json = cove::run(|| cove::task::dump().to_json());
    /// assert!(json.starts_with(r#"{"thread_id":"#) && json.contains(r#""state":"running""#));
    /// ```
    pub fn to_json(&self) -> String {
        let mut json = Json::new();
        json.object(|json| {
            json.field("thread_id", |json| json.number(self.thread_id));
            json.field("coroutines", |json| {
                json.array(&self.coroutines, CoroutineDump::write_json)
            });
        });
        json.into_text()
    }
}

impl<'a> IntoIterator for &'a Dump {
    type Item = &'a CoroutineDump;
    type IntoIter = std::slice::Iter<'a, CoroutineDump>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Dump {
    type Item = CoroutineDump;
    type IntoIter = std::vec::IntoIter<CoroutineDump>;

    fn into_iter(self) -> Self::IntoIter {
        self.coroutines.into_iter()
    }
}

impl CoroutineDump {
    fn write_json(&self, json: &mut Json) {
        json.object(|json| {
            json.field("id", |json| json.number(self.id));
            json.field("name", |json| json.text(self.name.as_deref()));
            json.field("function", |json| json.text(Some(self.function)));
            json.field("state", |json| json.text(Some(self.state.name())));
            json.field("waiting_for", |json| json.text(self.waiting_for.as_deref()));
            json.field("stack", |json| self.stack.write_json(json));
            json.field("backtrace", |json| json.array(&self.backtrace, write_frame_json));
            json.field("frames_left_out", |json| json.number(self.frames_left_out));
        });
    }
}

impl StackDump {
    fn write_json(&self, json: &mut Json) {
        json.object(|json| {
            json.field("kind", |json| json.text(Some(self.kind.name())));
            json.field("bytes", |json| json.number_or_null(self.bytes));
            json.field("used_bytes", |json| json.number_or_null(self.used_bytes));
            json.field("high_water_bytes", |json| json.number_or_null(self.high_water_bytes));
        });
    }
}

fn write_frame_json(frame: &Frame, json: &mut Json) {
    json.object(|json| {
        json.field("address", |json| json.number(frame.address));
        json.field("function", |json| json.text(frame.function.as_deref()));
        json.field("file", |json| json.text(frame.file.as_deref()));
        json.field("line", |json| json.number_or_null(frame.line));
    });
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Running => "running",
            State::Parked => "parked",
        }
    }
}

impl StackKind {
    fn name(self) -> &'static str {
        match self {
            StackKind::Private => "private",
            StackKind::Shared => "shared",
            StackKind::Thread => "thread",
        }
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} coroutines of thread {}", self.len(), self.thread_id)?;
        self.iter().try_for_each(|coroutine| write!(out, "{coroutine}"))
    }
}

impl fmt::Display for CoroutineDump {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\ncoroutine {}", self.id)?;
        if let Some(name) = &self.name {
            write!(out, " '{name}'")?;
        }
        write!(out, " ({}): {}", self.function, self.state.name())?;
        if let Some(waiting_for) = &self.waiting_for {
            write!(out, ", {waiting_for}")?;
        }
        writeln!(out, "; {}", self.stack)?;
        for (number, frame) in self.backtrace.iter().enumerate() {
            writeln!(out, "{number:4}: {frame}")?;
        }
        match self.frames_left_out {
            0 => Ok(()),
            left_out => writeln!(out, "      ({left_out} frames in the middle are left out)"),
        }
    }
}

impl fmt::Display for StackDump {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} stack", self.kind.name())?;
        if let Some(bytes) = self.bytes {
            write!(out, " of {bytes} bytes")?;
        }
        if let Some(used_bytes) = self.used_bytes {
            write!(out, ", {used_bytes} in use")?;
        }
        match self.high_water_bytes {
            Some(high_water_bytes) => write!(out, ", {high_water_bytes} at most so far"),
            None => Ok(()),
        }
    }
}
