//! Exact optimal paths for every step budget at once, over any cost that is a sum over the steps.
//!
//! Given the cost L(t, s) of every step from node t to node s < t, find for every number of steps K the path
//! 0 = t_0 < t_1 < ... < t_K = T of smallest total cost. With the terms of a diffusion model's negative ELBO as costs
//! these are its optimal inference schedules (Watson, Ho, Norouzi, Chan 2021, *Learning to Efficiently Sample from
//! Diffusion Probabilistic Models*); the crate itself knows nothing of models, and any decomposable cost will do.
//!
//! ```text
//! CostTable { L(t, s), start } --solve--> Solution { C[k][t] for all k and t } --path, best_end--> schedules
//! ```
//!
//! C\[k\]\[t\] = min over s < t of C\[k-1\]\[s\] + L(t, s) is computed for all k and t together, in f64, by one of two
//! solvers ([`Method`]) that return the very floats of the plain recurrence:
//!
//! - *blocked*: the recurrence as blocked min-plus matrix products, for any table;
//! - *Monge*: divide and conquer over monotone argmins, for tables that are proved to allow it.
//!
//! Costs that depend on the step before as well, as those of two-step solvers do, are the subject of [`second_order`], those that depend on two
//! of [`third_order`].
//!
//! Paths are recovered from the costs, with the smallest node on ties. Everything is deterministic, whatever the number of
//! threads. Tests hold the solvers against the recurrence as it is printed, and that against every path there is.
//!
//! # Example
//!
//! ```
//! use ddpm_dp::{CostTable, SolveOptions, solve};
//!
//! // Steps that cost the square of their length are best taken evenly.
//! let table = CostTable::from_fn(1000, |t, s| ((t - s) as f64).powi(2))?;
//! let solution = solve(&table, &SolveOptions::default())?;
//! assert_eq!(solution.cost(4, 1000), 4.0 * 250.0 * 250.0);
//! assert_eq!(solution.path(&table, 4, 1000), Some(vec![0, 250, 500, 750, 1000]));
//!
//! // A path may end before T where that is cheaper, counting what it costs to end there.
//! let terminal: Vec<f64> = (0..=1000).map(|t| 300.0 * (1000 - t) as f64).collect();
//! let (end, total) = solution.best_end(4, &terminal).expect("four steps are possible");
//! assert_eq!((end, total), (600, 90_000.0 + 120_000.0));
//! # Ok::<(), ddpm_dp::Error>(())
//! ```

// The oracle that unit tests and tests share speaks of this crate by its name.
#[cfg(test)]
extern crate self as ddpm_dp;

mod blocked;
mod budgets;
mod certificate;
mod cost_table;
mod error;
mod monge;
mod monge_check;
pub mod second_order;
mod solution;
mod solve;
pub mod third_order;

pub use certificate::{Certificate, Method};
pub use cost_table::{CostTable, Start};
pub use error::{Error, Result};
pub use monge_check::{MongeReport, Quadruple, check_monge};
pub use solution::Solution;
pub use solve::{SolveOptions, solve, solve_watched};
