//! The Frechet distance of two Gaussians.

use faer::Mat;

use super::check_dims;
use super::linalg::{nuclear_norm, product, square_root};
use super::statistics::FeatureStatistics;
use crate::error::Result;

/// One side of a Frechet distance, with the square root of its covariance: distances of many sets to one reference share it.
#[derive(Clone, Debug)]
pub struct FrechetReference {
    mean: Vec<f64>,
    trace: f64,
    /// R with R R^T = covariance, of as many columns as its rank.
    root: Mat<f64>,
}

impl FrechetReference {
    /// Takes the square root of the reference's covariance.
    ///
    /// # Errors
    /// When it is not positive semidefinite.
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
    /// With `S_1 = L L^T` and `S_2 = R R^T` the eigenvalues of `S_1 S_2` are the squares of the singular values of `L^T R`, whose
    /// sum is the last trace: no square root of an unsymmetric matrix, nothing complex, and no root of an eigenvalue near zero,
    /// which would be noise of half the digits where a covariance is nearly singular. Rounding below zero is reported as zero.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for another number of features than the reference has, or a covariance that is not positive
    /// semidefinite.
    pub fn distance(&self, statistics: &FeatureStatistics) -> Result<f64> {
        check_dims(statistics.dims(), self.dims())?;
        let squares = self.mean.iter().zip(&statistics.mean);
        let squares: f64 = squares.map(|(x, y)| (x - y) * (x - y)).sum();
        let root = square_root(statistics.covariance.as_ref())?;
        let roots = nuclear_norm(product(root.transpose(), self.root.as_ref()).as_ref())?;
        Ok((squares + self.trace + statistics.trace() - 2.0 * roots).max(0.0))
    }
}
