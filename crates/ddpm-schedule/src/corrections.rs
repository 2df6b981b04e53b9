//! [`Corrections`]: the corrected mean at many timesteps; and how files hold what is per band.

use std::collections::BTreeMap;
use std::sync::Arc;

use ddpm_core::{Bands, MeanCorrection, TimePath};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schedule::Schedule;

/// How the estimates of a network are corrected at each of some timesteps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct Corrections {
    bands: Arc<Bands>,
    by_timestep: BTreeMap<usize, Arc<MeanCorrection>>,
}

impl Corrections {
    /// Those of the steps of a schedule, at the timesteps that they start at; `None` if its mean is the network's own.
    pub fn of_schedule(schedule: &Schedule) -> Option<Self> {
        let starts = schedule.path.nodes()[1..].iter().copied();
        let by_timestep: BTreeMap<_, _> = starts.zip(schedule.means.iter().cloned()).collect();
        let bands = schedule.bands.clone().filter(|_| !by_timestep.is_empty())?;
        Some(Self { bands, by_timestep })
    }

    /// The bands that they are of.
    pub fn bands(&self) -> &Arc<Bands> {
        &self.bands
    }

    /// The correction of the estimates at timestep `t`.
    ///
    /// # Errors
    /// [`Error::Field`] for a timestep that has none.
    pub fn at(&self, t: usize) -> Result<&Arc<MeanCorrection>> {
        let found = self.by_timestep.get(&t);
        found.ok_or_else(|| {
            Error::field("corrections of the mean", format!("one at t = {t}"), "none")
        })
    }

    /// Those of the steps of a path, as [`Schedule::means`] has them.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn of_path(&self, path: &TimePath) -> Result<Vec<Arc<MeanCorrection>>> {
        let starts = path.nodes()[1..].iter();
        starts.map(|&t| self.at(t).cloned()).collect()
    }

    /// Refuses those of other data, and those without one of these timesteps.
    ///
    /// # Errors
    /// [`Error::Field`].
    pub fn check(&self, shape: &[usize], timesteps: &[usize]) -> Result<()> {
        if self.bands.shape() != shape {
            let found = format!("shape {:?}", self.bands.shape());
            return Err(Error::field(
                "bands",
                format!("those of data of shape {shape:?}"),
                found,
            ));
        }
        timesteps.iter().try_for_each(|&t| self.at(t).map(|_| ()))
    }
}

impl Schedule {
    /// The same with the mean of its steps corrected.
    ///
    /// # Errors
    /// [`Error::Field`] where there is no correction for a timestep of the path.
    pub fn with_means(self, corrections: &Corrections) -> Result<Self> {
        Ok(Self {
            means: corrections.of_path(&self.path)?,
            bands: Some(corrections.bands().clone()),
            ..self
        })
    }
}

/// The JSON form of [`Corrections`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    bands: StoredBands,
    by_timestep: Vec<StoredStep>,
}

impl From<Corrections> for Stored {
    fn from(corrections: Corrections) -> Self {
        let step = |(&t, mean): (&usize, &Arc<MeanCorrection>)| StoredStep::at(t).with_mean(mean);
        Self {
            bands: StoredBands::from(&*corrections.bands),
            by_timestep: corrections.by_timestep.iter().map(step).collect(),
        }
    }
}

impl TryFrom<Stored> for Corrections {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let bands = Bands::try_from(&stored.bands)?;
        let mut by_timestep = BTreeMap::new();
        for step in &stored.by_timestep {
            let name = || format!("by_timestep at t = {}", step.t);
            let mean = step.mean()?.filter(|mean| mean.is_usable(&bands));
            let mean = mean.ok_or_else(|| {
                let expected = format!("finite a, b and m of {} bands", bands.count());
                Error::field(name(), expected, "others")
            })?;
            if by_timestep.insert(step.t, mean).is_some() {
                return Err(Error::field(name(), "one entry", "two"));
            }
        }
        Ok(Self {
            bands: Arc::new(bands),
            by_timestep,
        })
    }
}

/// [`Bands`], by what they are made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredBands {
    shape: Vec<usize>,
    channel_basis: Vec<f64>,
    edges: Vec<f64>,
    separate_channels: bool,
}

impl From<&Bands> for StoredBands {
    fn from(bands: &Bands) -> Self {
        Self {
            shape: bands.shape().to_vec(),
            channel_basis: bands.channel_basis().to_vec(),
            edges: bands.edges().to_vec(),
            separate_channels: bands.separate_channels(),
        }
    }
}

impl TryFrom<&StoredBands> for Bands {
    type Error = ddpm_core::Error;

    fn try_from(stored: &StoredBands) -> ddpm_core::Result<Self> {
        Self::new(
            &stored.shape,
            stored.channel_basis.clone(),
            stored.edges.clone(),
            stored.separate_channels,
        )
    }
}

/// What the steps from one timestep have per band.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredStep {
    pub(crate) t: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    a: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) powers: Option<Vec<f64>>,
}

impl StoredStep {
    /// One that has nothing yet.
    pub(crate) fn at(t: usize) -> Self {
        Self {
            t,
            ..Self::default()
        }
    }

    pub(crate) fn with_mean(self, mean: &MeanCorrection) -> Self {
        Self {
            a: Some(mean.estimate.clone()),
            b: Some(mean.noise.clone()),
            m: Some(mean.offset.clone()),
            ..self
        }
    }

    /// The correction of the mean, if there is one.
    pub(crate) fn mean(&self) -> Result<Option<Arc<MeanCorrection>>> {
        match (&self.a, &self.b, &self.m) {
            (Some(a), Some(b), Some(m)) => Ok(Some(Arc::new(MeanCorrection {
                estimate: a.clone(),
                noise: b.clone(),
                offset: m.clone(),
            }))),
            (None, None, None) => Ok(None),
            _ => {
                let name = format!("by_timestep at t = {}", self.t);
                Err(Error::field(name, "a, b and m together", "some of them"))
            }
        }
    }
}
