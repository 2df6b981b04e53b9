//! [`Schedule`]: one path with what each of its steps needs, as evaluation and sampling run it.

use ddpm_core::{
    DecoderKind, NoiseSchedule, Sampler, StepVariance, TimePath, VarianceKind,
    respaced_decoder_log_variance,
};

use crate::error::{Error, Result};
use crate::scoring::Scoring;

/// The reverse kernel of one step, frozen: a Gaussian around the usual mean, and which variance it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    /// Per pixel, from the network: [`ddpm_core::learned_log_variance`].
    Learned,
    /// One variance for all pixels.
    Scalar {
        /// log sigma^2.
        log_variance: f64,
    },
    /// No density: the step onto the data under [`DecoderKind::None`].
    None,
}

impl Kernel {
    /// log sigma^2, where it is one number.
    pub fn log_variance(self) -> Option<f64> {
        match self {
            Self::Scalar { log_variance } => Some(log_variance),
            Self::Learned | Self::None => None,
        }
    }

    /// The variance of the step given the network's `v`, which is there for a schedule that was [checked](Schedule::check).
    pub fn with_v(self, v: Option<&[f64]>) -> StepVariance<'_> {
        match self {
            Self::Learned => StepVariance::Learned(v.unwrap_or_default()),
            Self::Scalar { log_variance } => StepVariance::LogVariance(log_variance),
            Self::None => StepVariance::LogVariance(0.0),
        }
    }
}

/// One path with what each of its steps needs: all that scoring it or sampling along it takes besides the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The path; its length is the number of network evaluations.
    pub path: TimePath,
    /// The kernel of every step in ascending t, that of the step onto the data first.
    pub kernels: Vec<Kernel>,
    /// The decoder convention that the path is scored with.
    pub decoder: DecoderKind,
    /// Width of a bin under the gaussian decoder, see [`GaussianDecoder`](crate::GaussianDecoder); `None` for a density.
    pub bin_width: Option<f64>,
    /// The sampler that the path was chosen for; [`Sampler::Ddpm`] where nothing else is said.
    pub sampler: Sampler,
}

impl Schedule {
    /// The path under variances that need no measurement, for ancestral sampling.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for the analytic variance and the optimal decoder, which are frozen on measured curves.
    pub fn of_path(schedule: &NoiseSchedule, path: TimePath, scoring: &Scoring) -> Result<Self> {
        let nodes = path.nodes();
        let respaced = respaced_decoder_log_variance(schedule, nodes[1], nodes.get(2).copied());
        let scalar = |log_variance| Kernel::Scalar { log_variance };
        let learned = scoring.variance == VarianceKind::Learned;
        let decoder = match scoring.decoder {
            DecoderKind::Respaced if learned => Kernel::Learned,
            DecoderKind::Respaced | DecoderKind::Gaussian => scalar(respaced),
            DecoderKind::Marginal => {
                scalar(respaced_decoder_log_variance(schedule, nodes[1], None))
            }
            DecoderKind::None => Kernel::None,
            DecoderKind::Optimal => {
                return Err(Error::Unsupported(
                    "decoder optimal needs the network's measured errors".into(),
                ));
            }
        };
        let mut kernels = vec![decoder];
        for (t, s) in path.edges().skip(1) {
            let edge = schedule.transition(t, s);
            kernels.push(match scoring.variance {
                VarianceKind::Learned => Kernel::Learned,
                VarianceKind::FixedSmall => scalar(edge.log_posterior_variance),
                VarianceKind::FixedLarge => scalar(edge.log_beta),
                VarianceKind::Analytic => {
                    return Err(Error::Unsupported(
                        "variance analytic needs the network's measured errors".into(),
                    ));
                }
            });
        }
        Ok(Self {
            decoder: scoring.decoder_for(path.steps()),
            bin_width: scoring.gaussian.bin_width,
            path,
            kernels,
            sampler: Sampler::Ddpm,
        })
    }

    /// K, the number of network evaluations.
    pub fn steps(&self) -> usize {
        self.path.steps()
    }

    /// Whether a step takes its variance from the network.
    pub fn needs_learned_variance(&self) -> bool {
        self.kernels.contains(&Kernel::Learned)
    }

    /// Refuses what cannot be run: a path beyond T, kernels that are not one per step or not finite, a bin without width.
    ///
    /// # Errors
    /// [`Error::Field`].
    pub fn check(&self, train_steps: usize) -> Result<()> {
        if self.path.end() > train_steps {
            return Err(Error::field(
                "path",
                format!("timesteps up to {train_steps}"),
                self.path.end(),
            ));
        }
        if self.kernels.len() != self.path.steps() {
            return Err(Error::field(
                "kernels",
                format!("{} (one per step of the path)", self.path.steps()),
                self.kernels.len().to_string(),
            ));
        }
        let log_variances = self.kernels.iter().map(|kernel| kernel.log_variance());
        for (k, log_variance) in log_variances.enumerate() {
            if let Some(found) = log_variance.filter(|l| !l.is_finite()) {
                return Err(Error::field(
                    format!("log variance of step {}", k + 1),
                    "a finite number",
                    found,
                ));
            }
        }
        match self.bin_width.filter(|w| !(*w > 0.0 && w.is_finite())) {
            Some(found) => Err(Error::field("bin width", "a positive finite number", found)),
            None => Ok(()),
        }
    }
}
