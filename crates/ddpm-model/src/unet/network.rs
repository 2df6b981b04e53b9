//! The network for one image.

use candle_core::Tensor;

use super::attention::AttentionBlock;
use super::embedding::Embedding;
use super::layers::{Conv2d, GroupNorm};
use super::res_block::ResBlock;
use super::resample::{Downsample, Upsample};
use super::weights::{Scope, Weights};
use crate::Result;
use crate::config::ModelConfig;

/// All layers, in the order in which they run.
pub(super) struct Network {
    embedding: Embedding,
    first: Conv2d,
    /// `input_blocks` from index 1.
    down: Vec<DownBlock>,
    middle: (ResBlock, AttentionBlock, ResBlock),
    up: Vec<UpBlock>,
    out_norm: GroupNorm,
    out_conv: Conv2d,
}

enum DownBlock {
    Residual(Box<ResBlock>, Option<AttentionBlock>),
    Downsample(Downsample),
}

struct UpBlock {
    residual: ResBlock,
    attention: Option<AttentionBlock>,
    upsample: Option<Upsample>,
}

impl Network {
    /// Takes every tensor of the architecture out of `weights`.
    pub(super) fn load(weights: &Weights<'_>, config: &ModelConfig) -> Result<Self> {
        let architecture = &config.architecture;
        let base = architecture.model_channels;
        let attention = |scope: &Scope<'_>, channels, up| {
            let heads = config.heads_of(channels, up)?;
            AttentionBlock::load(scope, channels, heads, config.attention_order.value)
        };
        let attends = |level: usize| architecture.attention_resolutions.contains(&(1 << level));
        let last_level = architecture.channel_mult.len() - 1;

        let first = weights.scope("input_blocks.0.0");
        let first = Conv2d::load(&first, architecture.in_channels, base, 3, 1)?;
        let mut down = vec![];
        // Channels of every tensor that waits for its counterpart on the way up.
        let mut waiting = vec![base];
        let mut channels = base;
        for (level, multiple) in architecture.channel_mult.iter().enumerate() {
            let outputs = multiple * base;
            for _ in 0..architecture.num_res_blocks {
                let scope = weights.scope(&format!("input_blocks.{}", down.len() + 1));
                let residual = ResBlock::load(&scope.scope("0"), architecture, channels, outputs)?;
                channels = outputs;
                let attention = attends(level)
                    .then(|| attention(&scope.scope("1"), channels, false))
                    .transpose()?;
                down.push(DownBlock::Residual(Box::new(residual), attention));
                waiting.push(channels);
            }
            if level < last_level {
                let scope = weights.scope(&format!("input_blocks.{}.0", down.len() + 1));
                let downsample = Downsample::load(&scope, channels, architecture.conv_resample)?;
                down.push(DownBlock::Downsample(downsample));
                waiting.push(channels);
            }
        }

        let scope = weights.scope("middle_block");
        let middle = (
            ResBlock::load(&scope.scope("0"), architecture, channels, channels)?,
            attention(&scope.scope("1"), channels, false)?,
            ResBlock::load(&scope.scope("2"), architecture, channels, channels)?,
        );

        let mut up = vec![];
        for (level, multiple) in architecture.channel_mult.iter().enumerate().rev() {
            let outputs = multiple * base;
            for block in 0..=architecture.num_res_blocks {
                let scope = weights.scope(&format!("output_blocks.{}", up.len()));
                let inputs = channels + waiting.pop().unwrap_or_default();
                let residual = ResBlock::load(&scope.scope("0"), architecture, inputs, outputs)?;
                channels = outputs;
                let attention = attends(level)
                    .then(|| attention(&scope.scope("1"), channels, true))
                    .transpose()?;
                let upsample = (level > 0 && block == architecture.num_res_blocks)
                    .then(|| {
                        let index = if attention.is_some() { "2" } else { "1" };
                        Upsample::load(&scope.scope(index), channels, architecture.conv_resample)
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
            embedding: Embedding::load(weights, architecture)?,
            first,
            down,
            middle,
            up,
            out_norm: GroupNorm::load(&weights.scope("out.0"), channels)?,
            out_conv: Conv2d::load(
                &weights.scope("out.2"),
                channels,
                architecture.out_channels,
                3,
                1,
            )?,
        })
    }

    /// `x` of shape `[1, in_channels, H, W]` at the network's own time, to `[1, out_channels, H, W]`.
    pub(super) fn forward(&self, x: &Tensor, time: f32, class: Option<usize>) -> Result<Tensor> {
        let embedding = self.embedding.forward(time, class)?;
        let mut h = self.first.forward(x)?;
        let mut waiting = vec![h.clone()];
        for block in &self.down {
            h = match block {
                DownBlock::Downsample(downsample) => downsample.forward(&h)?,
                DownBlock::Residual(residual, attention) => {
                    attend(attention.as_ref(), residual.forward(&h, &embedding)?)?
                }
            };
            waiting.push(h.clone());
        }
        h = self.middle.0.forward(&h, &embedding)?;
        h = self.middle.1.forward(&h)?;
        h = self.middle.2.forward(&h, &embedding)?;
        // Construction pairs every block on the way up with one tensor, so the iterators end together.
        for (block, skip) in self.up.iter().zip(waiting.into_iter().rev()) {
            let joined = Tensor::cat(&[&h, &skip], 1)?;
            h = attend(
                block.attention.as_ref(),
                block.residual.forward(&joined, &embedding)?,
            )?;
            if let Some(upsample) = &block.upsample {
                h = upsample.forward(&h)?;
            }
        }
        self.out_conv.forward(&self.out_norm.forward_silu(&h)?)
    }
}

fn attend(attention: Option<&AttentionBlock>, h: Tensor) -> Result<Tensor> {
    match attention {
        Some(attention) => attention.forward(&h),
        None => Ok(h),
    }
}
