//! Statistics in pytorch-fid's `.npz`: `mu` of d numbers and `sigma` of d x d.
//!
//! Our own files also say how many `images` there were, which `network` saw them (its name as uint8) and the SHA-256 of its
//! `weights` (as uint8); pytorch-fid does not look at these.

use std::io::Cursor;
use std::ops::RangeInclusive;
use std::path::Path;

use ddpm_files::npz::{Extents, NpzArchive, NpzWriter};
use ddpm_files::{FileError, write_atomic};
use ndarray::{Array, Array1, Array2, Dimension, aview1};

use super::statistics::FeatureStatistics;
use crate::error::{Error, Result};

const MEAN: &str = "an array mu of d numbers (f64 or f32), at most 65536";
const COVARIANCE: &str = "an array sigma of d x d numbers (f64 or f32)";
/// More than any network of features has.
const MOST_FEATURES: usize = 1 << 16;
/// Bytes of a name or of a hash.
const LONGEST_TEXT: usize = 1 << 12;

/// Whether the file is an `.npz` of statistics and not one of images.
///
/// # Errors
/// [`Error::Data`] for an `.npz` that cannot be read.
pub fn is_statistics(path: &Path) -> Result<bool> {
    let npz = path.extension().is_some_and(|e| e == "npz") && path.is_file();
    Ok(npz && NpzArchive::open(path)?.first_of(&["mu", "sigma"]).is_some())
}

/// Reads statistics that this crate or pytorch-fid has written.
///
/// # Errors
/// [`Error::Data`]: from the system, or naming the array that is missing or not what it has to be.
pub fn read_statistics(path: &Path) -> Result<FeatureStatistics> {
    let mut archive = NpzArchive::open(path)?;
    let mean: Array1<f64> = numbers(&mut archive, "mu", MEAN, &[0..=MOST_FEATURES])?;
    let d = mean.len();
    let expected = format!("{COVARIANCE}, here {d} x {d} as mu has {d}");
    let covariance: Array2<f64> = numbers(&mut archive, "sigma", &expected, &[d..=d, d..=d])?;
    let images = match archive.first_of(&["images"]) {
        None => None,
        Some(key) => {
            let expected = "the number of images, i64 [1], above 1";
            let found = archive.integers(key, expected, Extents::One)?;
            match found.as_slice() {
                Some(&[images]) if (2..=i64::MAX as i128).contains(&images) => {
                    Some(images as usize)
                }
                _ => return Err(archive.wrong(key, expected, &found).into()),
            }
        }
    };
    let network = text(&mut archive, "network", "the name of a network")?;
    let weights = text(&mut archive, "weights", "a SHA-256 of weights")?;
    let statistics = FeatureStatistics::from_moments(mean, covariance)
        .map_err(|e| {
            let expected = "a mean and its covariance";
            Error::from(FileError::field(
                path,
                "mu and sigma",
                expected,
                e.to_string(),
            ))
        })?
        .with_images(images);
    Ok(FeatureStatistics {
        network,
        weights,
        ..statistics
    })
}

/// Characters, where the array is there.
fn text(archive: &mut NpzArchive<'_>, key: &'static str, what: &str) -> Result<Option<String>> {
    if archive.first_of(&[key]).is_none() {
        return Ok(None);
    }
    let expected = format!("{what}, uint8 [characters]");
    let found = archive.integers(key, &expected, Extents::AtMost(LONGEST_TEXT))?;
    let bytes: Option<Vec<u8>> = found.iter().map(|&c| u8::try_from(c).ok()).collect();
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) if found.ndim() == 1 => Ok(Some(text)),
        _ => Err(archive
            .wrong(key, &expected, "something that is no text")
            .into()),
    }
}

fn numbers<D: Dimension>(
    archive: &mut NpzArchive<'_>,
    key: &str,
    expected: &str,
    extents: &[RangeInclusive<usize>],
) -> Result<Array<f64, D>> {
    let found = archive.floats(key, expected, Extents::Of(extents))?;
    let shape = format!("shape {:?}", found.shape());
    found
        .into_dimensionality()
        .map_err(|_| archive.wrong(key, expected, shape).into())
}

/// Writes statistics atomically; pytorch-fid reads the file.
///
/// # Errors
/// [`Error::Data`] from the system.
pub fn write_statistics(path: &Path, statistics: &FeatureStatistics) -> Result<()> {
    let encode = || {
        let mut writer = NpzWriter::new(Cursor::new(Vec::new()));
        writer.add_array("mu", &aview1(statistics.mean()))?;
        writer.add_array("sigma", &statistics.covariance())?;
        if let Some(images) = statistics.images() {
            writer.add_array("images", &aview1(&[images as i64]))?;
        }
        for (key, text) in [
            ("network", statistics.network()),
            ("weights", statistics.weights()),
        ] {
            if let Some(text) = text {
                writer.add_array(key, &aview1(text.as_bytes()))?;
            }
        }
        writer.finish()
    };
    let bytes = encode().map_err(|e| Error::write(path, std::io::Error::other(e)))?;
    write_atomic(path, bytes.get_ref()).map_err(|e| Error::write(path, e))
}
