//! Where and how a network is computed.

use candle_core::Device;

use crate::kernels::{Arithmetic, Isa};
use crate::{Error, Result};

/// Where and how a network is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// This crate's kernels on the processor.
    Packed(Arithmetic),
    /// candle's own operations on the processor: slow, and what the kernels are tested against.
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

/// A backend made ready.
pub(super) enum Opened {
    Packed(Isa, Arithmetic),
    Stock(Device),
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

    /// # Errors
    /// [`Error::Device`] where the device is absent or this build cannot use it; [`Error::Isa`].
    pub(super) fn open(self) -> Result<Opened> {
        Ok(match self {
            Self::Packed(arithmetic) => Opened::Packed(Isa::detect()?, arithmetic),
            Self::Stock => Opened::Stock(Device::Cpu),
            Self::Cuda => Opened::Stock(device("cuda", cfg!(feature = "cuda"), Device::new_cuda)?),
            Self::Metal => {
                Opened::Stock(device("metal", cfg!(feature = "metal"), Device::new_metal)?)
            }
        })
    }
}

fn device(
    name: &'static str,
    built: bool,
    open: impl FnOnce(usize) -> candle_core::Result<Device>,
) -> Result<Device> {
    if !built {
        return Err(Error::Device {
            name,
            detail: format!("this program was built without the cargo feature `{name}`"),
        });
    }
    open(0).map_err(|error| Error::Device {
        name,
        detail: error.to_string(),
    })
}
