//! Activations of a batch.

use std::sync::Arc;

use super::isa::padded;
use super::tasks::{Buffer, Pool, for_pieces};
use crate::{Error, Result, room};

/// Feature maps of a batch, `[batch, height, width, channels]`, channels last and padded with zeros to a multiple of
/// [`CHANNEL_MULTIPLE`](super::isa::CHANNEL_MULTIPLE).
///
/// Clones share their memory.
#[derive(Clone)]
pub(crate) struct Maps {
    shape: Shape,
    values: Arc<Buffer>,
}

/// Sizes of [`Maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) batch: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Without padding.
    pub(crate) channels: usize,
}

impl Shape {
    /// Channels with padding: floats from one pixel to the next.
    pub(super) fn stride(&self) -> usize {
        padded(self.channels)
    }

    /// Pixels of one image.
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Floats, padding included.
    pub(super) fn len(&self) -> usize {
        self.batch * self.pixels() * self.stride()
    }
}

impl Maps {
    /// Maps of which `fill` writes every float, padding included.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(super) fn new(
        pool: &Arc<Pool>,
        shape: Shape,
        fill: impl FnOnce(&mut [f32]),
    ) -> Result<Self> {
        let mut values = pool.take(shape.len())?;
        fill(values.as_mut_slice());
        Ok(Self {
            shape,
            values: Arc::new(values),
        })
    }

    /// Maps of which `fill` writes every row: that of image `image` at height `y`, given as `fill(image, y, row)`.
    pub(super) fn by_rows(
        pool: &Arc<Pool>,
        shape: Shape,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Result<Self> {
        let row = shape.width * shape.stride();
        let rows = std::iter::repeat_n(row, shape.batch * shape.height);
        Self::new(pool, shape, |out| {
            for_pieces(out, rows, |task, out| {
                fill(task / shape.height, task % shape.height, out);
            });
        })
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn values(&self) -> &[f32] {
        self.values.as_slice()
    }

    /// From `[batch, channels, height, width]`.
    pub(crate) fn from_planes(pool: &Arc<Pool>, shape: Shape, planes: &[f32]) -> Result<Self> {
        Self::new(pool, shape, |out| {
            out.fill(0.0);
            let (pixels, stride) = (shape.pixels(), shape.stride());
            let images = planes.chunks_exact((shape.channels * pixels).max(1));
            for (image, out) in images.zip(out.chunks_exact_mut((pixels * stride).max(1))) {
                for (channel, plane) in image.chunks_exact(pixels).enumerate() {
                    for (value, out) in plane.iter().zip(out.chunks_exact_mut(stride)) {
                        out[channel] = *value;
                    }
                }
            }
        })
    }

    /// To `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(crate) fn to_planes(&self) -> Result<Vec<f32>> {
        let (pixels, stride) = (self.shape.pixels(), self.shape.stride());
        let mut planes = room::floats(self.shape.batch * self.shape.channels * pixels)?;
        for image in self.values().chunks_exact((pixels * stride).max(1)) {
            for channel in 0..self.shape.channels {
                planes.extend(image.chunks_exact(stride).map(|pixel| pixel[channel]));
            }
        }
        Ok(planes)
    }
}

/// One vector per image of a batch, `[batch, len]`: embeddings and what layers make of them.
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
