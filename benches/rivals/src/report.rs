//! What was found: judged against the targets, as a table for people and as JSON for programs.

use crate::figures::Summary;
use crate::plan::{Better, Bound, Row, TRIALS, Trial};
use crate::rivals::Rival;
use crate::run::{Entry, Outcome};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use std::collections::BTreeMap;

/// All that was found: `{"rows": [..]}`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    rows: Vec<Judged>,
}

/// One figure of everybody, and the verdict.
#[derive(Debug, Serialize)]
pub(crate) struct Judged {
    pub(crate) id: &'static str,
    pub(crate) work: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) cove: Option<Summary>,
    pub(crate) rivals: BTreeMap<String, Summary>,
    /// Why there is nothing of these.
    pub(crate) missing: BTreeMap<String, String>,
    /// What the target bounds; smaller is better.
    pub(crate) ratio: Option<f64>,
    pub(crate) target: Option<f64>,
    /// None if whom the target names is missing: nobody who is not there is beaten.
    pub(crate) pass: Option<bool>,
    /// The best of those that did the same, and the ratio against it.
    pub(crate) best: Option<(String, f64)>,
}

/// Every figure of these trials.
pub(crate) fn json(outcomes: &[Outcome]) -> Report {
    Report { rows: outcomes.iter().flat_map(judged).collect() }
}

/// The verdicts on one trial.
pub(crate) fn judged(outcome: &Outcome) -> Vec<Judged> {
    outcome.trial.rows.iter().map(|row| judge(outcome, row)).collect()
}

fn judge(outcome: &Outcome, row: &Row) -> Judged {
    let summary = |entry: &Entry| {
        let rounds = entry.rounds.as_ref().ok()?;
        let values: Vec<_> = rounds.iter().filter_map(|found| found.get(row.figure)).collect();
        Summary::of(&values.into_iter().copied().collect::<Vec<_>>())
    };
    let cove = outcome.entries.iter().find(|entry| entry.rival == Rival::Cove);
    let size = cove.map(|entry| entry.count);
    let cove = cove.and_then(summary);
    let (mut rivals, mut missing) = (BTreeMap::new(), BTreeMap::new());
    let (mut against, mut best) = (Vec::new(), None::<(String, f64)>);
    for entry in &outcome.entries {
        let Some(theirs) = summary(entry) else {
            let reason = entry.rounds.as_ref().err().cloned();
            let reason = reason.unwrap_or_else(|| format!("does not tell {}", row.figure));
            missing.insert(entry.rival.name(), reason);
            continue;
        };
        if entry.rival == Rival::Cove {
            continue;
        }
        rivals.insert(entry.rival.name(), theirs);
        let ratio = cove.and_then(|ours| ratio(row.better, ours, theirs));
        if matches!(row.bound, Bound::Ratio(named, _) if named.contains(&entry.rival)) {
            against.push(ratio);
        }
        if let (Some(ratio), true) = (ratio, entry.rival.competes() && Some(entry.count) == size) {
            if best.as_ref().is_none_or(|(_, before)| ratio > *before) {
                best = Some((entry.rival.name(), ratio));
            }
        }
    }
    let (ratio, target) = match (row.bound, cove) {
        (Bound::Ratio(named, most), _) if against.len() == named.len() => {
            // The best of them is the one against whom cove's ratio is the largest.
            let worst = against.into_iter().flatten().max_by(f64::total_cmp);
            (worst, Some(most))
        }
        (Bound::Ratio(_, most), _) => (None, Some(most)),
        (Bound::Figure(most), Some(ours)) => (Some(value(row.better, ours)), Some(most)),
        (Bound::Figure(most), None) => (None, Some(most)),
        (Bound::Free, _) => (None, None),
    };
    let pass = ratio.zip(target).map(|(ratio, target)| ratio <= target);
    let (id, work, unit) = (outcome.trial.id, row.what, row.unit);
    Judged { id, work, unit, cove, rivals, missing, ratio, target, pass, best }
}

/// The one value of a figure that is compared.
fn value(better: Better, figure: Summary) -> f64 {
    match better {
        Better::Less => figure.min,
        Better::LessSampled => figure.median,
        Better::More => figure.max,
    }
}

/// How cove compares, so that smaller is better. None against nothing at all.
fn ratio(better: Better, ours: Summary, theirs: Summary) -> Option<f64> {
    let (ours, theirs) = (value(better, ours), value(better, theirs));
    let ratio = if better == Better::More { theirs / ours } else { ours / theirs };
    ratio.is_finite().then_some(ratio)
}

/// A trial for people, each figure in a table of its own.
pub(crate) fn table(outcome: &Outcome) -> String {
    let tables: Vec<_> = judged(outcome).iter().map(table_of).collect();
    tables.join("\n")
}

fn table_of(row: &Judged) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header([row.id, "minimum", "median", "maximum", row.unit]);
    let cove = row.cove.iter().map(|figure| ("cove".to_owned(), *figure));
    for (name, figure) in cove.chain(row.rivals.iter().map(|(name, found)| (name.clone(), *found)))
    {
        let note = match &row.best {
            Some((best, ratio)) if *best == name => format!("the best rival: {ratio:.3}"),
            _ => String::new(),
        };
        let [min, median, max] = [figure.min, figure.median, figure.max].map(number);
        table.add_row([name, min, median, max, note]);
    }
    for column in 1..=3 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("{} {}\n{table}\n", row.id, row.work);
    for (name, reason) in &row.missing {
        text += &format!("missing: {name}: {reason}\n");
    }
    text + &verdict(row) + "\n"
}

/// One sentence.
pub(crate) fn verdict(row: &Judged) -> String {
    match (row.ratio, row.target, row.pass) {
        (Some(ratio), Some(target), Some(true)) => {
            format!("ratio {}, target {}: met", number(ratio), number(target))
        }
        (Some(ratio), Some(target), _) => {
            format!("ratio {}, target {}: MISSED", number(ratio), number(target))
        }
        (None, Some(target), _) => format!("target {}: cannot be judged", number(target)),
        _ => "no target".to_owned(),
    }
}

/// Three digits and more, as suits the size.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// What there is to run.
pub(crate) fn list(trials: &[&'static Trial]) -> String {
    assert!(trials.len() <= TRIALS.len());
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header(["id", "work", "target", "who"]);
    for trial in trials {
        let who: Vec<_> = trial.entrants.iter().map(|(rival, _)| rival.name()).collect();
        for row in trial.rows {
            let target = match row.bound {
                Bound::Ratio(against, most) => {
                    let names: Vec<_> = against.iter().map(|rival| rival.name()).collect();
                    format!("{most} x {}", names.join(", "))
                }
                Bound::Figure(most) => format!("{} {}", number(most), row.unit),
                Bound::Free => String::new(),
            };
            table.add_row([trial.id, row.what, &target, &who.join(" ")]);
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Figures, figures};
    use crate::plan::chosen;

    fn rounds(name: &str, values: &[f64]) -> Result<Vec<Figures>, String> {
        Ok(values.iter().map(|value| figures([(name, *value)])).collect())
    }

    /// An outcome of the first trial with this id, from what each rival found.
    fn outcome(id: &str, found: &[(Rival, Result<Vec<Figures>, String>)]) -> Outcome {
        let trial = chosen(&[id.to_owned()]).expect("it is in the plan")[0];
        let entries = found.iter().map(|(rival, rounds)| {
            let count = trial.entrants.iter().find(|(name, _)| name == rival);
            Entry { rival: *rival, count: count.expect("it is").1, rounds: rounds.clone() }
        });
        Outcome { trial, entries: entries.collect() }
    }

    /// Goal: times are compared by their minima, and with the rival that the target names. Method:
    /// another one is faster, and medians would say otherwise.
    #[test]
    fn a_ratio_is_that_of_minima_against_the_named_rival() {
        let judged = judged(&outcome(
            "P4",
            &[
                (Rival::Cove, rounds("ns", &[90.0, 10.0, 95.0])),
                (Rival::Tokio, rounds("ns", &[100.0, 101.0, 102.0])),
                (Rival::Corosensei, rounds("ns", &[5.0])),
                (Rival::May, Err("is not here".to_owned())),
            ],
        ));
        let [row] = &judged[..] else { panic!("{judged:?}") };
        assert_eq!((row.ratio, row.target, row.pass), (Some(0.1), Some(0.2), Some(true)));
        assert_eq!(row.best, Some(("corosensei".to_owned(), 2.0)));
        assert_eq!(row.cove.map(|ours| ours.median), Some(90.0));
        assert_eq!(row.missing["may"], "is not here");
    }

    /// Goal: throughput is inverted, and the best of those named counts. Method: one is slower than
    /// cove, one is faster.
    #[test]
    fn throughput_is_inverted_and_against_the_best() {
        let judged = judged(&outcome(
            "P10",
            &[
                (Rival::Cove, rounds("requests_per_s", &[100.0, 90.0])),
                (Rival::Tokio, rounds("requests_per_s", &[50.0])),
                (Rival::May, rounds("requests_per_s", &[125.0])),
                (Rival::Bare, rounds("requests_per_s", &[500.0])),
            ],
        ));
        let row = judged.last().expect("the throughput is the last row");
        assert_eq!((row.ratio, row.pass), (Some(1.25), Some(false)));
        assert_eq!(row.best, Some(("may".to_owned(), 1.25)));
    }

    /// Goal: nobody who is not there is beaten. Method: whom the target names is missing; a bound
    /// on the figure itself needs nobody.
    #[test]
    fn a_missing_rival_is_not_beaten() {
        let missing = Err("is not installed".to_owned());
        let row =
            judged(&outcome("P2", &[(Rival::Cove, rounds("ns", &[1.0])), (Rival::May, missing)]));
        assert_eq!((row[0].ratio, row[0].pass), (None, None));
        assert_eq!(verdict(&row[0]), "target 0.120: cannot be judged");
        let row = judged(&outcome("P7", &[(Rival::Cove, rounds("bytes", &[330.0]))]));
        assert_eq!((row[0].ratio, row[0].pass), (Some(330.0), Some(true)));
    }
}
