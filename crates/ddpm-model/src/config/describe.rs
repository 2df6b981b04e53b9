//! A configuration as the JSON object of `ddpm inspect --json`.

use serde_json::{Map, Value, json};

use super::architecture::{Architecture, Family, Heads, Resampling};
use super::model_config::ModelConfig;
use super::options::{Known, Source};

impl ModelConfig {
    /// The configuration as the JSON object of `ddpm inspect --json`.
    ///
    /// `architecture` uses the names of the project that `family` tells, OpenAI's `UNetModel` or diffusers' `UNet2DModel`;
    /// values that are not known are null; `sources` tells for each value where it came from (`weights`, `flag`,
    /// `model.json`, `config.json`, `scheduler_config.json`, `preset` or `default`).
    pub fn describe(&self) -> Value {
        let mut sources = Map::new();
        let mut told = |key: &str, source: Option<Source>| {
            let source = source.map(|source| (key.to_owned(), source.to_string().into()));
            sources.extend(source);
        };
        let (mut architecture, source) = match &self.config_entries {
            Some(entries) => (diffusers(&self.architecture, entries), Source::Config),
            None => (open_ai(&self.architecture), Source::Weights),
        };
        for key in architecture.keys() {
            told(key, Some(source));
        }
        for (key, value) in self.heads() {
            told(key, (!value.is_null()).then_some(self.heads.source));
            architecture.insert(key.into(), value);
        }
        let order = self.attention_order;
        architecture.insert("attention_order".into(), order.value.to_string().into());
        architecture.insert("image_size".into(), self.image_size.value.into());
        let noise_schedule = self.noise_schedule.as_ref();
        told("attention_order", Some(order.source));
        told("image_size", Some(self.image_size.source));
        told("parameterization", Some(self.parameterization.source));
        told("T", self.train_steps.map(of));
        told("noise_schedule", noise_schedule.map(|known| known.source));
        told("rescale_timesteps", self.rescale_timesteps.map(of));
        told("variance", self.variance.map(of));
        told("clip_denoised", self.clip_denoised.map(of));
        json!({
            "family": self.architecture.family.to_string(),
            "architecture": architecture,
            "T": self.train_steps.map(|known| known.value),
            "noise_schedule": noise_schedule.map(|known| known.value.to_string()),
            "rescale_timesteps": self.rescale_timesteps.map(|known| known.value),
            "parameterization": self.parameterization.value.to_string(),
            "variance": self.variance.map(|known| known.value.to_string()),
            "clip_denoised": self.clip_denoised.map(|known| known.value),
            "preset": self.preset.map(|name| format!("{name} (unverified)")),
            "sources": sources,
        })
    }

    /// The three ways to give heads; diffusers' own entry says the same again.
    fn heads(&self) -> [(&'static str, Value); 3] {
        let (down, up, channels) = match self.heads.value {
            Heads::Count { down, up } => (Some(down), Some(up), None),
            Heads::Channels(channels) => (None, None, Some(channels)),
        };
        // One head of all channels is how a missing attention_head_dim is understood.
        [
            ("num_heads", down.into()),
            ("num_heads_upsample", up.into()),
            ("num_head_channels", channels.into()),
        ]
    }
}

fn of<T>(known: Known<T>) -> Source {
    known.source
}

/// Under the names of OpenAI's `UNetModel`.
fn open_ai(a: &Architecture) -> Map<String, Value> {
    let model_channels = a.sinusoids.count;
    let resampling = a.levels.first().map(|level| level.downsample);
    let multiples: Vec<Value> = a
        .levels
        .iter()
        .map(|level| match level.channels.checked_rem(model_channels) {
            Some(0) => (level.channels / model_channels).into(),
            _ => (level.channels as f64 / model_channels as f64).into(),
        })
        .collect();
    let attention: Vec<usize> = (0..a.levels.len())
        .filter(|&level| a.levels[level].attention_down)
        .map(|level| 1 << level)
        .collect();
    entries([
        ("in_channels", a.in_channels.into()),
        ("model_channels", model_channels.into()),
        ("out_channels", a.out_channels.into()),
        ("num_res_blocks", a.num_res_blocks.into()),
        ("attention_resolutions", attention.into()),
        ("channel_mult", multiples.into()),
        (
            "conv_resample",
            (resampling != Some(Resampling::Plain)).into(),
        ),
        (
            "resblock_updown",
            (resampling == Some(Resampling::Residual)).into(),
        ),
        ("num_classes", a.num_classes.into()),
        ("use_scale_shift_norm", a.use_scale_shift_norm.into()),
        ("learn_sigma", a.learns_variance().into()),
    ])
}

/// The entries of `config.json`, and what callers ask every network.
fn diffusers(a: &Architecture, config: &Map<String, Value>) -> Map<String, Value> {
    debug_assert_eq!(a.family, Family::Diffusers);
    let mut description: Map<String, Value> = config
        .iter()
        .filter(|(key, value)| !key.starts_with('_') && !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    description.extend(entries([
        ("in_channels", a.in_channels.into()),
        ("out_channels", a.out_channels.into()),
        ("num_classes", a.num_classes.into()),
        ("learn_sigma", a.learns_variance().into()),
    ]));
    description
}

fn entries<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
