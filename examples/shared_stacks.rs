//! Shared stacks: coroutines that take turns on the same memory, so that each costs only what it
//! keeps on its stack while it waits.
//!
//! ```sh
//! cargo run --release --example shared_stacks -- 100000
//! ```

use cove::task::{self, Builder};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Reports where its local lies, then keeps a value there while everybody else uses the stack.
fn visitor(number: u64, addresses: &RefCell<BTreeMap<usize, u64>>) -> u64 {
    let local = Cell::new(number);
    *addresses.borrow_mut().entry(local.as_ptr() as usize).or_default() += 1;
    task::yield_now();
    local.set(local.get() * 2);
    task::yield_now();
    local.get()
}

fn main() -> std::io::Result<()> {
    let count: u64 = match std::env::args().nth(1).map(|text| text.parse()) {
        None => 10_000,
        Some(Ok(count)) => count,
        Some(Err(error)) => {
            eprintln!("usage: shared_stacks [COUNT]: {error}");
            std::process::exit(2);
        }
    };
    cove::run(|| {
        let addresses = Rc::new(RefCell::new(BTreeMap::new()));
        let mut handles = Vec::new();
        for number in 0..count {
            let addresses = addresses.clone();
            let work = move || visitor(number, &addresses);
            // SAFETY: `visitor` lends its local to nobody over a wait, and waits in no nested
            // coroutine.
            handles.push(unsafe { Builder::new().spawn_on_shared_stack(work)? });
        }
        let sum: u64 =
            handles.into_iter().map(|handle| handle.join().expect("no visitor panics")).sum();
        assert_eq!(sum, count * count.saturating_sub(1));
        println!("{count} coroutines, sum {sum}; their local variable lay at");
        for (address, visitors) in addresses.borrow().iter() {
            println!("  {address:#x} for {visitors} of them");
        }
        Ok(())
    })
}
