//! A `.safetensors` file of which only the header is in memory.

use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::file_error::{FileError, FileResult};
use crate::positioned::PositionedFile;

/// Bytes of the number that a file begins with: the length of its header.
const LENGTH: u64 = 8;
/// The format allows no longer header.
pub const LONGEST_SAFETENSORS_HEADER: u64 = 100_000_000;

/// An open file whose header has been checked against its length.
#[derive(Debug)]
pub struct TensorFile {
    file: PositionedFile,
    header: Metadata,
    /// Position of the first tensor.
    start: u64,
}

impl TensorFile {
    /// Opens a file.
    ///
    /// # Errors
    /// One that cannot be read, or whose header is not that of its bytes.
    pub fn open(path: &Path) -> FileResult<Self> {
        let malformed =
            |found: String| FileError::field(path, "header", "a readable safetensors file", found);
        let file = PositionedFile::open(path)?;
        if file.length() < LENGTH {
            return Err(malformed(format!("a file of {} bytes", file.length())));
        }
        let mut length = [0; LENGTH as usize];
        file.read_exact_at(0, &mut length)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_SAFETENSORS_HEADER || length > file.length() - LENGTH {
            return Err(malformed(format!(
                "one of {length} bytes in a file of {}",
                file.length()
            )));
        }
        let mut header = vec![0; length as usize];
        file.read_exact_at(LENGTH, &mut header)?;
        // Reading it checks that the tensors follow one another without a gap.
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|e| malformed(e.to_string()))?;
        let start = LENGTH + length;
        let (declared, available) = (header.data_len() as u64, file.length() - start);
        if declared != available {
            return Err(malformed(format!(
                "{declared} bytes of tensors declared where {available} follow"
            )));
        }
        Ok(Self {
            file,
            header,
            start,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// An entry of the file's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header
            .metadata()
            .as_ref()?
            .get(key)
            .map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, key: &str) -> bool {
        self.header.info(key).is_some()
    }

    /// Type and shape of a tensor.
    ///
    /// # Errors
    /// There is none of this name; the message lists those that there are.
    pub fn info(&self, key: &str, expected: &str) -> FileResult<&TensorInfo> {
        self.header.info(key).ok_or_else(|| {
            let mut names = self.header.offset_keys();
            names.sort_unstable();
            let found = if names.is_empty() {
                "no tensors".to_owned()
            } else {
                format!("only {}", names.join(", "))
            };
            self.wrong(key, expected, found)
        })
    }

    /// The same of a tensor of type `dtype`.
    ///
    /// # Errors
    /// There is none of this name, or one of another type.
    pub fn typed(&self, key: &str, dtype: Dtype, expected: &str) -> FileResult<&TensorInfo> {
        let info = self.info(key, expected)?;
        if info.dtype == dtype {
            return Ok(info);
        }
        let found = format!("{:?}", info.dtype);
        Err(self.wrong(key, expected, found))
    }

    /// Position of a tensor's first byte in the file.
    pub fn position(&self, info: &TensorInfo) -> u64 {
        self.start + info.data_offsets.0 as u64
    }

    /// All bytes of a tensor.
    ///
    /// # Errors
    /// Those of [`PositionedFile::read_exact_at`].
    pub fn bytes(&self, info: &TensorInfo) -> FileResult<Vec<u8>> {
        let (begin, end) = info.data_offsets;
        let mut bytes = vec![0; end - begin];
        self.file.read_exact_at(self.position(info), &mut bytes)?;
        Ok(bytes)
    }

    /// The numbers of a tensor of any type that f32 is enough for.
    ///
    /// # Errors
    /// There is none of this name, or one of another type.
    pub fn floats(&self, key: &str, expected: &str) -> FileResult<Vec<f32>> {
        let info = self.info(key, expected)?;
        let values: fn(&[u8]) -> Vec<f32> = match info.dtype {
            Dtype::F32 => |b| elements(b, f32::from_le_bytes),
            Dtype::F64 => |b| elements(b, |b| f64::from_le_bytes(b) as f32),
            Dtype::I64 => |b| elements(b, |b| i64::from_le_bytes(b) as f32),
            Dtype::I32 => |b| elements(b, |b| i32::from_le_bytes(b) as f32),
            other => {
                let found = format!("elements of type {other:?}");
                return Err(self.wrong(key, expected, found));
            }
        };
        Ok(values(&self.bytes(info)?))
    }

    /// A one-dimensional tensor of non-negative integers.
    ///
    /// # Errors
    /// There is none of this name, or one of something else.
    pub fn integers(&self, key: &str) -> FileResult<Vec<usize>> {
        let info = self.info(key, "a tensor of that name")?;
        let [_] = info.shape[..] else {
            return Err(self.other_shape(key, "one dimension", info));
        };
        let values: fn(&[u8]) -> Vec<i64> = match info.dtype {
            Dtype::I64 => |b| elements(b, i64::from_le_bytes),
            Dtype::I32 => |b| elements(b, |b| i64::from(i32::from_le_bytes(b))),
            Dtype::U8 => |b| elements(b, |[b]| i64::from(b)),
            other => {
                return Err(self.wrong(key, "i64, i32 or uint8", format!("{other:?}")));
            }
        };
        let from_zero = |v: i64| {
            usize::try_from(v).map_err(|_| self.wrong(key, "integers from 0 up", v.to_string()))
        };
        values(&self.bytes(info)?)
            .into_iter()
            .map(from_zero)
            .collect()
    }

    fn wrong(&self, key: &str, expected: &str, found: String) -> FileError {
        FileError::field(self.path(), key, expected, found)
    }

    /// The complaint about a tensor's shape.
    pub fn other_shape(&self, key: &str, expected: &str, info: &TensorInfo) -> FileError {
        let found = format!("shape {:?}", info.shape);
        self.wrong(key, expected, found)
    }

    /// The file, for those who know where to read.
    pub fn into_file(self) -> PositionedFile {
        self.file
    }
}

fn elements<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&b| read(b)).collect()
}
