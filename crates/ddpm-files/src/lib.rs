//! Files of other programs and our own, read without trust: restricted [`pickle`]s, NumPy's arrays ([`npy`], [`npz`]) and
//! the headers of safetensors files ([`TensorFile`]). Hashes are written one way ([`sha256`]).
//!
//! Nothing in a file is executed, and memory is bounded by the bytes that a file has, not by those that it declares.

mod file_error;
pub mod npy;
pub mod npz;
pub mod pickle;
mod positioned;
mod sha256;
mod tensor_file;

pub use file_error::{FileError, FileResult};
pub use positioned::PositionedFile;
pub use sha256::{Sha256, sha256};
pub use tensor_file::{LONGEST_SAFETENSORS_HEADER, TensorFile};
