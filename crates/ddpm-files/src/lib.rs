//! Files: how they are written so that nobody sees half of one, and what is checked when they are read.
//!
//! - [`write_atomic`] replaces a file in one go.
//! - [`container`] is the form of the project's own binary files: safetensors with one JSON document and a checksum over everything
//!   ([`PartsChecksum`]).
//! - Files of other programs are read without trust: restricted [`pickle`]s, NumPy's arrays ([`npy`], [`npz`]), the headers of
//!   safetensors files ([`TensorFile`]) and columns of numbers ([`csv`]). Nothing in a file is executed, and memory is bounded by the
//!   bytes that a file has, not by those that it declares.
//! - A JSON document says what it is before the rest of it is held ([`DocumentHead`]).
//! - Hashes are written one way ([`sha256`]).

mod atomic;
pub mod container;
pub mod csv;
mod error;
mod file_error;
mod head;
pub mod npy;
pub mod npz;
pub mod pickle;
mod positioned;
mod sha256;
mod tensor_file;
mod tensors;

pub use atomic::{
    check_writable, destination, is_vacant, remove_orphans_in, replaces, write_atomic,
};
pub use error::{FormatError, FormatResult};
pub use file_error::{FileError, FileResult};
pub use head::{DocumentHead, Named, read_small};
pub use positioned::PositionedFile;
pub use sha256::{PartsChecksum, Sha256, sha256};
pub use tensor_file::{LONGEST_SAFETENSORS_HEADER, TensorFile};
