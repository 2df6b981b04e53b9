//! Rows times a panel in bf16, summed in f32.
//!
//! On processors with `vdpbf16ps` a vector instruction multiplies and adds pairs of bf16; everything else widens both
//! operands to f32 first. AMX has its own kernel (`amx`).
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "the instruction is reached through an intrinsic with a target feature"
    )
)]

use half::bf16;
use pulp::Simd;

use super::element::{Element, Panel, Rows};
use super::isa::{CHANNEL_MULTIPLE, Isa, load, mul_add, store};

impl Element for bf16 {
    const GROUP: usize = 2;

    fn round(value: f32) -> Self {
        bf16::from_f32(value)
    }

    /// To the nearest, ties to even; in a form that becomes vector code. A NaN stays one.
    #[inline(always)]
    fn round_all(values: &[f32], out: &mut [Self]) {
        for (slot, value) in out.iter_mut().zip(values) {
            let bits = value.to_bits();
            let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
            let quiet = (bits >> 16) | 0x40;
            *slot = bf16::from_bits(if value.is_nan() { quiet } else { rounded } as u16);
        }
    }

    fn unrounded(_: &[f32]) -> Option<&[Self]> {
        None
    }

    #[inline(always)]
    fn store<S: Simd>(out: &mut [Self], at: usize, vector: S::f32s) {
        let mut values = [0f32; CHANNEL_MULTIPLE];
        store::<S>(&mut values, 0, vector);
        Self::round_all(&values[..S::F32_LANES], &mut out[at..at + S::F32_LANES]);
    }

    #[inline(always)]
    fn multiply<S: Simd>(
        simd: S,
        isa: Isa,
        rows: Rows<'_, Self>,
        panel: Panel<'_, Self>,
        out: &mut [f32],
        accumulate: bool,
    ) {
        #[cfg(target_arch = "x86_64")]
        {
            if isa.has_tiles() {
                return super::amx::multiply(rows, panel, out, accumulate);
            }
            if isa.has_pairs() {
                // SAFETY: that is only so where the processor has the instruction.
                return unsafe { pair::multiply(rows, panel, out, accumulate) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = isa;
        widened(simd, rows, panel, out, accumulate);
    }
}

/// The plain version: the two products of a pair are added to the sum one after the other.
#[inline(always)]
pub(super) fn widened<S: Simd>(
    simd: S,
    rows: Rows<'_, bf16>,
    panel: Panel<'_, bf16>,
    out: &mut [f32],
    accumulate: bool,
) {
    let width = panel.width;
    let out = &mut out[..rows.count * width];
    if !accumulate {
        out.fill(0.0);
    }
    let mut line = [[0f32; 64]; 2];
    for (pair, entries) in panel.entries.chunks_exact(2 * width).enumerate() {
        for (i, pair) in entries.as_chunks::<2>().0.iter().enumerate() {
            line[0][i] = f32::from_bits(u32::from(pair[0].to_bits()) << 16);
            line[1][i] = f32::from_bits(u32::from(pair[1].to_bits()) << 16);
        }
        for (i, sums) in out.chunks_exact_mut(width).enumerate() {
            let row = &rows.entries[i * rows.stride + 2 * pair..][..2];
            let row = [row[0], row[1]].map(|x| simd.splat_f32s(x.to_f32()));
            for at in (0..width).step_by(S::F32_LANES) {
                let mut sum = load::<S>(sums, at);
                for half in 0..2 {
                    sum = mul_add(simd, row[half], load::<S>(&line[half], at), sum);
                }
                store::<S>(sums, at, sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod pair {
    //! AVX-512 BF16.

    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
    };
    use std::mem::transmute;

    use super::{Panel, Rows, bf16};

    const LANES: usize = 16;

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn multiply(
        rows: Rows<'_, bf16>,
        panel: Panel<'_, bf16>,
        out: &mut [f32],
        accumulate: bool,
    ) {
        match panel.width / LANES {
            1 => multiply_wide::<1>(rows, panel, out, accumulate),
            2 => multiply_wide::<2>(rows, panel, out, accumulate),
            3 => multiply_wide::<3>(rows, panel, out, accumulate),
            4 => multiply_wide::<4>(rows, panel, out, accumulate),
            vectors => unreachable!("panels are at most four vectors wide, not {vectors}"),
        }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn multiply_wide<const V: usize>(
        rows: Rows<'_, bf16>,
        panel: Panel<'_, bf16>,
        out: &mut [f32],
        accumulate: bool,
    ) {
        const MOST: usize = 6;
        let groups = rows.count.div_ceil(MOST);
        let mut first = 0;
        for group in 0..groups {
            let end = ((group + 1) * rows.count).div_ceil(groups);
            let entries = &rows.entries[first * rows.stride..];
            let out = &mut out[first * panel.width..end * panel.width];
            match end - first {
                1 => tile::<1, V>(entries, rows.stride, panel.entries, out, accumulate),
                2 => tile::<2, V>(entries, rows.stride, panel.entries, out, accumulate),
                3 => tile::<3, V>(entries, rows.stride, panel.entries, out, accumulate),
                4 => tile::<4, V>(entries, rows.stride, panel.entries, out, accumulate),
                5 => tile::<5, V>(entries, rows.stride, panel.entries, out, accumulate),
                _ => tile::<MOST, V>(entries, rows.stride, panel.entries, out, accumulate),
            }
            first = end;
        }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn tile<const R: usize, const V: usize>(
        entries: &[bf16],
        stride: usize,
        panel: &[bf16],
        out: &mut [f32],
        accumulate: bool,
    ) {
        let pairs = panel.len() / (2 * V * LANES);
        assert!(entries.len() >= (R - 1) * stride + 2 * pairs && out.len() == R * V * LANES);
        let mut sums: [[__m512; V]; R] = [[_mm512_setzero_ps(); V]; R];
        if accumulate {
            for i in 0..R {
                for v in 0..V {
                    // SAFETY: a vector of the R x V that the assertion says `out` holds.
                    sums[i][v] = unsafe { _mm512_loadu_ps(out.as_ptr().add((i * V + v) * LANES)) };
                }
            }
        }
        // SAFETY: both are 512 plain bits.
        let zero = unsafe { transmute::<__m512, __m512bh>(_mm512_setzero_ps()) };
        for pair in 0..pairs {
            let mut line = [zero; V];
            for v in 0..V {
                // SAFETY: 2 LANES entries from 2 LANES (pair V + v) on, and pair < pairs, v < V: inside of `panel`.
                line[v] = unsafe {
                    let at = panel.as_ptr().add(2 * LANES * (pair * V + v));
                    transmute::<__m512i, __m512bh>(_mm512_loadu_si512(at.cast::<__m512i>()))
                };
            }
            for i in 0..R {
                // SAFETY: two entries at i stride + 2 pair, inside by the assertion; no alignment is asked for.
                let entry = unsafe {
                    entries
                        .as_ptr()
                        .add(i * stride + 2 * pair)
                        .cast::<i32>()
                        .read_unaligned()
                };
                // SAFETY: both are 512 plain bits.
                let entry = unsafe { transmute::<__m512i, __m512bh>(_mm512_set1_epi32(entry)) };
                for v in 0..V {
                    sums[i][v] = _mm512_dpbf16_ps(sums[i][v], entry, line[v]);
                }
            }
        }
        for i in 0..R {
            for v in 0..V {
                // SAFETY: as for the loads above.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr().add((i * V + v) * LANES), sums[i][v]) };
            }
        }
    }
}
