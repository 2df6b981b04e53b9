//! Self-attention over positions.

use candle_core::{D, Tensor};

use super::layers::{Conv2d, GroupNorm, Kernels};
use super::weights::Scope;
use crate::Result;
use crate::config::AttentionOrder;
use crate::kernels::{HeadLayout, attend};

/// Norm, queries, keys and values, attention of every position to every position, projection, with a shortcut.
pub(super) struct AttentionBlock {
    norm: GroupNorm,
    qkv: Conv2d,
    projection: Conv2d,
    heads: usize,
    order: AttentionOrder,
    kernels: Kernels,
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
            qkv: Conv2d::load_pointwise(&scope.scope("qkv"), channels, 3 * channels)?,
            projection: Conv2d::load_pointwise(&scope.scope("proj_out"), channels, channels)?,
            heads,
            order,
            kernels: scope.kernels(),
        })
    }

    /// `x` of shape `[1, channels, H, W]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let qkv = self.qkv.forward(&self.norm.forward(x)?)?;
        let h = match self.kernels {
            Kernels::Stock => self.attend_stock(&qkv)?.reshape(x.shape())?,
            Kernels::Packed => attend(
                &qkv,
                self.heads,
                match self.order {
                    AttentionOrder::Legacy => HeadLayout::HeadFirst,
                    AttentionOrder::New => HeadLayout::KindFirst,
                },
            )?,
        };
        self.projection.forward_onto(&h, x)
    }

    fn attend_stock(&self, qkv: &Tensor) -> Result<Tensor> {
        let (_, rows, height, width) = qkv.dims4()?;
        let (channels, positions) = (rows / (3 * self.heads), height * width);
        let (q, k, v) = self.split(qkv, channels, positions)?;
        // The scale is divided between queries and keys as in the original, which matters for rounding only.
        let scale = (channels as f64).powf(-0.25);
        let q = (q * scale)?.transpose(1, 2)?.contiguous()?;
        let scores = q.matmul(&(k * scale)?)?;
        let attention = candle_nn::ops::softmax(&scores, D::Minus1)?;
        Ok(v.matmul(&attention.transpose(1, 2)?.contiguous()?)?)
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
