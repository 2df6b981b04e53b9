//! Steps of the samplers.

mod ancestral;
mod coefficients;
mod flow;
mod kind;
mod linear;
mod multistep;

pub use ancestral::{ancestral_step, clipped_noise_limit};
pub use coefficients::{CoefficientKind, StepCoefficients};
pub use flow::FlowEdge;
pub use kind::Sampler;
pub use linear::LinearStep;
pub use multistep::{MultistepState, MultistepStep};
