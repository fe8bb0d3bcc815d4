//! Making a dump: one look at every coroutine of the thread, on the loop's stack.

use super::dump::{CoroutineDump, Dump, StackDump, StackKind, State};
use super::frames::{Frame, Namer, Root};
use crate::arch::backtrace::Addresses;
use crate::arch::{Context, stack_pointer};
use crate::scheduler::Scheduler;
use crate::scheduler::look::words;
use crate::scheduler::task::{self, Task, flag};
use crate::scheduler::wait::WaitKind;
use crate::sys;
use std::sync::Arc;

/// The frames of a coroutine that are shown, from both ends of its stack.
const FRAMES_FIRST: usize = 56;
const FRAMES_LAST: usize = 8;

/// More frames are not walked.
const FRAMES_MAX: usize = 10_000;

/// Looks at every coroutine of this thread's runtime: who it is, what it waits for, where it is.
///
/// The caller is shown as the one that runs. Outside a runtime the dump is empty. A dump works with
/// little stack, as it is made on the scheduler's. It stops the thread: about 10 us for each
/// coroutine, and once for each address in the backtraces the time that std takes to name it.
///
/// ```
/// cove::run(|| {
///     let waiter = cove::task::Builder::new().name("waiter").spawn(|| cove::task::park())?;
///     cove::task::yield_now();
///     let dump = cove::task::dump();
///     let found = dump.iter().find(|coroutine| coroutine.name.as_deref() == Some("waiter"));
///     assert_eq!(found.unwrap().waiting_for.as_deref(), Some("unpark"));
///     println!("{dump}");
/// #   waiter.task().unpark();
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn dump() -> Dump {
    match Scheduler::current() {
        Some(scheduler) => scheduler.on_loop_stack(dump_of),
        None => Dump { thread_id: sys::thread::gettid(), coroutines: Vec::new() },
    }
}

/// The dump of a scheduler of this thread. To be called on its loop's stack.
pub(super) fn dump_of(scheduler: &Scheduler) -> Dump {
    let mut namer = Namer::new();
    let mut coroutines = Vec::with_capacity(scheduler.live() + 1);
    let now_ns = sys::clock::monotonic_ns();
    if let Some(root) = scheduler.root() {
        coroutines.push(look_at(scheduler, root, now_ns, &mut namer));
    }
    scheduler.for_each_task(|task| coroutines.push(look_at(scheduler, task, now_ns, &mut namer)));
    Dump { thread_id: scheduler.shared.thread_id(), coroutines }
}

fn look_at(scheduler: &Scheduler, task: &Task, now_ns: u64, namer: &mut Namer) -> CoroutineDump {
    let mut addresses = Addresses::<FRAMES_FIRST, FRAMES_LAST>::EMPTY;
    let mut used_bytes = None;
    scheduler.look_into(task, |context| {
        // SAFETY: the scheduler gives a suspended context that has run, its stack in place.
        unsafe { addresses.collect_from(context, FRAMES_MAX) };
        used_bytes = used(task, context);
    });
    let all: Vec<usize> = addresses.first().iter().copied().chain(addresses.last()).collect();
    let root = if task.stack_bounds().is_some() { Root::Coroutine } else { Root::Thread };
    let backtrace: Arc<[Frame]> = namer.name(&all, root);
    let state = match task.state.get() {
        task::State::Parked => State::Parked,
        task::State::Running => State::Running,
        task::State::Ready | task::State::Done | task::State::Taken => State::Ready,
    };
    CoroutineDump {
        id: task.id,
        name: task.name(),
        function: (task.vtable.function)(),
        state,
        waiting_for: (state == State::Parked).then(|| reason(task, now_ns)),
        stack: stack_of(task, used_bytes),
        backtrace,
        frames_left_out: addresses.left_out(),
    }
}

/// The bytes of its stack that a suspended task uses; none for the root, or if it is suspended on
/// another stack, in a nested coroutine.
fn used(task: &Task, context: Context) -> Option<usize> {
    let bounds = task.stack_bounds()?;
    let sp = stack_pointer(context).addr();
    (bounds.contains(&sp) || sp == bounds.end).then(|| bounds.end - sp)
}

fn stack_of(task: &Task, used_bytes: Option<usize>) -> StackDump {
    let private = task.private_stack();
    let kind = match private {
        Some(_) => StackKind::Private,
        None if task.has(flag::SHARED) => StackKind::Shared,
        None => StackKind::Thread,
    };
    let bytes = task.stack_bounds().map(|bounds| bounds.len());
    let high_water_bytes = private.map(|stack| stack.high_water_bytes());
    StackDump { kind, bytes, used_bytes, high_water_bytes }
}

/// What a parked task waits for, in words.
fn reason(task: &Task, now_ns: u64) -> String {
    // Read and write waits note the descriptor there.
    let descriptor = task.waiter.token.get();
    let what = match task.kind.get() {
        WaitKind::Sleep => "sleeping",
        WaitKind::Read => {
            return with_time(format!("reading descriptor {descriptor}"), task, now_ns);
        }
        WaitKind::Write => {
            return with_time(format!("writing descriptor {descriptor}"), task, now_ns);
        }
        kind => words(kind),
    };
    with_time(what.to_owned(), task, now_ns)
}

/// Appends how long the wait may still take, if there is a limit.
fn with_time(mut words: String, task: &Task, now_ns: u64) -> String {
    // SAFETY: a short look at the task's timer, which the wheel does not change meanwhile.
    let timer = unsafe { &*task.timer.get() };
    if timer.is_linked() {
        let left_ms = timer.deadline_ns().saturating_sub(now_ns) / 1_000_000;
        words.push_str(&match left_ms {
            0..1000 => format!(", {left_ms} ms left"),
            _ => format!(", {}.{} s left", left_ms / 1000, left_ms % 1000 / 100),
        });
    }
    words
}
