//! Statistics as curves over every timestep t = 1..=T: exact where the profile evaluated, interpolated between.
//!
//! Blocks are summed in the order of their numbers and divided by the number of images. Between evaluated timesteps every curve is
//! a monotone cubic over log-SNR, of a form that is smooth there:
//! - log of m / (1 - abar);
//! - F / m and H / lambda^2, node by node, at equal lambda / lambda_max: both stay positive, F(0) = m and the parabola of H at
//!   lambda = 0 are kept;
//! - decoder columns at equal log sigma^2 - log(1 - abar).
//!
//! Below the first and above the last evaluated timestep these forms are continued as constants.

use std::sync::Arc;

use ddpm_core::{Bands, NoiseSchedule, VarianceKind};

use crate::{
    band_curves::{BandCurves, BandFit},
    band_moments::{BandMoments, Fit as BandCorrection},
    chebyshev::{Chebyshev, HOLDOUTS},
    column::{self, Column},
    error::{Error, Invalid, Result},
    layout::{ProfileLayout, lambda_max},
    learned::{Fit, LearnedColumn, LearnedKnot},
    pchip::{Knots, Place},
    profile::ElboProfile,
    statistics::PointStatistics,
};

/// The curves of a profile, of some of its blocks, or of a plain m(t).
#[derive(Clone, Debug)]
pub struct Curves {
    schedule: NoiseSchedule,
    evaluated: Vec<bool>,
    /// The evaluated ones, ascending.
    timesteps: Vec<usize>,
    mse: Vec<f64>,
    x0_mean_square: Option<f64>,
    knots: Knots,
    /// Index t; entry 0 is not used.
    places: Vec<Place>,
    learned: Option<LearnedCurves>,
    decoder: Option<DecoderCurves>,
    bands: Option<BandCurves>,
}

#[derive(Clone, Debug)]
struct LearnedCurves {
    chebyshev: Chebyshev,
    knots: Vec<LearnedKnot>,
    v_mean: Vec<f64>,
    /// How far the columns are from the measured hold-outs at the worst timestep.
    worst: Fit,
}

#[derive(Clone, Debug)]
struct DecoderCurves {
    /// log(1 - abar) of each knot.
    log_beta: Vec<f64>,
    scalar: Vec<Column>,
    /// Empty when the variance is not learned.
    learned: Vec<Column>,
}

impl Curves {
    /// The largest interpolation error with which costs under a learned variance are given out.
    pub const MAX_INTERPOLATION_ERROR: f64 = 1e-9;

    /// The curves of all blocks of a profile.
    ///
    /// # Errors
    /// [`Error::Empty`] if there are none.
    pub fn from_profile(profile: &ElboProfile) -> Result<Self> {
        Self::of_blocks(profile, 0..profile.blocks().len())
    }

    /// The curves without the block at position `i` of [`ElboProfile::blocks`].
    ///
    /// # Errors
    /// [`Error::Empty`] if no block is left.
    pub fn without_block(profile: &ElboProfile, i: usize) -> Result<Self> {
        Self::of_blocks(profile, (0..profile.blocks().len()).filter(|&j| j != i))
    }

    /// The curves of the blocks at these positions of [`ElboProfile::blocks`]; positions should ascend, so that sums have
    /// the canonical order.
    ///
    /// # Errors
    /// [`Error::Empty`] if there are none; [`Error::Schedule`] for a position beyond the last block; [`Error::Unfinished`] for a block
    /// that was left in the middle.
    pub fn of_blocks(
        profile: &ElboProfile,
        positions: impl IntoIterator<Item = usize>,
    ) -> Result<Self> {
        let (layout, blocks) = (profile.layout(), profile.blocks());
        let mut points: Vec<PointStatistics> = (0..layout.timesteps().len())
            .map(|i| PointStatistics::zero(layout, i))
            .collect();
        let (mut images, mut square) = (0, 0.0);
        for position in positions {
            let block = blocks.get(position).ok_or_else(|| {
                let field = format!("blocks up to position {position}");
                Invalid::length(field, position + 1, blocks.len())
            })?;
            block.check_finished()?;
            images += block.images();
            square += block.x0_mean_square();
            for (sum, point) in points.iter_mut().zip(block.points()) {
                sum.accumulate(point);
            }
        }
        if images == 0 {
            return Err(Error::Empty);
        }
        points.iter_mut().for_each(|p| p.scale(1.0 / images as f64));
        let square = square / images as f64;
        let schedule = profile.schedule();
        Ok(Self::from_means(schedule, layout, images, square, points))
    }

    /// The curve m(t) of any other network: enough for the fixed and the analytic variances.
    ///
    /// `mse`: mean over images and dimensions of (x0 - xhat0)^2 for t = 1..=T, T values. Such curves have no decoder columns, so
    /// the decoder is `gaussian` or `none`, and no prior term unless [`Curves::with_x0_mean_square`] is given.
    ///
    /// # Errors
    /// [`Error::Schedule`] unless there are T values, none of them negative or not finite.
    pub fn from_mse(schedule: &NoiseSchedule, mse: &[f64]) -> Result<Self> {
        let steps = schedule.train_steps();
        Invalid::check_length("mse", steps, mse.len())?;
        if let Some(i) = mse.iter().position(|m| !m.is_finite() || *m < 0.0) {
            let field = format!("mse at t = {}", i + 1);
            return Err(Invalid::field(field, "a finite value of at least 0", mse[i]).into());
        }
        let axis = axis(schedule);
        Ok(Self {
            schedule: schedule.clone(),
            evaluated: (0..=steps).map(|t| t > 0).collect(),
            timesteps: (1..=steps).collect(),
            mse: std::iter::once(0.0).chain(mse.iter().copied()).collect(),
            x0_mean_square: None,
            places: (0..=steps)
                .map(|t| Place::At(t.saturating_sub(1)))
                .collect(),
            knots: Knots::new(axis[1..].to_vec()),
            learned: None,
            decoder: None,
            bands: None,
        })
    }

    /// States the mean over images and dimensions of x0^2, which the prior term needs.
    ///
    /// # Errors
    /// [`Error::Schedule`] if it is negative or not finite.
    pub fn with_x0_mean_square(mut self, x0_mean_square: f64) -> Result<Self> {
        if !x0_mean_square.is_finite() || x0_mean_square < 0.0 {
            let expected = "a finite value of at least 0";
            return Err(Invalid::field("mean square of x0", expected, x0_mean_square).into());
        }
        self.x0_mean_square = Some(x0_mean_square);
        Ok(self)
    }

    /// From the means of every statistic over images, one entry per evaluated timestep.
    pub(crate) fn from_means(
        schedule: &NoiseSchedule,
        layout: &ProfileLayout,
        images: u64,
        x0_mean_square: f64,
        mut points: Vec<PointStatistics>,
    ) -> Self {
        let of_bands = points.iter_mut().map(|p| std::mem::take(&mut p.bands));
        let of_bands: Vec<BandMoments> = of_bands.collect();
        let bands = layout
            .shared_bands()
            .map(|bands| BandCurves::new(bands, images, of_bands));
        let steps = schedule.train_steps();
        let timesteps = layout.timesteps();
        let axis = axis(schedule);
        let knots = Knots::new(timesteps.iter().map(|&t| axis[t]).collect());
        let places: Vec<Place> = axis.iter().map(|&x| knots.place(x)).collect();
        let mut evaluated = vec![false; steps + 1];
        timesteps.iter().for_each(|&t| evaluated[t] = true);

        let log_beta: Vec<f64> = layout.points().iter().map(|p| p.log_beta).collect();
        // A network that never errs has no logarithm; 1e-300 of the noise is nothing.
        let ratio: Vec<f64> = (0..points.len())
            .map(|i| points[i].moments.mse.max(1e-300).ln() - log_beta[i])
            .collect();
        let over_time = |exact: &dyn Fn(usize) -> f64, between: &dyn Fn(usize, Place) -> f64| {
            let at = |t: usize| match places[t] {
                _ if t == 0 => 0.0,
                Place::At(i) if evaluated[t] => exact(i),
                place => between(t, place),
            };
            (0..=steps).map(at).collect::<Vec<f64>>()
        };
        let mse = over_time(&|i| points[i].moments.mse, &|t, place| {
            (knots.interpolate(place, |i| ratio[i]) + schedule.log_one_minus_alpha_bar(t)).exp()
        });
        let learned = layout.learned().then(|| {
            let v = |i: usize| points[i].moments.v_mean;
            let v_mean = over_time(&v, &|_, place| knots.interpolate(place, v));
            LearnedCurves::new(layout, &points, v_mean)
        });
        let columns =
            |of: fn(PointStatistics) -> Vec<f64>, points: Vec<PointStatistics>| -> Vec<Column> {
                let knots = layout.points().iter().map(|p| p.knots.clone());
                let column = |(knots, point)| Column::new(knots, of(point));
                knots.zip(points).map(column).collect()
            };
        let decoder = layout.has_decoder().then(|| DecoderCurves {
            log_beta,
            learned: if layout.learned() {
                columns(|p| p.learned_decoder, points.clone())
            } else {
                Vec::new()
            },
            scalar: columns(|p| p.scalar_decoder, points),
        });
        Self {
            schedule: schedule.clone(),
            evaluated,
            timesteps: timesteps.to_vec(),
            mse,
            x0_mean_square: Some(x0_mean_square),
            knots,
            places,
            learned,
            decoder,
            bands,
        }
    }

    /// The noise schedule.
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    /// T.
    pub fn train_steps(&self) -> usize {
        self.schedule.train_steps()
    }

    /// Index t = 0..=T: whether the curves are measured there (never at 0).
    pub fn evaluated(&self) -> &[bool] {
        &self.evaluated
    }

    /// m(t), the mean over images and dimensions of (x0 - xhat0)^2; index t = 0..=T, 0 at t = 0.
    pub fn mse(&self) -> &[f64] {
        &self.mse
    }

    /// The mean learned fraction v; index t = 0..=T, 0 at t = 0. `None` when the variance is not learned.
    pub fn v_mean(&self) -> Option<&[f64]> {
        self.learned.as_ref().map(|l| &l.v_mean[..])
    }

    /// The mean over images and dimensions of x0^2, if known.
    pub fn x0_mean_square(&self) -> Option<f64> {
        self.x0_mean_square
    }

    /// The largest relative difference between the interpolated learned-variance columns and the measured hold-out values, over
    /// all evaluated timesteps; 0 when the variance is not learned.
    ///
    /// The interior cost is a sum of the two columns with non-negative weights, so its relative error is of this size.
    /// Costs are refused above [`Curves::MAX_INTERPOLATION_ERROR`].
    pub fn interpolation_error(&self) -> f64 {
        self.learned.as_ref().map_or(0.0, |l| l.worst.error)
    }

    /// Whether interior costs under the learned variance can be had.
    pub fn learned(&self) -> bool {
        self.learned.is_some()
    }

    /// Whether the discretised decoder term is known.
    pub fn has_decoder(&self) -> bool {
        self.decoder.is_some()
    }

    /// The bands of frequencies whose statistics are known.
    pub fn bands(&self) -> Option<&Arc<Bands>> {
        self.bands.as_ref().map(BandCurves::bands)
    }

    /// The corrections that are best on these curves and what they leave, index t = 0..=T; `None` without bands.
    pub(crate) fn band_fits(&self, calibrated: bool) -> Option<Vec<BandFit>> {
        let bands = self.bands.as_ref()?;
        Some(bands.freeze(&self.knots, &self.places, &self.mse, calibrated))
    }

    /// What corrections that were frozen elsewhere leave in every band at timestep t; those of the network's mean where they are empty.
    pub(crate) fn band_powers(&self, t: usize, frozen: &[BandFit]) -> Option<Vec<f64>> {
        let bands = self.bands.as_ref()?;
        let fits = |i: usize| -> Option<&[BandCorrection]> {
            let fits = &frozen[self.timesteps[i]].fits[..];
            (!fits.is_empty()).then_some(fits)
        };
        Some(bands.powers(&self.knots, self.places[t], self.mse[t], fits))
    }

    /// Refuses columns that do not resolve the network's v, which `variance` takes.
    pub(crate) fn check_interpolation(&self, variance: VarianceKind) -> Result<()> {
        let Some(learned) = &self.learned else {
            let why = format!(
                "variance {variance}: the curves have no learned-variance columns; \
                 profile a network that learns its variance, or choose another variance"
            );
            return Err(Invalid::Unsupported(why).into());
        };
        let worst = &learned.worst;
        // Written so that NaN is refused.
        if worst.error <= Self::MAX_INTERPOLATION_ERROR {
            return Ok(());
        }
        let nodes = learned.chebyshev.len();
        Err(Error::InterpolationError {
            found: worst.error,
            limit: Self::MAX_INTERPOLATION_ERROR,
            timestep: worst.timestep,
            v_min: worst.v_min,
            v_max: worst.v_max,
            nodes,
            suggestion: more_nodes(nodes, worst.error),
        })
    }

    /// The learned-variance column of timestep t; `None` when the variance is not learned.
    pub(crate) fn learned_column(&self, t: usize) -> Option<LearnedColumn> {
        let learned = self.learned.as_ref()?;
        let place = self.places[t];
        let n = learned.chebyshev.len();
        let node = |of: fn(&LearnedKnot) -> &[f64], j: usize| {
            self.knots.interpolate(place, |i| of(&learned.knots[i])[j])
        };
        let curvature: Vec<f64> = (0..n).map(|j| node(|k| &k.curvature, j)).collect();
        let ratio: Vec<f64> = (0..n).map(|j| node(|k| &k.ratio, j)).collect();
        let range = lambda_max(&self.schedule, t);
        Some(LearnedColumn::new(
            &learned.chebyshev,
            range,
            self.mse[t],
            &curvature,
            &ratio,
        ))
    }

    /// The decoder column of timestep t, with one variance for all pixels or with the learned ones.
    pub(crate) fn decoder_column(&self, t: usize, learned: bool) -> Option<Column> {
        let decoder = self.decoder.as_ref()?;
        let columns = if learned {
            &decoder.learned
        } else {
            &decoder.scalar
        };
        match self.places[t] {
            _ if columns.is_empty() => None,
            Place::At(i) if self.evaluated[t] => Some(columns[i].clone()),
            place => {
                let knots = column::knots(&self.schedule, t, &[]);
                let here = self.schedule.log_one_minus_alpha_bar(t);
                let at = |log_variance: &f64| {
                    let offset = log_variance - here;
                    let neighbour = |i: usize| columns[i].at(offset + decoder.log_beta[i]);
                    self.knots.interpolate(place, neighbour)
                };
                let values = knots.iter().map(at).collect();
                Some(Column::new(knots, values))
            }
        }
    }

    /// The range of log-variances of the decoder column of timestep t.
    pub(crate) fn decoder_range(&self, t: usize) -> (f64, f64) {
        match (&self.decoder, self.places[t]) {
            (Some(decoder), Place::At(i)) if self.evaluated[t] => decoder.scalar[i].range(),
            _ => {
                let knots = column::knots(&self.schedule, t, &[]);
                (knots[0], knots[knots.len() - 1])
            }
        }
    }
}

impl LearnedCurves {
    fn new(layout: &ProfileLayout, points: &[PointStatistics], v_mean: Vec<f64>) -> Self {
        let chebyshev = layout.chebyshev().clone();
        let n = chebyshev.len();
        let mut worst = Fit {
            error: 0.0,
            timestep: layout.timesteps()[0],
            v_min: 0.0,
            v_max: 0.0,
        };
        let mut knots = Vec::with_capacity(points.len());
        for (i, point) in points.iter().enumerate() {
            let lambdas = &layout.point(i).lambdas;
            let knot = LearnedKnot::new(point, &lambdas[..n]);
            let column = LearnedColumn::new(
                &chebyshev,
                lambdas[n - 1],
                point.moments.mse,
                &knot.curvature,
                &knot.ratio,
            );
            let error = (n..n + HOLDOUTS)
                .map(|j| column.error_at(lambdas[j], point.excess[j], point.weighted[j]))
                .fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a });
            if error > worst.error || error.is_nan() {
                worst = Fit {
                    error,
                    timestep: layout.timesteps()[i],
                    v_min: point.moments.v_min,
                    v_max: point.moments.v_max,
                };
            }
            knots.push(knot);
        }
        Self {
            chebyshev,
            knots,
            v_mean,
            worst,
        }
    }
}

/// A number of nodes that should bring this error below the limit: four more nodes gain a decade and a half at least.
fn more_nodes(nodes: usize, error: f64) -> usize {
    let decades = (error / Curves::MAX_INTERPOLATION_ERROR).log10();
    let steps = if decades.is_finite() {
        (decades / 1.5).ceil() as usize
    } else {
        8
    };
    (nodes + 4 * steps.max(1)).min(ProfileLayout::MAX_NODES)
}

/// The abscissa of the curves, index t = 0..=T: minus log-SNR, strictly increasing and finite from t = 1 on. A schedule that ends
/// without any signal gets its last point one unit after the one before.
fn axis(schedule: &NoiseSchedule) -> Vec<f64> {
    let mut axis: Vec<f64> = (0..=schedule.train_steps())
        .map(|t| -schedule.log_snr(t))
        .collect();
    for t in 1..axis.len() {
        if axis[t] == f64::INFINITY {
            axis[t] = if t > 1 { axis[t - 1] + 1.0 } else { 0.0 };
        } else if t > 1 && axis[t] <= axis[t - 1] {
            axis[t] = axis[t - 1].next_up();
        }
    }
    axis
}
