//! Which sampler: the reverse chain itself, or a solver of its probability flow.

use crate::names::names;
use crate::{Error, LinearStep, NoiseSchedule, Result};

/// How samples are drawn along a path.
///
/// Parsed from and printed as `ddpm`, `ddim` and `dpm-solver++` (`dpm-solver-2m` and `dpmpp-2m` are understood too).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sampler {
    /// Ancestral: the reverse chain that the bound scores, with the variance of its steps.
    Ddpm,
    /// DDIM (Song et al. 2021); with eta = 0 it is Euler's method in sigma = `SNR^(-1/2)`, of first order.
    Ddim,
    /// DPM-Solver++(2M): second order from the estimate at the node before.
    DpmSolver2M,
}

names!(
    Sampler, "sampler",
    Ddpm => "ddpm",
    Ddim => "ddim",
    DpmSolver2M => "dpm-solver++" | "dpm-solver-2m" | "dpmpp-2m",
);

impl Sampler {
    /// The deterministic samplers: solvers of the probability-flow ODE (Song et al. 2021, eq. 13).
    pub const OF_THE_FLOW: [Self; 2] = [Self::Ddim, Self::DpmSolver2M];

    /// Refuses the one sampler that does not solve the flow.
    ///
    /// # Errors
    ///
    /// [`Error::NotOfTheFlow`] for [`Ddpm`](Self::Ddpm).
    pub fn check_of_the_flow(self) -> Result<()> {
        if Self::OF_THE_FLOW.contains(&self) {
            Ok(())
        } else {
            Err(Error::NotOfTheFlow {
                sampler: self.name(),
            })
        }
    }

    /// The step of the flow from `t` down to `s` that follows the step from `previous` to `t`; samplers of first order ignore
    /// `previous`. That of [`Ddpm`](Self::Ddpm) is its limit without noise, DDIM's.
    ///
    /// # Panics
    ///
    /// If a node is above `T`.
    pub fn flow_step(
        self,
        schedule: &NoiseSchedule,
        previous: Option<usize>,
        t: usize,
        s: usize,
    ) -> LinearStep {
        // Without a previous node the multistep solver is DDIM with eta = 0.
        LinearStep::dpm_solver_2m(
            schedule,
            previous.filter(|_| self == Self::DpmSolver2M),
            t,
            s,
        )
    }
}
