//! The tile instructions on a processor without them, for tests: each raises SIGILL, and the handler does what Intel's
//! manual says the instruction does, then goes on behind it.
//!
//! Stricter than a processor in two ways: tiles may only be loaded from and stored to memory that the test names, and
//! whatever a processor would refuse aborts with a message.
#![expect(
    unsafe_code,
    reason = "a signal handler reads and writes the registers and memory of what it interrupts"
)]

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::Once;
use std::sync::atomic::{Ordering, compiler_fence};

use half::bf16;

/// Limits of palette 1.
const TILES: usize = 8;
const ROWS: usize = 16;
const ROW_BYTES: usize = 64;

/// Where tiles may be loaded from and stored to, as addresses.
#[derive(Clone, Default)]
pub(super) struct Memory {
    pub(super) readable: [Range<usize>; 2],
    /// May be read as well.
    pub(super) writable: Range<usize>,
}

/// Addresses of the entries of a slice.
pub(super) fn addresses<T>(slice: &[T]) -> Range<usize> {
    let range = slice.as_ptr_range();
    range.start.addr()..range.end.addr()
}

/// Runs a kernel whose tile instructions are emulated on this thread.
pub(super) fn run(memory: Memory, kernel: impl FnOnce()) {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(install_handler);
    with_tiles(|tiles| {
        *tiles = Tiles::RELEASED;
        tiles.memory = memory;
    });
    // The handler runs on this thread, unseen by the compiler.
    compiler_fence(Ordering::SeqCst);
    kernel();
    compiler_fence(Ordering::SeqCst);
    with_tiles(|tiles| {
        tiles.memory = Memory::default();
        assert!(tiles.executed > 0, "the kernel uses no tile instructions");
        assert!(!tiles.configured, "the kernel does not release its tiles");
    });
}

/// `change` must hold no tile instruction.
fn with_tiles<R>(change: impl FnOnce(&mut Tiles) -> R) -> R {
    thread_local! {
        static OF_THREAD: UnsafeCell<Tiles> = const { UnsafeCell::new(Tiles::RELEASED) };
    }
    // SAFETY: the only reference: each thread has its own, and nothing that gets one raises SIGILL before it gives it
    // back. The value is there from the start and has no destructor, so a handler may ask for it.
    OF_THREAD.with(|tiles| change(unsafe { &mut *tiles.get() }))
}

fn install_handler() {
    // SAFETY: zeros are a value of this plain structure; the handler has the signature that SA_SIGINFO asks for and
    // allocates nothing.
    let failed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_illegal_instruction as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
}

extern "C" fn on_illegal_instruction(
    _: libc::c_int,
    _: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    /// Numbers of instructions' registers, in the system's numbering.
    const REGISTERS: [libc::c_int; 16] = [
        libc::REG_RAX,
        libc::REG_RCX,
        libc::REG_RDX,
        libc::REG_RBX,
        libc::REG_RSP,
        libc::REG_RBP,
        libc::REG_RSI,
        libc::REG_RDI,
        libc::REG_R8,
        libc::REG_R9,
        libc::REG_R10,
        libc::REG_R11,
        libc::REG_R12,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
    ];
    // SAFETY: the system passes the interrupted registers, which are the handler's until it returns.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    let instruction = registers[libc::REG_RIP as usize] as usize;
    let decoded = decode(
        // SAFETY: the processor has just read the instruction there, and the decoder reads no further than its end.
        |at| unsafe { std::ptr::with_exposed_provenance::<u8>(instruction + at).read() },
        |number| registers[REGISTERS[number] as usize] as usize,
    );
    let result = match decoded {
        Some(Ok((instruction, len))) => {
            registers[libc::REG_RIP as usize] += len as i64;
            with_tiles(|tiles| tiles.execute(instruction))
        }
        Some(Err(fault)) => Err(fault),
        None => {
            // SAFETY: sets a disposition. The instruction runs again and ends the process.
            unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
            return;
        }
    };
    if let Err(Fault(message)) = result {
        for part in ["tile instruction refused: ", message, "\n"] {
            // SAFETY: writes a string.
            unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
        }
        // SAFETY: ends the process.
        unsafe { libc::abort() };
    }
}

/// Why a processor (or this emulator) refuses.
#[derive(Debug, PartialEq)]
struct Fault(&'static str);

fn require(condition: bool, otherwise: &'static str) -> Result<(), Fault> {
    condition.then_some(()).ok_or(Fault(otherwise))
}

/// With the values of its registers.
#[derive(Debug, PartialEq)]
enum Instruction {
    /// `ldtilecfg`
    Configure { address: usize },
    /// `tilerelease`
    Release,
    /// `tilezero`
    Zero { tile: usize },
    /// `tileloadd`
    Load {
        tile: usize,
        address: usize,
        stride: usize,
    },
    /// `tilestored`
    Store {
        tile: usize,
        address: usize,
        stride: usize,
    },
    /// `tdpbf16ps`
    Multiply {
        sums: usize,
        rows: usize,
        panel: usize,
    },
}

/// The instruction and its length, or nothing if it is not one of the six.
fn decode(
    byte: impl Fn(usize) -> u8,
    register: impl Fn(usize) -> usize,
) -> Option<Result<(Instruction, usize), Fault>> {
    // VEX: C4, R X B (inverted) and the map, W vvvv (inverted) L pp; then opcode and ModRM.
    if byte(0) != 0xc4 || byte(1) & 0x1f != 2 || byte(2) & 0x84 != 0 {
        return None;
    }
    let inverted = !byte(1);
    let extension = |bit: u8| usize::from(inverted >> bit & 1) << 3;
    let third = usize::from(!byte(2) >> 3 & 15);
    let prefix = byte(2) & 3;
    let opcode = byte(3);
    let mode = byte(4) >> 6;
    let reg = usize::from(byte(4) >> 3 & 7) | extension(7);
    let rm = usize::from(byte(4) & 7) | extension(5);
    const NONE: u8 = 0;
    const F3: u8 = 2;
    const F2: u8 = 3;

    let address = || {
        let mut len = 5;
        let mut stride = None;
        let mut base = rm;
        if rm & 7 == 4 {
            let sib = byte(len);
            len += 1;
            base = usize::from(sib & 7) | extension(5);
            let index = usize::from(sib >> 3 & 7) | extension(6);
            // Without an index, which number 4 means, the stride is zero.
            stride = Some(if index == 4 {
                0
            } else {
                register(index) << (sib >> 6)
            });
        }
        require(
            mode != 0 || base & 7 != 5,
            "an address without a base is not emulated",
        )?;
        let displacement = match mode {
            0 => 0,
            1 => i32::from(byte(len) as i8),
            _ => i32::from_le_bytes([0, 1, 2, 3].map(|i| byte(len + i))),
        };
        len += [0, 1, 4][usize::from(mode)];
        Ok((
            register(base).wrapping_add_signed(displacement as isize),
            stride,
            len,
        ))
    };
    let rows = || {
        let (address, stride, len) = address()?;
        let stride = stride.ok_or(Fault("rows of a tile need a SIB byte"))?;
        Ok((address, stride, len))
    };
    let instruction = match (opcode, prefix, mode) {
        (0x49, NONE, 3) if byte(4) == 0xc0 => Ok((Instruction::Release, 5)),
        (0x49, F2, 3) if rm == 0 => Ok((Instruction::Zero { tile: reg }, 5)),
        (0x5c, F3, 3) => {
            let (sums, rows, panel) = (reg, rm, third);
            return Some(
                require(
                    sums < TILES && rows < TILES && panel < TILES,
                    "no such tile",
                )
                .map(|()| (Instruction::Multiply { sums, rows, panel }, 5)),
            );
        }
        (0x49, NONE, 0..3) if reg == 0 => {
            address().map(|(address, _, len)| (Instruction::Configure { address }, len))
        }
        (0x4b, F2, 0..3) => rows().map(|(address, stride, len)| {
            let tile = reg;
            (
                Instruction::Load {
                    tile,
                    address,
                    stride,
                },
                len,
            )
        }),
        (0x4b, F3, 0..3) => rows().map(|(address, stride, len)| {
            let tile = reg;
            (
                Instruction::Store {
                    tile,
                    address,
                    stride,
                },
                len,
            )
        }),
        _ => return None,
    };
    Some(instruction.and_then(|found| {
        require(third == 0, "vvvv is used")?;
        require(reg < TILES, "no such tile")?;
        Ok(found)
    }))
}

/// Rows and bytes of each; both zero for a tile that is not configured.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    rows: usize,
    row_bytes: usize,
}

struct Tiles {
    configured: bool,
    shapes: [Shape; TILES],
    data: [[[u8; ROW_BYTES]; ROWS]; TILES],
    memory: Memory,
    /// Instructions so far.
    executed: usize,
}

impl Tiles {
    const NO_SHAPE: Shape = Shape {
        rows: 0,
        row_bytes: 0,
    };
    const RELEASED: Self = Self {
        configured: false,
        shapes: [Self::NO_SHAPE; TILES],
        data: [[[0; ROW_BYTES]; ROWS]; TILES],
        memory: Memory {
            readable: [0..0, 0..0],
            writable: 0..0,
        },
        executed: 0,
    };

    fn execute(&mut self, instruction: Instruction) -> Result<(), Fault> {
        self.executed += 1;
        match instruction {
            Instruction::Configure { address } => {
                // SAFETY: the interrupted code asked for these 64 bytes, and `ldtilecfg` needs no alignment.
                let bytes = unsafe {
                    std::ptr::with_exposed_provenance::<[u8; 64]>(address).read_unaligned()
                };
                self.configure(&bytes)
            }
            Instruction::Release => {
                self.configured = false;
                self.shapes = Self::RELEASED.shapes;
                self.data = Self::RELEASED.data;
                Ok(())
            }
            Instruction::Zero { tile } => {
                self.shape(tile)?;
                self.data[tile] = Self::RELEASED.data[tile];
                Ok(())
            }
            Instruction::Load {
                tile,
                address,
                stride,
            } => self.load(tile, address, stride),
            Instruction::Store {
                tile,
                address,
                stride,
            } => self.store(tile, address, stride),
            Instruction::Multiply { sums, rows, panel } => self.multiply(sums, rows, panel),
        }
    }

    fn configure(&mut self, bytes: &[u8; 64]) -> Result<(), Fault> {
        require(bytes[0] == 1, "a palette other than 1")?;
        require(bytes[1] == 0, "a start row is not emulated")?;
        let unused = bytes[2..16]
            .iter()
            .chain(&bytes[32..48])
            .chain(&bytes[56..]);
        require(
            unused.copied().all(|byte| byte == 0),
            "reserved bytes are used",
        )?;
        let mut shapes = Self::RELEASED.shapes;
        for (tile, shape) in shapes.iter_mut().enumerate() {
            let at = 16 + 2 * tile;
            *shape = Shape {
                rows: bytes[48 + tile].into(),
                row_bytes: u16::from_le_bytes([bytes[at], bytes[at + 1]]).into(),
            };
            require(shape.rows <= ROWS, "a tile has too many rows")?;
            require(shape.row_bytes <= ROW_BYTES, "rows of a tile are too long")?;
            require(
                (shape.rows == 0) == (shape.row_bytes == 0),
                "a tile has rows without bytes or bytes without rows",
            )?;
        }
        self.configured = true;
        self.shapes = shapes;
        self.data = Self::RELEASED.data;
        Ok(())
    }

    /// The shape of a tile that may be used.
    fn shape(&self, tile: usize) -> Result<Shape, Fault> {
        require(self.configured, "tiles are not configured")?;
        let shape = self.shapes[tile];
        require(shape != Self::NO_SHAPE, "this tile is not configured")?;
        Ok(shape)
    }

    fn load(&mut self, tile: usize, address: usize, stride: usize) -> Result<(), Fault> {
        let shape = self.shape(tile)?;
        self.data[tile] = Self::RELEASED.data[tile];
        for (i, row) in self.data[tile][..shape.rows].iter_mut().enumerate() {
            let row = &mut row[..shape.row_bytes];
            let begin = address.wrapping_add(i.wrapping_mul(stride));
            let Memory { readable, writable } = &self.memory;
            require(
                readable
                    .iter()
                    .chain([writable])
                    .any(|range| holds(range, begin, row.len())),
                "a load reaches outside of the operands",
            )?;
            // SAFETY: inside of memory that the test named.
            unsafe {
                let from = std::ptr::with_exposed_provenance::<u8>(begin);
                from.copy_to_nonoverlapping(row.as_mut_ptr(), row.len());
            }
        }
        Ok(())
    }

    fn store(&mut self, tile: usize, address: usize, stride: usize) -> Result<(), Fault> {
        let shape = self.shape(tile)?;
        for (i, row) in self.data[tile][..shape.rows].iter().enumerate() {
            let row = &row[..shape.row_bytes];
            let begin = address.wrapping_add(i.wrapping_mul(stride));
            require(
                holds(&self.memory.writable, begin, row.len()),
                "a store reaches outside of the result",
            )?;
            // SAFETY: inside of memory that the test named as writable.
            unsafe {
                let to = std::ptr::with_exposed_provenance_mut::<u8>(begin);
                to.copy_from_nonoverlapping(row.as_ptr(), row.len());
            }
        }
        Ok(())
    }

    fn multiply(&mut self, sums: usize, rows: usize, panel: usize) -> Result<(), Fault> {
        require(
            sums != rows && rows != panel && panel != sums,
            "a tile is two operands of a product",
        )?;
        let (c, a, b) = (self.shape(sums)?, self.shape(rows)?, self.shape(panel)?);
        require(
            [a, b, c]
                .iter()
                .all(|shape| shape.row_bytes.is_multiple_of(4)),
            "rows of a product hold no whole number of pairs",
        )?;
        require(
            c.rows == a.rows && c.row_bytes == b.row_bytes && a.row_bytes / 4 == b.rows,
            "shapes of a product do not match",
        )?;
        let factor = |row: &[u8; ROW_BYTES], i: usize| {
            bf16::from_le_bytes([row[2 * i], row[2 * i + 1]]).to_f32()
        };
        let columns = c.row_bytes / 4;
        for m in 0..c.rows {
            // First and second products of pairs are summed apart.
            let mut halves = [[0f32; ROW_BYTES / 4]; 2];
            for k in 0..b.rows {
                for n in 0..columns {
                    for (half, sums) in halves.iter_mut().enumerate() {
                        let x = factor(&self.data[rows][m], 2 * k + half);
                        let y = factor(&self.data[panel][k], 2 * n + half);
                        sums[n] = flush(flush(x).mul_add(flush(y), sums[n]));
                    }
                }
            }
            let (entries, beyond) = self.data[sums][m].split_at_mut(c.row_bytes);
            for (n, entry) in entries.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let product = flush(halves[0][n] + halves[1][n]);
                *entry = flush(flush(f32::from_le_bytes(*entry)) + product).to_le_bytes();
            }
            beyond.fill(0);
        }
        self.data[sums][c.rows..].fill([0; ROW_BYTES]);
        Ok(())
    }
}

/// Whether `len` bytes from `begin` on are inside.
fn holds(range: &Range<usize>, begin: usize, len: usize) -> bool {
    range.start <= begin && begin.checked_add(len).is_some_and(|end| end <= range.end)
}

/// Zero of the same sign instead of a subnormal number, before and after each operation.
fn flush(x: f32) -> f32 {
    if x.is_subnormal() {
        0f32.copysign(x)
    } else {
        x
    }
}

mod tests {
    use super::*;

    fn decoded(code: &[u8]) -> Option<Result<(Instruction, usize), Fault>> {
        decode(|at| code[at], |number| 0x1000 * (number + 1))
    }

    /// Encodings as LLVM's assembler writes them.
    #[test]
    fn instructions_and_addresses_are_decoded() {
        for (code, expected) in [
            // ldtilecfg [rax]; [r13]; [r12 + 8]
            (
                &[0xc4, 0xe2, 0x78, 0x49, 0x00][..],
                Instruction::Configure { address: 0x1000 },
            ),
            (
                &[0xc4, 0xc2, 0x78, 0x49, 0x45, 0x00],
                Instruction::Configure { address: 0xe000 },
            ),
            (
                &[0xc4, 0xc2, 0x78, 0x49, 0x44, 0x24, 0x08],
                Instruction::Configure { address: 0xd008 },
            ),
            (&[0xc4, 0xe2, 0x78, 0x49, 0xc0], Instruction::Release),
            // tilezero tmm5
            (
                &[0xc4, 0xe2, 0x7b, 0x49, 0xe8],
                Instruction::Zero { tile: 5 },
            ),
            // tileloadd tmm0, [rdi + rsi]; tmm3, [r13 + r12]; tmm7, [rsp + 4 rbp + 0x1000]
            (
                &[0xc4, 0xe2, 0x7b, 0x4b, 0x04, 0x37],
                Instruction::Load {
                    tile: 0,
                    address: 0x8000,
                    stride: 0x7000,
                },
            ),
            (
                &[0xc4, 0x82, 0x7b, 0x4b, 0x5c, 0x25, 0x00],
                Instruction::Load {
                    tile: 3,
                    address: 0xe000,
                    stride: 0xd000,
                },
            ),
            (
                &[0xc4, 0xe2, 0x7b, 0x4b, 0xbc, 0xac, 0x00, 0x10, 0x00, 0x00],
                Instruction::Load {
                    tile: 7,
                    address: 0x6000,
                    stride: 0x18000,
                },
            ),
            // tilestored [r8 + r9 - 64], tmm6
            (
                &[0xc4, 0x82, 0x7a, 0x4b, 0x74, 0x08, 0xc0],
                Instruction::Store {
                    tile: 6,
                    address: 0x8fc0,
                    stride: 0xa000,
                },
            ),
            // tdpbf16ps tmm1, tmm3, tmm4
            (
                &[0xc4, 0xe2, 0x5a, 0x5c, 0xcb],
                Instruction::Multiply {
                    sums: 1,
                    rows: 3,
                    panel: 4,
                },
            ),
        ] {
            assert_eq!(decoded(code), Some(Ok((expected, code.len()))));
        }
        for foreign in [
            // ud2; vpaddd ymm0, ymm1, ymm2; tdpbssd tmm1, tmm3, tmm4; sttilecfg [rax]
            &[0x0f, 0x0b][..],
            &[0xc5, 0xf5, 0xfe, 0xc2],
            &[0xc4, 0xe2, 0x5b, 0x5e, 0xcb],
            &[0xc4, 0xe2, 0x79, 0x49, 0x00],
        ] {
            assert_eq!(decoded(foreign), None);
        }
        // tileloadd tmm0, [rdi], without SIB
        let refused = decoded(&[0xc4, 0xe2, 0x7b, 0x4b, 0x07]);
        assert!(refused.is_some_and(|result| result.is_err()));
    }

    fn configuration(shapes: &[[u8; 2]]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        for (tile, &[rows, row_bytes]) in shapes.iter().enumerate() {
            bytes[48 + tile] = rows;
            bytes[16 + 2 * tile] = row_bytes;
        }
        bytes
    }

    fn configured(shapes: &[[u8; 2]]) -> Tiles {
        let mut tiles = Tiles::RELEASED;
        tiles.configure(&configuration(shapes)).unwrap();
        tiles
    }

    #[test]
    fn configurations_that_a_processor_refuses_are_refused() {
        let refused = |bytes: [u8; 64]| {
            let mut tiles = Tiles::RELEASED;
            tiles.configure(&bytes).is_err()
        };
        assert!(!refused(configuration(&[[16, 64], [0, 0], [1, 1]])));
        for shape in [[17, 64], [16, 65], [0, 4], [4, 0]] {
            assert!(refused(configuration(&[[0, 0], shape])), "{shape:?}");
        }
        // Palette, start row, reserved bytes, shapes of tiles that there are not.
        for at in [0, 1, 2, 15, 32, 47, 56, 63] {
            let mut bytes = configuration(&[[1, 4]]);
            bytes[at] = 2;
            assert!(refused(bytes), "byte {at}");
        }
    }

    #[test]
    fn products_that_a_processor_refuses_are_refused() {
        let refused = |shapes: &[[u8; 2]]| configured(shapes).multiply(0, 1, 2).is_err();
        assert!(!refused(&[[5, 8], [5, 12], [3, 8]]));
        assert!(refused(&[[4, 8], [5, 12], [3, 8]]));
        assert!(refused(&[[5, 4], [5, 12], [3, 8]]));
        assert!(refused(&[[5, 8], [5, 16], [3, 8]]));
        assert!(refused(&[[5, 8], [5, 14], [3, 8]]));
        assert!(refused(&[[5, 6], [5, 12], [3, 6]]));
        assert!(refused(&[[5, 8], [5, 12]]));
        assert!(configured(&[[1, 4], [1, 4]]).multiply(0, 1, 1).is_err());
        let mut released = Tiles::RELEASED;
        assert!(released.multiply(0, 1, 2).is_err());
    }

    #[test]
    fn memory_outside_of_the_operands_is_refused() {
        let (entries, mut out) = ([7u8; 100], [1u8; 100]);
        let mut tiles = configured(&[[3, 20]]);
        tiles.data[0] = [[9; ROW_BYTES]; ROWS];
        let (from, to) = (
            entries.as_ptr().expose_provenance(),
            out.as_mut_ptr().expose_provenance(),
        );
        tiles.memory = Memory {
            readable: [from..from + 100, 0..0],
            writable: to..to + 100,
        };
        assert!(tiles.load(0, from, 41).is_err());
        assert!(tiles.load(0, from - 1, 40).is_err());
        assert!(tiles.store(0, from, 40).is_err());
        assert!(tiles.store(0, to + 81, 40).is_err());
        tiles.load(0, from, 40).unwrap();
        let mut row = [0; ROW_BYTES];
        row[..20].fill(7);
        assert_eq!(tiles.data[0][..3], [row; 3]);
        assert_eq!(tiles.data[0][3..], [[0; ROW_BYTES]; ROWS - 3]);
        tiles.store(0, to, 40).unwrap();
        for (i, byte) in out.into_iter().enumerate() {
            assert_eq!(byte, if i % 40 < 20 { 7 } else { 1 });
        }
    }

    /// `1 + (2^20 x 2^20 + 3) + (-2^40 + 0)`: first products of pairs cancel before the second ones are added.
    #[test]
    fn products_are_summed_in_the_order_of_the_manual() {
        let mut tiles = configured(&[[1, 4], [1, 8], [2, 4]]);
        let mut set = |tile: usize, row: usize, values: [f32; 2], at: usize| {
            for (i, value) in values.into_iter().enumerate() {
                let bytes = bf16::from_f32(value).to_le_bytes();
                tiles.data[tile][row][at + 2 * i..][..2].copy_from_slice(&bytes);
            }
        };
        let large = 2f32.powi(20);
        set(1, 0, [large, 3.0], 0);
        set(1, 0, [large, f32::from_bits(1 << 16)], 4);
        set(2, 0, [large, 1.0], 0);
        set(2, 1, [-large, large], 0);
        tiles.data[0] = [[0xff; ROW_BYTES]; ROWS];
        tiles.data[0][0][..4].copy_from_slice(&1f32.to_le_bytes());
        tiles.multiply(0, 1, 2).unwrap();
        let mut expected = [[0; ROW_BYTES]; ROWS];
        expected[0][..4].copy_from_slice(&4f32.to_le_bytes());
        assert_eq!(tiles.data[0], expected);
        assert_eq!(flush(-f32::MIN_POSITIVE / 2.0).to_bits(), 1 << 31);
    }
}
