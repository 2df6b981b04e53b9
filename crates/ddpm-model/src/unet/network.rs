//! The layers and how they are connected.

use super::attention::{AttentionBlock, AttentionSizes};
use super::embedding::Embedding;
use super::engine::Engine;
use super::layers;
use super::names::Names;
use super::res_block::{ResBlock, Rescale};
use super::resample::Resample;
use super::weights::Weights;
use crate::Result;
use crate::config::{Middle, ModelConfig, Norm};

/// All layers, in the order in which they run.
pub(super) struct Network<E: Engine> {
    engine: E,
    centre_input: bool,
    embedding: Embedding<E>,
    first: E::Conv2d,
    down: Vec<Step<E>>,
    middle: Vec<Step<E>>,
    up: Vec<Step<E>>,
    out_norm: E::GroupNorm,
    out_conv: E::Conv2d,
}

enum Step<E: Engine> {
    /// A residual block, and the attention after it.
    Residual(Box<ResBlock<E>>, Option<AttentionBlock<E>>),
    Resample(Resample<E>),
}

impl<E: Engine> Step<E> {
    fn forward(&self, engine: &E, x: &E::Maps, embedding: &E::Vectors) -> Result<E::Maps> {
        match self {
            Self::Resample(resample) => resample.forward(engine, x, embedding),
            Self::Residual(residual, attention) => {
                let h = residual.forward(engine, x, embedding)?;
                match attention {
                    Some(attention) => attention.forward(engine, &h),
                    None => Ok(h),
                }
            }
        }
    }
}

/// Where layers are taken from.
struct Loader<'a, E> {
    engine: &'a E,
    weights: &'a Weights<'a>,
    config: &'a ModelConfig,
}

impl<E: Engine> Loader<'_, E> {
    /// A residual block from so many channels to so many and, if there is any, the attention after it with its norm.
    fn residual(
        &self,
        [residual, attention]: [&str; 2],
        widths: [usize; 2],
        attends: Option<Option<Norm>>,
        up: bool,
    ) -> Result<Step<E>> {
        let scope = |name| self.weights.scope(name);
        let architecture = &self.config.architecture;
        let keep = Rescale::Keep;
        let residual = ResBlock::load(self.engine, &scope(residual), architecture, widths, keep)?;
        let attention = attends.map(|norm| {
            let [_, channels] = widths;
            let sizes = AttentionSizes {
                channels,
                heads: self.config.heads_of(channels, up)?,
                order: self.config.attention_order.value,
                norm,
            };
            AttentionBlock::load(self.engine, &scope(attention), architecture.family, &sizes)
        });
        Ok(Step::Residual(Box::new(residual), attention.transpose()?))
    }

    fn resample(&self, level: usize, rescale: Rescale) -> Result<Step<E>> {
        let architecture = &self.config.architecture;
        let resample = Resample::load(self.engine, self.weights, architecture, level, rescale);
        resample.map(Step::Resample)
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
        };
        let (levels, blocks) = (&architecture.levels, architecture.num_res_blocks);
        let norm = architecture.norm;
        let base = architecture.first_channels;

        let first = weights.scope(names.first());
        let first = layers::conv3x3(on, &first, architecture.in_channels, base)?;
        let mut down = vec![];
        // Channels of every tensor that waits for its counterpart on the way up.
        let mut waiting = vec![base];
        let mut channels = base;
        for (index, level) in levels.iter().enumerate() {
            for block in 0..blocks {
                let names = names.down(index, block);
                let names = names.each_ref().map(String::as_str);
                let attends = level.attention_down.then_some(Some(norm));
                down.push(loader.residual(names, [channels, level.channels], attends, false)?);
                channels = level.channels;
                waiting.push(channels);
            }
            if index + 1 < levels.len() {
                down.push(loader.resample(index, Rescale::Down)?);
                waiting.push(channels);
            }
        }

        let mut middle = vec![];
        if let Some(Middle { attention }) = architecture.middle {
            let [first, attending, second] = names.middle();
            let attends = attention.map(|groups| groups.map(|groups| Norm { groups, ..norm }));
            let widths = [channels; 2];
            middle.push(loader.residual([first, attending], widths, attends, false)?);
            middle.push(loader.residual([second, attending], widths, None, false)?);
        }

        let mut up = vec![];
        for (index, level) in levels.iter().enumerate().rev() {
            for block in 0..=blocks {
                let inputs = channels + waiting.pop().unwrap_or_default();
                let names = names.up(index, block);
                let names = names.each_ref().map(String::as_str);
                let attends = level.attention_up.then_some(Some(norm));
                up.push(loader.residual(names, [inputs, level.channels], attends, true)?);
                channels = level.channels;
            }
            if index > 0 {
                up.push(loader.resample(index, Rescale::Up)?);
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
            out_norm: layers::group_norm(on, &out_norm, channels, norm)?,
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
            let values = images.iter_mut();
            values.for_each(|value| *value = 2.0 * *value - 1.0);
        }
        let x = on.load(images, shape)?;
        let mut h = on.convolve(&self.first, &x, None, None)?;
        let mut waiting = vec![h.clone()];
        for step in &self.down {
            h = step.forward(on, &h, &embedding)?;
            waiting.push(h.clone());
        }
        for step in &self.middle {
            h = step.forward(on, &h, &embedding)?;
        }
        for step in &self.up {
            // Construction pairs every residual block on the way up with one of those that wait.
            if matches!(step, Step::Residual(..))
                && let Some(skip) = waiting.pop()
            {
                h = on.join(&h, &skip)?;
            }
            h = step.forward(on, &h, &embedding)?;
        }
        h = on.normalise(&self.out_norm, &h, None, true)?;
        on.unload(&on.convolve(&self.out_conv, &h, None, None)?)
    }
}
