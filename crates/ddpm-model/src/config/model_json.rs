//! The `model.json` that a network's flags make.

use serde_json::{Map, Value};

use super::architecture::Heads;
use super::model_config::ModelConfig;
use super::options::Source;
use super::training_noise::TrainingNoise;
use crate::{Error, Result};

impl ModelConfig {
    /// The `model.json` of this network: what weights cannot tell, with a final newline. A noise schedule without a name stays in the file that
    /// it is from.
    ///
    /// # Errors
    /// [`Error::MissingOptions`] for what nobody has told.
    pub fn model_json(&self) -> Result<String> {
        let missing = self.missing();
        if !missing.is_empty() {
            return Err(Error::MissingOptions(missing));
        }
        let mut entries = Map::new();
        let mut put = |key: &str, value: Value| entries.insert(key.to_owned(), value);
        match self.heads.value {
            Heads::Count { down, up } => {
                put("num_heads", down.into());
                if up != down {
                    put("num_heads_upsample", up.into());
                }
            }
            Heads::Channels(channels) => {
                put("num_head_channels", channels.into());
            }
        }
        if self.attention_order.source != Source::Default {
            put(
                "attention_order",
                self.attention_order.value.to_string().into(),
            );
        }
        if self.image_size.source != Source::Default {
            put("image_size", self.image_size.value.into());
        }
        if let Some(steps) = self.train_steps {
            put("train_steps", steps.value.into());
        }
        if let Some(TrainingNoise::Named(name)) =
            self.noise_schedule.as_ref().map(|noise| &noise.value)
        {
            put("noise_schedule", name.to_string().into());
        }
        if let Some(rescale) = self.rescale_timesteps {
            put("rescale_timesteps", rescale.value.into());
        }
        if let Some(variance) = self.variance {
            put("variance", variance.value.to_string().into());
        }
        put(
            "parameterization",
            self.parameterization.value.to_string().into(),
        );
        let pretty = serde_json::to_string_pretty(&Value::Object(entries));
        // Words and numbers: there is nothing that JSON cannot hold.
        Ok(pretty.unwrap_or_default() + "\n")
    }
}
