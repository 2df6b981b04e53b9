//! The layers and how they are connected.

use super::attention::{AttentionBlock, AttentionSizes};
use super::embedding::Embedding;
use super::engine::Engine;
use super::layers;
use super::names::Names;
use super::res_block::{ResBlock, Rescale, Widths};
use super::resample::{Downsample, Upsample};
use super::weights::Weights;
use crate::Result;
use crate::config::{Middle, ModelConfig, Norm};

/// All layers, in the order in which they run.
pub(super) struct Network<E: Engine> {
    engine: E,
    centre_input: bool,
    embedding: Embedding<E>,
    first: E::Conv2d,
    down: Vec<DownBlock<E>>,
    middle: Option<MiddleBlock<E>>,
    up: Vec<UpBlock<E>>,
    out_norm: E::GroupNorm,
    out_conv: E::Conv2d,
}

enum DownBlock<E: Engine> {
    Residual(Box<ResBlock<E>>, Option<AttentionBlock<E>>),
    Downsample(Downsample<E>),
}

struct MiddleBlock<E: Engine> {
    first: ResBlock<E>,
    attention: Option<AttentionBlock<E>>,
    second: ResBlock<E>,
}

struct UpBlock<E: Engine> {
    residual: ResBlock<E>,
    attention: Option<AttentionBlock<E>>,
    upsample: Option<Upsample<E>>,
}

/// Where layers are taken from.
struct Loader<'a, E> {
    engine: &'a E,
    weights: &'a Weights<'a>,
    config: &'a ModelConfig,
    names: Names,
}

impl<E: Engine> Loader<'_, E> {
    fn residual(&self, name: &str, inputs: usize, outputs: usize) -> Result<ResBlock<E>> {
        let widths = Widths { inputs, outputs };
        let scope = self.weights.scope(name);
        let architecture = &self.config.architecture;
        ResBlock::load(self.engine, &scope, architecture, widths, Rescale::Keep)
    }

    fn attention(
        &self,
        name: &str,
        channels: usize,
        up: bool,
        norm: Option<Norm>,
    ) -> Result<AttentionBlock<E>> {
        let sizes = AttentionSizes {
            channels,
            heads: self.config.heads_of(channels, up)?,
            order: self.config.attention_order.value,
            norm,
        };
        let scope = self.weights.scope(name);
        AttentionBlock::load(self.engine, &scope, self.names.family(), &sizes)
    }

    fn middle(&self, middle: Middle, channels: usize) -> Result<MiddleBlock<E>> {
        let epsilon = self.config.architecture.norm.epsilon;
        let attention = middle.attention.map(|groups| {
            let norm = groups.map(|groups| Norm { groups, epsilon });
            self.attention(self.names.middle_attention(), channels, false, norm)
        });
        Ok(MiddleBlock {
            first: self.residual(self.names.middle_residual(false), channels, channels)?,
            attention: attention.transpose()?,
            second: self.residual(self.names.middle_residual(true), channels, channels)?,
        })
    }
}

impl<E: Engine> Network<E> {
    /// Takes every tensor of the architecture out of `weights`.
    pub(super) fn load(engine: E, weights: &Weights<'_>, config: &ModelConfig) -> Result<Self> {
        let on = &engine;
        let architecture = &config.architecture;
        let names = Names::new(architecture);
        let loader = Loader {
            engine: on,
            weights,
            config,
            names,
        };
        let (levels, blocks) = (&architecture.levels, architecture.num_res_blocks);
        let norm = Some(architecture.norm);
        let base = architecture.first_channels;

        let first = weights.scope(names.first());
        let first = layers::conv3x3(on, &first, architecture.in_channels, base)?;
        let mut down = vec![];
        // Channels of every tensor that waits for its counterpart on the way up.
        let mut waiting = vec![base];
        let mut channels = base;
        for (index, level) in levels.iter().enumerate() {
            for block in 0..blocks {
                let name = names.down_residual(index, block);
                let residual = loader.residual(&name, channels, level.channels)?;
                channels = level.channels;
                let name = names.down_attention(index, block);
                let attention = level
                    .attention_down
                    .then(|| loader.attention(&name, channels, false, norm))
                    .transpose()?;
                down.push(DownBlock::Residual(Box::new(residual), attention));
                waiting.push(channels);
            }
            if index + 1 < levels.len() {
                let downsample = Downsample::load(on, weights, architecture, index)?;
                down.push(DownBlock::Downsample(downsample));
                waiting.push(channels);
            }
        }

        let middle = architecture
            .middle
            .map(|middle| loader.middle(middle, channels))
            .transpose()?;

        let mut up = vec![];
        for (index, level) in levels.iter().enumerate().rev() {
            for block in 0..=blocks {
                let inputs = channels + waiting.pop().unwrap_or_default();
                let name = names.up_residual(index, block);
                let residual = loader.residual(&name, inputs, level.channels)?;
                channels = level.channels;
                let name = names.up_attention(index, block);
                let attention = level
                    .attention_up
                    .then(|| loader.attention(&name, channels, true, norm))
                    .transpose()?;
                let upsample = (index > 0 && block == blocks)
                    .then(|| Upsample::load(on, weights, architecture, index))
                    .transpose()?;
                up.push(UpBlock {
                    residual,
                    attention,
                    upsample,
                });
            }
        }

        let out_norm = weights.scope(names.out_norm());
        let out_conv = weights.scope(names.out_conv());
        Ok(Self {
            centre_input: architecture.centre_input,
            embedding: Embedding::load(on, weights, architecture)?,
            first,
            down,
            middle,
            up,
            out_norm: layers::group_norm(on, &out_norm, channels, architecture.norm)?,
            out_conv: layers::conv3x3(on, &out_conv, channels, architecture.out_channels)?,
            engine,
        })
    }

    /// `images` of `[batch, in_channels, H, W]`, each at the network's own `time`, to `[batch, out_channels, H, W]`.
    pub(super) fn forward(
        &self,
        mut images: Vec<f32>,
        shape: [usize; 4],
        time: &[f32],
        labels: Option<&[usize]>,
    ) -> Result<Vec<f32>> {
        let on = &self.engine;
        let embedding = self.embedding.forward(on, time, labels)?;
        if self.centre_input {
            images
                .iter_mut()
                .for_each(|value| *value = 2.0 * *value - 1.0);
        }
        let x = on.load(images, shape)?;
        let mut h = on.convolve(&self.first, &x, None, None)?;
        let mut waiting = vec![h.clone()];
        for block in &self.down {
            h = match block {
                DownBlock::Downsample(downsample) => downsample.forward(on, &h, &embedding)?,
                DownBlock::Residual(residual, attention) => {
                    let h = residual.forward(on, &h, &embedding)?;
                    attend(on, attention.as_ref(), h)?
                }
            };
            waiting.push(h.clone());
        }
        if let Some(middle) = &self.middle {
            h = middle.first.forward(on, &h, &embedding)?;
            h = attend(on, middle.attention.as_ref(), h)?;
            h = middle.second.forward(on, &h, &embedding)?;
        }
        for block in &self.up {
            // Construction pairs every block on the way up with one of those that wait.
            let joined = match waiting.pop() {
                Some(skip) => on.join(&h, &skip)?,
                None => h,
            };
            h = block.residual.forward(on, &joined, &embedding)?;
            h = attend(on, block.attention.as_ref(), h)?;
            if let Some(upsample) = &block.upsample {
                h = upsample.forward(on, &h, &embedding)?;
            }
        }
        h = on.normalise(&self.out_norm, &h, None, true)?;
        on.unload(&on.convolve(&self.out_conv, &h, None, None)?)
    }
}

fn attend<E: Engine>(
    engine: &E,
    attention: Option<&AttentionBlock<E>>,
    h: E::Maps,
) -> Result<E::Maps> {
    match attention {
        Some(attention) => attention.forward(engine, &h),
        None => Ok(h),
    }
}
