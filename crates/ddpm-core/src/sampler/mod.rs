//! Steps of the samplers.

mod ancestral;
mod kind;
mod linear;
mod multistep;

pub use ancestral::{ancestral_step, clipped_noise_limit};
pub use kind::Sampler;
pub use linear::LinearStep;
pub use multistep::{MultistepState, MultistepStep};
