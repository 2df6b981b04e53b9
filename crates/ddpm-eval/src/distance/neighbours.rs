//! Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020), by nearest neighbours.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use super::linalg::widen;
use super::{check_dims, check_features};
use crate::error::{Error, Result};

/// Images that are compared with all others at once.
const ROWS: usize = 64;

/// How two sets cover each other. An image's ball reaches to its k-th nearest neighbour in its own set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbours {
    /// Share of the samples inside some real image's ball.
    pub precision: f64,
    /// Share of the real images inside some sample's ball.
    pub recall: f64,
    /// Real images' balls per sample, over k; may be above 1.
    pub density: f64,
    /// Share of the real images' balls with a sample inside.
    pub coverage: f64,
}

/// Compares `samples` with `real` images by `nearest` (k) neighbours.
///
/// # Errors
/// [`Error::Request`] for k = 0, sets of k images or less, features that are not finite or of different number.
pub fn neighbours(
    real: ArrayView2<'_, f32>,
    samples: ArrayView2<'_, f32>,
    nearest: usize,
) -> Result<Neighbours> {
    if nearest == 0 {
        return Err(Error::request("nearest", "expected at least 1 neighbour"));
    }
    check_features(real, nearest + 1)?;
    check_features(samples, nearest + 1)?;
    check_dims(real.ncols(), samples.ncols())?;
    let (real, samples) = (Points::new(real), Points::new(samples));
    let real_radii = real.radii(nearest);
    let sample_radii = samples.radii(nearest);
    // Of each sample: balls of real images around it. Of each real image: whether it is in a ball, and whether its own holds
    // a sample.
    let rows: Vec<(Vec<usize>, Vec<bool>, Vec<bool>)> = real
        .tiles()
        .into_par_iter()
        .map(|first| {
            let squares = real.squares_to(first, &samples);
            let mut balls = vec![0; samples.len()];
            let (mut inside, mut holds) = (vec![], vec![]);
            for i in 0..squares.nrows() {
                let (mut is_inside, mut has_one) = (false, false);
                for j in 0..samples.len() {
                    let square = squares[(i, j)];
                    let holds = square < real_radii[first + i];
                    balls[j] += usize::from(holds);
                    has_one |= holds;
                    is_inside |= square < sample_radii[j];
                }
                inside.push(is_inside);
                holds.push(has_one);
            }
            (balls, inside, holds)
        })
        .collect();
    let mut balls = vec![0usize; samples.len()];
    let (mut recalled, mut covered) = (0usize, 0usize);
    for (of_tile, inside, holds) in &rows {
        balls.iter_mut().zip(of_tile).for_each(|(sum, n)| *sum += n);
        recalled += inside.iter().filter(|&&x| x).count();
        covered += holds.iter().filter(|&&x| x).count();
    }
    let (n_real, n_samples) = (real.len() as f64, samples.len() as f64);
    Ok(Neighbours {
        precision: balls.iter().filter(|&&n| n > 0).count() as f64 / n_samples,
        recall: recalled as f64 / n_real,
        density: balls.iter().sum::<usize>() as f64 / (nearest as f64 * n_samples),
        coverage: covered as f64 / n_real,
    })
}

/// Features with their squared lengths.
struct Points<'a> {
    rows: ArrayView2<'a, f32>,
    squares: Vec<f64>,
}

impl<'a> Points<'a> {
    fn new(rows: ArrayView2<'a, f32>) -> Self {
        let square = |x: &f32| f64::from(*x).powi(2);
        let squares = rows.outer_iter().map(|row| row.iter().map(square).sum());
        Self {
            squares: squares.collect(),
            rows,
        }
    }

    fn len(&self) -> usize {
        self.squares.len()
    }

    /// First rows of the tiles.
    fn tiles(&self) -> Vec<usize> {
        (0..self.len()).step_by(ROWS).collect()
    }

    /// Squared distances of the rows of a tile to all points of `other`.
    fn squares_to(&self, first: usize, other: &Points<'_>) -> Mat<f64> {
        let end = (first + ROWS).min(self.len());
        let left = widen(self.rows.slice(ndarray::s![first..end, ..]), None);
        let mut out = Mat::zeros(end - first, other.len());
        let mut begin = 0;
        for chunk in other.rows.axis_chunks_iter(Axis(0), 512) {
            let right = widen(chunk, None);
            let columns = out.as_mut().subcols_mut(begin, chunk.nrows());
            matmul(
                columns,
                Accum::Replace,
                &left,
                right.transpose(),
                -2.0,
                Par::Seq,
            );
            begin += chunk.nrows();
        }
        for j in 0..other.len() {
            for i in 0..end - first {
                let square = out[(i, j)] + self.squares[first + i] + other.squares[j];
                out[(i, j)] = square.max(0.0);
            }
        }
        out
    }

    /// Squared distance of each point to its k-th nearest other one.
    fn radii(&self, nearest: usize) -> Vec<f64> {
        let tiles = self.tiles().into_par_iter().map(|first| {
            let squares = self.squares_to(first, self);
            (0..squares.nrows())
                .map(|i| {
                    let others = (0..self.len()).filter(|&j| j != first + i);
                    let mut others: Vec<f64> = others.map(|j| squares[(i, j)]).collect();
                    *others.select_nth_unstable_by(nearest - 1, f64::total_cmp).1
                })
                .collect::<Vec<f64>>()
        });
        tiles.collect::<Vec<_>>().concat()
    }
}
