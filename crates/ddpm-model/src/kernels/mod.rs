//! The network's operations on the CPU.
//!
//! Activations are [`Maps`]: a batch with channels last, so that every kernel reads and writes whole vectors of
//! channels, in memory that comes from a [`Pool`](buffer::Pool) and goes back to it. 3x3 convolutions run by Winograd's
//! minimal filtering ([`winograd`]), everything else that multiplies runs as products of rows with packed panels
//! ([`panels`], [`product`]); bias, timestep and shortcut are added on the way out ([`epilogue`]). Normalisation,
//! modulation and SiLU are one operation ([`group_norm`]).
//!
//! An operation is cut into tasks that write consecutive pieces of its result ([`tasks`]). How it is cut depends on the
//! batch and the threads; what is computed does not: each number of the result is one fixed chain of operations on its
//! own image.
//!
//! [`Isa`] picks the instruction set when the program runs. All `unsafe` code of the workspace is in this module, for
//! three reasons: unchecked reads in the innermost loops, and the two instruction families that Rust reaches through
//! intrinsics or assembly only (AVX-512 BF16 and AMX). Unit tests emulate AMX on x86-64 Linux without it.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod buffer;
mod conv2d;
mod element;
mod epilogue;
mod exp;
mod gemm_conv;
mod group_norm;
mod isa;
mod linear;
mod maps;
mod panels;
mod pooling;
mod product;
mod product_bf16;
mod resample;
mod tasks;
mod timing;
mod vector;
mod vectors;
mod winograd;

#[cfg(test)]
mod tests;

pub(crate) use attention::{HeadLayout, attend};
pub(crate) use buffer::Pool;
pub(crate) use conv2d::{PackedConv2d, Window};
pub(crate) use exp::silu;
pub(crate) use group_norm::PackedGroupNorm;
pub use isa::Isa;
pub(crate) use linear::PackedLinear;
pub(crate) use maps::{Maps, Shape};
pub(crate) use pooling::{Pooling, global_means};
pub(crate) use resample::{join, join_all, pool_means, subsample, upsample};
pub use timing::{OperationTime, TIMING_VARIABLE, operation_times};
pub(crate) use vectors::Vectors;

/// What products multiply; sums are f32 in both cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// 24-bit significands.
    #[default]
    F32,
    /// 8-bit significands, twice the speed and more where the processor has instructions for them.
    Bf16,
}
