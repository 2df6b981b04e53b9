//! Residual blocks.

use super::engine::Engine;
use super::layers;
use super::names::Names;
use super::weights::Scope;
use crate::Result;
use crate::config::Architecture;
use crate::kernels::ConvSizes;

/// Norm, SiLU, convolution, twice, with the timestep in between and a shortcut around all.
pub(super) struct ResBlock<E: Engine> {
    in_norm: E::GroupNorm,
    rescale: Rescale,
    in_conv: E::Conv2d,
    timestep: E::Linear,
    scale_shift: bool,
    out_norm: E::GroupNorm,
    out_conv: E::Conv2d,
    /// A 1x1 convolution where the number of channels changes.
    shortcut: Option<E::Conv2d>,
}

/// What happens to the resolution before the first convolution and on the shortcut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rescale {
    Keep,
    Down,
    Up,
}

impl Rescale {
    pub(super) fn apply<E: Engine>(self, engine: &E, x: E::Maps) -> Result<E::Maps> {
        match self {
            Self::Keep => Ok(x),
            Self::Down => engine.pool_means(&x),
            Self::Up => engine.upsample(&x),
        }
    }
}

impl<E: Engine> ResBlock<E> {
    /// From `inputs` to `outputs` channels.
    pub(super) fn load(
        engine: &E,
        scope: &Scope<'_>,
        architecture: &Architecture,
        [inputs, outputs]: [usize; 2],
        rescale: Rescale,
    ) -> Result<Self> {
        let [in_norm, in_conv, timestep, out_norm, out_conv, shortcut] =
            Names::new(architecture).residual();
        let scale_shift = architecture.use_scale_shift_norm;
        let rows = if scale_shift { 2 * outputs } else { outputs };
        let embedding = architecture.embedding_channels;
        let norm = |name: &str, channels| {
            layers::group_norm(engine, &scope.scope(name), channels, architecture.norm)
        };
        let conv =
            |name: &str, inputs| layers::conv3x3(engine, &scope.scope(name), inputs, outputs);
        let pointwise = ConvSizes::centred(inputs, outputs, 1);
        Ok(Self {
            in_norm: norm(in_norm, inputs)?,
            rescale,
            in_conv: conv(in_conv, inputs)?,
            timestep: layers::linear(engine, &scope.scope(timestep), embedding, rows)?,
            scale_shift,
            out_norm: norm(out_norm, outputs)?,
            out_conv: conv(out_conv, outputs)?,
            shortcut: (inputs != outputs)
                .then(|| layers::conv2d(engine, &scope.scope(shortcut), pointwise))
                .transpose()?,
        })
    }

    /// `x` of `inputs` channels, `embedding` after its SiLU.
    pub(super) fn forward(
        &self,
        engine: &E,
        x: &E::Maps,
        embedding: &E::Vectors,
    ) -> Result<E::Maps> {
        let h = engine.normalise(&self.in_norm, x, None, true)?;
        let h = self.rescale.apply(engine, h)?;
        let x = self.rescale.apply(engine, x.clone())?;
        let timestep = engine.dense(&self.timestep, embedding, false)?;
        let (shift, scale_shift) = if self.scale_shift {
            (None, Some(&timestep))
        } else {
            (Some(&timestep), None)
        };
        let h = engine.convolve(&self.in_conv, &h, shift, None)?;
        let h = engine.normalise(&self.out_norm, &h, scale_shift, true)?;
        let x = match &self.shortcut {
            Some(shortcut) => engine.convolve(shortcut, &x, None, None)?,
            None => x,
        };
        engine.convolve(&self.out_conv, &h, None, Some(&x))
    }
}
