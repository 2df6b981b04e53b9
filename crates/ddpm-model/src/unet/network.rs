//! The layers and how they are connected.

use super::attention::AttentionBlock;
use super::embedding::Embedding;
use super::engine::Engine;
use super::layers;
use super::res_block::ResBlock;
use super::resample::{Downsample, Upsample};
use super::weights::{Scope, Weights};
use crate::Result;
use crate::config::ModelConfig;

/// All layers, in the order in which they run.
pub(super) struct Network<E: Engine> {
    engine: E,
    embedding: Embedding<E>,
    first: E::Conv2d,
    /// `input_blocks` from index 1.
    down: Vec<DownBlock<E>>,
    middle: (ResBlock<E>, AttentionBlock<E>, ResBlock<E>),
    up: Vec<UpBlock<E>>,
    out_norm: E::GroupNorm,
    out_conv: E::Conv2d,
}

enum DownBlock<E: Engine> {
    Residual(Box<ResBlock<E>>, Option<AttentionBlock<E>>),
    Downsample(Downsample<E>),
}

struct UpBlock<E: Engine> {
    residual: ResBlock<E>,
    attention: Option<AttentionBlock<E>>,
    upsample: Option<Upsample<E>>,
}

impl<E: Engine> Network<E> {
    /// Takes every tensor of the architecture out of `weights`.
    pub(super) fn load(engine: E, weights: &Weights<'_>, config: &ModelConfig) -> Result<Self> {
        let on = &engine;
        let architecture = &config.architecture;
        let base = architecture.model_channels;
        let attention = |scope: &Scope<'_>, channels, up| {
            let heads = config.heads_of(channels, up)?;
            AttentionBlock::load(on, scope, channels, heads, config.attention_order.value)
        };
        let attends = |level: usize| architecture.attention_resolutions.contains(&(1 << level));
        let last_level = architecture.channel_mult.len() - 1;

        let first = weights.scope("input_blocks.0.0");
        let first = layers::conv3x3(on, &first, architecture.in_channels, base)?;
        let mut down = vec![];
        // Channels of every tensor that waits for its counterpart on the way up.
        let mut waiting = vec![base];
        let mut channels = base;
        for (level, multiple) in architecture.channel_mult.iter().enumerate() {
            let outputs = multiple * base;
            for _ in 0..architecture.num_res_blocks {
                let scope = weights.scope(&format!("input_blocks.{}", down.len() + 1));
                let residual =
                    ResBlock::load(on, &scope.scope("0"), architecture, channels, outputs)?;
                channels = outputs;
                let attention = attends(level)
                    .then(|| attention(&scope.scope("1"), channels, false))
                    .transpose()?;
                down.push(DownBlock::Residual(Box::new(residual), attention));
                waiting.push(channels);
            }
            if level < last_level {
                let scope = weights.scope(&format!("input_blocks.{}.0", down.len() + 1));
                let downsample =
                    Downsample::load(on, &scope, channels, architecture.conv_resample)?;
                down.push(DownBlock::Downsample(downsample));
                waiting.push(channels);
            }
        }

        let scope = weights.scope("middle_block");
        let middle = (
            ResBlock::load(on, &scope.scope("0"), architecture, channels, channels)?,
            attention(&scope.scope("1"), channels, false)?,
            ResBlock::load(on, &scope.scope("2"), architecture, channels, channels)?,
        );

        let mut up = vec![];
        for (level, multiple) in architecture.channel_mult.iter().enumerate().rev() {
            let outputs = multiple * base;
            for block in 0..=architecture.num_res_blocks {
                let scope = weights.scope(&format!("output_blocks.{}", up.len()));
                let inputs = channels + waiting.pop().unwrap_or_default();
                let residual =
                    ResBlock::load(on, &scope.scope("0"), architecture, inputs, outputs)?;
                channels = outputs;
                let attention = attends(level)
                    .then(|| attention(&scope.scope("1"), channels, true))
                    .transpose()?;
                let upsample = (level > 0 && block == architecture.num_res_blocks)
                    .then(|| {
                        let index = if attention.is_some() { "2" } else { "1" };
                        Upsample::load(
                            on,
                            &scope.scope(index),
                            channels,
                            architecture.conv_resample,
                        )
                    })
                    .transpose()?;
                up.push(UpBlock {
                    residual,
                    attention,
                    upsample,
                });
            }
        }

        Ok(Self {
            embedding: Embedding::load(on, weights, architecture)?,
            first,
            down,
            middle,
            up,
            out_norm: layers::group_norm(on, &weights.scope("out.0"), channels)?,
            out_conv: layers::conv3x3(
                on,
                &weights.scope("out.2"),
                channels,
                architecture.out_channels,
            )?,
            engine,
        })
    }

    /// `images` of `[batch, in_channels, H, W]`, each at the network's own `time`, to `[batch, out_channels, H, W]`.
    pub(super) fn forward(
        &self,
        images: Vec<f32>,
        shape: [usize; 4],
        time: &[f32],
        labels: Option<&[usize]>,
    ) -> Result<Vec<f32>> {
        let on = &self.engine;
        let embedding = self.embedding.forward(on, time, labels)?;
        let x = on.load(images, shape)?;
        let mut h = on.convolve(&self.first, &x, None, None)?;
        let mut waiting = vec![h.clone()];
        for block in &self.down {
            h = match block {
                DownBlock::Downsample(downsample) => downsample.forward(on, &h)?,
                DownBlock::Residual(residual, attention) => {
                    let h = residual.forward(on, &h, &embedding)?;
                    attend(on, attention.as_ref(), h)?
                }
            };
            waiting.push(h.clone());
        }
        h = self.middle.0.forward(on, &h, &embedding)?;
        h = self.middle.1.forward(on, &h)?;
        h = self.middle.2.forward(on, &h, &embedding)?;
        for block in &self.up {
            // Construction pairs every block on the way up with one of those that wait.
            let joined = match waiting.pop() {
                Some(skip) => on.join(&h, &skip)?,
                None => h,
            };
            h = block.residual.forward(on, &joined, &embedding)?;
            h = attend(on, block.attention.as_ref(), h)?;
            if let Some(upsample) = &block.upsample {
                h = upsample.forward(on, &h)?;
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
