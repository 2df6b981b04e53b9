//! What a checkpoint is: the architecture from its weights or its `config.json`, the rest from flags, `model.json`, diffusers'
//! `scheduler_config.json` or a preset.

mod architecture;
mod describe;
mod diffusers;
mod fields;
mod infer;
mod model_config;
mod model_file;
mod model_json;
mod open_ai;
mod options;
mod preset;
mod scheduler;
mod training_noise;

pub use architecture::{
    Architecture, AttentionOrder, Family, Heads, Level, Middle, Norm, Resampling, Sinusoids,
};
pub use model_config::ModelConfig;
pub use options::{Known, ModelOptions, Source};
pub use training_noise::TrainingNoise;

#[cfg(test)]
pub(crate) use infer::infer;
#[cfg(test)]
pub(crate) use open_ai::OpenAi;
