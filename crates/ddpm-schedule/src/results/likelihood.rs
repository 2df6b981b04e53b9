//! Bits per dimension and the profiles that they come from: `ddpm profile`, `merge`, `table` and `bpd`.

use ddpm_core::{DecoderKind, MeanKind, VarianceKind};
use serde::{Deserialize, Serialize};

use super::{number, numbers, some_numbers};

/// What `ddpm profile` prints of the file that it wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The file.
    pub out: String,
    /// The image set.
    pub data_name: String,
    /// `train` or `test`.
    pub split: String,
    /// Whether the images stand in for a set that could not be had.
    pub stand_in: bool,
    /// Images in the file.
    pub images: u64,
    /// Images of the whole run, all shards together.
    pub total_images: u64,
    /// The number of timesteps evaluated.
    pub timesteps: usize,
    /// Network evaluations: images times timesteps.
    pub evaluations: u64,
    /// Blocks of images in the file.
    pub blocks: usize,
    /// Blocks of the whole run.
    pub total_blocks: u64,
    /// The blocks that other shards hold.
    pub missing_blocks: Vec<u64>,
    /// Whether estimates of x_0 were clipped.
    pub clip_denoised: bool,
    /// `f32` or `bf16`.
    pub precision: String,
    /// Seed of the noise and of the choice of images.
    pub seed: u64,
}

/// What `ddpm merge` prints of the file that it wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// The file.
    pub out: String,
    /// Images in the file.
    pub images: u64,
    /// Blocks of images in the file.
    pub blocks: usize,
    /// Blocks of the whole run.
    pub total_blocks: u64,
    /// The blocks that are still missing.
    pub missing_blocks: Vec<u64>,
}

/// What `ddpm table` prints: the paper's Table 3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// T.
    #[serde(rename = "T")]
    pub train_steps: usize,
    /// Whether estimates of x_0 were clipped.
    pub clip_denoised: bool,
    /// What paths, analytic variances and optimal decoders were chosen on.
    pub chosen_on: ScoredImages,
    /// What the rows were scored on.
    pub scored_on: ScoredImages,
    /// The cells, variance by variance, budget by budget.
    pub rows: Vec<TableRow>,
}

/// The images of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoredImages {
    /// The image set.
    pub data_name: String,
    /// `train` or `test`.
    pub split: String,
    /// Whether the images stand in for a set that could not be had.
    pub stand_in: bool,
    /// The number of images.
    pub images: u64,
    /// The number of timesteps evaluated.
    pub timesteps: usize,
}

/// What tables had before means could be calibrated.
pub(super) fn network_mean() -> MeanKind {
    MeanKind::Network
}

/// One cell of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRow {
    /// `even`, `quadratic`, `dp` (optimal), `dp-free` (the end chosen too), `all` (every timestep) or `path` (given).
    pub stride: String,
    /// The variance of the reverse steps.
    pub variance: VarianceKind,
    /// Their mean.
    #[serde(default = "network_mean")]
    pub mean: MeanKind,
    /// The decoder convention asked for.
    pub decoder: DecoderKind,
    /// The one that this row is scored with, see [`DecoderKind::for_steps`].
    pub scored_decoder: DecoderKind,
    /// K, the number of network evaluations.
    pub steps: usize,
    /// Bits per dimension on the test profile, prior included.
    #[serde(deserialize_with = "number")]
    pub bpd: f64,
    /// Its standard error (blocks of the test profile, jackknife); NaN if there are fewer than two blocks.
    #[serde(rename = "stderr", deserialize_with = "number")]
    pub standard_error: f64,
    /// Bits per dimension on the train profile, prior included: for optimised paths, a biased number.
    #[serde(deserialize_with = "number")]
    pub train_bpd: f64,
    /// bpd of the `dp` row of the same variance and budget minus this row's; `None` for `dp` and `all`.
    pub dp_minus_this: Option<PairedDifference>,
    /// The path, with its leading 0; as other tools count and without the clean image under `--zero-based`.
    pub path: Vec<usize>,
}

impl TableRow {
    /// Variance and mean in a few words: `analytic`, `spectral + mean`.
    pub fn kernel(&self) -> String {
        kernel(self.variance, self.mean)
    }
}

fn kernel(variance: VarianceKind, mean: MeanKind) -> String {
    match mean {
        MeanKind::Network => variance.to_string(),
        MeanKind::Calibrated => format!("{variance} + mean"),
    }
}

/// A difference of bits per dimension, paired over blocks of images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// The difference.
    #[serde(deserialize_with = "number")]
    pub bpd: f64,
    /// Its standard error; NaN if there are fewer than two blocks.
    #[serde(rename = "stderr", deserialize_with = "number")]
    pub standard_error: f64,
}

/// What `ddpm bpd` prints: one path, scored by running the network along it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BitsPerDim {
    /// T.
    #[serde(rename = "T")]
    pub train_steps: usize,
    /// The noise schedule, `custom` for one without a name.
    pub noise_schedule: String,
    /// The path, as the command was told to count.
    pub path: Vec<usize>,
    /// The variance of the reverse steps.
    pub variance: VarianceKind,
    /// Their mean.
    #[serde(default = "network_mean")]
    pub mean: MeanKind,
    /// The decoder convention asked for.
    pub decoder: DecoderKind,
    /// The one that was used.
    pub scored_decoder: DecoderKind,
    /// Whether estimates of x_0 were clipped.
    pub clip_denoised: bool,
    /// `f32` or `bf16`.
    pub precision: String,
    /// The image set.
    pub data_name: String,
    /// Whether the images stand in for a set that could not be had.
    pub stand_in: bool,
    /// Indices of the images in their set: the order of all lists per image.
    pub images: Vec<usize>,
    /// The edges of the path, or those asked for.
    pub terms: Vec<Term>,
    /// The prior term per image.
    #[serde(deserialize_with = "numbers")]
    pub prior_bpd: Vec<f64>,
    /// Everything per image; `None` with `--terms`.
    #[serde(deserialize_with = "some_numbers")]
    pub total_bpd: Option<Vec<f64>>,
    /// The mean of `total_bpd`; `None` with `--terms`, and where an image has no finite one.
    #[serde(default)]
    pub bpd: Option<f64>,
    /// Its standard error over images; `None` of one image.
    #[serde(default, rename = "stderr")]
    pub standard_error: Option<f64>,
}

impl BitsPerDim {
    /// The same with the mean and the standard error of its total.
    pub fn with_mean(mut self) -> Self {
        let found = self.total_bpd.as_deref().map(mean_and_error);
        let finite = |x: &f64| x.is_finite();
        self.bpd = found.map(|(mean, _)| mean).filter(finite);
        self.standard_error = found.and_then(|(_, error)| error).filter(finite);
        self
    }

    /// Variance and mean in a few words, as [`TableRow::kernel`] has them.
    pub fn kernel(&self) -> String {
        kernel(self.variance, self.mean)
    }
}

/// The mean of numbers of images and its standard error, which one image has none of.
pub fn mean_and_error(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let spread: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    let error = (values.len() > 1).then(|| (spread / (n - 1.0) / n).sqrt());
    (mean, error)
}

/// The term of one edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// Where the edge starts; -1 is the clean image under `--zero-based`.
    pub t: i64,
    /// Where it ends.
    pub s: i64,
    /// Bits per dimension per image.
    #[serde(deserialize_with = "numbers")]
    pub bpd: Vec<f64>,
}
