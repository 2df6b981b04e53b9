//! What all methods of convolution share: windows, what is done to sums on their way out, and the call.

use pulp::Simd;

use super::isa::{load, store};
use super::maps::Shape;

/// The pixels of the image that a pixel of the result sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Height and width.
    pub(crate) kernel: [usize; 2],
    /// Rows of zeros above the image, and columns left of it.
    pub(crate) padding: [usize; 2],
    /// Rows of zeros below the image, and columns right of it.
    pub(crate) trailing: [usize; 2],
    /// Pixels from one window to the next, down and across.
    pub(crate) stride: usize,
}

impl Window {
    /// Of odd height and width, around its pixel where the stride is 1.
    pub(crate) fn around(kernel: [usize; 2], stride: usize) -> Self {
        let padding = kernel.map(|size| size / 2);
        Self {
            kernel,
            padding,
            trailing: padding,
            stride,
        }
    }

    /// A square of odd size, around its pixel where the stride is 1.
    pub(crate) fn centred(kernel: usize, stride: usize) -> Self {
        Self::around([kernel; 2], stride)
    }

    /// The same with `lead` zeros above and left of the image, the others of a square around its pixel below and right of it.
    pub(crate) fn with_lead(self, lead: usize) -> Self {
        Self {
            padding: [lead; 2],
            trailing: self.kernel.map(|kernel| kernel - 1 - lead),
            ..self
        }
    }

    /// Number of pixels.
    pub(super) fn area(self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Height and width of the result on an image of this size; `None` if no window fits.
    pub(super) fn result(self, size: [usize; 2]) -> Option<[usize; 2]> {
        let one = |axis: usize| {
            let room = size[axis] + self.padding[axis] + self.trailing[axis];
            Some(room.checked_sub(self.kernel[axis])? / self.stride + 1)
        };
        Some([one(0)?, one(1)?])
    }
}

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvSizes {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) window: Window,
}

impl ConvSizes {
    /// A square of stride 1, around its pixel.
    pub(crate) fn centred(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self {
            inputs,
            outputs,
            window: Window::centred(kernel, 1),
        }
    }

    /// Shape of the weights: `[outputs, inputs, kernel height, kernel width]`.
    pub(crate) fn weight(self) -> [usize; 4] {
        let [height, width] = self.window.kernel;
        [self.outputs, self.inputs, height, width]
    }
}

/// A convolution whose weights are packed for one method.
pub(super) trait Prepared: Send + Sync {
    /// Convolves `x` of `shape` into `out` of the shape `result`.
    fn forward(
        &self,
        x: &[f32],
        shape: Shape,
        result: Shape,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    );
}

/// Added to every pixel of the result, and what follows.
#[derive(Clone, Copy)]
pub(super) struct Epilogue<'a> {
    /// One per channel, padded.
    pub(super) bias: &'a [f32],
    /// One per image and channel, padded.
    pub(super) shift: Option<&'a [f32]>,
    /// One per pixel and channel, as the result.
    pub(super) addend: Option<&'a [f32]>,
    /// Whether negative sums become zero at the end.
    pub(super) relu: bool,
}

impl Epilogue<'_> {
    /// Adds to `sum`, and rectifies it if so asked, what belongs to channels `channel..` of pixel `pixel` (counted over the whole batch) of `image`.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(
        &self,
        simd: S,
        sum: S::f32s,
        image: usize,
        pixel: usize,
        channel: usize,
    ) -> S::f32s {
        let stride = self.bias.len();
        let mut sum = simd.add_f32s(sum, load::<S>(self.bias, channel));
        if let Some(shift) = self.shift {
            sum = simd.add_f32s(sum, load::<S>(shift, image * stride + channel));
        }
        if let Some(addend) = self.addend {
            sum = simd.add_f32s(sum, load::<S>(addend, pixel * stride + channel));
        }
        if self.relu {
            sum = simd.max_f32s(sum, simd.splat_f32s(0.0));
        }
        sum
    }

    /// Writes a row of `sums` to `channel..` of `pixel`, which is `out`.
    #[inline(always)]
    pub(super) fn write_row<S: Simd>(
        &self,
        simd: S,
        sums: &[f32],
        image: usize,
        pixel: usize,
        channel: usize,
        out: &mut [f32],
    ) {
        for at in (0..sums.len()).step_by(S::F32_LANES) {
            let sum = self.apply(simd, load::<S>(sums, at), image, pixel, channel + at);
            store::<S>(out, channel + at, sum);
        }
    }
}
