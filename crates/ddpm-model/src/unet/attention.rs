//! Self-attention over positions.

use super::engine::Engine;
use super::layers;
use super::weights::Scope;
use crate::Result;
use crate::config::{AttentionOrder, Family, Norm};

/// Norm, queries, keys and values, attention of every position to every position, projection, with a shortcut.
pub(super) struct AttentionBlock<E: Engine> {
    norm: Option<E::GroupNorm>,
    qkv: E::Conv2d,
    projection: E::Conv2d,
    heads: usize,
    order: AttentionOrder,
}

/// What an attention block is besides its weights.
pub(super) struct AttentionSizes {
    pub(super) channels: usize,
    pub(super) heads: usize,
    pub(super) order: AttentionOrder,
    pub(super) norm: Option<Norm>,
}

/// Names of queries, keys, values and projection in diffusers, and before its release 0.14.
const NAMES: [&str; 4] = ["to_q", "to_k", "to_v", "to_out.0"];
const OLD_NAMES: [&str; 4] = ["query", "key", "value", "proj_attn"];

impl<E: Engine> AttentionBlock<E> {
    pub(super) fn load(
        engine: &E,
        scope: &Scope<'_>,
        family: Family,
        sizes: &AttentionSizes,
    ) -> Result<Self> {
        let &AttentionSizes {
            channels,
            heads,
            order,
            norm,
        } = sizes;
        let (norm_name, [qkv, projection]) = match family {
            Family::OpenAi => ("norm", joined(scope, channels)?),
            Family::Diffusers => ("group_norm", separate(scope, channels)?),
        };
        let pointwise = |(weight, bias)| layers::pointwise(engine, weight, bias, channels);
        Ok(Self {
            norm: norm
                .map(|norm| layers::group_norm(engine, &scope.scope(norm_name), channels, norm))
                .transpose()?,
            qkv: pointwise(qkv)?,
            projection: pointwise(projection)?,
            heads,
            order,
        })
    }

    pub(super) fn forward(&self, engine: &E, x: &E::Maps) -> Result<E::Maps> {
        let h = match &self.norm {
            Some(norm) => &engine.normalise(norm, x, None, false)?,
            None => x,
        };
        let qkv = engine.convolve(&self.qkv, h, None, None)?;
        let h = engine.attend(&qkv, self.heads, self.order)?;
        engine.convolve(&self.projection, &h, None, Some(x))
    }
}

/// Weight and bias.
type Dense = (Vec<f32>, Vec<f32>);

/// OpenAI: queries, keys and values are one convolution over a sequence of positions.
fn joined(scope: &Scope<'_>, channels: usize) -> Result<[Dense; 2]> {
    let take = |name, outputs| scope.scope(name).take_both(&[outputs, channels, 1]);
    Ok([take("qkv", 3 * channels)?, take("proj_out", channels)?])
}

/// diffusers: four dense layers, the first three put one below the other.
fn separate(scope: &Scope<'_>, channels: usize) -> Result<[Dense; 2]> {
    let holds = |names: [&str; 4]| names.iter().any(|name| scope.holds(&format!("{name}.")));
    let names = if holds(OLD_NAMES) && !holds(NAMES) {
        OLD_NAMES
    } else {
        NAMES
    };
    let take = |name| scope.scope(name).take_both(&[channels, channels]);
    let mut qkv = Dense::default();
    for name in &names[..3] {
        let (weight, bias) = take(name)?;
        qkv.0.extend(weight);
        qkv.1.extend(bias);
    }
    Ok([qkv, take(names[3])?])
}
