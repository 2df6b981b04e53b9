//! Convolution, group normalisation and linear layers.

use candle_core::{Device, Tensor};

use super::weights::Scope;
use crate::Result;

/// Groups of every normalisation in improved-diffusion.
const GROUPS: usize = 32;
const EPSILON: f64 = 1e-5;

fn tensor(scope: &Scope<'_>, name: &str, shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_vec(
        scope.take(name, shape)?,
        shape,
        &Device::Cpu,
    )?)
}

/// A two-dimensional convolution with bias.
pub(super) struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// A 3x3 convolution with padding 1, or a 1x1 convolution without.
    pub(super) fn load(
        scope: &Scope<'_>,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
    ) -> Result<Self> {
        Ok(Self {
            weight: tensor(scope, "weight", &[outputs, inputs, kernel, kernel])?,
            bias: tensor(scope, "bias", &[outputs])?.reshape((1, outputs, 1, 1))?,
            stride,
            padding: kernel / 2,
        })
    }

    /// `x` of shape `[1, inputs, H, W]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.conv2d(&self.weight, self.padding, self.stride, 1, 1)?;
        Ok(y.broadcast_add(&self.bias)?)
    }
}

/// A 1x1 convolution over positions, `[inputs, positions]` to `[outputs, positions]`.
///
/// Not candle's `conv1d`, which multiplies the wrong buffer for some layouts (its issue 3836).
pub(super) struct Pointwise {
    weight: Tensor,
    bias: Tensor,
}

impl Pointwise {
    pub(super) fn load(scope: &Scope<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self {
            weight: tensor(scope, "weight", &[outputs, inputs, 1])?.reshape((outputs, inputs))?,
            bias: tensor(scope, "bias", &[outputs])?.reshape((outputs, 1))?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.weight.matmul(x)?.broadcast_add(&self.bias)?)
    }
}

/// A dense layer on rows.
pub(super) struct Linear {
    /// `[inputs, outputs]`, the transpose of what the file holds.
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(super) fn load(scope: &Scope<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self {
            weight: tensor(scope, "weight", &[outputs, inputs])?
                .t()?
                .contiguous()?,
            bias: tensor(scope, "bias", &[outputs])?,
        })
    }

    /// `x` of shape `[rows, inputs]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.matmul(&self.weight)?.broadcast_add(&self.bias)?)
    }
}

/// Group normalisation, optionally modulated and followed by SiLU.
pub(super) struct GroupNorm {
    norm: candle_nn::GroupNorm,
}

impl GroupNorm {
    pub(super) fn load(scope: &Scope<'_>, channels: usize) -> Result<Self> {
        if !channels.is_multiple_of(GROUPS) {
            return Err(crate::Error::Architecture {
                detail: format!(
                    "a norm has {channels} channels, expected a multiple of its {GROUPS} groups"
                ),
            });
        }
        let weight = tensor(scope, "weight", &[channels])?;
        let bias = tensor(scope, "bias", &[channels])?;
        Ok(Self {
            norm: candle_nn::GroupNorm::new(weight, bias, channels, GROUPS, EPSILON)?,
        })
    }

    /// The norm alone.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.apply(&self.norm)?)
    }

    /// `SiLU(norm(x))`.
    pub(super) fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.forward(x)?.silu()?)
    }

    /// `SiLU(norm(x) (1 + scale) + shift)` with `[scale, shift]` of shape `[1, 2 channels]`.
    pub(super) fn forward_modulated(&self, x: &Tensor, scale_shift: &Tensor) -> Result<Tensor> {
        let channels = x.dim(1)?;
        let half = |start| {
            scale_shift
                .narrow(1, start, channels)?
                .reshape((1, channels, 1, 1))
        };
        let (scale, shift) = (half(0)?, half(channels)?);
        let y = self.forward(x)?.broadcast_mul(&(scale + 1.0)?)?;
        Ok(y.broadcast_add(&shift)?.silu()?)
    }
}
