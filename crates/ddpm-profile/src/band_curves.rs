//! Powers and corrections of bands as curves over every timestep.
//!
//! At evaluated timesteps they are what was measured. Between them m(t) is interpolated as ever, then the logarithms of the shares
//! of the bands in it (renormalised), and log of what the correction leaves of each power: interpolating the logarithm of every
//! power by itself could give bands whose sum is not m, and a spectral kernel that costs more than one variance for all.
//! Coefficients of corrections are interpolated as they are, over log-SNR like everything else.

use std::sync::Arc;

use ddpm_core::{Bands, MeanCorrection};
use rayon::prelude::*;

use crate::band_moments::{BandMoments, Fit};
use crate::pchip::{Knots, Place};

/// What stands for the logarithm of nothing.
const LEAST: f64 = 1e-300;

/// The band statistics of some images, means over them.
#[derive(Clone, Debug)]
pub(crate) struct BandCurves {
    bands: Arc<Bands>,
    images: u64,
    /// By evaluated timestep.
    points: Vec<BandMoments>,
}

/// A correction per band and what it leaves, at one timestep.
#[derive(Clone, Debug, PartialEq)]
pub struct BandFit {
    /// By band; empty where the mean is the network's.
    pub(crate) fits: Vec<Fit>,
    /// S_b: the mean square of what is left in every band.
    pub(crate) powers: Vec<f64>,
}

impl BandFit {
    /// The correction as samplers and evaluations apply it.
    pub(crate) fn correction(&self, bands: &Bands) -> MeanCorrection {
        MeanCorrection {
            estimate: self.fits.iter().map(|fit| fit.estimate).collect(),
            noise: self.fits.iter().map(|fit| fit.noise).collect(),
            offset: bands
                .constants()
                .map(|band| self.fits[band].offset)
                .collect(),
        }
    }
}

impl BandCurves {
    pub(crate) fn new(bands: Arc<Bands>, images: u64, points: Vec<BandMoments>) -> Self {
        Self {
            bands,
            images,
            points,
        }
    }

    pub(crate) fn bands(&self) -> &Arc<Bands> {
        &self.bands
    }

    /// The corrections that are best on these images and what they leave, index t = 0..=T (entry 0 is empty); `calibrated`: whether there
    /// are corrections at all.
    pub(crate) fn freeze(
        &self,
        knots: &Knots,
        places: &[Place],
        mse: &[f64],
        calibrated: bool,
    ) -> Vec<BandFit> {
        let measured: Vec<Vec<Fit>> = if calibrated {
            let fits = |point: &BandMoments| point.fits(&self.bands, self.images);
            self.points.iter().map(fits).collect()
        } else {
            Vec::new()
        };
        let at = |t: usize| {
            if t == 0 {
                return BandFit {
                    fits: Vec::new(),
                    powers: Vec::new(),
                };
            }
            let of = |i: usize, band: usize| &measured[i][band];
            let fit = |band: usize| Fit {
                estimate: knots.interpolate(places[t], |i| of(i, band).estimate),
                noise: knots.interpolate(places[t], |i| of(i, band).noise),
                offset: knots.interpolate(places[t], |i| of(i, band).offset),
            };
            let fits = if calibrated {
                (0..self.bands.count()).map(fit).collect()
            } else {
                Vec::new()
            };
            let powers = self.powers(knots, places[t], mse[t], |i| {
                measured.get(i).map(|fits| &fits[..])
            });
            BandFit { fits, powers }
        };
        (0..mse.len()).into_par_iter().map(at).collect()
    }

    /// What frozen corrections leave in every band of these images at one timestep; `fits(i)`: those of the i-th evaluated timestep, `None`
    /// for the network's own mean. `mse`: m there.
    pub(crate) fn powers<'a>(
        &self,
        knots: &Knots,
        place: Place,
        mse: f64,
        fits: impl Fn(usize) -> Option<&'a [Fit]>,
    ) -> Vec<f64> {
        if let Place::At(i) = place {
            // On a knot, or beyond the last one: there m alone goes on changing.
            let point = &self.points[i];
            let total = self.total(point);
            let scale = if total > 0.0 { mse / total } else { 1.0 };
            // On the knot itself m is the sum of the powers, up to rounding.
            let scale = if (scale - 1.0).abs() < 1e-9 {
                1.0
            } else {
                scale
            };
            let left = self.left(point, fits(i));
            return left.into_iter().map(|power| power * scale).collect();
        }
        let neighbours = neighbours(place, self.points.len());
        let count = self.bands.count();
        // By neighbour and band: the logarithm of the share, and that of what is left.
        let logs: Vec<Vec<[f64; 2]>> = neighbours
            .clone()
            .map(|i| {
                let point = &self.points[i];
                let left = self.left(point, fits(i));
                let total = self.total(point).max(LEAST);
                (0..count)
                    .map(|band| {
                        let power = point.power(band);
                        let share = (self.bands.weight(band) * power / total).max(LEAST);
                        let ratio = left[band].max(LEAST) / power.max(LEAST);
                        [share.ln(), ratio.ln()]
                    })
                    .collect()
            })
            .collect();
        let at = |band: usize, of: usize| {
            let y = |i: usize| logs[i - neighbours.start][band][of];
            knots.interpolate(place, y)
        };
        let shares: Vec<f64> = (0..count).map(|band| at(band, 0).exp()).collect();
        let sum: f64 = shares.iter().sum();
        (0..count)
            .map(|band| mse * shares[band] / sum / self.bands.weight(band) * at(band, 1).exp())
            .collect()
    }

    /// m of a timestep, from its bands.
    fn total(&self, point: &BandMoments) -> f64 {
        let powers = (0..self.bands.count()).map(|band| point.power(band));
        self.bands.mean(powers)
    }

    /// What corrections leave of every band at an evaluated timestep.
    fn left(&self, point: &BandMoments, fits: Option<&[Fit]>) -> Vec<f64> {
        let means = self.bands.by_band(&point.means).into_iter().enumerate();
        means
            .map(|(band, mean)| match fits {
                Some(fits) => point.power_left(band, mean, &fits[band]),
                None => point.power(band),
            })
            .collect()
    }
}

/// The knots that an interpolation at this place reads.
fn neighbours(place: Place, count: usize) -> std::ops::Range<usize> {
    match place {
        Place::At(i) => i..i + 1,
        Place::Between { left, .. } => left.saturating_sub(1)..(left + 3).min(count),
    }
}

#[cfg(test)]
mod tests {
    use ddpm_core::{DecoderKind, MeanKind, NoiseSchedule, NoiseScheduleName, VarianceKind};
    use ddpm_schedule::{Budgets, Scoring};

    use super::*;
    use crate::{CostModel, Curves, ProfileLayout, choose, statistics::PointStatistics};

    const STEPS: usize = 50;

    /// The curves of the best denoiser of data with covariance U^T diag(P) U, from its exact moments: its errors have the power
    /// P / (1 + SNR P) in every band and no product with anything that it knows.
    fn gaussian(bands: &Bands, variances: &[f64], schedule: &NoiseSchedule) -> Curves {
        let layout = ProfileLayout::without_decoder(schedule, (1..=STEPS).collect())
            .unwrap()
            .with_bands(bands.clone());
        let weighted = |f: &dyn Fn(usize) -> f64| -> f64 {
            (0..bands.count()).map(|b| bands.weight(b) * f(b)).sum()
        };
        let point = |i: usize| {
            let t = i + 1;
            let left = |b: usize| variances[b] / (1.0 + schedule.snr(t) * variances[b]);
            let mut point = PointStatistics::zero(&layout, i);
            point.moments.mse = weighted(&left);
            for (b, products) in point.bands.products.iter_mut().enumerate() {
                let known = variances[b] - left(b);
                *products = [left(b), 0.0, 0.0, known, 0.1 * known, known];
            }
            point
        };
        let points = (0..STEPS).map(point).collect();
        let square = weighted(&|b| variances[b]);
        Curves::from_means(schedule, &layout, 1000, square, points)
    }

    /// Every reverse step is exact, so that all that is paid is where the chain starts.
    #[test]
    fn gaussian_data_cost_their_entropy_and_the_prior_at_every_budget() {
        let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, STEPS).unwrap();
        for shape in [&[3, 6, 5][..], &[2, 9], &[7], &[4, 1]] {
            let bands = Bands::of_shape(shape).unwrap();
            let variances: Vec<f64> = (0..bands.count())
                .map(|b| 10f64.powf(1.0 - 4.0 * b as f64 / bands.count() as f64))
                .collect();
            let curves = gaussian(&bands, &variances, &schedule);
            let mean = |f: &dyn Fn(f64) -> f64| -> f64 {
                (0..bands.count())
                    .map(|b| bands.weight(b) * f(variances[b]))
                    .sum()
            };
            let entropy = mean(&|p| 0.5 * ((2.0 * std::f64::consts::PI).ln() + 1.0 + p.ln()));
            let (signal, noise) = (
                schedule.alpha_bar(STEPS),
                schedule.one_minus_alpha_bar(STEPS),
            );
            let start = mean(&|p| {
                let v = signal * p + noise;
                0.5 * (v - 1.0 - v.ln())
            });
            for mean in [MeanKind::Network, MeanKind::Calibrated] {
                let scoring = Scoring::new(VarianceKind::Spectral)
                    .with_mean(mean)
                    .with_decoder(DecoderKind::Gaussian);
                let model = CostModel::new(&curves, curves.freeze(&scoring).unwrap()).unwrap();
                let schedules = choose(&model, &Budgets::All, None).unwrap();
                for chosen in &schedules.budgets {
                    let path = &chosen.schedule.path;
                    let total = model.path_cost(path) + model.prior(path.end()).unwrap();
                    let excess = total - entropy - start;
                    assert!(excess.abs() < 1e-12, "{shape:?} {mean} {path}: {excess}");
                }
                assert_eq!(schedules.budgets.len(), STEPS);
            }
        }
    }
}
