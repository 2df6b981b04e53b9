//! Writing weights as safetensors, without changing any of them.

use half::f16;
use safetensors::tensor::{Dtype, TensorView};

use super::file::Checkpoint;
use super::tensor::TensorData;
use crate::{Error, Result};

/// Floating-point format of a saved file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// 16-bit IEEE floats.
    F16,
    /// 32-bit IEEE floats.
    F32,
}

impl Precision {
    fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F16 => Dtype::F16,
            Self::F32 => Dtype::F32,
        }
    }

    /// Appends `value` to `bytes`, or returns false where rounding would change it.
    fn push(self, value: f64, bytes: &mut Vec<u8>) -> bool {
        let narrow = value as f32;
        let exact = match self {
            Self::F16 => {
                let half = f16::from_f32(narrow);
                bytes.extend(half.to_le_bytes());
                half.to_f64()
            }
            Self::F32 => {
                bytes.extend(narrow.to_le_bytes());
                f64::from(narrow)
            }
        };
        // Bits, so that -0 is kept; a NaN has no exact value in any format.
        exact.to_bits() == value.to_bits() && !value.is_nan()
    }
}

/// The bytes of a safetensors file that holds exactly the weights of `checkpoint`.
///
/// Names and shapes are kept; tensors are ordered as the format prefers, so that equal weights give equal bytes.
///
/// # Errors
/// [`Error::NotRepresentable`] if some weight would change, [`Error::WrongType`] for tensors that are not
/// floating-point.
pub fn save_safetensors(checkpoint: &Checkpoint, precision: Precision) -> Result<Vec<u8>> {
    let tensors = checkpoint
        .tensors()
        .iter()
        .map(|(key, tensor)| {
            let data = match tensor.data() {
                TensorData::F32(values) => {
                    encode(key, values.iter().map(|&v| f64::from(v)), precision)?
                }
                TensorData::F64(values) => encode(key, values.iter().copied(), precision)?,
                TensorData::I64(_) => {
                    return Err(Error::WrongType {
                        key: key.clone(),
                        found: tensor.element_type(),
                    });
                }
            };
            Ok((key, tensor.shape().to_vec(), data))
        })
        .collect::<Result<Vec<_>>>()?;
    let views = tensors.iter().map(|(key, shape, data)| {
        let view = TensorView::new(precision.dtype(), shape.clone(), data);
        (key, view.expect("one encoded value per element"))
    });
    safetensors::serialize(views, None).map_err(|error| Error::Save(error.to_string()))
}

fn encode(key: &str, values: impl Iterator<Item = f64>, precision: Precision) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for value in values {
        if !precision.push(value, &mut bytes) {
            return Err(Error::NotRepresentable {
                key: key.to_owned(),
                value,
                precision: precision.name(),
            });
        }
    }
    Ok(bytes)
}
