//! How far apart two sets of images are, measured on the features of a network.
//!
//! Features are rows, one per image. All arithmetic is in f64, and the same features give the same bits whatever the number
//! of threads.
//!
//! - [`FrechetReference`]: the Frechet distance of two Gaussians with the sets' means and covariances, called FID on
//!   Inception's features alone. Biased upwards by the size of both sets (roughly as 1/n): only distances of equal sizes to one reference
//!   can be compared.
//! - [`frechet_jackknife`], [`frechet_difference`]: its standard error, and that of the difference of two sets.
//! - [`kernel_distance`]: the kernel distance (KID), unbiased.
//! - [`EnergyReference`]: the energy distance, for samples of a known distribution.
//! - [`neighbours`]: precision, recall, density and coverage.
//! - [`halve`]: the nearest of several candidates, by successive halving with common noise.
//!
//! ```
//! use ddpm_eval::distance::{FeatureStatistics, FrechetReference};
//! use ndarray::{Array2, array};
//!
//! let near = FeatureStatistics::from_moments(array![0.0, 0.0], Array2::eye(2))?;
//! let far = FeatureStatistics::from_moments(array![3.0, 0.0], 4.0 * Array2::eye(2))?;
//! // 3^2 + (2 - 1)^2 + (2 - 1)^2
//! let distance = FrechetReference::new(&near)?.distance(&far)?;
//! assert!((distance - 11.0).abs() < 1e-12);
//! # Ok::<(), ddpm_eval::Error>(())
//! ```

mod energy;
mod frechet;
mod halving;
mod jackknife;
mod kernel;
mod linalg;
mod neighbours;
mod statistics;
mod statistics_file;

pub use energy::EnergyReference;
pub use frechet::FrechetReference;
pub use halving::{Judge, Phase, Round, Standing, Tuned, choose, halve, halving_rounds, standings};
pub use jackknife::{Judged, Pair, frechet_difference, frechet_jackknife};
pub use kernel::{KernelDistance, SubsetPair, disjoint_subsets, kernel_distance};
pub use neighbours::{Neighbours, neighbours};
pub use statistics::FeatureStatistics;
pub use statistics_file::{is_statistics, read_statistics, write_statistics};

use ndarray::ArrayView2;

use crate::error::{Error, Result};

/// Checks that two sets have features of one network's size.
fn check_dims(a: usize, b: usize) -> Result<()> {
    if a == b {
        Ok(())
    } else {
        Err(Error::request(
            "features",
            format!("expected two sets of equally many features, found {a} and {b}"),
        ))
    }
}

/// Checks that there are at least `least` rows of finite features.
fn check_features(features: ArrayView2<'_, f32>, least: usize) -> Result<()> {
    if features.nrows() < least || features.ncols() == 0 {
        return Err(Error::request(
            "features",
            format!(
                "expected at least {least} images and one feature of each, found {} x {}",
                features.nrows(),
                features.ncols()
            ),
        ));
    }
    if features.iter().all(|x| x.is_finite()) {
        Ok(())
    } else {
        Err(Error::request("features", "expected finite numbers"))
    }
}
