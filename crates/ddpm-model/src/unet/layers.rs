//! Layers from the weights of their scope.

use super::engine::Engine;
use super::weights::Scope;
use crate::config::Norm;
use crate::kernels::ConvSizes;
use crate::{Error, Result};

/// A convolution.
pub(super) fn conv2d<E: Engine>(
    engine: &E,
    scope: &Scope<'_>,
    sizes: ConvSizes,
) -> Result<E::Conv2d> {
    let (weight, bias) = scope.take_both(&sizes.weight())?;
    engine.conv2d(weight, bias, sizes)
}

/// A 3x3 convolution of stride 1.
pub(super) fn conv3x3<E: Engine>(
    engine: &E,
    scope: &Scope<'_>,
    inputs: usize,
    outputs: usize,
) -> Result<E::Conv2d> {
    conv2d(engine, scope, ConvSizes::centred(inputs, outputs, 3))
}

/// A 1x1 convolution from weights that some project stores in another shape.
///
/// Not candle's `conv1d`, which multiplies the wrong buffer for some layouts (its issue 3836).
pub(super) fn pointwise<E: Engine>(
    engine: &E,
    weight: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
) -> Result<E::Conv2d> {
    let sizes = ConvSizes::centred(inputs, bias.len(), 1);
    engine.conv2d(weight, bias, sizes)
}

/// A group normalisation.
pub(super) fn group_norm<E: Engine>(
    engine: &E,
    scope: &Scope<'_>,
    channels: usize,
    Norm { groups, epsilon }: Norm,
) -> Result<E::GroupNorm> {
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(Error::Architecture(format!(
            "a norm has {channels} channels, expected a multiple of its {groups} groups"
        )));
    }
    let (weight, bias) = scope.take_both(&[channels])?;
    engine.group_norm(weight, bias, groups, epsilon)
}

/// A dense layer.
pub(super) fn linear<E: Engine>(
    engine: &E,
    scope: &Scope<'_>,
    inputs: usize,
    outputs: usize,
) -> Result<E::Linear> {
    let (weight, bias) = scope.take_both(&[outputs, inputs])?;
    engine.linear(weight, bias, inputs)
}
