//! CRC-32 of the part of an archive that images lie in, compared when all of it is read anyway.

use super::positioned::PositionedFile;
use crate::error::{Error, Result};

/// Bytes read at a time that are no images.
const PIECE: u64 = 1 << 16;

/// What an archive says of one of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum {
    /// First byte of the member.
    pub(crate) begin: u64,
    /// The byte after its last.
    pub(crate) end: u64,
    pub(crate) crc32: u32,
}

/// A checksum in the making.
pub(crate) struct Running {
    checksum: Checksum,
    hasher: crc32fast::Hasher,
    at: u64,
}

impl Checksum {
    /// Begins with what lies before byte `start`, the first of those that [`Running::update`] is given.
    pub(crate) fn start(self, file: &PositionedFile, start: u64) -> Result<Running> {
        let mut running = Running {
            checksum: self,
            hasher: crc32fast::Hasher::new(),
            at: self.begin,
        };
        running.read_to(file, start)?;
        Ok(running)
    }
}

impl Running {
    /// The next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.at += bytes.len() as u64;
    }

    /// Reads what is left and compares.
    ///
    /// # Errors
    /// Another checksum than the archive declares.
    pub(crate) fn finish(mut self, file: &PositionedFile) -> Result<()> {
        self.read_to(file, self.checksum.end)?;
        let (expected, found) = (self.checksum.crc32, self.hasher.finalize());
        match found == expected {
            true => Ok(()),
            false => Err(Error::field(
                file.path(),
                "content",
                format!("an array of checksum {expected:08x}, as the archive declares"),
                format!("{found:08x}: the file is damaged"),
            )),
        }
    }

    fn read_to(&mut self, file: &PositionedFile, end: u64) -> Result<()> {
        let mut piece = [0; PIECE as usize];
        while self.at < end {
            let n = u64::min(PIECE, end - self.at) as usize;
            file.read_exact_at(self.at, &mut piece[..n])?;
            self.update(&piece[..n]);
        }
        Ok(())
    }
}
