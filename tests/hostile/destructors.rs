//! Destructors that panic, and those that call back into what is being taken down.

use crate::child;
use crate::waits::Drops;
use cove::sync::{Arc, Mutex, mpsc};
use cove::task::{self, Cancelled};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;

/// Counts itself, then panics.
struct Bomb(Option<crate::waits::Guard>);

impl Bomb {
    fn new(drops: &Drops) -> Bomb {
        Bomb(Some(drops.guard()))
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        drop(self.0.take());
        panic!("a destructor panics");
    }
}

fn text(payload: &(dyn Any + Send)) -> &str {
    payload.downcast_ref().copied().unwrap_or("no text")
}

/// Goal: at a normal end, the panic is the coroutine's. Method: a local with a bad destructor.
#[test]
fn panic_in_a_destructor_at_the_end_comes_out_of_join() {
    cove::run(|| {
        let drops = Drops::default();
        let bomb = Bomb::new(&drops);
        let payload = cove::spawn(move || drop(bomb)).join().expect_err("a panic");
        assert_eq!(text(&*payload), "a destructor panics");
        let (bomb, guard) = (Bomb::new(&drops), drops.guard());
        let payload = cove::spawn(move || {
            let _before = guard;
            let _bomb = bomb;
        });
        assert_eq!(text(&*payload.join().expect_err("a panic")), "a destructor panics");
        assert_eq!(drops.count(), 3);
        assert_eq!(cove::spawn(|| 1).join().expect("the runtime goes on"), 1);
    });
}

/// Goal: a closure that never ran may panic when it is dropped. Method: cancelled before its turn,
/// here and on another worker.
#[test]
fn panic_in_the_destructor_of_an_unstarted_closure_comes_out_of_join() {
    let runtime = cove::Builder::new().workers(2).build().expect("a runtime");
    runtime.run(|| {
        let drops = Drops::default();
        let bomb = Bomb::new(&drops);
        let unstarted = cove::spawn(move || {
            let _bomb = bomb;
            unreachable!("cancelled before");
        });
        unstarted.cancel();
        assert_eq!(text(&*unstarted.join().expect_err("a panic")), "a destructor panics");
        assert_eq!(drops.count(), 1);
        let payload = cove::runtime_handle().spawn_on(1, || drop(Bomb(None))).join();
        assert_eq!(text(&*payload.expect_err("a panic")), "a destructor panics");
    });
}

/// Goal: a panic during the unwinding of a cancellation ends the process as any second panic does,
/// with a message. Method: a child.
#[test]
fn panic_in_a_destructor_during_cancellation_aborts() {
    let name = "destructors::panic_in_a_destructor_during_cancellation_aborts";
    let child = child::observed(name, &[], || {
        cove::run(|| {
            let waiting = cove::spawn(|| {
                let _bomb = Bomb(None);
                task::park();
            });
            task::yield_now();
            waiting.cancel();
            drop(waiting.join());
        });
    });
    if let Some(child) = child {
        child.says("a destructor panics");
        child.aborted();
    }
}

/// Goal: the same when the runtime's end unwinds. Method: a child.
#[test]
fn panic_in_a_destructor_while_the_runtime_ends_aborts() {
    let name = "destructors::panic_in_a_destructor_while_the_runtime_ends_aborts";
    let child = child::observed(name, &[], || {
        cove::run(|| {
            drop(cove::spawn(|| {
                let _bomb = Bomb(None);
                task::park();
            }));
            task::yield_now();
        });
    });
    if let Some(child) = child {
        child.says("a destructor panics");
        child.aborted();
    }
}

cove::coroutine_local! {
    static FIRST: RefCell<Option<Bomb>> = RefCell::new(None);
    static SECOND: RefCell<Option<crate::waits::Guard>> = RefCell::new(None);
    static THIRD: RefCell<Option<Bomb>> = RefCell::new(None);
}

fn fill_locals(drops: &Drops) {
    FIRST.set(Some(Bomb::new(drops)));
    SECOND.set(Some(drops.guard()));
    THIRD.set(Some(Bomb::new(drops)));
}

/// Goal: coroutine-locals may panic when they are dropped: all of them are, and neither the result
/// nor the cancellation is lost. Method: a normal end, a panic, a cancellation, the root's end.
#[test]
fn panic_in_the_destructors_of_coroutine_locals_is_contained() {
    let drops = Drops::default();
    cove::run(|| {
        let ours = drops.clone();
        let returning = cove::spawn(move || {
            fill_locals(&ours);
            7
        });
        assert_eq!(returning.join().expect("its result"), 7);
        assert_eq!(drops.count(), 3);
        let ours = drops.clone();
        let panicking = cove::spawn(move || {
            fill_locals(&ours);
            panic!("of its own");
        });
        let payload = panicking.join().map(|(): ()| ()).expect_err("its panic");
        assert_eq!(text(&*payload), "of its own");
        assert_eq!(drops.count(), 6);
        let ours = drops.clone();
        let cancelled = cove::spawn(move || {
            fill_locals(&ours);
            task::park();
        });
        task::yield_now();
        cancelled.cancel();
        assert!(cancelled.join().expect_err("cancelled").is::<Cancelled>());
        assert_eq!(drops.count(), 9);
        fill_locals(&drops);
    });
    assert_eq!(drops.count(), 12);
}

/// Goal: values that are left in a channel may panic: each is dropped once, the channel is closed,
/// nobody hangs. Method: receivers of all kinds of channel are dropped, then the sender sends.
#[test]
fn panic_in_the_destructors_of_values_left_in_a_channel_leaves_it_closed() {
    fn leave(drops: &Drops, send: impl Fn(Bomb) -> Option<Bomb>, receiver: impl Sized) {
        let before = drops.count();
        (0..40).for_each(|_| assert!(send(Bomb::new(drops)).is_none()));
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(receiver)));
        assert_eq!(text(&*dropped.expect_err("a panic")), "a destructor panics");
        let count = drops.count() - before;
        assert!((1..=40).contains(&count), "{count} of 40 dropped");
        let refused = send(Bomb::new(drops)).expect("nobody receives any more");
        assert!(catch_unwind(AssertUnwindSafe(|| drop(refused))).is_err());
    }
    child::in_runtime(
        "destructors::panic_in_the_destructors_of_values_left_in_a_channel_leaves_it_closed",
        || {
            let drops = Drops::default();
            let (sender, receiver) = mpsc::channel();
            leave(&drops, |bomb| sender.send(bomb).err().map(|error| error.0), receiver);
            let (sender, receiver) = mpsc::sync_channel(64);
            leave(&drops, |bomb| sender.send(bomb).err().map(|error| error.0), receiver);
        },
    );
}

/// Goal: a destructor in a channel may use that very channel. Method: values that send, receive and
/// drop the last sender when they are dropped with the receiver.
#[test]
fn destructors_of_values_left_in_a_channel_may_use_it() {
    struct Nosy(RefCell<Option<mpsc::Sender<Nosy>>>, Rc<Cell<u32>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            if let Some(sender) = self.0.take() {
                let refused = sender.send(Nosy(RefCell::new(None), self.1.clone()));
                assert!(refused.is_err(), "the receiver is gone");
            }
        }
    }
    child::in_runtime("destructors::destructors_of_values_left_in_a_channel_may_use_it", || {
        let count = Rc::new(Cell::new(0));
        let (sender, receiver) = mpsc::channel();
        for _ in 0..10 {
            let value = Nosy(RefCell::new(Some(sender.clone())), count.clone());
            assert!(sender.send(value).is_ok());
        }
        drop(sender);
        drop(receiver);
        assert_eq!(count.get(), 20);
    });
}

/// Goal: what nobody will take may panic: the runtime goes on. Method: results, and payloads of
/// panics, of detached coroutines; results of jobs whose coroutine was cancelled.
#[test]
fn panic_in_the_destructor_of_what_nobody_takes_is_contained() {
    child::in_runtime(
        "destructors::panic_in_the_destructor_of_what_nobody_takes_is_contained",
        || {
            let drops = Drops::default();
            let ours = drops.clone();
            drop(cove::spawn(move || Bomb::new(&ours)));
            drop(cove::spawn(|| panic_any(SendBomb)));
            task::yield_now();
            assert_eq!(drops.count(), 1);
            let (release, released) = std::sync::mpsc::channel::<()>();
            let waiting = cove::spawn(|| {
                task::blocking(move || {
                    let _ = released.recv();
                    SendBomb
                })
            });
            task::yield_now();
            waiting.cancel();
            assert!(waiting.join().is_err_and(|payload| payload.is::<Cancelled>()));
            drop(release);
            crate::holdings::settle();
            assert_eq!(task::blocking(|| 42), 42);
        },
    );
}

/// A result that may go to another thread.
struct SendBomb;

impl Drop for SendBomb {
    fn drop(&mut self) {
        panic!("a destructor panics");
    }
}

/// Goal: destructors may do anything but panic while the runtime ends. Method: they spawn, cancel
/// others, wait for time, open deadline scopes, lock, and send to those that are ending too.
#[test]
fn destructors_may_use_the_runtime_while_it_ends() {
    struct Busy(mpsc::Sender<u32>, task::Handle, Rc<Cell<u32>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            let count = self.2.clone();
            drop(cove::spawn(move || count.set(count.get() + 1000)));
            self.1.cancel();
            task::park_timeout(std::time::Duration::from_micros(10));
            let _ = self.0.send(1);
            let lock = cove::sync::Mutex::new(0);
            *lock.lock().expect("not poisoned") += 1;
            let _ = cove::time::timeout(std::time::Duration::from_micros(1), task::yield_now);
            self.2.set(self.2.get() + 1);
        }
    }
    child::alone("destructors::destructors_may_use_the_runtime_while_it_ends", || {
        let count = Rc::new(Cell::new(0));
        cove::run(|| {
            let (sender, receiver) = mpsc::channel();
            let root = cove::spawn(move || while receiver.recv().is_ok() {});
            for _ in 0..100 {
                let busy = Busy(sender.clone(), root.task(), count.clone());
                cove::spawn(move || {
                    let _busy = busy;
                    task::park();
                });
            }
            task::yield_now();
        });
        // Coroutines that are spawned while the runtime ends never run.
        assert_eq!(count.get(), 100);
    });
}

/// Locks when dropped.
struct LocksWhenDropped(Arc<Mutex<u32>>);

impl Drop for LocksWhenDropped {
    fn drop(&mut self) {
        *self.0.lock().expect("nobody panics with it") += 1;
    }
}

/// Goal: a destructor that keeps the thread to itself for long does not do so in silence; when what
/// it waits for comes after all, everything goes on. Method: a cancelled coroutine locks what a
/// thread holds until the parent has read about it; then a wait that is short.
#[test]
fn long_wait_in_a_destructor_is_told_of() {
    let name = "destructors::long_wait_in_a_destructor_is_told_of";
    let cue = "keeps thread";
    let child = child::answered(name, cue, || {
        let mutex = Arc::new(Mutex::new(0));
        let (held, is_held) = std::sync::mpsc::channel();
        let of_thread = mutex.clone();
        let thread = std::thread::spawn(move || {
            let _guard = of_thread.lock().expect("nobody panics with it");
            held.send(()).expect("the other end waits");
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("the end of stdin");
        });
        is_held.recv().expect("the thread sends");
        cove::run(|| {
            let builder = task::Builder::new().name("locks late");
            let of_task = LocksWhenDropped(mutex.clone());
            let waiting = builder.spawn(move || drop((task::park(), of_task))).expect("a stack");
            task::yield_now();
            waiting.cancel();
            assert!(waiting.join().expect_err("cancelled").is::<Cancelled>());
            assert_eq!(*mutex.lock().expect("nobody panics with it"), 1);
        });
        thread.join().expect("it does not panic");
    });
    if let Some(child) = child {
        child.succeeded();
        child.says_once(cue);
        child
            .says(" 'locks late' has waited in a destructor for 5 s while it unwinds, for: mutex.");
    }
}
