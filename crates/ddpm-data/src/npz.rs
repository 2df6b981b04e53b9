//! `.npz` archives: `arr_0` (or `images`) uint8 `[N, H, W, C]`, and labels in `arr_1` (or `labels`) if any, as
//! improved-diffusion and guided-diffusion write their samples; or the `data` of downsampled ImageNet (see
//! [`imagenet`](super::imagenet)).
//!
//! A stored array is read where it lies. A compressed one is unpacked once, into a temporary file.

use std::path::Path;

use ddpm_files::npz::NpzArchive;

use super::array::{ArrayFile, IMAGES, integer_labels};
use super::pixels::{Element, Pixels};
use super::{ImageSet, imagenet};
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
    let (shape, records) = ArrayFile::of_archive(&mut archive, key, IMAGES)?.interleaved(key)?;
    let labels = key_of_labels.map(|key| integer_labels(&mut archive, key, records.count()));
    let pixels = Pixels::files(Element::U8, shape.iter().product(), vec![records]);
    Ok(ImageSet::from_read_parts("npz", shape, pixels, labels))
}
