//! Images: where they come from and how they are named, hashed and chosen.
//!
//! [`open`] looks at a path, decides which layout it is and reads one [`Split`] of it into an [`ImageSet`]:
//!
//! | layout | recognised by | reader |
//! |---|---|---|
//! | CIFAR-10 binary | `data_batch_N.bin`, `test_batch.bin` (or one such file) | `cifar_binary` |
//! | CIFAR-10 python | `data_batch_N`, `test_batch` | `cifar_pickle` |
//! | folder of PNG | `*.png` | `png_folder` |
//! | NumPy archive | `.npz` | `npz` |
//! | safetensors | `.safetensors` | `safetensors_file` |
//!
//! The order of the images in a set is the canonical one of its layout (file order; sorted names for folders).
//! An image is addressed by its index in that order everywhere: it keys the image's noise, so that the
//! statistics of an image never depend on which others were chosen beside it.

mod cifar_binary;
mod cifar_pickle;
mod fixed;
mod image_set;
mod npy;
mod npz;
mod pickle;
mod png_folder;
mod safetensors_file;
mod selection;
mod source;

pub use fixed::{open_fixed_images, read_noise};
pub use image_set::ImageSet;
pub(crate) use image_set::{check_indices, check_shape, hexadecimal};
pub use npy::{NpyHeaderError, check_npy_header};
pub use selection::selection;
pub use source::{Split, open};
