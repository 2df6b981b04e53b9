//! What can be wrong with trajectories or a request to choose on them.

use ddpm_core::Difference;
pub(crate) use ddpm_schedule::Error as Invalid;

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why trajectories were refused, or nothing can be chosen on them.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two parts are not of one run.
    #[error("the trajectories do not go together: {} differs ({} and {})", .0.field, .0.first, .0.second)]
    Mismatch(Difference),
    /// The bytes are no trajectories file, or are damaged.
    #[error(transparent)]
    Format(#[from] ddpm_files::FormatError),
    /// A number, a field or an origin that does not fit, a choice that cannot be served, or a budget that is not possible.
    #[error(transparent)]
    Schedule(#[from] ddpm_schedule::Error),
    /// An error of the diffusion mathematics below.
    #[error(transparent)]
    Core(#[from] ddpm_core::Error),
    /// An error of the solver below.
    #[error(transparent)]
    Solver(#[from] ddpm_dp::Error),
}
