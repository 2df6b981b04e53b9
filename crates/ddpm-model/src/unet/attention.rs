//! Self-attention over positions.

use candle_core::{D, Tensor};

use super::layers::{GroupNorm, Pointwise};
use super::weights::Scope;
use crate::Result;
use crate::config::AttentionOrder;

/// Norm, queries, keys and values, attention of every position to every position, projection, with a shortcut.
pub(super) struct AttentionBlock {
    norm: GroupNorm,
    qkv: Pointwise,
    projection: Pointwise,
    heads: usize,
    order: AttentionOrder,
}

impl AttentionBlock {
    pub(super) fn load(
        scope: &Scope<'_>,
        channels: usize,
        heads: usize,
        order: AttentionOrder,
    ) -> Result<Self> {
        Ok(Self {
            norm: GroupNorm::load(&scope.scope("norm"), channels)?,
            qkv: Pointwise::load(&scope.scope("qkv"), channels, 3 * channels)?,
            projection: Pointwise::load(&scope.scope("proj_out"), channels, channels)?,
            heads,
            order,
        })
    }

    /// `x` of shape `[1, channels, H, W]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = x.dims4()?;
        let positions = height * width;
        let normed = self.norm.forward(x)?.reshape((channels, positions))?;
        let qkv = self.qkv.forward(&normed)?;
        let (q, k, v) = self.split(&qkv, channels / self.heads, positions)?;

        // The scale is divided between queries and keys as in the original, which matters for rounding only.
        let scale = ((channels / self.heads) as f64).powf(-0.25);
        let q = (q * scale)?.transpose(1, 2)?.contiguous()?;
        let scores = q.matmul(&(k * scale)?)?;
        let attention = candle_nn::ops::softmax(&scores, D::Minus1)?;
        let h = v.matmul(&attention.transpose(1, 2)?.contiguous()?)?;

        let h = self
            .projection
            .forward(&h.reshape((channels, positions))?)?;
        Ok((x + h.reshape(x.shape())?)?)
    }

    /// Queries, keys and values, each `[heads, channels per head, positions]`.
    fn split(
        &self,
        qkv: &Tensor,
        channels: usize,
        positions: usize,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let part = |index| -> Result<Tensor> {
            Ok(match self.order {
                AttentionOrder::Legacy => qkv
                    .reshape((self.heads, 3 * channels, positions))?
                    .narrow(1, index * channels, channels)?
                    .contiguous()?,
                AttentionOrder::New => qkv
                    .reshape((3, self.heads, channels, positions))?
                    .get(index)?,
            })
        };
        Ok((part(0)?, part(1)?, part(2)?))
    }
}
