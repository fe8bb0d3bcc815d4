//! What a run found, for people and for programs.

use crate::options::Kind;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::{Deserialize, Serialize};

/// The figures of one kind of stack. "Each" is: divided by the number of coroutines.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) stack: Kind,
    pub(crate) count: u32,
    /// To spawn a coroutine and run it until it is parked.
    pub(crate) create_ns: f64,
    /// From the first deadline until all have been joined.
    pub(crate) wake_ns: f64,
    /// Resident memory, page tables and other memory of the kernel.
    pub(crate) bytes_each: f64,
    pub(crate) rss_bytes_each: f64,
    pub(crate) page_table_bytes_each: f64,
    pub(crate) late_p50_us: u64,
    pub(crate) late_p99_us: u64,
    /// Coroutines that woke before their deadlines.
    pub(crate) early: u64,
    pub(crate) mappings: usize,
    pub(crate) peak_rss_bytes: i64,
    /// Whether all values arrived, by the channel and by joining.
    pub(crate) checksum_ok: bool,
}

/// All that a call of the program found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) runs: Vec<Run>,
}

impl Run {
    /// Whether all coroutines did what they should.
    pub(crate) fn is_good(&self) -> bool {
        self.checksum_ok && self.early == 0
    }
}

/// The figures for people.
pub(crate) fn table(run: &Run) -> Table {
    let kernel_bytes_each = run.bytes_each - run.rss_bytes_each - run.page_table_bytes_each;
    let checksum = if run.checksum_ok { "right" } else { "WRONG" };
    let rows = [
        ("create + park, ns each", format!("{:.0}", run.create_ns)),
        ("wake + finish, ns each", format!("{:.0}", run.wake_ns)),
        ("resident memory, bytes each", format!("{:.1}", run.rss_bytes_each)),
        ("page tables, bytes each", format!("{:.1}", run.page_table_bytes_each)),
        ("kernel, bytes each", format!("{:.1}", kernel_bytes_each.abs())),
        ("all memory, bytes each", format!("{:.1}", run.bytes_each)),
        ("timers late, median, us", run.late_p50_us.to_string()),
        ("timers late, 99th percentile, us", run.late_p99_us.to_string()),
        ("timers early", run.early.to_string()),
        ("mappings", run.mappings.to_string()),
        ("peak resident memory, MiB", (run.peak_rss_bytes >> 20).to_string()),
        ("sum of all values", String::from(checksum)),
    ];
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header([format!("{:?} stacks", run.stack), run.count.to_string()]);
    for (name, value) in rows {
        table.add_row([String::from(name), value]);
    }
    if let Some(values) = table.column_mut(1) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    table
}
