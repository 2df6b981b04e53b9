//! Which instruction set the kernels run on.

use std::sync::OnceLock;

use pulp::{Scalar256b, Simd, WithSimd};

use crate::{Error, Result};

/// Environment variable that overrides what the processor offers, so that every path can be tested on one machine.
const VARIABLE: &str = "DDPM_ISA";

/// An instruction set that this processor has.
///
/// Results are bit-identical on one instruction set. Between two of them the last bits of f32 differ, because vectors are
/// wider or additions and multiplications are fused; results in bf16 differ by its own rounding, because the methods of
/// convolution do.
#[derive(Clone, Copy, Debug)]
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Generic,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    /// AVX-512 for everything but products of bf16.
    #[cfg(target_arch = "x86_64")]
    Amx(pulp::x86::V4),
}

impl Isa {
    /// The one that `DDPM_ISA` names, or the best that the processor offers.
    ///
    /// Asked once; for AMX this also asks the system for the tile registers, which must happen before threads start
    /// to use them.
    ///
    /// # Errors
    /// [`Error::Isa`] if the variable holds no name, or one that this processor lacks.
    pub fn detect() -> Result<Self> {
        static DETECTED: OnceLock<std::result::Result<Isa, String>> = OnceLock::new();
        DETECTED
            .get_or_init(|| match std::env::var_os(VARIABLE) {
                None => Ok(Self::best()),
                Some(name) => Self::named(&name.to_string_lossy()),
            })
            .clone()
            .map_err(|detail| Error::Isa {
                variable: VARIABLE,
                detail,
            })
    }

    /// Names in the order of preference, last the best.
    pub const NAMES: [&str; 4] = ["generic", "avx2", "avx512", "amx"];

    fn best() -> Self {
        let mut names = Self::NAMES.iter().rev();
        names
            .find_map(|name| Self::named(name).ok())
            .unwrap_or(Self(Kind::Generic))
    }

    /// The instruction set `name`, or why there is none.
    pub(crate) fn named(name: &str) -> std::result::Result<Self, String> {
        let kind = match name {
            "generic" => Some(Kind::Generic),
            #[cfg(target_arch = "x86_64")]
            "avx2" => pulp::x86::V3::try_new().map(Kind::Avx2),
            #[cfg(target_arch = "x86_64")]
            "avx512" => pulp::x86::V4::try_new().map(Kind::Avx512),
            #[cfg(target_arch = "x86_64")]
            "amx" => pulp::x86::V4::try_new()
                .filter(|_| super::amx::available())
                .map(Kind::Amx),
            #[cfg(not(target_arch = "x86_64"))]
            "avx2" | "avx512" | "amx" => None,
            _ => {
                return Err(format!(
                    "`{name}`, expected one of {}",
                    Self::NAMES.join(", ")
                ));
            }
        };
        kind.map(Self)
            .ok_or_else(|| format!("`{name}`, which this processor does not have"))
    }

    /// `generic`, `avx2`, `avx512` or `amx`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Generic => "generic",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Amx(_) => "amx",
        }
    }

    /// Runs `op` compiled for this instruction set.
    pub(super) fn run<O: WithSimd>(self, op: O) -> O::Output {
        match self.0 {
            Kind::Generic => Simd::vectorize(Scalar256b, op),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(simd) => Simd::vectorize(simd, op),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(simd) | Kind::Amx(simd) => Simd::vectorize(simd, op),
        }
    }

    /// Whether products of bf16 run on tile registers.
    pub(super) fn has_tiles(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx(_) => true,
            _ => false,
        }
    }

    /// Whether products of bf16 may run on the vector instruction for pairs.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn has_pairs(self) -> bool {
        matches!(self.0, Kind::Avx512(_) | Kind::Amx(_)) && super::product_bf16::pairs_available()
    }

    /// What multiplies bf16: `tiles`, `pairs` (a vector instruction) or `widened` (to f32 first).
    pub fn bf16_products(self) -> &'static str {
        #[cfg(target_arch = "x86_64")]
        if self.has_tiles() {
            return "tiles";
        } else if self.has_pairs() {
            return "pairs";
        }
        "widened"
    }

    /// Widest panel of the right operand of a product, in columns: four vectors of AVX-512, two of AVX2.
    pub(super) fn panel_columns(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) | Kind::Amx(_) => 64,
            _ => 16,
        }
    }
}
