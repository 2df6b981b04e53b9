//! Schedules for the quality of samples, from stored trajectories of the network.
//!
//! # Flow
//!
//! 1. [`Trajectories`] hold, for a few images and on a fine grid of timesteps, the states and the network's estimates of the data.
//!    Along the probability-flow ODE ([`TrajectoryKind::Flow`](ddpm_schedule::TrajectoryKind::Flow)) they are the reference that a sampler of K steps tries to follow; along the
//!    forward process ([`TrajectoryKind::Forward`](ddpm_schedule::TrajectoryKind::Forward)) they are what [`klub`] integrates. They are a file.
//! 2. [`Gram`] keeps the inner products of states and estimates: the squared error of any step of any linear sampler between
//!    grid nodes is a quadratic form of it, O(1) and without the network.
//! 3. [`QualityModel`] weights local errors with how much they grow until time 0 and solves for every budget: by [`ddpm_dp::solve`]
//!    for DDIM, by [`ddpm_dp::second_order`] for DPM-Solver++(2M), whose step depends on the previous node too, by
//!    [`ddpm_dp::third_order`] for DPM-Solver++(3M) and iPNDM, which look back on two.

mod cheapest;
mod choose;
mod error;
mod family;
mod file;
mod fitted;
mod gits;
mod gram;
mod grid;
mod grid_steps;
mod growth;
mod klub;
mod least_squares;
mod pooled;
mod quality;
mod refit;
mod spacing;
mod store;

pub use cheapest::most_nodes;
pub use choose::{
    choose_fitted, choose_klub, choose_quality, chosen_by_sampling, closest_coefficients,
};
pub use error::{Error, Result};
pub use family::{Candidate, family, usual_strides};
pub use fitted::{Deviations, FittedModel, Fitting};
pub use gits::Gits;
pub use gram::Gram;
pub use grid::{USUAL_NODES, reference_grid, usual_steps};
pub use growth::GrowthPoint;
pub use klub::{entropic_path, klub};
pub use pooled::check_fit_size;
pub use quality::{QualityModel, Weighting, check_reachable};
pub use refit::{Refit, Student, refit};

pub use spacing::{Spacing, below_sigma_80};
pub use store::{Trajectories, Trial};
