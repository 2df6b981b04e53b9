//! The complete description of a checkpoint, with the origin of every value.

use std::fmt;

use ddpm_core::{NoiseScheduleName, Parameterization, VarianceKind};
use serde_json::{Map, Value, json};

use super::architecture::{Architecture, AttentionOrder, Heads};
use super::options::ModelOptions;
use super::{infer, model_file, preset};
use crate::checkpoint::Checkpoint;
use crate::{Error, Result};

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

/// Everything known about a checkpoint's network and its diffusion process.
///
/// The network can run with this alone; [`crate::UNetDenoiser::new`] asks for the values of the process.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Inferred from the weights.
    pub architecture: Architecture,
    /// How channels are divided into attention heads.
    pub heads: Known<Heads>,
    /// Order of the rows of `qkv`.
    pub attention_order: Known<AttentionOrder>,
    /// Height and width of an image. By default eight pixels at the lowest resolution: a guess for callers without
    /// images, who should otherwise set [`ModelOptions::image_size`].
    pub image_size: Known<usize>,
    /// Number T of training timesteps.
    pub train_steps: Option<Known<usize>>,
    /// Name of the noise schedule.
    pub noise_schedule: Option<Known<NoiseScheduleName>>,
    /// Whether the network is fed (t - 1) 1000 / T instead of t - 1.
    pub rescale_timesteps: Option<Known<bool>>,
    /// What the network predicts.
    pub parameterization: Known<Parameterization>,
    /// The variance that the checkpoint was made for, if known.
    pub variance: Option<Known<VarianceKind>>,
    /// The released checkpoint that this is by name and shapes.
    pub preset: Option<&'static str>,
}

impl ModelConfig {
    /// Infers the architecture from the weights and completes it from `options`, `model.json` and the presets, in this
    /// order.
    ///
    /// # Errors
    /// [`Error::MissingKey`] or [`Error::Architecture`] if no such network has these weights; [`Error::ModelFile`] or
    /// [`Error::Read`] if the file of options cannot be used; [`Error::MissingOption`] for the number of heads;
    /// [`Error::InvalidOption`] for values that contradict the weights.
    pub fn resolve(checkpoint: &Checkpoint, options: &ModelOptions) -> Result<Self> {
        let architecture = infer::infer(checkpoint.tensors())?;
        let file = model_file::find(checkpoint.path(), options.model_file.as_deref())?;
        let preset = preset::find(checkpoint.path(), &architecture);
        let name = preset.as_ref().map(|(name, _)| *name);
        let layers = Layers(
            [
                Some((Source::Flag, options.clone())),
                file.map(|options| (Source::ModelFile, options)),
                preset.map(|(_, options)| (Source::Preset, options)),
            ]
            .into_iter()
            .flatten()
            .collect(),
        );
        layers.complete(architecture, name)
    }

    /// This configuration with the values of `options` that are given put over it.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] as for [`ModelConfig::resolve`].
    pub(crate) fn with_options(&self, options: &ModelOptions) -> Result<Self> {
        let mut config = self.clone();
        let layers = Layers(vec![(Source::Flag, options.clone())]);
        if let Some(size) = layers.pick(|o| o.image_size) {
            config.image_size = size;
        }
        config.train_steps = layers.pick(|o| o.train_steps).or(config.train_steps);
        config.noise_schedule = layers.noise_schedule()?.or(config.noise_schedule);
        config.rescale_timesteps = layers
            .pick(|o| o.rescale_timesteps)
            .or(config.rescale_timesteps);
        if let Some(parameterization) = layers.pick(|o| o.parameterization) {
            config.parameterization = parameterization;
        }
        config.variance = layers.pick(|o| o.variance).or(config.variance);
        config.check()?;
        Ok(config)
    }

    /// Attention heads of a block with `channels` channels, on the way up or not.
    pub(crate) fn heads_of(&self, channels: usize, up: bool) -> Result<usize> {
        let (key, divisor) = match self.heads.value {
            Heads::Count { up: heads, .. } if up => ("num_heads_upsample", heads),
            Heads::Count { down: heads, .. } => ("num_heads", heads),
            Heads::Channels(per_head) => ("num_head_channels", per_head),
        };
        let quotient = channels.checked_div(divisor).unwrap_or(0);
        if quotient == 0 || quotient * divisor != channels {
            return Err(Error::InvalidOption {
                key,
                detail: format!("{channels} channels cannot be divided by {divisor}"),
            });
        }
        Ok(match self.heads.value {
            Heads::Count { .. } => divisor,
            Heads::Channels(_) => quotient,
        })
    }

    fn check(&self) -> Result<()> {
        let multiple = self.architecture.size_multiple();
        let size = self.image_size.value;
        if size == 0 || !size.is_multiple_of(multiple) {
            return Err(Error::InvalidOption {
                key: "image_size",
                detail: format!(
                    "{size} pixels cannot be halved for every level, expected a multiple of {multiple}"
                ),
            });
        }
        if self.train_steps.is_some_and(|steps| steps.value == 0) {
            return Err(Error::InvalidOption {
                key: "train_steps",
                detail: "0 timesteps, expected at least 1".into(),
            });
        }
        if let Some(variance) = self.variance
            && (variance.value == VarianceKind::Learned) != self.architecture.learns_variance()
        {
            return Err(Error::InvalidOption {
                key: "variance",
                detail: format!(
                    "{} does not fit {} output channels for {} image channels",
                    variance.value, self.architecture.out_channels, self.architecture.in_channels
                ),
            });
        }
        Ok(())
    }

    /// The configuration as the JSON object of `ddpm inspect --json`.
    ///
    /// `architecture` uses the names of improved-diffusion's `UNetModel`; values that are not known are null; `sources`
    /// tells for each value where it came from (`weights`, `flag`, `model.json`, `preset` or `default`).
    pub fn describe(&self) -> Value {
        let a = &self.architecture;
        let (num_heads, num_heads_upsample, num_head_channels) = match self.heads.value {
            Heads::Count { down, up } => (Some(down), Some(up), None),
            Heads::Channels(channels) => (None, None, Some(channels)),
        };
        let architecture = json!({
            "in_channels": a.in_channels,
            "model_channels": a.model_channels,
            "out_channels": a.out_channels,
            "num_res_blocks": a.num_res_blocks,
            "attention_resolutions": a.attention_resolutions,
            "channel_mult": a.channel_mult,
            "conv_resample": a.conv_resample,
            "num_classes": a.num_classes,
            "use_scale_shift_norm": a.use_scale_shift_norm,
            "learn_sigma": a.learns_variance(),
            "num_heads": num_heads,
            "num_heads_upsample": num_heads_upsample,
            "num_head_channels": num_head_channels,
            "attention_order": self.attention_order.value.to_string(),
            "image_size": self.image_size.value,
        });
        let mut sources = Map::new();
        let heads_keys: &[&str] = match self.heads.value {
            Heads::Count { .. } => &["num_heads", "num_heads_upsample"],
            Heads::Channels(_) => &["num_head_channels"],
        };
        for key in [
            "in_channels",
            "model_channels",
            "out_channels",
            "num_res_blocks",
            "attention_resolutions",
            "channel_mult",
            "conv_resample",
            "num_classes",
            "use_scale_shift_norm",
            "learn_sigma",
        ] {
            sources.insert(key.into(), Source::Weights.to_string().into());
        }
        for key in heads_keys {
            sources.insert((*key).into(), self.heads.source.to_string().into());
        }
        for (key, source) in [
            ("attention_order", Some(self.attention_order.source)),
            ("image_size", Some(self.image_size.source)),
            ("T", self.train_steps.map(|known| known.source)),
            (
                "noise_schedule",
                self.noise_schedule.map(|known| known.source),
            ),
            (
                "rescale_timesteps",
                self.rescale_timesteps.map(|known| known.source),
            ),
            ("parameterization", Some(self.parameterization.source)),
            ("variance", self.variance.map(|known| known.source)),
        ] {
            if let Some(source) = source {
                sources.insert(key.into(), source.to_string().into());
            }
        }
        json!({
            "architecture": architecture,
            "T": self.train_steps.map(|known| known.value),
            "noise_schedule": self.noise_schedule.map(|known| known.value.to_string()),
            "rescale_timesteps": self.rescale_timesteps.map(|known| known.value),
            "parameterization": self.parameterization.value.to_string(),
            "variance": self.variance.map(|known| known.value.to_string()),
            "preset": self.preset.map(|name| format!("{name} (unverified)")),
            "sources": sources,
        })
    }
}

/// Options by origin, strongest first.
struct Layers(Vec<(Source, ModelOptions)>);

impl Layers {
    /// The first layer's value of a field.
    fn pick<T>(&self, field: impl Fn(&ModelOptions) -> Option<T>) -> Option<Known<T>> {
        self.0.iter().find_map(|(source, options)| {
            field(options).map(|value| Known {
                value,
                source: *source,
            })
        })
    }

    fn pick_or<T>(&self, field: impl Fn(&ModelOptions) -> Option<T>, default: T) -> Known<T> {
        self.pick(field).unwrap_or(Known {
            value: default,
            source: Source::Default,
        })
    }

    fn complete(
        &self,
        architecture: Architecture,
        preset: Option<&'static str>,
    ) -> Result<ModelConfig> {
        let variance = if architecture.learns_variance() {
            self.pick(|o| o.variance).or(Some(Known {
                value: VarianceKind::Learned,
                source: Source::Weights,
            }))
        } else {
            self.pick(|o| o.variance)
        };
        let config = ModelConfig {
            heads: self.heads()?,
            attention_order: self.pick_or(|o| o.attention_order, AttentionOrder::Legacy),
            image_size: self.pick_or(|o| o.image_size, 8 * architecture.size_multiple()),
            train_steps: self.pick(|o| o.train_steps),
            noise_schedule: self.noise_schedule()?,
            rescale_timesteps: self.pick(|o| o.rescale_timesteps),
            parameterization: self.pick_or(|o| o.parameterization, Parameterization::Epsilon),
            variance,
            preset,
            architecture,
        };
        config.check()?;
        Ok(config)
    }

    /// The strongest layer that says anything about heads decides; a number of heads on the way up may come from
    /// another one.
    fn heads(&self) -> Result<Known<Heads>> {
        let conflict = self
            .0
            .iter()
            .any(|(_, o)| o.num_heads.is_some() && o.num_head_channels.is_some());
        if conflict {
            return Err(Error::InvalidOption {
                key: "num_head_channels",
                detail: "it cannot be given together with num_heads".into(),
            });
        }
        let up = self.pick(|o| o.num_heads_upsample);
        self.pick(|o| {
            let count = o.num_heads.map(|down| Heads::Count {
                down,
                up: up.map_or(down, |up| up.value),
            });
            count.or(o.num_head_channels.map(Heads::Channels))
        })
        .ok_or(Error::MissingOption {
            what: "the number of attention heads",
            flag: "--num-heads N",
            key: "num_heads",
        })
    }

    fn noise_schedule(&self) -> Result<Option<Known<NoiseScheduleName>>> {
        self.pick(|o| o.noise_schedule.clone())
            .map(|known| {
                let value = known.value.parse().map_err(|error| Error::InvalidOption {
                    key: "noise_schedule",
                    detail: format!("{error}"),
                })?;
                Ok(Known {
                    value,
                    source: known.source,
                })
            })
            .transpose()
    }
}
