//! Changes of resolution.

use super::engine::{ConvSizes, Engine};
use super::layers;
use super::names::Names;
use super::res_block::{ResBlock, Rescale, Widths};
use super::weights::Weights;
use crate::Result;
use crate::config::{Architecture, Resampling};

/// Halves height and width.
pub(super) enum Downsample<E: Engine> {
    /// By a 3x3 convolution of stride 2.
    Convolution(E::Conv2d),
    /// By the mean of 2x2 pixels.
    Plain,
    /// By that mean inside a residual block.
    Residual(Box<ResBlock<E>>),
}

impl<E: Engine> Downsample<E> {
    /// The way down from `level`.
    pub(super) fn load(
        engine: &E,
        weights: &Weights<'_>,
        architecture: &Architecture,
        level: usize,
    ) -> Result<Self> {
        let names = Names::new(architecture);
        let channels = architecture.levels[level].channels;
        Ok(match architecture.levels[level].downsample {
            Resampling::Convolution => {
                let scope = weights.scope(&names.downsample_convolution(level));
                let sizes = ConvSizes {
                    stride: 2,
                    lead: architecture.downsample_lead,
                    ..ConvSizes::centred(channels, channels, 3)
                };
                Self::Convolution(layers::conv2d(engine, &scope, sizes)?)
            }
            Resampling::Plain => Self::Plain,
            Resampling::Residual => {
                let scope = weights.scope(&names.downsample_residual(level));
                let widths = Widths::same(channels);
                let block = ResBlock::load(engine, &scope, architecture, widths, Rescale::Down)?;
                Self::Residual(Box::new(block))
            }
        })
    }

    pub(super) fn forward(
        &self,
        engine: &E,
        x: &E::Maps,
        embedding: &E::Vectors,
    ) -> Result<E::Maps> {
        match self {
            Self::Convolution(convolution) => engine.convolve(convolution, x, None, None),
            Self::Plain => engine.pool_means(x),
            Self::Residual(block) => block.forward(engine, x, embedding),
        }
    }
}

/// Doubles height and width by repeating pixels.
pub(super) enum Upsample<E: Engine> {
    /// Then smooths by a 3x3 convolution.
    Convolution(E::Conv2d),
    /// And nothing else.
    Plain,
    /// Inside a residual block.
    Residual(Box<ResBlock<E>>),
}

impl<E: Engine> Upsample<E> {
    /// The way up from `level`.
    pub(super) fn load(
        engine: &E,
        weights: &Weights<'_>,
        architecture: &Architecture,
        level: usize,
    ) -> Result<Self> {
        let names = Names::new(architecture);
        let this = architecture.levels[level];
        let channels = this.channels;
        Ok(match this.upsample {
            Resampling::Convolution => {
                let scope = weights.scope(&names.upsample_convolution(level, this.attention_up));
                Self::Convolution(layers::conv3x3(engine, &scope, channels, channels)?)
            }
            Resampling::Plain => Self::Plain,
            Resampling::Residual => {
                let scope = weights.scope(&names.upsample_residual(level, this.attention_up));
                let widths = Widths::same(channels);
                let block = ResBlock::load(engine, &scope, architecture, widths, Rescale::Up)?;
                Self::Residual(Box::new(block))
            }
        })
    }

    pub(super) fn forward(
        &self,
        engine: &E,
        x: &E::Maps,
        embedding: &E::Vectors,
    ) -> Result<E::Maps> {
        match self {
            Self::Convolution(convolution) => {
                engine.convolve(convolution, &engine.upsample(x)?, None, None)
            }
            Self::Plain => engine.upsample(x),
            Self::Residual(block) => block.forward(engine, x, embedding),
        }
    }
}
