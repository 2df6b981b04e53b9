//! The choices behind every number: which variances, which decoder, which objective, where a path may end.

use std::{fmt, str::FromStr, sync::Arc};

use ddpm_core::VarianceKind;

use crate::error::{Error, Result};

/// The variances of the reverse steps.
#[derive(Clone, Debug)]
pub enum StepVariances {
    /// Per pixel, from the network: log sigma^2 = v log beta + (1 - v) log btilde (Nichol & Dhariwal 2021, eq. 15).
    Learned,
    /// The posterior variance btilde_{t|s} (Watson et al. 2021, eq. 15).
    FixedSmall,
    /// beta_{t|s}.
    FixedLarge,
    /// btilde + c^2 m(t), the best scalar for a network with mean squared error m(t), frozen.
    Analytic {
        /// m(t), index t = 0..=T, from the images on which the schedule is chosen ([`crate::Curves::mse`]).
        mse: Arc<[f64]>,
    },
}

impl StepVariances {
    /// The name of the choice.
    pub fn kind(&self) -> VarianceKind {
        match self {
            Self::Learned => VarianceKind::Learned,
            Self::FixedSmall => VarianceKind::FixedSmall,
            Self::FixedLarge => VarianceKind::FixedLarge,
            Self::Analytic { .. } => VarianceKind::Analytic,
        }
    }
}

/// The likelihood of clean data given the last x_t of a path, and the variance it uses.
#[derive(Clone, Debug)]
pub enum Decoder {
    /// Discretised Gaussian with the clipped posterior variance of the respaced chain (Ho et al. 2020, improved-diffusion):
    /// log sigma^2 = log btilde_{t2|t1}; under learned variances v log(1 - abar_{t1}) + (1 - v) log btilde_{t2|t1}.
    /// A path of one step has no t2 and uses [`Decoder::Marginal`].
    Respaced,
    /// Discretised Gaussian with sigma^2 = 1 - abar_{t1} for every pixel.
    Marginal,
    /// Discretised Gaussian with a frozen scalar, see [`crate::optimal_decoder_log_variance`].
    Optimal {
        /// log sigma^2, index t1 = 0..=T (entry 0 is not used).
        log_variance: Arc<[f64]>,
    },
    /// Continuous Gaussian density with sigma^2 = btilde_{t2|t1} for every pixel (1 - abar_{t1} on a path of one step).
    Gaussian {
        /// Subtract log of this width, so that the density becomes the probability of a bin of discretised data.
        bin_width: Option<f64>,
        /// The term at t1 = 1 in nats per dimension, if it is known better.
        first: Option<f64>,
    },
    /// No term at all.
    None,
}

impl Decoder {
    /// The name of the choice.
    pub fn kind(&self) -> DecoderKind {
        match self {
            Self::Respaced => DecoderKind::Respaced,
            Self::Marginal => DecoderKind::Marginal,
            Self::Optimal { .. } => DecoderKind::Optimal,
            Self::Gaussian { .. } => DecoderKind::Gaussian,
            Self::None => DecoderKind::None,
        }
    }

    /// Whether the term depends on the second node of the path.
    pub(crate) fn needs_next(&self) -> bool {
        matches!(self, Self::Respaced | Self::Gaussian { .. })
    }
}

/// The name of a decoder convention; printed next to every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecoderKind {
    /// [`Decoder::Respaced`].
    Respaced,
    /// [`Decoder::Marginal`].
    Marginal,
    /// [`Decoder::Optimal`].
    Optimal,
    /// [`Decoder::Gaussian`].
    Gaussian,
    /// [`Decoder::None`].
    None,
}

impl DecoderKind {
    /// The convention that scores a path of `steps` steps: `respaced` has no second node to take its variance from at one step, and
    /// is `marginal` there. Numbers of different conventions do not compare.
    #[must_use]
    pub fn for_steps(self, steps: usize) -> Self {
        match (self, steps) {
            (Self::Respaced, 1) => Self::Marginal,
            (kind, _) => kind,
        }
    }
}

/// What a schedule minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Objective {
    /// The negative evidence lower bound.
    #[default]
    Elbo,
    /// The reweighted mean squared error of Watson et al. 2021 (appendix): L(t, s) = (t - s)/T m(t) for every edge, without decoder
    /// and prior terms. Not in nats.
    Mse,
}

/// Where a path may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum StartRule {
    /// At T, as the paper's paths do.
    #[default]
    Full,
    /// At the t that minimises the cost plus the prior term there. Sampling starts at this t.
    Free,
}

/// A set of names: `Display`, `FromStr` and one error for all unknown ones.
macro_rules! named {
    ($type:ident, $what:literal, $($variant:ident => $name:literal),+ $(,)?) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $name),+ })
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    other => Err(Error::Field {
                        field: $what.into(),
                        expected: [$($name),+].join(", "),
                        found: format!("\"{other}\""),
                    }),
                }
            }
        }
    };
}

named!(DecoderKind, "decoder", Respaced => "respaced", Marginal => "marginal", Optimal => "optimal", Gaussian => "gaussian", None => "none");
named!(Objective, "objective", Elbo => "elbo", Mse => "mse");
named!(StartRule, "start", Full => "full", Free => "free");
