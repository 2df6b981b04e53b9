//! Which sampler: the reverse chain itself, or a solver of its probability flow.

use super::flow::FlowEdge;
use super::linear::half_log_snr_gain;
use super::multistep::{self, MultistepStep};
use crate::names::names;
use crate::{Error, LinearStep, NoiseSchedule, Result, TimePath};

/// How samples are drawn along a path.
///
/// Parsed from and printed as `ddpm`, `ddim`, `dpm-solver++`, `dpm-solver++3m`, `ipndm`, `unipc` and `unipc3`; other names that people know
/// (`ancestral`, `euler`, `dpmpp-2m`, `dpm++2m`) are understood too. All but the first two are deterministic, and so is the second with eta = 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sampler {
    /// Ancestral: the reverse chain that the bound scores, with the variance of its steps.
    Ddpm,
    /// DDIM (Song et al. 2021); with eta = 0 it is Euler's method in sigma = `SNR^(-1/2)`, of first order.
    Ddim,
    /// DPM-Solver++(2M): second order from the estimate at the node before.
    DpmSolver2M,
    /// DPM-Solver++(3M), called of third order: from the estimates at two nodes before too.
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
    Ddpm => "ddpm" | "ancestral",
    Ddim => "ddim" | "euler",
    DpmSolver2M => "dpm-solver++" | "dpm-solver-2m" | "dpmpp-2m" | "dpm++2m",
    DpmSolver3M => "dpm-solver++3m" | "dpm-solver-3m" | "dpmpp-3m" | "dpm++3m",
    Ipndm => "ipndm",
    UniPc2 => "unipc" | "unipc2",
    UniPc3 => "unipc3",
);

impl Sampler {
    /// The samplers whose steps are priced one by one, so that schedules can be chosen for them exactly (`--objective quality`): solvers of
    /// the probability-flow ODE (Song et al. 2021, eq. 13) that look back on two nodes at most and correct nothing.
    pub const PRICED: [Self; 4] = [
        Self::Ddim,
        Self::DpmSolver2M,
        Self::DpmSolver3M,
        Self::Ipndm,
    ];

    /// The [priced](Self::PRICED) samplers that schedules are chosen for unasked: those that people use.
    pub const USUAL: [Self; 2] = [Self::Ddim, Self::DpmSolver2M];

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

    /// Whether it is meant for schedules that were chosen for `other`: its own, and for solvers that look back those of DPM-Solver++(2M).
    pub fn follows(self, other: Self) -> bool {
        let looks_back = matches!(
            self,
            Self::DpmSolver3M | Self::Ipndm | Self::UniPc2 | Self::UniPc3
        );
        self == other || (looks_back && other == Self::DpmSolver2M)
    }

    /// The sampler that schedules for it are chosen for: itself where it is [priced](Self::PRICED), and DPM-Solver++(2M) for UniPC. The
    /// ancestral steps follow those of the likelihood, which are for no other.
    pub fn schedules_of(self) -> Self {
        match self {
            Self::UniPc2 | Self::UniPc3 => Self::DpmSolver2M,
            own => own,
        }
    }

    /// How many nodes before its own a step of a [priced](Self::PRICED) sampler uses at most: its order less one.
    pub fn looks_back(self) -> usize {
        match self {
            Self::DpmSolver2M => 1,
            Self::DpmSolver3M | Self::Ipndm => 2,
            Self::Ddpm | Self::Ddim | Self::UniPc2 | Self::UniPc3 => 0,
        }
    }

    /// The same of the step with `left` steps left, itself included, on a path of `steps`: the first steps have fewer nodes before them, the
    /// one onto the data uses none, and DPM-Solver++(3M) is of second order in the last step but one where there are fewer than 15 (the
    /// `lower_order_final` of its authors and of diffusers).
    pub fn looks_back_at(self, steps: usize, left: usize) -> usize {
        let most = match left {
            1 => 0,
            2 if self == Self::DpmSolver3M && steps < 15 => 1,
            _ => self.looks_back(),
        };
        most.min(steps.saturating_sub(left))
    }

    /// Whether what it remembers of a node is the noise there, not the estimate.
    pub fn remembers_noise(self) -> bool {
        self == Self::Ipndm
    }

    /// The weights of `x_t` and of the estimate of `x_0` in what it remembers of a node `t` for the steps after: the estimate itself, or the
    /// noise that goes with it ([`remembers_noise`](Self::remembers_noise)).
    ///
    /// # Panics
    ///
    /// If `t` is 0 or above `T`.
    pub fn remembered(self, schedule: &NoiseSchedule, t: usize) -> [f64; 2] {
        if !self.remembers_noise() {
            return [0.0, 1.0];
        }
        assert!(t > 0, "there is no noise at t = 0");
        let (signal, sigma) = (
            schedule.alpha_bar(t).sqrt(),
            schedule.one_minus_alpha_bar(t).sqrt(),
        );
        [1.0 / sigma, -signal / sigma]
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

    /// The step of a [priced](Self::PRICED) sampler from `t` down to `s` that follows steps from the nodes `before`, the nearest first; those
    /// beyond [`looks_back`](Self::looks_back) do not matter. That of any other sampler is its limit of first order without noise, DDIM's.
    ///
    /// DPM-Solver++(3M) is Lu et al. 2022, appendix, as the code of its authors has it, which gives the second difference half of its weight. iPNDM (Zhang & Chen 2023, DEIS, appendix; Liu et al. 2022
    /// without their warm-up) of order 3 is DDIM with the noise of three nodes weighed as Adams and Bashforth weigh equal steps, 23/12, -16/12,
    /// 5/12, of two 3/2, -1/2. (diffusers' goes on to order 4.)
    ///
    /// # Panics
    ///
    /// If a node is above `T`.
    pub fn flow_step(
        self,
        schedule: &NoiseSchedule,
        before: &[usize],
        t: usize,
        s: usize,
    ) -> LinearStep {
        let gain = |k: usize| {
            let p = before.get(k).filter(|_| k < self.looks_back());
            p.map(|&p| half_log_snr_gain(schedule, &schedule.transition(p, t)))
        };
        FlowEdge::new(schedule, t, s).step(self, [gain(0), gain(1)])
    }

    /// The steps of a [priced](Self::PRICED) sampler along a path, in ascending t, as they are taken.
    ///
    /// # Panics
    ///
    /// If a node is above `T`.
    pub fn flow_steps(self, schedule: &NoiseSchedule, path: &TimePath) -> Vec<LinearStep> {
        let (nodes, steps) = (path.nodes(), path.steps());
        let step = |k: usize| {
            let before = &nodes[k + 1..=k + self.looks_back_at(steps, k)];
            self.flow_step(schedule, before, nodes[k], nodes[k - 1])
        };
        (1..=steps).map(step).collect()
    }
}
