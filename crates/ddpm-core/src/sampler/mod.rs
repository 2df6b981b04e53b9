//! Steps of the samplers.

mod ancestral;
mod flow;
mod linear;

pub use ancestral::{ancestral_step, clipped_noise_limit};
pub use flow::FlowSolver;
pub use linear::LinearStep;
