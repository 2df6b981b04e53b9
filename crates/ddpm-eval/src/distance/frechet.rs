//! The Frechet distance of two Gaussians.

use faer::{Mat, MatRef};

use super::check_dims;
use super::linalg::{nuclear_norm, product, symmetric_eigen, symmetric_eigenvalues};
use super::statistics::FeatureStatistics;
use crate::error::Result;

/// How much of the distance the rounding of the second eigenproblem may be.
const ROUNDING: f64 = 1e-8;

/// One side of a Frechet distance, with the square root of its covariance: distances of many sets to one reference share it.
#[derive(Clone, Debug)]
pub struct FrechetReference {
    mean: Vec<f64>,
    trace: f64,
    /// R with R R^T = covariance; one column per eigenvalue that is not zero.
    root: Mat<f64>,
}

impl FrechetReference {
    /// Solves the first eigenproblem, of the reference's covariance.
    ///
    /// # Errors
    /// When it does not converge.
    pub fn new(statistics: &FeatureStatistics) -> Result<Self> {
        Ok(Self {
            mean: statistics.mean.clone(),
            trace: statistics.trace(),
            root: square_root(statistics.covariance.as_ref())?,
        })
    }

    pub(super) fn dims(&self) -> usize {
        self.mean.len()
    }

    /// `|mu_1 - mu_2|^2 + tr(S_1) + tr(S_2) - 2 tr((S_1 S_2)^(1/2))` (Dowson & Landau 1982; Heusel et al. 2017).
    ///
    /// With `S_2 = R R^T`, the eigenvalues of `S_1 S_2` are those of the symmetric `R^T S_1 R`: no square root of an unsymmetric
    /// matrix, nothing complex. Eigenvalues near zero are the weak point, because their roots amplify rounding; where that could
    /// change the distance by more than 1e-8 of it, the roots are computed as singular values of the product of both sides' square
    /// roots instead, which keeps all digits and takes longer. Rounding below zero is reported as zero.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for another number of features than the reference has, or no convergence.
    pub fn distance(&self, statistics: &FeatureStatistics) -> Result<f64> {
        check_dims(statistics.dims(), self.mean.len())?;
        let squares = self.mean.iter().zip(&statistics.mean);
        let squares: f64 = squares.map(|(x, y)| (x - y) * (x - y)).sum();
        let rest = squares + self.trace + statistics.trace();

        let inner = product(statistics.covariance.as_ref(), self.root.as_ref());
        let mut inner = product(self.root.transpose(), inner.as_ref());
        symmetrise(&mut inner);
        let values = symmetric_eigenvalues(inner.as_ref())?;
        let delta = rounding_of(&values);
        let roots: f64 = values.iter().map(|value| value.max(0.0).sqrt()).sum();
        let error: f64 = values
            .iter()
            .map(|&value| match value > delta {
                true => delta / (2.0 * value.sqrt()),
                false => delta.sqrt(),
            })
            .sum();
        let distance = rest - 2.0 * roots;
        if 2.0 * error <= ROUNDING * distance {
            return Ok(distance);
        }
        let other = square_root(statistics.covariance.as_ref())?;
        let roots = nuclear_norm(product(other.transpose(), self.root.as_ref()).as_ref())?;
        Ok((rest - 2.0 * roots).max(0.0))
    }
}

/// What eigenvalues may be off by: the error bound of a stable eigensolver.
fn rounding_of(values: &[f64]) -> f64 {
    let largest = values
        .iter()
        .fold(0f64, |most, value| most.max(value.abs()));
    values.len() as f64 * f64::EPSILON * largest
}

/// R with R R^T = `covariance`. Eigenvalues that are rounding of zero leave no column: their roots would be noise of half the
/// digits.
fn square_root(covariance: MatRef<'_, f64>) -> Result<Mat<f64>> {
    let (values, vectors) = symmetric_eigen(covariance)?;
    let delta = rounding_of(&values);
    let first = values.iter().take_while(|&&value| value <= delta).count();
    Ok(Mat::from_fn(
        covariance.nrows(),
        values.len() - first,
        |i, j| vectors[(i, first + j)] * values[first + j].sqrt(),
    ))
}

/// Rounding makes the two halves of a symmetric product differ.
fn symmetrise(matrix: &mut Mat<f64>) {
    for j in 0..matrix.ncols() {
        for i in 0..j {
            let mean = 0.5 * (matrix[(i, j)] + matrix[(j, i)]);
            matrix[(i, j)] = mean;
            matrix[(j, i)] = mean;
        }
    }
}
