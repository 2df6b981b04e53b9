//! Paths and what they are made of: `ddpm solve`, `transitions`, `trajectory` and `export`.

use ddpm_core::{CoefficientKind, MeanKind, Sampler};
use serde::{Deserialize, Serialize};

use super::numbers;
use crate::export::Export;
use crate::trajectory_origin::TrajectoryKind;

/// What `ddpm solve` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Solve {
    /// T.
    #[serde(rename = "T")]
    pub train_steps: usize,
    /// The solver that was used: `blocked` or `monge`.
    pub method: String,
    /// The smallest cost of K = 1..=T steps in the table's unit, `None` where no path exists.
    pub costs: Vec<Option<f64>>,
    /// The budgets asked for that are possible.
    pub budgets: Vec<SolvedBudget>,
}

/// The optimum of one budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SolvedBudget {
    /// K.
    pub steps: usize,
    /// In the table's unit.
    pub cost: f64,
    /// `[0, .., T]`; as other tools count and without the clean image under `--zero-based`.
    pub path: Vec<usize>,
}

/// What `ddpm transitions` prints: the constants of a respaced chain, one entry per step of the path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transitions {
    /// T.
    #[serde(rename = "T")]
    pub train_steps: usize,
    /// The noise schedule, `custom` for one without a name.
    pub noise_schedule: String,
    /// The path, as the command was told to count.
    pub path: Vec<usize>,
    /// See [`RespacedChain::betas`](ddpm_core::RespacedChain::betas), here and below.
    #[serde(deserialize_with = "numbers")]
    pub betas: Vec<f64>,
    /// alpha_bar of the path's timesteps.
    #[serde(deserialize_with = "numbers")]
    pub alphas_cumprod: Vec<f64>,
    /// Variances of the posterior.
    #[serde(deserialize_with = "numbers")]
    pub posterior_variance: Vec<f64>,
    /// Their logarithms, the first replaced by the decoder's.
    #[serde(deserialize_with = "numbers")]
    pub posterior_log_variance_clipped: Vec<f64>,
    /// Weights of x_0 in the posterior's mean.
    #[serde(deserialize_with = "numbers")]
    pub posterior_mean_coef1: Vec<f64>,
    /// Weights of x_t in the posterior's mean.
    #[serde(deserialize_with = "numbers")]
    pub posterior_mean_coef2: Vec<f64>,
}

/// What `ddpm trajectory` prints of the file that it wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trajectory {
    /// The file.
    pub out: String,
    /// What the states follow.
    pub process: TrajectoryKind,
    /// The number of images.
    pub count: usize,
    /// The timesteps of the reference grid, with 0.
    pub nodes: Vec<usize>,
    /// Whether estimates of x_0 were clipped.
    pub clip_denoised: bool,
    /// Whether they were corrected.
    #[serde(default = "super::likelihood::network_mean")]
    pub mean: MeanKind,
    /// Network evaluations of one image.
    pub evaluations: u64,
    /// The schedules that were tried.
    pub trials: Vec<Trial>,
}

/// A schedule that was run from the starts of the reference trajectories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The sampler.
    pub sampler: Sampler,
    /// K.
    pub steps: usize,
    /// The root mean square distance from the reference's ends, per dimension.
    #[serde(deserialize_with = "super::number")]
    pub distance: f64,
    /// `[0, .., T]`.
    pub path: Vec<usize>,
    /// Where the coefficients of its steps come from.
    #[serde(default)]
    pub coefficients: CoefficientKind,
}

/// What `ddpm export` prints: the lists themselves, and the file that they were written to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// The lists, without the bytes of the file.
    #[serde(flatten)]
    pub export: Export,
    /// The file; `None` where none was written.
    pub out: Option<String>,
}
