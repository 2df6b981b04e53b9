//! An opened checkpoint: named tensors, the file's path and its hash.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::read_error::{ReadError, ReadResult};
use super::sniff::{Format, sniff};
use super::state_dict::StateDict;
use super::tensor::Tensor;
use super::{legacy, safetensors_file, torch_zip};
use crate::{Error, Result};

/// The tensors of one file.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    sha256: String,
    tensors: StateDict,
}

impl Checkpoint {
    /// Reads a PyTorch `.pt` file (zip or legacy stream) or a safetensors file, whatever its name is.
    ///
    /// # Errors
    /// [`Error::Read`] from the system, [`Error::NotACheckpoint`] with what was found instead, [`Error::Truncated`],
    /// [`Error::Damaged`], [`Error::ForbiddenGlobal`].
    pub fn open(path: &Path) -> Result<Self> {
        let read = |source| Error::Read {
            path: path.to_path_buf(),
            source,
        };
        // A device or a pipe may never end.
        let kind = std::fs::metadata(path).map_err(read)?;
        if !kind.is_file() {
            let found = match kind.is_dir() {
                true => "a folder",
                false => "a device or a pipe",
            };
            return Err(ReadError::NotACheckpoint(found.into()).at(path));
        }
        let bytes = std::fs::read(path).map_err(read)?;
        Self::from_bytes(path, &bytes)
    }

    /// The same from bytes in memory; `path` appears in messages and tells where to look for `model.json`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] except [`Error::Read`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let tensors = read(bytes).map_err(|error| error.at(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            sha256: hex(&Sha256::digest(bytes)),
            tensors,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the whole file in lowercase hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The tensors by name, sorted.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Number of weights in all tensors.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(Tensor::len).sum()
    }
}

fn read(bytes: &[u8]) -> ReadResult<StateDict> {
    match sniff(bytes).map_err(ReadError::NotACheckpoint)? {
        Format::TorchZip => torch_zip::read(bytes),
        Format::TorchLegacy => legacy::read(bytes),
        Format::Safetensors => safetensors_file::read(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_refused_instead_of_read_for_ever() {
        let error = Checkpoint::open(Path::new("/dev/zero")).unwrap_err();
        assert!(error.to_string().contains("a device"), "{error}");
    }
}
