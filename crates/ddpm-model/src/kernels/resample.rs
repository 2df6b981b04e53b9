//! Changes of resolution, and joining maps.

use std::sync::Arc;

use super::buffer::Pool;
use super::maps::{Maps, Shape};
use super::tasks::for_pieces;
use crate::{Error, Result};

/// Height and width doubled by repeating pixels.
pub(crate) fn upsample(pool: &Arc<Pool>, x: &Maps) -> Maps {
    let shape = x.shape();
    let _timer = super::timing::start(|| format!("upsample {}x{}", shape.height, shape.width));
    let result = Shape {
        height: 2 * shape.height,
        width: 2 * shape.width,
        ..shape
    };
    let row = shape.width * shape.stride();
    Maps::new(pool, result, |out| {
        // Two rows of the result are one row of `x`.
        let lengths = std::iter::repeat_n(4 * row, shape.batch * shape.height);
        for_pieces(out, lengths, |task, out| {
            let (first, second) = out.split_at_mut(2 * row);
            let pixels = x.values()[task * row..(task + 1) * row].chunks_exact(shape.stride());
            for (pixel, out) in pixels.zip(first.chunks_exact_mut(2 * shape.stride())) {
                let (left, right) = out.split_at_mut(shape.stride());
                left.copy_from_slice(pixel);
                right.copy_from_slice(pixel);
            }
            second.copy_from_slice(first);
        });
    })
}

/// Height and width halved by the mean of 2x2 pixels; a last odd row or column is dropped.
pub(crate) fn pool_means(pool: &Arc<Pool>, x: &Maps) -> Maps {
    let shape = x.shape();
    let _timer = super::timing::start(|| format!("pool {}x{}", shape.height, shape.width));
    let result = Shape {
        height: shape.height / 2,
        width: shape.width / 2,
        ..shape
    };
    let stride = shape.stride();
    let row = shape.width * stride;
    Maps::new(pool, result, |out| {
        let lengths = std::iter::repeat_n(result.width * stride, shape.batch * result.height);
        for_pieces(out, lengths, |task, out| {
            let (image, y) = (task / result.height, task % result.height * 2);
            let rows = &x.values()[(image * shape.height + y) * row..][..2 * row];
            let (above, below) = rows.split_at(row);
            for (i, out) in out.chunks_exact_mut(stride).enumerate() {
                let pixels = 2 * i * stride..2 * (i + 1) * stride;
                let (a, b) = above[pixels.clone()].split_at(stride);
                let (c, d) = below[pixels].split_at(stride);
                for (channel, out) in out.iter_mut().enumerate() {
                    *out = (a[channel] + b[channel] + c[channel] + d[channel]) * 0.25;
                }
            }
        });
    })
}

/// The channels of `x`, then those of `y`.
///
/// # Errors
/// [`Error::Input`] if the maps differ in batch or size.
pub(crate) fn join(pool: &Arc<Pool>, x: &Maps, y: &Maps) -> Result<Maps> {
    let (left, right) = (x.shape(), y.shape());
    let result = Shape {
        channels: left.channels + right.channels,
        ..left
    };
    if (Shape {
        channels: right.channels,
        ..left
    }) != right
    {
        return Err(Error::Input(format!(
            "maps of {left:?} and {right:?} cannot be joined"
        )));
    }
    let _timer = super::timing::start(|| format!("join {}x{}", left.height, left.width));
    let row = result.width * result.stride();
    Ok(Maps::new(pool, result, |out| {
        let lengths = std::iter::repeat_n(row, result.batch * result.height);
        for_pieces(out, lengths, |task, out| {
            for (i, out) in out.chunks_exact_mut(result.stride()).enumerate() {
                let pixel = task * result.width + i;
                let (first, rest) = out.split_at_mut(left.channels);
                let (second, padding) = rest.split_at_mut(right.channels);
                first.copy_from_slice(&x.values()[pixel * left.stride()..][..left.channels]);
                second.copy_from_slice(&y.values()[pixel * right.stride()..][..right.channels]);
                padding.fill(0.0);
            }
        });
    }))
}
