//! Why stored bytes were refused.

/// What is wrong with the bytes of one of our own formats.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The bytes are no such file at all, or are damaged.
    #[error("not {kind}: {detail}")]
    Not {
        /// The kind of file with its article.
        kind: &'static str,
        /// What was expected and what was found.
        detail: String,
    },
    /// The file was written by a newer version of this library.
    #[error(
        "{what}: expected format version {supported} or older, found version {found}; use a newer ddpm"
    )]
    NewerVersion {
        /// Which kind of file.
        what: &'static str,
        /// The newest version that this library reads.
        supported: u64,
        /// The version of the file.
        found: u64,
    },
    /// The contents do not match the checksum: the file was damaged or edited.
    #[error(
        "{what}: the contents do not match the checksum (expected {expected}, found {found}); the file was damaged or edited"
    )]
    Checksum {
        /// Which kind of file.
        what: &'static str,
        /// The checksum that the file states.
        expected: String,
        /// The checksum of its contents.
        found: String,
    },
    /// A tensor is missing or has another shape or type.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// Which tensor.
        field: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// The result of reading one of our own formats.
pub type FormatResult<T> = Result<T, FormatError>;
