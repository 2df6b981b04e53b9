//! The hot part of profiling: all statistics of one image at one timestep.
//!
//! Work per call, D = dims: D (n + 3) exponentials for the learned columns, and 2 D per point of the decoder grids. The loops
//! run over tiles of [`LANES`] pixels so that they become vector code whatever the width, and every sum has one fixed order,
//! so that the statistics do not depend on that width.

use crate::{
    layout::PointLayout,
    vecmath::{exp, exp_coarse, expm1, ln},
};

/// Pixels per tile; also the number of partial sums.
const LANES: usize = 32;
/// Tiles whose probabilities (each at least 1e-12) are multiplied before one logarithm is taken.
const TILES_PER_LOG: usize = 24;

type Tile = [f64; LANES];

/// The floor of a pixel's probability (improved-diffusion).
const FLOOR: f64 = 1e-12;
/// A bin that begins this many standard deviations away has less probability than [`FLOOR`].
const FAR: f64 = 6.275;
const LOG_FAR: f64 = 1.836_6;
/// Half a bin of an 8-bit pixel in [-1, 1].
const HALF_BIN: f64 = 1.0 / 255.0;
/// Beyond +-0.999 the bin of a pixel is open at its outer side.
const EDGE: f64 = 0.999;
/// An open side: so far away that its exponential is 0 or saturates.
const OPEN: f64 = 1e150;

/// A vector of pixels padded to whole tiles.
pub(crate) fn tiles(values: impl ExactSizeIterator<Item = f64>, padding: f64) -> Vec<Tile> {
    let mut padded = vec![[padding; LANES]; values.len().div_ceil(LANES)];
    for (slot, value) in padded.as_flattened_mut().iter_mut().zip(values) {
        *slot = value;
    }
    padded
}

fn total(tile: &Tile) -> f64 {
    tile.iter().sum()
}

/// The sum of all pixels.
#[inline(always)]
pub(crate) fn sum(values: &[Tile]) -> f64 {
    let mut partial = [0.0; LANES];
    for tile in values {
        for l in 0..LANES {
            partial[l] += tile[l];
        }
    }
    total(&partial)
}

/// The learned-variance columns: per lambda the sums over pixels of e^{-v lambda} - 1 + v lambda and of
/// e^2 e^{-v lambda}.
#[inline(always)]
pub(crate) fn learned_columns(
    v: &[Tile],
    squares: &[Tile],
    lambdas: &[f64],
    excess: &mut [f64],
    weighted: &mut [f64],
) {
    for (j, &lambda) in lambdas.iter().enumerate() {
        let (mut h, mut f) = ([0.0; LANES], [0.0; LANES]);
        for (v, squares) in v.iter().zip(squares) {
            for l in 0..LANES {
                let x = v[l] * lambda;
                let decay = expm1(-x);
                h[l] += decay + x;
                f[l] += squares[l].mul_add(decay, squares[l]);
            }
        }
        excess[j] = total(&h);
        weighted[j] = total(&f);
    }
}

/// The bins of all pixels relative to the predicted means: probability = Phi(high / sigma) - Phi(low / sigma).
pub(crate) struct Bins {
    high: Vec<Tile>,
    low: Vec<Tile>,
    /// Position in the image of each entry, in the order of `high` and `low`.
    order: Vec<u32>,
}

impl Bins {
    /// The bins of pixels `x0` around means `xhat0`.
    ///
    /// A bin whose centre lies below its mean is mirrored: Phi(b) - Phi(a) = Phi(-a) - Phi(-b) then never subtracts two
    /// numbers near 1. Pixels are put in the order of the distance of their bins, coarsely, so that tiles which are
    /// far away as a whole can be skipped.
    pub(crate) fn new(x0: &[f64], xhat0: &[f64]) -> Self {
        let edges = |i: usize| {
            let r = x0[i] - xhat0[i];
            let low = if x0[i] < -EDGE { -OPEN } else { r - HALF_BIN };
            let high = if x0[i] > EDGE { OPEN } else { r + HALF_BIN };
            if r < 0.0 { (-low, -high) } else { (high, low) }
        };
        let mut starts = [0u32; 66];
        let keys: Vec<u8> = (0..x0.len()).map(|i| distance_class(edges(i).1)).collect();
        for &key in &keys {
            starts[usize::from(key) + 1] += 1;
        }
        for class in 1..starts.len() {
            starts[class] += starts[class - 1];
        }
        let mut order = vec![0; x0.len()];
        for (i, &key) in keys.iter().enumerate() {
            let slot = &mut starts[usize::from(key)];
            order[*slot as usize] = i as u32;
            *slot += 1;
        }
        let ordered = || order.iter().map(|&i| edges(i as usize));
        let high = tiles(ordered().map(|e| e.0), OPEN);
        let low = tiles(ordered().map(|e| e.1), -OPEN);
        Self { high, low, order }
    }

    /// Brings a per-pixel quantity into the order of the bins.
    pub(crate) fn arrange(&self, of_pixel: impl Fn(usize) -> f64, padding: f64) -> Vec<Tile> {
        tiles(self.order.iter().map(|&i| of_pixel(i as usize)), padding)
    }

    /// Per knot, minus the sum over pixels of the log-probability when a pixel's log-variance is
    /// -2 (constant + slope knot).
    #[inline(always)]
    pub(crate) fn column(
        &self,
        constant: &[Tile],
        slope: &[Tile],
        knots: &[f64],
        sums: &mut [f64],
    ) {
        let mut products = vec![[1.0; LANES]; sums.len()];
        let tiles = self.low.iter().zip(&self.high).zip(constant).zip(slope);
        for (count, (((low, high), constant), slope)) in tiles.enumerate() {
            // log of the distance of each bin at log-variance 0; a bin that holds its mean has none.
            let mut distance = [0.0; LANES];
            for l in 0..LANES {
                distance[l] = constant[l]
                    + ln(if low[l] > 0.0 {
                        low[l]
                    } else {
                        f64::MIN_POSITIVE
                    });
            }
            for (product, &knot) in products.iter_mut().zip(knots) {
                let mut nearest = f64::INFINITY;
                for l in 0..LANES {
                    let log = slope[l].mul_add(knot, distance[l]);
                    nearest = if log < nearest { log } else { nearest };
                }
                if nearest > LOG_FAR {
                    add_floor(product);
                    continue;
                }
                let mut inverse = [0.0; LANES];
                for l in 0..LANES {
                    inverse[l] = exp(slope[l].mul_add(knot, constant[l]));
                }
                add_bins(product, high, low, &inverse);
            }
            if count % TILES_PER_LOG == TILES_PER_LOG - 1 {
                take_logs(&mut products, sums);
            }
        }
        take_logs(&mut products, sums);
    }

    /// As [`Bins::column`] when every pixel has the log-variance of the knot.
    #[inline(always)]
    pub(crate) fn scalar_column(&self, knots: &[f64], sums: &mut [f64]) {
        let mut products = vec![[1.0; LANES]; sums.len()];
        let inverse: Vec<f64> = knots.iter().map(|&knot| exp(-0.5 * knot)).collect();
        for (count, (low, high)) in self.low.iter().zip(&self.high).enumerate() {
            let closest = low.iter().copied().fold(f64::INFINITY, f64::min);
            for (product, &inverse) in products.iter_mut().zip(&inverse) {
                if closest * inverse > FAR {
                    add_floor(product);
                } else {
                    add_bins(product, high, low, &[inverse; LANES]);
                }
            }
            if count % TILES_PER_LOG == TILES_PER_LOG - 1 {
                take_logs(&mut products, sums);
            }
        }
        take_logs(&mut products, sums);
    }
}

/// Multiplies a tile of probabilities into the products.
#[inline(always)]
fn add_bins(product: &mut Tile, high: &Tile, low: &Tile, inverse: &Tile) {
    for l in 0..LANES {
        product[l] *= probability(high[l] * inverse[l], low[l] * inverse[l]);
    }
}

/// The same for a tile of which every bin is far away.
#[inline(always)]
fn add_floor(product: &mut Tile) {
    for l in 0..LANES {
        product[l] *= FLOOR;
    }
}

/// Subtracts the logarithms of the products from the sums and starts new products.
#[inline(always)]
fn take_logs(products: &mut [Tile], sums: &mut [f64]) {
    for (product, sum) in products.iter_mut().zip(sums) {
        let mut logs = [0.0; LANES];
        for l in 0..LANES {
            logs[l] = ln(product[l]);
        }
        *sum -= total(&logs);
        *product = [1.0; LANES];
    }
}

/// A class 0..=64 that grows with the distance, four classes to the octave.
fn distance_class(low: f64) -> u8 {
    if low <= 0.0 {
        return 0;
    }
    let quarter_octaves = (low.to_bits() >> 50) as i64 - (1023 - 13) * 4;
    quarter_octaves.clamp(1, 64) as u8
}

/// max(1e-12, Phi(high) - Phi(low)) for improved-diffusion's approximation of the normal distribution function,
/// Phi(x) = (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 = 1 / (1 + e^{-2 sqrt(2/pi) (x + 0.044715 x^3)}).
#[inline(always)]
fn probability(high: f64, low: f64) -> f64 {
    let (a, b) = (exp_coarse(exponent(high)), exp_coarse(exponent(low)));
    let p = (b - a) / ((1.0 + a) * (1.0 + b));
    if p > FLOOR { p } else { FLOOR }
}

/// -2 sqrt(2/pi) (x + 0.044715 x^3), limited to where the exponential matters to a number near 1.
#[inline(always)]
fn exponent(x: f64) -> f64 {
    const LINEAR: f64 = -1.595_769_121_605_730_8;
    const CUBIC: f64 = LINEAR * 0.044_715;
    let y = x * CUBIC.mul_add(x * x, LINEAR);
    let y = if y > -700.0 { y } else { -700.0 };
    if y < 40.0 { y } else { 40.0 }
}

/// The learned decoder column: log sigma^2 = v log(1 - abar_t) + (1 - v) knot.
#[inline(always)]
pub(crate) fn learned_decoder(bins: &Bins, v: &[f64], point: &PointLayout, sums: &mut [f64]) {
    let constant = bins.arrange(|i| -0.5 * v[i] * point.log_beta, 0.0);
    let slope = bins.arrange(|i| -0.5 * (1.0 - v[i]), 0.0);
    bins.column(&constant, &slope, &point.knots, sums);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn improved_diffusion(x0: f64, mean: f64, sigma: f64) -> f64 {
        let cdf = |x: f64| {
            0.5 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        };
        let (above, below) = (
            cdf((x0 - mean + HALF_BIN) / sigma),
            cdf((x0 - mean - HALF_BIN) / sigma),
        );
        let probability = match x0 {
            x if x < -EDGE => above,
            x if x > EDGE => 1.0 - below,
            _ => above - below,
        };
        -probability.max(FLOOR).ln()
    }

    /// Whatever the number of pixels, the padding of the last tile and the order of the pixels, a column is the sum of its pixels.
    #[test]
    fn columns_are_sums_of_pixels() {
        for count in [1, 5, 31, 32, 33, 100, 32 * TILES_PER_LOG + 3] {
            let pixel = |i: usize| ((i * 37) % 256) as f64 / 127.5 - 1.0;
            let x0: Vec<f64> = (0..count).map(pixel).collect();
            let error =
                |i: usize| 0.3 * (0.7 * i as f64).sin() * (((i * 13) % 17) as f64 / 17.0).powi(4);
            let xhat0: Vec<f64> = (0..count).map(|i| x0[i] + error(i)).collect();
            let v: Vec<f64> = (0..count)
                .map(|i| -0.3 + 1.6 * ((i * 7) % 11) as f64 / 10.0)
                .collect();
            let point = PointLayout {
                log_beta: -3.0,
                lambdas: Vec::new(),
                knots: vec![-14.0, -9.0, -6.5, -5.0, -4.95, -3.0, -1.0, 1.0],
            };
            let bins = Bins::new(&x0, &xhat0);
            let (mut scalar, mut learned) = ([0.0; 8], [0.0; 8]);
            bins.scalar_column(&point.knots, &mut scalar);
            learned_decoder(&bins, &v, &point, &mut learned);
            for (j, &knot) in point.knots.iter().enumerate() {
                let sum = |log_variance: &dyn Fn(usize) -> f64| -> f64 {
                    (0..count)
                        .map(|i| improved_diffusion(x0[i], xhat0[i], (0.5 * log_variance(i)).exp()))
                        .sum()
                };
                // Near the clamp the reference itself has lost digits: 1e-16 / 1e-12.
                let tolerance = 2e-4 * count as f64;
                assert!(
                    (scalar[j] - sum(&|_| knot)).abs() < tolerance,
                    "{count} {knot}"
                );
                assert!(
                    (learned[j] - sum(&|i| v[i] * -3.0 + (1.0 - v[i]) * knot)).abs() < tolerance,
                    "{count} {knot}"
                );
            }
        }
    }

    #[test]
    fn far_bins_are_below_the_floor() {
        assert!(exp_coarse(exponent(FAR)) < FLOOR);
        assert!(FAR.ln() < LOG_FAR);
        assert_eq!(probability(OPEN, -OPEN), 1.0);
        assert_eq!(probability(OPEN, FAR), FLOOR);
    }
}
