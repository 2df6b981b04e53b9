//! Exact all-budget dynamic programming over any decomposable cost table.

mod blocked;
pub mod brute_force;
mod budgets;
mod certificate;
mod cost_table;
mod error;
mod monge;
mod monge_check;
mod solution;
mod solve;
pub mod textbook;

pub use certificate::{Certificate, ConvexityReport};
pub use cost_table::{CostTable, Start};
pub use error::{Error, Result};
pub use monge_check::{MongeReport, Quadruple, check_monge};
pub use solution::Solution;
pub use solve::{Method, SolveOptions, solve};
