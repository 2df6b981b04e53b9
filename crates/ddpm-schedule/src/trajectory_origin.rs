//! Where stored trajectories come from: everything that must agree before a run may go on with them.

use std::collections::BTreeMap;

use ddpm_core::{Difference, ModelId, NetworkId, Sampler, differences};
use serde::{Deserialize, Serialize};

use crate::provenance::{take, told};

/// What the states of trajectories follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrajectoryKind {
    /// The probability-flow ODE from pure noise down to data.
    Flow,
    /// The forward process from an image up to noise, with the joint law of its states: one path of the SDE per image.
    Forward,
}

/// The origin and the conventions of stored trajectories. No timestamps and no paths: the same run gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct TrajectoryOrigin {
    /// The network and its process.
    pub model: ModelId,
    /// What the states follow.
    pub kind: TrajectoryKind,
    /// The solver of the flow; `None` for the forward process.
    pub solver: Option<Sampler>,
    /// Seed of all noise.
    pub seed: u64,
    /// Indices of the images: of samples under the flow, of the data set under the forward process.
    pub images: Vec<u64>,
    /// Classes of the images, for a class-conditional network.
    pub labels: Option<Vec<u64>>,
    /// SHA-256 of the image set; `None` under the flow.
    pub data_sha256: Option<String>,
    /// Network evaluations of one image that everything in the file took; 0 while a run has not finished.
    pub evaluations: u64,
    /// Version of this library.
    pub library_version: String,
    /// What else tells of the run ([`OF_THE_RUN`](Self::OF_THE_RUN)).
    pub extra: BTreeMap<String, String>,
}

impl TrajectoryOrigin {
    /// The keys that [`extra`](Self::extra) can have. A file keeps them in one map with the settings of the network.
    pub const OF_THE_RUN: [&'static str; 2] = ["growth", "split"];

    /// Everything in which trajectories of another run differ, whatever their images and how many evaluations they took.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut found = self.model.differences(&other.model);
        found.extend(differences(self.facts(), other.facts()));
        found
    }

    fn facts(&self) -> [(&'static str, String); 7] {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".into());
        let labelled = if self.labels.is_some() {
            "one per image"
        } else {
            "none"
        };
        [
            ("process", format!("{:?}", self.kind).to_lowercase()),
            ("solver", or_none(self.solver.map(|s| s.to_string()))),
            ("seed", self.seed.to_string()),
            ("labels", labelled.into()),
            ("data", or_none(self.data_sha256.clone())),
            ("library_version", self.library_version.clone()),
            ("conventions", format!("{:?}", self.extra)),
        ]
    }
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    checkpoint_sha256: String,
    process: TrajectoryKind,
    solver: Option<Sampler>,
    seed: u64,
    images: Vec<u64>,
    labels: Option<Vec<u64>>,
    data_sha256: Option<String>,
    clip_denoised: bool,
    noise_schedule: String,
    train_steps: usize,
    image_shape: Vec<usize>,
    parameterization: String,
    rescale_timesteps: bool,
    precision: String,
    evaluations: u64,
    library_version: String,
    extra: BTreeMap<String, String>,
}

impl From<TrajectoryOrigin> for Stored {
    fn from(o: TrajectoryOrigin) -> Self {
        let mut extra = o.model.settings.clone();
        extra.extend(o.extra);
        Self {
            checkpoint_sha256: o.model.network.to_string(),
            process: o.kind,
            solver: o.solver,
            seed: o.seed,
            images: o.images,
            labels: o.labels,
            data_sha256: o.data_sha256,
            clip_denoised: o.model.clip_denoised,
            noise_schedule: o.model.noise_schedule_text(),
            train_steps: o.model.train_steps,
            parameterization: o.model.parameterization_text(),
            image_shape: o.model.shape,
            rescale_timesteps: o.model.rescale_timesteps,
            precision: o.model.precision,
            evaluations: o.evaluations,
            library_version: o.library_version,
            extra,
        }
    }
}

impl TryFrom<Stored> for TrajectoryOrigin {
    type Error = ddpm_core::Error;

    fn try_from(mut stored: Stored) -> ddpm_core::Result<Self> {
        let extra = take(&mut stored.extra, &Self::OF_THE_RUN);
        Ok(Self {
            model: ModelId {
                network: NetworkId::of_text(&stored.checkpoint_sha256),
                noise_schedule: told(&stored.noise_schedule, "custom")?,
                train_steps: stored.train_steps,
                parameterization: told(&stored.parameterization, ModelId::UNKNOWN)?,
                rescale_timesteps: stored.rescale_timesteps,
                clip_denoised: stored.clip_denoised,
                precision: stored.precision,
                shape: stored.image_shape,
                settings: stored.extra,
            },
            kind: stored.process,
            solver: stored.solver,
            seed: stored.seed,
            images: stored.images,
            labels: stored.labels,
            data_sha256: stored.data_sha256,
            evaluations: stored.evaluations,
            library_version: stored.library_version,
            extra,
        })
    }
}
