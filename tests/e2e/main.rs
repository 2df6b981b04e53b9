//! End-to-end tests: the real binary, its files, streams and exit codes.

#![expect(clippy::print_stdout, reason = "a test says what it measured")]

mod bad_input;
mod bits_per_dim;
mod calibrated;
mod computing;
mod export;
mod fid;
mod first_hour;
mod import;
mod install;
mod mistakes;
mod outputs;
mod plot;
mod predict;
mod profile;
mod quality;
mod report;
mod results;
mod sample;
mod scale;
mod schedule;
mod solve;
mod streams;
mod support;
mod table3;
mod terminal;
mod test_bed;
mod their_models;
mod transcripts;
mod transitions;
mod trust;
mod tune;
