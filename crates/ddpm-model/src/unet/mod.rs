//! improved-diffusion's `UNetModel`.
//!
//! An image goes down through `input_blocks`, through `middle_block` and up through `output_blocks`, each of which also
//! gets the output of its counterpart on the way down. The timestep reaches every residual block as an embedding.
//! Images are computed one by one ([`network`]), in parallel over the batch ([`model`]): that is what makes an image's
//! output independent of its batch.

mod attention;
mod embedding;
mod layers;
mod model;
mod network;
mod res_block;
mod resample;
mod weights;

pub use layers::Kernels;
pub use model::UNet;
