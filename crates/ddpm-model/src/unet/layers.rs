//! Convolution, group normalisation and linear layers, each on stock candle or on this crate's kernels.

use candle_core::{Device, Tensor};

use super::weights::Scope;
use crate::kernels::{PackedConv2d, PackedGroupNorm, PackedLinear};
use crate::{Error, Result};

/// Groups of every normalisation in improved-diffusion.
const GROUPS: usize = 32;
const EPSILON: f64 = 1e-5;

/// What computes the layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernels {
    /// candle's own operations: slow, and what the others are tested against.
    Stock,
    /// This crate's kernels on weights packed in advance.
    #[default]
    Packed,
}

fn stock(values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// A two-dimensional convolution with bias on `[1, inputs, H, W]`.
pub(super) enum Conv2d {
    Stock {
        weight: Tensor,
        bias: Tensor,
        stride: usize,
        padding: usize,
    },
    Packed(PackedConv2d),
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
        let weight = scope.take("weight", &[outputs, inputs, kernel, kernel])?;
        Self::with_weight(scope, weight, [outputs, inputs, kernel], stride)
    }

    /// A 1x1 convolution whose weight the file stores as one over a sequence of positions.
    ///
    /// Not candle's `conv1d`, which multiplies the wrong buffer for some layouts (its issue 3836).
    pub(super) fn load_pointwise(scope: &Scope<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = scope.take("weight", &[outputs, inputs, 1])?;
        Self::with_weight(scope, weight, [outputs, inputs, 1], 1)
    }

    fn with_weight(
        scope: &Scope<'_>,
        weight: Vec<f32>,
        [outputs, inputs, kernel]: [usize; 3],
        stride: usize,
    ) -> Result<Self> {
        let bias = scope.take("bias", &[outputs])?;
        let padding = kernel / 2;
        Ok(match scope.kernels() {
            Kernels::Stock => Self::Stock {
                weight: stock(weight, &[outputs, inputs, kernel, kernel])?,
                bias: stock(bias, &[1, outputs, 1, 1])?,
                stride,
                padding,
            },
            Kernels::Packed => Self::Packed(PackedConv2d::new(
                &weight, bias, inputs, kernel, stride, padding,
            )),
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Stock {
                weight,
                bias,
                stride,
                padding,
            } => Ok(x
                .conv2d(weight, *padding, *stride, 1, 1)?
                .broadcast_add(bias)?),
            Self::Packed(conv) => Ok(conv.apply(x, None)?),
        }
    }

    /// The convolution plus one value per output channel, `shift` of shape `[1, outputs]`.
    pub(super) fn forward_shifted(&self, x: &Tensor, shift: &Tensor) -> Result<Tensor> {
        match self {
            Self::Stock { .. } => {
                let shift = shift.reshape((1, shift.elem_count(), 1, 1))?;
                Ok(self.forward(x)?.broadcast_add(&shift)?)
            }
            Self::Packed(conv) => Ok(conv.apply(x, Some(shift))?),
        }
    }

    /// The convolution plus `addend` of the output's shape.
    pub(super) fn forward_onto(&self, x: &Tensor, addend: &Tensor) -> Result<Tensor> {
        match self {
            Self::Stock { .. } => Ok((self.forward(x)? + addend)?),
            Self::Packed(conv) => Ok(conv.apply_onto(x, addend)?),
        }
    }
}

/// A dense layer on `[1, inputs]`.
pub(super) enum Linear {
    Stock {
        /// `[inputs, outputs]`, the transpose of what the file holds.
        weight: Tensor,
        bias: Tensor,
    },
    Packed(PackedLinear),
}

impl Linear {
    pub(super) fn load(scope: &Scope<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = scope.take("weight", &[outputs, inputs])?;
        let bias = scope.take("bias", &[outputs])?;
        Ok(match scope.kernels() {
            Kernels::Stock => Self::Stock {
                weight: stock(weight, &[outputs, inputs])?.t()?.contiguous()?,
                bias: stock(bias, &[outputs])?,
            },
            Kernels::Packed => Self::Packed(PackedLinear::new(&weight, bias, inputs)),
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Stock { weight, bias } => Ok(x.matmul(weight)?.broadcast_add(bias)?),
            Self::Packed(linear) => Ok(linear.apply(x)?),
        }
    }
}

/// Group normalisation on `[1, channels, H, W]`, optionally modulated and followed by SiLU.
pub(super) enum GroupNorm {
    Stock(candle_nn::GroupNorm),
    Packed(PackedGroupNorm),
}

impl GroupNorm {
    pub(super) fn load(scope: &Scope<'_>, channels: usize) -> Result<Self> {
        if !channels.is_multiple_of(GROUPS) {
            return Err(Error::Architecture {
                detail: format!(
                    "a norm has {channels} channels, expected a multiple of its {GROUPS} groups"
                ),
            });
        }
        let weight = scope.take("weight", &[channels])?;
        let bias = scope.take("bias", &[channels])?;
        Ok(match scope.kernels() {
            Kernels::Stock => Self::Stock(candle_nn::GroupNorm::new(
                stock(weight, &[channels])?,
                stock(bias, &[channels])?,
                channels,
                GROUPS,
                EPSILON,
            )?),
            Kernels::Packed => Self::Packed(PackedGroupNorm::new(weight, bias, GROUPS, EPSILON)),
        })
    }

    /// The norm alone.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Stock(norm) => Ok(x.apply(norm)?),
            Self::Packed(norm) => Ok(norm.apply(x, None, false)?),
        }
    }

    /// `SiLU(norm(x))`.
    pub(super) fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Stock(norm) => Ok(x.apply(norm)?.silu()?),
            Self::Packed(norm) => Ok(norm.apply(x, None, true)?),
        }
    }

    /// `SiLU(norm(x) (1 + scale) + shift)` with `[scale, shift]` of shape `[1, 2 channels]`.
    pub(super) fn forward_modulated(&self, x: &Tensor, scale_shift: &Tensor) -> Result<Tensor> {
        match self {
            Self::Stock(norm) => {
                let channels = x.dim(1)?;
                let half = |start| {
                    scale_shift
                        .narrow(1, start, channels)?
                        .reshape((1, channels, 1, 1))
                };
                let (scale, shift) = (half(0)?, half(channels)?);
                let y = x.apply(norm)?.broadcast_mul(&(scale + 1.0)?)?;
                Ok(y.broadcast_add(&shift)?.silu()?)
            }
            Self::Packed(norm) => Ok(norm.apply(x, Some(scale_shift), true)?),
        }
    }
}
