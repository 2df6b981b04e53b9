//! The complete description of a checkpoint, with the origin of every value.

use std::path::PathBuf;

use ddpm_core::{Parameterization, VarianceKind};
use serde_json::{Map, Value};

use super::architecture::{Architecture, AttentionOrder, Heads};
use super::options::{Known, Layers, ModelOptions, Source};
use super::training_noise::TrainingNoise;
use super::{diffusers, infer, model_file, preset, scheduler};
use crate::checkpoint::Checkpoint;
use crate::{Error, MissingOption, Result};

/// Longest side of an image: far beyond any diffusion model's.
const LONGEST_SIDE: usize = 16_384;

/// Everything known about a checkpoint's network and its diffusion process.
///
/// The network can run with this alone; [`crate::UNetDenoiser::new`] asks for the values of the process.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Inferred from the weights, or read from diffusers' `config.json`.
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
    /// The noise schedule.
    pub noise_schedule: Option<Known<TrainingNoise>>,
    /// Whether the network is fed (t - 1) 1000 / T instead of t - 1.
    pub rescale_timesteps: Option<Known<bool>>,
    /// What the network predicts.
    pub parameterization: Known<Parameterization>,
    /// The variance that the checkpoint was made for, if known.
    pub variance: Option<Known<VarianceKind>>,
    /// Whether predicted images are to be clamped to [-1, 1], if known.
    pub clip_denoised: Option<Known<bool>>,
    /// The released checkpoint that this is by name and shapes.
    pub preset: Option<&'static str>,
    /// A file that tells of a process which is not read, and why: of no matter where the process is told otherwise.
    pub(crate) unread_process: Option<(PathBuf, String)>,
    /// What was read from diffusers' `config.json`.
    pub(crate) config_entries: Option<Map<String, Value>>,
}

impl ModelConfig {
    /// Infers the architecture from the weights, or reads it from diffusers' `config.json`, and completes it from `options`,
    /// `model.json`, diffusers' files and the presets, in this order.
    ///
    /// # Errors
    /// [`Error::MissingKey`] or [`Error::Architecture`] if no such network has these weights; [`Error::ModelFile`] or
    /// [`Error::File`] if a JSON file cannot be used; [`Error::MissingOptions`] for the number of heads;
    /// [`Error::InvalidOption`] for values that contradict the weights.
    pub fn resolve(checkpoint: &Checkpoint, options: &ModelOptions) -> Result<Self> {
        let file = model_file::find(checkpoint.path(), options.model_file.as_deref())?;
        let mut layers = vec![(Source::Flag, options.clone())];
        layers.extend(file.map(|options| (Source::ModelFile, options)));
        if let Some(files) = checkpoint.diffusers() {
            let network = diffusers::read(&files.config, checkpoint.tensors())?;
            layers.push((Source::Config, network.options));
            let (mut noise, mut clip_denoised, mut unread_process) = (None, None, None);
            if let Some(file) = &files.scheduler {
                let source = Source::Scheduler;
                match scheduler::read(file)? {
                    Ok(process) => {
                        layers.push((source, process.options));
                        let value = process.noise;
                        noise = Some(Known { value, source });
                        let value = process.clip_denoised;
                        clip_denoised = Some(Known { value, source });
                    }
                    Err(Error::ModelFile { path, detail }) => unread_process = Some((path, detail)),
                    Err(other) => return Err(other),
                }
            }
            let config = Self::complete(&Layers(layers), network.architecture, noise)?;
            return Ok(Self {
                clip_denoised,
                unread_process,
                config_entries: Some(network.entries),
                ..config
            });
        }
        if checkpoint.is_of_diffusers() {
            return Err(Error::Architecture(
                "they have the names of diffusers' UNet2DModel, whose architecture is in its config.json; expected that file beside the weights".into(),
            ));
        }
        let architecture = infer::infer(checkpoint.tensors())?;
        let preset = preset::find(checkpoint.path(), &architecture);
        let name = preset.as_ref().map(|(name, _)| *name);
        layers.extend(preset.map(|(_, options)| (Source::Preset, options)));
        let config = Self::complete(&Layers(layers), architecture, None)?;
        Ok(Self {
            preset: name,
            ..config
        })
    }

    /// The configuration of a network; `noise` is weaker than all `layers`.
    fn complete(
        layers: &Layers,
        architecture: Architecture,
        noise: Option<Known<TrainingNoise>>,
    ) -> Result<Self> {
        let variance = layers.pick(|o| o.variance).or_else(|| {
            architecture.learns_variance().then_some(Known {
                value: VarianceKind::Learned,
                source: Source::Weights,
            })
        });
        let config = Self {
            heads: layers.heads()?,
            attention_order: layers.pick_or(|o| o.attention_order, AttentionOrder::Legacy),
            image_size: layers.pick_or(|o| o.image_size, 8 * architecture.size_multiple()),
            train_steps: layers.pick(|o| o.train_steps),
            noise_schedule: layers.noise_schedule()?.or(noise),
            rescale_timesteps: layers.pick(|o| o.rescale_timesteps),
            parameterization: layers.pick_or(|o| o.parameterization, Parameterization::Epsilon),
            variance,
            clip_denoised: None,
            unread_process: None,
            preset: None,
            config_entries: None,
            architecture,
        };
        config.check()?;
        Ok(config)
    }

    /// What the process of the network still needs: T, the noise schedule, whether timesteps are rescaled (not where T = 1000, which
    /// rescaling leaves alone), and what the network predicts, where a file tells of a process that is not read.
    pub fn missing(&self) -> Vec<MissingOption> {
        let needed = |flag, what, key| MissingOption { what, flag, key };
        let mut missing = Vec::new();
        if self.train_steps.is_none() {
            let what = "the number of training timesteps";
            missing.push(needed("--train-steps T", what, "train_steps"));
        }
        if self.noise_schedule.is_none() {
            let what = "the noise schedule";
            missing.push(needed("--noise-schedule NAME", what, "noise_schedule"));
        }
        let unscaled = self.train_steps.is_some_and(|steps| steps.value == 1000);
        if self.rescale_timesteps.is_none() && !unscaled {
            let what = "whether the network is fed rescaled timesteps";
            missing.push(needed(
                "--rescale-timesteps true|false",
                what,
                "rescale_timesteps",
            ));
        }
        if self.unread_process.is_some() && self.parameterization.source == Source::Default {
            let what = "what the network predicts";
            missing.push(needed("--parameterization P", what, "parameterization"));
        }
        missing
    }

    /// Why the process that a file tells of is not read, with the file's name; `None` where it is, or where none tells of one.
    pub fn unread_process(&self) -> Option<String> {
        let (path, detail) = self.unread_process.as_ref()?;
        Some(format!("{}: {detail}", path.display()))
    }

    /// A network of `architecture` without a file.
    #[cfg(test)]
    pub(crate) fn of(architecture: Architecture, options: &ModelOptions) -> Result<Self> {
        let layers = Layers(vec![(Source::Flag, options.clone())]);
        Self::complete(&layers, architecture, None)
    }

    /// This configuration with the values of `options` that are given put over it.
    pub(crate) fn with_options(&self, options: &ModelOptions) -> Result<Self> {
        let layers = Layers(vec![(Source::Flag, options.clone())]);
        let old = self.clone();
        let rescaled = layers.pick(|o| o.rescale_timesteps);
        let predicts = layers.pick(|o| o.parameterization);
        let config = Self {
            image_size: layers.pick(|o| o.image_size).unwrap_or(old.image_size),
            train_steps: layers.pick(|o| o.train_steps).or(old.train_steps),
            noise_schedule: layers.noise_schedule()?.or(old.noise_schedule),
            rescale_timesteps: rescaled.or(old.rescale_timesteps),
            parameterization: predicts.unwrap_or(old.parameterization),
            variance: layers.pick(|o| o.variance).or(old.variance),
            ..old
        };
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
            let detail = format!("{channels} channels cannot be divided by {divisor}");
            return Err(Error::option(key, detail));
        }
        Ok(match self.heads.value {
            Heads::Count { .. } => divisor,
            Heads::Channels(_) => quotient,
        })
    }

    fn check(&self) -> Result<()> {
        let multiple = self.architecture.size_multiple();
        let size = self.image_size.value;
        if size > LONGEST_SIDE {
            let detail = format!("{size} pixels, expected at most {LONGEST_SIDE}");
            return Err(Error::option("image_size", detail));
        }
        if size == 0 || !size.is_multiple_of(multiple) {
            let detail = format!(
                "{size} pixels cannot be halved for every level, expected a multiple of {multiple}"
            );
            return Err(Error::option("image_size", detail));
        }
        if self.train_steps.is_some_and(|steps| steps.value == 0) {
            let detail = "0 timesteps, expected at least 1";
            return Err(Error::option("train_steps", detail));
        }
        if let (Some(steps), Some(noise)) = (self.train_steps, &self.noise_schedule)
            && let TrainingNoise::Custom { schedule, .. } = &noise.value
            && steps.value != schedule.train_steps()
        {
            let detail = format!(
                "{} timesteps, expected the {} of the noise schedule in {}; give noise_schedule too to replace it",
                steps.value,
                schedule.train_steps(),
                noise.source
            );
            return Err(Error::option("train_steps", detail));
        }
        if let Some(variance) = self.variance
            && (variance.value == VarianceKind::Learned) != self.architecture.learns_variance()
        {
            let detail = format!(
                "{} does not fit {} output channels for {} image channels",
                variance.value, self.architecture.out_channels, self.architecture.in_channels
            );
            return Err(Error::option("variance", detail));
        }
        Ok(())
    }
}
