//! The file of stored trajectories: safetensors, with one JSON document in the metadata.
//!
//! # Version 1
//!
//! The metadata has the single key `ddpm`, whose value is the compact JSON text of `{"format": "ddpm-trajectories", "version": 1,
//! "origin": {..}, "growth": [..], "trials": [..], "checksum": ".."}`. `checksum` is the SHA-256 of that text with an empty checksum and of
//! every tensor, as in a profile.
//!
//! | name | type | shape | content |
//! |---|---|---|---|
//! | `log_alpha_bar` | F64 | \[T+1\] | the noise schedule, index t |
//! | `timesteps` | U64 | \[N\] | the nodes, ascending, without 0 |
//! | `states` | F32 | \[images, N, ..image_shape\] | x_t |
//! | `estimates` | F32 | \[images, N, ..image_shape\] | the network's estimate of x_0 there, clipped if the origin says so |
//!
//! # Version 2
//!
//! Trajectories of a network whose estimates were corrected: the JSON has `"means": {"bands": {..}, "by_timestep": [{"t", "a", "b", "m"}, ..]}`
//! before `checksum`, as a schedules file writes corrections, one entry per node. The network's own trajectories are written as version 1.
//!
//! # Version 3
//!
//! Version 1 or 2 with trials or growth of steps whose coefficients are fitted: these have `"coefficients"`, and a trial `"fitted"`, a list of
//! terms per step in ascending t, and `"evaluations"`. `"bands"`, before `checksum`, are those that coefficients per band are of.

use std::collections::BTreeMap;
use std::sync::Arc;

use ddpm_core::{Bands, CoefficientKind, NoiseSchedule};
use ddpm_files::container::{self, Header as _, Reader, Tensor, field, index};
use ddpm_schedule::{Corrections, StoredBands, TrajectoryOrigin};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::growth::GrowthPoint;
use crate::store::{Trajectories, Trial};

const VERSION: u64 = 1;
/// The version of corrected estimates.
const VERSION_CALIBRATED: u64 = 2;
/// The version of fitted coefficients.
const VERSION_FITTED: u64 = 3;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u64,
    origin: TrajectoryOrigin,
    growth: Vec<GrowthPoint>,
    trials: Vec<Trial>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    means: Option<Corrections>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bands: Option<StoredBands>,
    checksum: String,
}

impl container::Header for Header {
    const FORMAT: &'static str = Trajectories::FORMAT;
    const WHAT: &'static str = "trajectories file";
    const KIND: &'static str = "a trajectories file";
    const NEWEST: u64 = VERSION_FITTED;

    fn checksum(&mut self) -> &mut String {
        &mut self.checksum
    }
}

impl Trajectories {
    /// The name of the format, as the files tell it.
    pub const FORMAT: &'static str = "ddpm-trajectories";

    /// The trajectories as the bytes of a file; equal trajectories give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let shape = [
            &[self.images(), self.nodes.len()],
            &self.origin.model.shape[..],
        ]
        .concat();
        let schedule = self.schedule.log_alpha_bars();
        let nodes = self.nodes.iter().map(|&t| t as u64);
        let images = |values: &[f32]| Tensor::f32(&shape, values.iter().copied());
        let logs = Tensor::f64(&[schedule.len()], schedule.iter().copied());
        let tensors = BTreeMap::from([
            ("estimates", images(&self.estimates)),
            ("log_alpha_bar", logs),
            ("states", images(&self.states)),
            ("timesteps", Tensor::u64(&[self.nodes.len()], nodes)),
        ]);
        let header = Header {
            format: Header::FORMAT.into(),
            version: if self.is_fitted() {
                VERSION_FITTED
            } else if self.means.is_some() {
                VERSION_CALIBRATED
            } else {
                VERSION
            },
            origin: self.origin.clone(),
            growth: self.growth.clone(),
            trials: self.trials.clone(),
            means: self.means.clone(),
            bands: self.bands.as_deref().map(StoredBands::from),
            checksum: String::new(),
        };
        container::write(header, &tensors)
    }

    /// Whether something of them is of fitted coefficients.
    fn is_fitted(&self) -> bool {
        let kinds = self.trials.iter().map(|trial| trial.coefficients);
        let mut kinds = kinds.chain(self.growth.iter().map(|point| point.coefficients));
        self.bands.is_some() || kinds.any(|kind| kind != CoefficientKind::Solver)
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) for anything that is not such a file, is cut short, of a newer version or changed, or lacks a
    /// tensor; and everything that [`Trajectories::new`] refuses.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (header, file) = container::read::<Header>(bytes)?;
        let reader = Reader { file: &file };
        reader.no_others(4)?;
        let version = header.version;
        let found = || format!("version {version}");
        if version < VERSION_FITTED && header.means.is_some() != (version == VERSION_CALIBRATED) {
            return Err(field("means", "in version 2 and after", found()).into());
        }
        let bands = match &header.bands {
            None => None,
            Some(stored) => Some(Arc::new(Bands::try_from(stored)?)),
        };
        let steps = header.origin.model.train_steps;
        let logs: Vec<f64> = reader
            .words("log_alpha_bar", Dtype::F64, &[steps.saturating_add(1)])?
            .skip(1)
            .map(f64::from_le_bytes)
            .collect();
        let schedule =
            NoiseSchedule::from_log_alpha_bar(&logs)?.with_clock(header.origin.model.process());
        let n = reader.length("timesteps")?;
        let nodes = reader
            .words("timesteps", Dtype::U64, &[n])?
            .map(index)
            .collect();
        let shape = [
            &[header.origin.images.len(), n],
            &header.origin.model.shape[..],
        ]
        .concat();
        let states = reader.singles("states", &shape)?;
        let estimates = reader.singles("estimates", &shape)?;
        let read = Self::new(header.origin, schedule, nodes, states, estimates)?
            .with_means(header.means)?
            .with_bands(bands)?
            .with_growth(header.growth)?
            .with_trials(header.trials)?;
        if read.is_fitted() != (version == VERSION_FITTED) {
            return Err(field(
                "coefficients and bands",
                "in version 3, and there only",
                found(),
            )
            .into());
        }
        Ok(read)
    }
}
