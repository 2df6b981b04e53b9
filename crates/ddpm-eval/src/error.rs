//! The one error type of the crate: every way an evaluation can fail.

#[cfg(feature = "distance")]
use std::path::Path;

use ddpm_files::FileError;

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, where, and what was expected instead.
///
/// Messages are lowercase fragments that complete "failed to ...".
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An evaluation was asked for something it cannot do.
    #[error("{field}: {problem}")]
    Request {
        /// The field of the request.
        field: &'static str,
        /// What is wrong with it and what was expected.
        problem: String,
    },
    /// What was given to resume from belongs to another run.
    #[error("cannot resume: {field} differs: the earlier run has {found}, this one {expected}")]
    Resume {
        /// The field that differs.
        field: String,
        /// This run's value.
        expected: String,
        /// The earlier run's value.
        found: String,
    },
    /// The caller asked to stop; whatever was saved can be resumed.
    #[error("interrupted")]
    Interrupted,
    /// The images, or a file of them, are not what they have to be.
    #[error(transparent)]
    Data(#[from] ddpm_data::Error),
    /// A schedule does not fit the network or itself.
    #[error(transparent)]
    Schedule(#[from] ddpm_schedule::Error),
    /// Trajectories refused their input.
    #[error(transparent)]
    Trajectory(#[from] ddpm_trajectory::Error),
    /// The network failed.
    #[error(transparent)]
    Denoiser(#[from] ddpm_core::DenoiserError),
    /// The network's output is of no use: not finite, or of another shape.
    #[error("{0}")]
    Output(String),
    /// The feature network refused its images.
    #[cfg(feature = "fid")]
    #[error(transparent)]
    Features(#[from] ddpm_model::Error),
    /// The mathematics refused its input.
    #[error(transparent)]
    Core(#[from] ddpm_core::Error),
    /// The profile refused its input.
    #[error(transparent)]
    Profile(#[from] ddpm_profile::Error),
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        Self::Data(error.into())
    }
}

impl Error {
    pub(crate) fn request(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Request {
            field,
            problem: problem.into(),
        }
    }

    #[cfg(feature = "distance")]
    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Data(ddpm_data::Error::Write {
            path: path.to_owned(),
            source,
        })
    }
}
