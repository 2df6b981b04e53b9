//! Convolutions with weights packed once.

use pulp::{Arch, Simd, WithSimd};

use super::product::{RowSink, TileShape, VECTORS, multiply, panel_width, read_row, write_row};
use super::scratch::with_scratch;
use super::{PackedMatrix, Window};

/// A convolution with a square kernel and a bias.
pub(crate) struct PackedConv2d {
    /// `outputs` x (`inputs` `kernel`^2).
    weight: PackedMatrix,
    bias: Vec<f32>,
    inputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl PackedConv2d {
    /// `weight` of shape `[outputs, inputs, kernel, kernel]`, `bias` of shape `[outputs]`.
    pub(crate) fn new(
        weight: &[f32],
        bias: Vec<f32>,
        inputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        Self {
            weight: PackedMatrix::new(bias.len(), inputs * kernel * kernel, weight),
            bias,
            inputs,
            kernel,
            stride,
            padding,
        }
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// `[outputs, height, width]` for an image of `height` x `width`.
    pub(super) fn output_shape(&self, height: usize, width: usize) -> [usize; 3] {
        let [height, width] = self.window(height, width).output();
        [self.bias.len(), height, width]
    }

    fn window(&self, height: usize, width: usize) -> Window {
        Window::new(
            [self.inputs, height, width],
            self.kernel,
            self.stride,
            self.padding,
        )
    }

    /// Convolves one image `[inputs, height, width]` into `out` of [`output_shape`](Self::output_shape).
    ///
    /// `shift` is added to the bias; with `accumulate`, the result is added to what `out` holds.
    pub(super) fn forward(
        &self,
        image: &[f32],
        [height, width]: [usize; 2],
        shift: Option<&[f32]>,
        accumulate: bool,
        out: &mut [f32],
    ) {
        let bias: Vec<f32> = match shift {
            Some(shift) => self.bias.iter().zip(shift).map(|(b, s)| b + s).collect(),
            None => self.bias.clone(),
        };
        let window = self.window(height, width).flattened();
        // Outside of the dispatch: vector code must not be reached through a function of the baseline instruction set.
        with_scratch(window.lines() * TileShape::detect().columns, |panel| {
            Arch::new().dispatch(Convolution {
                conv: self,
                window,
                image,
                bias: &bias,
                accumulate,
                panel,
                out,
            });
        });
    }
}

struct Convolution<'a> {
    conv: &'a PackedConv2d,
    window: Window,
    image: &'a [f32],
    bias: &'a [f32],
    accumulate: bool,
    panel: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Convolution<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = panel_width::<S>();
        let columns = self.window.columns();
        for first in (0..columns).step_by(width) {
            self.window.fill(self.image, first, width, self.panel);
            let mut sink = OutputPanel {
                out: &mut *self.out,
                bias: self.bias,
                columns,
                first,
                len: width.min(columns - first),
                accumulate: self.accumulate,
            };
            multiply(simd, self.conv.weight.view(), self.panel, &mut sink);
        }
    }
}

/// Some columns of every row of the output.
struct OutputPanel<'a> {
    out: &'a mut [f32],
    bias: &'a [f32],
    columns: usize,
    first: usize,
    len: usize,
    accumulate: bool,
}

impl RowSink for OutputPanel<'_> {
    #[inline(always)]
    fn store<S: Simd>(&mut self, simd: S, row: usize, mut values: [S::f32s; VECTORS]) {
        let begin = row * self.columns + self.first;
        let out = &mut self.out[begin..begin + self.len];
        let bias = simd.splat_f32s(self.bias[row]);
        for value in &mut values {
            *value = simd.add_f32s(*value, bias);
        }
        if self.accumulate {
            let before = read_row(simd, out);
            for (value, before) in values.iter_mut().zip(before) {
                *value = simd.add_f32s(*value, before);
            }
        }
        write_row(simd, out, values);
    }
}
