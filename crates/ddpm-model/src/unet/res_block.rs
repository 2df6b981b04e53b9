//! Residual blocks.

use candle_core::Tensor;

use super::layers::{Conv2d, GroupNorm, Linear};
use super::weights::Scope;
use crate::Result;
use crate::config::Architecture;

/// Norm, SiLU, convolution, twice, with the timestep in between and a shortcut around all.
pub(super) struct ResBlock {
    in_norm: GroupNorm,
    in_conv: Conv2d,
    timestep: Linear,
    scale_shift: bool,
    out_norm: GroupNorm,
    out_conv: Conv2d,
    /// A 1x1 convolution where the number of channels changes.
    shortcut: Option<Conv2d>,
}

impl ResBlock {
    pub(super) fn load(
        scope: &Scope<'_>,
        architecture: &Architecture,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self> {
        let scale_shift = architecture.use_scale_shift_norm;
        let rows = if scale_shift { 2 * outputs } else { outputs };
        Ok(Self {
            in_norm: GroupNorm::load(&scope.scope("in_layers.0"), inputs)?,
            in_conv: Conv2d::load(&scope.scope("in_layers.2"), inputs, outputs, 3, 1)?,
            timestep: Linear::load(
                &scope.scope("emb_layers.1"),
                architecture.embedding_channels(),
                rows,
            )?,
            scale_shift,
            out_norm: GroupNorm::load(&scope.scope("out_layers.0"), outputs)?,
            out_conv: Conv2d::load(&scope.scope("out_layers.3"), outputs, outputs, 3, 1)?,
            shortcut: (inputs != outputs)
                .then(|| Conv2d::load(&scope.scope("skip_connection"), inputs, outputs, 1, 1))
                .transpose()?,
        })
    }

    /// `x` of shape `[1, inputs, H, W]`, `embedding` of shape `[1, 4 model_channels]` after its SiLU.
    pub(super) fn forward(&self, x: &Tensor, embedding: &Tensor) -> Result<Tensor> {
        let h = self.in_norm.forward_silu(x)?;
        let timestep = self.timestep.forward(embedding)?;
        let h = if self.scale_shift {
            let h = self.in_conv.forward(&h)?;
            self.out_norm.forward_modulated(&h, &timestep)?
        } else {
            let h = self.in_conv.forward_shifted(&h, &timestep)?;
            self.out_norm.forward_silu(&h)?
        };
        match &self.shortcut {
            Some(shortcut) => self.out_conv.forward_onto(&h, &shortcut.forward(x)?),
            None => self.out_conv.forward_onto(&h, x),
        }
    }
}
