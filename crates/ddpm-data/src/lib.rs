//! Images: where they come from and how they are named, hashed and chosen.
//!
//! [`open`] looks at a path, decides which layout it is and opens one [`Split`] of it as an [`ImageSet`]:
//!
//! | layout | recognised by | reader |
//! |---|---|---|
//! | CIFAR-10 binary | `data_batch_N.bin`, `test_batch.bin` (or one such file) | `cifar_binary` |
//! | CIFAR-10 python | `data_batch_N`, `test_batch` | `cifar_pickle` |
//! | downsampled ImageNet | `train_data_batch_N.npz`, `val_data.npz` (or one such file) | `imagenet` |
//! | folder of PNG or JPEG, or of one such folder a class | `*.png`, `*.jpg`, `*.jpeg` | `image_folder` |
//! | NumPy archive or array | `.npz`, `.npy` | `npz`, `array` |
//! | safetensors | `.safetensors` | `safetensors_file` |
//!
//! A set is a handle: an image is read from its file when it is asked for, by any thread, and memory does not grow with the
//! number of images. Files of fixed-size records are read at positions. What has no positions is copied: a compressed
//! `.npz` to an unnamed temporary file, as far as it is read, an array in column-major order to another, the pickles of CIFAR-10, which are
//! small, to memory. What is damaged or changes after it was opened is found when it is read, and the message names the file and the
//! image.
//!
//! The order of the images in a set is the canonical one of its layout (file order; sorted names for folders).
//! An image is addressed by its index in that order everywhere: it keys the image's noise, so that the
//! statistics of an image never depend on which others were chosen beside it.

mod array;
mod cifar_binary;
mod cifar_pickle;
mod error;
mod file_names;
mod file_source;
mod image_file;
mod image_files;
mod image_folder;
mod image_set;
mod imagenet;
mod lazy_copy;
mod member_checksum;
mod npz;
mod parity_files;
mod pixels;
mod records;
mod safetensors_file;
mod selection;
mod source;
mod temporary_copy;

pub use error::{Error, Result};
pub use image_file::{picture_shape, read_picture};
pub use image_files::{Images, write_npz, write_png_folder, write_png_grid};
pub use image_set::ImageSet;
pub use parity_files::{open_fixed_images, read_noise};
pub use selection::{Split, selection};
pub use source::open;
