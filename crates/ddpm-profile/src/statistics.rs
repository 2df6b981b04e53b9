//! The sufficient statistics of the evidence lower bound, of one image at one timestep.
//!
//! With e = x0 - xhat0 and v the learned variance fraction, both per pixel, one (image, timestep) is reduced to means over
//! its pixels:
//! - e^2, v, v^2, and the smallest and largest v;
//! - H(lambda) = mean(e^{-v lambda} - 1 + v lambda) and F(lambda) = mean(e^2 e^{-v lambda}) at Chebyshev points of lambda:
//!   the interior term of the edge (t, s) under a learned variance is 1/2 \[H(lambda) + (SNR_s - SNR_t) F(lambda)\] at
//!   lambda = log((1 - abar_t)/(1 - abar_s)) (Nichol & Dhariwal 2021, eq. 15, put into Watson et al. 2021, eq. 17);
//! - the decoder term, minus log of the discretised Gaussian, at chosen log-variances: once with the same variance for every
//!   pixel, once with the learned one;
//! - the products of each band of frequencies, where the layout has [bands](ddpm_core::Bands).
//!
//! All of them are linear in the images (the extremes of v are merged as extremes), so blocks and shards add.

use crate::{
    band_moments::BandMoments,
    error::{Invalid, Result},
    layout::{PointLayout, ProfileLayout, check_index},
    measure::{Bins, learned_columns, learned_decoder, sum, tiles},
    vecmath::{Kernel, vectorized},
};

/// The largest |v| accepted. Trained networks stay near 0..=1.
const LARGEST_V: f64 = 20.0;

/// The statistics of one image at one timestep, means over its dimensions, in nats where they are likelihoods.
#[derive(Clone, Debug, PartialEq)]
pub struct PointStatistics {
    pub(crate) moments: Moments,
    /// H at the layout's lambdas; empty when the variance is not learned.
    pub(crate) excess: Vec<f64>,
    /// F at the layout's lambdas; empty when the variance is not learned.
    pub(crate) weighted: Vec<f64>,
    /// Decoder term at the layout's knots, one variance for all pixels.
    pub(crate) scalar_decoder: Vec<f64>,
    /// Decoder term at the layout's knots, learned variance; empty when the variance is not learned.
    pub(crate) learned_decoder: Vec<f64>,
    /// Empty without bands.
    pub(crate) bands: BandMoments,
}

/// What the network made of one image at one timestep; all of the same length D.
#[derive(Clone, Copy, Debug)]
pub struct Reconstruction<'a> {
    /// The image in \[-1, 1\].
    pub x0: &'a [f64],
    /// What the network was shown. Needed by a layout with bands.
    pub x_t: Option<&'a [f64]>,
    /// Its reconstruction of the image, clipped or not, as the profile says.
    pub xhat0: &'a [f64],
    /// The learned fraction (output + 1) / 2 of each pixel. Needed by a layout with learned variances.
    pub v: Option<&'a [f64]>,
}

/// The plain moments of one timestep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) mse: f64,
    pub(crate) v_mean: f64,
    pub(crate) v_square: f64,
    pub(crate) v_min: f64,
    pub(crate) v_max: f64,
}

impl Moments {
    /// In the order of the file format.
    pub(crate) fn to_array(self) -> [f64; 5] {
        [self.mse, self.v_mean, self.v_square, self.v_min, self.v_max]
    }

    pub(crate) fn from_array([mse, v_mean, v_square, v_min, v_max]: [f64; 5]) -> Self {
        Self {
            mse,
            v_mean,
            v_square,
            v_min,
            v_max,
        }
    }
}

impl PointStatistics {
    /// Mean over dimensions of (x0 - xhat0)^2.
    pub fn mse(&self) -> f64 {
        self.moments.mse
    }

    /// Nothing yet, in the shape of `layout` at one timestep.
    pub(crate) fn zero(layout: &ProfileLayout, timestep_index: usize) -> Self {
        let knots = layout.point(timestep_index).knots.len();
        Self {
            moments: Moments {
                mse: 0.0,
                v_mean: 0.0,
                v_square: 0.0,
                v_min: if layout.learned() { f64::INFINITY } else { 0.0 },
                v_max: if layout.learned() {
                    f64::NEG_INFINITY
                } else {
                    0.0
                },
            },
            excess: vec![0.0; layout.column_len()],
            weighted: vec![0.0; layout.column_len()],
            scalar_decoder: vec![0.0; knots],
            learned_decoder: vec![0.0; if layout.learned() { knots } else { 0 }],
            bands: BandMoments::zero(layout.bands()),
        }
    }

    pub(crate) fn accumulate(&mut self, other: &Self) {
        self.moments.mse += other.moments.mse;
        self.moments.v_mean += other.moments.v_mean;
        self.moments.v_square += other.moments.v_square;
        self.moments.v_min = self.moments.v_min.min(other.moments.v_min);
        self.moments.v_max = self.moments.v_max.max(other.moments.v_max);
        let columns = [
            (&mut self.excess, &other.excess),
            (&mut self.weighted, &other.weighted),
            (&mut self.scalar_decoder, &other.scalar_decoder),
            (&mut self.learned_decoder, &other.learned_decoder),
        ];
        for (mine, theirs) in columns {
            for (a, b) in mine.iter_mut().zip(theirs) {
                *a += b;
            }
        }
        self.bands.accumulate(&other.bands);
    }

    pub(crate) fn scale(&mut self, factor: f64) {
        self.moments.mse *= factor;
        self.moments.v_mean *= factor;
        self.moments.v_square *= factor;
        let columns = self.excess.iter_mut().chain(&mut self.weighted);
        let decoders = self
            .scalar_decoder
            .iter_mut()
            .chain(&mut self.learned_decoder);
        for value in columns.chain(decoders).chain(self.bands.values_mut()) {
            *value *= factor;
        }
    }

    /// Whether the lengths are those of `layout`.
    pub(crate) fn fits(&self, layout: &ProfileLayout, timestep_index: usize) -> bool {
        let knots = layout.point(timestep_index).knots.len();
        self.excess.len() == layout.column_len()
            && self.weighted.len() == layout.column_len()
            && self.scalar_decoder.len() == knots
            && self.learned_decoder.len() == if layout.learned() { knots } else { 0 }
            && self.bands.products.len() == layout.bands().map_or(0, |bands| bands.count())
    }
}

impl ProfileLayout {
    /// Reduces one image at one timestep to its statistics.
    ///
    /// Pure: call it from as many threads as there are images.
    ///
    /// # Errors
    /// [`Error::Schedule`](crate::Error::Schedule) if lengths differ, the index is out of range, or `v` or `x_t` is missing, and for numbers that
    /// are not finite or a |v| above 20.
    pub fn measure(
        &self,
        timestep_index: usize,
        estimate: &Reconstruction<'_>,
    ) -> Result<PointStatistics> {
        check_inputs(self, timestep_index, estimate)?;
        let Reconstruction { x0, x_t, xhat0, v } = *estimate;
        let mut statistics = PointStatistics::zero(self, timestep_index);
        vectorized(Measure {
            point: self.point(timestep_index),
            x0,
            xhat0,
            v: v.filter(|_| self.learned()),
            statistics: &mut statistics,
        });
        statistics.scale(1.0 / x0.len() as f64);
        if let (Some(bands), Some(x_t)) = (self.bands(), x_t) {
            let (signal, sigma) = self.point(timestep_index).scales();
            statistics.bands = BandMoments::of_image(bands, x0, x_t, xhat0, signal, sigma);
        }
        let t = self.timesteps()[timestep_index];
        if statistics.is_finite() {
            Ok(statistics)
        } else {
            let expected = "finite sums of squared errors and of e^(-v lambda)";
            Err(Invalid::field(format!("statistics at t = {t}"), expected, f64::INFINITY).into())
        }
    }
}

/// The sums over pixels of every statistic.
struct Measure<'a> {
    point: &'a PointLayout,
    x0: &'a [f64],
    xhat0: &'a [f64],
    v: Option<&'a [f64]>,
    statistics: &'a mut PointStatistics,
}

impl Kernel for Measure<'_> {
    #[inline(always)]
    fn run(self) {
        let (point, statistics) = (self.point, self.statistics);
        let errors = self.x0.iter().zip(self.xhat0);
        let squares = tiles(errors.map(|(a, b)| (a - b) * (a - b)), 0.0);
        let moments = &mut statistics.moments;
        moments.mse = sum(&squares);
        let bins = Bins::new(self.x0, self.xhat0);
        bins.scalar_column(&point.knots, &mut statistics.scalar_decoder);
        let Some(v) = self.v else { return };
        let v_tiles = tiles(v.iter().copied(), 0.0);
        moments.v_mean = sum(&v_tiles);
        moments.v_square = sum(&tiles(v.iter().map(|v| v * v), 0.0));
        moments.v_min = v.iter().copied().fold(f64::INFINITY, f64::min);
        moments.v_max = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (excess, weighted) = (&mut statistics.excess, &mut statistics.weighted);
        learned_columns(&v_tiles, &squares, &point.lambdas, excess, weighted);
        learned_decoder(&bins, v, point, &mut statistics.learned_decoder);
    }
}

fn check_inputs(
    layout: &ProfileLayout,
    timestep_index: usize,
    estimate: &Reconstruction<'_>,
) -> Result<()> {
    let Reconstruction { x0, x_t, xhat0, v } = *estimate;
    check_index(timestep_index, layout.timesteps().len())?;
    Invalid::check_length("x0", x0.len().max(1), x0.len())?;
    Invalid::check_length("xhat0", x0.len(), xhat0.len())?;
    let t = layout.timesteps()[timestep_index];
    let value = |field: &str, expected: &str, found: f64| {
        Invalid::field(format!("{field} at t = {t}"), expected, found)
    };
    let seen = match layout.bands() {
        Some(bands) => {
            Invalid::check_length("x0", bands.dims(), x0.len())?;
            x_t.unwrap_or(&[])
        }
        None => x0,
    };
    Invalid::check_length("x_t", x0.len(), seen.len())?;
    for (field, values) in [("x0", x0), ("xhat0", xhat0), ("x_t", seen)] {
        // 1e100: the squares must stay finite.
        if let Some(&found) = values.iter().find(|a| a.is_nan() || a.abs() > 1e100) {
            return Err(value(field, "finite values", found).into());
        }
    }
    if layout.learned() {
        let v = v.unwrap_or(&[]);
        Invalid::check_length("v", x0.len(), v.len())?;
        if let Some(&found) = v.iter().find(|a| a.is_nan() || a.abs() > LARGEST_V) {
            return Err(value("v", "a fraction within -20..=20", found).into());
        }
    }
    Ok(())
}

impl PointStatistics {
    pub(crate) fn is_finite(&self) -> bool {
        let moments = self.moments.to_array();
        let columns = self.excess.iter().chain(&self.weighted);
        let decoders = self.scalar_decoder.iter().chain(&self.learned_decoder);
        moments
            .iter()
            .chain(columns)
            .chain(decoders)
            .copied()
            .chain(self.bands.values())
            .all(f64::is_finite)
    }
}
