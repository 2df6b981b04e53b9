//! Checkpoint readers: PyTorch `.pt` (zip and legacy stream), safetensors and diffusers' folders, and the writer.
//!
//! [`Checkpoint::open`] reads the whole file, hashes it, sniffs its format and returns a map from names to tensors.
//! Files are untrusted: the pickle inside a `.pt` is read by a machine that knows no more of Python than dictionaries,
//! tensors and storages and that never executes anything; every length and offset is checked against the file.

mod diffusers;
mod file;
mod legacy;
mod place;
mod read_error;
mod safetensors_file;
mod save;
mod sniff;
mod state_dict;
mod tensor;
mod torch_pickle;
mod torch_zip;

pub use diffusers::{DiffusersFiles, JsonFile};
pub use file::Checkpoint;
pub use place::StateDictPlace;
pub use save::{Precision, save_safetensors};
pub use tensor::{Tensor, TensorData};
