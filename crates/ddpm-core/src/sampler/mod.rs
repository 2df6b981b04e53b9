//! Steps of the samplers.

mod ancestral;
mod linear;

pub use ancestral::{ancestral_step, clipped_noise_limit};
pub use linear::LinearStep;
