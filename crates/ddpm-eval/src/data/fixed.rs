//! Fixed tensors for parity checks: the very images and noise that another implementation was run on.

use std::path::Path;

use ndarray::Array4;

use super::ImageSet;
use super::safetensors_file::{images_f32, integers, missing, parse};
use crate::error::{Error, Result};

/// Images of a parity file: either `x_start` (f32 in [-1, 1], `[B, C, H, W]`; see [`open`](super::open)) or
/// `cifar_test_index` (i64 `[B]`), which names images of `cifar_test` so that their pixels need not be copied.
///
/// # Errors
/// A missing or malformed tensor; `cifar_test_index` without `cifar_test`, or beyond it.
pub fn open_fixed_images(path: &Path, cifar_test: Option<&ImageSet>) -> Result<ImageSet> {
    const INDEX: &str = "cifar_test_index";
    let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
    let (file, _) = parse(path, &bytes)?;
    if !file.names().contains(&INDEX) {
        return super::safetensors_file::from_bytes(path, &bytes);
    }
    let Some(images) = cifar_test else {
        return Err(Error::field(
            path,
            INDEX,
            "the CIFAR-10 test images that the indices are of (--data)",
            "none",
        ));
    };
    let len = file
        .tensor(INDEX)
        .map_err(|_| missing(path, &file, INDEX, "a tensor of that name"))?
        .shape()
        .iter()
        .product();
    let indices = integers(path, &file, INDEX, len)?;
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
pub fn read_noise(path: &Path, expected: [usize; 4]) -> Result<Array4<f32>> {
    let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
    let (file, _) = parse(path, &bytes)?;
    let (shape, values) = images_f32(path, &file, "noise")?;
    if shape != expected {
        return Err(Error::field(
            path,
            "noise",
            format!("shape {expected:?}, like the images"),
            format!("shape {shape:?}"),
        ));
    }
    if let Some(bad) = values.iter().find(|x| !x.is_finite()) {
        return Err(Error::field(
            path,
            "noise",
            "finite values",
            bad.to_string(),
        ));
    }
    Array4::from_shape_vec(shape, values)
        .map_err(|e| Error::field(path, "noise", format!("shape {expected:?}"), e.to_string()))
}
