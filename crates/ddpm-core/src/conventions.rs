//! The names of the choices behind every number: which variance, which decoder, which objective, where a path may end.

use crate::names::names;

/// Which variance the reverse steps `p(x_s | x_t)` use.
///
/// The last three are this project's own: they are calibrated on images, and need a profile of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VarianceKind {
    /// Per pixel, between `fixed-small` and `fixed-large` (Nichol & Dhariwal 2021, eq. 15): [`learned_log_variance`](crate::learned_log_variance).
    Learned,
    /// The posterior variance `btilde_{t|s}` (Watson et al. 2021, eq. 15).
    FixedSmall,
    /// `beta_{t|s}`.
    FixedLarge,
    /// The scalar that is optimal for the mean squared error of the model: [`analytic_variance`](crate::analytic_variance).
    Analytic,
    /// One variance per band of frequencies, optimal for the power of the model's errors there: `btilde (1 + (SNR_s - SNR_t) S_b(t))`
    /// in the coordinates of [`Bands`](crate::Bands).
    Spectral,
    /// The learned variance times the scalar that is optimal for every edge.
    LearnedCalibrated,
    /// For every edge the cheapest of spectral, learned-calibrated and analytic.
    Best,
}

names!(
    VarianceKind, "variance",
    Learned => "learned",
    FixedSmall => "fixed-small",
    FixedLarge => "fixed-large",
    Analytic => "analytic",
    Spectral => "spectral",
    LearnedCalibrated => "learned-calibrated",
    Best => "best",
);

impl VarianceKind {
    /// The variance that goes with a mean when none is named, `usual` being that of the network: a calibrated mean has a spectral one, which
    /// takes its numbers from the same profile.
    #[must_use]
    pub fn of_mean(usual: Self, mean: Option<MeanKind>) -> Self {
        match mean {
            Some(MeanKind::Calibrated) => Self::Spectral,
            _ => usual,
        }
    }

    /// The variance that a network serves when none is named.
    pub fn of_network(learns_variance: bool) -> Self {
        if learns_variance {
            Self::Learned
        } else {
            Self::FixedSmall
        }
    }

    /// Whether the network has to predict a variance.
    pub fn needs_learned(self) -> bool {
        matches!(self, Self::Learned | Self::LearnedCalibrated)
    }

    /// Whether it is one per band of frequencies, at some edges at least: see [`Bands`](crate::Bands).
    pub fn is_per_band(self) -> bool {
        matches!(self, Self::Spectral | Self::Best)
    }

    /// Whether its numbers are taken from images on which the network was measured.
    pub fn is_measured(self) -> bool {
        !matches!(self, Self::Learned | Self::FixedSmall | Self::FixedLarge)
    }
}

/// Where the reverse steps are centred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MeanKind {
    /// On the estimate of the network, as it is.
    Network,
    /// On the estimate corrected per band of frequencies by the least-squares fit of its errors (see [`Bands`](crate::Bands)).
    Calibrated,
}

names!(MeanKind, "mean", Network => "network", Calibrated => "calibrated");

impl MeanKind {
    /// The mean that goes with a variance when none is named.
    pub fn of_variance(variance: VarianceKind) -> Self {
        Self::of_calibrated(variance.is_per_band())
    }

    /// Whether steps of this variance can be centred so: the columns of learned variances weigh the errors of the network's own mean. (A
    /// step of [`VarianceKind::Best`] that has one keeps that mean.)
    pub fn goes_with(self, variance: VarianceKind) -> bool {
        self == Self::Network || !variance.needs_learned()
    }

    /// The mean in words: `calibrated mean`; `None` for the network's own, which goes without saying.
    pub fn in_words(self) -> Option<String> {
        (self != Self::Network).then(|| format!("{self} mean"))
    }

    /// The mean of estimates that are corrected, or not.
    pub fn of_calibrated(calibrated: bool) -> Self {
        if calibrated {
            Self::Calibrated
        } else {
            Self::Network
        }
    }
}

/// The likelihood of clean data given the last `x_t` of a path, and the variance it uses; printed next to every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecoderKind {
    /// Discretised Gaussian with the clipped posterior variance of the respaced chain (Ho et al. 2020, improved-diffusion):
    /// `log sigma^2 = log btilde_{t2|t1}`; under learned variances `v log(1 - abar_{t1}) + (1 - v) log btilde_{t2|t1}`.
    /// A path of one step has no `t2` and uses [`Marginal`](Self::Marginal).
    Respaced,
    /// Discretised Gaussian with `sigma^2 = 1 - abar_{t1}` for every pixel.
    Marginal,
    /// Discretised Gaussian with the scalar that is best on the choosing set.
    Optimal,
    /// Continuous Gaussian density with `sigma^2 = btilde_{t2|t1}` for every pixel (`1 - abar_{t1}` on a path of one step).
    Gaussian,
    /// No term at all: the step onto the data is free, so that schedules are chosen among paths of t1 = 1.
    None,
}

names!(
    DecoderKind, "decoder",
    Respaced => "respaced",
    Marginal => "marginal",
    Optimal => "optimal",
    Gaussian => "gaussian",
    None => "none",
);

impl DecoderKind {
    /// The decoder that goes with a variance when none is named.
    pub fn of_variance(variance: VarianceKind) -> Self {
        match variance {
            measured if measured.is_measured() => Self::Optimal,
            _ => Self::Respaced,
        }
    }

    /// The convention that scores a path of `steps` steps: `respaced` has no second node to take its variance from at one step, and
    /// is `marginal` there. Numbers of different conventions do not compare.
    #[must_use]
    pub fn for_steps(self, steps: usize) -> Self {
        match (self, steps) {
            (Self::Respaced, 1) => Self::Marginal,
            (kind, _) => kind,
        }
    }

    /// Whether the term depends on the second node of the path.
    pub fn needs_next(self) -> bool {
        matches!(self, Self::Respaced | Self::Gaussian)
    }
}

/// What a schedule minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Objective {
    /// The negative evidence lower bound.
    #[default]
    Elbo,
    /// The reweighted mean squared error of Watson et al. 2021 (appendix): `L(t, s) = (t - s)/T m(t)` for every edge, without decoder
    /// and prior terms. Not in nats.
    Mse,
    /// How far samples end from where many small steps lead; chosen on trajectories of the probability flow.
    Quality,
    /// The KLUB bound of *Align Your Steps* (Sabour et al. 2024); chosen on trajectories of the forward process.
    Klub,
    /// The Frechet distance of samples from real images, on the features of a network; chosen by sampling.
    Frechet,
    /// The kernel distance; chosen by sampling.
    Kernel,
    /// The energy distance; chosen by sampling.
    Energy,
}

names!(Objective, "objective", Elbo => "elbo", Mse => "mse", Quality => "quality", Klub => "klub", Frechet => "fd", Kernel => "kid", Energy => "energy");

impl Objective {
    /// The unit of its costs, as files and tables state it.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Elbo => "bits/dim",
            Self::Mse => "weighted mse",
            Self::Quality => "weighted squared error",
            Self::Klub => "nats/dim",
            Self::Frechet => "Frechet distance",
            Self::Kernel => "kernel distance",
            Self::Energy => "energy distance",
        }
    }

    /// Whether schedules under it are chosen on stored trajectories; the others are on a profile or a curve, or by sampling.
    pub fn on_trajectories(self) -> bool {
        matches!(self, Self::Quality | Self::Klub)
    }

    /// Whether schedules under it are chosen by the distance of their samples from data.
    pub fn by_sampling(self) -> bool {
        matches!(self, Self::Frechet | Self::Kernel | Self::Energy)
    }
}

/// Where a path may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum StartRule {
    /// At `T`, as the paper's paths do.
    #[default]
    Full,
    /// At the t that minimises the cost plus the prior term there. Sampling starts at this t.
    Free,
}

names!(StartRule, "start", Full => "full", Free => "free");
