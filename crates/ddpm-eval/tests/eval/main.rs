//! Tests of the crate through its public interface, by subject.

mod bands_by_sampling;
mod bits_per_dim;
#[cfg(feature = "distance")]
mod distance;
#[cfg(feature = "fid")]
mod features;
mod fitted;
mod image_mixture;
mod profile_against_direct;
mod profiling;
mod ranks;
mod sampling;
mod support;
mod trajectory;
