//! Changes of resolution, and joining maps.

use std::sync::Arc;

use super::maps::{Maps, Shape};
use super::tasks::{Pool, for_pieces};
use crate::{Error, Result};

/// Height and width doubled by repeating pixels.
pub(crate) fn upsample(pool: &Arc<Pool>, x: &Maps) -> Result<Maps> {
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
pub(crate) fn pool_means(pool: &Arc<Pool>, x: &Maps) -> Result<Maps> {
    let shape = x.shape();
    let _timer = super::timing::start(|| format!("pool {}x{}", shape.height, shape.width));
    let result = Shape {
        height: shape.height / 2,
        width: shape.width / 2,
        ..shape
    };
    let stride = shape.stride();
    let row = shape.width * stride;
    Maps::by_rows(pool, result, |image, y, out| {
        let rows = &x.values()[(image * shape.height + 2 * y) * row..][..2 * row];
        let (above, below) = rows.split_at(row);
        for (i, out) in out.chunks_exact_mut(stride).enumerate() {
            let pixels = 2 * i * stride..2 * (i + 1) * stride;
            let (a, b) = above[pixels.clone()].split_at(stride);
            let (c, d) = below[pixels].split_at(stride);
            for (channel, out) in out.iter_mut().enumerate() {
                *out = (a[channel] + b[channel] + c[channel] + d[channel]) * 0.25;
            }
        }
    })
}

/// The channels of all of `parts`, one after the other.
pub(crate) fn join(pool: &Arc<Pool>, parts: &[&Maps]) -> Result<Maps> {
    let shapes: Vec<Shape> = parts.iter().map(|part| part.shape()).collect();
    let size = |shape: &Shape| (shape.batch, shape.height, shape.width);
    let first = match shapes.first() {
        Some(first) if shapes.iter().all(|shape| size(shape) == size(first)) => *first,
        _ => {
            return Err(Error::Input(format!("maps of {shapes:?} cannot be joined")));
        }
    };
    let result = Shape {
        channels: shapes.iter().map(|shape| shape.channels).sum(),
        ..first
    };
    let _timer = super::timing::start(|| format!("join {}x{}", first.height, first.width));
    Maps::by_rows(pool, result, |image, y, out| {
        for (i, mut out) in out.chunks_exact_mut(result.stride()).enumerate() {
            let pixel = (image * result.height + y) * result.width + i;
            for part in parts {
                let Shape { channels, .. } = part.shape();
                let values = &part.values()[pixel * part.shape().stride()..][..channels];
                let (piece, rest) = out.split_at_mut(channels);
                piece.copy_from_slice(values);
                out = rest;
            }
            out.fill(0.0);
        }
    })
}

/// Every `stride`-th pixel of every `stride`-th row, with `before` channels of zeros before its own and as many behind them
/// as make `channels`: the shortcut without weights of He et al. 2016 (option A).
pub(crate) fn subsample(
    pool: &Arc<Pool>,
    x: &Maps,
    stride: usize,
    before: usize,
    channels: usize,
) -> Result<Maps> {
    let shape = x.shape();
    debug_assert!(before + shape.channels <= channels);
    let _timer = super::timing::start(|| format!("subsample {}x{}", shape.height, shape.width));
    let result = Shape {
        height: shape.height.div_ceil(stride),
        width: shape.width.div_ceil(stride),
        channels,
        ..shape
    };
    Maps::by_rows(pool, result, |image, y, out| {
        out.fill(0.0);
        for (i, out) in out.chunks_exact_mut(result.stride()).enumerate() {
            let pixel = (image * shape.height + y * stride) * shape.width + i * stride;
            let values = &x.values()[pixel * shape.stride()..][..shape.channels];
            out[before..before + shape.channels].copy_from_slice(values);
        }
    })
}
