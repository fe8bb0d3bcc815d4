//! Generators over bare coroutines, without any scheduler: a tree walked in order by a recursive
//! function, two such walks compared side by side, and a parser that is fed as input arrives.
//!
//! ```sh
//! cargo run --example generators
//! ```

use cove::coroutine::{self, Coroutine, CoroutineState, Suspender};
use std::rc::Rc;

/// A binary tree of numbers.
enum Tree {
    Leaf,
    Node(Box<Tree>, u32, Box<Tree>),
}

impl Tree {
    fn insert(self, value: u32) -> Tree {
        match self {
            Tree::Leaf => Tree::Node(Box::new(Tree::Leaf), value, Box::new(Tree::Leaf)),
            Tree::Node(left, own, right) if value < own => {
                Tree::Node(Box::new(left.insert(value)), own, right)
            }
            Tree::Node(left, own, right) => Tree::Node(left, own, Box::new(right.insert(value))),
        }
    }

    /// Yields the numbers in order, from any depth of the recursion.
    fn walk(&self, suspender: &Suspender<(), u32>) {
        if let Tree::Node(left, value, right) = self {
            left.walk(suspender);
            suspender.suspend(*value);
            right.walk(suspender);
        }
    }
}

/// The numbers of a tree in order, as an iterator that keeps the tree alive.
fn in_order(tree: Rc<Tree>) -> impl Iterator<Item = u32> {
    Coroutine::new(move |suspender, ()| tree.walk(suspender))
}

fn tree_of(values: &[u32]) -> Tree {
    values.iter().fold(Tree::Leaf, |tree, value| tree.insert(*value))
}

/// Sums the numbers of a text that arrives in pieces, cut anywhere.
fn parser() -> Coroutine<Option<String>, (), u64> {
    Coroutine::new(|suspender, first: Option<String>| {
        let (mut sum, mut number, mut piece) = (0, 0, first);
        while let Some(text) = piece {
            for letter in text.chars() {
                match letter.to_digit(10) {
                    Some(digit) => number = number * 10 + u64::from(digit),
                    None => sum += std::mem::take(&mut number),
                }
            }
            piece = suspender.suspend(());
        }
        sum + number
    })
}

fn main() {
    let (one, other) = (tree_of(&[5, 2, 8, 1, 9]), tree_of(&[9, 8, 5, 2, 1]));
    // A coroutine that borrows lives in a scope; one that owns what it uses may go anywhere.
    let walked: Vec<u32> =
        coroutine::scope(|suspender, ()| one.walk(suspender), |walk| walk.collect());
    println!("in order: {walked:?}");
    assert_eq!(walked, [1, 2, 5, 8, 9]);
    // Neither tree is flattened: both walks stop in the middle of their recursions.
    let same = in_order(Rc::new(one)).eq(in_order(Rc::new(other)));
    println!("same fringe: {same}");
    assert!(same);

    let mut parser = parser();
    for piece in ["12 3", "0 7", "0"] {
        assert_eq!(parser.resume(Some(piece.into())), CoroutineState::Yielded(()));
    }
    match parser.resume(None) {
        CoroutineState::Complete(sum) => {
            println!("sum of the pieces: {sum}");
            assert_eq!(sum, 12 + 30 + 70);
        }
        CoroutineState::Yielded(()) => unreachable!("the input has ended"),
    }
}
