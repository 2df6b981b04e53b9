//! Image data, profiling, direct bits per dimension and sampling.

mod bits_per_dim;
pub mod data;
mod error;
mod forward;
mod image_files;
mod io;
mod network;
mod path_variance;
mod profile_plan;
mod profiling;
mod progress;
mod sampling;
mod timesteps;

pub use bits_per_dim::{BitsPerDim, BitsPerDimPlan, EdgeTerm, PathDecoder, bits_per_dim};
pub use error::{Error, Result};
pub use forward::Noise;
pub use image_files::{Images, write_npz, write_png_folder, write_png_grid};
pub use io::write_atomic;
pub use path_variance::PathVariance;
pub use profile_plan::{ProfileOrigin, ProfilePlan};
pub use profiling::profile;
pub use progress::{Progress, Silent};
pub use sampling::{SamplingPlan, sample};
pub use timesteps::timesteps_for;
