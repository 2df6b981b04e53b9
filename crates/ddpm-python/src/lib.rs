//! The compiled half of the Python package `ddpm_schedules`: its private module `_core`.
//!
//! It translates arrays and names, calls the libraries, and turns their errors into exceptions; `python/ddpm_schedules` gives what people see.
//! A user's network is called on the thread that called us, never on another (`calls.rs`).

// Python's own documentation stands in `_core.pyi`.
#![allow(
    missing_docs,
    reason = "what Python sees is documented where Python reads it"
)]

mod arrays;
mod calls;
mod errors;
mod evaluate;
mod files;
mod flow;
mod model;
mod names;
mod process;
mod profile;
mod schedules;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::evaluate::{bits_per_dim, frechet, sample, solve};
    #[pymodule_export]
    use crate::flow::{Trajectories, follow, traced};
    #[pymodule_export]
    use crate::model::Denoiser;
    #[pymodule_export]
    use crate::process::Process;
    #[pymodule_export]
    use crate::profile::{Profile, profile};
    #[pymodule_export]
    use crate::schedules::{Schedules, optimize_profile, optimize_trajectories, schedule_of_nodes};
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    const USUAL_NODES: usize = ddpm_trajectory::USUAL_NODES;
}
