//! `.npz` archives: `arr_0` (or `images`) uint8 `[N, H, W, C]`, and labels in `arr_1` (or `labels`) if any, as
//! improved-diffusion and guided-diffusion write their samples; or the `data` of downsampled ImageNet (see
//! [`imagenet`](super::imagenet)).
//!
//! A stored array is read where it lies. A compressed one is unpacked once, into a temporary file.

use std::path::Path;

use ddpm_files::PositionedFile;
use ddpm_files::npz::NpzArchive;

use super::array::{ArrayFile, IMAGES, check_bytes};
use super::pixels::{Element, Pixels};
use super::{ImageSet, imagenet, unpacked};
use crate::error::{Error, Result};

/// Reads an archive, compressed or not.
pub(crate) fn read(path: &Path) -> Result<ImageSet> {
    let mut archive = NpzArchive::open(path)?;
    let key_of_labels = archive.first_of(&["arr_1", "labels"]);
    let Some(key) = archive.first_of(&["arr_0", "images"]) else {
        if archive.first_of(&[imagenet::KEY]).is_some() {
            return imagenet::read_files("file", &[path.to_owned()]);
        }
        let found = if archive.names().is_empty() {
            "no arrays".to_owned()
        } else {
            format!("only {}", archive.names().join(", "))
        };
        return Err(Error::field(
            path,
            "arr_0",
            "an array arr_0 or images, uint8 [images, height, width, channels], or data, uint8 [images, 3 x side x side]",
            found,
        ));
    };
    let (shape, records) = bytes(&mut archive, key, IMAGES)?.interleaved(key)?;
    let labels = match key_of_labels {
        None => None,
        Some(key) => Some(labels(&mut archive, key, records.count())?),
    };
    let pixels = Pixels::files(Element::U8, shape.iter().product(), vec![records]);
    Ok(ImageSet::from_parts("npz", shape, pixels, labels))
}

/// A uint8 array, to be read where it lies or, if it is compressed, from a temporary copy.
pub(crate) fn bytes(
    archive: &mut NpzArchive<'_>,
    key: &'static str,
    expected: &str,
) -> Result<ArrayFile> {
    let entry = archive.entry(key, expected)?;
    // Before gigabytes are unpacked.
    check_bytes(archive.path(), &entry.header, key, expected)?;
    if let Some(stored) = entry.stored {
        let file = PositionedFile::open(archive.path())?;
        if stored.end > file.length() {
            let found = "a file that ends too early";
            return Err(archive.wrong(key, expected, found).into());
        }
        let start = stored.begin + entry.header.length;
        let array = ArrayFile::new(file, start, entry.header, key, expected)?;
        return Ok(array.with_checksum(stored));
    }
    let elements = entry.header.shape.iter().map(|&n| n as u64).product();
    let path = archive.path();
    let file = unpacked::unpack(
        path,
        key,
        &mut archive.content(&entry, key, expected)?,
        elements,
    )?;
    ArrayFile::new(file, 0, entry.header, key, expected)
}

/// The labels of `count` images; NumPy users store them as whatever integer they had.
pub(crate) fn labels(
    archive: &mut NpzArchive<'_>,
    key: &'static str,
    count: usize,
) -> Result<Vec<usize>> {
    const EXPECTED: &str = "a one-dimensional array of integer labels";
    let found = archive.integers(key, EXPECTED)?;
    if found.ndim() != 1 {
        let found = format!("{} dimensions", found.ndim());
        return Err(archive.wrong(key, EXPECTED, found).into());
    }
    if found.len() != count {
        let expected = format!("{count} labels, one per image");
        return Err(archive.wrong(key, &expected, found.len()).into());
    }
    let from_zero = |&label: &i128| {
        usize::try_from(label).map_err(|_| {
            archive
                .wrong(key, "labels from 0 up", format!("label {label}"))
                .into()
        })
    };
    found.iter().map(from_zero).collect()
}
