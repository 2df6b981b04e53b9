//! `.npz` archives: `arr_0` (or `images`) uint8 `[N, H, W, C]`, and labels in `arr_1` (or `labels`) if any, as
//! improved-diffusion and guided-diffusion write their samples.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ndarray::{Array1, Array4};
use ndarray_npy::NpzReader;

use super::ImageSet;
use crate::error::{Error, Result};

type Archive = NpzReader<BufReader<File>>;

/// Reads an archive, compressed or not.
pub(crate) fn read(path: &Path) -> Result<ImageSet> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let malformed = |e: ndarray_npy::ReadNpzError| {
        Error::field(path, "content", "a readable .npz archive", e.to_string())
    };
    let mut archive = NpzReader::new(BufReader::new(file)).map_err(malformed)?;
    let names = archive.names().map_err(malformed)?;
    let has = |name: &str| names.iter().any(|n| n == name);

    let Some(key) = ["arr_0", "images"].into_iter().find(|k| has(k)) else {
        let found = match names.is_empty() {
            true => "no arrays".to_owned(),
            false => format!("only {}", names.join(", ")),
        };
        return Err(Error::field(
            path,
            "arr_0",
            "an array arr_0 or images, uint8 [images, height, width, channels]",
            found,
        ));
    };
    let images: Array4<u8> = archive.by_name(key).map_err(|e| {
        Error::field(
            path,
            key,
            "uint8 [images, height, width, channels]",
            e.to_string(),
        )
    })?;
    let (n, h, w, c) = images.dim();
    if n * h * w == 0 || !matches!(c, 1 | 3) {
        return Err(Error::field(
            path,
            key,
            "at least one image, [images, height, width, channels] with 1 or 3 channels",
            format!("shape {n}x{h}x{w}x{c}"),
        ));
    }
    let set = ImageSet::from_bytes("npz", images.permuted_axes([0, 3, 1, 2]).view())?;

    match ["arr_1", "labels"].into_iter().find(|k| has(k)) {
        None => Ok(set),
        Some(key) => {
            let labels = read_labels(path, &mut archive, key)?;
            if labels.len() != n {
                return Err(Error::field(
                    path,
                    key,
                    format!("{n} labels, one per image"),
                    labels.len().to_string(),
                ));
            }
            set.with_labels(labels)
        }
    }
}

/// NumPy users store labels as whatever integer they had.
fn read_labels(path: &Path, archive: &mut Archive, key: &str) -> Result<Vec<usize>> {
    macro_rules! attempt {
        ($($integer:ty),*) => {$(
            let read: std::result::Result<Array1<$integer>, _> = archive.by_name(key);
            if let Ok(labels) = read {
                return labels
                    .iter()
                    .map(|&l| {
                        usize::try_from(l).map_err(|_| {
                            Error::field(path, key, "labels from 0 up", format!("label {l}"))
                        })
                    })
                    .collect();
            }
        )*};
    }
    attempt!(i64, i32, u8, u64, u32, i16, u16, i8);
    Err(Error::field(
        path,
        key,
        "a one-dimensional array of integer labels",
        "another type or shape",
    ))
}
