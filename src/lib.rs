//! Exact optimal inference schedules for pretrained diffusion models.
//!
//! This crate is a façade: it re-exports the crates of the workspace under short names and holds
//! no logic of its own. The README tells what the project is; ARCHITECTURE.md is the map.

pub use ddpm_core as core;
pub use ddpm_data as data;
pub use ddpm_dp as dp;
pub use ddpm_eval as eval;
pub use ddpm_files as files;
pub use ddpm_model as model;
pub use ddpm_profile as profile;
pub use ddpm_schedule as schedule;
pub use ddpm_trajectory as trajectory;

/// Runs the README's Rust examples with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
