//! A perfect network: the best denoiser of images that are each blurred by a Gaussian, in closed form.
//!
//! Data are draws of `(1/N) sum_i N(y_i, h^2 I)`, whose density is known. Given `x_t`, with `a = sqrt(alpha_bar)` and
//! `s^2 = a^2 h^2 + 1 - a^2`, image `i` weighs `w_i ~ exp(-||x_t - a y_i||^2 / (2 s^2))`, and the best estimate is
//! `m + (a h^2 / s^2) (x_t - a m)` with `m = sum_i w_i y_i`.
//!
//! Products in f32 find the few images that can matter, with a bound on their rounding for any order of sums; the distances of those
//! are computed again in f64, and what is left out is decided by these alone. So neither the batch, nor the number of threads, nor the
//! processor changes a result, whatever order a library multiplies matrices in.

mod few;

use std::ops::Range;

use ddpm_core::{
    Denoiser, DenoiserError, NetworkId, NoiseDomain, NoiseKey, NoiseSchedule, Parameterization,
    Prediction, philox4x32, standard_normal,
};
use ddpm_data::ImageSet;
use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewD, Axis, s};
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use self::few::{Average, Columns, MOST_DIMS};
use crate::error::{Error, Result};
use crate::network::batched;

/// Images that weigh less than `exp(-CUT)` times the heaviest are left out: together less than 1e-12 of a billion.
const CUT: f64 = 50.0;
/// Images whose products are computed at a time, and that stay in a cache meanwhile.
const TILE: usize = 64;
/// Columns of an average that one task computes.
const COLUMNS: usize = 256;
/// Data of few dimensions that a task takes at least.
const AT_ONCE: usize = 8;
/// Sums that a distance is made of; any number gives code for vectors, this one for all processors of today.
const LANES: usize = 16;

/// The optimal [`Denoiser`] of images that are each blurred by a Gaussian of one width, with the density and draws of such data.
///
/// A perfect network to judge kernels, schedules and samplers with: no bound on `-log p` is below its own by more than chance, and its
/// probability flow ends near an image. It predicts x0, and no variance. A prediction is the exact one to about 1e-10 of the largest
/// pixel and then rounded to f32. With the 50,000 images of CIFAR-10 it takes 0.6 GB of memory and 0.3 GFLOP a prediction where few
/// images matter, 1.2 at the end of the chain where all do.
///
/// ```
/// use ddpm_core::{Denoiser, NoiseSchedule, NoiseScheduleName};
/// use ddpm_data::ImageSet;
/// use ddpm_eval::ImageMixture;
/// use ndarray::{arr2, Axis};
///
/// let noise = NoiseSchedule::named(NoiseScheduleName::Cosine, 100)?;
/// let images = ImageSet::from_array("two", arr2(&[[-1.0f32, 0.5], [1.0, 0.5]]).view())?;
/// let model = ImageMixture::new(noise, &images, 0.1)?;
/// // Halfway between them it cannot know which it was.
/// let x_t = arr2(&[[0.0f32, 0.5]]).into_dyn();
/// assert!(model.predict(x_t.view(), &[50], None)?.mean[[0, 0]].abs() < 1e-6);
/// // On an image the density is nearly that of half a Gaussian.
/// let on_it = model.log_density(arr2(&[[1.0f32, 0.5]]).into_dyn().view())?[0];
/// assert!((on_it - (0.5 / (2.0 * std::f64::consts::PI * 0.01)).ln()).abs() < 1e-12);
/// assert_eq!(model.sample(7, 0).shape(), [2]);
/// # Ok::<(), ddpm_eval::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageMixture {
    schedule: NoiseSchedule,
    shape: Vec<usize>,
    /// [N, D].
    images: Array2<f32>,
    /// The same for data of few dimensions.
    columns: Option<Columns>,
    /// ||y_i||^2.
    squares: Vec<f64>,
    /// The largest ||y_i||.
    largest: f64,
    width: f64,
    name: String,
}

impl ImageMixture {
    /// For draws of all images of a set (see [`ImageSet::subset`]), each blurred by a Gaussian of standard deviation `width`, in the unit of
    /// their values.
    ///
    /// # Errors
    /// When there is no image or no pixel, when an image cannot be read or is not finite, for a width that is not finite or not above 0.
    pub fn new(schedule: NoiseSchedule, images: &ImageSet, width: f64) -> Result<Self> {
        if !(width > 0.0 && width.is_finite()) {
            let problem = format!("expected a finite number above 0, found {width}");
            return Err(Error::request("width", problem));
        }
        let (count, dims) = (images.len(), images.dims());
        if count == 0 || dims == 0 {
            return Err(Error::request("images", "expected at least one image"));
        }
        let mut rows = Array2::zeros((count, dims));
        for (i, mut row) in rows.outer_iter_mut().enumerate() {
            let row = row.as_slice_mut().unwrap_or_default();
            images.read_image(i, row)?;
            if let Some(x) = row.iter().find(|x| !x.is_finite()) {
                let problem = format!("expected finite pixels, found {x} in image {i}");
                return Err(Error::request("images", problem));
            }
        }
        let square = |row: ndarray::ArrayView1<'_, f32>| -> f64 {
            row.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
        };
        let squares: Vec<f64> = rows.outer_iter().map(square).collect();
        let hash = images.sha256()?;
        Ok(Self {
            schedule,
            shape: images.shape().to_vec(),
            columns: (dims <= MOST_DIMS).then(|| Columns::new(&rows)),
            images: rows,
            largest: squares.iter().copied().fold(0.0, f64::max).sqrt(),
            squares,
            width,
            // The hash first: names are cut where there is no room.
            name: format!("{}-mixture-{width:e}", &hash[..16]),
        })
    }

    /// Datum `index` of the data set `seed`: an image drawn evenly and its blur, in the shape of the data. `index` is below `2^56`.
    pub fn sample(&self, seed: u64, index: u64) -> ArrayD<f32> {
        let key = NoiseKey {
            seed,
            domain: NoiseDomain::Data,
            stream: index,
            step: 0,
        };
        let mut datum = ArrayD::zeros(self.shape.as_slice());
        let mut noise = vec![0.0; datum.len()];
        standard_normal(key, &mut noise);
        // The stream of the next step, which nothing else reads.
        let domain = (NoiseDomain::Data as u32) << 24;
        let counter = [0, 1, index as u32, (index >> 32) as u32 | domain];
        let [low, high, ..] = philox4x32(counter, [seed as u32, (seed >> 32) as u32]);
        let word = u128::from(u64::from(high) << 32 | u64::from(low));
        let drawn = (word * self.squares.len() as u128) >> 64;
        let image = self.images.row(drawn as usize);
        for ((x, &y), z) in datum.iter_mut().zip(image).zip(noise) {
            *x = (f64::from(y) + self.width * f64::from(z)) as f32;
        }
        datum
    }

    /// `log p(x)` of every datum of `x`, `[B, ..]`, in nats of the whole datum.
    ///
    /// # Errors
    /// When the shape is not that of the images or a value is not finite.
    pub fn log_density(
        &self,
        x: ArrayViewD<'_, f32>,
    ) -> std::result::Result<Vec<f64>, DenoiserError> {
        let x = self.rows(&x)?;
        let clean = Level {
            signal: 1.0,
            total: self.width * self.width,
        };
        let posteriors = self.posteriors(x.view(), &vec![clean; x.nrows()]);
        let dims = self.images.ncols() as f64;
        let volume = 0.5 * dims * libm::log(std::f64::consts::TAU * clean.total);
        let count = libm::log(self.squares.len() as f64);
        let density = |posterior: &Posterior| posterior.log_sum - count - volume;
        Ok(posteriors.iter().map(density).collect())
    }

    /// The data of a batch, one a row; refuses other shapes and what is not finite.
    fn rows(&self, x: &ArrayViewD<'_, f32>) -> std::result::Result<Array2<f32>, DenoiserError> {
        let batch = x.shape().first().copied().unwrap_or(0);
        if x.shape() != batched(batch, &self.shape) {
            let (expected, found) = (&self.shape, x.shape());
            return Err(DenoiserError::new(format!(
                "the data have shape {found:?}: expected a batch of shape {expected:?}"
            )));
        }
        let dims = self.images.ncols();
        if let Some((i, x)) = x.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            return Err(DenoiserError::new(format!(
                "the data hold {x} in datum {}: expected finite numbers",
                i / dims
            )));
        }
        Array2::from_shape_vec((batch, dims), x.iter().copied().collect())
            .map_err(|e| DenoiserError::with_source("the data do not fit", e))
    }

    fn level(&self, t: usize) -> Level {
        let kept = self.schedule.alpha_bar(t);
        Level {
            signal: libm::exp(0.5 * self.schedule.log_alpha_bar(t)),
            total: kept * self.width * self.width + self.schedule.one_minus_alpha_bar(t),
        }
    }

    /// What every row of `x` says of the images, at the level of each.
    fn posteriors(&self, x: ArrayView2<'_, f32>, levels: &[Level]) -> Vec<Posterior> {
        let batch = levels.len();
        if batch == 0 {
            return Vec::new();
        }
        let mut logs = self.screened(x, levels);
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let wide: Vec<&[f64]> = wide.chunks(x.ncols()).collect();
        let least: Vec<f64> = (0..batch)
            .map(|b| {
                let column = logs.iter().skip(b).step_by(batch);
                let best = column.copied().fold(f64::NEG_INFINITY, f64::max);
                let norm: f64 = wide[b].iter().map(|x| x * x).sum::<f64>().sqrt();
                best - 2.0 * self.screening_error(&levels[b], norm) - CUT
            })
            .collect();
        // Again in f64, where it may matter. What is not a number may.
        let arch = Arch::new();
        let tiles = logs.par_chunks_mut(TILE * batch).enumerate();
        tiles.for_each(|(tile, logs)| {
            for (row, logs) in logs.chunks_mut(batch).enumerate() {
                let image = self.images.row(tile * TILE + row);
                let image = image.to_slice().unwrap_or_default();
                for (b, log) in logs.iter_mut().enumerate() {
                    *log = if *log < least[b] {
                        f64::NEG_INFINITY
                    } else {
                        let Level { signal, total } = levels[b];
                        let away = arch.dispatch(SquareDistance {
                            x: wide[b],
                            y: image,
                            signal,
                        });
                        -0.5 * away / total
                    };
                }
            }
        });
        let posterior = |b: usize| Posterior::new(logs.iter().skip(b).step_by(batch));
        (0..batch).into_par_iter().map(posterior).collect()
    }

    /// The logarithm of every weight but for what the images share, `[N, B]`, to [`screening_error`](Self::screening_error).
    fn screened(&self, x: ArrayView2<'_, f32>, levels: &[Level]) -> Vec<f64> {
        let batch = levels.len();
        let mut logs = vec![0.0; self.squares.len() * batch];
        let tiles = logs.par_chunks_mut(TILE * batch).enumerate();
        tiles.for_each(|(tile, logs)| {
            let rows = tile * TILE..tile * TILE + logs.len() / batch;
            let products = self.images.slice(s![rows.clone(), ..]).dot(&x.t());
            let squares = &self.squares[rows];
            let rows = products.outer_iter().zip(squares);
            for (logs, (products, square)) in logs.chunks_mut(batch).zip(rows) {
                for ((log, product), level) in logs.iter_mut().zip(products).zip(levels) {
                    let half = 0.5 * level.signal * square;
                    *log = level.signal * (f64::from(*product) - half) / level.total;
                }
            }
        });
        logs
    }

    /// By how much the logarithm of a screened weight may be wrong, for a datum of this norm: sums of D products in f32, in any order, fused
    /// or not.
    fn screening_error(&self, level: &Level, norm: f64) -> f64 {
        let largest = norm * self.largest;
        if largest > 0.1 * f64::from(f32::MAX) {
            // A sum may overflow.
            return f64::INFINITY;
        }
        let terms = (self.images.ncols() + 2) as f64;
        level.signal * terms * f64::from(f32::EPSILON) * largest / level.total
    }

    /// `sum_i w_i y_i` of every posterior, `[B, D]`: in an order of sums that only the images which matter decide.
    fn averages(&self, posteriors: &[Posterior]) -> Array2<f64> {
        let (count, dims) = self.images.dim();
        let mut averages = Array2::zeros((posteriors.len(), dims));
        let arch = Arch::new();
        let blocks: Vec<Range<usize>> = (0..dims)
            .step_by(COLUMNS)
            .map(|begin| begin..(begin + COLUMNS).min(dims))
            .collect();
        let of_block = |columns: &Range<usize>| {
            let mut sums = Array2::<f64>::zeros((posteriors.len(), columns.len()));
            let rows = self.images.as_slice().unwrap_or_default();
            for tile in (0..count).step_by(TILE) {
                for (mut sum, posterior) in sums.outer_iter_mut().zip(posteriors) {
                    arch.dispatch(AddRows {
                        sum: sum.as_slice_mut().unwrap_or_default(),
                        rows,
                        dims,
                        first: columns.start,
                        weights: posterior.within(tile..tile + TILE),
                    });
                }
            }
            sums
        };
        let sums: Vec<Array2<f64>> = blocks.par_iter().map(of_block).collect();
        for (columns, sums) in blocks.into_iter().zip(sums) {
            averages.slice_mut(s![.., columns]).assign(&sums);
        }
        averages
    }
}

impl Denoiser for ImageMixture {
    fn noise_schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn parameterization(&self) -> Parameterization {
        Parameterization::X0
    }

    fn preferred_batch(&self) -> usize {
        if self.columns.is_some() { 256 } else { 32 }
    }

    /// The hash of the images and the width of their blur.
    fn network_id(&self) -> NetworkId {
        NetworkId::Named(self.name.clone())
    }

    fn precision(&self) -> &str {
        "f64"
    }

    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> std::result::Result<Prediction, DenoiserError> {
        self.check_inputs(&x, t, labels)?;
        let rows = self.rows(&x)?;
        let levels: Vec<Level> = t.iter().map(|&t| self.level(t)).collect();
        let mut estimates = match &self.columns {
            Some(columns) => averages_of_few(columns, rows.view(), &levels),
            None => self.averages(&self.posteriors(rows.view(), &levels)),
        };
        let data = rows.outer_iter().zip(&levels);
        for (mut estimate, (x, level)) in estimates.outer_iter_mut().zip(data) {
            let gain = level.signal * self.width * self.width / level.total;
            for (estimate, &x) in estimate.iter_mut().zip(x) {
                *estimate += gain * (f64::from(x) - level.signal * *estimate);
            }
        }
        let mean = estimates.into_iter().map(|x| x as f32).collect();
        let mean = ArrayD::from_shape_vec(x.shape(), mean)
            .map_err(|e| DenoiserError::with_source("the estimates do not fit", e))?;
        let variance = None;
        Ok(Prediction { mean, variance })
    }
}

/// `sum_i w_i y_i` of every datum, `[B, D]`, of few dimensions.
fn averages_of_few(columns: &Columns, x: ArrayView2<'_, f32>, levels: &[Level]) -> Array2<f64> {
    let mut averages = Array2::zeros(x.dim());
    let rows = averages.axis_iter_mut(Axis(0)).into_par_iter().enumerate();
    let arch = Arch::new();
    rows.with_min_len(AT_ONCE)
        .for_each_init(Vec::new, |weights, (b, mut out)| {
            let wide: Vec<f64> = x.row(b).iter().map(|&x| f64::from(x)).collect();
            arch.dispatch(Average {
                columns,
                x: &wide,
                signal: levels[b].signal,
                total: levels[b].total,
                weights,
                out: out.as_slice_mut().unwrap_or_default(),
            });
        });
    averages
}

/// How `x_t` is made of an image: `N(signal y, total I)`.
#[derive(Clone, Copy)]
struct Level {
    signal: f64,
    total: f64,
}

/// What one datum says of the images.
struct Posterior {
    /// The images that matter, ascending, with their weights, which sum to 1.
    weights: Vec<(usize, f64)>,
    /// log sum_i exp(-||x - a y_i||^2 / (2 s^2)).
    log_sum: f64,
}

impl Posterior {
    fn new<'a>(logs: impl Iterator<Item = &'a f64> + Clone) -> Self {
        let best = logs.clone().copied().fold(f64::NEG_INFINITY, f64::max);
        let matters = |&(_, &log): &(usize, &f64)| log >= best - CUT;
        let mut weights: Vec<(usize, f64)> = logs
            .enumerate()
            .filter(matters)
            .map(|(i, log)| (i, libm::exp(log - best)))
            .collect();
        let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
        for (_, weight) in &mut weights {
            *weight /= sum;
        }
        Self {
            weights,
            log_sum: best + libm::log(sum),
        }
    }

    /// The weights of these images.
    fn within(&self, images: Range<usize>) -> &[(usize, f64)] {
        let before = |end: usize| self.weights.partition_point(|&(i, _)| i < end);
        &self.weights[before(images.start)..before(images.end)]
    }
}

/// ||x - signal y||^2 in one order of sums, whatever the processor.
struct SquareDistance<'a> {
    x: &'a [f64],
    y: &'a [f32],
    signal: f64,
}

impl NullaryFnOnce for SquareDistance<'_> {
    type Output = f64;

    // Else it is compiled for the oldest processor.
    #[inline(always)]
    fn call(self) -> f64 {
        let mut sums = [0.0; LANES];
        let (x, y) = (self.x.chunks_exact(LANES), self.y.chunks_exact(LANES));
        let mut sum = 0.0;
        for (&x, &y) in x.remainder().iter().zip(y.remainder()) {
            let away = x - self.signal * f64::from(y);
            sum += away * away;
        }
        for (x, y) in x.zip(y) {
            for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
                let away = x - self.signal * f64::from(y);
                *sum += away * away;
            }
        }
        for lane in sums {
            sum += lane;
        }
        sum
    }
}

/// Adds weighted rows to a sum, from their column `first` on: four at a time, so that the sum is read and written less often.
struct AddRows<'a> {
    sum: &'a mut [f64],
    rows: &'a [f32],
    dims: usize,
    first: usize,
    weights: &'a [(usize, f64)],
}

impl NullaryFnOnce for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let length = self.sum.len();
        let row = |i: usize| &self.rows[i * self.dims + self.first..][..length];
        let fours = self.weights.chunks_exact(4);
        for &(i, weight) in fours.remainder() {
            for (sum, &y) in self.sum.iter_mut().zip(row(i)) {
                *sum += weight * f64::from(y);
            }
        }
        for four in fours {
            let [a, b, c, d] = [0, 1, 2, 3].map(|k| row(four[k].0));
            let [wa, wb, wc, wd] = [0, 1, 2, 3].map(|k| four[k].1);
            for k in 0..length {
                let first = wa * f64::from(a[k]) + wb * f64::from(b[k]);
                let second = wc * f64::from(c[k]) + wd * f64::from(d[k]);
                self.sum[k] += first + second;
            }
        }
    }
}
