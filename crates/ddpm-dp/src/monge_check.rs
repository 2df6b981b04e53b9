//! Is the interior of a table Monge? A check of every adjacent quadruple.

use pulp::Arch;
use rayon::prelude::*;

use crate::cost_table::CostTable;

/// The result of [`check_monge`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MongeReport {
    /// The tolerance asked for, in the table's unit.
    pub tolerance: f64,
    /// The quadruple that violates the inequality most, or fulfils it least; the first in row order on ties. `None`
    /// if there are no quadruples (T < 4).
    pub worst: Option<Quadruple>,
    /// The largest finite |L(t, s)| of any quadruple.
    pub largest_cost: f64,
    /// The smallest margin by which a quadruple fulfils the inequality after everything that rounding can hide is
    /// taken off; see [`MongeReport::survives_rounding`].
    margin: f64,
}

/// One adjacent quadruple of edges, (t, s), (t, s+1), (t+1, s), (t+1, s+1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quadruple {
    /// Earlier row.
    pub t: usize,
    /// Earlier column, s >= 1, s+1 < t.
    pub s: usize,
    /// L(t,s) + L(t+1,s+1) - L(t,s+1) - L(t+1,s): not positive where the inequality holds, `+inf` where one of the
    /// edges is missing.
    pub violation: f64,
}

/// What is taken off a margin per unit of the costs in the quadruple. See [`MongeReport::survives_rounding`].
const TABLE_ROUNDING: f64 = 16.0 * f64::EPSILON;
/// What a margin must keep per unit of C\[k-1\].
const COST_ROUNDING: f64 = 8.0 * f64::EPSILON;

impl MongeReport {
    /// Whether no quadruple exceeds the tolerance.
    pub fn holds(&self) -> bool {
        self.worst.is_none_or(|q| q.violation <= self.tolerance)
    }

    /// Whether argmins are monotone in t not only in real arithmetic but among the rounded candidates
    /// fl(C\[k-1\]\[s\] + L(t, s)), ties included, for |C\[k-1\]| up to `largest_cost`.
    ///
    /// Let u be the unit roundoff. For s < s', t < t' the order of two candidates at t can differ from the order at t'
    /// in the wrong direction only if the sum of the margins inside the rectangle is at most the four roundings,
    /// u (4 |C| + the sum of the |L| at its corners). Each corner belongs to a quadruple of the rectangle, and margins
    /// that are not negative add up, so that it suffices that each margin exceeds 4 u (|C| + the largest |L| of its
    /// quadruple). The margin itself was computed with an error of at most 9 u times that largest |L|. The constants
    /// used are twice as large and more.
    pub(crate) fn survives_rounding(&self, largest_cost: f64) -> bool {
        self.margin > COST_ROUNDING * largest_cost
    }
}

/// Checks L(t,s) + L(t+1,s+1) <= L(t,s+1) + L(t+1,s) + `tolerance` on every adjacent quadruple with 1 <= s, s+1 < t,
/// t < T; a missing edge violates it.
///
/// With tolerance 0 the inequality then holds for all 1 <= s < s' < t < t' (up to the rounding of the check), which is
/// the quadrangle inequality that makes argmins monotone. The edges from node 0 are left out: they break it in every
/// ELBO, and the recurrence does not need it of them, since C\[1\] may be any vector. It says nothing about the edges
/// (2, 1) and (T, T-1), which are in no quadruple.
pub fn check_monge(table: &CostTable, tolerance: f64) -> MongeReport {
    let arch = Arch::new();
    let rows: Vec<RowSummary> = (3..table.train_steps())
        .into_par_iter()
        .map(|t| arch.dispatch(|| RowSummary::of(&table.row(t)[1..], &table.row(t + 1)[1..t])))
        .collect();
    let mut report = MongeReport {
        tolerance,
        worst: None,
        largest_cost: 0.0,
        margin: f64::INFINITY,
    };
    for (t, row) in (3..).zip(rows) {
        report.largest_cost = report.largest_cost.max(row.largest_cost);
        report.margin = report.margin.min(row.margin);
        if report.worst.is_none_or(|w| row.violation > w.violation) {
            report.worst = Some(Quadruple {
                t,
                s: 0,
                violation: row.violation,
            });
        }
    }
    if let Some(worst) = &mut report.worst {
        let (row, next) = (table.row(worst.t), table.row(worst.t + 1));
        let is_worst = |&s: &usize| violation(row, next, s) == worst.violation;
        worst.s = (1..worst.t - 1).find(is_worst).unwrap_or(1);
    }
    report
}

/// The extremes over the quadruples of two adjacent rows.
struct RowSummary {
    violation: f64,
    margin: f64,
    largest_cost: f64,
}

impl RowSummary {
    /// `row` = L(t, 1..t), `next` = L(t+1, 1..t).
    #[inline(always)]
    fn of(row: &[f64], next: &[f64]) -> Self {
        // One accumulator per lane: a single one would be a chain of comparisons that cannot be vectorised.
        const LANES: usize = 8;
        let mut violations = [f64::NEG_INFINITY; LANES];
        let mut margins = [f64::INFINITY; LANES];
        let mut largest = [0.0f64; LANES];
        let quadruples = row.len() - 1;
        for begin in (0..quadruples).step_by(LANES) {
            // The last group may overlap the one before: extremes do not mind.
            let begin = begin.min(quadruples.saturating_sub(LANES));
            for lane in 0..LANES.min(quadruples) {
                let s = begin + lane;
                let found = violation(row, next, s);
                let size = row[s].abs().max(row[s + 1].abs());
                let size = size.max(next[s].abs().max(next[s + 1].abs()));
                let margin = -found - TABLE_ROUNDING * size;
                violations[lane] = violations[lane].max(found);
                margins[lane] = margins[lane].min(margin);
                let finite = if size < f64::INFINITY { size } else { 0.0 };
                largest[lane] = largest[lane].max(finite);
            }
        }
        Self {
            violation: violations.into_iter().fold(f64::NEG_INFINITY, f64::max),
            margin: margins.into_iter().fold(f64::INFINITY, f64::min),
            largest_cost: largest.into_iter().fold(0.0, f64::max),
        }
    }
}

/// The violation at the columns s, s+1 of two adjacent rows; differences along the rows first, because neighbours are
/// closer to each other than to zero.
#[inline(always)]
fn violation(row: &[f64], next: &[f64], s: usize) -> f64 {
    let difference = (row[s] - row[s + 1]) - (next[s] - next[s + 1]);
    // A missing edge gives NaN or an infinity of either sign.
    if difference.abs() < f64::INFINITY {
        difference
    } else {
        f64::INFINITY
    }
}
