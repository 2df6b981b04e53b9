//! Which numbers of a table are the best ones.

use super::{Measured, TableRow};

/// How many paired standard errors tell two numbers apart.
const ERRORS: f64 = 2.0;

/// The rule of [`best`] in words, for a note below a table.
pub const RULE_OF_BEST: &str = "Bold: the lowest of its variance at that K, and what two paired standard errors do not tell from it, where one of the two is the optimal stride.";

/// Which rows are the lowest of their variance and number of steps, or not to be told from it: by their difference from it, paired, where
/// one of the two is the optimal stride. Rows of all timesteps are compared with nothing.
pub fn best(rows: &[TableRow]) -> Vec<bool> {
    let compared = |row: &TableRow| row.stride != "all" && row.bpd.is_finite();
    let is_best = |row: &TableRow| {
        let rivals = rows.iter().filter(|other| {
            let same = other.variance == row.variance && other.mean == row.mean;
            same && other.steps == row.steps && compared(other)
        });
        let lowest = rivals.min_by(|a, b| a.bpd.total_cmp(&b.bpd));
        compared(row) && lowest.is_some_and(|lowest| row.bpd <= lowest.bpd || alike(row, lowest))
    };
    rows.iter().map(is_best).collect()
}

/// Whether the paired difference of two rows is known, and small.
fn alike(a: &TableRow, b: &TableRow) -> bool {
    let difference = match (a.stride.as_str(), b.stride.as_str()) {
        ("dp", _) => b.dp_minus_this,
        (_, "dp") => a.dp_minus_this,
        _ => None,
    };
    difference.is_some_and(|d| d.bpd.abs() <= ERRORS * d.standard_error)
}

/// The rule of [`lowest`] in words.
pub const RULE_OF_LOWEST: &str = "Bold: the lowest of its sampler and K, and what two standard errors of the difference, not paired, do not tell from it.";

/// Which numbers are the lowest of a list, or not to be told from it by their own errors, which are not paired.
pub fn lowest(numbers: &[Measured]) -> Vec<bool> {
    let finite = numbers.iter().filter(|number| number.value.is_finite());
    let Some(least) = finite.min_by(|a, b| a.value.total_cmp(&b.value)) else {
        return vec![false; numbers.len()];
    };
    let error = |number: &Measured| number.standard_error.unwrap_or(0.0);
    let near = |number: &Measured| {
        let error = error(number).hypot(error(least));
        number.value <= least.value || number.value - least.value <= ERRORS * error
    };
    numbers.iter().map(near).collect()
}

#[cfg(test)]
mod tests {
    use ddpm_core::{DecoderKind, MeanKind, VarianceKind};

    use super::*;
    use crate::results::PairedDifference;

    fn row(stride: &str, steps: usize, bpd: f64, difference: Option<(f64, f64)>) -> TableRow {
        TableRow {
            stride: stride.to_owned(),
            variance: VarianceKind::Learned,
            mean: MeanKind::Network,
            decoder: DecoderKind::Respaced,
            scored_decoder: DecoderKind::Respaced,
            steps,
            bpd,
            standard_error: 0.05,
            train_bpd: bpd,
            dp_minus_this: difference.map(|(bpd, standard_error)| PairedDifference {
                bpd,
                standard_error,
            }),
            path: Vec::new(),
        }
    }

    #[test]
    fn the_lowest_is_found_and_what_its_error_covers() {
        let number = |value: f64, standard_error: Option<f64>| Measured {
            value,
            standard_error,
        };
        let numbers = [
            number(3.0, Some(0.3)),
            number(3.9, Some(0.4)),
            number(4.1, Some(0.4)),
            number(f64::NAN, None),
        ];
        assert_eq!(lowest(&numbers), [true, true, false, false]);
        assert_eq!(lowest(&numbers[3..]), [false]);
    }

    #[test]
    fn the_lowest_is_best_and_what_is_paired_with_it_and_near() {
        let rows = [
            row("even", 8, 6.0, Some((-2.0, 0.1))),
            row("quadratic", 8, 4.01, Some((-0.01, 0.006))),
            row("dp", 8, 4.0, None),
            row("even", 16, 3.9, Some((-0.2, 0.01))),
            row("quadratic", 16, 3.8, Some((-0.1, 0.01))),
            row("dp", 16, 3.7, None),
            row("dp-free", 16, 3.6, Some((0.1, 0.01))),
            row("all", 4000, 3.5, None),
        ];
        let expected = [false, true, true, false, false, false, true, false];
        assert_eq!(best(&rows), expected);
        // Without an error bar nothing else is known to be alike.
        let unknown = [
            row("even", 8, 4.01, Some((-0.01, f64::NAN))),
            row("dp", 8, 4.0, None),
        ];
        assert_eq!(best(&unknown), [false, true]);
    }
}
