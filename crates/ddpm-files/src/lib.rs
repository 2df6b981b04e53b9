//! Files: how they are written so that nobody sees half of one, and what is checked when they are read.
//!
//! - [`write_atomic`] replaces a file in one go.
//! - [`container`] is the form of the project's own binary files: safetensors with one JSON document and a checksum over everything.
//! - [`PartsChecksum`] is that checksum.
//! - [`npy`] is NumPy's file of one array.

mod atomic;
pub mod container;
mod error;
pub mod npy;
mod parts_checksum;
mod tensors;

pub use atomic::{check_writable, write_atomic};
pub use error::{FormatError, FormatResult};
pub use parts_checksum::PartsChecksum;
