//! What is wrong with a file.

use std::path::{Path, PathBuf};

/// The result of reading a file.
pub type FileResult<T> = Result<T, FileError>;

/// A file that cannot be read, or that is not what it has to be.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused to read a file or folder.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A field of a file is absent or is not what it has to be.
    #[error("{}: {field}: expected {expected}; found {found}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field: a key, an array, a header or a record.
        field: String,
        /// What the field has to be.
        expected: String,
        /// What it is.
        found: String,
    },
}

impl FileError {
    /// The system's refusal to read `path`.
    pub fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            source,
        }
    }

    /// The complaint about a field.
    pub fn field(
        path: &Path,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Field {
            path: path.to_owned(),
            field: field.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}
