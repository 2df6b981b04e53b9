//! OUT.run.json: how samples were made, for whoever goes on with them or starts from their noise.

use std::collections::BTreeMap;

use ddpm_core::{
    CoefficientKind, Difference, MeanKind, ModelId, NetworkId, Sampler, TimePath, VarianceKind,
    differences,
};
use ddpm_files::{DocumentHead, FormatError};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::provenance::told;

const FORMAT: &str = "ddpm-samples";
const VERSION: u32 = 1;
/// What `ddpm sample --count` takes at most: whoever repeats the noise of a record asks for room for all of it.
const MOST_SAMPLES: usize = 10_000_000;
const KIND: &str = "a record of samples";

/// Everything that decides the pixels of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleRecord {
    /// The network and its process; the record does not say what the network predicts.
    pub model: ModelId,
    /// Seed of every noise stream.
    pub seed: u64,
    /// Index of the first image.
    pub start_index: usize,
    /// Number of images.
    pub count: usize,
    /// Class of every image; `None` for classes in turn, or no classes.
    pub class: Option<usize>,
    /// How steps are taken.
    pub sampler: Sampler,
    /// Noise of DDIM.
    pub eta: Option<f64>,
    /// Variance of the steps of [`Sampler::Ddpm`].
    pub variance: Option<VarianceKind>,
    /// Where the steps are centred. Records of earlier versions do not say so and read as [`MeanKind::Network`]; `kernels_sha256` tells
    /// corrected runs apart in them too.
    pub mean: MeanKind,
    /// Log-variance of every step in ascending t, where they are frozen numbers; `None` for one from the network.
    pub log_variance: Option<Vec<Option<f64>>>,
    /// What the calibrated steps are, [`Schedule::calibration_sha256`](crate::Schedule::calibration_sha256).
    pub kernels_sha256: Option<String>,
    /// Levels to which the last noise was clipped.
    pub clip_last_noise: Option<f64>,
    /// The path.
    pub path: TimePath,
    /// Where the coefficients of the steps come from; `kernels_sha256` says which they are.
    pub coefficients: CoefficientKind,
    /// SHA-256 of the file that holds the samples, by which it is known again; `None` of a folder, and until it is complete.
    pub output_sha256: Option<String>,
}

/// The JSON form, its keys in this order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    version: u32,
    seed: u64,
    start_index: usize,
    count: usize,
    class: Option<usize>,
    image_shape: Vec<usize>,
    sampler: Sampler,
    /// Absent for the sampler's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    coefficients: Option<CoefficientKind>,
    eta: Option<f64>,
    variance: Option<VarianceKind>,
    /// Absent for the network's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean: Option<MeanKind>,
    log_variance: Option<Vec<Option<f64>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernels_sha256: Option<String>,
    clip_last_noise: Option<f64>,
    clip_denoised: bool,
    path: Vec<usize>,
    #[serde(rename = "T")]
    train_steps: usize,
    noise_schedule: String,
    checkpoint_sha256: String,
    rescale_timesteps: bool,
    precision: String,
    network: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output_sha256: Option<String>,
}

impl SampleRecord {
    /// Bytes of the longest file: a record of 400,000 steps takes less.
    pub const MOST_BYTES: u64 = 1 << 24;

    /// The file, indented, with a final newline.
    ///
    /// # Errors
    /// [`FormatError::Not`] for a number that JSON cannot hold.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(&self.stored()).map_err(not_json)?;
        Ok(text + "\n")
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`FormatError::Not`] for text that is no such file; [`Error::Field`] for numbers that no run can have.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > Self::MOST_BYTES {
            let expected = format!("at most {} bytes", Self::MOST_BYTES);
            return Err(Error::field("size", expected, bytes.len()));
        }
        let head = DocumentHead::read(bytes).map_err(not_json)?;
        if !head.is(FORMAT) || head.version() != Some(VERSION.into()) {
            return Err(not(format!(
                "expected format {FORMAT:?} version {VERSION}, found {} version {}",
                head.format, head.version
            )));
        }
        let stored: Stored = serde_json::from_slice(bytes).map_err(not_json)?;
        // The limits of the flags.
        if !(1..=MOST_SAMPLES).contains(&stored.count) {
            let expected = format!("1 to {MOST_SAMPLES}");
            return Err(Error::field("count", expected, stored.count));
        }
        if stored.start_index >= 1 << 55 {
            return Err(Error::field(
                "start_index",
                "a number below 2^55",
                stored.start_index,
            ));
        }
        let path = TimePath::new(stored.path, stored.train_steps)?;
        if let Some(found) = stored.log_variance.as_ref().map(Vec::len) {
            Error::check_length("log_variance", path.steps(), found)?;
        }
        Ok(Self {
            path,
            model: ModelId {
                network: NetworkId::of_text(&stored.checkpoint_sha256),
                noise_schedule: told(&stored.noise_schedule, "custom")?,
                train_steps: stored.train_steps,
                parameterization: None,
                rescale_timesteps: stored.rescale_timesteps,
                clip_denoised: stored.clip_denoised,
                precision: stored.precision,
                shape: stored.image_shape,
                settings: stored.network,
            },
            seed: stored.seed,
            start_index: stored.start_index,
            count: stored.count,
            class: stored.class,
            sampler: stored.sampler,
            eta: stored.eta,
            variance: stored.variance,
            mean: stored.mean.unwrap_or(MeanKind::Network),
            log_variance: stored.log_variance,
            kernels_sha256: stored.kernels_sha256,
            clip_last_noise: stored.clip_last_noise,
            coefficients: stored.coefficients.unwrap_or_default(),
            output_sha256: stored.output_sha256,
        })
    }

    /// Everything in which another run differs, but for the number of its images and the file that they are in.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut found = differences(self.facts(), other.facts());
        // Neither record says what the network predicts.
        let told = |record: &Self| ModelId {
            parameterization: None,
            ..record.model.clone()
        };
        found.extend(told(self).differences(&told(other)));
        found
    }

    fn facts(&self) -> [(&'static str, String); 11] {
        [
            ("seed", self.seed.to_string()),
            ("start_index", self.start_index.to_string()),
            ("class", said(self.class)),
            ("sampler", self.sampler.to_string()),
            ("coefficients", self.coefficients.to_string()),
            ("eta", said(self.eta)),
            ("variance", said(self.variance)),
            ("log_variance", format!("{:?}", self.log_variance)),
            ("kernels_sha256", said(self.kernels_sha256.clone())),
            ("clip_last_noise", said(self.clip_last_noise)),
            ("path", self.path.to_string()),
        ]
    }

    fn stored(&self) -> Stored {
        let model = &self.model;
        Stored {
            format: FORMAT.to_owned(),
            version: VERSION,
            seed: self.seed,
            start_index: self.start_index,
            count: self.count,
            class: self.class,
            image_shape: model.shape.clone(),
            sampler: self.sampler,
            coefficients: Some(self.coefficients).filter(|&kind| kind != CoefficientKind::Solver),
            eta: self.eta,
            variance: self.variance,
            mean: Some(self.mean).filter(|&mean| mean != MeanKind::Network),
            log_variance: self.log_variance.clone(),
            kernels_sha256: self.kernels_sha256.clone(),
            clip_last_noise: self.clip_last_noise,
            clip_denoised: model.clip_denoised,
            path: self.path.nodes().to_vec(),
            train_steps: model.train_steps,
            noise_schedule: model.noise_schedule_text(),
            checkpoint_sha256: model.network.to_string(),
            rescale_timesteps: model.rescale_timesteps,
            precision: model.precision.clone(),
            network: model.settings.clone(),
            output_sha256: self.output_sha256.clone(),
        }
    }
}

fn said(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn not(detail: String) -> Error {
    Error::Format(FormatError::Not { kind: KIND, detail })
}

fn not_json(e: serde_json::Error) -> Error {
    not(e.to_string())
}
