//! Vectors of f32 of whatever width the instruction set has.

use std::any::TypeId;

use pulp::{Scalar256b, Simd};

/// Channels of every activation are padded to a multiple of this: the widest vector, so that no kernel has a remainder.
pub(super) const CHANNEL_MULTIPLE: usize = 16;

/// `channels` with padding.
pub(super) const fn padded(channels: usize) -> usize {
    channels.next_multiple_of(CHANNEL_MULTIPLE)
}

/// `a b + c`, fused where the instruction set does it in one instruction.
///
/// The portable path must not call the C library's `fmaf` for each float.
#[inline(always)]
pub(super) fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if TypeId::of::<S>() == TypeId::of::<Scalar256b>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_f32s(a, b, c)
    }
}

/// The vector that begins at `values[at]`.
#[inline(always)]
pub(super) fn load<S: Simd>(values: &[f32], at: usize) -> S::f32s {
    let (vectors, _) = S::as_simd_f32s(&values[at..at + S::F32_LANES]);
    vectors[0]
}

/// Writes a vector from `values[at]` on.
#[inline(always)]
pub(super) fn store<S: Simd>(values: &mut [f32], at: usize, vector: S::f32s) {
    let (vectors, _) = S::as_mut_simd_f32s(&mut values[at..at + S::F32_LANES]);
    vectors[0] = vector;
}
