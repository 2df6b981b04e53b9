//! The energy distance (Szekely & Rizzo 2013): `2 E|X - Y| - E|X - X'| - E|Y - Y'|`, of Euclidean distances.
//!
//! It is 0 for equal distributions and for no others, whatever their shape: the measure for samples of a known distribution in few
//! dimensions, where no feature network has anything to say.

use ddpm_profile::Estimate;
use ndarray::{Array2, ArrayView2};
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::jackknife::{Judged, Pair, block, check_blocks};
use super::{check_dims, check_features};
use crate::error::Result;

/// Sums that a sum over rows is made of; with 16, code for vectors on all processors of today.
const LANES: usize = 16;

/// Rows that samples are held against, with the mean distance between two of them.
#[derive(Clone, Debug)]
pub struct EnergyReference {
    rows: Columns,
    /// Ends of its blocks of rows.
    ends: Vec<usize>,
    /// Sums of the distances of the rows of a block to those of another.
    within: Array2<f64>,
}

/// Most products of numbers that a distance is worth: a minute or two on two cores.
const MOST: u128 = 1 << 38;
/// Blocks of the reference that are left out, for its part of an error.
const BLOCKS: usize = 32;

impl EnergyReference {
    /// Whether a sample of `rows` data of `dims` numbers is compared with a reference of `of` in a minute or two: every pair of data is looked at.
    pub fn is_affordable(rows: usize, of: usize, dims: usize) -> bool {
        let [rows, of, dims] = [rows, of, dims].map(|n| n as u128);
        (rows * rows + rows * of + of * of).saturating_mul(dims) <= MOST
    }

    /// For rows of a reference.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) for less than two rows or no column, and for values that are not finite.
    pub fn new(rows: ArrayView2<'_, f32>) -> Result<Self> {
        check_features(rows, 2)?;
        let count = rows.nrows();
        let blocks = BLOCKS.min(count / 2);
        let ends: Vec<usize> = (0..blocks).map(|i| block(i, count, blocks).end).collect();
        let columns = Columns::new(rows);
        let within = by_blocks(&columns.distances_of(rows, &ends), blocks);
        Ok(Self {
            rows: columns,
            ends,
            within,
        })
    }

    /// The unbiased estimate of the distance of a sample, with its standard error by the delete-one-block jackknife over `blocks` blocks of
    /// consecutive rows; it may be negative where the sample is as good as another of the reference. Blocks of the reference are left out as well: it is a sample too.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) for less than two blocks or two rows in each, values that are not finite or of another number than the
    /// reference has.
    pub fn distance(&self, sample: ArrayView2<'_, f32>, blocks: usize) -> Result<Estimate> {
        Ok(self.judge(sample, blocks)?.estimate())
    }

    /// The distances of two samples that began with the same noise, row by row, and their difference: row i of one is left out
    /// together with row i of the other.
    ///
    /// # Errors
    /// As [`distance`](Self::distance), and for samples of different size.
    pub fn difference(
        &self,
        a: ArrayView2<'_, f32>,
        b: ArrayView2<'_, f32>,
        blocks: usize,
    ) -> Result<Pair> {
        Pair::of(&self.judge(a, blocks)?, &self.judge(b, blocks)?)
    }

    pub(super) fn judge(&self, sample: ArrayView2<'_, f32>, blocks: usize) -> Result<Judged> {
        let rows = sample.nrows();
        check_blocks(rows, blocks)?;
        check_features(sample, 2)?;
        check_dims(sample.ncols(), self.rows.dims)?;
        let block = |i: usize| block(i, rows, blocks);
        // Of every row: the sums of its distances to the blocks of the reference, and to those of its own sample.
        let ends: Vec<usize> = (0..blocks).map(|i| block(i).end).collect();
        let across = by_blocks(&self.rows.distances_of(sample, &self.ends), blocks);
        let within = by_blocks(&Columns::new(sample).distances_of(sample, &ends), blocks);
        let count = self.rows.count;
        let estimate = |rows: usize, of: usize, across: f64, within: f64, reference: f64| {
            let (n, m) = (rows as f64, of as f64);
            2.0 * across / (n * m) - within / (n * (n - 1.0)) - reference / (m * (m - 1.0))
        };
        let [all, pairs, others] = [&across, &within, &self.within].map(|sums| sums.sum());
        let without = |sums: &Array2<f64>, i: usize| {
            sums.sum() - sums.row(i).sum() - sums.column(i).sum() + sums[[i, i]]
        };
        let sizes: Vec<u64> = (0..blocks).map(|i| block(i).len() as u64).collect();
        let parts = (0..blocks)
            .map(|i| {
                let left = rows - block(i).len();
                let rest = all - across.row(i).sum();
                estimate(left, count, rest, without(&within, i), others)
            })
            .collect();
        let value = estimate(rows, count, all, pairs, others);
        let judged = Judged::left_out(value, sizes, parts);
        let theirs = self.ends.len();
        if theirs < 2 {
            return Ok(judged);
        }
        let size = |i: usize| super::jackknife::block(i, count, theirs).len();
        let parts = (0..theirs)
            .map(|i| {
                let rest = all - across.column(i).sum();
                estimate(rows, count - size(i), rest, pairs, without(&self.within, i))
            })
            .collect();
        let sizes = (0..theirs).map(|i| size(i) as u64).collect();
        Ok(judged.with_reference(sizes, parts))
    }
}

/// The sums of rows, each with its sums over blocks, added up by their own blocks: `[blocks, sums]`.
fn by_blocks(rows: &[Vec<f64>], blocks: usize) -> Array2<f64> {
    let width = rows.first().map_or(0, Vec::len);
    let mut sums = Array2::zeros((blocks, width));
    for (i, mut sums) in sums.outer_iter_mut().enumerate() {
        for row in &rows[block(i, rows.len(), blocks)] {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
    }
    sums
}

/// Rows by coordinate, `[D, N]`.
#[derive(Clone, Debug)]
struct Columns {
    values: Vec<f32>,
    count: usize,
    dims: usize,
}

impl Columns {
    fn new(rows: ArrayView2<'_, f32>) -> Self {
        Self {
            values: rows.columns().into_iter().flatten().copied().collect(),
            count: rows.nrows(),
            dims: rows.ncols(),
        }
    }

    /// Of every row of `of`: the sums of its distances to the rows of these runs, each of which begins where the one before ends.
    fn distances_of(&self, of: ArrayView2<'_, f32>, ends: &[usize]) -> Vec<Vec<f64>> {
        let arch = Arch::new();
        let rows = (0..of.nrows()).into_par_iter();
        rows.map_init(
            || vec![0.0; self.count],
            |squares, i| {
                let x: Vec<f64> = of.row(i).iter().map(|&x| f64::from(x)).collect();
                let mut sums = vec![0.0; ends.len()];
                arch.dispatch(DistanceSums {
                    x: &x,
                    to: self,
                    ends,
                    squares,
                    sums: &mut sums,
                });
                sums
            },
        )
        .collect()
    }
}

/// Sums of distances of `x` to runs of rows: in one order of sums, whatever the processor.
struct DistanceSums<'a> {
    x: &'a [f64],
    to: &'a Columns,
    ends: &'a [usize],
    /// Room for a number of each row.
    squares: &'a mut [f64],
    sums: &'a mut [f64],
}

impl NullaryFnOnce for DistanceSums<'_> {
    type Output = ();

    // Else it is compiled for the oldest processor.
    #[inline(always)]
    fn call(self) {
        self.squares.fill(0.0);
        let columns = self.to.values.chunks_exact(self.to.count);
        for (&x, column) in self.x.iter().zip(columns) {
            for (sum, &y) in self.squares.iter_mut().zip(column) {
                let away = x - f64::from(y);
                *sum += away * away;
            }
        }
        let mut begin = 0;
        for (out, &end) in self.sums.iter_mut().zip(self.ends) {
            let mut sums = [0.0; LANES];
            let run = self.squares[begin..end].chunks_exact(LANES);
            let mut sum: f64 = run.remainder().iter().map(|square| square.sqrt()).sum();
            for squares in run {
                for (sum, square) in sums.iter_mut().zip(squares) {
                    *sum += square.sqrt();
                }
            }
            for lane in sums {
                sum += lane;
            }
            *out = sum;
            begin = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpm_core::{NoiseDomain, NoiseKey, standard_normal};
    use ddpm_profile::delete_block_estimate;
    use ndarray::{ArrayView1, Axis};

    fn distance(x: ArrayView1<'_, f32>, y: ArrayView1<'_, f32>) -> f64 {
        let squares = x.iter().zip(y).map(|(&x, &y)| {
            let away = f64::from(x) - f64::from(y);
            away * away
        });
        squares.sum::<f64>().sqrt()
    }

    fn normals(seed: u64, rows: usize, shift: f32) -> Array2<f32> {
        let mut all = vec![0.0; rows * 3];
        let key = NoiseKey {
            seed,
            domain: NoiseDomain::Data,
            stream: 0,
            step: 0,
        };
        standard_normal(key, &mut all);
        Array2::from_shape_vec((rows, 3), all).unwrap() + shift
    }

    #[test]
    fn equals_the_plain_double_sum_and_the_plain_jackknife() {
        let (x, y) = (normals(1, 30, 0.3), normals(2, 50, 0.0));
        let plain = |x: &Array2<f32>, y: &Array2<f32>| {
            let mean = |a: &Array2<f32>, b: &Array2<f32>, pairs: f64| {
                let sum: f64 = a
                    .outer_iter()
                    .flat_map(|p| b.outer_iter().map(move |q| distance(p, q)))
                    .sum();
                sum / pairs
            };
            let (n, m) = (x.nrows() as f64, y.nrows() as f64);
            2.0 * mean(x, y, n * m) - mean(x, x, n * (n - 1.0)) - mean(y, y, m * (m - 1.0))
        };
        let reference = EnergyReference::new(y.view()).unwrap();
        let found = reference.distance(x.view(), 4).unwrap();
        assert!((found.value - plain(&x, &y)).abs() < 1e-12);
        let without = |block: usize| {
            let gone = block * 30 / 4..(block + 1) * 30 / 4;
            let left: Vec<usize> = (0..30).filter(|i| !gone.contains(i)).collect();
            plain(&x.select(Axis(0), &left), &y)
        };
        let parts: Vec<f64> = (0..4).map(without).collect();
        let of_sample = delete_block_estimate(plain(&x, &y), &[7, 8, 7, 8], &parts);
        // 50 rows in 25 blocks of two.
        let parts: Vec<f64> = (0..25)
            .map(|block| {
                let left: Vec<usize> = (0..50).filter(|i| i / 2 != block).collect();
                plain(&x, &y.select(Axis(0), &left))
            })
            .collect();
        let of_reference = delete_block_estimate(plain(&x, &y), &[2; 25], &parts);
        let expected = of_sample.standard_error.hypot(of_reference.standard_error);
        assert!((found.standard_error - expected).abs() < 1e-12);
    }

    #[test]
    fn is_nought_for_equal_distributions_within_its_error_and_not_for_others() {
        let reference = EnergyReference::new(normals(2, 4000, 0.0).view()).unwrap();
        let same = reference
            .distance(normals(1, 1000, 0.0).view(), 20)
            .unwrap();
        assert!(same.value.abs() < 4.0 * same.standard_error, "{same:?}");
        let moved = reference
            .distance(normals(1, 1000, 0.3).view(), 20)
            .unwrap();
        assert!(moved.value > 5.0 * moved.standard_error, "{moved:?}");
        let pair = reference
            .difference(
                normals(1, 1000, 0.3).view(),
                normals(1, 1000, 0.29).view(),
                20,
            )
            .unwrap();
        // Common noise: the difference is known far better than either distance.
        assert!(pair.difference.value > 5.0 * pair.difference.standard_error);
        assert!(pair.difference.standard_error < 0.1 * pair.a.standard_error);
    }

    /// Over many draws of samples and references the estimates spread as their errors say.
    #[test]
    fn errors_count_the_sample_and_the_reference() {
        let (mut values, mut errors) = (Vec::new(), Vec::new());
        for seed in 0..60 {
            let reference = EnergyReference::new(normals(1000 + seed, 256, 0.0).view()).unwrap();
            let [a, b] = [0.2, 0.35].map(|shift| normals(seed, 256, shift));
            let found = reference.difference(a.view(), b.view(), 32).unwrap();
            values.push(found.difference.value);
            errors.push(found.difference.standard_error);
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let claimed = (errors.iter().map(|e| e * e).sum::<f64>() / n).sqrt();
        // A spread of 60 numbers is known to a tenth.
        assert!((claimed / spread - 1.0).abs() < 0.3, "{claimed} {spread}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let reference = EnergyReference::new(normals(2, 10, 0.0).view()).unwrap();
        assert!(reference.distance(normals(1, 3, 0.0).view(), 2).is_err());
        assert!(reference.distance(Array2::zeros((8, 2)).view(), 2).is_err());
        let (a, b) = (normals(1, 8, 0.0), normals(1, 9, 0.0));
        assert!(reference.difference(a.view(), b.view(), 2).is_err());
        assert!(EnergyReference::new(Array2::zeros((1, 2)).view()).is_err());
        assert!(EnergyReference::new(Array2::from_elem((3, 2), f32::NAN).view()).is_err());
    }
}
