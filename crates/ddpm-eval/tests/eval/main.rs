//! Tests of the crate through its public interface, by subject.

mod data_errors;
mod data_round_trips;
mod pickles;
mod support;
