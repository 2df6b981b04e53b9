//! One vector per image of a batch: embeddings and what layers make of them.

use super::vector::padded;
use crate::{Error, Result};

/// `[batch, len]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vectors {
    len: usize,
    values: Vec<f32>,
}

impl Vectors {
    /// `values` row-major, of vectors of `len`.
    pub(crate) fn new(len: usize, values: Vec<f32>) -> Self {
        Self { len, values }
    }

    /// Number of vectors.
    pub(crate) fn batch(&self) -> usize {
        self.values.len() / self.len.max(1)
    }

    /// Entries of each vector.
    pub(crate) fn vector_len(&self) -> usize {
        self.len
    }

    /// One vector after the other.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The entries, to be changed in place.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The vectors of `batch` images, each of `len` entries.
    ///
    /// # Errors
    /// [`Error::Input`] if they are others.
    pub(super) fn rows(&self, batch: usize, len: usize) -> Result<impl Iterator<Item = &[f32]>> {
        if self.len != len || self.values.len() != batch * len {
            return Err(Error::Input(format!(
                "{} values in vectors of {}, expected {batch} of {len}",
                self.values.len(),
                self.len
            )));
        }
        Ok(self.values.chunks_exact(len.max(1)))
    }

    /// Each vector filled up with zeros as channels are.
    pub(super) fn padded(&self, batch: usize, len: usize) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(batch * padded(len));
        for row in self.rows(batch, len)? {
            values.extend_from_slice(row);
            values.resize(values.len() + padded(len) - len, 0.0);
        }
        Ok(values)
    }
}
