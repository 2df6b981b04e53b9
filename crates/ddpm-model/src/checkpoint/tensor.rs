//! Tensors as they come out of a file, and the strided gather that makes them contiguous.

use std::collections::BTreeMap;

use half::{bf16, f16};

use super::read_error::{ReadError, ReadResult};

/// Element types that checkpoints are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    F16,
    Bf16,
    F32,
    F64,
    U8,
    I8,
    I16,
    I32,
    I64,
    Bool,
}

impl ElementType {
    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// The type in words, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::Bool => "bool",
        }
    }
}

/// Tensors by name.
pub(super) type StateDict = BTreeMap<String, Tensor>;

/// Contiguous values; narrower types are widened without loss.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TensorData {
    /// From f32, f16 and bf16.
    F32(Vec<f32>),
    /// From f64.
    F64(Vec<f64>),
    /// From every integer type and from booleans.
    I64(Vec<i64>),
}

/// One tensor of a state dict, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    element: &'static str,
    data: TensorData,
}

impl Tensor {
    /// Zeros of this shape.
    #[cfg(test)]
    pub(crate) fn zeros(shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            element: ElementType::F32.name(),
            data: TensorData::F32(vec![0.0; shape.iter().product()]),
        }
    }

    /// Number of rows, columns, ... outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes that the elements take in memory.
    pub(super) fn bytes(&self) -> usize {
        match &self.data {
            TensorData::F32(values) => size_of_val(&values[..]),
            TensorData::F64(values) => size_of_val(&values[..]),
            TensorData::I64(values) => size_of_val(&values[..]),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            TensorData::F32(values) => values.len(),
            TensorData::F64(values) => values.len(),
            TensorData::I64(values) => values.len(),
        }
    }

    /// Whether some dimension is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type in the file, such as `f16`.
    pub fn element_type(&self) -> &'static str {
        self.element
    }

    /// The values.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// A tensor over the little-endian elements in `bytes`, read with `strides` (in elements) from element `offset`.
    ///
    /// # Errors
    /// If any element would lie outside `bytes`, or if the view repeats elements.
    pub(super) fn gather(
        bytes: &[u8],
        element: ElementType,
        offset: usize,
        shape: &[usize],
        strides: &[usize],
    ) -> ReadResult<Self> {
        let at = Indices::of_view(bytes.len() / element.size(), offset, shape, strides)?;
        use ElementType as E;
        use TensorData as D;
        let data = match element {
            E::F32 => D::F32(at.read(bytes, f32::from_le_bytes)),
            E::F16 => D::F32(at.read(bytes, |b| f16::from_le_bytes(b).into())),
            E::Bf16 => D::F32(at.read(bytes, |b| bf16::from_le_bytes(b).into())),
            E::F64 => D::F64(at.read(bytes, f64::from_le_bytes)),
            E::I64 => D::I64(at.read(bytes, i64::from_le_bytes)),
            E::I32 => D::I64(at.read(bytes, |b| i32::from_le_bytes(b).into())),
            E::I16 => D::I64(at.read(bytes, |b| i16::from_le_bytes(b).into())),
            E::I8 => D::I64(at.read(bytes, |b| i8::from_le_bytes(b).into())),
            E::U8 | E::Bool => D::I64(at.read(bytes, |[b]| b.into())),
        };
        Ok(Self {
            shape: shape.to_vec(),
            element: element.name(),
            data,
        })
    }
}

/// Where the elements of a view lie in its storage.
enum Indices {
    /// Consecutive elements from a start.
    Run { start: usize, len: usize },
    /// Any others, in row-major order of the view.
    List(Vec<usize>),
}

impl Indices {
    /// Of a view of a storage of so many elements.
    fn of_view(
        storage_len: usize,
        offset: usize,
        shape: &[usize],
        strides: &[usize],
    ) -> ReadResult<Self> {
        let damaged = ReadError::Damaged;
        if shape.len() != strides.len() {
            return Err(damaged(format!(
                "a tensor has {} dimensions and {} strides",
                shape.len(),
                strides.len()
            )));
        }
        let len = shape
            .iter()
            .try_fold(1usize, |product, &n| product.checked_mul(n))
            .filter(|&len| len <= storage_len)
            .ok_or_else(|| {
                damaged(format!(
                    "a tensor of shape {shape:?} claims more elements than the {storage_len} of its storage"
                ))
            })?;
        if len == 0 {
            return Ok(Self::Run { start: 0, len: 0 });
        }
        let last = shape
            .iter()
            .zip(strides)
            .try_fold(offset, |last, (&n, &stride)| {
                (n - 1).checked_mul(stride)?.checked_add(last)
            });
        if last.is_none_or(|last| last >= storage_len) {
            return Err(damaged(format!(
                "a tensor of shape {shape:?}, strides {strides:?} and offset {offset} reaches beyond the {storage_len} elements of its storage"
            )));
        }
        let mut expected = 1;
        let contiguous = shape.iter().zip(strides).rev().all(|(&n, &stride)| {
            let fits = n == 1 || stride == expected;
            expected *= n;
            fits
        });
        if contiguous {
            return Ok(Self::Run { start: offset, len });
        }
        // The stride of a dimension of length one is never used and may be anything.
        let strides: Vec<usize> = shape
            .iter()
            .zip(strides)
            .map(|(&n, &stride)| if n == 1 { 0 } else { stride })
            .collect();
        let mut list = Vec::with_capacity(len);
        let mut position = vec![0usize; shape.len()];
        let mut index = offset;
        for _ in 0..len {
            list.push(index);
            for axis in (0..shape.len()).rev() {
                position[axis] += 1;
                index += strides[axis];
                if position[axis] < shape[axis] {
                    break;
                }
                index -= strides[axis] * shape[axis];
                position[axis] = 0;
            }
        }
        Ok(Self::List(list))
    }

    /// Decodes the `N`-byte elements at these places of the storage.
    fn read<const N: usize, T>(&self, bytes: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (elements, _) = bytes.as_chunks::<N>();
        match self {
            Self::Run { start, len } => {
                let run = &elements[*start..start + len];
                run.iter().map(|&element| decode(element)).collect()
            }
            Self::List(list) => list.iter().map(|&index| decode(elements[index])).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn transposed_views_are_made_contiguous() {
        let storage = bytes(&[0., 1., 2., 3., 4., 5., 6.]);
        let tensor = Tensor::gather(&storage, ElementType::F32, 1, &[3, 2], &[1, 3]).unwrap();
        assert_eq!(
            tensor.data(),
            &TensorData::F32(vec![1., 4., 2., 5., 3., 6.])
        );
        assert_eq!(tensor.shape(), [3, 2]);
    }

    #[test]
    fn views_outside_the_storage_are_refused() {
        let storage = bytes(&[0.; 6]);
        for (offset, shape, strides) in [
            (0, vec![7], vec![1]),
            (1, vec![6], vec![1]),
            (0, vec![2, 3], vec![4, 1]),
            (0, vec![2, 3], vec![usize::MAX, 1]),
            (0, vec![usize::MAX, 2], vec![1, 1]),
            (usize::MAX, vec![1], vec![1]),
            (0, vec![2], vec![]),
            // Repeating one element many times is how a small file would claim much memory.
            (0, vec![1000], vec![0]),
        ] {
            assert!(
                Tensor::gather(&storage, ElementType::F32, offset, &shape, &strides).is_err(),
                "{offset} {shape:?} {strides:?}"
            );
        }
        let scalar = Tensor::gather(&storage, ElementType::F32, 5, &[], &[]).unwrap();
        assert_eq!(scalar.len(), 1);
        let column =
            Tensor::gather(&storage, ElementType::F32, 0, &[3, 1], &[2, usize::MAX]).unwrap();
        assert_eq!(column.len(), 3);
        let empty = Tensor::gather(&storage, ElementType::F32, 99, &[0, 4], &[4, 1]).unwrap();
        assert!(empty.is_empty());
    }

    #[test]
    fn every_element_type_widens_without_loss() {
        let one = |bytes: &[u8], element| {
            Tensor::gather(bytes, element, 0, &[1], &[1])
                .unwrap()
                .data()
                .clone()
        };
        assert_eq!(
            one(&f16::from_f32(-1.5).to_le_bytes(), ElementType::F16),
            TensorData::F32(vec![-1.5])
        );
        assert_eq!(
            one(&bf16::from_f32(-1.5).to_le_bytes(), ElementType::Bf16),
            TensorData::F32(vec![-1.5])
        );
        assert_eq!(
            one(&0.1f64.to_le_bytes(), ElementType::F64),
            TensorData::F64(vec![0.1])
        );
        assert_eq!(
            one(&(-7i16).to_le_bytes(), ElementType::I16),
            TensorData::I64(vec![-7])
        );
        assert_eq!(one(&[255], ElementType::U8), TensorData::I64(vec![255]));
        assert_eq!(one(&[255], ElementType::I8), TensorData::I64(vec![-1]));
    }
}
