//! Tests of schedules and their file.

mod file;
mod fixture;
mod kernels;
mod support;
