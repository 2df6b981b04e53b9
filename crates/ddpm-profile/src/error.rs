//! What can be wrong with a profile or a request, and what to do about it.

use thiserror::Error as ThisError;

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a profile or a cost model was refused.
#[non_exhaustive]
#[derive(Debug, ThisError)]
pub enum Error {
    /// The evaluated timesteps are not a strictly increasing list within 1..=T.
    #[error(
        "timesteps: expected a strictly increasing list within 1..={train_steps}, found {found}"
    )]
    Timesteps {
        /// T of the noise schedule.
        train_steps: usize,
        /// What is wrong with the list.
        found: String,
    },
    /// The number of Chebyshev nodes is out of range.
    #[error("chebyshev nodes: expected {min}..={max}, found {found}")]
    Nodes {
        /// Fewest nodes allowed.
        min: usize,
        /// Most nodes allowed.
        max: usize,
        /// The number asked for.
        found: usize,
    },
    /// An array has the wrong length.
    #[error("{field}: expected {expected} values, found {found}")]
    Length {
        /// Which array.
        field: String,
        /// Its expected length.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// A number is NaN, infinite or out of its range.
    #[error("{field}: expected {expected}, found {found}")]
    Value {
        /// Which number.
        field: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: f64,
    },
    /// A choice that this profile, variance or decoder cannot serve.
    #[error("{0}")]
    Unsupported(String),
    /// The Chebyshev columns do not resolve the learned variances of this network.
    #[error(
        "the learned-variance columns are interpolated to {found:.1e} (relative) at t = {timestep}, expected at most \
         {limit:.0e}: v spans [{v_min:.3}, {v_max:.3}] there and {nodes} chebyshev nodes do not resolve it; \
         profile again with more nodes (for example {suggestion})"
    )]
    InterpolationError {
        /// The largest relative difference from the measured hold-out values.
        found: f64,
        /// The largest difference allowed.
        limit: f64,
        /// Where it was found.
        timestep: usize,
        /// The smallest v of that timestep.
        v_min: f64,
        /// The largest v of that timestep.
        v_max: f64,
        /// The number of nodes of the profile.
        nodes: usize,
        /// A number of nodes that should do.
        suggestion: usize,
    },
    /// A tensor or field of a file is missing or has another shape or type.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// Which tensor or field.
        field: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The same block of images is present twice.
    #[error("block {id} is present twice: each block of images may be counted once")]
    DuplicateBlock {
        /// The block's number.
        id: u64,
    },
    /// A block of images does not fit the plan of the run.
    #[error("block {id}: expected {expected}, found {found}")]
    Block {
        /// The block's number.
        id: u64,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A block of images was left in the middle.
    #[error(
        "block {id} is not finished ({done} of {of} evaluations): resume the run that it belongs to"
    )]
    Unfinished {
        /// The block's number.
        id: u64,
        /// Evaluations that it holds.
        done: u64,
        /// Evaluations that it must have.
        of: u64,
    },
    /// There are too few folds to leave one out.
    #[error("folds: expected at least 2, found {found} ({blocks} blocks of images)")]
    Folds {
        /// The number asked for, at most the number of blocks.
        found: usize,
        /// Blocks of the profile.
        blocks: usize,
    },
    /// There is nothing to compute from.
    #[error("the profile has no blocks of images")]
    Empty,
    /// No path of this many steps has a finite cost.
    #[error("steps: no path of {steps} steps reaches t = {end} at a finite cost")]
    Unreachable {
        /// The budget asked for.
        steps: usize,
        /// Where the path must end.
        end: usize,
    },
    /// The bytes are no profile, or are damaged.
    #[error(transparent)]
    Format(#[from] ddpm_files::FormatError),
    /// An origin that does not fit, or a budget that is not possible.
    #[error(transparent)]
    Schedule(#[from] ddpm_schedule::Error),
    /// An error of the diffusion mathematics below.
    #[error(transparent)]
    Core(#[from] ddpm_core::Error),
    /// An error of the solver below.
    #[error(transparent)]
    Solver(#[from] ddpm_dp::Error),
}
