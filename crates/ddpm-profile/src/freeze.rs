//! Conventions with every number that is estimated fixed on one set of images, so that they can be scored on another.

use std::sync::Arc;

use ddpm_core::{DecoderKind, Objective, VarianceKind};
use ddpm_schedule::Scoring;
use rayon::prelude::*;

use crate::curves::Curves;
use crate::error::{Invalid, Result};

const NO_COLUMNS: &str =
    "the curves have no decoder columns; choose gaussian or none, or use a profile";

/// A [`Scoring`] with the numbers that it takes from the images on which a schedule is chosen.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The conventions.
    pub scoring: Scoring,
    /// m(t) of the analytic variance btilde + c^2 m(t), index t = 0..=T; `None` for any other.
    pub mse: Option<Arc<[f64]>>,
    /// log sigma^2 of the optimal decoder, index t1 = 0..=T (entry 0 is not used); `None` for any other.
    pub decoder_log_variance: Option<Arc<[f64]>>,
}

impl From<Scoring> for Frozen {
    /// Conventions that take no numbers: neither the analytic variance nor the optimal decoder.
    fn from(scoring: Scoring) -> Self {
        Self {
            scoring,
            mse: None,
            decoder_log_variance: None,
        }
    }
}

impl Curves {
    /// The conventions with this variance and decoder; where they are not named, the network's own variance, and the decoder that goes
    /// with it. Squared errors know nothing of discretised pixels: their decoder is gaussian.
    pub fn scoring(&self, variance: Option<VarianceKind>, decoder: Option<DecoderKind>) -> Scoring {
        let variance = variance.unwrap_or_else(|| VarianceKind::of_network(self.learned()));
        let usual = Scoring::new(variance);
        let decoder = decoder.unwrap_or(if self.has_decoder() {
            usual.decoder
        } else {
            DecoderKind::Gaussian
        });
        usual.with_decoder(decoder)
    }

    /// Fixes what the conventions take from these curves.
    ///
    /// # Errors
    /// [`Error::Schedule`](crate::Error::Schedule) for the optimal decoder on curves without decoder columns.
    pub fn freeze(&self, scoring: &Scoring) -> Result<Frozen> {
        let optimal = scoring.decoder == DecoderKind::Optimal;
        Ok(Frozen {
            scoring: *scoring,
            mse: (scoring.variance == VarianceKind::Analytic).then(|| self.mse().into()),
            decoder_log_variance: if optimal {
                Some(self.optimal_decoder_log_variance()?.into())
            } else {
                None
            },
        })
    }

    /// The scalar log-variance that minimises the decoder term of every timestep on these images, index t = 0..=T (entry 0 is 0 and
    /// unused). It is bounded by the range of the decoder column: where every pixel falls into its own bin, a smaller variance would
    /// always be better.
    ///
    /// # Errors
    /// [`Error::Schedule`](crate::Error::Schedule) if the curves have no decoder columns.
    pub fn optimal_decoder_log_variance(&self) -> Result<Vec<f64>> {
        let best = |t: usize| match t {
            0 => Ok(0.0),
            _ => match self.decoder_column(t, false) {
                Some(column) => Ok(column.argmin()),
                None => {
                    let why = format!("decoder optimal: {NO_COLUMNS}");
                    Err(Invalid::Unsupported(why).into())
                }
            },
        };
        (0..=self.train_steps()).into_par_iter().map(best).collect()
    }
}

impl Frozen {
    /// Refuses what `curves` cannot serve, and numbers that do not fit them.
    pub(crate) fn check(&self, curves: &Curves) -> Result<()> {
        let scoring = &self.scoring;
        if scoring.objective.on_trajectories() {
            let why = format!(
                "objective {}: expected elbo or mse with a profile or a curve",
                scoring.objective
            );
            return Err(Invalid::Unsupported(why).into());
        }
        let elbo = scoring.objective == Objective::Elbo;
        if scoring.variance == VarianceKind::Learned && elbo {
            curves.check_interpolation()?;
        }
        if scoring.variance == VarianceKind::Analytic {
            let expected = "a finite value of at least 0";
            let fits = |_, m: f64| m.is_finite() && m >= 0.0;
            check_numbers(curves, "frozen mse", self.mse.as_deref(), expected, fits)?;
        }
        match scoring.decoder {
            DecoderKind::Respaced | DecoderKind::Marginal | DecoderKind::Optimal
                if elbo && !curves.has_decoder() =>
            {
                let why = format!("decoder {}: {NO_COLUMNS}", scoring.decoder);
                Err(Invalid::Unsupported(why).into())
            }
            DecoderKind::Optimal => {
                let fits = |t: usize, l: f64| {
                    let (low, high) = curves.decoder_range(t);
                    !curves.has_decoder() || (low..=high).contains(&l)
                };
                check_numbers(
                    curves,
                    "frozen decoder log-variance",
                    self.decoder_log_variance.as_deref(),
                    "a log-variance within the range of the decoder column",
                    fits,
                )
            }
            DecoderKind::Gaussian => {
                let gaussian = &scoring.gaussian;
                if let Some(found) = gaussian.bin_width.filter(|w| !(w.is_finite() && *w > 0.0)) {
                    let expected = "a positive finite number";
                    return Err(Invalid::field("bin width", expected, found).into());
                }
                match gaussian.first.filter(|f| !f.is_finite()) {
                    Some(found) => {
                        let field = "decoder term at t = 1";
                        Err(Invalid::field(field, "a finite number", found).into())
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// m(t) of the analytic variance, which was checked to be there.
    pub(crate) fn mse_at(&self, t: usize) -> f64 {
        self.mse.as_ref().map_or(f64::NAN, |mse| mse[t])
    }
}

/// Checks frozen numbers, index t = 0..=T with entry 0 unused.
fn check_numbers(
    curves: &Curves,
    field: &str,
    numbers: Option<&[f64]>,
    expected: &'static str,
    fits: impl Fn(usize, f64) -> bool,
) -> Result<()> {
    let numbers = numbers.unwrap_or_default();
    let length = curves.train_steps() + 1;
    Invalid::check_length(field, length, numbers.len())?;
    match (1..length).find(|&t| !fits(t, numbers[t])) {
        Some(t) => {
            let field = format!("{field} at t = {t}");
            Err(Invalid::field(field, expected, numbers[t]).into())
        }
        None => Ok(()),
    }
}
