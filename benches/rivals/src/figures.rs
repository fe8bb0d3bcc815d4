//! Figures: what one run of a work found, and what many runs come to.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one run found: the name of a figure, with its unit, and its value.
///
/// | name | what |
/// |---|---|
/// | `ns` | time of the processor for one operation |
/// | `bytes` | memory for one coroutine: resident, page tables, the kernel's |
/// | `count` | how many coroutines there really were |
/// | `operations` | how many operations were done, warm-up included |
pub(crate) type Figures = BTreeMap<String, f64>;

/// Builds [`Figures`] from pairs.
pub(crate) fn figures<const N: usize>(pairs: [(&str, f64); N]) -> Figures {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// One figure over many rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// None without any value.
    pub(crate) fn of(values: &[f64]) -> Option<Summary> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let middle = if sorted.len() % 2 == 1 {
            sorted[half]
        } else {
            (sorted[half - 1] + sorted[half]) / 2.0
        };
        Some(Summary { min, median: middle, max })
    }
}

/// The median, or NaN of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    Summary::of(values).map_or(f64::NAN, |summary| summary.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: minimum, median and maximum are those of the definition. Method: few values, out of
    /// order, an odd and an even number of them.
    #[test]
    fn a_summary_is_that_of_the_sorted_values() {
        let odd = Summary::of(&[3.0, 1.0, 2.0]);
        assert_eq!(odd, Some(Summary { min: 1.0, median: 2.0, max: 3.0 }));
        let even = Summary::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!(even, Some(Summary { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(Summary::of(&[]), None);
    }
}
