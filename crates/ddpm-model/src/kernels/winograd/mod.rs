//! 3x3 convolutions of stride 1 by Winograd's minimal filtering.
//!
//! The image is cut into tiles of M x M output pixels; each needs T x T input pixels, T = M + 2, and becomes T^2
//! numbers per channel (`input transform`). For each of the T^2 positions, the tiles of a task form the rows of a
//! product with that position's transformed weights, and T^2 sums per tile and output channel become M x M pixels
//! (`output transform`). A task is a few rows of tiles, so that what lies between the transforms stays in cache:
//!
//! ```text
//!   image ──B^T d B──▶ V [T^2][tiles][inputs] ──× U [T^2][inputs][panel]──▶ sums [T^2][tiles][panel] ──A^T m A──▶ pixels
//! ```

mod transforms;

use std::marker::PhantomData;

use bytemuck::cast_slice_mut;
use pulp::{Simd, WithSimd};

use super::conv_method::{ConvSizes, Epilogue, Prepared};
use super::element::{Element, Rows};
use super::isa::{CHANNEL_MULTIPLE, Isa, load, store};
use super::maps::Shape;
use super::panels::Panels;
use super::tasks::{for_pieces, units_per_task, with_scratch};
pub(super) use transforms::{F2, F4, Transform};

/// Tiles that one task takes through the transforms at once: enough rows for the product to reuse the weights it
/// streams, few enough for V to stay near the core.
const TILES: usize = 32;

/// Planes of V and of the sums are this many floats apart beyond their length: without it, planes would be a power of
/// two apart and compete for the same lines of the cache.
const SKEW: usize = 16;

/// Weights of a 3x3 convolution under F(M, 3), multiplied as `E`.
pub(super) struct Winograd<E, X, const T: usize, const M: usize> {
    isa: Isa,
    weights: Panels<E>,
    transform: PhantomData<X>,
}

impl<E: Element, X: Transform<T, M>, const T: usize, const M: usize> Winograd<E, X, T, M> {
    /// `weight` of the shape [`ConvSizes::weight`], its window of 3x3 pixels.
    pub(super) fn new(isa: Isa, weight: &[f32], sizes: ConvSizes) -> Self {
        let ConvSizes {
            inputs, outputs, ..
        } = sizes;
        let weights = Panels::new(isa, T * T, inputs, outputs, |block, input, output| {
            let (row, column) = (&X::FILTER[block / T], &X::FILTER[block % T]);
            let taps = &weight[(output * inputs + input) * 9..][..9];
            let mut sum = 0.0;
            for (i, r) in row.iter().enumerate() {
                for (j, c) in column.iter().enumerate() {
                    sum += r * c * f64::from(taps[3 * i + j]);
                }
            }
            sum as f32
        });
        Self {
            isa,
            weights,
            transform: PhantomData,
        }
    }
}

impl<E, X, const T: usize, const M: usize> Prepared for Winograd<E, X, T, M>
where
    E: Element,
    X: Transform<T, M>,
{
    fn forward(&self, x: &[f32], shape: Shape, _: Shape, epilogue: Epilogue<'_>, out: &mut [f32]) {
        let (down, across) = (shape.height.div_ceil(M), shape.width.div_ceil(M));
        let rows = shape.batch * down;
        let per_task = units_per_task(rows, (TILES / across).max(1));
        let tasks = rows.div_ceil(per_task);
        // Rows of pixels before a row of tiles, over the batch.
        let pixel_row = |row: usize| row / down * shape.height + row % down * M;
        let line = shape.width * self.weights.columns();
        let lengths = (0..tasks).map(|task| {
            let end = (task * per_task + per_task).min(rows);
            (pixel_row(end) - pixel_row(task * per_task)) * line
        });
        for_pieces(out, lengths, |task, out| {
            let first = task * per_task;
            let end = (first + per_task).min(rows);
            let tiles = first * across..end * across;
            let most = TILES.min(tiles.len());
            let depth = self.weights.depth();
            let plane = most * depth + 2 * SKEW;
            let sums_plane = most * self.weights.widest() + SKEW;
            let v_floats = (T * T * plane * size_of::<E>()).div_ceil(size_of::<f32>());
            let v_floats = v_floats.next_multiple_of(CHANNEL_MULTIPLE);
            with_scratch(v_floats + T * T * sums_plane, |scratch| {
                let (v, sums) = scratch.split_at_mut(v_floats);
                self.isa.run(Task {
                    winograd: self,
                    x,
                    shape,
                    epilogue,
                    grid: [down, across],
                    tiles,
                    v: &mut cast_slice_mut(v)[..T * T * plane],
                    plane,
                    sums,
                    sums_plane,
                    first_pixel: pixel_row(first) * shape.width,
                    out,
                });
            });
        });
    }
}

struct Task<'a, E, X, const T: usize, const M: usize> {
    winograd: &'a Winograd<E, X, T, M>,
    x: &'a [f32],
    shape: Shape,
    epilogue: Epilogue<'a>,
    /// Rows and columns of tiles of an image.
    grid: [usize; 2],
    /// Of all tiles of the batch.
    tiles: std::ops::Range<usize>,
    /// T^2 planes, each `tiles` x depth.
    v: &'a mut [E],
    plane: usize,
    /// T^2 planes, each `tiles` x panel width.
    sums: &'a mut [f32],
    sums_plane: usize,
    /// Which pixel of the batch `out` begins with.
    first_pixel: usize,
    out: &'a mut [f32],
}

/// Where a tile lies.
#[derive(Clone, Copy)]
struct Place {
    image: usize,
    /// First output pixel.
    y: usize,
    x: usize,
}

impl<E: Element, X: Transform<T, M>, const T: usize, const M: usize> WithSimd
    for Task<'_, E, X, T, M>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let weights = &self.winograd.weights;
        let depth = weights.depth();
        for first in self.tiles.clone().step_by(TILES) {
            let count = TILES.min(self.tiles.end - first);
            for i in 0..count {
                self.transform_input(simd, self.place(first + i), i);
            }
            for panel in 0..weights.count() {
                let (channel, width) = weights.range(panel);
                for position in 0..T * T {
                    let rows = Rows {
                        entries: &self.v[position * self.plane..][..count * depth],
                        stride: depth,
                        count,
                    };
                    let sums = &mut self.sums[position * self.sums_plane..][..count * width];
                    let weights = weights.panel(panel, position);
                    E::multiply(simd, self.winograd.isa, rows, weights, sums, false);
                }
                for i in 0..count {
                    self.transform_output(simd, self.place(first + i), i, channel, width);
                }
            }
        }
    }
}

impl<E: Element, X: Transform<T, M>, const T: usize, const M: usize> Task<'_, E, X, T, M> {
    #[inline(always)]
    fn place(&self, tile: usize) -> Place {
        let [down, across] = self.grid;
        Place {
            image: tile / (down * across),
            y: tile / across % down * M,
            x: tile % across * M,
        }
    }

    /// Writes row `index` of every plane of V.
    #[inline(always)]
    fn transform_input<S: Simd>(&mut self, simd: S, place: Place, index: usize) {
        let depth = self.winograd.weights.depth();
        let Shape { height, width, .. } = self.shape;
        // Where each input pixel begins in `x`, if it is inside of the image.
        let mut sources = [[usize::MAX; T]; T];
        for (i, row) in sources.iter_mut().enumerate() {
            for (j, source) in row.iter_mut().enumerate() {
                let (y, x) = (place.y + i, place.x + j);
                if (1..=height).contains(&y) && (1..=width).contains(&x) {
                    *source = ((place.image * height + y - 1) * width + x - 1) * depth;
                }
            }
        }
        for channel in (0..depth).step_by(S::F32_LANES) {
            let mut columns = [[simd.splat_f32s(0.0); T]; T];
            for j in 0..T {
                let mut column = [simd.splat_f32s(0.0); T];
                for i in 0..T {
                    let source = sources[i][j];
                    if source != usize::MAX {
                        column[i] = load::<S>(self.x, source + channel);
                    }
                }
                columns[j] = X::input(simd, column);
            }
            for i in 0..T {
                let mut row = [simd.splat_f32s(0.0); T];
                for j in 0..T {
                    row[j] = columns[j][i];
                }
                let row = X::input(simd, row);
                for j in 0..T {
                    let begin = (i * T + j) * self.plane + index * depth + channel;
                    E::store::<S>(self.v, begin, row[j]);
                }
            }
        }
    }

    /// Writes channels `channel..channel + width` of the pixels of a tile.
    #[inline(always)]
    fn transform_output<S: Simd>(
        &mut self,
        simd: S,
        place: Place,
        index: usize,
        channel: usize,
        width: usize,
    ) {
        let stride = self.winograd.weights.columns();
        let down = M.min(self.shape.height - place.y);
        let across = M.min(self.shape.width - place.x);
        let corner = (place.image * self.shape.height + place.y) * self.shape.width + place.x;
        for at in (0..width).step_by(S::F32_LANES) {
            let mut columns = [[simd.splat_f32s(0.0); M]; T];
            for j in 0..T {
                let mut column = [simd.splat_f32s(0.0); T];
                for i in 0..T {
                    let begin = (i * T + j) * self.sums_plane + index * width + at;
                    column[i] = load::<S>(self.sums, begin);
                }
                columns[j] = X::output(simd, column);
            }
            for i in 0..M {
                let mut row = [simd.splat_f32s(0.0); T];
                for j in 0..T {
                    row[j] = columns[j][i];
                }
                let row = X::output(simd, row);
                if i >= down {
                    continue;
                }
                for j in 0..M {
                    if j >= across {
                        continue;
                    }
                    let pixel = corner + i * self.shape.width + j;
                    let channel = channel + at;
                    let sum = self
                        .epilogue
                        .apply(simd, row[j], place.image, pixel, channel);
                    let begin = (pixel - self.first_pixel) * stride + channel;
                    store::<S>(self.out, begin, sum);
                }
            }
        }
    }
}
