//! What a checkpoint is: architecture inferred from its weights, the rest from flags, `model.json` or a preset.

mod architecture;
mod infer;
mod model_config;
mod model_file;
mod options;
mod preset;

pub use architecture::{Architecture, AttentionOrder, Heads};
pub use model_config::{Known, ModelConfig, Source};
pub use options::ModelOptions;
