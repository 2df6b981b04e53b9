//! Convolutions of any size and stride as one product: patches of the image are the rows.

use bytemuck::cast_slice_mut;
use pulp::{Simd, WithSimd};

use super::conv_method::{ConvSizes, Epilogue, Prepared, Window};
use super::element::{Element, Rows};
use super::isa::{CHANNEL_MULTIPLE, Isa, padded};
use super::maps::Shape;
use super::panels::Panels;
use super::tasks::{for_pieces, units_per_task, with_scratch};

/// Pixels that a task copies and multiplies at once.
const PIXELS: usize = 48;

/// Entries of a patch that are multiplied at once: a panel of so many lines stays near the core while all rows use it.
const DEPTH: usize = 512;

/// Weights of a convolution, multiplied as `E`.
pub(super) struct GemmConv<E> {
    isa: Isa,
    /// One block for every part of a patch, [`DEPTH`] lines or less.
    weights: Vec<Panels<E>>,
    window: Window,
}

impl<E: Element> GemmConv<E> {
    /// `weight` of the shape [`ConvSizes::weight`].
    pub(super) fn new(isa: Isa, weight: &[f32], sizes: ConvSizes) -> Self {
        let ConvSizes {
            inputs,
            outputs,
            window,
        } = sizes;
        let (depth, area) = (padded(inputs), window.area());
        // Lines of a patch: pixel by pixel, channels with their padding inside.
        let weights = (0..area * depth)
            .step_by(DEPTH)
            .map(|first| {
                let lines = DEPTH.min(area * depth - first);
                Panels::new(isa, 1, lines, outputs, |_, line, output| {
                    let (tap, input) = ((first + line) / depth, (first + line) % depth);
                    if input < inputs {
                        weight[(output * inputs + input) * area + tap]
                    } else {
                        0.0
                    }
                })
            })
            .collect();
        Self {
            isa,
            weights,
            window,
        }
    }
}

impl<E: Element> Prepared for GemmConv<E> {
    fn forward(
        &self,
        x: &[f32],
        shape: Shape,
        Shape { height, width, .. }: Shape,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) {
        let pixels = shape.batch * height * width;
        let per_task = units_per_task(pixels, PIXELS * 4);
        let tasks = pixels.div_ceil(per_task);
        let columns = epilogue.bias.len();
        let lengths = (0..tasks).map(|task| (pixels - task * per_task).min(per_task) * columns);
        let patch = self.window.area() * shape.stride();
        for_pieces(out, lengths, |task, out| {
            let rows_floats = (PIXELS * patch * size_of::<E>()).div_ceil(size_of::<f32>());
            let rows_floats = rows_floats.next_multiple_of(CHANNEL_MULTIPLE);
            let widest = self.weights.first().map_or(0, Panels::widest);
            with_scratch(rows_floats + PIXELS * widest, |scratch| {
                let (rows, sums) = scratch.split_at_mut(rows_floats);
                self.isa.run(Task {
                    conv: self,
                    x,
                    shape,
                    output: [height, width],
                    epilogue,
                    patch,
                    rows: &mut cast_slice_mut(rows)[..PIXELS * patch],
                    sums,
                    first_pixel: task * per_task,
                    out,
                });
            });
        });
    }
}

struct Task<'a, E> {
    conv: &'a GemmConv<E>,
    x: &'a [f32],
    shape: Shape,
    /// Height and width of the result.
    output: [usize; 2],
    epilogue: Epilogue<'a>,
    /// Entries of a patch.
    patch: usize,
    rows: &'a mut [E],
    sums: &'a mut [f32],
    /// Which pixel of the result, over the batch, `out` begins with.
    first_pixel: usize,
    out: &'a mut [f32],
}

impl<E: Element> WithSimd for Task<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.epilogue.bias.len();
        let count = self.out.len() / columns;
        let per_image = self.output[0] * self.output[1];
        // The patch of a pixel is the pixel itself: nothing to copy.
        let pixels = (self.conv.window == Window::centred(1, 1))
            .then(|| E::unrounded(self.x))
            .flatten();
        for begin in (0..count).step_by(PIXELS) {
            let rows = PIXELS.min(count - begin);
            if pixels.is_none() {
                for i in 0..rows {
                    self.copy_patch(begin + i, i);
                }
            }
            let panels = self.conv.weights.first().map_or(0, Panels::count);
            for panel in 0..panels {
                let (channel, width) = self.conv.weights[0].range(panel);
                let mut first = 0;
                for (part, weights) in self.conv.weights.iter().enumerate() {
                    let rows = Rows {
                        entries: match pixels {
                            Some(pixels) => {
                                &pixels[(self.first_pixel + begin) * self.patch + first..]
                            }
                            None => &self.rows[first..],
                        },
                        stride: self.patch,
                        count: rows,
                    };
                    let sums = &mut self.sums[..rows.count * width];
                    let weights_panel = weights.panel(panel, 0);
                    E::multiply(simd, self.conv.isa, rows, weights_panel, sums, part > 0);
                    first += weights.depth();
                }
                for i in 0..rows {
                    let pixel = self.first_pixel + begin + i;
                    let out = &mut self.out[(begin + i) * columns..][..columns];
                    let sums = &self.sums[i * width..][..width];
                    self.epilogue
                        .write_row(simd, sums, pixel / per_image, pixel, channel, out);
                }
            }
        }
    }
}

impl<E: Element> Task<'_, E> {
    /// Copies the patch of a pixel of `out` into row `index`.
    #[inline(always)]
    fn copy_patch(&mut self, pixel: usize, index: usize) {
        let Window {
            kernel: [_, across],
            padding: [above, left],
            trailing: _,
            stride,
        } = self.conv.window;
        let [height, width] = self.output;
        let pixel = self.first_pixel + pixel;
        let image = pixel / (height * width);
        let (y, x) = (pixel / width % height * stride, pixel % width * stride);
        let depth = self.shape.stride();
        let row = &mut self.rows[index * self.patch..][..self.patch];
        for (tap, entries) in row.chunks_exact_mut(depth).enumerate() {
            let (y, x) = (y + tap / across, x + tap % across);
            let inside_y = (above..self.shape.height + above).contains(&y);
            let inside_x = (left..self.shape.width + left).contains(&x);
            if inside_y && inside_x {
                let (y, x) = (y - above, x - left);
                let begin = ((image * self.shape.height + y) * self.shape.width + x) * depth;
                E::round_all(&self.x[begin..begin + depth], entries);
            } else {
                entries.fill(E::round(0.0));
            }
        }
    }
}
