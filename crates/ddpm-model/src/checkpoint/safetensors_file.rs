//! Safetensors files.

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors};

use super::read_error::{ReadError, ReadResult};
use super::state_dict::StateDict;
use super::tensor::{ElementType, Tensor};

/// Reads a whole safetensors file.
pub(super) fn read(bytes: &[u8]) -> ReadResult<StateDict> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| match error {
        SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => {
            ReadError::Truncated("its header is cut off".into())
        }
        SafeTensorError::MetadataIncompleteBuffer => ReadError::Truncated(format!(
            "its {} bytes are not the bytes that its header describes",
            bytes.len()
        )),
        other => ReadError::Damaged(other.to_string()),
    })?;
    if file.is_empty() {
        return Err(ReadError::NotACheckpoint(
            "a safetensors file without tensors".into(),
        ));
    }
    file.iter()
        .map(|(name, view)| {
            let element = element_type(view.dtype()).ok_or_else(|| {
                ReadError::Unsupported(format!(
                    "key `{name}` has elements of type {:?}; expected F16, BF16, F32 or F64 (convert the weights)",
                    view.dtype()
                ))
            })?;
            let shape = view.shape();
            // The crate has checked that the product of the shape fits.
            let mut strides = vec![1usize; shape.len()];
            for axis in (1..shape.len()).rev() {
                strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
            }
            let tensor = Tensor::gather(view.data(), element, 0, shape, &strides)?;
            Ok((name.to_owned(), tensor))
        })
        .collect()
}

fn element_type(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::Bf16,
        Dtype::F32 => ElementType::F32,
        Dtype::F64 => ElementType::F64,
        Dtype::U8 => ElementType::U8,
        Dtype::I8 => ElementType::I8,
        Dtype::I16 => ElementType::I16,
        Dtype::I32 => ElementType::I32,
        Dtype::I64 => ElementType::I64,
        Dtype::BOOL => ElementType::Bool,
        _ => return None,
    })
}
