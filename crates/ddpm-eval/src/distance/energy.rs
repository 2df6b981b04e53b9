//! The energy distance (Szekely & Rizzo 2013): `2 E|X - Y| - E|X - X'| - E|Y - Y'|`, of Euclidean distances.
//!
//! It is 0 for equal distributions and for no others, whatever their shape: the measure for samples of a known distribution in few
//! dimensions, where no feature network has anything to say.

use ddpm_profile::Estimate;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::jackknife::{Judged, Pair, block, check_blocks};
use super::{check_dims, check_features};
use crate::error::{Error, Result};

/// Rows that samples are held against, with the mean distance between two of them.
#[derive(Clone, Debug)]
pub struct EnergyReference {
    rows: Array2<f32>,
    within: f64,
}

impl EnergyReference {
    /// For rows of a reference.
    ///
    /// # Errors
    /// [`Error::Request`] for less than two rows or no column, and for values that are not finite.
    pub fn new(rows: Array2<f32>) -> Result<Self> {
        check_features(rows.view(), 2)?;
        let sums: Vec<f64> = (0..rows.nrows())
            .into_par_iter()
            .map(|i| rows.outer_iter().map(|y| distance(rows.row(i), y)).sum())
            .collect();
        let n = rows.nrows() as f64;
        let within = sums.iter().sum::<f64>() / (n * (n - 1.0));
        Ok(Self { rows, within })
    }

    /// The unbiased estimate of the distance of a sample, with its standard error by the delete-one-block jackknife over `blocks` blocks of
    /// consecutive rows; it may be negative where the sample is as good as another of the reference. The reference is taken as it is.
    ///
    /// # Errors
    /// [`Error::Request`] for less than two blocks or two rows in each, values that are not finite or of another number than the
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
        if a.nrows() != b.nrows() {
            return Err(Error::request(
                "features",
                format!(
                    "expected two sets of equally many data, found {} and {}",
                    a.nrows(),
                    b.nrows()
                ),
            ));
        }
        Pair::of(&self.judge(a, blocks)?, &self.judge(b, blocks)?)
    }

    pub(super) fn judge(&self, sample: ArrayView2<'_, f32>, blocks: usize) -> Result<Judged> {
        let rows = sample.nrows();
        check_blocks(rows, blocks)?;
        check_features(sample, 2)?;
        check_dims(sample.ncols(), self.rows.ncols())?;
        let block = |i: usize| block(i, rows, blocks);
        let block_of = |row: usize| ((row + 1) * blocks - 1) / rows;
        debug_assert!((0..blocks).all(|i| block(i).all(|row| block_of(row) == i)));
        // Of every row: the sum of its distances to the reference, and to each block of its own sample.
        let of_row = |i: usize| {
            let x = sample.row(i);
            let across: f64 = self.rows.outer_iter().map(|y| distance(x, y)).sum();
            let mut within = Array1::<f64>::zeros(blocks);
            for (j, y) in sample.outer_iter().enumerate() {
                within[block_of(j)] += distance(x, y);
            }
            (across, within)
        };
        let of_rows: Vec<(f64, Array1<f64>)> = (0..rows).into_par_iter().map(of_row).collect();
        let mut across = vec![0.0; blocks];
        let mut within = Array2::<f64>::zeros((blocks, blocks));
        for (row, (a, w)) in of_rows.iter().enumerate() {
            across[block_of(row)] += a;
            let mut sum = within.row_mut(block_of(row));
            sum += w;
        }
        let estimate = |rows: usize, across: f64, within: f64| {
            let (n, m) = (rows as f64, self.rows.nrows() as f64);
            2.0 * across / (n * m) - within / (n * (n - 1.0)) - self.within
        };
        let (all, pairs) = (across.iter().sum::<f64>(), within.sum());
        let sizes: Vec<u64> = (0..blocks).map(|i| block(i).len() as u64).collect();
        let parts = (0..blocks)
            .map(|i| {
                let rest = pairs - within.row(i).sum() - within.column(i).sum() + within[[i, i]];
                estimate(rows - block(i).len(), all - across[i], rest)
            })
            .collect();
        Ok(Judged::left_out(estimate(rows, all, pairs), sizes, parts))
    }
}

fn distance(x: ArrayView1<'_, f32>, y: ArrayView1<'_, f32>) -> f64 {
    let squares = x.iter().zip(y).map(|(&x, &y)| {
        let away = f64::from(x) - f64::from(y);
        away * away
    });
    squares.sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpm_core::{NoiseDomain, NoiseKey, standard_normal};
    use ddpm_profile::delete_block_estimate;
    use ndarray::Axis;

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
        let plain = |x: &Array2<f32>| {
            let mean = |a: &Array2<f32>, b: &Array2<f32>, pairs: f64| {
                let sum: f64 = a
                    .outer_iter()
                    .flat_map(|p| b.outer_iter().map(move |q| distance(p, q)))
                    .sum();
                sum / pairs
            };
            let (n, m) = (x.nrows() as f64, y.nrows() as f64);
            2.0 * mean(x, &y, n * m) - mean(x, x, n * (n - 1.0)) - mean(&y, &y, m * (m - 1.0))
        };
        let reference = EnergyReference::new(y.clone()).unwrap();
        let found = reference.distance(x.view(), 4).unwrap();
        assert!((found.value - plain(&x)).abs() < 1e-12);
        let without = |block: usize| {
            let gone = block * 30 / 4..(block + 1) * 30 / 4;
            let left: Vec<usize> = (0..30).filter(|i| !gone.contains(i)).collect();
            plain(&x.select(Axis(0), &left))
        };
        let parts: Vec<f64> = (0..4).map(without).collect();
        let expected = delete_block_estimate(plain(&x), &[7, 8, 7, 8], &parts);
        assert!((found.standard_error - expected.standard_error).abs() < 1e-12);
    }

    #[test]
    fn is_nought_for_equal_distributions_within_its_error_and_not_for_others() {
        let reference = EnergyReference::new(normals(2, 4000, 0.0)).unwrap();
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

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let reference = EnergyReference::new(normals(2, 10, 0.0)).unwrap();
        assert!(reference.distance(normals(1, 3, 0.0).view(), 2).is_err());
        assert!(reference.distance(Array2::zeros((8, 2)).view(), 2).is_err());
        let (a, b) = (normals(1, 8, 0.0), normals(1, 9, 0.0));
        assert!(reference.difference(a.view(), b.view(), 2).is_err());
        assert!(EnergyReference::new(Array2::zeros((1, 2))).is_err());
        assert!(EnergyReference::new(Array2::from_elem((3, 2), f32::NAN)).is_err());
    }
}
