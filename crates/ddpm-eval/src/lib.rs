//! What is measured with a network: profiles, bits per dimension and samples.
//!
//! # Flow
//!
//! 1. [`ddpm_data::open`] reads images of any common layout into a [`ddpm_data::ImageSet`]; [`ddpm_data::selection`] chooses some.
//! 2. [`profile`] lets a [`ddpm_core::Denoiser`] predict every chosen image at the timesteps of [`timesteps_for`] (or
//!    at all of them) and sums the statistics into a [`ddpm_profile::ElboProfile`], from which schedules are chosen.
//! 3. [`bits_per_dim`] scores one path directly, term by term. It does not know of profiles, so that what was found
//!    through one can be checked.
//! 4. [`sample`] draws images along a path, ancestrally, by DDIM or by DPM-Solver++; [`ddpm_data::Images`] writes them.
//!
//! # Features of the crate
//!
//! None is on by default, so that neither a linear algebra library nor the networks of `ddpm-model` are built without need.
//!
//! - `distance`: the module `distance`, which says how far apart two sets of images are by their features.
//! - `fid`: that and `extract_features`, which shows images to a feature network of `ddpm-model`.
//!
//! # What results depend on
//!
//! Everything random comes from counter-based streams that are keyed by the seed, an image's index and the timestep.
//! Results are the same to the last bit for any batch size, number of threads and number of shards, and for a run
//! that was interrupted and resumed. Nothing is printed; [`Progress`] is told what is done, and can stop a run.
//!
//! # Example
//!
//! An optimal schedule for a model that is known in closed form, its bits per dimension on other images, and samples:
//!
//! ```
//! use ddpm_core::{GaussianDenoiser, NoiseSchedule, NoiseScheduleName, Parameterization, VarianceKind};
//! use ddpm_data::{ImageSet, Split};
//! use ddpm_eval::{BitsPerDimPlan, ProfilePlan, SamplingPlan, Silent, bits_per_dim, profile, sample};
//! use ddpm_profile::choose_on;
//! use ddpm_schedule::{Budgets, Scoring};
//! use ndarray::{Array1, Array2};
//!
//! let noise = NoiseSchedule::named(NoiseScheduleName::Cosine, 50)?;
//! let (mean, variance) = (Array1::zeros(4), Array1::from_elem(4, 0.1));
//! let model = GaussianDenoiser::new(noise, mean, variance, Parameterization::Epsilon)?;
//! let data = ImageSet::from_array("zeros", Array2::zeros((8, 4)).view())?;
//!
//! let plan = ProfilePlan::new((1..=50).collect(), (0..6).collect(), 2, 1);
//! let found = profile(&model, &data, &plan, Split::Train, None, &Silent, &mut |_| Ok(()))?;
//! let scoring = Scoring::new(VarianceKind::FixedSmall);
//! let schedules = choose_on(&found, &scoring, &Budgets::Only(vec![5]))?;
//!
//! let schedule = schedules.schedule(5)?.clone();
//! let plan = BitsPerDimPlan::new(schedule.clone(), vec![6, 7]);
//! assert_eq!(bits_per_dim(&model, &data, &plan, &Silent)?.terms.len(), 5);
//! let samples = sample(&model, &SamplingPlan::new(schedule, 2), &Silent)?;
//! assert_eq!(samples.shape(), [2, 4]);
//! # Ok::<(), ddpm_eval::Error>(())
//! ```

mod batch;
mod bits_per_dim;
mod denoising;
#[cfg(feature = "distance")]
pub mod distance;
mod error;
#[cfg(feature = "fid")]
mod features;
mod image_mixture;
mod network;
mod profile_plan;
mod profiling;
mod progress;
mod recorded;
mod room;
mod sampling;
mod test_bed;
mod timesteps;
mod trajectory;

pub use bits_per_dim::{BitsPerDim, BitsPerDimPlan, EdgeTerm, bits_per_dim};
pub use denoising::Noise;
pub use error::{Error, Result};
#[cfg(feature = "fid")]
pub use features::{data_as_features, extract_features};
pub use image_mixture::ImageMixture;
pub use network::labels_for;
pub use profile_plan::{ProfileBands, ProfilePlan};
pub use profiling::profile;
pub use progress::{Progress, Silent};
pub use recorded::{Imported, Recognised, RecordedErrors};
pub use sampling::{SamplingPlan, sample, sample_in_batches};
pub use test_bed::{Pattern, TestBed};
pub use timesteps::{spend, timesteps_for};
pub use trajectory::{
    FlowPlan, ForwardPlan, GrowthPlan, TrajectoryPlan, end_points, follow_flow, follow_forward,
    reference_trajectories, squared_distances,
};
