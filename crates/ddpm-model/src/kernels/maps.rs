//! Activations of a batch.

use std::sync::Arc;

use super::buffer::{Buffer, Pool};
use super::vector::padded;

/// Feature maps of a batch, `[batch, height, width, channels]`, channels last and padded with zeros to a multiple of
/// [`CHANNEL_MULTIPLE`](super::vector::CHANNEL_MULTIPLE).
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
    pub(super) fn new(pool: &Arc<Pool>, shape: Shape, fill: impl FnOnce(&mut [f32])) -> Self {
        let mut values = pool.take(shape.len());
        fill(values.as_mut_slice());
        Self {
            shape,
            values: Arc::new(values),
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn values(&self) -> &[f32] {
        self.values.as_slice()
    }

    /// From `[batch, channels, height, width]`.
    pub(crate) fn from_planes(pool: &Arc<Pool>, shape: Shape, planes: &[f32]) -> Self {
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
    pub(crate) fn to_planes(&self) -> Vec<f32> {
        let (pixels, stride) = (self.shape.pixels(), self.shape.stride());
        let mut planes = Vec::with_capacity(self.shape.batch * self.shape.channels * pixels);
        for image in self.values().chunks_exact((pixels * stride).max(1)) {
            for channel in 0..self.shape.channels {
                planes.extend(image.chunks_exact(stride).map(|pixel| pixel[channel]));
            }
        }
        planes
    }
}
