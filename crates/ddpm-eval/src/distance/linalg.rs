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
    let mut lower = matrix.to_owned();
    let (mut order, mut places) = (vec![0usize; n], vec![0usize; n]);
    let parameters = Default::default();
    let scratch = llt_pivoting::cholesky_in_place_scratch::<usize, f64>(n, split(), parameters);
    // A matrix of zeros has no pivot at all.
    let rank = if (0..n).all(|i| matrix[(i, i)] <= 0.0) {
        0
    } else {
        llt_pivoting::cholesky_in_place(
            lower.as_mut(),
            &mut order,
            &mut places,
            split(),
            MemStack::new(&mut MemBuffer::new(scratch)),
            parameters,
        )
        .map_err(|_| no_convergence())?
        .0
        .rank
    };
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
