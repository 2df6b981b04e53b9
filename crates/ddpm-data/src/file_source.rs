//! Where the bytes of an array are read from: a file, or what is unpacked of one.

use std::path::Path;

use ddpm_files::PositionedFile;

use crate::error::Result;
use crate::lazy_copy::LazyCopy;

/// Bytes at positions.
#[derive(Debug)]
pub(crate) enum FileSource {
    /// They lie in a file as they are.
    File(PositionedFile),
    /// They are unpacked as they are asked for.
    Copy(Box<LazyCopy>),
}

impl FileSource {
    /// The file that messages name.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Copy(copy) => copy.path(),
        }
    }

    /// Fills `dst` with the bytes from `offset` on.
    pub(crate) fn read_exact_at(&self, offset: u64, dst: &mut [u8]) -> Result<()> {
        match self {
            Self::File(file) => Ok(file.read_exact_at(offset, dst)?),
            Self::Copy(copy) => copy.read_exact_at(offset, dst),
        }
    }
}

impl From<PositionedFile> for FileSource {
    fn from(file: PositionedFile) -> Self {
        Self::File(file)
    }
}
