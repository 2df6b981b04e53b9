//! Changes of resolution.

use super::engine::Engine;
use super::layers;
use super::names::Names;
use super::res_block::{ResBlock, Rescale};
use super::weights::Weights;
use crate::Result;
use crate::config::{Architecture, Resampling};
use crate::kernels::{ConvSizes, Window};

/// Halves height and width, or doubles them.
pub(super) enum Resample<E: Engine> {
    /// By a 3x3 convolution: of stride 2 on the way down, of repeated pixels on the way up.
    Convolution(Rescale, E::Conv2d),
    /// By the mean of 2x2 pixels, or by repeating pixels.
    Plain(Rescale),
    /// The same inside a residual block.
    Residual(Box<ResBlock<E>>),
}

impl<E: Engine> Resample<E> {
    /// The way from `level`, down or up.
    pub(super) fn load(
        engine: &E,
        weights: &Weights<'_>,
        architecture: &Architecture,
        level: usize,
        rescale: Rescale,
    ) -> Result<Self> {
        let names = Names::new(architecture);
        let this = architecture.levels[level];
        let (by, [block, convolution], window) = match rescale {
            Rescale::Up => {
                let names = names.upsample(level, this.attention_up);
                (this.upsample, names, Window::centred(3, 1))
            }
            _ => {
                let window = Window::centred(3, 2).with_lead(architecture.downsample_lead);
                (this.downsample, names.downsample(level), window)
            }
        };
        let channels = this.channels;
        Ok(match by {
            Resampling::Convolution => {
                let sizes = ConvSizes {
                    inputs: channels,
                    outputs: channels,
                    window,
                };
                let scope = weights.scope(&convolution);
                Self::Convolution(rescale, layers::conv2d(engine, &scope, sizes)?)
            }
            Resampling::Plain => Self::Plain(rescale),
            Resampling::Residual => {
                let scope = weights.scope(&block);
                let block = ResBlock::load(engine, &scope, architecture, [channels; 2], rescale)?;
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
            Self::Convolution(Rescale::Up, convolution) => {
                engine.convolve(convolution, &engine.upsample(x)?, None, None)
            }
            Self::Convolution(_, convolution) => engine.convolve(convolution, x, None, None),
            Self::Plain(rescale) => rescale.apply(engine, x.clone()),
            Self::Residual(block) => block.forward(engine, x, embedding),
        }
    }
}
