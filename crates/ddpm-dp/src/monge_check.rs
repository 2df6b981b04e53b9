//! Is the interior of a table Monge? A check of every adjacent quadruple.

use rayon::prelude::*;

use crate::cost_table::CostTable;

/// The result of [`check_monge`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MongeReport {
    /// The tolerance asked for, in the table's unit.
    pub tolerance: f64,
    /// Number of adjacent quadruples, (T-2)(T-3)/2... of them.
    pub quadruples: usize,
    /// Number of quadruples whose violation exceeds the tolerance.
    pub violations: usize,
    /// The largest violation, L(t,s) + L(t+1,s+1) - L(t,s+1) - L(t+1,s), and its (t, s); negative where the inequality
    /// holds with room to spare, `+inf` where one of the four edges is missing. `None` if there are no quadruples.
    pub worst: Option<Quadruple>,
}

/// One adjacent quadruple (t, s), (t, s+1), (t+1, s), (t+1, s+1) and the violation found there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quadruple {
    /// Earlier row.
    pub t: usize,
    /// Earlier column.
    pub s: usize,
    /// L(t,s) + L(t+1,s+1) - L(t,s+1) - L(t+1,s).
    pub violation: f64,
}

impl MongeReport {
    /// Whether no quadruple exceeds the tolerance.
    pub fn holds(&self) -> bool {
        self.violations == 0
    }
}

/// Checks L(t,s) + L(t+1,s+1) <= L(t,s+1) + L(t+1,s) + `tolerance` on every adjacent quadruple with 1 <= s, s+1 < t.
pub fn check_monge(table: &CostTable, tolerance: f64) -> MongeReport {
    let per_row: Vec<(usize, Option<Quadruple>)> = (3..table.train_steps())
        .into_par_iter()
        .map(|t| check_row(table, t, tolerance))
        .collect();
    let mut report = MongeReport {
        tolerance,
        quadruples: 0,
        violations: 0,
        worst: None,
    };
    for (t, (violations, worst)) in (3..).zip(per_row) {
        report.quadruples += t - 2;
        report.violations += violations;
        if let Some(q) = worst
            && report.worst.is_none_or(|w| q.violation > w.violation)
        {
            report.worst = Some(q);
        }
    }
    report
}

fn check_row(table: &CostTable, t: usize, tolerance: f64) -> (usize, Option<Quadruple>) {
    let (row, next) = (table.row(t), table.row(t + 1));
    let mut violations = 0;
    let mut worst: Option<Quadruple> = None;
    for s in 1..t - 1 {
        let difference = (row[s] - row[s + 1]) - (next[s] - next[s + 1]);
        let violation = if difference.is_finite() {
            difference
        } else {
            f64::INFINITY
        };
        violations += usize::from(violation > tolerance);
        if worst.is_none_or(|w| violation > w.violation) {
            worst = Some(Quadruple { t, s, violation });
        }
    }
    (violations, worst)
}
