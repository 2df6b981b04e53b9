//! Networks whose features distances between sets of images are measured on.
//!
//! They run on the same kernels as the UNet, so that an image's features are the same to the bit whatever shares its batch
//! and however many threads run. Batch normalisation is folded into the convolutions when weights are loaded.

mod cifar_resnet;
mod conv_norm;
mod inception;
mod network;
mod resize;

pub use network::{FeatureNetwork, NetworkKind};
