//! End-to-end tests: the real binary, its files, streams and exit codes.

mod bad_input;
mod bits_per_dim;
mod predict;
mod profile;
mod schedule;

mod solve;
mod streams;
mod support;
mod transitions;
