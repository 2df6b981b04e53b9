//! The entry point: checks the options, chooses the solver, writes the certificate.

use pulp::Arch;

use crate::blocked;
use crate::budgets::BudgetCosts;
use crate::certificate::{Certificate, Method};
use crate::cost_table::CostTable;
use crate::error::{Error, Result};
use crate::monge;
use crate::monge_check::{MongeReport, check_monge};
use crate::solution::Solution;

/// Options of [`solve`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SolveOptions {
    /// Which solver to use.
    pub method: Method,
    /// The largest budget to solve for, in 1..=T; `None` for all of them.
    pub max_steps: Option<usize>,
}

/// Finds the smallest cost of every budget k = 1..=`max_steps` at every end t.
///
/// C\[1\]\[t\] = L(t, 0) and C\[k\]\[t\] = min over s < t of C\[k-1\]\[s\] + L(t, s); with a [`crate::Start`],
/// C\[2\]\[t\] = `start.cost[t]`. The result does not depend on the number of threads or the instruction set.
///
/// # Errors
/// [`Error::MaxSteps`]; [`Error::NotMonge`] when [`Method::Monge`] is asked for in vain. A budget that is impossible is
/// no error: its cost is `+inf`.
pub fn solve(table: &CostTable, options: &SolveOptions) -> Result<Solution> {
    solve_watched(table, options, &mut |_| {})
}

/// The same; `watch` hears up to which node all budgets are solved, now and then. [`Method::Auto`] may begin again.
///
/// # Errors
/// Those of [`solve`].
pub fn solve_watched(
    table: &CostTable,
    options: &SolveOptions,
    watch: &mut dyn FnMut(usize),
) -> Result<Solution> {
    let train_steps = table.train_steps();
    let max_steps = options.max_steps.unwrap_or(train_steps);
    if !(1..=train_steps).contains(&max_steps) {
        return Err(Error::MaxSteps {
            found: max_steps,
            train_steps,
        });
    }
    let arch = Arch::new();
    let (costs, method, exact, monge) = match options.method {
        Method::Blocked => {
            let costs = blocked::solve(table, max_steps, arch, watch);
            (costs, Method::Blocked, true, None)
        }
        Method::Monge => {
            let report = check_up_to_rounding(table)?;
            let (costs, exact) = solve_monge(table, max_steps, &report, arch, watch);
            (costs, Method::Monge, exact, Some(report))
        }
        Method::Auto => {
            let report = check_monge(table, 0.0);
            let proved = report
                .survives_rounding(0.0)
                .then(|| solve_monge(table, max_steps, &report, arch, watch));
            match proved {
                Some((costs, true)) => (costs, Method::Monge, true, Some(report)),
                _ => {
                    let costs = blocked::solve(table, max_steps, arch, watch);
                    (costs, Method::Blocked, true, Some(report))
                }
            }
        }
    };
    let certificate = Certificate {
        method,
        exact,
        monge,
    };
    Ok(Solution::new(costs, certificate))
}

/// The costs by [`Method::Monge`], and whether they are proved to be the floats of the recurrence.
///
/// The proof needs a bound on |C\[k-1\]|. It is an induction over k: as long as the margins outweigh the rounding of
/// the costs found so far, the next ones are exact as well.
fn solve_monge(
    table: &CostTable,
    max_steps: usize,
    report: &MongeReport,
    arch: Arch,
    watch: &mut dyn FnMut(usize),
) -> (BudgetCosts, bool) {
    let costs = monge::solve(table, max_steps, arch, watch);
    let exact = report.survives_rounding(costs.largest());
    (costs, exact)
}

/// The check with a tolerance for the rounding of the table's entries.
fn check_up_to_rounding(table: &CostTable) -> Result<MongeReport> {
    let mut report = check_monge(table, 0.0);
    report.tolerance = 8.0 * f64::EPSILON * report.largest_cost;
    match report.worst {
        Some(worst) if !report.holds() => Err(Error::NotMonge {
            t: worst.t,
            s: worst.s,
            violation: worst.violation,
        }),
        _ => Ok(report),
    }
}
