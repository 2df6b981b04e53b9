//! Dense layers on one vector.

use pulp::{Arch, Simd, WithSimd};

/// A dense layer with its weights transposed, so that vectors run over outputs.
pub(crate) struct PackedLinear {
    /// `inputs` x `outputs`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl PackedLinear {
    /// `weight` of shape `[outputs, inputs]`, `bias` of shape `[outputs]`.
    pub(crate) fn new(weight: &[f32], bias: Vec<f32>, inputs: usize) -> Self {
        let outputs = bias.len();
        let mut transposed = vec![0.0; inputs * outputs];
        for (o, row) in weight.chunks_exact(inputs).enumerate() {
            for (i, &value) in row.iter().enumerate() {
                transposed[i * outputs + o] = value;
            }
        }
        Self {
            weight: transposed,
            bias,
        }
    }

    pub(super) fn inputs(&self) -> usize {
        self.weight.len() / self.bias.len()
    }

    /// One value per output for one value per input.
    pub(super) fn forward(&self, x: &[f32]) -> Vec<f32> {
        Arch::new().dispatch(Product { linear: self, x })
    }
}

struct Product<'a> {
    linear: &'a PackedLinear,
    x: &'a [f32],
}

impl WithSimd for Product<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f32> {
        let outputs = self.linear.bias.len();
        let mut y = self.linear.bias.clone();
        for (&x, row) in self.x.iter().zip(self.linear.weight.chunks_exact(outputs)) {
            for (y, w) in y.iter_mut().zip(row) {
                *y += x * w;
            }
        }
        y
    }
}
