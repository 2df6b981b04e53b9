//! Typed access to the tensors of a safetensors file: every name, type and shape is checked.

use std::collections::BTreeMap;

use safetensors::{Dtype, tensor::TensorView};

use crate::error::{FormatError, FormatResult};

/// One tensor, owned.
pub struct Tensor {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its elements in row-major order, little-endian.
    pub data: Vec<u8>,
}

impl Tensor {
    /// A tensor of f64 values.
    pub fn f64(shape: &[usize], values: impl Iterator<Item = f64>) -> Self {
        Self::new(Dtype::F64, shape, values.map(f64::to_le_bytes))
    }

    /// A tensor of u64 values.
    pub fn u64(shape: &[usize], values: impl Iterator<Item = u64>) -> Self {
        Self::new(Dtype::U64, shape, values.map(u64::to_le_bytes))
    }

    /// A tensor of f32 values.
    pub fn f32(shape: &[usize], values: impl Iterator<Item = f32>) -> Self {
        Self::new(Dtype::F32, shape, values.map(f32::to_le_bytes))
    }

    fn new<const N: usize>(
        dtype: Dtype,
        shape: &[usize],
        words: impl Iterator<Item = [u8; N]>,
    ) -> Self {
        Self {
            dtype,
            shape: shape.to_vec(),
            data: words.flatten().collect(),
        }
    }
}

/// The number of a U64 word; one that this machine cannot hold becomes one that nothing accepts.
pub fn index(word: [u8; 8]) -> usize {
    usize::try_from(u64::from_le_bytes(word)).unwrap_or(usize::MAX)
}

/// A tensor or field that is not what it must be.
pub fn field(field: &str, expected: impl Into<String>, found: impl Into<String>) -> FormatError {
    FormatError::Field {
        field: field.into(),
        expected: expected.into(),
        found: found.into(),
    }
}

/// The tensors of a file by name, where they lie in its bytes.
pub type Views<'a> = BTreeMap<String, TensorView<'a>>;

/// Checked access to the tensors of a file.
pub struct Reader<'a> {
    /// The tensors.
    pub file: &'a Views<'a>,
}

impl<'a> Reader<'a> {
    fn tensor(&self, name: &str) -> FormatResult<&'a TensorView<'a>> {
        self.file
            .get(name)
            .ok_or_else(|| field(&format!("tensor \"{name}\""), "to be present", "none"))
    }

    /// The length of a one-dimensional tensor.
    pub fn length(&self, name: &str) -> FormatResult<usize> {
        match *self.tensor(name)?.shape() {
            [n] => Ok(n),
            ref shape => Err(field(
                &format!("tensor \"{name}\""),
                "one dimension",
                format!("shape {shape:?}"),
            )),
        }
    }

    /// The bytes of a tensor of this type and shape.
    fn bytes(&self, name: &str, dtype: Dtype, shape: &[usize]) -> FormatResult<&'a [u8]> {
        let tensor = self.tensor(name)?;
        if tensor.dtype() == dtype && tensor.shape() == shape {
            return Ok(tensor.data());
        }
        Err(field(
            &format!("tensor \"{name}\""),
            format!("{dtype:?} of shape {shape:?}"),
            format!("{:?} of shape {:?}", tensor.dtype(), tensor.shape()),
        ))
    }

    /// The 8-byte words of a tensor of this type and shape.
    pub fn words(
        &self,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
    ) -> FormatResult<impl Iterator<Item = [u8; 8]> + use<'a>> {
        let words = self.bytes(name, dtype, shape)?.as_chunks::<8>().0;
        Ok(words.iter().copied())
    }

    /// The numbers of an F32 tensor of this shape.
    pub fn singles(&self, name: &str, shape: &[usize]) -> FormatResult<Vec<f32>> {
        let words = self.bytes(name, Dtype::F32, shape)?.as_chunks::<4>().0;
        let values = words.iter().map(|&bytes| f32::from_le_bytes(bytes));
        Ok(values.collect())
    }

    /// The numbers of a tensor that is there only if `present`.
    pub fn optional(
        &self,
        name: &str,
        present: bool,
        shape: &[usize],
    ) -> FormatResult<Box<dyn Iterator<Item = f64> + 'a>> {
        if !present {
            return Ok(Box::new(std::iter::empty()));
        }
        Ok(Box::new(
            self.words(name, Dtype::F64, shape)?.map(f64::from_le_bytes),
        ))
    }

    /// Refuses tensors beyond the `expected` ones that were read.
    pub fn no_others(&self, expected: usize) -> FormatResult<()> {
        let found = self.file.len();
        if found == expected {
            Ok(())
        } else {
            Err(field(
                "tensors",
                format!("{expected}"),
                format!("{found}: {:?}", self.file.keys()),
            ))
        }
    }
}
