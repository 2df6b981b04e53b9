//! Statistics in pytorch-fid's `.npz`: `mu` of d numbers and `sigma` of d x d.
//!
//! Our own files also say how many `images` there were, which `network` saw them (its name as uint8) and the SHA-256 of its
//! `weights` (as uint8); pytorch-fid does not look at these.

use std::io::Cursor;
use std::path::Path;

use ndarray::{Array1, Array2, Dimension};
use ndarray_npy::NpzWriter;

use super::statistics::FeatureStatistics;
use crate::error::{Error, Result};
use ddpm_data::Archive;
use ddpm_files::write_atomic;

const MEAN: &str = "an array mu of d numbers (f64 or f32)";
const COVARIANCE: &str = "an array sigma of d x d numbers (f64 or f32)";

/// Whether the file is an `.npz` of statistics and not one of images.
///
/// # Errors
/// [`Error::Read`], and [`Error::Field`] for an `.npz` that cannot be read.
pub fn is_statistics(path: &Path) -> Result<bool> {
    let npz = path.extension().is_some_and(|e| e == "npz") && path.is_file();
    Ok(npz && Archive::open(path)?.first_of(&["mu", "sigma"]).is_some())
}

/// Reads statistics that this crate or pytorch-fid has written.
///
/// # Errors
/// [`Error::Read`] from the system, [`Error::Field`] naming the array that is missing or not what it has to be.
pub fn read_statistics(path: &Path) -> Result<FeatureStatistics> {
    let mut archive = Archive::open(path)?;
    let mean: Array1<f64> = numbers(&mut archive, path, "mu", MEAN)?;
    let covariance: Array2<f64> = numbers(&mut archive, path, "sigma", COVARIANCE)?;
    let images = match archive.first_of(&["images"]) {
        None => None,
        Some(key) => {
            let expected = "the number of images, i64 [1], above 1";
            archive.check(key, expected)?;
            let found: Option<Array1<i64>> = archive.array(key).ok();
            match found.as_ref().and_then(|found| found.as_slice()) {
                Some(&[images]) if images > 1 => Some(images as usize),
                Some(found) => return Err(Error::field(path, key, expected, format!("{found:?}"))),
                None => return Err(Error::field(path, key, expected, "another type or shape")),
            }
        }
    };
    let network = text(&mut archive, path, "network", "the name of a network")?;
    let weights = text(&mut archive, path, "weights", "a SHA-256 of weights")?;
    let statistics = FeatureStatistics::from_moments(mean, covariance)
        .map_err(|e| {
            Error::field(
                path,
                "mu and sigma",
                "a mean and its covariance",
                e.to_string(),
            )
        })?
        .with_images(images);
    Ok(FeatureStatistics {
        network,
        weights,
        ..statistics
    })
}

/// Characters, where the array is there.
fn text(
    archive: &mut Archive<'_>,
    path: &Path,
    key: &'static str,
    what: &str,
) -> Result<Option<String>> {
    let Some(found) = archive.first_of(&[key]) else {
        return Ok(None);
    };
    let expected = format!("{what}, uint8 [characters]");
    archive.check(found, &expected)?;
    let bytes: Array1<u8> = archive
        .array(found)
        .map_err(|e| Error::field(path, key, &*expected, e.to_string()))?;
    match String::from_utf8(bytes.to_vec()) {
        Ok(text) => Ok(Some(text)),
        Err(e) => Err(Error::field(path, key, &*expected, e.to_string())),
    }
}

fn numbers<D: Dimension>(
    archive: &mut Archive<'_>,
    path: &Path,
    key: &'static str,
    expected: &str,
) -> Result<ndarray::Array<f64, D>> {
    archive.check(key, expected)?;
    if let Ok(found) = archive.array::<f64, D>(key) {
        return Ok(found);
    }
    match archive.array::<f32, D>(key) {
        Ok(found) => Ok(found.mapv(f64::from)),
        Err(e) => Err(Error::field(path, key, expected, e.to_string())),
    }
}

/// Writes statistics atomically; pytorch-fid reads the file.
///
/// # Errors
/// [`Error::Write`].
pub fn write_statistics(path: &Path, statistics: &FeatureStatistics) -> Result<()> {
    let encode = || {
        let mut writer = NpzWriter::new(Cursor::new(Vec::new()));
        writer.add_array("mu", &Array1::from(statistics.mean().to_vec()))?;
        writer.add_array("sigma", &statistics.covariance())?;
        if let Some(images) = statistics.images() {
            writer.add_array("images", &Array1::from(vec![images as i64]))?;
        }
        for (key, text) in [
            ("network", statistics.network()),
            ("weights", statistics.weights()),
        ] {
            if let Some(text) = text {
                writer.add_array(key, &Array1::from(text.as_bytes().to_vec()))?;
            }
        }
        writer.finish()
    };
    let bytes = encode().map_err(|e| Error::write(path, std::io::Error::other(e)))?;
    write_atomic(path, bytes.get_ref()).map_err(|e| Error::write(path, e))
}
