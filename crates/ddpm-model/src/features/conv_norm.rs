//! A convolution with its batch normalisation.

use crate::Result;
use crate::kernels::{Arithmetic, Isa, PackedConv2d, Window};
use crate::unet::Scope;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvSizes {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) window: Window,
}

/// Takes `conv` (no bias) and `norm` from `scope` and makes one convolution of them.
///
/// At inference batch normalisation is `gamma (x - mean) / sqrt(variance + epsilon) + beta`, a scale and a bias per output
/// channel, computed in f64 here.
///
/// # Errors
/// [`crate::Error::MissingKey`], [`crate::Error::WrongShape`], [`crate::Error::WrongType`]; [`crate::Error::NotFinite`] for
/// weights that give no finite convolution.
pub(super) fn take(
    isa: Isa,
    scope: &Scope<'_>,
    [conv, norm]: [&str; 2],
    epsilon: f64,
    sizes: ConvSizes,
) -> Result<PackedConv2d> {
    let ConvSizes {
        inputs,
        outputs,
        window,
    } = sizes;
    let [height, width] = window.kernel;
    let mut weight = scope.take(&format!("{conv}.weight"), &[outputs, inputs, height, width])?;
    let norm = scope.scope(norm);
    let gamma = norm.take("weight", &[outputs])?;
    let beta = norm.take("bias", &[outputs])?;
    let mean = norm.take("running_mean", &[outputs])?;
    let variance = norm.take("running_var", &[outputs])?;
    norm.ignore("num_batches_tracked");
    let mut bias = Vec::with_capacity(outputs);
    for (output, weight) in weight.chunks_exact_mut(inputs * height * width).enumerate() {
        let [gamma, beta, mean, variance] =
            [&gamma, &beta, &mean, &variance].map(|values| f64::from(values[output]));
        let scale = gamma / (variance + epsilon).sqrt();
        for w in weight.iter_mut() {
            *w = (f64::from(*w) * scale) as f32;
        }
        let shift = (beta - mean * scale) as f32;
        // Rectifying would turn a NaN into a zero, and the network would silently be another one.
        if !shift.is_finite() || weight.iter().any(|w| !w.is_finite()) {
            return Err(scope.not_finite(conv, output));
        }
        bias.push(shift);
    }
    Ok(PackedConv2d::with_window(
        isa,
        Arithmetic::F32,
        weight,
        &bias,
        inputs,
        window,
    ))
}
