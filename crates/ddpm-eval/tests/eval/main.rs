//! Tests of the crate through its public interface, by subject.

mod bits_per_dim;
mod data_errors;
mod data_round_trips;
mod data_streaming;
mod distance;
mod features;
mod pickles;
mod profile_against_direct;
mod profiling;
mod ranks;
mod sampling;
mod support;
mod trajectory;
