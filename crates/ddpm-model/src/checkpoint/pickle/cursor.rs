//! Bounds-checked reading of a byte slice.

use crate::checkpoint::read_error::{ReadError, ReadResult};

/// A position in a byte slice that only moves forward.
pub(in crate::checkpoint) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(in crate::checkpoint) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Offset of the next byte.
    pub(in crate::checkpoint) fn position(&self) -> usize {
        self.position
    }

    /// Bytes not read yet.
    pub(in crate::checkpoint) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The next `count` bytes.
    pub(in crate::checkpoint) fn take(&mut self, count: usize) -> ReadResult<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..count).ok_or_else(|| {
            ReadError::Truncated(format!(
                "{count} bytes were expected at offset {} and {} are left",
                self.position,
                rest.len()
            ))
        })?;
        self.position += count;
        Ok(taken)
    }

    /// The next `N` bytes as an array, for `from_le_bytes`.
    pub(in crate::checkpoint) fn array<const N: usize>(&mut self) -> ReadResult<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    pub(super) fn byte(&mut self) -> ReadResult<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Text up to the next newline, which is consumed.
    pub(super) fn line(&mut self) -> ReadResult<&'a str> {
        let rest = &self.bytes[self.position..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or_else(|| {
            ReadError::Truncated(format!(
                "a line that starts at offset {} does not end",
                self.position
            ))
        })?;
        let line = self.take(end)?;
        self.position += 1;
        text(line)
    }

    /// `count` bytes of UTF-8.
    pub(super) fn text(&mut self, count: usize) -> ReadResult<&'a str> {
        text(self.take(count)?)
    }
}

fn text(bytes: &[u8]) -> ReadResult<&str> {
    std::str::from_utf8(bytes)
        .map_err(|_| ReadError::Damaged("a string in the pickle is not UTF-8".into()))
}
