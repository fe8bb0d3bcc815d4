//! The command line.

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

/// A million coroutines on one thread: what each costs in time and memory.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// How many coroutines there are.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// The kinds of stack, one after the other.
    #[arg(long, value_enum, default_value_t = Stacks::Both)]
    pub(crate) stack: Stacks,
    /// The size of a private stack.
    #[arg(long, default_value_t = 131_072)]
    pub(crate) stack_bytes: usize,
    /// The deadlines are spread over this many seconds.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// First leave all of them parked for this many seconds, with no timer due.
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub(crate) idle: f64,
    /// Print one JSON object, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
    /// Do the job for one kind of stack, in this process; print its figures as JSON.
    #[arg(long, hide = true)]
    pub(crate) child: Option<Kind>,
    /// How many times as long as foreseen the coroutines may take to be made.
    #[arg(long, hide = true, default_value_t = 2)]
    pub(crate) patience: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Stacks {
    Private,
    Shared,
    Both,
}

/// What the coroutines of a run live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Private,
    Shared,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=1e6).contains(&seconds) => Ok(seconds),
        _ => Err(String::from("not a number of seconds from 0 to 1e6")),
    }
}
