//! Mean and covariance of features.

use faer::Mat;
use ndarray::{Array1, Array2, ArrayView2};

use super::check_features;
use super::linalg::second_moments;
use crate::error::{Error, Result};
use crate::room::reserved;

/// Mean and covariance of the features of a set of images.
#[derive(Clone, Debug)]
pub struct FeatureStatistics {
    pub(super) mean: Vec<f64>,
    /// Symmetric.
    pub(super) covariance: Mat<f64>,
    pub(super) images: Option<usize>,
    pub(super) network: Option<String>,
    pub(super) weights: Option<String>,
}

impl FeatureStatistics {
    /// Of features, one row per image: the covariance divides by n - 1, as `numpy.cov` does.
    ///
    /// # Errors
    /// [`Error::Request`] for less than two images or features that are not finite.
    pub fn from_features(features: ArrayView2<'_, f32>) -> Result<Self> {
        Moments::of(features).map(|moments| moments.statistics())
    }

    /// From a mean of d numbers and a covariance of d x d.
    ///
    /// # Errors
    /// [`Error::Request`] for other shapes, numbers that are not finite, or a covariance that is not symmetric (to 1e-6 of its
    /// largest entry) or has a negative diagonal.
    pub fn from_moments(mean: Array1<f64>, covariance: Array2<f64>) -> Result<Self> {
        let d = mean.len();
        let bad = |problem: String| Err(Error::request("covariance", problem));
        if d == 0 || covariance.dim() != (d, d) {
            return bad(format!(
                "expected {d} x {d} numbers for a mean of {d}, found shape {:?}",
                covariance.shape()
            ));
        }
        if !mean.iter().chain(&covariance).all(|x| x.is_finite()) {
            return bad("expected finite numbers in mean and covariance".to_owned());
        }
        let largest = covariance.iter().fold(0f64, |most, x| most.max(x.abs()));
        for i in 0..d {
            if covariance[[i, i]] < 0.0 {
                return bad(format!(
                    "expected no negative variance, found {} in row {i}",
                    covariance[[i, i]]
                ));
            }
            for j in 0..i {
                let (lower, upper) = (covariance[[i, j]], covariance[[j, i]]);
                if (lower - upper).abs() > 1e-6 * largest {
                    return bad(format!(
                        "expected a symmetric matrix, found {lower} and {upper} in row {i}, column {j} and the reverse"
                    ));
                }
            }
        }
        Ok(Self {
            mean: mean.to_vec(),
            covariance: Mat::from_fn(d, d, |i, j| 0.5 * (covariance[[i, j]] + covariance[[j, i]])),
            images: None,
            network: None,
            weights: None,
        })
    }

    /// The same with the name of the network that computed the features.
    pub fn with_network(mut self, name: impl Into<String>) -> Self {
        self.network = Some(name.into());
        self
    }

    /// The same with the SHA-256 of the file of weights of that network.
    pub fn with_weights(mut self, sha256: impl Into<String>) -> Self {
        self.weights = Some(sha256.into());
        self
    }

    pub(super) fn with_images(mut self, images: Option<usize>) -> Self {
        self.images = images;
        self
    }

    /// Number of features.
    pub fn dims(&self) -> usize {
        self.mean.len()
    }

    /// Number of images, where it is known: files of other programs do not tell.
    pub fn images(&self) -> Option<usize> {
        self.images
    }

    /// The network that computed the features, where it is known.
    pub fn network(&self) -> Option<&str> {
        self.network.as_deref()
    }

    /// SHA-256 of the weights of that network, where it is known.
    pub fn weights(&self) -> Option<&str> {
        self.weights.as_deref()
    }

    /// Mean of every feature.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Covariance, d x d.
    pub fn covariance(&self) -> Array2<f64> {
        let d = self.dims();
        Array2::from_shape_fn((d, d), |(i, j)| self.covariance[(i, j)])
    }

    pub(super) fn trace(&self) -> f64 {
        (0..self.dims()).map(|i| self.covariance[(i, i)]).sum()
    }
}

/// Sums over images, about a shift near the mean so that nothing cancels: they can be taken away from each other.
pub(super) struct Moments {
    count: usize,
    shift: Vec<f64>,
    /// Of `x - shift`.
    first: Vec<f64>,
    second: Mat<f64>,
}

impl Moments {
    /// Of all features, about their mean.
    pub(super) fn of(features: ArrayView2<'_, f32>) -> Result<Self> {
        check_features(features, 2)?;
        // A covariance, its factor and their product: asked for, because the linear algebra takes them.
        let d = features.ncols();
        drop(reserved::<f64>("features", &[3, d, d])?);
        let zeros = vec![0.0; d];
        let mut mean = sums(features, &zeros);
        mean.iter_mut().for_each(|x| *x /= features.nrows() as f64);
        Ok(Self::about(features, mean))
    }

    fn about(features: ArrayView2<'_, f32>, shift: Vec<f64>) -> Self {
        Self {
            count: features.nrows(),
            first: sums(features, &shift),
            second: second_moments(features, &shift),
            shift,
        }
    }

    /// Without some of the images.
    pub(super) fn without(&self, features: ArrayView2<'_, f32>) -> Self {
        let part = Self::about(features, self.shift.clone());
        let first = self.first.iter().zip(&part.first);
        Self {
            count: self.count - part.count,
            shift: part.shift,
            first: first.map(|(all, part)| all - part).collect(),
            second: &self.second - &part.second,
        }
    }

    /// Mean and covariance; there must be two images at least.
    pub(super) fn statistics(&self) -> FeatureStatistics {
        let n = self.count as f64;
        let offset: Vec<f64> = self.first.iter().map(|x| x / n).collect();
        let covariance = Mat::from_fn(offset.len(), offset.len(), |i, j| {
            (self.second[(i, j)] - n * offset[i] * offset[j]) / (n - 1.0)
        });
        FeatureStatistics {
            mean: self.shift.iter().zip(&offset).map(|(s, o)| s + o).collect(),
            covariance,
            images: Some(self.count),
            network: None,
            weights: None,
        }
    }
}

/// Of `x - shift`, column by column.
fn sums(features: ArrayView2<'_, f32>, shift: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; features.ncols()];
    for row in features.outer_iter() {
        for ((sum, &x), shift) in sums.iter_mut().zip(row).zip(shift) {
            *sum += f64::from(x) - shift;
        }
    }
    sums
}
