//! The estimate where there are few dimensions: all distances in f64, image beside image.

use ndarray::Array2;
use pulp::NullaryFnOnce;

use super::CUT;

/// Most dimensions of a datum for which this is the faster way.
pub(super) const MOST_DIMS: usize = 64;
/// Sums that a sum over images is made of; with 16, code for vectors on all processors of today.
const LANES: usize = 16;

/// The images by coordinate, `[D, N]` with N rounded up to whole lanes by zeros.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    values: Vec<f64>,
    images: usize,
    padded: usize,
}

impl Columns {
    pub(super) fn new(images: &Array2<f32>) -> Self {
        let (count, dims) = images.dim();
        let padded = count.next_multiple_of(LANES);
        let mut values = vec![0.0; dims * padded];
        for (column, values) in images.columns().into_iter().zip(values.chunks_mut(padded)) {
            for (value, &x) in values.iter_mut().zip(column) {
                *value = f64::from(x);
            }
        }
        Self {
            values,
            images: count,
            padded,
        }
    }
}

/// Writes `sum_i w_i y_i` for one datum, with `w_i ~ exp(-||x - signal y_i||^2 / (2 total))`: in one order of sums, whatever the processor.
pub(super) struct Average<'a> {
    pub(super) columns: &'a Columns,
    pub(super) x: &'a [f64],
    pub(super) signal: f64,
    pub(super) total: f64,
    /// Room for a number of each image.
    pub(super) weights: &'a mut Vec<f64>,
    pub(super) out: &'a mut [f64],
}

impl NullaryFnOnce for Average<'_> {
    type Output = ();

    // Else it is compiled for the oldest processor.
    #[inline(always)]
    fn call(self) {
        let Columns {
            values,
            images,
            padded,
        } = self.columns;
        let weights = self.weights;
        weights.clear();
        weights.resize(*padded, 0.0);
        for (&x, column) in self.x.iter().zip(values.chunks_exact(*padded)) {
            for (sum, &y) in weights.iter_mut().zip(column) {
                let away = x - self.signal * y;
                *sum += away * away;
            }
        }
        weights[*images..].fill(f64::INFINITY);
        let mut least = [f64::INFINITY; LANES];
        for lanes in weights.chunks_exact(LANES) {
            for (least, &away) in least.iter_mut().zip(lanes) {
                *least = if away < *least { away } else { *least };
            }
        }
        let least = least.iter().copied().fold(f64::INFINITY, f64::min);
        let mut sums = [0.0; LANES];
        let half = 0.5 / self.total;
        for lanes in weights.chunks_exact_mut(LANES) {
            for (sum, weight) in sums.iter_mut().zip(lanes) {
                let log = half * (least - *weight);
                // Below the cut nothing is left; the clamp keeps what is thrown away a number.
                let value = exp(if log > -CUT { log } else { -CUT });
                *weight = if log >= -CUT { value } else { 0.0 };
                *sum += *weight;
            }
        }
        let sum: f64 = sums.iter().sum();
        for (out, column) in self.out.iter_mut().zip(values.chunks_exact(*padded)) {
            let mut sums = [0.0; LANES];
            let lanes = weights.chunks_exact(LANES).zip(column.chunks_exact(LANES));
            for (weights, column) in lanes {
                for ((sum, &weight), &y) in sums.iter_mut().zip(weights).zip(column) {
                    *sum += weight * y;
                }
            }
            *out = sums.iter().sum::<f64>() / sum;
        }
    }
}

/// `e^x` for x in [-700, 0], to an ulp or two: code that is vectors, which a library's is not.
#[inline(always)]
fn exp(x: f64) -> f64 {
    /// 1.5 * 2^52: what is added to it is rounded to an integer, which stands in the lowest bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    // 1/k!, to beyond the rounding where |r| is at most half of ln 2.
    let mut sum = 1.0 / 6_227_020_800.0;
    for over in [
        479_001_600.0,
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5_040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
        1.0,
        1.0,
    ] {
        sum = sum * r + 1.0 / over;
    }
    f64::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 52))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_two_ulps() {
        for i in 0..=70_000 {
            let x = -f64::from(i) * 0.01;
            let (found, expected) = (exp(x), libm::exp(x));
            assert!(
                (found / expected - 1.0).abs() < 5e-16,
                "{x}: {found} {expected}"
            );
        }
    }
}
