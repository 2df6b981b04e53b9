//! What a format reader reports, before the file's path is known.

use std::path::Path;

use crate::Error;

/// Failure of one reader; [`ReadError::at`] adds the path.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The bytes end too early.
    Truncated(String),
    /// The bytes are something else.
    NotACheckpoint(String),
    /// The bytes contradict themselves.
    Damaged(String),
    /// A well-formed file of a kind that is not read.
    Unsupported(String),
    /// An object outside the allow-list stands where weights are expected.
    Forbidden(String),
}

/// Result of a format reader.
pub(super) type ReadResult<T> = Result<T, ReadError>;

impl ReadError {
    /// The public error about the file at `path`.
    pub(super) fn at(self, path: &Path) -> Error {
        let path = path.to_path_buf();
        match self {
            Self::Truncated(detail) => Error::Truncated { path, detail },
            Self::NotACheckpoint(found) => Error::NotACheckpoint { path, found },
            Self::Damaged(detail) => Error::Damaged { path, detail },
            Self::Unsupported(detail) => Error::Unsupported { path, detail },
            Self::Forbidden(global) => Error::ForbiddenGlobal { path, global },
        }
    }
}
