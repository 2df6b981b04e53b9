//! What weights cannot tell, as a user gives it.

use std::path::PathBuf;

use ddpm_core::{Parameterization, VarianceKind};

use super::architecture::AttentionOrder;

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
