//! A convolution with its batch normalisation.

use crate::Result;
use crate::kernels::{Arithmetic, ConvSizes, Isa, PackedConv2d};
use crate::unet::Scope;

/// Takes `conv` (no bias) and `norm` from `scope` and makes one convolution of them.
///
/// At inference batch normalisation is `gamma (x - mean) / sqrt(variance + epsilon) + beta`, a scale and a bias per output
/// channel, computed in f64 here.
pub(super) fn take(
    isa: Isa,
    scope: &Scope<'_>,
    [conv, norm]: [&str; 2],
    epsilon: f64,
    sizes: ConvSizes,
) -> Result<PackedConv2d> {
    let outputs = sizes.outputs;
    let mut weight = scope.take(&format!("{conv}.weight"), &sizes.weight())?;
    let norm = scope.scope(norm);
    let (gamma, beta) = norm.take_both(&[outputs])?;
    let mean = norm.take("running_mean", &[outputs])?;
    let variance = norm.take("running_var", &[outputs])?;
    norm.ignore("num_batches_tracked");
    let mut bias = Vec::with_capacity(outputs);
    let taps = weight.len() / outputs;
    for (output, weight) in weight.chunks_exact_mut(taps).enumerate() {
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
    Ok(PackedConv2d::new(isa, Arithmetic::F32, weight, bias, sizes))
}
