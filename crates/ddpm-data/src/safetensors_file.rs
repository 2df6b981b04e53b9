//! `.safetensors` files: `x_start` f32 `[B, C, H, W]` in [-1, 1], or `images` uint8 `[B, C, H, W]`, or `data` f32 `[B, ..]`, finite numbers
//! of any shape; `labels` (i64, i32 or uint8 `[B]`) if any. Metadata `stand_in = "true"` marks a stand-in set.
//!
//! Images are read where they lie, and floats are checked when they are read.

use std::path::Path;

use ddpm_files::TensorFile;
use safetensors::tensor::Dtype;

use super::ImageSet;
use super::pixels::{Element, Pixels};
use super::records::{Order, Records};
use crate::error::Result;

const BYTES: &str = "uint8 [images, channels, height, width]";

/// Opens a file of images.
pub(crate) fn read(path: &Path) -> Result<ImageSet> {
    from_file(TensorFile::open(path)?)
}

/// The same of an open file.
pub(crate) fn from_file(file: TensorFile) -> Result<ImageSet> {
    let (element, key) = if file.has("x_start") {
        (Element::F32, "x_start")
    } else if file.has("images") {
        (Element::U8, "images")
    } else {
        file.info(
            "data",
            "a tensor x_start (f32), images (uint8) or data (f32)",
        )?;
        (Element::Data, "data")
    };
    let all = match element {
        Element::F32 => floats_shape(&file, key)?.to_vec(),
        Element::U8 => bytes_shape(&file, key)?.to_vec(),
        Element::Data => data_shape(&file, key)?,
    };
    let (count, shape) = (all[0], &all[1..]);
    let labels = file.has("labels").then(|| labels(&file, count));
    let stand_in = file.metadata("stand_in") == Some("true");
    let start = file.position(file.info(key, "a tensor of that name")?);
    let dims = shape.iter().product::<usize>();
    let size = dims * element.size();
    let records = Records::new(file.into_file(), start, size, count, Order::Planes);
    let pixels = Pixels::files(element, dims, vec![records]);
    Ok(ImageSet::from_read_parts("safetensors", shape, pixels, labels).with_stand_in(stand_in))
}

/// The shape of an f32 tensor `[B, ..]` with at least one value.
fn data_shape(file: &TensorFile, key: &str) -> Result<Vec<usize>> {
    let info = file.typed(key, Dtype::F32, "f32 [data, ..]")?;
    if info.shape.len() < 2 || info.shape.contains(&0) {
        return Err(file
            .other_shape(key, "at least one datum, [data, ..]", info)
            .into());
    }
    Ok(info.shape.clone())
}

/// The shape of an f32 tensor `[B, C, H, W]` with at least one value.
pub(crate) fn floats_shape(file: &TensorFile, key: &str) -> Result<[usize; 4]> {
    file.typed(key, Dtype::F32, "f32 [images, channels, height, width]")?;
    four(file, key)
}

fn bytes_shape(file: &TensorFile, key: &str) -> Result<[usize; 4]> {
    let info = file.typed(key, Dtype::U8, BYTES)?;
    let shape = four(file, key)?;
    match shape[1] {
        1 | 3 => Ok(shape),
        _ => Err(file
            .other_shape(key, &format!("{BYTES} with 1 or 3 channels"), info)
            .into()),
    }
}

fn labels(file: &TensorFile, count: usize) -> Result<Vec<usize>> {
    let info = file.info("labels", "a tensor of that name")?;
    if info.shape != [count] {
        let expected = format!("shape [{count}], one per image");
        return Err(file.other_shape("labels", &expected, info).into());
    }
    Ok(file.integers("labels")?)
}

fn four(file: &TensorFile, key: &str) -> Result<[usize; 4]> {
    let info = file.info(key, "a tensor of that name")?;
    match <[usize; 4]>::try_from(&info.shape[..]) {
        Ok(four) if four.iter().all(|&n| n > 0) => Ok(four),
        _ => Err(file
            .other_shape(
                key,
                "at least one image, [images, channels, height, width]",
                info,
            )
            .into()),
    }
}
