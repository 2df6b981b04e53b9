//! CIFAR-10 as Python pickles: dictionaries with `data`, uint8 `[N, 3072]` (the planes of red, green and blue one
//! after the other), and `labels`, a list of N integers.
//!
//! A pickle can only be read as a whole, so that these images stay in memory: 150 MB of the training set, 30 MB of the test
//! set. The data set ends there; larger ones come in other layouts.

use std::path::Path;

use super::cifar_binary::{DIMS, SHAPE, batch_paths, check_label, has_batches};
use super::pickle::{self, Value};
use super::pixels::Pixels;
use super::{ImageSet, Split};
use crate::error::{Error, Result};

/// Whether a folder holds any batch of this layout.
pub(crate) fn is_folder(folder: &Path) -> bool {
    has_batches(folder, "")
}

/// Reads the split of a folder.
pub(crate) fn read_folder(folder: &Path, split: Split) -> Result<ImageSet> {
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for path in batch_paths(folder, split, "")? {
        let bytes = std::fs::read(&path).map_err(|e| Error::read(&path, e))?;
        read_batch(&path, &bytes, &mut pixels, &mut labels)?;
    }
    let name = format!("cifar10-{split}");
    let pixels = Pixels::bytes(DIMS, pixels);
    Ok(ImageSet::from_parts(name, SHAPE, pixels, Some(labels)).with_named_split())
}

fn read_batch(
    path: &Path,
    bytes: &[u8],
    pixels: &mut Vec<u8>,
    labels: &mut Vec<usize>,
) -> Result<()> {
    let batch = pickle::load(bytes).map_err(|e| {
        Error::field(
            path,
            "pickle",
            "a CIFAR-10 python batch",
            format!("{} (at byte {})", e.problem, e.offset),
        )
    })?;
    let key = |key: &str, expected: &str| {
        batch
            .get(key)
            .ok_or_else(|| Error::field(path, key, expected, "no such key"))
    };

    let expected = format!("a uint8 array of shape [images, {DIMS}]");
    let Value::Array(array) = key("data", &expected)? else {
        return Err(Error::field(path, "data", expected, "something else"));
    };
    let array = array.borrow();
    let n = match array.shape[..] {
        [n, DIMS] if n > 0 => n,
        _ => {
            return Err(Error::field(
                path,
                "data",
                expected,
                format!("shape {:?}", array.shape),
            ));
        }
    };

    let expected = format!("a list of {n} integers, one per image");
    let Value::List(list) = key("labels", &expected)? else {
        return Err(Error::field(path, "labels", expected, "something else"));
    };
    let list = list.borrow();
    if list.len() != n {
        return Err(Error::field(
            path,
            "labels",
            expected,
            format!("{} entries", list.len()),
        ));
    }
    for (i, label) in list.iter().enumerate() {
        match label {
            Value::Int(label) => {
                let label = usize::try_from(*label).unwrap_or(usize::MAX);
                labels.push(check_label(path, i, label)?);
            }
            _ => {
                return Err(Error::field(
                    path,
                    "labels",
                    expected,
                    "an entry of another type",
                ));
            }
        }
    }
    pixels.extend_from_slice(&array.data);
    Ok(())
}
