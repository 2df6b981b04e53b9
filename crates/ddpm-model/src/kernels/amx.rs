//! Rows times a panel in bf16 on the tile registers of AMX.
//!
//! A tile holds up to 16 rows of 64 bytes. One instruction multiplies a tile of rows (16 rows x 32 entries) with a tile
//! of the panel (16 pairs of lines x 16 columns) and adds to a tile of sums (16 x 16):
//!
//! ```text
//!             pairs of lines                    columns
//!   rows   ┌─────────────────┐             ┌───────────────┐
//!     16   │ tmm2: 32 entries│  ×   pairs  │ tmm4: 16 cols │  ──▶  tmm0: 16 x 16 sums
//!     16   │ tmm3            │        16   │  (2 x bf16)   │  ──▶  tmm1
//!          └─────────────────┘             └───────────────┘
//! ```
//!
//! Rust knows these instructions only in its unstable part, so they are written in assembly.
#![expect(unsafe_code, reason = "the instructions are reached through assembly")]

use std::arch::asm;

use half::bf16;

use super::element::{Panel, Rows};
use super::isa;

#[cfg(all(test, target_os = "linux"))]
mod emulator;
#[cfg(all(test, target_os = "linux"))]
mod tests;

/// Rows of a full tile.
const TILE_ROWS: usize = 16;
/// Entries of a row of a full tile.
const TILE_DEPTH: usize = 32;
/// Columns of a tile of sums.
const TILE_COLUMNS: usize = 16;

/// See [`Element::multiply`](super::element::Element::multiply); only where
/// [`isa::tiles_available`] says so.
pub(super) fn multiply(
    rows: Rows<'_, bf16>,
    panel: Panel<'_, bf16>,
    out: &mut [f32],
    accumulate: bool,
) {
    assert!(
        isa::tiles_available(),
        "AMX was asked for where there is none"
    );
    // SAFETY: the processor has tiles, and the system lets this process use them.
    unsafe { multiply_on_tiles(rows, panel, out, accumulate) };
}

/// # Safety
/// Tile instructions run, on the processor's tiles or emulated ones.
unsafe fn multiply_on_tiles(
    rows: Rows<'_, bf16>,
    panel: Panel<'_, bf16>,
    out: &mut [f32],
    accumulate: bool,
) {
    let Panel { entries, width } = panel;
    let depth = entries.len() / width;
    let out = &mut out[..rows.count * width];
    if !accumulate {
        out.fill(0.0);
    }
    assert!(width.is_multiple_of(TILE_COLUMNS) && depth.is_multiple_of(2));
    assert!(rows.count == 0 || rows.entries.len() >= (rows.count - 1) * rows.stride + depth);
    // Full tiles, then what is left of the depth in shorter ones.
    let whole = depth / TILE_DEPTH * TILE_DEPTH;
    for (first_line, len, steps) in [
        (0, TILE_DEPTH, whole / TILE_DEPTH),
        (whole, depth - whole, usize::from(depth > whole)),
    ] {
        if steps == 0 {
            continue;
        }
        for first in (0..rows.count).step_by(2 * TILE_ROWS) {
            let count = (rows.count - first).min(2 * TILE_ROWS);
            let heights = [count.min(TILE_ROWS), count.saturating_sub(TILE_ROWS)];
            let configuration = Configuration::new(heights, len);
            // SAFETY: there are tiles, by the contract, and 64 bytes in the layout of palette 1. Every tile becomes zero.
            unsafe {
                asm!(
                    "ldtilecfg [{}]",
                    in(reg) &raw const configuration,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, preserves_flags),
                );
            }
            let stride = rows.stride * size_of::<bf16>();
            let mut pass = Pass {
                rows: rows.entries[first * rows.stride + first_line..].as_ptr(),
                rows_stride: stride,
                panel: entries[first_line * width..].as_ptr(),
                panel_stride: 2 * width * size_of::<bf16>(),
                sums: out[first * width..].as_mut_ptr(),
                sums_stride: width * size_of::<f32>(),
                steps,
            };
            for _ in (0..width).step_by(TILE_COLUMNS) {
                // SAFETY: with the configuration just loaded, a step reads `len` entries of each of `count` rows from
                // `first` on (inside, by the assertion above) and `len` lines of 16 columns of the panel, and sums are
                // `count` rows of 16 columns of `out`; `steps` steps of `len` end at `depth`, and the columns at `width`.
                unsafe {
                    if heights[1] == 0 {
                        pass.one_tile();
                    } else {
                        pass.two_tiles();
                    }
                }
                pass.panel = pass.panel.wrapping_add(2 * TILE_COLUMNS);
                pass.sums = pass.sums.wrapping_add(TILE_COLUMNS);
            }
        }
    }
    // SAFETY: there are tiles, by the contract; releasing them is always allowed. Every tile becomes zero.
    unsafe {
        asm!(
            "tilerelease",
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, preserves_flags),
        );
    }
}

/// Shapes of the tile registers, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// Two tiles of sums of the given heights (0, 1), their rows of `depth` entries (2, 3), and a tile of the panel (4).
    fn new(heights: [usize; 2], depth: usize) -> Self {
        let mut configuration = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let mut shape = |tile: usize, rows: usize, row_bytes: usize| {
            // A tile without rows must have no columns either: it is not configured.
            if rows > 0 {
                configuration.rows[tile] = rows as u8;
                configuration.row_bytes[tile] = row_bytes as u16;
            }
        };
        for (half, height) in heights.into_iter().enumerate() {
            shape(half, height, TILE_COLUMNS * size_of::<f32>());
            shape(2 + half, height, depth * size_of::<bf16>());
        }
        shape(4, depth / 2, TILE_COLUMNS * 2 * size_of::<bf16>());
        configuration
    }
}

/// Where the tiles of one column of tiles lie; strides in bytes.
struct Pass {
    rows: *const bf16,
    rows_stride: usize,
    panel: *const bf16,
    panel_stride: usize,
    sums: *mut f32,
    sums_stride: usize,
    steps: usize,
}

impl Pass {
    /// # Safety
    /// The tiles are configured, with no second tile of sums, and what they read and write is inside of the slices.
    unsafe fn one_tile(&self) {
        // SAFETY: by the contract. The registers named are all that is changed.
        unsafe {
            asm!(
                "tileloadd tmm0, [{sums} + {sums_stride}]",
                "2:",
                "tileloadd tmm2, [{rows} + {rows_stride}]",
                "tileloadd tmm4, [{panel} + {panel_stride}]",
                "tdpbf16ps tmm0, tmm2, tmm4",
                "add {rows}, 64",
                "add {panel}, {panel_step}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {sums_stride}], tmm0",
                sums = in(reg) self.sums,
                sums_stride = in(reg) self.sums_stride,
                rows = inout(reg) self.rows => _,
                rows_stride = in(reg) self.rows_stride,
                panel = inout(reg) self.panel => _,
                panel_stride = in(reg) self.panel_stride,
                panel_step = in(reg) self.panel_stride * TILE_DEPTH / 2,
                steps = inout(reg) self.steps => _,
                out("tmm0") _, out("tmm2") _, out("tmm4") _,
                options(nostack),
            );
        }
    }

    /// # Safety
    /// The tiles are configured, and what they read and write is inside of the slices.
    unsafe fn two_tiles(&self) {
        let second_rows = self.rows.wrapping_byte_add(TILE_ROWS * self.rows_stride);
        let second_sums = self.sums.wrapping_byte_add(TILE_ROWS * self.sums_stride);
        // SAFETY: by the contract. The registers named are all that is changed.
        unsafe {
            asm!(
                "tileloadd tmm0, [{sums} + {sums_stride}]",
                "tileloadd tmm1, [{second_sums} + {sums_stride}]",
                "2:",
                "tileloadd tmm2, [{rows} + {rows_stride}]",
                "tileloadd tmm4, [{panel} + {panel_stride}]",
                "tdpbf16ps tmm0, tmm2, tmm4",
                "tileloadd tmm3, [{second_rows} + {rows_stride}]",
                "tdpbf16ps tmm1, tmm3, tmm4",
                "add {rows}, 64",
                "add {second_rows}, 64",
                "add {panel}, {panel_step}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {sums_stride}], tmm0",
                "tilestored [{second_sums} + {sums_stride}], tmm1",
                sums = in(reg) self.sums,
                second_sums = in(reg) second_sums,
                sums_stride = in(reg) self.sums_stride,
                rows = inout(reg) self.rows => _,
                second_rows = inout(reg) second_rows => _,
                rows_stride = in(reg) self.rows_stride,
                panel = inout(reg) self.panel => _,
                panel_stride = in(reg) self.panel_stride,
                panel_step = in(reg) self.panel_stride * TILE_DEPTH / 2,
                steps = inout(reg) self.steps => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _,
                options(nostack),
            );
        }
    }
}
