//! CIFAR-10 as binary files: records of 3073 bytes, one label and then the 32x32 planes of red, green and blue.
//!
//! Layout: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use ddpm_files::PositionedFile;

use super::pixels::{Element, Pixels};
use super::records::{Order, Records};
use super::{ImageSet, Split};
use crate::error::{Error, Result};

/// `[C, H, W]` of CIFAR-10.
pub(crate) const SHAPE: [usize; 3] = [3, 32, 32];
/// Pixels of an image.
pub(crate) const DIMS: usize = 3 * 32 * 32;
/// Number of classes; labels are below it.
pub(crate) const CLASSES: usize = 10;
const RECORD: usize = 1 + DIMS;

/// The files of a split, with what follows the batch name (`.bin` or nothing).
pub(crate) fn batch_names(split: Split, suffix: &str) -> Vec<String> {
    match split {
        Split::Train => (1..=5).map(|i| format!("data_batch_{i}{suffix}")).collect(),
        Split::Test => vec![format!("test_batch{suffix}")],
    }
}

/// Whether a folder holds any batch of this layout.
pub(crate) fn is_folder(folder: &Path) -> bool {
    has_batches(folder, ".bin")
}

/// Whether any CIFAR-10 batch file with this suffix lies in the folder.
pub(crate) fn has_batches(folder: &Path, suffix: &str) -> bool {
    [Split::Train, Split::Test]
        .into_iter()
        .flat_map(|split| batch_names(split, suffix))
        .any(|name| folder.join(name).is_file())
}

/// The paths of a split's files; the first that is missing is an error.
pub(crate) fn batch_paths(folder: &Path, split: Split, suffix: &str) -> Result<Vec<PathBuf>> {
    batch_names(split, suffix)
        .into_iter()
        .map(|name| {
            let path = folder.join(&name);
            if path.is_file() {
                Ok(path)
            } else {
                Err(Error::MissingSplit {
                    path: folder.to_owned(),
                    split,
                    expected: format!("the file {name}"),
                })
            }
        })
        .collect()
}

/// Reads the split of a folder.
pub(crate) fn read_folder(folder: &Path, split: Split) -> Result<ImageSet> {
    let paths = batch_paths(folder, split, ".bin")?;
    read_files(&format!("cifar10-{split}"), &paths).map(ImageSet::with_named_split)
}

/// Reads files one after the other: the labels now, the pixels when they are asked for.
pub(crate) fn read_files(name: &str, paths: &[PathBuf]) -> Result<ImageSet> {
    let mut files = Vec::new();
    let mut labels = Vec::new();
    for path in paths {
        let file = PositionedFile::open(path)?;
        let length = file.length();
        if length == 0 || !length.is_multiple_of(RECORD as u64) {
            return Err(Error::CifarLength {
                path: path.clone(),
                length,
            });
        }
        let count = (length / RECORD as u64) as usize;
        read_labels(path, count, &mut labels)?;
        files.push(Records::new(file, 1, DIMS, count, Order::Planes).with_stride(RECORD));
    }
    let pixels = Pixels::files(Element::U8, DIMS, files);
    Ok(ImageSet::from_parts(name, SHAPE, pixels, Some(labels)))
}

/// The first byte of every record.
fn read_labels(path: &Path, count: usize, labels: &mut Vec<usize>) -> Result<()> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut record = [0; RECORD];
    for i in 0..count {
        reader
            .read_exact(&mut record)
            .map_err(|e| Error::read(path, e))?;
        labels.push(check_label(path, i, usize::from(record[0]))?);
    }
    Ok(())
}

/// A label that CIFAR-10 has.
pub(crate) fn check_label(path: &Path, record: usize, label: usize) -> Result<usize> {
    if label < CLASSES {
        return Ok(label);
    }
    Err(Error::field(
        path,
        format!("label of image {record}"),
        format!("a class below {CLASSES}"),
        label.to_string(),
    ))
}
