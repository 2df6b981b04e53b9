//! Variance, decoder, objective and start as the libraries name them.

use ddpm_core::VarianceKind;
use ddpm_profile::{
    CostModel, Curves, Decoder, DecoderKind, Objective, StartRule, StepVariances,
    optimal_decoder_log_variance,
};

use crate::args::{DecoderArg, ObjectiveArg, StartArg, VarianceArg};
use crate::error::{Error, Result};

impl From<VarianceArg> for VarianceKind {
    fn from(arg: VarianceArg) -> Self {
        match arg {
            VarianceArg::Learned => Self::Learned,
            VarianceArg::FixedSmall => Self::FixedSmall,
            VarianceArg::FixedLarge => Self::FixedLarge,
            VarianceArg::Analytic => Self::Analytic,
        }
    }
}

impl From<DecoderArg> for DecoderKind {
    fn from(arg: DecoderArg) -> Self {
        match arg {
            DecoderArg::Respaced => Self::Respaced,
            DecoderArg::Marginal => Self::Marginal,
            DecoderArg::Optimal => Self::Optimal,
            DecoderArg::Gaussian => Self::Gaussian,
            DecoderArg::None => Self::None,
        }
    }
}

impl From<StartArg> for StartRule {
    fn from(arg: StartArg) -> Self {
        match arg {
            StartArg::Full => Self::Full,
            StartArg::Free => Self::Free,
        }
    }
}

/// The objective of a profile or a curve.
///
/// # Errors
/// One of the objectives over trajectories.
pub(crate) fn objective(arg: ObjectiveArg) -> Result<Objective> {
    match arg {
        ObjectiveArg::Elbo => Ok(Objective::Elbo),
        ObjectiveArg::Mse => Ok(Objective::Mse),
        ObjectiveArg::Quality | ObjectiveArg::Klub => Err(Error::usage(
            "--objective: expected elbo or mse with a profile or a curve",
        )),
    }
}

/// The decoder that goes with a variance when none is named.
pub(crate) fn default_decoder(variance: VarianceKind) -> DecoderKind {
    match variance {
        VarianceKind::Analytic => DecoderKind::Optimal,
        _ => DecoderKind::Respaced,
    }
}

/// The variance that a network serves when none is named.
pub(crate) fn default_variance(learned: bool) -> VarianceKind {
    if learned {
        VarianceKind::Learned
    } else {
        VarianceKind::FixedSmall
    }
}

/// A variance with what it needs of the curves, frozen.
pub(crate) fn step_variances(kind: VarianceKind, curves: &Curves) -> StepVariances {
    match kind {
        VarianceKind::Learned => StepVariances::Learned,
        VarianceKind::FixedSmall => StepVariances::FixedSmall,
        VarianceKind::FixedLarge => StepVariances::FixedLarge,
        VarianceKind::Analytic => StepVariances::Analytic {
            mse: curves.mse().into(),
        },
    }
}

/// Parameters of the gaussian decoder.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GaussianDecoder {
    /// Width of a bin of the data.
    pub(crate) bin_width: Option<f64>,
    /// Term at t = 1 in bits/dim.
    pub(crate) first_bits: Option<f64>,
}

impl GaussianDecoder {
    /// Refuses impossible values, and any values for another decoder.
    ///
    /// # Errors
    /// [`Error::Input`] or [`Error::Usage`] naming the flag.
    pub(crate) fn check(self, kind: DecoderKind) -> Result<Self> {
        for (flag, value) in [
            ("--decoder-bin-width", self.bin_width),
            ("--decoder-first-bits", self.first_bits),
        ] {
            if value.is_some() && kind != DecoderKind::Gaussian {
                return Err(Error::usage(format!(
                    "{flag} goes with --decoder gaussian, the decoder is {kind}"
                )));
            }
        }
        if let Some(width) = self.bin_width.filter(|w| !(*w > 0.0 && w.is_finite())) {
            return Err(Error::flag(
                "--decoder-bin-width",
                format!("expected a positive number, found {width}"),
            ));
        }
        if let Some(bits) = self.first_bits.filter(|b| !b.is_finite()) {
            return Err(Error::flag(
                "--decoder-first-bits",
                format!("expected a finite number, found {bits}"),
            ));
        }
        Ok(self)
    }
}

/// A decoder with what it needs of the curves, frozen.
///
/// # Errors
/// `optimal` on curves without decoder columns.
pub(crate) fn decoder(
    kind: DecoderKind,
    curves: &Curves,
    gaussian: GaussianDecoder,
) -> std::result::Result<Decoder, ddpm_profile::Error> {
    Ok(match kind {
        DecoderKind::Respaced => Decoder::Respaced,
        DecoderKind::Marginal => Decoder::Marginal,
        DecoderKind::Optimal => Decoder::Optimal {
            log_variance: optimal_decoder_log_variance(curves)?.into(),
        },
        DecoderKind::Gaussian => Decoder::Gaussian {
            bin_width: gaussian.bin_width,
            first: gaussian
                .first_bits
                .map(|bits| bits * std::f64::consts::LN_2),
        },
        DecoderKind::None => Decoder::None,
    })
}

/// The negative ELBO on curves; what its variance and decoder need is frozen on the same curves.
///
/// # Errors
/// Curves that do not serve the variance or the decoder.
pub(crate) fn elbo(
    curves: &Curves,
    variance: VarianceKind,
    kind: DecoderKind,
    gaussian: GaussianDecoder,
) -> std::result::Result<CostModel<'_>, ddpm_profile::Error> {
    CostModel::new(
        curves,
        step_variances(variance, curves),
        decoder(kind, curves, gaussian)?,
        Objective::Elbo,
    )
}
