//! Changes of resolution.

use candle_core::Tensor;

use super::layers::{Conv2d, Kernels};
use super::weights::Scope;
use crate::Result;
use crate::kernels::upsample;

/// Halves height and width.
pub(super) enum Downsample {
    /// By a 3x3 convolution of stride 2.
    Convolution(Conv2d),
    /// By the mean of 2x2 pixels.
    Pooling,
}

impl Downsample {
    pub(super) fn load(scope: &Scope<'_>, channels: usize, convolution: bool) -> Result<Self> {
        Ok(if convolution {
            Self::Convolution(Conv2d::load(&scope.scope("op"), channels, channels, 3, 2)?)
        } else {
            Self::Pooling
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Convolution(convolution) => convolution.forward(x),
            Self::Pooling => Ok(x.avg_pool2d(2)?),
        }
    }
}

/// Doubles height and width by repeating pixels, then maybe smooths by a 3x3 convolution.
pub(super) struct Upsample {
    convolution: Option<Conv2d>,
    kernels: Kernels,
}

impl Upsample {
    pub(super) fn load(scope: &Scope<'_>, channels: usize, convolution: bool) -> Result<Self> {
        let convolution = convolution
            .then(|| Conv2d::load(&scope.scope("conv"), channels, channels, 3, 1))
            .transpose()?;
        Ok(Self {
            convolution,
            kernels: scope.kernels(),
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = match self.kernels {
            Kernels::Stock => {
                let (_, _, height, width) = x.dims4()?;
                x.upsample_nearest2d(2 * height, 2 * width)?
            }
            Kernels::Packed => upsample(x)?,
        };
        match &self.convolution {
            Some(convolution) => convolution.forward(&x),
            None => Ok(x),
        }
    }
}
