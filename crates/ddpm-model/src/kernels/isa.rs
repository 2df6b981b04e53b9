//! Which instruction set the kernels run on, and vectors of whatever width it has.

use std::any::TypeId;
use std::sync::OnceLock;

use pulp::{Scalar256b, Simd, WithSimd};

use crate::{Error, Result};

/// Environment variable that overrides what the processor offers, so that every path can be tested on one machine.
const VARIABLE: &str = "DDPM_ISA";

/// What products multiply; sums are f32 in both cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// 24-bit significands.
    #[default]
    F32,
    /// 8-bit significands, twice the speed and more where the processor has instructions for them.
    Bf16,
}

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
                .filter(|_| tiles_available())
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
        matches!(self.0, Kind::Avx512(_) | Kind::Amx(_)) && pairs_available()
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

/// Whether the processor has `vdpbf16ps`.
#[cfg(target_arch = "x86_64")]
fn pairs_available() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
        && std::arch::is_x86_feature_detected!("avx512f")
}

/// Whether the processor has AMX with bf16 and the system lets this process use them, which is asked for once.
#[cfg(target_arch = "x86_64")]
pub(super) fn tiles_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| processor_has_tiles() && system_permits_tiles())
}

#[cfg(target_arch = "x86_64")]
pub(super) fn processor_has_tiles() -> bool {
    const BF16_PRODUCTS: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    if std::arch::x86_64::__cpuid(0).eax < 7 {
        return false;
    }
    let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
    features & (BF16_PRODUCTS | TILES) == BF16_PRODUCTS | TILES
}

/// Asks Linux for the tiles' part of the register state.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[expect(unsafe_code, reason = "the system call is reached through assembly")]
fn system_permits_tiles() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let result: i64;
    // SAFETY: the system call reads two numbers and no memory; it changes what this process may use, and fails with a
    // negative number where it does not exist. Linux clobbers rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn system_permits_tiles() -> bool {
    false
}

/// Channels of every activation are padded to a multiple of this: the widest vector, so that no kernel has a remainder.
pub(super) const CHANNEL_MULTIPLE: usize = 16;

/// `channels` with padding.
pub(super) const fn padded(channels: usize) -> usize {
    channels.next_multiple_of(CHANNEL_MULTIPLE)
}

/// `a b + c`, fused where the instruction set does it in one instruction.
///
/// The portable path must not call the C library's `fmaf` for each float.
#[inline(always)]
pub(super) fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if TypeId::of::<S>() == TypeId::of::<Scalar256b>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_f32s(a, b, c)
    }
}

/// The vector that begins at `values[at]`.
#[inline(always)]
pub(super) fn load<S: Simd>(values: &[f32], at: usize) -> S::f32s {
    let (vectors, _) = S::as_simd_f32s(&values[at..at + S::F32_LANES]);
    vectors[0]
}

/// Writes a vector from `values[at]` on.
#[inline(always)]
pub(super) fn store<S: Simd>(values: &mut [f32], at: usize, vector: S::f32s) {
    let (vectors, _) = S::as_mut_simd_f32s(&mut values[at..at + S::F32_LANES]);
    vectors[0] = vector;
}
