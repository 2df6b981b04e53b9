//! [`Schedule`]: one path with what each of its steps needs, as evaluation and sampling run it.

use std::sync::Arc;

use ddpm_core::{
    Bands, DecoderKind, MeanCorrection, MeanKind, NoiseSchedule, Sampler, StepVariance, TimePath,
    VarianceKind, respaced_decoder_log_variance,
};

use ddpm_files::sha256;

use crate::corrections::Corrections;
use crate::error::{Error, Result};
use crate::scoring::Scoring;

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
    /// No density: the step onto the data under [`DecoderKind::None`].
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
    /// [checked](Schedule::check).
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

/// One path with what each of its steps needs: all that scoring it or sampling along it takes besides the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The path; its length is the number of network evaluations.
    pub path: TimePath,
    /// The kernel of every step in ascending t, that of the step onto the data first.
    pub kernels: Vec<Kernel>,
    /// The correction of the mean of every step, in the order of `kernels`; empty for the network's own mean. Under a discretised decoder the
    /// step onto the data is scored without it, and shows it all the same.
    pub means: Vec<Arc<MeanCorrection>>,
    /// The bands of frequencies that variances and means are of, where one is.
    pub bands: Option<Arc<Bands>>,
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
                measured => {
                    return Err(Error::Unsupported(format!(
                        "variance {measured} needs the network's measured errors"
                    )));
                }
            });
        }
        Ok(Self {
            decoder: scoring.decoder_for(path.steps()),
            bin_width: scoring.gaussian.bin_width,
            path,
            kernels,
            means: Vec::new(),
            bands: None,
            sampler: Sampler::Ddpm,
        })
    }

    /// The same with the mean of its steps corrected.
    ///
    /// # Errors
    /// [`Error::Field`] where there is no correction for a timestep of the path.
    pub fn with_means(self, corrections: &Corrections) -> Result<Self> {
        Ok(Self {
            means: corrections.of_path(&self.path)?,
            bands: Some(corrections.bands().clone()),
            ..self
        })
    }

    /// K, the number of network evaluations.
    pub fn steps(&self) -> usize {
        self.path.steps()
    }

    /// Where the steps are centred.
    pub fn mean(&self) -> MeanKind {
        if self.means.is_empty() {
            MeanKind::Network
        } else {
            MeanKind::Calibrated
        }
    }

    /// Whether the mean of the steps is corrected.
    fn is_corrected(&self) -> bool {
        self.mean() == MeanKind::Calibrated
    }

    /// Whether a step takes its variance from the network.
    pub fn needs_learned_variance(&self) -> bool {
        self.kernels.iter().any(Kernel::is_learned)
    }

    /// A hash of all that is calibrated per band or per step beyond one log-variance a step: corrections of the mean and, where
    /// `variances` matter, powers and scales. `None` where there is nothing of it.
    pub fn calibration_sha256(&self, variances: bool) -> Option<String> {
        let mut numbers: Vec<f64> = Vec::new();
        for mean in &self.means {
            numbers.extend(mean.estimate.iter().chain(&mean.noise).chain(&mean.offset));
        }
        for kernel in self.kernels.iter().filter(|_| variances) {
            match kernel {
                Kernel::Bands { powers } => numbers.extend(powers.iter()),
                Kernel::LearnedScaled { log_scale } => numbers.push(*log_scale),
                _ => {}
            }
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        (!bytes.is_empty()).then(|| sha256(&bytes))
    }

    /// The correction of the mean with which step `k` (in ascending t, from 0) is sampled; `None` for the network's own mean.
    pub fn correction(&self, k: usize) -> Option<(&Bands, &MeanCorrection)> {
        Some((self.bands.as_deref()?, self.means.get(k)?))
    }

    /// The correction with which step `k` is scored: a discretised density of the data is one of pixels around the raw estimate.
    pub fn scored_correction(&self, k: usize) -> Option<(&Bands, &MeanCorrection)> {
        let scored = k > 0 || self.decoder == DecoderKind::Gaussian;
        self.correction(k).filter(|_| scored)
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
        self.check_bands()?;
        for (k, kernel) in self.kernels.iter().enumerate() {
            if let Some(found) = kernel.number().filter(|l| !l.is_finite()) {
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

    /// Refuses corrections and powers that are not one per band.
    fn check_bands(&self) -> Result<()> {
        let per_band = self.is_corrected() || self.kernels.iter().any(Kernel::is_per_band);
        let Some(bands) = &self.bands else {
            if per_band {
                let expected = "those of the variances and means";
                return Err(Error::field("bands", expected, "none"));
            }
            return Ok(());
        };
        let count = bands.count();
        if self.is_corrected() && self.means.len() != self.kernels.len() {
            let expected = format!("{} (one per step of the path)", self.kernels.len());
            return Err(Error::field(
                "means",
                expected,
                self.means.len().to_string(),
            ));
        }
        for (k, mean) in self.means.iter().enumerate() {
            if !mean.is_usable(bands) {
                return Err(Error::field(
                    format!("mean of step {}", k + 1),
                    format!("finite coefficients of {count} bands"),
                    format!("{} and {}", mean.estimate.len(), mean.noise.len()),
                ));
            }
        }
        for (k, kernel) in self.kernels.iter().enumerate() {
            let Kernel::Bands { powers } = kernel else {
                continue;
            };
            // A density of the data needs a variance; an interior step has that of the posterior.
            let usable = |&power: &f64| power.is_finite() && (power > 0.0 || k > 0 && power == 0.0);
            if powers.len() != count || !powers.iter().all(usable) {
                return Err(Error::field(
                    format!("powers of step {}", k + 1),
                    format!("a positive number for each of {count} bands"),
                    format!("{} numbers", powers.len()),
                ));
            }
        }
        Ok(())
    }
}
