//! Networks themselves: `ddpm inspect`, `predict` and `bench`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What `ddpm inspect` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspect {
    /// SHA-256 of the checkpoint's file.
    #[serde(rename = "sha256")]
    pub checkpoint_sha256: String,
    /// Where in the file the weights lie.
    pub state_dict: String,
    /// The number of parameters.
    pub parameters: usize,
    /// The network and its process.
    #[serde(flatten)]
    pub config: NetworkConfig,
}

/// What is known of a network and its process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Whose network it is, and which.
    pub family: String,
    /// The options of the architecture under the names of the family's project.
    pub architecture: Map<String, Value>,
    /// T.
    #[serde(rename = "T")]
    pub train_steps: Option<usize>,
    /// The noise schedule.
    pub noise_schedule: Option<String>,
    /// Whether the network is fed t * 1000 / T.
    pub rescale_timesteps: Option<bool>,
    /// What it predicts.
    pub parameterization: String,
    /// The variance that it was trained for.
    pub variance: Option<String>,
    /// Whether its samplers clip estimates of x_0.
    pub clip_denoised: Option<bool>,
    /// The published checkpoint that it looks like.
    pub preset: Option<String>,
    /// Where each value is known from: `weights`, `flag`, `model.json`, `config.json`, `scheduler_config.json`, `preset` or `default`.
    pub sources: Map<String, Value>,
}

/// What `ddpm predict` prints of the file that it wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predict {
    /// The file.
    pub output: String,
    /// Its shape, the batch first.
    pub shape: Vec<usize>,
    /// The root mean square of the output.
    #[serde(deserialize_with = "super::number")]
    pub rms: f64,
}

/// What `ddpm bench` prints of the forward pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// The median over rounds.
    pub ms_per_image: f64,
    /// The fastest round.
    pub ms_per_image_least: f64,
    /// The slowest round.
    pub ms_per_image_most: f64,
    /// Batches that were timed.
    pub rounds: usize,
    /// Images in a batch.
    pub batch: usize,
    /// Height and width.
    pub image_size: usize,
    /// `f32` or `bf16`.
    pub precision: String,
    /// `cpu`, or the name of an accelerator.
    pub device: String,
    /// The instructions that were used, where we chose them.
    pub isa: Option<String>,
    /// Threads of the processor.
    pub threads: usize,
}
