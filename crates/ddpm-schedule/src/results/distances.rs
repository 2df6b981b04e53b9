//! Samples and their distance from images: `ddpm sample` and `ddpm fid`.

use ddpm_core::{CoefficientKind, MeanKind, Sampler, VarianceKind};
use serde::{Deserialize, Serialize};

use super::number;

/// What `ddpm sample` prints of the samples that it drew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The file or folder of the samples.
    pub out: String,
    /// The number of samples.
    pub count: usize,
    /// How many of them an earlier run had left.
    pub resumed: usize,
    /// Index of the first.
    pub start_index: usize,
    /// K.
    pub steps: usize,
    /// `[0, t_1, .., t_K]`.
    pub path: Vec<usize>,
    /// How steps are taken.
    pub sampler: Sampler,
    /// Noise of DDIM.
    pub eta: Option<f64>,
    /// Variance of ancestral steps.
    pub variance: Option<VarianceKind>,
    /// Where the steps are centred.
    #[serde(default = "super::likelihood::network_mean")]
    pub mean: MeanKind,
    /// Levels to which the last noise was clipped.
    pub clip_last_noise: Option<f64>,
    /// Whether estimates of x_0 were clipped.
    pub clip_denoised: bool,
    /// `f32` or `bf16`.
    pub precision: String,
    /// Class of every image; `None` for classes in turn, or no classes.
    pub class: Option<usize>,
    /// Seed of the noise.
    pub seed: u64,
    /// Where the coefficients of the steps come from.
    #[serde(default)]
    pub coefficients: CoefficientKind,
}

/// What `ddpm tune` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tune {
    /// The schedules file that was written.
    pub out: String,
    /// K.
    pub steps: usize,
    /// The distance: `FID`, `FD(network)`, `KID` or `energy distance`.
    pub metric: String,
    /// What won.
    pub winner: String,
    /// Images of each that is judged on fresh noise.
    pub judged_images: usize,
    /// On fresh noise: the winner, and beside it the runner-up and the best usual stride; `behind` is relative to the winner, negative where nearer.
    pub judged: Vec<Standing>,
    /// The rounds that chose it.
    pub rounds: Vec<TuneRound>,
    /// Seed of the trajectories; rounds draw from the next, the judgement from the one after.
    pub seed: u64,
}

/// A round of `ddpm tune`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneRound {
    /// Images of each.
    pub images: usize,
    /// The nearest first; `behind` is relative to it.
    pub standings: Vec<Standing>,
}

/// A schedule among others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What it is.
    pub name: String,
    /// Of its samples.
    pub distance: Measured,
    /// How much farther than another, paired.
    pub behind: Measured,
    /// `[0, .., t_K]`.
    pub path: Vec<usize>,
}

/// A number with its standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The number.
    #[serde(deserialize_with = "super::number")]
    pub value: f64,
    /// Its standard error, where it is known.
    pub standard_error: Option<f64>,
}

/// What `ddpm fid --save-statistics` prints of one set of images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FidStatistics {
    /// The set.
    pub a: ImageSet,
    /// The network that made features; absent where only statistics were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FeatureNetwork>,
    /// The file of statistics, where one was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<String>,
}

/// What `ddpm fid` prints of two sets of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fid {
    /// The first set, and what its features were made with.
    #[serde(flatten)]
    pub first: FidStatistics,
    /// The second set: the reference.
    pub b: ImageSet,
    /// The name of the distance, such as FID or FD(resnet56).
    pub metric: String,
    /// For a FID: the weights behind the features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// The Frechet distance.
    pub frechet: Distance,
    /// The set that the first one is compared with against the same reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versus: Option<Versus>,
    /// The kernel distance; `None` without the images themselves.
    pub kid: Option<Kid>,
    /// Precision and its kin; `None` without the images themselves.
    pub neighbours: Option<Neighbours>,
    /// Seed of every choice among images.
    #[serde(default)]
    pub seed: u64,
    /// The energy distance, where the features are the data themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
}

/// The energy distance of the first set from the reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// Unbiased: it may be negative where the sets are alike.
    pub distance: Distance,
    /// The first set's minus that of the one it is compared with, of pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Distance>,
}

/// One set of images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSet {
    /// As it was typed, with the split.
    pub source: String,
    /// What it was.
    pub kind: SetKind,
    /// The split that was asked for.
    pub split: Option<String>,
    /// The number of images; `None` where a file of statistics does not tell.
    pub images: Option<usize>,
}

/// What a set of images was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetKind {
    /// The images.
    Images,
    /// Mean and covariance of their features.
    Statistics,
}

/// The network behind features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureNetwork {
    /// Its name.
    pub network: String,
    /// The number of features.
    pub dims: usize,
    /// The file of its weights.
    pub weights: String,
    /// Their SHA-256.
    #[serde(rename = "sha256")]
    pub weights_sha256: String,
}

/// Whether features are known to be of the very file of weights that FID is defined on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// They are.
    Reference,
    /// They are not, or nobody told.
    Assumed,
}

/// A Frechet distance, or a difference of two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// The distance.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// Its standard error, the reference as it is; `None` without a jackknife.
    #[serde(rename = "stderr")]
    pub standard_error: Option<f64>,
    /// Blocks of the jackknife; 0 without one.
    #[serde(default)]
    pub blocks: usize,
}

/// Another set against the same reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    /// The set.
    #[serde(flatten)]
    pub set: ImageSet,
    /// Its distance.
    pub frechet: Distance,
    /// How much farther the first set is, image by image.
    pub difference: Distance,
}

/// The kernel distance, unbiased.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kid {
    /// The mean over subsets.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// Its standard error; `None` for one subset.
    #[serde(rename = "stderr")]
    pub standard_error: Option<f64>,
    /// The standard deviation over subsets.
    #[serde(deserialize_with = "number")]
    pub deviation: f64,
    /// The number of subsets, which share no image.
    pub subsets: usize,
    /// Images in each.
    pub subset_size: usize,
}

/// How the sets cover each other, by nearest neighbours: 0 to 1, but for the density.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbours {
    /// The part of the first set that lies in the manifold of the second.
    #[serde(deserialize_with = "number")]
    pub precision: f64,
    /// The part of the second set that lies in the manifold of the first.
    #[serde(deserialize_with = "number")]
    pub recall: f64,
    /// How densely the first set lies where the second does.
    #[serde(deserialize_with = "number")]
    pub density: f64,
    /// The part of the second set that has a neighbour in the first.
    #[serde(deserialize_with = "number")]
    pub coverage: f64,
    /// The number of nearest neighbours that make a manifold.
    pub nearest: usize,
    /// Images of the first set that were used.
    pub images_a: usize,
    /// Images of the second set that were used.
    pub images_b: usize,
}
