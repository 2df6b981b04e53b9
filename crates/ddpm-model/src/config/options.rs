//! What weights cannot tell, as a user or a file gives it, and which of several origins decides.

use std::fmt;
use std::path::PathBuf;

use ddpm_core::{Parameterization, VarianceKind};

use super::architecture::{AttentionOrder, Heads};
use super::training_noise::TrainingNoise;
use crate::{Error, MissingOption, Result};

/// Values that override what is found beside the checkpoint; `None` everywhere by default.
///
/// Each field is the command-line flag of the same name (`--num-heads` and so on) and, in snake_case, a key of
/// `model.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelOptions {
    /// Attention heads; not together with `num_head_channels`.
    pub num_heads: Option<usize>,
    /// Channels per attention head; not together with `num_heads`.
    pub num_head_channels: Option<usize>,
    /// Attention heads on the way up, if not `num_heads`.
    pub num_heads_upsample: Option<usize>,
    /// Order of the rows of `qkv`; legacy if not given.
    pub attention_order: Option<AttentionOrder>,
    /// Height and width of an image in pixels. The network takes any size; callers that know their images set it.
    pub image_size: Option<usize>,
    /// Number T of training timesteps.
    pub train_steps: Option<usize>,
    /// Name of the noise schedule, see `ddpm_core::NoiseScheduleName`.
    pub noise_schedule: Option<String>,
    /// Whether the network is fed (t - 1) 1000 / T instead of t - 1.
    pub rescale_timesteps: Option<bool>,
    /// What the network predicts; epsilon if not given.
    pub parameterization: Option<Parameterization>,
    /// The variance that the checkpoint was made for; checked against the output channels.
    pub variance: Option<VarianceKind>,
    /// A JSON file to read instead of searching for one beside the checkpoint (`--model FILE`).
    pub model_file: Option<PathBuf>,
}

impl ModelOptions {
    /// The same with one head, which divides any number of channels: to find out what else of a network is known where nobody gave its heads.
    pub fn with_any_heads(&self) -> Self {
        Self {
            num_heads: Some(1),
            ..self.clone()
        }
    }
}

/// Where a value came from, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Read off names and shapes.
    Weights,
    /// Given by the caller.
    Flag,
    /// Read from `model.json`.
    ModelFile,
    /// Read from diffusers' `config.json`, or its default there.
    Config,
    /// Read from diffusers' `scheduler_config.json`, or its default there.
    Scheduler,
    /// A released checkpoint recognised by name and shapes; unverified.
    Preset,
    /// Nobody said so: the convention of improved-diffusion.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights",
            Self::Flag => "flag",
            Self::ModelFile => "model.json",
            Self::Config => "config.json",
            Self::Scheduler => "scheduler_config.json",
            Self::Preset => "preset",
            Self::Default => "default",
        })
    }
}

/// A value and its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<T> {
    /// The value.
    pub value: T,
    /// Who said so.
    pub source: Source,
}

/// What only people know of a network's attention.
const HEADS: MissingOption = MissingOption {
    what: "the number of attention heads",
    flag: "--num-heads N",
    key: "num_heads",
};

/// Options by origin, strongest first.
pub(super) struct Layers(pub(super) Vec<(Source, ModelOptions)>);

impl Layers {
    /// The first layer's value of a field.
    pub(super) fn pick<T>(&self, field: impl Fn(&ModelOptions) -> Option<T>) -> Option<Known<T>> {
        self.0
            .iter()
            .find_map(|&(source, ref options)| field(options).map(|value| Known { value, source }))
    }

    pub(super) fn pick_or<T>(
        &self,
        field: impl Fn(&ModelOptions) -> Option<T>,
        default: T,
    ) -> Known<T> {
        let (value, source) = (default, Source::Default);
        self.pick(field).unwrap_or(Known { value, source })
    }

    /// The strongest layer that says anything about heads decides; a number of heads on the way up may come from
    /// another one.
    pub(super) fn heads(&self) -> Result<Known<Heads>> {
        let both = |o: &ModelOptions| o.num_heads.is_some() && o.num_head_channels.is_some();
        if self.0.iter().any(|(_, options)| both(options)) {
            let detail = "it cannot be given together with num_heads";
            return Err(Error::option("num_head_channels", detail));
        }
        let up = self.pick(|o| o.num_heads_upsample);
        self.pick(|o| {
            let count = o.num_heads.map(|down| Heads::Count {
                down,
                up: up.map_or(down, |up| up.value),
            });
            count.or(o.num_head_channels.map(Heads::Channels))
        })
        .ok_or_else(|| Error::MissingOptions(vec![HEADS]))
    }

    /// The schedule that some layer names.
    pub(super) fn noise_schedule(&self) -> Result<Option<Known<TrainingNoise>>> {
        let Some(Known { value, source }) = self.pick(|o| o.noise_schedule.clone()) else {
            return Ok(None);
        };
        let name = value.parse().map_err(|error: ddpm_core::Error| {
            Error::option("noise_schedule", error.to_string())
        })?;
        let value = TrainingNoise::Named(name);
        Ok(Some(Known { value, source }))
    }
}
