//! Conventions with every number that is estimated fixed on one set of images, so that they can be scored on another.

use std::sync::Arc;

use ddpm_core::{DecoderKind, MeanKind, Objective, VarianceKind};
use ddpm_schedule::Scoring;
use rayon::prelude::*;

use crate::band_curves::BandFit;
use crate::column::Column;
use crate::curves::Curves;
use crate::error::{Invalid, Result};
use crate::learned::LearnedColumn;
use crate::nodes::Nodes;

const NO_COLUMNS: &str =
    "the curves have no decoder columns; choose gaussian or none, or use a profile";

/// What curves without bands are told.
const NO_BANDS: &str = "the profile has no statistics of bands of frequencies; \
                        profile the network without --no-bands (profiles of earlier versions have none), or record its bands too";

/// A [`Scoring`] with the numbers that it takes from the images on which a schedule is chosen.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The conventions.
    pub scoring: Scoring,
    /// m(t) of the analytic variance btilde + c^2 m(t), index t = 0..=T; `None` for any other.
    pub mse: Option<Arc<[f64]>>,
    /// log sigma^2 of the optimal decoder, index t1 = 0..=T (entry 0 is not used); `None` for any other. Where `decoder_learned` says so
    /// it is the lower end of the learned range.
    pub decoder_log_variance: Option<Arc<[f64]>>,
    /// Whether the optimal decoder's variance is learned, index t1 = 0..=T; `None` where it never is.
    pub decoder_learned: Option<Arc<[bool]>>,
    /// The corrections of every band and what they leave, index t = 0..=T; `None` where neither mean nor variance is per band.
    pub bands: Option<Arc<[BandFit]>>,
    /// The learned variance that the scalar of `learned-calibrated` multiplies, index t = 0..=T; `None` for any other.
    pub learned: Option<Arc<[FrozenLearned]>>,
}

/// The learned variance of one timestep on the choosing images.
#[derive(Clone, Debug)]
pub struct FrozenLearned {
    pub(crate) v_mean: f64,
    pub(crate) column: LearnedColumn,
}

impl From<Scoring> for Frozen {
    /// Conventions that take no numbers: none that [is measured](Scoring::is_measured).
    fn from(scoring: Scoring) -> Self {
        Self {
            scoring,
            mse: None,
            decoder_log_variance: None,
            decoder_learned: None,
            bands: None,
            learned: None,
        }
    }
}

impl Curves {
    /// The conventions with this variance and decoder; where they are not named, the network's own variance, and the decoder that goes
    /// with it. Squared errors know nothing of discretised pixels: their decoder is gaussian.
    pub fn scoring(
        &self,
        variance: Option<VarianceKind>,
        mean: Option<MeanKind>,
        decoder: Option<DecoderKind>,
    ) -> Scoring {
        let of_network = VarianceKind::of_network(self.learned());
        let variance = variance.unwrap_or_else(|| VarianceKind::of_mean(of_network, mean));
        let usual = Scoring::new(variance);
        let usual = usual.with_mean(mean.unwrap_or(usual.mean));
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
    /// [`Error::Schedule`](crate::Error::Schedule) for the optimal decoder on curves without decoder columns, for a spectral variance or a
    /// calibrated mean on curves without bands, and for a calibrated mean under learned variances;
    /// [`Error::InterpolationError`](crate::Error::InterpolationError) as [`CostModel::new`](crate::CostModel::new).
    pub fn freeze(&self, scoring: &Scoring) -> Result<Frozen> {
        self.freeze_among(scoring, &Nodes::All(self.train_steps()))
    }

    /// The same for paths of some timesteps. What takes long is fixed at these alone: the optimal decoder of the others is no optimum.
    pub(crate) fn freeze_among(&self, scoring: &Scoring, nodes: &Nodes) -> Result<Frozen> {
        let mut frozen = Frozen::from(*scoring);
        let variance = scoring.variance;
        let candidates = candidates(variance, self.learned());
        let calibrated = scoring.mean == MeanKind::Calibrated;
        scoring.check()?;
        if calibrated || candidates.contains(&VarianceKind::Spectral) {
            let fits = self
                .band_fits(calibrated)
                .ok_or_else(|| Invalid::Unsupported(format!("{}: {NO_BANDS}", scoring.kernel())))?;
            frozen.bands = Some(fits.into());
        }
        if candidates.contains(&VarianceKind::Analytic) {
            let fits = frozen.bands.as_deref().filter(|_| calibrated);
            frozen.mse = Some(match (fits, self.bands()) {
                (Some(fits), Some(bands)) => {
                    let left = |fit: &BandFit| bands.mean(fit.powers.iter().copied());
                    fits.iter().map(left).collect()
                }
                _ => self.mse().into(),
            });
        }
        if candidates.contains(&VarianceKind::LearnedCalibrated) {
            self.check_interpolation(variance)?;
            let at = |t: usize| {
                Some(FrozenLearned {
                    v_mean: self.v_mean()?[t],
                    column: self.learned_column(t)?,
                })
            };
            let columns = (0..=self.train_steps()).into_par_iter().map(at);
            frozen.learned = columns.collect::<Option<Vec<_>>>().map(Into::into);
        }
        if scoring.decoder == DecoderKind::Optimal {
            let (log_variances, learned) = self.optimal_decoder(nodes)?;
            frozen.decoder_log_variance = Some(log_variances.into());
            frozen.decoder_learned = learned.contains(&true).then(|| learned.into());
        }
        Ok(frozen)
    }

    /// m(t) of the mean that these fits correct: what they leave, as a mean over dimensions. The network's own m(t) without them.
    pub(crate) fn mean_power(&self, t: usize, fits: Option<&[BandFit]>) -> f64 {
        match (
            fits.and_then(|fits| self.band_powers(t, fits)),
            self.bands(),
        ) {
            (Some(powers), Some(bands)) if t > 0 => bands.mean(powers),
            _ => self.mse()[t],
        }
    }

    /// The decoder that is best on these images at every one of the nodes, index t = 0..=T: the lower of one variance for all pixels and of
    /// the learned range with the best lower end, each bounded as [`optimal_decoder_log_variance`](Self::optimal_decoder_log_variance)
    /// says. At other timesteps the lowest variance that is allowed.
    fn optimal_decoder(&self, nodes: &Nodes) -> Result<(Vec<f64>, Vec<bool>)> {
        let best = |i: usize| {
            let t = nodes.at(i);
            let own = self.own_decoder_column(t)?;
            let scalar = own.argmin();
            let learned = self.decoder_column(t, true).map(|learned| {
                let at = learned.argmin();
                (at, learned.at(at))
            });
            Ok(match learned {
                Some((at, least)) if least < own.at(scalar) => (t, at, true),
                _ => (t, scalar, false),
            })
        };
        let found: Vec<_> = (1..=nodes.last())
            .into_par_iter()
            .map(best)
            .collect::<Result<_>>()?;
        let steps = self.train_steps();
        let mut log_variances = vec![0.0; steps + 1];
        for (t, lowest) in log_variances.iter_mut().enumerate().skip(1) {
            *lowest = self.decoder_range(t).0;
        }
        let mut is_learned = vec![false; steps + 1];
        for (t, log_variance, learned) in found {
            (log_variances[t], is_learned[t]) = (log_variance, learned);
        }
        Ok((log_variances, is_learned))
    }

    /// The decoder column of one variance for all pixels.
    fn own_decoder_column(&self, t: usize) -> Result<Column> {
        let why = || format!("decoder optimal: {NO_COLUMNS}");
        let column = self.decoder_column(t, false);
        Ok(column.ok_or_else(|| Invalid::Unsupported(why()))?)
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
            _ => Ok(self.own_decoder_column(t)?.argmin()),
        };
        (0..=self.train_steps()).into_par_iter().map(best).collect()
    }
}

/// The variances that an edge chooses among; `learned`: whether the network predicts one.
pub(crate) fn candidates(variance: VarianceKind, learned: bool) -> Vec<VarianceKind> {
    use VarianceKind as Kind;
    match variance {
        Kind::Best if learned => vec![Kind::Spectral, Kind::LearnedCalibrated, Kind::Analytic],
        Kind::Best => vec![Kind::Spectral, Kind::Analytic],
        one => vec![one],
    }
}

impl Frozen {
    /// The corrections, where the mean has any.
    pub(crate) fn corrections(&self) -> Option<&[BandFit]> {
        let calibrated = self.scoring.mean == MeanKind::Calibrated;
        self.bands.as_deref().filter(|_| calibrated)
    }

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
        let candidates = candidates(scoring.variance, curves.learned());
        if candidates.iter().any(|kind| kind.needs_learned()) && elbo {
            curves.check_interpolation(scoring.variance)?;
        }
        let per_band =
            candidates.contains(&VarianceKind::Spectral) || scoring.mean == MeanKind::Calibrated;
        if per_band {
            self.check_bands(curves)?;
        }
        if candidates.contains(&VarianceKind::LearnedCalibrated) {
            let found = self.learned.as_ref().map_or(0, |learned| learned.len());
            check_length(curves, "frozen learned variances", found)?;
        }
        if candidates.contains(&VarianceKind::Analytic) {
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

    /// Refuses corrections of other bands than those of the curves.
    fn check_bands(&self, curves: &Curves) -> Result<()> {
        let fits = self.bands.as_deref().unwrap_or_default();
        check_length(curves, "frozen bands", fits.len())?;
        let count = curves.bands().map(|bands| bands.count());
        let Some(count) = count else {
            let why = format!("{}: {NO_BANDS}", self.scoring.kernel());
            return Err(Invalid::Unsupported(why).into());
        };
        match fits[1..].iter().find(|fit| fit.powers.len() != count) {
            Some(fit) => Err(Invalid::length("frozen bands", count, fit.powers.len()).into()),
            None => Ok(()),
        }
    }

    /// m(t) of the analytic variance, which was checked to be there.
    pub(crate) fn mse_at(&self, t: usize) -> f64 {
        self.mse.as_ref().map_or(f64::NAN, |mse| mse[t])
    }
}

/// Refuses frozen numbers that are not one per timestep, t = 0 included.
fn check_length(curves: &Curves, field: &str, found: usize) -> Result<()> {
    Invalid::check_length(field, curves.train_steps() + 1, found)?;
    Ok(())
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
    check_length(curves, field, numbers.len())?;
    match (1..=curves.train_steps()).find(|&t| !fits(t, numbers[t])) {
        Some(t) => {
            let field = format!("{field} at t = {t}");
            Err(Invalid::field(field, expected, numbers[t]).into())
        }
        None => Ok(()),
    }
}
