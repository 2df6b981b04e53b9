//! Powers and corrections of bands as curves over every timestep.
//!
//! At evaluated timesteps they are what was measured. Between them m(t) is interpolated as ever, then the logarithms of the shares
//! of the bands in it (renormalised), and log of what the correction leaves of each power: interpolating the logarithm of every
//! power by itself could give bands whose sum is not m, and a spectral kernel that costs more than one variance for all.
//! Coefficients of corrections are interpolated as they are, over log-SNR like everything else.

use std::sync::Arc;

use ddpm_core::{Bands, MeanCorrection};
use rayon::prelude::*;

use crate::band_moments::{BandMoments, Fit, MEANS};
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
        let constants = (0..bands.count()).filter(|&b| bands.is_constant(b));
        MeanCorrection {
            estimate: self.fits.iter().map(|fit| fit.estimate).collect(),
            noise: self.fits.iter().map(|fit| fit.noise).collect(),
            offset: constants.map(|band| self.fits[band].offset).collect(),
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
        (0..self.bands.count())
            .map(|band| self.bands.weight(band) * point.power(band))
            .sum()
    }

    /// What corrections leave of every band at an evaluated timestep.
    fn left(&self, point: &BandMoments, fits: Option<&[Fit]>) -> Vec<f64> {
        let mut means = point.means.iter();
        (0..self.bands.count())
            .map(|band| {
                let mean: Option<&[f64; MEANS]> =
                    self.bands.is_constant(band).then(|| means.next()).flatten();
                match fits {
                    Some(fits) => point.power_left(band, mean, &fits[band]),
                    None => point.power(band),
                }
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
