//! Changes of resolution.

use super::engine::{ConvSizes, Engine};
use super::layers;
use super::weights::Scope;
use crate::Result;

/// Halves height and width.
pub(super) enum Downsample<E: Engine> {
    /// By a 3x3 convolution of stride 2.
    Convolution(E::Conv2d),
    /// By the mean of 2x2 pixels.
    Pooling,
}

impl<E: Engine> Downsample<E> {
    pub(super) fn load(
        engine: &E,
        scope: &Scope<'_>,
        channels: usize,
        convolution: bool,
    ) -> Result<Self> {
        let sizes = ConvSizes {
            inputs: channels,
            outputs: channels,
            kernel: 3,
            stride: 2,
        };
        Ok(if convolution {
            Self::Convolution(layers::conv2d(engine, &scope.scope("op"), sizes)?)
        } else {
            Self::Pooling
        })
    }

    pub(super) fn forward(&self, engine: &E, x: &E::Maps) -> Result<E::Maps> {
        match self {
            Self::Convolution(convolution) => engine.convolve(convolution, x, None, None),
            Self::Pooling => engine.pool_means(x),
        }
    }
}

/// Doubles height and width by repeating pixels, then maybe smooths by a 3x3 convolution.
pub(super) struct Upsample<E: Engine> {
    convolution: Option<E::Conv2d>,
}

impl<E: Engine> Upsample<E> {
    pub(super) fn load(
        engine: &E,
        scope: &Scope<'_>,
        channels: usize,
        convolution: bool,
    ) -> Result<Self> {
        let convolution = convolution
            .then(|| layers::conv3x3(engine, &scope.scope("conv"), channels, channels))
            .transpose()?;
        Ok(Self { convolution })
    }

    pub(super) fn forward(&self, engine: &E, x: &E::Maps) -> Result<E::Maps> {
        let x = engine.upsample(x)?;
        match &self.convolution {
            Some(convolution) => engine.convolve(convolution, &x, None, None),
            None => Ok(x),
        }
    }
}
