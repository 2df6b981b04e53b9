//! Largest values and means of windows.

use std::sync::Arc;

use super::conv_method::Window;
use super::maps::{Maps, Shape};
use super::tasks::Pool;
use crate::{Error, Result};

/// What becomes of the pixels of a window.
///
/// Pixels outside of the image take no part in either: the mean is over those inside (TensorFlow's `SAME` padding,
/// `count_include_pad=False` in PyTorch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// The largest of each channel.
    Largest,
    /// The mean of each channel.
    Mean,
}

impl Pooling {
    /// Pools `x`, window by window.
    pub(crate) fn forward(self, pool: &Arc<Pool>, x: &Maps, window: Window) -> Result<Maps> {
        let shape = x.shape();
        let Some([height, width]) = window.result([shape.height, shape.width]) else {
            return Err(Error::Input(format!(
                "pooling: an image of {}x{} pixels is smaller than {window:?}",
                shape.height, shape.width
            )));
        };
        let _timer = super::timing::start(|| format!("{self:?} {height}x{width}"));
        let result = Shape {
            height,
            width,
            ..shape
        };
        let stride = shape.stride();
        Maps::by_rows(pool, result, |image, y, out| {
            let lines = inside(y, 0, window, shape.height);
            for (column, out) in out.chunks_exact_mut(stride).enumerate() {
                let places = inside(column, 1, window, shape.width);
                let mut pixels = lines.clone().flat_map(|y| {
                    let line = (image * shape.height + y) * shape.width;
                    places.clone().map(move |x| (line + x) * stride)
                });
                // A window never lies outside as a whole: padding is less than its size.
                let Some(first) = pixels.next() else { continue };
                out.copy_from_slice(&x.values()[first..][..stride]);
                for pixel in pixels {
                    let out = out.iter_mut().zip(&x.values()[pixel..][..stride]);
                    match self {
                        Self::Largest => out.for_each(|(out, &x)| *out = out.max(x)),
                        Self::Mean => out.for_each(|(out, &x)| *out += x),
                    }
                }
                if self == Self::Mean {
                    let count = (lines.len() * places.len()) as f32;
                    out.iter_mut().for_each(|sum| *sum /= count);
                }
            }
        })
    }
}

/// The pixels of window `index` along `axis` that lie inside of an image of `size`.
fn inside(index: usize, axis: usize, window: Window, size: usize) -> std::ops::Range<usize> {
    let begin = index * window.stride;
    let end = (begin + window.kernel[axis]).saturating_sub(window.padding[axis]);
    begin.saturating_sub(window.padding[axis])..end.min(size)
}

/// The mean of every channel over the whole image: one row of [`Shape::channels`] values per image, summed in f64.
pub(crate) fn global_means(x: &Maps) -> Vec<f32> {
    let shape = x.shape();
    let stride = shape.stride();
    let _timer = super::timing::start(|| format!("means {}x{}", shape.height, shape.width));
    let mut means = Vec::with_capacity(shape.batch * shape.channels);
    for image in x.values().chunks_exact(shape.pixels() * stride) {
        let mut sums = vec![0f64; shape.channels];
        for pixel in image.chunks_exact(stride) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(value);
            }
        }
        means.extend(sums.iter().map(|sum| (sum / shape.pixels() as f64) as f32));
    }
    means
}
