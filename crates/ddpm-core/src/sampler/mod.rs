//! Steps of the samplers.

mod ancestral;

pub use ancestral::ancestral_step;
