//! Where and how a network is computed.

use crate::Error;
use crate::kernels::Arithmetic;

/// Where and how a network is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// This crate's kernels on the processor.
    Packed(Arithmetic),
    /// candle's own operations on the processor: slow, and what the kernels are tested against; needs the cargo feature
    /// `candle`.
    Stock,
    /// candle's own operations on the first CUDA device; needs the cargo feature `cuda`.
    Cuda,
    /// candle's own operations on the first Metal device; needs the cargo feature `metal`.
    Metal,
}

impl Default for Backend {
    fn default() -> Self {
        Self::Packed(Arithmetic::default())
    }
}

impl Backend {
    /// Arithmetic of the products: `f32` or `bf16`.
    pub fn precision(self) -> &'static str {
        match self {
            Self::Packed(Arithmetic::Bf16) => "bf16",
            _ => "f32",
        }
    }

    /// `cpu` for our own kernels, `stock`, `cuda` or `metal` for candle's.
    pub fn device(self) -> &'static str {
        match self {
            Self::Packed(_) => "cpu",
            Self::Stock => "stock",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }

    /// The error where this build lacks what computes here.
    pub(super) fn not_built(self) -> Error {
        let name = self.device();
        let feature = if self == Self::Stock { "candle" } else { name };
        Error::Device {
            name,
            detail: format!("this program was built without the cargo feature `{feature}`"),
        }
    }
}
