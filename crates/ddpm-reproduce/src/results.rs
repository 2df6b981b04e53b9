//! What `ddpm` prints with `--json` and writes, as far as it is read here.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// `ddpm table`: Table 3.
#[derive(Deserialize)]
pub(crate) struct Table {
    pub(crate) rows: Vec<TableRow>,
}

/// One schedule under one variance, scored.
#[derive(Deserialize)]
pub(crate) struct TableRow {
    pub(crate) stride: String,
    pub(crate) variance: String,
    pub(crate) steps: u64,
    pub(crate) bpd: f64,
    /// For rows of other strides.
    pub(crate) dp_minus_this: Option<PairedDifference>,
}

/// A difference of bits/dim on the same images.
#[derive(Deserialize)]
pub(crate) struct PairedDifference {
    pub(crate) bpd: f64,
    pub(crate) stderr: f64,
}

/// A schedules file.
#[derive(Deserialize)]
pub(crate) struct Schedules {
    pub(crate) budgets: Vec<Chosen>,
}

/// The schedule of one number of steps.
#[derive(Deserialize)]
pub(crate) struct Chosen {
    pub(crate) steps: u64,
    /// On the images that it was chosen on, without the prior.
    cost: f64,
    prior_bpd: f64,
}

impl Chosen {
    /// The cost with the prior.
    pub(crate) fn total(&self) -> f64 {
        self.cost + self.prior_bpd
    }
}

/// `ddpm bpd`: a schedule scored without a profile.
#[derive(Deserialize)]
pub(crate) struct Evaluation {
    /// Of each image.
    total_bpd: Vec<f64>,
}

impl Evaluation {
    /// The mean over the images.
    ///
    /// # Errors
    /// Another number of images.
    pub(crate) fn mean(&self, images: u64) -> anyhow::Result<f64> {
        let found = self.total_bpd.len();
        if found == 0 || found as u64 != images {
            bail!("expected {images} numbers in 'total_bpd', found {found}");
        }
        Ok(self.total_bpd.iter().sum::<f64>() / found as f64)
    }
}

/// `ddpm fid` of two sets of images.
#[derive(Deserialize)]
pub(crate) struct Distance {
    pub(crate) a: ImageSet,
    /// Its name, such as FD(resnet56).
    pub(crate) metric: String,
    pub(crate) frechet: Frechet,
}

/// `ddpm fid --save-statistics` of one set of images.
#[derive(Deserialize)]
pub(crate) struct Statistics {
    pub(crate) a: ImageSet,
}

/// A set of images that was measured.
#[derive(Deserialize)]
pub(crate) struct ImageSet {
    pub(crate) images: u64,
}

/// A distance with its jackknife over blocks of images, where there is one.
#[derive(Deserialize)]
pub(crate) struct Frechet {
    pub(crate) value: f64,
    pub(crate) stderr: Option<f64>,
    #[serde(default)]
    pub(crate) blocks: u64,
}

/// Reads a result from a file.
///
/// # Errors
/// No file, or something else in it.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{}: expected a result of ddpm", path.display()))
}
