//! From a path to an [`ImageSet`]: which layout it is and which split of it to read.

use std::path::{Path, PathBuf};

use super::image_folder::ImageFolder;
use super::pixels::Pixels;
use super::{ImageSet, Split, array, cifar_binary, cifar_pickle, imagenet, npz, safetensors_file};
use crate::error::{Error, Result};

/// Opens one split of the images at `path`: finds out where they lie, how many there are and of which size. Pixels are
/// read, and checked, when they are asked for; a compressed array is unpacked into a temporary file.
///
/// How layout and split are found, first match wins:
///
/// 1. A file is one set, for either split.
/// 2. A folder with CIFAR-10 batches, directly or in `cifar-10-batches-bin` or `cifar-10-batches-py`: the five `data_batch_N`
///    files are train, `test_batch` is test.
/// 3. A folder with downsampled ImageNet: `train_data_batch_1.npz` and so on, in the order of their numbers, are train,
///    `val_data.npz` is test.
/// 4. A folder with `train` or `test` in it: a subfolder, or a file of that name that is `.npz`, `.npy`, `.safetensors` or
///    `.bin`. The one that is asked for has to be there.
/// 5. A folder of PNG and JPEG files, or of folders of those for every class, is one set, for either split.
///
/// In cases 1 and 5 train and test are the same images: [`ImageSet::split_is_named`] is false then.
///
/// # Arguments
/// `expected_shape`: the shape of the model's data, `[C, H, W]`; images of another size are an error that names both.
///
/// # Errors
/// An unreadable path, an unknown layout, an empty folder, a missing split, a malformed file, images of a size other than
/// `expected_shape`, no room to unpack into. Each names the file, the field and what was expected.
pub fn open(path: &Path, split: Split, expected_shape: Option<&[usize]>) -> Result<ImageSet> {
    let set = read(path, split)?;
    match expected_shape {
        Some(expected) if expected != set.shape() => Err(Error::ImageSize {
            path: path.to_owned(),
            expected: expected.to_vec(),
            found: set.shape().to_vec(),
        }),
        _ => Ok(set),
    }
}

fn read(path: &Path, split: Split) -> Result<ImageSet> {
    let kind = std::fs::metadata(path).map_err(|e| Error::read(path, e))?;
    if !kind.is_dir() {
        return read_file(path);
    }
    if let Some(set) = read_batches(path, split)? {
        return Ok(set);
    }
    if Split::ALL.iter().any(|&s| named_split(path, s).is_some()) {
        return match named_split(path, split) {
            Some(part) if part.is_dir() => read_folder(&part, split),
            Some(part) => read_file(&part),
            None => Err(Error::MissingSplit {
                path: path.to_owned(),
                split,
                expected: format!(
                    "a subfolder {split}, or {split}.npz, {split}.npy, {split}.safetensors or {split}.bin"
                ),
            }),
        }
        .map(ImageSet::with_named_split);
    }
    read_folder(path, split)
}

/// The subfolder or file that holds a split by name.
fn named_split(folder: &Path, split: Split) -> Option<PathBuf> {
    let subfolder = folder.join(split.name());
    if subfolder.is_dir() {
        return Some(subfolder);
    }
    ["npz", "npy", "safetensors", "bin"]
        .into_iter()
        .map(|extension| folder.join(split.name()).with_extension(extension))
        .find(|file| file.is_file())
}

/// A folder of CIFAR-10 in either layout or of downsampled ImageNet; `None` if it is none of them.
fn read_batches(folder: &Path, split: Split) -> Result<Option<ImageSet>> {
    for candidate in [
        folder.to_owned(),
        folder.join("cifar-10-batches-bin"),
        folder.join("cifar-10-batches-py"),
    ] {
        if cifar_binary::is_folder(&candidate) {
            return cifar_binary::read_folder(&candidate, split).map(Some);
        }
        if cifar_pickle::is_folder(&candidate) {
            return cifar_pickle::read_folder(&candidate, split).map(Some);
        }
    }
    imagenet::is_folder(folder)
        .then(|| imagenet::read_folder(folder, split))
        .transpose()
}

/// A folder without named splits in it.
fn read_folder(folder: &Path, split: Split) -> Result<ImageSet> {
    if let Some(set) = read_batches(folder, split)? {
        return Ok(set);
    }
    let folder = ImageFolder::open(folder)?;
    let left_out = folder.left_out().map(str::to_owned);
    let (shape, labels) = (folder.shape(), folder.labels());
    let pixels = Pixels::folder(folder);
    Ok(ImageSet::from_parts("png-folder", shape, pixels, labels).with_left_out(left_out))
}

fn read_file(path: &Path) -> Result<ImageSet> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("npz") => npz::read(path),
        Some("npy") => array::read_npy(path),
        Some("safetensors") => safetensors_file::read(path),
        Some("bin") => cifar_binary::read_files("cifar10-file", &[path.to_owned()]),
        _ => Err(Error::UnknownFormat {
            path: path.to_owned(),
        }),
    }
}
