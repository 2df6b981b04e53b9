//! What can be wrong with a profile or a request, and what to do about it.

pub(crate) use ddpm_schedule::Error as Invalid;
use thiserror::Error as ThisError;

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a profile or a cost model was refused.
#[non_exhaustive]
#[derive(Debug, ThisError)]
pub enum Error {
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
    /// The same block of images is present twice.
    #[error("block {id} is present twice: each block of images may be counted once")]
    DuplicateBlock {
        /// The block's number.
        id: u64,
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
    /// There is nothing to compute from.
    #[error("the profile has no blocks of images")]
    Empty,
    /// The bytes are no profile, or are damaged.
    #[error(transparent)]
    Format(#[from] ddpm_files::FormatError),
    /// A number, a field, an origin or a block that does not fit, a choice that cannot be served, or a budget that is not possible.
    #[error(transparent)]
    Schedule(#[from] ddpm_schedule::Error),
    /// An error of the diffusion mathematics below.
    #[error(transparent)]
    Core(#[from] ddpm_core::Error),
    /// An error of the solver below.
    #[error(transparent)]
    Solver(#[from] ddpm_dp::Error),
}
