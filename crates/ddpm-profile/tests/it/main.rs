//! Tests of profiles, costs and schedules against direct evaluation, closed forms and published numbers.
//!
//! `cargo test -p ddpm-profile --release -- --nocapture` shows the errors that were measured.
#![allow(clippy::print_stderr, reason = "measured errors are worth seeing")]

mod bands;
mod closed_form;
mod cost;
mod coverage;
mod decoder;
mod evaluations;
mod fixture;
mod format;
mod interior;
mod laws;
mod monge;
mod oracle;
mod over_time;
mod resolution;
mod schedules;
mod stability;
mod student;
mod support;
mod table;
