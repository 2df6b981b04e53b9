//! [`Kernel`]: the variance of one step, frozen, and its kinds as files name them.

use std::fmt;
use std::sync::Arc;

use ddpm_core::{Bands, StepVariance};
use serde::{Deserialize, Serialize};

/// The variance of the reverse kernel of one step, frozen: the kernel is a Gaussian around the usual mean.
#[derive(Clone, Debug, PartialEq)]
pub enum Kernel {
    /// Per pixel, from the network: [`ddpm_core::learned_log_variance`]; at s = 0 its lower end is that of the respaced chain.
    Learned,
    /// Per pixel, from the network, for the step onto the data alone.
    LearnedFrom {
        /// The lower end of the range, a log-variance.
        log_variance: f64,
    },
    /// That of the network times a scalar.
    LearnedScaled {
        /// log tau.
        log_scale: f64,
    },
    /// One variance for all pixels.
    Scalar {
        /// log sigma^2.
        log_variance: f64,
    },
    /// One variance per band of frequencies: [`StepVariance::Bands`].
    Bands {
        /// S_b, the mean square of what is left of the errors in every band; above 0.
        powers: Arc<[f64]>,
    },
    /// No density: the step onto the data under [`DecoderKind::None`](ddpm_core::DecoderKind::None).
    None,
}

impl Kernel {
    /// log sigma^2, where it is one number.
    pub fn log_variance(&self) -> Option<f64> {
        match self {
            Self::Scalar { log_variance } => Some(*log_variance),
            _ => None,
        }
    }

    /// Whether the variance is one per band.
    pub fn is_per_band(&self) -> bool {
        matches!(self, Self::Bands { .. })
    }

    /// Whether the variance is per pixel, from the network.
    pub fn is_learned(&self) -> bool {
        matches!(
            self,
            Self::Learned | Self::LearnedFrom { .. } | Self::LearnedScaled { .. }
        )
    }

    /// The variance of the step given the network's `v` and the schedule's bands, which are there for a schedule that was
    /// [checked](crate::Schedule::check).
    pub fn variance<'a>(
        &'a self,
        v: Option<&'a [f64]>,
        bands: Option<&'a Bands>,
    ) -> StepVariance<'a> {
        let v = v.unwrap_or_default();
        match (self, bands) {
            (Self::Learned | Self::LearnedFrom { .. }, _) => StepVariance::Learned(v),
            (Self::LearnedScaled { log_scale }, _) => StepVariance::LearnedScaled(v, *log_scale),
            (Self::Scalar { log_variance }, _) => StepVariance::LogVariance(*log_variance),
            (Self::Bands { powers }, Some(bands)) => StepVariance::Bands(bands, powers),
            (Self::Bands { .. } | Self::None, _) => StepVariance::LogVariance(0.0),
        }
    }

    /// The number that is stored of a kernel and has to be finite.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::LearnedFrom { log_variance } | Self::Scalar { log_variance } => {
                Some(*log_variance)
            }
            Self::LearnedScaled { log_scale } => Some(*log_scale),
            Self::Learned | Self::Bands { .. } | Self::None => None,
        }
    }
}

/// What variance a step has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KernelKind {
    Learned,
    LearnedFrom,
    LearnedScaled,
    Scalar,
    Bands,
    None,
}

impl fmt::Display for KernelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl KernelKind {
    pub(crate) fn of(kernel: &Kernel) -> Self {
        match kernel {
            Kernel::Learned => Self::Learned,
            Kernel::LearnedFrom { .. } => Self::LearnedFrom,
            Kernel::LearnedScaled { .. } => Self::LearnedScaled,
            Kernel::Scalar { .. } => Self::Scalar,
            Kernel::Bands { .. } => Self::Bands,
            Kernel::None => Self::None,
        }
    }

    /// The kernel of this kind; `None` for a number that is missing or too many, or powers that are missing.
    pub(crate) fn kernel(self, number: Option<f64>, powers: Option<&Arc<[f64]>>) -> Option<Kernel> {
        Some(match (self, number, powers) {
            (Self::Learned, None, _) => Kernel::Learned,
            (Self::LearnedFrom, Some(log_variance), _) => Kernel::LearnedFrom { log_variance },
            (Self::LearnedScaled, Some(log_scale), _) => Kernel::LearnedScaled { log_scale },
            (Self::Scalar, Some(log_variance), _) => Kernel::Scalar { log_variance },
            (Self::Bands, None, Some(powers)) => Kernel::Bands {
                powers: powers.clone(),
            },
            (Self::None, None, _) => Kernel::None,
            _ => return None,
        })
    }
}
