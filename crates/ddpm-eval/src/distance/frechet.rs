//! The Frechet distance of two Gaussians.

use faer::Mat;

use super::check_dims;
use super::linalg::{nuclear_norm, product, square_root, symmetric_eigenvalues};
use super::statistics::FeatureStatistics;
use crate::error::{Error, Result};

/// How much of the distance the rounding of the eigenvalues may be.
const ROUNDING: f64 = 1e-7;

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
    /// With `S_2 = R R^T` the eigenvalues of `S_1 S_2` are those of the symmetric `R^T S_1 R`: no square root of an unsymmetric
    /// matrix, nothing complex. Near zero the roots of eigenvalues are noise of half the digits; where that may amount to 1e-7
    /// of the distance (a covariance that is singular, or nearly so), the roots are computed as the singular values of `L^T R` with
    /// `S_1 = L L^T`, which are exact there and take longer. Rounding below zero is reported as zero.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for another number of features than the reference has, or a covariance that is not positive
    /// semidefinite.
    pub fn distance(&self, statistics: &FeatureStatistics) -> Result<f64> {
        check_dims(statistics.dims(), self.dims())?;
        let squares = self.mean.iter().zip(&statistics.mean);
        let squares: f64 = squares.map(|(x, y)| (x - y) * (x - y)).sum();
        let rest = squares + self.trace + statistics.trace();
        if !rest.is_finite() {
            return Err(Error::request(
                "statistics",
                "expected ones whose distance is a number, found values so large that it overflows",
            ));
        }
        let covariance = statistics.covariance.as_ref();

        let inner = product(covariance, self.root.as_ref());
        let inner = product(self.root.transpose(), inner.as_ref());
        let values = symmetric_eigenvalues(inner.as_ref())?;
        let roots: f64 = values.iter().map(|value| value.max(0.0).sqrt()).sum();
        let distance = rest - 2.0 * roots;
        if 2.0 * rounding_of_roots(&values) <= ROUNDING * distance {
            return Ok(distance);
        }
        let root = square_root(covariance)?;
        let roots = nuclear_norm(product(root.transpose(), self.root.as_ref()).as_ref())?;
        Ok((rest - 2.0 * roots).max(0.0))
    }
}

/// What the sum of the roots of computed eigenvalues may be off by, each eigenvalue by a few epsilon of the largest one, in
/// either direction.
fn rounding_of_roots(values: &[f64]) -> f64 {
    let largest = values
        .iter()
        .fold(0f64, |most, value| most.max(value.abs()));
    let delta = 4.0 * f64::EPSILON * largest;
    let squares = values.iter().map(|&value| {
        if value > delta {
            (delta / (2.0 * value.sqrt())).powi(2)
        } else {
            delta
        }
    });
    squares.sum::<f64>().sqrt()
}
