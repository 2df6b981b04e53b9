//! Diffusion UNets on kernels of their own or, with the cargo feature `candle`, on candle's operations; and strict checkpoint
//! readers.
//!
//! A file or a folder of diffusers becomes a [`Checkpoint`] (named tensors, untrusted input), a checkpoint becomes a [`UNet`]
//! (architecture inferred from the weights or read from `config.json`, every key used, every shape checked), and a UNet
//! becomes a [`UNetDenoiser`], which the rest of the project uses through `ddpm_core::Denoiser` only. What weights cannot
//! tell comes from [`ModelOptions`], `model.json` beside the file, diffusers' files, or a preset; [`ModelConfig`] remembers
//! which.
//!
//! [`FeatureNetwork`] is the other kind of network: what distances between sets of images are measured on.
//!
//! ```no_run
//! use ddpm_model::{Checkpoint, ModelOptions, UNet, UNetDenoiser};
//!
//! # fn main() -> ddpm_model::Result<()> {
//! let checkpoint = Checkpoint::open("model.pt".as_ref())?;
//! let options = ModelOptions { num_heads: Some(4), ..ModelOptions::default() };
//! let unet = UNet::load(&checkpoint, &options)?;
//! let denoiser = UNetDenoiser::new(unet, &options)?;
//! # let _ = denoiser;
//! # Ok(())
//! # }
//! ```

mod checkpoint;
mod config;
mod denoiser;
mod error;
mod features;
mod kernels;
mod python_json;
mod room;
mod unet;

pub use checkpoint::{
    Checkpoint, DiffusersFiles, JsonFile, Precision, StateDictPlace, Tensor, TensorData,
    save_safetensors,
};
pub use config::{
    Architecture, AttentionOrder, Family, Heads, Known, Level, Middle, ModelConfig, ModelOptions,
    Norm, Resampling, Sinusoids, Source, TrainingNoise,
};
pub use denoiser::UNetDenoiser;
pub use error::{Error, MissingOption, Result};
pub use features::{FeatureNetwork, NetworkKind};
pub use kernels::{Arithmetic, Isa, OperationTime, TIMING_VARIABLE, operation_times};
pub use unet::{Backend, UNet};
