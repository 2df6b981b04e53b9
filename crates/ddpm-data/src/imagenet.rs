//! Downsampled ImageNet (Chrabaszcz, Loshchilov, Hutter, arXiv 1707.08819) as image-net.org distributes it: archives
//! `train_data_batch_1.npz` .. `train_data_batch_10.npz` and `val_data.npz` with `data`, uint8 `[N, 3 x side x side]`
//! (the planes of red, green and blue one after the other), `labels` from 1 to 1000, and `mean`, which is not read.
//!
//! Labels are counted from 0 here, as networks do.

use std::path::{Path, PathBuf};

use ddpm_files::npz::NpzArchive;

use super::array::{ArrayFile, integer_labels};
use super::image_set::ReadLabels;
use super::pixels::{Element, Pixels};
use super::records::Records;
use super::{ImageSet, Split};
use crate::error::{Error, Result, shape as show};

/// The array of the images; no other layout has one of this name.
pub(crate) const KEY: &str = "data";
const LABELS: &str = "labels";
const CLASSES: usize = 1000;
/// Batches of the training set as it is distributed; more are read if they are there.
const BATCHES: u32 = 10;
const EXPECTED: &str = "uint8 [images, 3 x side x side] (the planes of red, green and blue)";
const TEST_FILE: &str = "val_data.npz";

/// Whether a folder holds any file of this layout.
pub(crate) fn is_folder(folder: &Path) -> bool {
    // By their names, not by listing the folder: it may hold a million other files.
    folder.join(TEST_FILE).is_file() || (1..=BATCHES).any(|n| folder.join(batch_name(n)).is_file())
}

/// Reads the split of a folder.
pub(crate) fn read_folder(folder: &Path, split: Split) -> Result<ImageSet> {
    let missing = |name: String| Error::MissingSplit {
        path: folder.to_owned(),
        split,
        expected: format!("the file {name}"),
    };
    let paths = match split {
        Split::Test if folder.join(TEST_FILE).is_file() => vec![folder.join(TEST_FILE)],
        Split::Test => return Err(missing(TEST_FILE.to_owned())),
        Split::Train => {
            let batches = batches(folder)?;
            // A part of the batches is a set, a gap is a mistake.
            let wanted = 1..=batches.last().copied().unwrap_or(1);
            let gap = wanted.clone().find(|n| batches.binary_search(n).is_err());
            if let Some(n) = gap {
                return Err(missing(batch_name(n)));
            }
            wanted.map(|n| folder.join(batch_name(n))).collect()
        }
    };
    read_files(split.name(), &paths).map(ImageSet::with_named_split)
}

/// Reads files one after the other; the set's name is that of the size and `part`.
pub(crate) fn read_files(part: &str, paths: &[PathBuf]) -> Result<ImageSet> {
    let mut files = Vec::new();
    let mut labels: ReadLabels = Some(Ok(Vec::new()));
    let mut first: Option<(&Path, usize)> = None;
    for path in paths {
        let (side, records, own) = read_file(path)?;
        let (first, expected) = *first.get_or_insert((path, side));
        if side != expected {
            return Err(Error::field(
                path,
                "image size",
                format!("3x{expected}x{expected} like {}", first.display()),
                format!("3x{side}x{side}"),
            ));
        }
        files.push(records);
        labels = labels.zip(own).map(|(all, own)| {
            let mut all = all?;
            all.extend(own?);
            Ok(all)
        });
    }
    let side = first.map_or(0, |(_, side)| side);
    let pixels = Pixels::files(Element::U8, 3 * side * side, files);
    let name = format!("imagenet{side}-{part}");
    Ok(ImageSet::from_read_parts(
        name,
        [3, side, side],
        pixels,
        labels,
    ))
}

/// The side of the images, where they lie, and their labels if there are any.
fn read_file(path: &Path) -> Result<(usize, Records, ReadLabels)> {
    let mut archive = NpzArchive::open(path)?;
    let data = ArrayFile::of_archive(&mut archive, KEY, EXPECTED)?;
    let side = match *data.shape() {
        [n, values] if n > 0 => (values / 3).isqrt(),
        _ => 0,
    };
    if side == 0 || data.shape()[1] != 3 * side * side {
        let found = format!("shape {}", show(data.shape()));
        return Err(Error::field(path, KEY, EXPECTED, found));
    }
    let records = data.planes();
    let labels = archive.first_of(&[LABELS]).map(|key| {
        let labels = integer_labels(&mut archive, key, records.count())?;
        from_zero(path, labels)
    });
    Ok((side, records, labels))
}

fn from_zero(path: &Path, mut labels: Vec<usize>) -> Result<Vec<usize>> {
    for (i, label) in labels.iter_mut().enumerate() {
        if !(1..=CLASSES).contains(label) {
            return Err(Error::field(
                path,
                format!("label of image {i}"),
                format!("a class from 1 to {CLASSES}"),
                label.to_string(),
            ));
        }
        *label -= 1;
    }
    Ok(labels)
}

fn batch_name(number: u32) -> String {
    format!("train_data_batch_{number}.npz")
}

/// The numbers of the training batches in a folder, in ascending order.
fn batches(folder: &Path) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::read(folder, e))? {
        let name = entry.map_err(|e| Error::read(folder, e))?.file_name();
        let number = name.to_str().and_then(|name| {
            let number = name.strip_prefix("train_data_batch_")?;
            number.strip_suffix(".npz")?.parse().ok()
        });
        // No other spelling of the number, such as 01.
        numbers.extend(number.filter(|&n| n > 0 && *batch_name(n) == *name));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
