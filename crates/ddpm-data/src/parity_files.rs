//! Fixed tensors for parity checks: the very images and noise that another implementation was run on.

use std::path::Path;

use ddpm_files::TensorFile;
use ndarray::{ArrayD, IxDyn};

use super::ImageSet;
use super::pixels::floats;
use super::safetensors_file::{floats_shape, from_file};
use crate::error::{Error, Result};

/// Images of a parity file: either `x_start` (f32 in [-1, 1], `[B, C, H, W]`; see [`open`](super::open)) or
/// `cifar_test_index` (i64 `[B]`), which names images of `cifar_test` so that their pixels need not be copied.
///
/// # Errors
/// A missing or malformed tensor; `cifar_test_index` without `cifar_test`, or beyond it.
pub fn open_fixed_images(path: &Path, cifar_test: Option<&ImageSet>) -> Result<ImageSet> {
    const INDEX: &str = "cifar_test_index";
    let file = TensorFile::open(path)?;
    if !file.has(INDEX) {
        return from_file(file);
    }
    let Some(images) = cifar_test else {
        return Err(Error::field(
            path,
            INDEX,
            "the CIFAR-10 test images that the indices are of (--data)",
            "none",
        ));
    };
    let indices = file.integers(INDEX)?;
    match indices.iter().find(|&&i| i >= images.len()) {
        None => images.subset(&indices),
        Some(i) => Err(Error::field(
            path,
            INDEX,
            format!("indices below {}", images.len()),
            i.to_string(),
        )),
    }
}

/// Noise of a parity file: key `noise`, f32 `[B, C, H, W]` with `expected` as its shape.
///
/// # Errors
/// A missing or malformed tensor, another shape, or a value that is not finite.
pub fn read_noise(path: &Path, expected: &[usize]) -> Result<ArrayD<f32>> {
    const KEY: &str = "noise";
    let file = TensorFile::open(path)?;
    let shape = floats_shape(&file, KEY)?;
    if shape[..] != *expected {
        return Err(Error::field(
            path,
            KEY,
            format!("shape {expected:?}, like the images"),
            format!("shape {shape:?}"),
        ));
    }
    let bytes = file.bytes(file.info(KEY, "a tensor of that name")?)?;
    let values: Vec<f32> = floats(&bytes).collect();
    if let Some(bad) = values.iter().find(|x| !x.is_finite()) {
        return Err(Error::field(path, KEY, "finite values", bad.to_string()));
    }
    ArrayD::from_shape_vec(IxDyn(expected), values)
        .map_err(|e| Error::field(path, KEY, format!("shape {expected:?}"), e.to_string()))
}
