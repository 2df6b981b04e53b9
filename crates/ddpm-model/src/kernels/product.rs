//! Rows times a panel in f32, register tile by register tile.
//!
//! Each entry of the result is one chain of multiply-adds in the order of the lines of the panel, so that it does not
//! depend on how rows are grouped into tiles.
#![expect(
    unsafe_code,
    reason = "bounds checks inside the innermost loop cost a third of its speed"
)]

use pulp::Simd;

use super::element::{Element, Panel, Rows};
use super::isa::{Isa, load, mul_add, store};

impl Element for f32 {
    const GROUP: usize = 1;

    fn round(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn round_all(values: &[f32], out: &mut [Self]) {
        out.copy_from_slice(values);
    }

    fn unrounded(values: &[f32]) -> Option<&[Self]> {
        Some(values)
    }

    #[inline(always)]
    fn store<S: Simd>(out: &mut [Self], at: usize, vector: S::f32s) {
        store::<S>(out, at, vector);
    }

    #[inline(always)]
    fn multiply<S: Simd>(
        simd: S,
        _: Isa,
        rows: Rows<'_, Self>,
        panel: Panel<'_, Self>,
        out: &mut [f32],
        accumulate: bool,
    ) {
        // With 32 registers, 6 rows of 4 vectors leave 8 for the panel's line and the broadcast entries; with 16 registers,
        // 6 rows of 2 vectors leave 4.
        match panel.width / S::F32_LANES {
            1 => multiply_wide::<S, 1>(simd, rows, panel, out, accumulate),
            2 => multiply_wide::<S, 2>(simd, rows, panel, out, accumulate),
            3 => multiply_wide::<S, 3>(simd, rows, panel, out, accumulate),
            4 => multiply_wide::<S, 4>(simd, rows, panel, out, accumulate),
            vectors => unreachable!("panels are at most four vectors wide, not {vectors}"),
        }
    }
}

/// A panel of `V` vectors.
#[inline(always)]
fn multiply_wide<S: Simd, const V: usize>(
    simd: S,
    rows: Rows<'_, f32>,
    panel: Panel<'_, f32>,
    out: &mut [f32],
    accumulate: bool,
) {
    const MOST: usize = 6;
    let (lines, _) = S::as_simd_f32s(panel.entries).0.as_chunks::<V>();
    let groups = rows.count.div_ceil(MOST);
    let mut first = 0;
    for group in 0..groups {
        let end = ((group + 1) * rows.count).div_ceil(groups);
        let tile = Tile {
            entries: &rows.entries[first * rows.stride..],
            stride: rows.stride,
            lines,
            out: &mut out[first * panel.width..end * panel.width],
            accumulate,
        };
        match end - first {
            1 => tile.multiply::<1>(simd),
            2 => tile.multiply::<2>(simd),
            3 => tile.multiply::<3>(simd),
            4 => tile.multiply::<4>(simd),
            5 => tile.multiply::<5>(simd),
            _ => tile.multiply::<MOST>(simd),
        }
        first = end;
    }
}

struct Tile<'a, S: Simd, const V: usize> {
    entries: &'a [f32],
    stride: usize,
    lines: &'a [[S::f32s; V]],
    out: &'a mut [f32],
    accumulate: bool,
}

impl<S: Simd, const V: usize> Tile<'_, S, V> {
    #[inline(always)]
    fn multiply<const R: usize>(self, simd: S) {
        let width = V * S::F32_LANES;
        let depth = self.lines.len();
        assert!(self.entries.len() >= (R - 1) * self.stride + depth);
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        if self.accumulate {
            for i in 0..R {
                for v in 0..V {
                    sums[i][v] = load::<S>(self.out, i * width + v * S::F32_LANES);
                }
            }
        }
        for (k, line) in self.lines.iter().enumerate() {
            for i in 0..R {
                // SAFETY: i <= R - 1 and k <= depth - 1, and the assertion above says that
                // (R - 1) stride + depth - 1 is inside.
                let entry = unsafe { *self.entries.get_unchecked(i * self.stride + k) };
                let entry = simd.splat_f32s(entry);
                for v in 0..V {
                    sums[i][v] = mul_add(simd, entry, line[v], sums[i][v]);
                }
            }
        }
        for i in 0..R {
            for v in 0..V {
                store::<S>(self.out, i * width + v * S::F32_LANES, sums[i][v]);
            }
        }
    }
}
