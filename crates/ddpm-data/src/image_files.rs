//! Writing 8-bit images: one PNG with all of them in a grid, a folder of PNG files, or an `.npz` archive.
//!
//! Every file is written atomically and the bytes depend on the images alone, not on the time or the machine.

use std::io::Cursor;
use std::path::Path;

use ddpm_files::npz::NpzWriter;
use ddpm_files::write_atomic;
use ndarray::{Array, Array1, Array4, ArrayView, ArrayView3, ArrayView4, Axis, Dimension, Ix4};

use super::image_set::check_labels;
use crate::error::{Error, Result};

/// Pixels between the images of a grid.
const GRID_GAP: usize = 2;

/// 8-bit images `[N, C, H, W]`, N >= 1, of one (grey) or three (RGB) channels.
#[derive(Clone, Debug)]
pub struct Images {
    pixels: Array4<u8>,
}

impl Images {
    /// Images from samples `[N, C, H, W]` in [-1, 1]: `round((x + 1) * 127.5)`, clamped to 0..=255, the inverse of
    /// how data are read. (improved-diffusion truncates instead, which darkens every pixel by half a level.)
    ///
    /// # Errors
    /// When the shape is another, there is no pixel, or the channels are not 1 or 3.
    pub fn from_samples<D: Dimension>(samples: ArrayView<'_, f32, D>) -> Result<Self> {
        // The cast saturates, and sends NaN to 0.
        Self::from_bytes(samples.mapv(|x| ((x + 1.0) * 127.5).round() as u8))
    }

    /// Images from bytes `[N, C, H, W]`.
    ///
    /// # Errors
    /// When the shape is another, there is no pixel, or the channels are not 1 or 3.
    pub fn from_bytes<D: Dimension>(pixels: Array<u8, D>) -> Result<Self> {
        let shape = pixels.shape().to_vec();
        match pixels.into_dimensionality::<Ix4>() {
            Ok(pixels) if !pixels.is_empty() && matches!(pixels.dim().1, 1 | 3) => {
                Ok(Self { pixels })
            }
            _ => Err(Error::request(
                "images",
                format!(
                    "expected at least one image [N, C, H, W] with 1 or 3 channels, found shape {shape:?}"
                ),
            )),
        }
    }

    /// The pixels, `[N, C, H, W]`.
    pub fn view(&self) -> ArrayView4<'_, u8> {
        self.pixels.view()
    }

    /// All images in one PNG, row by row, in as square a grid as their number allows, black between them.
    pub fn to_png_grid(&self) -> Vec<u8> {
        let (n, c, h, w) = self.pixels.dim();
        let columns = (1..).find(|k| k * k >= n).unwrap_or(n);
        let rows = n.div_ceil(columns);
        let extent = |count: usize, size: usize| count * (size + GRID_GAP) - GRID_GAP;
        let mut grid = Array4::zeros((1, c, extent(rows, h), extent(columns, w)));
        for (i, image) in self.pixels.outer_iter().enumerate() {
            let (top, left) = (i / columns * (h + GRID_GAP), i % columns * (w + GRID_GAP));
            grid.slice_mut(ndarray::s![0, .., top..top + h, left..left + w])
                .assign(&image);
        }
        to_png(grid.index_axis(Axis(0), 0))
    }
}

/// The bytes of a PNG file from an image `[C, H, W]` of 1 or 3 channels.
fn to_png(image: ArrayView3<'_, u8>) -> Vec<u8> {
    let (c, h, w) = image.dim();
    let interleaved: Vec<u8> = image.permuted_axes([1, 2, 0]).iter().copied().collect();
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, w as u32, h as u32);
    encoder.set_color(match c {
        1 => png::ColorType::Grayscale,
        _ => png::ColorType::Rgb,
    });
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&interleaved))
        .expect("a Vec takes every write and the sizes match");
    out
}

/// Writes all images into one PNG file; see [`Images::to_png_grid`].
///
/// # Errors
/// When the file cannot be written.
pub fn write_png_grid(path: &Path, images: &Images) -> Result<()> {
    write_atomic(path, &images.to_png_grid()).map_err(|e| Error::write(path, e))
}

/// Writes one PNG file per image into `folder`, which is created if need be. Image i is named by its index
/// `first + i`, six digits, so that the sorted names are in the order of the images.
///
/// # Errors
/// When the folder cannot be created or a file cannot be written.
pub fn write_png_folder(folder: &Path, images: &Images, first: usize) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::write(folder, e))?;
    for (i, image) in images.pixels.outer_iter().enumerate() {
        let path = folder.join(format!("{:06}.png", first + i));
        write_atomic(&path, &to_png(image)).map_err(|e| Error::write(&path, e))?;
    }
    Ok(())
}

/// Writes `arr_0` uint8 `[N, H, W, C]` and, with labels, `arr_1` int64 `[N]`: the layout in which
/// improved-diffusion saves samples and guided-diffusion's evaluator reads them.
///
/// # Errors
/// When the labels are not one per image, or the file cannot be written.
pub fn write_npz(path: &Path, images: &Images, labels: Option<&[usize]>) -> Result<()> {
    if let Some(labels) = labels {
        check_labels(images.pixels.dim().0, labels)?;
    }
    let encode = || {
        let mut writer = NpzWriter::new(Cursor::new(Vec::new()));
        // Row-major in the order of the file; a permuted view would be stored column-major.
        let interleaved = images.pixels.view().permuted_axes([0, 2, 3, 1]);
        writer.add_array("arr_0", &interleaved.as_standard_layout())?;
        if let Some(labels) = labels {
            writer.add_array(
                "arr_1",
                &labels.iter().map(|&l| l as i64).collect::<Array1<i64>>(),
            )?;
        }
        writer.finish()
    };
    let bytes = encode().map_err(|e| Error::write(path, std::io::Error::other(e)))?;
    write_atomic(path, bytes.get_ref()).map_err(|e| Error::write(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_round_back_to_the_bytes_they_came_from() {
        let samples = Array4::from_shape_fn((256, 1, 1, 1), |(p, ..)| p as f32 / 127.5 - 1.0);
        let images = Images::from_samples(samples.view()).unwrap();
        assert!(images.view().iter().copied().eq(0..=255));
        let beyond = ndarray::array![[[[-3.0f32, 3.0, f32::NAN]]]];
        assert!(
            Images::from_samples(beyond.view())
                .unwrap()
                .view()
                .iter()
                .eq(&[0, 255, 0])
        );
    }

    #[test]
    fn a_grid_places_images_row_by_row() {
        let images = Array4::from_shape_fn((3, 3, 2, 4), |(n, c, ..)| (10 * (n + 1) + c) as u8);
        let bytes = Images::from_bytes(images).unwrap().to_png_grid();
        let mut reader = png::Decoder::new(Cursor::new(&bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (2 * 4 + 2, 2 * 2 + 2));
        let at = |x: usize, y: usize| &pixels[3 * (y * 10 + x)..][..3];
        assert_eq!(at(0, 0), [10, 11, 12]);
        assert_eq!(at(9, 1), [20, 21, 22]);
        assert_eq!(at(4, 0), [0, 0, 0]);
        assert_eq!(at(0, 4), [30, 31, 32]);
        assert_eq!(at(9, 5), [0, 0, 0]);
    }

    #[test]
    fn refuses_other_channels_labels_and_places() {
        assert!(Images::from_bytes(Array4::zeros((1, 2, 3, 3))).is_err());
        assert!(Images::from_bytes(Array4::zeros((0, 3, 3, 3))).is_err());
        let images = Images::from_bytes(Array4::zeros((2, 3, 3, 3))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let below = file.join("below.png");
        for result in [
            write_png_grid(&below, &images),
            write_png_folder(&below, &images, 0),
            write_npz(&below, &images, None),
        ] {
            assert!(matches!(result, Err(Error::Write { .. })));
        }
        assert!(write_npz(&folder.path().join("a.npz"), &images, Some(&[1])).is_err());
    }

    #[test]
    fn archives_are_the_same_bytes_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::from_bytes(Array4::zeros((2, 3, 3, 3))).unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            write_npz(&path, &images, Some(&[1, 2])).unwrap();
            std::fs::read(path).unwrap()
        };
        assert_eq!(write("a.npz"), write("b.npz"));
    }
}
