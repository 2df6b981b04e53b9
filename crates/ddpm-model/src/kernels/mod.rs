//! CPU kernels behind candle's custom operations, in safe Rust.
//!
//! Stock candle flattens and packs a convolution's weights on every call, runs group normalisation as nine passes and
//! SiLU as a scalar loop. Here weights are packed once when the network is loaded ([`PackedMatrix`]), patches of the
//! image are copied panel by panel into a buffer that stays in cache ([`Window`]), and one register-tiled product
//! ([`product`]) serves convolutions and attention; normalisation, modulation and SiLU are one operation. `pulp` picks
//! the instruction set when the program runs.
//!
//! Every kernel works on one image in one thread, so that its result depends on nothing else. Products use fused
//! multiply-adds and vectors of the instruction set's width: their last bits may differ between instruction sets.
//!
//! `ops` wraps kernels as candle operations; tests hold each against the plain candle version.

mod attention;
mod conv2d;
mod exp;
mod group_norm;
mod linear;
mod ops;
mod packed_matrix;
mod product;
mod scratch;
mod upsample;
mod window;

#[cfg(test)]
mod tests;

pub(crate) use attention::HeadLayout;
pub(crate) use conv2d::PackedConv2d;
pub(crate) use group_norm::PackedGroupNorm;
pub(crate) use linear::PackedLinear;
pub(crate) use ops::{attend, upsample};

use packed_matrix::PackedMatrix;
use window::Window;
