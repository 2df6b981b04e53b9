//! Reading what `ddpm` prints with `--json` and writes.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use ddpm_schedule::results::{BitsPerDim, mean_and_error};
use ddpm_schedule::{Chosen, Schedules};
use serde::de::DeserializeOwned;

/// Reads a result from a file.
///
/// # Errors
/// No file, or something else in it.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    serde_json::from_str(&text(path)?).with_context(|| expected(path))
}

/// Reads a schedules file.
///
/// # Errors
/// No file, or something else in it.
pub(crate) fn read_schedules(path: &Path) -> anyhow::Result<Schedules> {
    Schedules::from_json(&text(path)?).with_context(|| expected(path))
}

/// The cost of a schedule on the images that it was chosen on, with the prior.
pub(crate) fn cost_with_prior(chosen: &Chosen) -> f64 {
    chosen.cost + chosen.prior_bpd.unwrap_or(f64::NAN)
}

/// The mean bits/dim over the images of a direct evaluation.
///
/// # Errors
/// Another number of images.
pub(crate) fn mean_total(scored: &BitsPerDim, images: u64) -> anyhow::Result<f64> {
    let total = scored.total_bpd.as_deref().unwrap_or_default();
    let found = total.len();
    if found == 0 || found as u64 != images {
        bail!("expected {images} numbers in 'total_bpd', found {found}");
    }
    Ok(mean_and_error(total).0)
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

fn expected(path: &Path) -> String {
    format!("{}: expected a result of ddpm", path.display())
}
