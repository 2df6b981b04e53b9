//! The engine on candle's own operations: for other devices, and what the kernels are tested against.

use candle_core::{D, Device, Tensor};

use super::backend::Backend;
use super::engine::Engine;
use crate::config::AttentionOrder;
use crate::kernels::{ConvSizes, Window};
use crate::{Error, Result};

/// Tensors of shape `[batch, channels, height, width]` on one device.
pub(super) struct Stock {
    device: Device,
}

pub(super) struct Conv2d {
    weight: Tensor,
    /// `[1, outputs, 1, 1]`
    bias: Tensor,
    window: Window,
}

pub(super) struct Linear {
    /// `[inputs, outputs]`, the transpose of what the file holds.
    weight: Tensor,
    bias: Tensor,
}

impl Stock {
    /// # Errors
    /// [`Error::Device`] where the device of `backend` is not to be had.
    pub(super) fn open(backend: Backend) -> Result<Self> {
        let device = match backend {
            Backend::Stock => Ok(Device::Cpu),
            Backend::Cuda if cfg!(feature = "cuda") => Device::new_cuda(0),
            Backend::Metal if cfg!(feature = "metal") => Device::new_metal(0),
            _ => return Err(backend.not_built()),
        };
        device
            .map(|device| Self { device })
            .map_err(|error| Error::Device {
                name: backend.device(),
                detail: error.to_string(),
            })
    }

    fn tensor(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_vec(values, shape, &self.device)?)
    }

    /// Queries, keys and values, each `[batch * heads, channels per head, positions]`.
    fn split(&self, qkv: &Tensor, heads: usize, order: AttentionOrder) -> Result<[Tensor; 3]> {
        let (batch, rows, height, width) = qkv.dims4()?;
        let (channels, positions) = (rows / (3 * heads), height * width);
        let all = (batch * heads, channels, positions);
        let part = |index: usize| -> Result<Tensor> {
            let part = match order {
                AttentionOrder::Legacy => qkv
                    .reshape((batch * heads, 3 * channels, positions))?
                    .narrow(1, index * channels, channels)?,
                AttentionOrder::New => qkv
                    .reshape((batch, 3, heads * channels, positions))?
                    .narrow(1, index, 1)?
                    .contiguous()?
                    .reshape(all)?,
            };
            Ok(part.contiguous()?)
        };
        Ok([part(0)?, part(1)?, part(2)?])
    }
}

fn after(y: Tensor, then_silu: bool) -> Result<Tensor> {
    Ok(if then_silu { y.silu()? } else { y })
}

impl Engine for Stock {
    type Maps = Tensor;
    /// `[batch, len]`
    type Vectors = Tensor;
    type Conv2d = Conv2d;
    type GroupNorm = candle_nn::GroupNorm;
    type Linear = Linear;

    fn conv2d(&self, weight: Vec<f32>, bias: Vec<f32>, sizes: ConvSizes) -> Result<Conv2d> {
        Ok(Conv2d {
            weight: self.tensor(weight, &sizes.weight())?,
            bias: self.tensor(bias, &[1, sizes.outputs, 1, 1])?,
            window: sizes.window,
        })
    }

    fn group_norm(
        &self,
        weight: Vec<f32>,
        bias: Vec<f32>,
        groups: usize,
        epsilon: f64,
    ) -> Result<candle_nn::GroupNorm> {
        let channels = weight.len();
        Ok(candle_nn::GroupNorm::new(
            self.tensor(weight, &[channels])?,
            self.tensor(bias, &[channels])?,
            channels,
            groups,
            epsilon,
        )?)
    }

    fn linear(&self, weight: Vec<f32>, bias: Vec<f32>, inputs: usize) -> Result<Linear> {
        let outputs = bias.len();
        Ok(Linear {
            weight: self.tensor(weight, &[outputs, inputs])?.t()?.contiguous()?,
            bias: self.tensor(bias, &[1, outputs])?,
        })
    }

    fn load(&self, images: Vec<f32>, shape: [usize; 4]) -> Result<Tensor> {
        self.tensor(images, &shape)
    }

    fn unload(&self, maps: &Tensor) -> Result<Vec<f32>> {
        Ok(maps.flatten_all()?.to_vec1()?)
    }

    fn load_vectors(&self, rows: Vec<f32>, len: usize) -> Result<Tensor> {
        let batch = rows.len() / len.max(1);
        self.tensor(rows, &[batch, len])
    }

    fn convolve(
        &self,
        conv: &Conv2d,
        x: &Tensor,
        shift: Option<&Tensor>,
        addend: Option<&Tensor>,
    ) -> Result<Tensor> {
        // Kernels are square here.
        let Window {
            padding: [lead, _],
            trailing: [trail, _],
            stride,
            ..
        } = conv.window;
        let (padded, padding) = if lead == trail {
            (x.clone(), lead)
        } else {
            let rows = x.pad_with_zeros(2, lead, trail)?;
            (rows.pad_with_zeros(3, lead, trail)?, 0)
        };
        let mut y = padded
            .conv2d(&conv.weight, padding, stride, 1, 1)?
            .broadcast_add(&conv.bias)?;
        if let Some(shift) = shift {
            let (batch, channels) = shift.dims2()?;
            y = y.broadcast_add(&shift.reshape((batch, channels, 1, 1))?)?;
        }
        if let Some(addend) = addend {
            y = (y + addend)?;
        }
        Ok(y)
    }

    fn normalise(
        &self,
        norm: &candle_nn::GroupNorm,
        x: &Tensor,
        scale_shift: Option<&Tensor>,
        then_silu: bool,
    ) -> Result<Tensor> {
        let mut y = x.apply(norm)?;
        if let Some(scale_shift) = scale_shift {
            let (batch, channels, ..) = x.dims4()?;
            let half = |start| {
                scale_shift
                    .narrow(1, start, channels)?
                    .reshape((batch, channels, 1, 1))
            };
            let (scale, shift) = (half(0)?, half(channels)?);
            y = y.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(&shift)?;
        }
        after(y, then_silu)
    }

    fn dense(&self, linear: &Linear, x: &Tensor, then_silu: bool) -> Result<Tensor> {
        let y = x.matmul(&linear.weight)?.broadcast_add(&linear.bias)?;
        after(y, then_silu)
    }

    fn add_silu(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        Ok((x + y)?.silu()?)
    }

    fn attend(&self, qkv: &Tensor, heads: usize, order: AttentionOrder) -> Result<Tensor> {
        let (batch, rows, height, width) = qkv.dims4()?;
        let [q, k, v] = self.split(qkv, heads, order)?;
        // The scale is divided between queries and keys as in the original, which matters for rounding only.
        let scale = ((rows / (3 * heads)) as f64).powf(-0.25);
        let q = (q * scale)?.transpose(1, 2)?.contiguous()?;
        let scores = q.matmul(&(k * scale)?)?;
        let attention = candle_nn::ops::softmax(&scores, D::Minus1)?;
        let y = v.matmul(&attention.transpose(1, 2)?.contiguous()?)?;
        Ok(y.reshape((batch, rows / 3, height, width))?)
    }

    fn join(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        Ok(Tensor::cat(&[x, y], 1)?)
    }

    fn upsample(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, height, width) = x.dims4()?;
        Ok(x.upsample_nearest2d(2 * height, 2 * width)?)
    }

    fn pool_means(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.avg_pool2d(2)?)
    }
}
