//! Which sampler: the reverse chain itself, or a solver of its probability flow.

use super::multistep::{self, MultistepStep};
use crate::names::names;
use crate::{Error, LinearStep, NoiseSchedule, Result, TimePath};

/// How samples are drawn along a path.
///
/// Parsed from and printed as `ddpm`, `ddim`, `dpm-solver++` (`dpm-solver-2m` and `dpmpp-2m` are understood too), `dpm-solver++3m`, `ipndm`,
/// `unipc` and `unipc3`. All but the first two are deterministic, and so is the second with eta = 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sampler {
    /// Ancestral: the reverse chain that the bound scores, with the variance of its steps.
    Ddpm,
    /// DDIM (Song et al. 2021); with eta = 0 it is Euler's method in sigma = `SNR^(-1/2)`, of first order.
    Ddim,
    /// DPM-Solver++(2M): second order from the estimate at the node before.
    DpmSolver2M,
    /// DPM-Solver++(3M): third order from the estimates at two nodes before.
    DpmSolver3M,
    /// iPNDM (Zhang & Chen 2023) of order 3: the noise of three nodes weighed as in Adams and Bashforth's method of equal steps.
    Ipndm,
    /// UniPC (Zhao et al. 2023) of order 2: a predictor, and a corrector that takes no further evaluation.
    UniPc2,
    /// UniPC of order 3.
    UniPc3,
}

names!(
    Sampler, "sampler",
    Ddpm => "ddpm",
    Ddim => "ddim",
    DpmSolver2M => "dpm-solver++" | "dpm-solver-2m" | "dpmpp-2m",
    DpmSolver3M => "dpm-solver++3m" | "dpm-solver-3m" | "dpmpp-3m",
    Ipndm => "ipndm",
    UniPc2 => "unipc" | "unipc2",
    UniPc3 => "unipc3",
);

impl Sampler {
    /// The samplers whose steps are priced one by one, so that schedules can be chosen for them exactly (`--objective quality`): solvers of
    /// the probability-flow ODE (Song et al. 2021, eq. 13) that look back on one node at most.
    pub const PRICED: [Self; 2] = [Self::Ddim, Self::DpmSolver2M];

    /// Refuses a sampler that no schedule can be chosen for on trajectories.
    ///
    /// # Errors
    ///
    /// [`Error::NotPriced`] for one that is not in [`PRICED`](Self::PRICED).
    pub fn check_priced(self) -> Result<()> {
        if Self::PRICED.contains(&self) {
            Ok(())
        } else {
            Err(Error::NotPriced {
                sampler: self.name(),
            })
        }
    }

    /// The sampler whose schedules it follows: itself where it is [priced](Self::PRICED), and DPM-Solver++(2M) for the solvers that look back
    /// further. The ancestral steps follow those of the likelihood, which are for no other.
    pub fn schedules_of(self) -> Self {
        match self {
            Self::DpmSolver3M | Self::Ipndm | Self::UniPc2 | Self::UniPc3 => Self::DpmSolver2M,
            own => own,
        }
    }

    /// Whether its steps can add noise: the ancestral ones and DDIM's with eta above 0.
    pub fn adds_noise(self) -> bool {
        matches!(self, Self::Ddpm | Self::Ddim)
    }

    /// The steps along a path, noisiest first, of a sampler that looks back further than one node or corrects its predictions; `None` for
    /// one whose steps are a [`LinearStep`] each.
    ///
    /// # Panics
    ///
    /// If a node is above `T`.
    pub fn multistep(
        self,
        schedule: &NoiseSchedule,
        path: &TimePath,
    ) -> Option<Vec<MultistepStep>> {
        multistep::along(self, schedule, path)
    }

    /// The step of a [priced](Self::PRICED) sampler from `t` down to `s` that follows the step from `previous` to `t`; samplers of first
    /// order ignore `previous`. That of any other is its limit of first order without noise, DDIM's.
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
