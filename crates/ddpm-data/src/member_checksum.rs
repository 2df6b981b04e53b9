//! CRC-32 of the part of an archive that images lie in, compared when all of it is read anyway.

use ddpm_files::npz::StoredAt;

use crate::error::{Error, Result};
use crate::file_source::FileSource;

/// Bytes read at a time that are no images.
const PIECE: u64 = 1 << 16;

/// The checksum of a member of an archive in the making.
pub(crate) struct MemberChecksum {
    stored: StoredAt,
    hasher: crc32fast::Hasher,
    at: u64,
}

impl MemberChecksum {
    /// Begins with what lies before byte `start`, the first of those that [`update`](Self::update) is given.
    pub(crate) fn start(stored: StoredAt, file: &FileSource, start: u64) -> Result<Self> {
        let mut checksum = Self {
            stored,
            hasher: crc32fast::Hasher::new(),
            at: stored.begin,
        };
        checksum.read_to(file, start)?;
        Ok(checksum)
    }

    /// The next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.at += bytes.len() as u64;
    }

    /// Reads what is left and compares.
    pub(crate) fn finish(mut self, file: &FileSource) -> Result<()> {
        self.read_to(file, self.stored.end)?;
        let (expected, found) = (self.stored.crc32, self.hasher.finalize());
        if found == expected {
            return Ok(());
        }
        Err(Error::field(
            file.path(),
            "content",
            format!("an array of checksum {expected:08x}, as the archive declares"),
            format!("{found:08x}: the file is damaged"),
        ))
    }

    fn read_to(&mut self, file: &FileSource, end: u64) -> Result<()> {
        let mut piece = [0; PIECE as usize];
        while self.at < end {
            let n = u64::min(PIECE, end - self.at) as usize;
            file.read_exact_at(self.at, &mut piece[..n])?;
            self.update(&piece[..n]);
        }
        Ok(())
    }
}
