//! The kernel against the portable one; on emulated tiles where the processor has none.
#![expect(unsafe_code, reason = "tile instructions run without tiles")]

use std::arch::asm;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use half::bf16;
use proptest::prelude::*;
use pulp::{Simd, WithSimd};

use super::super::isa::{Isa, processor_has_tiles, tiles_available};
use super::super::product_bf16;
use super::emulator::{self, Memory, addresses};
use super::{Panel, Rows, multiply_on_tiles};

/// Entries around the result.
const GUARD: usize = 100;
/// A NaN that no computation makes.
const UNTOUCHED: f32 = f32::from_bits(0x7fc1_2345);

#[derive(Clone, Copy, Debug)]
struct Case {
    count: usize,
    depth: usize,
    width: usize,
    /// By how much the stride exceeds the depth.
    gap: usize,
    accumulate: bool,
    seed: u64,
}

/// What products multiply: whole numbers, whose sums are exact in whatever order, or any.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Values {
    Whole,
    Any,
}

struct Operands {
    rows: Vec<bf16>,
    panel: Vec<bf16>,
    sums: Vec<f32>,
}

impl Case {
    fn stride(&self) -> usize {
        self.depth + self.gap
    }

    /// Between the rows lie NaN.
    fn operands(&self, values: Values) -> Operands {
        let mut state = self.seed;
        let mut value = || {
            state = state
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            match values {
                Values::Whole => ((state >> 32) % 17) as f32 - 8.0,
                Values::Any => (state >> 40) as f32 / 2f32.powi(23) - 1.0,
            }
        };
        let len = (self.count * self.stride()).saturating_sub(self.gap);
        Operands {
            rows: (0..len)
                .map(|i| {
                    if i % self.stride() < self.depth {
                        value()
                    } else {
                        f32::NAN
                    }
                })
                .map(bf16::from_f32)
                .collect(),
            panel: (0..self.depth * self.width)
                .map(|_| bf16::from_f32(value()))
                .collect(),
            sums: (0..self.count * self.width)
                .map(|_| if self.accumulate { value() } else { f32::NAN })
                .collect(),
        }
    }

    /// The product of `count` rows from `first` on, computed by `multiply`, which must write nothing else.
    fn product(
        &self,
        operands: &Operands,
        first: usize,
        count: usize,
        multiply: impl FnOnce(Rows<'_, bf16>, Panel<'_, bf16>, &mut [f32], bool),
    ) -> Vec<f32> {
        let mut buffer = vec![UNTOUCHED; GUARD];
        buffer.extend(&operands.sums[first * self.width..][..count * self.width]);
        buffer.resize(buffer.len() + GUARD, UNTOUCHED);
        let rows = Rows {
            entries: match count {
                0 => &[],
                _ => {
                    &operands.rows[first * self.stride()..]
                        [..(count - 1) * self.stride() + self.depth]
                }
            },
            stride: self.stride(),
            count,
        };
        let panel = Panel {
            entries: &operands.panel,
            width: self.width,
        };
        multiply(rows, panel, &mut buffer[GUARD..], self.accumulate);
        let sums = buffer.drain(GUARD..GUARD + count * self.width).collect();
        assert!(
            buffer.iter().all(|x| x.to_bits() == UNTOUCHED.to_bits()),
            "{self:?}"
        );
        sums
    }

    fn on_tiles(&self, operands: &Operands, first: usize, count: usize) -> Vec<f32> {
        self.product(operands, first, count, multiply)
    }

    /// `Err` names what differs.
    fn check(&self, rows_alone: impl IntoIterator<Item = usize>) -> Result<(), String> {
        for values in [Values::Whole, Values::Any] {
            let operands = self.operands(values);
            let found = self.on_tiles(&operands, 0, self.count);
            let expected =
                self.product(&operands, 0, self.count, |rows, panel, out, accumulate| {
                    Isa::named("generic").unwrap().run(Widened {
                        rows,
                        panel,
                        out,
                        accumulate,
                    });
                });
            let scale = expected.iter().fold(1f32, |most, x| most.max(x.abs()));
            let tolerance = if values == Values::Whole {
                0.0
            } else {
                1e-5 * scale
            };
            for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                let close = (a - b).abs() <= tolerance; // A NaN is not.
                if !close {
                    let (row, column) = (i / self.width, i % self.width);
                    return Err(format!(
                        "{values:?}, row {row}, column {column}: {a}, not {b}"
                    ));
                }
            }
        }
        let operands = self.operands(Values::Any);
        let together = self.on_tiles(&operands, 0, self.count);
        for row in rows_alone {
            let alone = self.on_tiles(&operands, row, 1);
            let together = &together[row * self.width..][..self.width];
            if alone
                .iter()
                .zip(together)
                .any(|(a, b)| a.to_bits() != b.to_bits())
            {
                return Err(format!("row {row} depends on other rows"));
            }
        }
        Ok(())
    }
}

struct Widened<'a> {
    rows: Rows<'a, bf16>,
    panel: Panel<'a, bf16>,
    out: &'a mut [f32],
    accumulate: bool,
}

impl WithSimd for Widened<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        product_bf16::widened(simd, self.rows, self.panel, self.out, self.accumulate);
    }
}

/// On the processor's tiles or emulated ones.
fn multiply(rows: Rows<'_, bf16>, panel: Panel<'_, bf16>, out: &mut [f32], accumulate: bool) {
    if tiles_available() {
        // SAFETY: there are tiles.
        return unsafe { multiply_on_tiles(rows, panel, out, accumulate) };
    }
    let memory = Memory {
        readable: [addresses(rows.entries), addresses(panel.entries)],
        writable: addresses(&out[..rows.count * panel.width]),
    };
    // SAFETY: there are emulated tiles.
    emulator::run(memory, || unsafe {
        multiply_on_tiles(rows, panel, out, accumulate)
    });
}

/// A processor whose system withholds its tiles runs some of the instructions by itself, so that neither way is open.
fn testable() -> bool {
    tiles_available() || !processor_has_tiles()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tiles_compute_what_the_portable_kernel_computes(
        count in 1usize..70, depth in 1usize..11, width in 1usize..5, gap in 0usize..40,
        accumulate in any::<bool>(), seed in any::<u64>(), row in any::<prop::sample::Index>(),
    ) {
        let case = Case { count, depth: 16 * depth, width: 16 * width, gap, accumulate, seed };
        if testable() {
            prop_assert_eq!(case.check([row.index(count)]), Ok(()), "{:?}", case);
        }
    }
}

/// Rows at, below and above one and two tiles; depths of whole tiles, of shorter ones and of both.
#[test]
fn tiles_at_the_edges_of_their_sizes() {
    if !testable() {
        return;
    }
    for count in [0, 1, 15, 16, 17, 31, 32, 33, 48, 49, 64, 69] {
        for depth in [2, 16, 30, 32, 34, 48, 64, 144] {
            for (width, gap) in [(16, 0), (64, 16)] {
                let case = Case {
                    count,
                    depth,
                    width,
                    gap,
                    accumulate: (count + depth / 2) % 2 == 0,
                    seed: 1,
                };
                assert_eq!(case.check(0..count), Ok(()), "{case:?}");
            }
        }
    }
}

/// The tests above are worth something only if a kernel that breaks the rules does not get through them.
#[test]
fn a_refused_instruction_ends_the_process() {
    const VARIABLE: &str = "DDPM_TEST_REFUSED_INSTRUCTION";
    if processor_has_tiles() {
        return;
    }
    if let Ok(name) = std::env::var(VARIABLE) {
        emulator::run(Memory::default(), || match name.as_str() {
            // SAFETY: the handler ends the process.
            "tile" => unsafe { asm!("tilezero tmm0", out("tmm0") _, options(nostack)) },
            // SAFETY: the system ends the process.
            _ => unsafe { asm!("ud2", options(nostack)) },
        });
        return;
    }
    for (name, signal, message) in [
        ("tile", libc::SIGABRT, "refused: tiles are not configured"),
        ("other", libc::SIGILL, ""),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["a_refused_instruction_ends_the_process", "--nocapture"])
            .env(VARIABLE, name)
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(signal), "{name}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(message), "{name}: {stderr}");
    }
}
