//! Self-attention over positions.

use super::engine::Engine;
use super::layers;
use super::weights::Scope;
use crate::Result;
use crate::config::AttentionOrder;

/// Norm, queries, keys and values, attention of every position to every position, projection, with a shortcut.
pub(super) struct AttentionBlock<E: Engine> {
    norm: E::GroupNorm,
    qkv: E::Conv2d,
    projection: E::Conv2d,
    heads: usize,
    order: AttentionOrder,
}

impl<E: Engine> AttentionBlock<E> {
    pub(super) fn load(
        engine: &E,
        scope: &Scope<'_>,
        channels: usize,
        heads: usize,
        order: AttentionOrder,
    ) -> Result<Self> {
        Ok(Self {
            norm: layers::group_norm(engine, &scope.scope("norm"), channels)?,
            qkv: layers::pointwise(engine, &scope.scope("qkv"), channels, 3 * channels)?,
            projection: layers::pointwise(engine, &scope.scope("proj_out"), channels, channels)?,
            heads,
            order,
        })
    }

    pub(super) fn forward(&self, engine: &E, x: &E::Maps) -> Result<E::Maps> {
        let h = engine.normalise(&self.norm, x, None, false)?;
        let qkv = engine.convolve(&self.qkv, &h, None, None)?;
        let h = engine.attend(&qkv, self.heads, self.order)?;
        engine.convolve(&self.projection, &h, None, Some(x))
    }
}
