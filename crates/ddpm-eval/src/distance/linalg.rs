//! The little linear algebra that distances need, on faer.
//!
//! faer's results depend on how work is split over threads. Products are therefore cut into tiles of fixed size, each computed by one
//! thread, and decompositions always run with the same split.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt_pivoting::factor as llt_pivoting;
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::linalg::matmul::matmul;
use faer::linalg::svd::{self, ComputeSvdVectors};
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Columns of a tile.
const TILE: usize = 256;
/// What may be left of a covariance's trace beyond its square root: the rounding of statistics that were stored as f32.
const LEFT_OVER: f64 = 1e-5;
/// Rows that are widened to f64 at once.
const ROWS: usize = 512;

/// How decompositions are split: a part of what they compute, so it is never the number of threads there are.
fn split() -> Par {
    Par::Seq
}

/// `lhs * rhs`.
pub(super) fn product(lhs: MatRef<'_, f64>, rhs: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(lhs.nrows(), rhs.ncols());
    // Columns of a matrix of faer lie one after the other, apart by its column stride.
    out.par_col_chunks_mut(TILE.min(rhs.ncols().max(1)))
        .enumerate()
        .for_each(|(tile, out)| {
            let rhs = rhs.subcols(tile * TILE, out.ncols());
            matmul(out, Accum::Replace, lhs, rhs, 1.0, Par::Seq);
        });
    out
}

/// Rows of f32 as a matrix of f64, minus `shift` (one per column).
pub(super) fn widen(rows: ArrayView2<'_, f32>, shift: Option<&[f64]>) -> Mat<f64> {
    Mat::from_fn(rows.nrows(), rows.ncols(), |i, j| {
        f64::from(rows[[i, j]]) - shift.map_or(0.0, |shift| shift[j])
    })
}

/// The sum over rows of `(x - shift)(x - shift)^T`.
pub(super) fn second_moments(rows: ArrayView2<'_, f32>, shift: &[f64]) -> Mat<f64> {
    let dims = rows.ncols();
    let tiles: Vec<(usize, usize)> = (0..dims)
        .step_by(TILE)
        .flat_map(|i| (i..dims).step_by(TILE).map(move |j| (i, j)))
        .collect();
    let parts: Vec<Mat<f64>> = tiles
        .par_iter()
        .map(|&(i, j)| {
            let (i_end, j_end) = ((i + TILE).min(dims), (j + TILE).min(dims));
            let mut sum = Mat::zeros(i_end - i, j_end - j);
            for chunk in rows.axis_chunks_iter(Axis(0), ROWS) {
                let left = widen(chunk.slice(s![.., i..i_end]), Some(&shift[i..i_end]));
                if i == j {
                    let left = left.as_ref();
                    matmul(&mut sum, Accum::Add, left.transpose(), left, 1.0, Par::Seq);
                } else {
                    let right = widen(chunk.slice(s![.., j..j_end]), Some(&shift[j..j_end]));
                    let left = left.transpose();
                    matmul(&mut sum, Accum::Add, left, &right, 1.0, Par::Seq);
                }
            }
            sum
        })
        .collect();
    let mut out = Mat::zeros(dims, dims);
    for (&(i, j), part) in tiles.iter().zip(&parts) {
        for column in 0..part.ncols() {
            for row in 0..part.nrows() {
                out[(i + row, j + column)] = part[(row, column)];
                out[(j + column, i + row)] = part[(row, column)];
            }
        }
    }
    out
}

/// R with R R^T = `matrix`, symmetric and positive semidefinite, by Cholesky's method with complete pivoting.
///
/// It stops where all that is left is rounding (n epsilon of the largest diagonal entry), so that R has as many columns as the
/// matrix has rank.
pub(super) fn square_root(matrix: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let n = matrix.nrows();
    let largest = (0..n).map(|i| matrix[(i, i)]).fold(0.0, f64::max);
    // A covariance that was found by taking others away may have eigenvalues a rounding below 0: so much is added, and more if need be.
    let rounding = n as f64 * f64::EPSILON * largest;
    let found = [0.0, rounding, 100.0 * rounding, 1e4 * rounding]
        .into_iter()
        .find_map(|ridge| pivoted(matrix, ridge));
    let (lower, places, rank) = found.ok_or_else(no_convergence)?;
    // Row `places[i]` of the triangle belongs to row i of the matrix.
    let root = Mat::from_fn(n, rank, |i, j| match places[i] {
        place if j <= place => lower[(place, j)],
        _ => 0.0,
    });
    // A matrix with negative eigenvalues also ends in a pivot that is not positive, with much left over.
    let trace: f64 = (0..n).map(|i| matrix[(i, i)]).sum();
    if (trace - root.squared_norm_l2()).abs() > LEFT_OVER * trace {
        return Err(no_convergence());
    }
    Ok(root)
}

/// The triangle of Cholesky's method with complete pivoting for `matrix + ridge I`, the places of the rows in it, and the rank; `None` where it fails.
fn pivoted(matrix: MatRef<'_, f64>, ridge: f64) -> Option<(Mat<f64>, Vec<usize>, usize)> {
    let n = matrix.nrows();
    let mut lower = matrix.to_owned();
    for i in 0..n {
        lower[(i, i)] += ridge;
    }
    let (mut order, mut places) = (vec![0usize; n], vec![0usize; n]);
    // A matrix of zeros has no pivot at all.
    if (0..n).all(|i| lower[(i, i)] <= 0.0) {
        return Some((lower, places, 0));
    }
    let parameters = Default::default();
    let scratch = llt_pivoting::cholesky_in_place_scratch::<usize, f64>(n, split(), parameters);
    let (info, _) = llt_pivoting::cholesky_in_place(
        lower.as_mut(),
        &mut order,
        &mut places,
        split(),
        MemStack::new(&mut MemBuffer::new(scratch)),
        parameters,
    )
    .ok()?;
    Some((lower, places, info.rank))
}

/// Eigenvalues of a symmetric matrix, of which the lower triangle is read.
pub(super) fn symmetric_eigenvalues(matrix: MatRef<'_, f64>) -> Result<Vec<f64>> {
    let n = matrix.nrows();
    if n == 0 {
        return Ok(vec![]);
    }
    let mut values = Diag::zeros(n);
    let no = ComputeEigenvectors::No;
    let scratch = evd::self_adjoint_evd_scratch::<f64>(n, no, split(), Default::default());
    evd::self_adjoint_evd(
        matrix,
        values.as_mut(),
        None,
        split(),
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| no_convergence())?;
    Ok(values.column_vector().iter().copied().collect())
}

/// The sum of the singular values.
pub(super) fn nuclear_norm(matrix: MatRef<'_, f64>) -> Result<f64> {
    let size = matrix.nrows().min(matrix.ncols());
    if size == 0 {
        return Ok(0.0);
    }
    let mut values = Diag::zeros(size);
    let none = ComputeSvdVectors::No;
    let scratch = svd::svd_scratch::<f64>(
        matrix.nrows(),
        matrix.ncols(),
        none,
        none,
        split(),
        Default::default(),
    );
    svd::svd(
        matrix,
        values.as_mut(),
        None,
        None,
        split(),
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| no_convergence())?;
    Ok(values.column_vector().iter().sum())
}

fn no_convergence() -> Error {
    Error::request(
        "covariance",
        "expected a positive semidefinite matrix whose eigenvalues can be computed",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::{FeatureStatistics, FrechetReference, frechet_jackknife};
    use ndarray::arr2;

    #[test]
    fn an_eigenvalue_that_is_a_rounding_below_nought_is_none() {
        let matrix = Mat::from_fn(3, 3, |i, j| match (i, j) {
            (0, 0) => 1.0,
            (1, 1) => -1e-17,
            _ => 0.0,
        });
        let root = square_root(matrix.as_ref()).unwrap();
        let square = product(root.as_ref(), root.transpose());
        assert!((square[(0, 0)] - 1.0).abs() < 1e-12 && square[(1, 1)].abs() < 1e-12);
        // One that is truly negative is refused.
        let matrix = Mat::from_fn(2, 2, |i, j| if i == j { 1.0 } else { 2.0 });
        assert!(square_root(matrix.as_ref()).is_err());
    }

    /// The covariance without a block, found by taking the block's sums away, is a rounding off.
    #[test]
    fn features_that_are_constant_without_a_block_have_an_error_bar() {
        let rows = arr2(&[
            [-0.995_045_1f32, -0.980_897_7],
            [-1.0, -1.0],
            [0.144_390_74, -1.0],
            [-1.0, -1.0],
            [-1.0, -1.0],
        ]);
        let statistics = FeatureStatistics::from_features(rows.view()).unwrap();
        let reference = FrechetReference::new(&statistics).unwrap();
        let found = frechet_jackknife(rows.view(), &reference, 2).unwrap();
        assert!(found.value.abs() < 1e-12 && found.standard_error.is_finite());
    }
}
