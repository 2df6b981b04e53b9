//! Which solver runs, and what a solve can say about the table and the costs, besides the costs.

use crate::monge_check::MongeReport;

/// Which solver to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// [`Method::Monge`] where the table proves that it gives the same floats and paths as the plain recurrence,
    /// [`Method::Blocked`] otherwise. Nothing is assumed: every adjacent quadruple is checked, and must fulfil the
    /// Monge inequality with more room than rounding can take away.
    #[default]
    Auto,
    /// Blocked min-plus products: any table, T^3 / 6 additions at vector speed.
    Blocked,
    /// Divide and conquer over monotone argmins, O(T^2 log T): tables whose interior is Monge up to rounding, that is
    /// whose violations do not exceed 8 machine epsilons times the largest cost in a quadruple. The costs are then
    /// those of real paths, optimal up to the same rounding; [`Certificate::exact`] says whether they are proved
    /// optimal to the last bit. Tables with larger violations or missing edges between nodes >= 1 are refused.
    Monge,
}

/// How a [`crate::Solution`] was found and which regularities were seen.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Certificate {
    /// The solver that ran: [`Method::Blocked`] or [`Method::Monge`], never [`Method::Auto`].
    pub method: Method,
    /// Whether the costs are proved to be, bit for bit, the minima of the recurrence. Always so but for
    /// [`Method::Monge`] on a table that is Monge up to rounding only.
    pub exact: bool,
    /// The check of the table; `None` when blocked was asked for and nothing was checked.
    pub monge: Option<MongeReport>,
    /// Whether one more step always buys less than the one before.
    pub convexity: ConvexityReport,
}

/// Convexity in k of the cost C\[k\]\[T\] of ending at T. It is an observation: nothing in the solvers relies on it.
///
/// With a [`crate::Start`] budget 1 is left out, because its first edge follows another convention.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConvexityReport {
    /// Number of triples (k-1, k, k+1) of possible budgets that were compared.
    pub compared: usize,
    /// The smallest C\[k-1\] - 2 C\[k\] + C\[k+1\], and its k; negative where convexity fails. `None` if nothing was
    /// compared.
    pub smallest: Option<(usize, f64)>,
}

impl ConvexityReport {
    /// Looks at `costs`, whose entry i is the budget `first_budget` + i.
    pub(crate) fn of(costs: &[f64], first_budget: usize) -> Self {
        let mut report = Self {
            compared: 0,
            smallest: None,
        };
        for (i, c) in costs.windows(3).enumerate() {
            // Differences first: the costs of two budgets are often closer to each other than to zero.
            let second_difference = (c[0] - c[1]) - (c[1] - c[2]);
            if second_difference.is_finite() {
                report.compared += 1;
                if report.smallest.is_none_or(|(_, d)| second_difference < d) {
                    report.smallest = Some((first_budget + i + 1, second_difference));
                }
            }
        }
        report
    }

    /// Whether every triple is convex up to `tolerance` >= 0, in the table's unit.
    pub fn holds(&self, tolerance: f64) -> bool {
        self.smallest.is_none_or(|(_, d)| d >= -tolerance)
    }
}
