//! `coroutine_local!`: whose a variable is, when it is made, when and in which order it is dropped.

use cove::local::AccessError;
use cove::sync::{Arc, Mutex};
use cove::task;
use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;

type Log = Rc<RefCell<Vec<String>>>;

/// Notes when it is dropped.
struct Noted {
    name: &'static str,
    log: Log,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.log.borrow_mut().push(self.name.into());
    }
}

cove::coroutine_local! {
    static FIRST: RefCell<Option<Noted>> = const { RefCell::new(None) };
    static SECOND: RefCell<Option<Noted>> = RefCell::new(None);
    static THIRD: RefCell<Option<Noted>> = RefCell::default();
    /// With a comment and a visibility.
    pub(crate) static COUNT: Cell<u32> = Cell::new(0);
    static NAME: String = task::try_current().map_or("none".into(), |it| it.id().to_string())
}

fn fill(log: &Log) {
    let noted = |name| Some(Noted { name, log: log.clone() });
    SECOND.set(noted("second"));
    FIRST.set(noted("first"));
    THIRD.with(|it| *it.borrow_mut() = noted("third"));
}

#[test]
fn every_coroutine_counts_for_itself_across_waits() {
    // Goal: variables belong to coroutines, wherever they take turns. Method: many count to
    // different numbers with yields between; the root and a worker's coroutines count as well.
    let runtime = cove::Builder::new().workers(2).build().unwrap();
    let count_to = |limit: u32| {
        assert_eq!(COUNT.get(), 0);
        for _ in 0..limit {
            COUNT.set(COUNT.get() + 1);
            task::yield_now();
        }
        COUNT.get()
    };
    COUNT.set(1000);
    let remote = runtime.handle().spawn_on(1, move || {
        let inner = cove::spawn(move || count_to(7));
        (count_to(5), inner.join().unwrap())
    });
    runtime.run(|| {
        let counters: Vec<_> = (1..20).map(|n| cove::spawn(move || count_to(n))).collect();
        assert_eq!(count_to(3), 3);
        let counts: Vec<_> = counters.into_iter().map(|counter| counter.join().unwrap()).collect();
        assert_eq!(counts, (1..20).collect::<Vec<_>>());
        assert_eq!(remote.join().unwrap(), (5, 7));
    });
    assert_eq!(COUNT.take(), 1000, "the thread's own");
}

#[test]
fn initialisers_run_in_their_coroutine_at_the_first_use() {
    // Goal: lazy and per coroutine. Method: the initialiser tells by whom it runs.
    cove::run(|| {
        let names: Vec<_> = (0..3)
            .map(|_| {
                cove::spawn(|| {
                    let id = task::current().id().to_string();
                    task::yield_now();
                    (NAME.with(String::clone), id)
                })
            })
            .collect();
        for name in names {
            let (name, id) = name.join().unwrap();
            assert_eq!(name, id);
        }
    });
    assert_eq!(NAME.with(String::clone), "none");
}

#[test]
fn variables_are_dropped_last_made_first_however_it_ends() {
    // Goal: order, at the end by return, panic, cancellation and the runtime's end. Method: three
    // noted values in each coroutine; the log after the join.
    let log: Log = Rc::default();
    let order = ["third", "first", "second"];
    cove::run(|| {
        for how in 0..3 {
            let log_of_task = log.clone();
            let coroutine = cove::spawn(move || {
                fill(&log_of_task);
                match how {
                    0 => {}
                    1 => resume_unwind(Box::new("on purpose")),
                    _ => task::park(),
                }
            });
            task::yield_now();
            coroutine.cancel();
            assert_eq!(coroutine.join().is_ok(), how == 0);
            assert_eq!(log.take(), order, "{how}");
        }
        let log = log.clone();
        cove::spawn(move || {
            fill(&log);
            task::park();
        });
        task::yield_now();
    });
    assert_eq!(log.take(), order);
}

#[test]
fn the_root_and_a_thread_drop_theirs_at_their_ends() {
    // Goal: the root's variables end with run, a plain thread's with the thread. Method: fill both;
    // look before and after.
    let log: Log = Rc::default();
    cove::run(|| {
        fill(&log);
        assert!(log.borrow().is_empty());
    });
    assert_eq!(log.take(), ["third", "first", "second"]);
    let dropped = Arc::new(());
    cove::coroutine_local! { static HELD: RefCell<Option<Arc<()>>> = RefCell::new(None); }
    let held = dropped.clone();
    std::thread::spawn(move || HELD.set(Some(held))).join().unwrap();
    assert_eq!(Arc::strong_count(&dropped), 1);
}

/// Uses variables when it is dropped, and says what came of it.
struct Last(Arc<Mutex<Vec<String>>>);

impl Drop for Last {
    fn drop(&mut self) {
        let mut log = self.0.lock().unwrap();
        log.push(format!("own {:?}", LAST.try_with(|_| ())));
        log.push(format!("older {:?}", COUNT.try_with(Cell::get)));
        log.push(format!("new {:?}", LATE.try_with(Cell::get)));
        drop(log);
        // The coroutine has ended, and may still wait.
        task::yield_now();
        self.0.lock().unwrap().push(format!("again {:?}", LATE.try_with(Cell::get)));
    }
}

cove::coroutine_local! {
    static LAST: RefCell<Option<Last>> = RefCell::new(None);
    static LATE: Cell<u8> = Cell::new(7);
}

#[test]
fn destructors_may_use_variables_but_not_their_own() {
    // Goal: access while variables are dropped. Method: a destructor that uses an older variable,
    // its own, and one that is made only then; and waits.
    let log = Arc::new(Mutex::new(Vec::new()));
    let shared = log.clone();
    cove::run(|| {
        let coroutine = cove::spawn(move || {
            COUNT.set(3);
            LAST.set(Some(Last(shared)));
        });
        coroutine.join().unwrap();
    });
    let expected =
        ["own Err(AccessError)", "older Ok(3)", "new Ok(7)", "again Ok(7)"].map(String::from);
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn what_a_gone_variable_says() {
    // Goal: the error's text, and that `with` panics with it. Method: ask in a destructor, catch.
    struct Asks(Rc<RefCell<Vec<String>>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            let asked = std::panic::catch_unwind(|| ASKED.with(|_| ()));
            let text = asked.unwrap_err().downcast_ref::<String>().cloned();
            self.0.borrow_mut().extend(text);
        }
    }
    cove::coroutine_local! { static ASKED: Cell<Option<Asks>> = Cell::new(None); }
    let log: Log = Rc::default();
    let asks = Asks(log.clone());
    cove::run(|| cove::spawn(move || ASKED.set(Some(asks))).join().unwrap());
    let error: Result<(), AccessError> = cove::run(|| ASKED.try_with(|_| ()));
    assert!(error.is_ok());
    assert_eq!(log.take(), ["the coroutine-local variable is being destroyed, or was"]);
}

#[test]
fn cells_are_borrowed_replaced_and_taken_as_std_s() {
    // Goal: the methods of LocalKey. Method: the same steps on a thread_local! of std.
    thread_local! { static OF_STD: RefCell<Vec<u32>> = RefCell::default(); }
    cove::coroutine_local! { static OURS: RefCell<Vec<u32>> = RefCell::default(); }
    macro_rules! steps {
        ($key:ident) => {{
            $key.with_borrow_mut(|it| it.push(1));
            let one = $key.with_borrow(Vec::clone);
            let two = $key.replace(vec![2, 3]);
            let three = $key.take();
            $key.set(vec![4]);
            (one, two, three, $key.with(|it| it.borrow().clone()))
        }};
    }
    let expected = steps!(OF_STD);
    assert_eq!(steps!(OURS), expected);
    cove::run(|| {
        assert_eq!(steps!(OURS), expected);
        assert_eq!(cove::spawn(|| steps!(OURS)).join().unwrap(), expected);
    });
}
