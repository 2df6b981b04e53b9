//! An opened checkpoint: named tensors, the file's path and its hash.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ddpm_files::{FileError, sha256};

use super::diffusers::{self, DiffusersFiles};
use super::place::{Asked, StateDictPlace, unwrap_modules};
use super::read_error::{ReadError, ReadResult};
use super::sniff::{Format, sniff};
use super::tensor::{StateDict, Tensor};
use super::{legacy, safetensors_file, torch_zip};
use crate::Result;

/// The tensors of one network.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    sha256: String,
    place: StateDictPlace,
    diffusers: Option<DiffusersFiles>,
    tensors: StateDict,
}

impl Checkpoint {
    /// Reads a PyTorch `.pt` or `.bin` file (zip or legacy stream), a safetensors file, whatever its name is, or a folder of a
    /// diffusers network.
    ///
    /// Where training code has wrapped the weights, averaged ones (EMA) are taken before raw ones: see
    /// [`Checkpoint::place`].
    ///
    /// # Errors
    /// [`crate::Error::File`] from the system, [`crate::Error::NotACheckpoint`] with what was found instead, [`crate::Error::Truncated`],
    /// [`crate::Error::Damaged`], [`crate::Error::ForbiddenGlobal`], [`crate::Error::ModelFile`] for a JSON file of diffusers.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_part(path, None)
    }

    /// [`Checkpoint::open`] with a choice among several weights: the entry of the outer dictionary, the module or the inner
    /// folder that holds them (`ema`, `model`, `unet`; inner ones after a dot).
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`]; [`crate::Error::NotACheckpoint`] if there is no such part.
    pub fn open_part(path: &Path, part: Option<&str>) -> Result<Self> {
        // A device or a pipe may never end.
        let kind = std::fs::metadata(path).map_err(|e| FileError::read(path, e))?;
        if kind.is_dir() {
            let folder = diffusers::locate(path, part)?;
            let mut checkpoint = Self::open_file(&folder.weights, None)?;
            checkpoint.path = path.to_path_buf();
            let StateDictPlace {
                entries, set_aside, ..
            } = &mut checkpoint.place;
            entries.splice(0..0, folder.entered.map(str::to_owned));
            set_aside.splice(0..0, folder.set_aside.map(str::to_owned));
            return Ok(checkpoint);
        }
        if !kind.is_file() {
            return Err(ReadError::NotACheckpoint("a device or a pipe".into()).at(path));
        }
        Self::open_file(path, part)
    }

    fn open_file(path: &Path, part: Option<&str>) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| FileError::read(path, e))?;
        let mut checkpoint = Self::parse(path, &bytes, part)?;
        drop(bytes);
        if checkpoint.is_of_diffusers()
            && let Some(files) = diffusers::files_of(path)?
        {
            checkpoint.sha256 = checkpoint.hash_with(&files)?;
            checkpoint.diffusers = Some(files);
        }
        Ok(checkpoint)
    }

    /// The same as [`Checkpoint::open`] from bytes of a file in memory; `path` appears in messages and tells where to look for
    /// `model.json`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] except [`crate::Error::File`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        Self::parse(path, bytes, None)
    }

    fn parse(path: &Path, bytes: &[u8], part: Option<&str>) -> Result<Self> {
        let (tensors, place) = read(bytes, part).map_err(|error| error.at(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            sha256: sha256(bytes),
            place,
            diffusers: None,
            tensors,
        })
    }

    /// Whether tensors have names that diffusers' networks have and OpenAI's have not.
    pub(crate) fn is_of_diffusers(&self) -> bool {
        const MODULES: [&str; 5] = [
            "conv_in.",
            "conv_out.",
            "down_blocks.",
            "up_blocks.",
            "mid_block.",
        ];
        self.tensors
            .keys()
            .any(|key| MODULES.iter().any(|module| key.starts_with(module)))
    }

    /// The hash of weights and `config.json` together: that of what `sha256sum config.json WEIGHTS` prints.
    fn hash_with(&self, files: &DiffusersFiles) -> Result<String> {
        let config = &files.config.path;
        let bytes = std::fs::read(config).map_err(|e| FileError::read(config, e))?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let lines = format!("{}  config.json\n{}  {name}\n", sha256(bytes), self.sha256);
        Ok(sha256(lines))
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where in the file or folder the tensors were.
    pub fn place(&self) -> &StateDictPlace {
        &self.place
    }

    /// The JSON files that describe a network of diffusers.
    pub fn diffusers(&self) -> Option<&DiffusersFiles> {
        self.diffusers.as_ref()
    }

    /// SHA-256 of the whole file in lowercase hexadecimal; of a diffusers network, that of the two lines which `sha256sum
    /// config.json WEIGHTS` prints.
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

fn read(bytes: &[u8], part: Option<&str>) -> ReadResult<(StateDict, StateDictPlace)> {
    let mut asked = Asked::new(part);
    let (tensors, mut place) = match sniff(bytes).map_err(ReadError::NotACheckpoint)? {
        Format::TorchZip => torch_zip::read(bytes, &mut asked)?,
        Format::TorchLegacy => legacy::read(bytes, &mut asked)?,
        Format::Safetensors => (safetensors_file::read(bytes)?, StateDictPlace::default()),
    };
    let tensors = unwrap_modules(tensors, asked, &mut place)?;
    Ok((tensors, place))
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
