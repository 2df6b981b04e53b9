//! Bounds-checked reading of a byte slice.

use super::{PickleError, Result};

/// A position in a byte slice that only moves forward.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Length of the file that the bytes are from.
    file: usize,
}

impl<'a> Cursor<'a> {
    /// Before the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            file: bytes.len(),
        }
    }

    /// The same as a part of a longer file, by whose length memory is bounded then.
    #[must_use]
    pub fn of_file(self, bytes: usize) -> Self {
        Self {
            file: bytes.max(self.file),
            ..self
        }
    }

    pub(super) fn file(&self) -> usize {
        self.file
    }

    /// Offset of the next byte.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`PickleError::Truncated`], as for all that reads.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..count).ok_or_else(|| {
            PickleError::Truncated(format!(
                "{count} bytes were expected at offset {} and {} are left",
                self.position,
                rest.len()
            ))
        })?;
        self.position += count;
        Ok(taken)
    }

    /// The next `N` bytes as an array, for `from_le_bytes`.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A length of one, four or eight bytes, as many as the opcode of its kind says.
    pub(super) fn length(&mut self, bytes: u8) -> Result<usize> {
        let length: u64 = match bytes {
            1 => self.byte()?.into(),
            4 => u32::from_le_bytes(self.array()?).into(),
            _ => u64::from_le_bytes(self.array()?),
        };
        usize::try_from(length).map_err(|_| format!("a string has {length} bytes").into())
    }

    /// Text up to the next newline, which is consumed.
    pub(super) fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.position..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or_else(|| {
            PickleError::Truncated(format!(
                "a line that starts at offset {} does not end",
                self.position
            ))
        })?;
        let line = self.take(end)?;
        self.position += 1;
        text(line)
    }

    /// Back to an offset that was passed.
    pub(super) fn back_to(&mut self, position: usize) {
        self.position = position;
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| "a string is not UTF-8".into())
}
