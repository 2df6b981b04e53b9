//! Whole files in and out.

use std::path::Path;

use crate::error::{Error, Result};

/// Reads a file.
///
/// # Errors
/// [`Error::read`].
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::read(path, source))
}

/// Finds out before a long run whether its output can be written at all.
///
/// # Errors
/// [`Error::System`] naming `path`.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    ddpm_files::check_writable(path).map_err(|source| Error::write(path, source))
}

/// Writes a file at once: a reader sees the old contents or the new ones, never half of them.
///
/// # Errors
/// [`Error::System`].
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    ddpm_files::write_atomic(path, bytes).map_err(|source| Error::write(path, source))
}
