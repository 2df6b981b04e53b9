//! The entry point: checks the options, chooses the solver, writes the certificate.

use crate::budgets::BudgetCosts;
use crate::certificate::{Certificate, ConvexityReport};
use crate::cost_table::CostTable;
use crate::error::{Error, Result};
use crate::monge_check::check_monge;
use crate::solution::Solution;

/// Which solver to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Monge where the table proves that it gives the same floats, blocked otherwise.
    #[default]
    Auto,
    /// Blocked min-plus products: any table, O(T^3 / 6) additions at vector speed.
    Blocked,
    /// Divide and conquer over monotone argmins: O(T^2 log T), tables whose interior is Monge.
    Monge,
}

/// Options of [`solve`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SolveOptions {
    /// Which solver to use.
    pub method: Method,
    /// The largest budget to solve for, in 1..=T; `None` for all of them.
    pub max_steps: Option<usize>,
}

/// Finds the smallest cost of every budget at every end.
pub fn solve(table: &CostTable, options: &SolveOptions) -> Result<Solution> {
    let train_steps = table.train_steps();
    let max_steps = options.max_steps.unwrap_or(train_steps);
    if !(1..=train_steps).contains(&max_steps) {
        return Err(Error::MaxSteps {
            found: max_steps,
            train_steps,
        });
    }
    let monge = (options.method != Method::Blocked).then(|| check_monge(table, 0.0));
    let mut costs = BudgetCosts::new(train_steps, max_steps);
    for k in 1..=max_steps {
        for t in k..=train_steps {
            let best = match table.start() {
                Some(start) if k == 2 => start.cost[t],
                _ => {
                    let before = &costs.row(k - 1)[..t + 1 - k];
                    let edges = &table.row(t)[k - 1..];
                    before
                        .iter()
                        .zip(edges)
                        .fold(f64::INFINITY, |m, (c, l)| m.min(c + l))
                }
            };
            costs.row_mut(k)[t - k] = best;
        }
    }
    let first_budget = if table.start().is_some() { 2 } else { 1 };
    let ends: Vec<f64> = (first_budget..=max_steps)
        .map(|k| costs.get(k, train_steps))
        .collect();
    let certificate = Certificate {
        method: Method::Blocked,
        monge,
        convexity: ConvexityReport::of(&ends, first_budget),
    };
    Ok(Solution::new(costs, certificate))
}
