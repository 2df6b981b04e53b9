//! Named tensors of a .safetensors file.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};

use crate::error::{Error, Result};
use crate::input::read_bytes;

/// A file in memory.
#[derive(Debug)]
pub(crate) struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl TensorFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::read`]; contents are looked at when a tensor is asked for.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            bytes: read_bytes(path)?,
        })
    }

    /// Whether there is a tensor of this name.
    ///
    /// # Errors
    /// A file that is no safetensors file.
    pub(crate) fn contains(&self, key: &str) -> Result<bool> {
        Ok(self.parse()?.names().contains(&key))
    }

    /// Shape and values of a tensor of numbers of any type that f32 is enough for.
    ///
    /// # Errors
    /// No such tensor, or one of another type; the message names file and key.
    pub(crate) fn floats(&self, key: &str, expected: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        self.values(key, expected, |view| {
            let data = view.data();
            Some(match view.dtype() {
                Dtype::F32 => elements(data, f32::from_le_bytes),
                Dtype::F64 => elements(data, |b| f64::from_le_bytes(b) as f32),
                Dtype::I64 => elements(data, |b| i64::from_le_bytes(b) as f32),
                Dtype::I32 => elements(data, |b| i32::from_le_bytes(b) as f32),
                _ => return None,
            })
        })
    }

    /// Shape and values of a tensor of whole numbers.
    ///
    /// # Errors
    /// As [`floats`](Self::floats).
    pub(crate) fn integers(&self, key: &str, expected: &str) -> Result<(Vec<usize>, Vec<i64>)> {
        self.values(key, expected, |view| {
            let data = view.data();
            Some(match view.dtype() {
                Dtype::I64 => elements(data, i64::from_le_bytes),
                Dtype::I32 => elements(data, |b| i64::from(i32::from_le_bytes(b))),
                Dtype::U8 => elements(data, |[b]| i64::from(b)),
                _ => return None,
            })
        })
    }

    /// The complaint that a tensor is not what it has to be.
    pub(crate) fn unexpected(
        &self,
        key: &str,
        expected: &str,
        found: impl std::fmt::Display,
    ) -> Error {
        Error::file(
            &self.path,
            format!("key `{key}`: expected {expected}, found {found}"),
        )
    }

    fn values<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl Fn(&TensorView<'_>) -> Option<Vec<T>>,
    ) -> Result<(Vec<usize>, Vec<T>)> {
        let file = self.parse()?;
        let view = file.tensor(key).map_err(|_| {
            let mut names = file.names();
            names.sort_unstable();
            self.unexpected(key, expected, format!("only {names:?} in the file"))
        })?;
        let values = convert(&view).ok_or_else(|| {
            self.unexpected(
                key,
                expected,
                format!("elements of type {:?}", view.dtype()),
            )
        })?;
        Ok((view.shape().to_vec(), values))
    }

    fn parse(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes).map_err(|error: SafeTensorError| {
            Error::file(
                &self.path,
                format!(
                    "expected a .safetensors file, found something else or a part of one ({error})"
                ),
            )
        })
    }
}

fn elements<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (whole, _) = bytes.as_chunks::<N>();
    whole.iter().map(|element| read(*element)).collect()
}
