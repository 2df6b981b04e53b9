//! The UNet of OpenAI's and diffusers' image models.
//!
//! An image goes down through levels of halved resolution, through a middle and up again, where every block also
//! gets the output of its counterpart on the way down. The timestep reaches every residual block as an embedding.
//!
//! The layers are written once ([`network`]) over an [`engine`], which computes them: this crate's kernels on the
//! processor ([`packed`]), or, with the cargo feature `candle`, candle's operations on any of its devices (`stock`). On the
//! processor an image's output does not depend on its batch, whichever computes it.

mod attention;
mod backend;
#[cfg(feature = "candle")]
mod candle_op;
mod embedding;
mod engine;
mod layers;
mod model;
mod names;
mod network;
mod packed;
mod res_block;
mod resample;
#[cfg(feature = "candle")]
mod stock;
mod weights;

#[cfg(test)]
mod tests;

pub use backend::Backend;
pub use model::UNet;
pub(crate) use weights::{Scope, Weights};
