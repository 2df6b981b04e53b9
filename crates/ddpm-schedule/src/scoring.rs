//! [`Scoring`]: the conventions that a schedule is chosen and scored under.

use ddpm_core::{DecoderKind, MeanKind, Objective, StartRule, VarianceKind};

use crate::error::{Error, Result};
use crate::kernel::Kernel;

/// The choices behind a number: variance and mean of the steps, decoder, objective, and where paths end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scoring {
    /// Variance of the reverse steps.
    pub variance: VarianceKind,
    /// Mean of the reverse steps.
    pub mean: MeanKind,
    /// Likelihood of clean data given the last state.
    pub decoder: DecoderKind,
    /// Parameters of the gaussian decoder; without effect under any other.
    pub gaussian: GaussianDecoder,
    /// What is minimised.
    pub objective: Objective,
    /// Where paths end.
    pub start: StartRule,
}

/// Parameters of [`DecoderKind::Gaussian`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GaussianDecoder {
    /// Width of a bin of the data (2/255 for 8-bit images in \[-1, 1\]): the log of it is subtracted, so that the density becomes the
    /// probability of a bin of discretised data. `None` for a density.
    pub bin_width: Option<f64>,
    /// The term at t1 = 1 in nats per dimension, if it is known better.
    pub first: Option<f64>,
}

/// Whether estimates of x0 are clipped, in words; `None` where nobody said.
pub fn clip_in_words(clip_denoised: Option<bool>) -> &'static str {
    match clip_denoised {
        Some(true) => "clip on",
        Some(false) => "clip off",
        None => "clip unknown",
    }
}

impl Scoring {
    /// The usual conventions with this variance: its own decoder ([`DecoderKind::of_variance`]), the negative ELBO, paths that end at T.
    pub fn new(variance: VarianceKind) -> Self {
        Self {
            variance,
            mean: MeanKind::of_variance(variance),
            decoder: DecoderKind::of_variance(variance),
            gaussian: GaussianDecoder::default(),
            objective: Objective::Elbo,
            start: StartRule::Full,
        }
    }

    /// Those of schedules for deterministic samplers, which have no density to score: fixed-small variances, for those who sample with noise, and no decoder.
    pub fn unscored(mean: MeanKind) -> Self {
        Self::new(VarianceKind::FixedSmall)
            .with_decoder(DecoderKind::None)
            .with_mean(mean)
    }

    /// The same with another decoder.
    #[must_use]
    pub fn with_decoder(self, decoder: DecoderKind) -> Self {
        Self { decoder, ..self }
    }

    /// The same with another mean.
    #[must_use]
    pub fn with_mean(self, mean: MeanKind) -> Self {
        Self { mean, ..self }
    }

    /// The same with another objective.
    #[must_use]
    pub fn with_objective(self, objective: Objective) -> Self {
        Self { objective, ..self }
    }

    /// The same with another rule for the end of paths.
    #[must_use]
    pub fn with_start(self, start: StartRule) -> Self {
        Self { start, ..self }
    }

    /// The convention that scores the decoder of a path of `steps` steps, see [`DecoderKind::for_steps`].
    pub fn decoder_for(&self, steps: usize) -> DecoderKind {
        self.decoder.for_steps(steps)
    }

    /// Variance and mean in words: `spectral variance, calibrated mean`; the network's own mean goes without saying.
    pub fn kernel(&self) -> String {
        match self.mean.in_words() {
            None => format!("{} variance", self.variance),
            Some(mean) => format!("{} variance, {mean}", self.variance),
        }
    }

    /// Whether anything of it is taken from images on which the network was measured.
    pub fn is_measured(&self) -> bool {
        self.variance.is_measured()
            || self.mean == MeanKind::Calibrated
            || self.decoder == DecoderKind::Optimal
    }

    /// Refuses conventions that nothing can be priced under.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a calibrated mean under learned variances.
    pub fn check(&self) -> Result<()> {
        let Self { variance, mean, .. } = self;
        if mean.goes_with(*variance) {
            return Ok(());
        }
        Err(Error::Unsupported(format!(
            "mean {mean} with variance {variance}: the columns of learned variances weigh the errors of the \
             network's own mean; use mean network, or variance spectral"
        )))
    }

    /// Whether step `k` (from 0, in ascending t) of a path of `steps` steps may have this kernel.
    pub(crate) fn allows(&self, kernel: &Kernel, k: usize, steps: usize) -> bool {
        let is_scalar = matches!(kernel, Kernel::Scalar { .. });
        let is_learned = matches!(kernel, Kernel::Learned);
        let is_scaled = matches!(kernel, Kernel::LearnedScaled { .. });
        if k > 0 {
            return match self.variance {
                VarianceKind::Learned => is_learned,
                VarianceKind::FixedSmall | VarianceKind::FixedLarge | VarianceKind::Analytic => {
                    is_scalar
                }
                VarianceKind::Spectral => kernel.is_per_band(),
                VarianceKind::LearnedCalibrated => is_scaled,
                VarianceKind::Best => kernel.is_per_band() || is_scaled || is_scalar,
            };
        }
        match self.decoder {
            DecoderKind::None => *kernel == Kernel::None,
            DecoderKind::Optimal => is_scalar || matches!(kernel, Kernel::LearnedFrom { .. }),
            DecoderKind::Gaussian if self.spectral_decoder() => kernel.is_per_band(),
            // A path of one step has no range to learn in: the name is as good as the number.
            DecoderKind::Respaced if self.variance == VarianceKind::Learned => {
                is_learned || (steps == 1 && is_scalar)
            }
            DecoderKind::Respaced | DecoderKind::Marginal | DecoderKind::Gaussian => is_scalar,
        }
    }

    /// Whether the decoder term depends on the second node of the path: see [`DecoderKind::needs_next`]. A continuous density has the
    /// spectral variance too, which does not.
    pub fn decoder_needs_next(&self) -> bool {
        self.decoder.needs_next() && !self.spectral_decoder()
    }

    /// Whether paths are chosen among those of t_1 = 1 alone (and the one step from T): without a decoder term the step onto the data is
    /// free, and a path that takes it from the noisiest timesteps would cost nothing. From t = 1 what is left out is the same for every path.
    pub fn fixes_first(&self) -> bool {
        self.decoder == DecoderKind::None && self.objective == Objective::Elbo
    }

    /// Whether the step onto the data has a variance per band: under the continuous density only, since a discretised one is pixel by
    /// pixel.
    pub fn spectral_decoder(&self) -> bool {
        self.variance.is_per_band() && self.decoder == DecoderKind::Gaussian
    }
}
