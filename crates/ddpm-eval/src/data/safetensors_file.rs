//! `.safetensors` files: `x_start` f32 `[B, C, H, W]` in [-1, 1], or `images` uint8 `[B, C, H, W]`; `labels`
//! (i64, i32 or uint8 `[B]`) if any. Metadata `stand_in = "true"` marks a stand-in set.

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::ImageSet;
use super::image_set::Pixels;
use crate::error::{Error, Result};

/// Rounding slack of pixels that were computed in f32.
const BEYOND: f32 = 1e-6;

/// Reads a file of images.
pub(crate) fn read(path: &Path) -> Result<ImageSet> {
    let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
    from_bytes(path, &bytes)
}

/// The same from the file's content.
pub(crate) fn from_bytes(path: &Path, bytes: &[u8]) -> Result<ImageSet> {
    let (file, stand_in) = parse(path, bytes)?;
    let names = file.names();
    let set = if names.contains(&"x_start") {
        let (shape, values) = images_f32(path, &file, "x_start")?;
        let dims: usize = shape[1..].iter().product();
        if let Some(at) = values
            .iter()
            .position(|x| x.is_nan() || x.abs() > 1.0 + BEYOND)
        {
            return Err(Error::field(
                path,
                "x_start",
                "pixels in [-1, 1]",
                format!("{} in image {}", values[at], at / dims),
            ));
        }
        ImageSet::from_parts(
            "safetensors",
            image_shape(shape),
            Pixels::Floats(values),
            None,
        )
    } else if names.contains(&"images") {
        let view = tensor(
            path,
            &file,
            "images",
            Dtype::U8,
            "uint8 [images, channels, height, width]",
        )?;
        let shape = four(path, "images", view.shape())?;
        if !matches!(shape[1], 1 | 3) {
            return Err(Error::field(
                path,
                "images",
                "uint8 [images, channels, height, width] with 1 or 3 channels",
                format!("shape {:?}", view.shape()),
            ));
        }
        ImageSet::from_parts(
            "safetensors",
            image_shape(shape),
            Pixels::Bytes(view.data().to_vec()),
            None,
        )
    } else {
        return Err(missing(
            path,
            &file,
            "x_start",
            "a tensor x_start (f32) or images (uint8)",
        ));
    };
    let labels = match names.contains(&"labels") {
        true => Some(integers(path, &file, "labels", set.len())?),
        false => None,
    };
    let set = set.with_stand_in(stand_in);
    match labels {
        Some(labels) => set.with_labels(labels),
        None => Ok(set),
    }
}

/// The header, checked, and whether its metadata mark a stand-in.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<(SafeTensors<'a>, bool)> {
    let malformed = |e: safetensors::SafeTensorError| {
        Error::field(path, "header", "a readable safetensors file", e.to_string())
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let stand_in = header
        .metadata()
        .as_ref()
        .and_then(|m| m.get("stand_in"))
        .is_some_and(|v| v == "true");
    Ok((
        SafeTensors::deserialize(bytes).map_err(malformed)?,
        stand_in,
    ))
}

/// An f32 tensor `[B, C, H, W]` with at least one value.
pub(crate) fn images_f32(
    path: &Path,
    file: &SafeTensors<'_>,
    key: &str,
) -> Result<([usize; 4], Vec<f32>)> {
    let view = tensor(
        path,
        file,
        key,
        Dtype::F32,
        "f32 [images, channels, height, width]",
    )?;
    let shape = four(path, key, view.shape())?;
    let values = view
        .data()
        .as_chunks()
        .0
        .iter()
        .map(|&b| f32::from_le_bytes(b))
        .collect();
    Ok((shape, values))
}

/// A one-dimensional tensor of non-negative integers.
pub(crate) fn integers(
    path: &Path,
    file: &SafeTensors<'_>,
    key: &str,
    len: usize,
) -> Result<Vec<usize>> {
    let view = file
        .tensor(key)
        .map_err(|_| missing(path, file, key, "a tensor of that name"))?;
    if view.shape() != [len] {
        return Err(Error::field(
            path,
            key,
            format!("shape [{len}], one per image"),
            format!("shape {:?}", view.shape()),
        ));
    }
    let values: Vec<i64> = match view.dtype() {
        Dtype::I64 => view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| i64::from_le_bytes(b))
            .collect(),
        Dtype::I32 => view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| i64::from(i32::from_le_bytes(b)))
            .collect(),
        Dtype::U8 => view.data().iter().map(|&b| i64::from(b)).collect(),
        other => {
            return Err(Error::field(
                path,
                key,
                "i64, i32 or uint8",
                format!("{other:?}"),
            ));
        }
    };
    values
        .into_iter()
        .map(|v| {
            usize::try_from(v)
                .map_err(|_| Error::field(path, key, "integers from 0 up", v.to_string()))
        })
        .collect()
}

/// An error for a key that is not there, with those that are.
pub(crate) fn missing(path: &Path, file: &SafeTensors<'_>, key: &str, expected: &str) -> Error {
    let mut names = file.names();
    names.sort_unstable();
    let found = match names.is_empty() {
        true => "no tensors".to_owned(),
        false => format!("only {}", names.join(", ")),
    };
    Error::field(path, key, expected, found)
}

fn tensor<'a>(
    path: &Path,
    file: &SafeTensors<'a>,
    key: &str,
    dtype: Dtype,
    expected: &str,
) -> Result<TensorView<'a>> {
    let view = file
        .tensor(key)
        .map_err(|_| missing(path, file, key, expected))?;
    match view.dtype() == dtype {
        true => Ok(view),
        false => Err(Error::field(
            path,
            key,
            expected,
            format!("{:?}", view.dtype()),
        )),
    }
}

fn four(path: &Path, key: &str, shape: &[usize]) -> Result<[usize; 4]> {
    match <[usize; 4]>::try_from(shape) {
        Ok(four) if four.iter().all(|&n| n > 0) => Ok(four),
        _ => Err(Error::field(
            path,
            key,
            "at least one image, [images, channels, height, width]",
            format!("shape {shape:?}"),
        )),
    }
}

fn image_shape([_, c, h, w]: [usize; 4]) -> [usize; 3] {
    [c, h, w]
}
