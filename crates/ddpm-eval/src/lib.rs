//! What is measured with a network: profiles, bits per dimension and samples.
//!
//! # Flow
//!
//! 1. [`data::open`] reads images of any common layout into a [`data::ImageSet`]; [`data::selection`] chooses some.
//! 2. [`profile`] lets a [`ddpm_core::Denoiser`] predict every chosen image at the timesteps of [`timesteps_for`] (or
//!    at all of them) and sums the statistics into a [`ddpm_profile::ElboProfile`], from which schedules are chosen.
//! 3. [`bits_per_dim`] scores one path directly, term by term. It does not know of profiles, so that what was found
//!    through one can be checked.
//! 4. [`sample`] draws images along a path, ancestrally, by DDIM or by DPM-Solver++; [`Images`] writes them.
//!
//! 5. [`extract_features`] shows images to a [`ddpm_model::FeatureNetwork`], and [`distance`] compares what it sees.
//!
//! # What results depend on
//!
//! Everything random comes from counter-based streams that are keyed by the seed, an image's index and the timestep.
//! Results are the same to the last bit for any batch size, number of threads and number of shards, and for a run
//! that was interrupted and resumed. Nothing is printed; [`Progress`] is told what is done, and can stop a run.
//!
//! # Example
//!
//! A profile of a model that is known in closed form, and one path scored on the same images and noise:
//!
//! ```
//! use ddpm_core::{GaussianDenoiser, NoiseSchedule, NoiseScheduleName, Parameterization, Stride};
//! use ddpm_eval::data::{ImageSet, Split, selection};
//! use ddpm_eval::{
//!     BitsPerDimPlan, Noise, PathDecoder, PathVariance, ProfilePlan, Silent, bits_per_dim, profile,
//!     timesteps_for,
//! };
//! use ndarray::{Array3, Array4};
//!
//! let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 50)?;
//! let model = GaussianDenoiser::new(
//!     schedule.clone(),
//!     Array3::zeros((1, 2, 2)),
//!     Array3::from_elem((1, 2, 2), 0.1),
//!     Parameterization::Epsilon,
//! )?;
//! let data = ImageSet::from_array("zeros", Array4::zeros((8, 1, 2, 2)).view())?;
//!
//! let plan = ProfilePlan::new(timesteps_for(&schedule, 30), selection(1, data.len(), 6), 2, 1);
//! let found = profile(&model, &data, &plan, Split::Train, None, &Silent, &mut |_| Ok(()))?;
//! assert!(found.is_complete());
//!
//! let plan = BitsPerDimPlan {
//!     path: Stride::Even(5).path(&schedule)?,
//!     variance: PathVariance::FixedSmall,
//!     decoder: PathDecoder::Respaced,
//!     images: plan.images,
//!     noise: Noise::Seed { seed: plan.seed, split: Split::Train },
//!     clip_denoised: true,
//!     only: None,
//!     batch: 0,
//! };
//! let scores = bits_per_dim(&model, &data, &plan, &Silent)?;
//! assert_eq!(scores.terms.len(), 5);
//! # Ok::<(), ddpm_eval::Error>(())
//! ```

mod batch;
mod bits_per_dim;
pub mod data;
pub mod distance;
mod error;
mod estimates;
mod features;
mod image_files;
mod io;
mod network;
mod path_variance;
mod profile_plan;
mod profiling;
mod progress;
mod sampling;
mod timesteps;
mod trajectory;

pub use bits_per_dim::{BitsPerDim, BitsPerDimPlan, EdgeTerm, PathDecoder, bits_per_dim};
pub use error::{Error, Result};
pub use estimates::Noise;
pub use features::extract_features;
pub use image_files::{Images, write_npz, write_png_folder, write_png_grid};
pub use io::{check_writable, write_atomic};
pub use path_variance::PathVariance;
pub use profile_plan::ProfilePlan;
pub use profiling::profile;
pub use progress::{Progress, Silent};
pub use sampling::{Sampler, SamplingPlan, sample, sample_in_batches};
pub use timesteps::timesteps_for;
pub use trajectory::{
    FlowPlan, ForwardPlan, GrowthPlan, TrajectoryPlan, end_points, follow_flow, follow_forward,
    measure_growth, reference_trajectories, run_trials, squared_distances,
};
