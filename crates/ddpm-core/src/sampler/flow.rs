//! Solvers of the probability-flow ODE, which need no noise.

use std::fmt;
use std::str::FromStr;

use crate::names::parse_name;
use crate::{Error, LinearStep, NoiseSchedule, Result};

/// A deterministic sampler, seen as a solver of the probability-flow ODE (Song et al. 2021, eq. 13).
///
/// Parsed from and printed as `ddim` and `dpm-solver++` (`dpm-solver-2m` and `dpmpp-2m` are understood too).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlowSolver {
    /// DDIM with eta = 0, which is Euler's method in sigma = `SNR^(-1/2)`: first order.
    Ddim,
    /// DPM-Solver++(2M): second order from the estimate at the node before.
    DpmSolver2M,
}

const NAMES: [(&str, FlowSolver); 4] = [
    ("ddim", FlowSolver::Ddim),
    ("dpm-solver++", FlowSolver::DpmSolver2M),
    ("dpm-solver-2m", FlowSolver::DpmSolver2M),
    ("dpmpp-2m", FlowSolver::DpmSolver2M),
];

impl FlowSolver {
    /// Whether `name` is one of this solver's.
    pub fn is_named(self, name: &str) -> bool {
        name.parse() == Ok(self)
    }

    /// Every solver.
    pub const ALL: [Self; 2] = [Self::Ddim, Self::DpmSolver2M];

    /// The step from `t` down to `s` that follows the step from `previous` to `t`; first-order solvers ignore `previous`.
    ///
    /// # Panics
    ///
    /// If a node is above `T`.
    pub fn step(
        self,
        schedule: &NoiseSchedule,
        previous: Option<usize>,
        t: usize,
        s: usize,
    ) -> LinearStep {
        match self {
            // Without a previous node the multistep solver is DDIM with eta = 0.
            Self::Ddim => LinearStep::dpm_solver_2m(schedule, None, t, s),
            Self::DpmSolver2M => LinearStep::dpm_solver_2m(schedule, previous, t, s),
        }
    }
}

impl fmt::Display for FlowSolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ddim => "ddim",
            Self::DpmSolver2M => "dpm-solver++",
        })
    }
}

impl FromStr for FlowSolver {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse_name("sampler", text, &NAMES)
    }
}
