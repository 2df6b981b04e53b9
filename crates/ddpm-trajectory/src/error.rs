//! What can be wrong with trajectories or a request to choose on them.

use ddpm_core::Difference;

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why trajectories were refused, or nothing can be chosen on them.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The nodes are not a strictly increasing list within 1..=T.
    #[error(
        "timesteps: expected a strictly increasing list within 1..={train_steps}, found {found}"
    )]
    Timesteps {
        /// T of the noise schedule.
        train_steps: usize,
        /// What is wrong with the list.
        found: String,
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
    /// A field is not what it must be.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// Which field.
        field: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A choice that these trajectories cannot serve.
    #[error("{0}")]
    Unsupported(String),
    /// Two parts are not of one run.
    #[error("the trajectories do not go together: {} differs ({} and {})", .0.field, .0.first, .0.second)]
    Mismatch(Difference),
    /// No path of this many steps has a finite cost.
    #[error("steps: no path of {steps} steps reaches t = {end} at a finite cost")]
    Unreachable {
        /// The budget asked for.
        steps: usize,
        /// Where the path must end.
        end: usize,
    },
    /// The bytes are no trajectories file, or are damaged.
    #[error(transparent)]
    Format(#[from] ddpm_files::FormatError),
    /// A budget that is not possible, or an origin that does not fit.
    #[error(transparent)]
    Schedule(#[from] ddpm_schedule::Error),
    /// An error of the diffusion mathematics below.
    #[error(transparent)]
    Core(#[from] ddpm_core::Error),
    /// An error of the solver below.
    #[error(transparent)]
    Solver(#[from] ddpm_dp::Error),
}
