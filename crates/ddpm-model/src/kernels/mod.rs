//! The network's operations on the CPU.
//!
//! Activations are [`Maps`]: a batch with channels last, so that every kernel reads and writes whole vectors of
//! channels, in memory that comes from a [`Pool`] and goes back to it. 3x3 convolutions run by Winograd's
//! minimal filtering ([`winograd`]), everything else that multiplies runs as products of rows with packed panels
//! ([`panels`], [`product`]); bias, timestep and shortcut are added on the way out ([`conv_method`]). Normalisation,
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
mod conv2d;
mod conv_method;
mod element;
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
mod winograd;

#[cfg(test)]
mod tests;

pub(crate) use attention::{HeadLayout, attend};
pub(crate) use conv_method::{ConvSizes, Window};
pub(crate) use conv2d::PackedConv2d;
pub(crate) use exp::silu;
pub(crate) use group_norm::PackedGroupNorm;
pub use isa::{Arithmetic, Isa};
pub(crate) use linear::PackedLinear;
pub(crate) use maps::{Maps, Shape, Vectors};
pub(crate) use pooling::{Pooling, global_means};
pub(crate) use resample::{join, pool_means, subsample, upsample};
pub(crate) use tasks::Pool;
pub use timing::{OperationTime, TIMING_VARIABLE, operation_times};
