//! Options by origin, strongest first.

use ddpm_core::{Parameterization, VarianceKind};

use super::architecture::{Architecture, AttentionOrder, Heads};
use super::model_config::{Known, ModelConfig, Source};
use super::options::ModelOptions;
use super::training_noise::TrainingNoise;
use crate::{Error, Result};

/// Options by origin, strongest first.
pub(super) struct Layers(pub(super) Vec<(Source, ModelOptions)>);

impl Layers {
    /// The first layer's value of a field.
    pub(super) fn pick<T>(&self, field: impl Fn(&ModelOptions) -> Option<T>) -> Option<Known<T>> {
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

    /// The configuration of a network; `noise` is weaker than every layer.
    pub(super) fn complete(
        &self,
        architecture: Architecture,
        noise: Option<Known<TrainingNoise>>,
    ) -> Result<ModelConfig> {
        let variance = self.pick(|o| o.variance).or_else(|| {
            architecture.learns_variance().then_some(Known {
                value: VarianceKind::Learned,
                source: Source::Weights,
            })
        });
        let config = ModelConfig {
            heads: self.heads()?,
            attention_order: self.pick_or(|o| o.attention_order, AttentionOrder::Legacy),
            image_size: self.pick_or(|o| o.image_size, 8 * architecture.size_multiple()),
            train_steps: self.pick(|o| o.train_steps),
            noise_schedule: self.noise_schedule()?.or(noise),
            rescale_timesteps: self.pick(|o| o.rescale_timesteps),
            parameterization: self.pick_or(|o| o.parameterization, Parameterization::Epsilon),
            variance,
            clip_denoised: None,
            preset: None,
            config_entries: None,
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

    /// The schedule that some layer names.
    pub(super) fn noise_schedule(&self) -> Result<Option<Known<TrainingNoise>>> {
        self.pick(|o| o.noise_schedule.clone())
            .map(|known| {
                let name = known.value.parse().map_err(|error| Error::InvalidOption {
                    key: "noise_schedule",
                    detail: format!("{error}"),
                })?;
                Ok(Known {
                    value: TrainingNoise::Named(name),
                    source: known.source,
                })
            })
            .transpose()
    }
}
