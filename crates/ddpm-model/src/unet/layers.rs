//! Layers from the weights of their scope.

use super::engine::{ConvSizes, Engine};
use super::weights::Scope;
use crate::{Error, Result};

/// Groups of every normalisation in improved-diffusion.
const GROUPS: usize = 32;
const EPSILON: f64 = 1e-5;

/// A 3x3 convolution with padding 1, or a 1x1 convolution without.
pub(super) fn conv2d<E: Engine>(
    engine: &E,
    scope: &Scope<'_>,
    sizes: ConvSizes,
) -> Result<E::Conv2d> {
    let ConvSizes {
        inputs,
        outputs,
        kernel,
        ..
    } = sizes;
    let weight = scope.take("weight", &[outputs, inputs, kernel, kernel])?;
    engine.conv2d(weight, scope.take("bias", &[outputs])?, sizes)
}

/// A 3x3 convolution of stride 1.
pub(super) fn conv3x3<E: Engine>(
    engine: &E,
    scope: &Scope<'_>,
    inputs: usize,
    outputs: usize,
) -> Result<E::Conv2d> {
    let sizes = ConvSizes {
        inputs,
        outputs,
        kernel: 3,
        stride: 1,
    };
    conv2d(engine, scope, sizes)
}

/// A 1x1 convolution whose weight the file stores as one over a sequence of positions.
///
/// Not candle's `conv1d`, which multiplies the wrong buffer for some layouts (its issue 3836).
pub(super) fn pointwise<E: Engine>(
    engine: &E,
    scope: &Scope<'_>,
    inputs: usize,
    outputs: usize,
) -> Result<E::Conv2d> {
    let weight = scope.take("weight", &[outputs, inputs, 1])?;
    let sizes = ConvSizes {
        inputs,
        outputs,
        kernel: 1,
        stride: 1,
    };
    engine.conv2d(weight, scope.take("bias", &[outputs])?, sizes)
}

/// A group normalisation.
pub(super) fn group_norm<E: Engine>(
    engine: &E,
    scope: &Scope<'_>,
    channels: usize,
) -> Result<E::GroupNorm> {
    if !channels.is_multiple_of(GROUPS) {
        return Err(Error::Architecture {
            detail: format!(
                "a norm has {channels} channels, expected a multiple of its {GROUPS} groups"
            ),
        });
    }
    let weight = scope.take("weight", &[channels])?;
    let bias = scope.take("bias", &[channels])?;
    engine.group_norm(weight, bias, GROUPS, EPSILON)
}

/// A dense layer.
pub(super) fn linear<E: Engine>(
    engine: &E,
    scope: &Scope<'_>,
    inputs: usize,
    outputs: usize,
) -> Result<E::Linear> {
    let weight = scope.take("weight", &[outputs, inputs])?;
    engine.linear(weight, scope.take("bias", &[outputs])?, inputs)
}
