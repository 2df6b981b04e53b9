//! Residual blocks.

use super::engine::{ConvSizes, Engine};
use super::layers;
use super::weights::Scope;
use crate::Result;
use crate::config::Architecture;

/// Norm, SiLU, convolution, twice, with the timestep in between and a shortcut around all.
pub(super) struct ResBlock<E: Engine> {
    in_norm: E::GroupNorm,
    in_conv: E::Conv2d,
    timestep: E::Linear,
    scale_shift: bool,
    out_norm: E::GroupNorm,
    out_conv: E::Conv2d,
    /// A 1x1 convolution where the number of channels changes.
    shortcut: Option<E::Conv2d>,
}

impl<E: Engine> ResBlock<E> {
    pub(super) fn load(
        engine: &E,
        scope: &Scope<'_>,
        architecture: &Architecture,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self> {
        let scale_shift = architecture.use_scale_shift_norm;
        let rows = if scale_shift { 2 * outputs } else { outputs };
        let embedding = architecture.embedding_channels();
        let shortcut = ConvSizes {
            inputs,
            outputs,
            kernel: 1,
            stride: 1,
        };
        Ok(Self {
            in_norm: layers::group_norm(engine, &scope.scope("in_layers.0"), inputs)?,
            in_conv: layers::conv3x3(engine, &scope.scope("in_layers.2"), inputs, outputs)?,
            timestep: layers::linear(engine, &scope.scope("emb_layers.1"), embedding, rows)?,
            scale_shift,
            out_norm: layers::group_norm(engine, &scope.scope("out_layers.0"), outputs)?,
            out_conv: layers::conv3x3(engine, &scope.scope("out_layers.3"), outputs, outputs)?,
            shortcut: (inputs != outputs)
                .then(|| layers::conv2d(engine, &scope.scope("skip_connection"), shortcut))
                .transpose()?,
        })
    }

    /// `x` of `inputs` channels, `embedding` of `4 model_channels` entries after its SiLU.
    pub(super) fn forward(
        &self,
        engine: &E,
        x: &E::Maps,
        embedding: &E::Vectors,
    ) -> Result<E::Maps> {
        let h = engine.normalise(&self.in_norm, x, None, true)?;
        let timestep = engine.dense(&self.timestep, embedding, false)?;
        let (shift, scale_shift) = if self.scale_shift {
            (None, Some(&timestep))
        } else {
            (Some(&timestep), None)
        };
        let h = engine.convolve(&self.in_conv, &h, shift, None)?;
        let h = engine.normalise(&self.out_norm, &h, scale_shift, true)?;
        match &self.shortcut {
            Some(shortcut) => {
                let x = engine.convolve(shortcut, x, None, None)?;
                engine.convolve(&self.out_conv, &h, None, Some(&x))
            }
            None => engine.convolve(&self.out_conv, &h, None, Some(x)),
        }
    }
}
