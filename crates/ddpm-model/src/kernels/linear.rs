//! Dense layers on one vector per image.

use pulp::{Simd, WithSimd};

use super::isa::Isa;
use super::maps::Vectors;
use super::tasks::for_pieces;
use crate::{Result, room};

/// A dense layer with its weights transposed, so that vectors run over outputs.
pub(crate) struct PackedLinear {
    isa: Isa,
    /// `inputs` x `outputs`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl PackedLinear {
    /// `weight` of shape `[outputs, inputs]`, `bias` of shape `[outputs]`.
    pub(crate) fn new(isa: Isa, weight: &[f32], bias: Vec<f32>, inputs: usize) -> Self {
        let outputs = bias.len();
        let mut transposed = vec![0.0; inputs * outputs];
        for (o, row) in weight.chunks_exact(inputs).enumerate() {
            for (i, &value) in row.iter().enumerate() {
                transposed[i * outputs + o] = value;
            }
        }
        Self {
            isa,
            weight: transposed,
            bias,
        }
    }

    /// One vector of outputs for each of the vectors of `x`.
    pub(crate) fn forward(&self, x: &Vectors) -> Result<Vectors> {
        let batch = x.batch();
        let outputs = self.bias.len();
        let inputs = self.weight.len() / outputs.max(1);
        let _timer = super::timing::start(|| format!("dense {inputs}->{outputs}"));
        let rows: Vec<&[f32]> = x.rows(batch, inputs)?.collect();
        let mut y = room::zeros(batch * outputs)?;
        for_pieces(&mut y, std::iter::repeat_n(outputs, batch), |image, y| {
            self.isa.run(Product {
                linear: self,
                x: rows[image],
                y,
            });
        });
        Ok(Vectors::new(outputs, y))
    }
}

struct Product<'a> {
    linear: &'a PackedLinear,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let outputs = self.linear.bias.len();
        self.y.copy_from_slice(&self.linear.bias);
        for (&x, row) in self.x.iter().zip(self.linear.weight.chunks_exact(outputs)) {
            for (y, w) in self.y.iter_mut().zip(row) {
                *y += x * w;
            }
        }
    }
}
