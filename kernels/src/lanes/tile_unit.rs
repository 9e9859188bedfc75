#![cfg_attr(not(target_arch = "x86_64"), allow(unused, reason = "nothing else has the unit"))]

#[cfg(target_arch = "x86_64")]
use std::arch::asm;
use std::sync::OnceLock;

/// Tile instructions. Other processors have none, and no value of [`TileUnit`] either.
#[cfg(target_arch = "x86_64")]
macro_rules! tiles {
    ($($text:tt)*) => { asm!($($text)*) };
}
#[cfg(not(target_arch = "x86_64"))]
macro_rules! tiles {
    ($($text:tt)*) => {};
}

/// Rows of the left operand of a product.
pub(crate) const TILE_ROWS: usize = 16;
/// 32-bit sums of a product.
pub(crate) const TILE_SUMS: usize = TILE_ROWS * super::NUM_LANES;
/// Bytes of a row of a full register: 64 columns of int8, or 16 sums.
const LINE: usize = 64;
/// Bytes of one of the two planes of the weights of a block: 256 columns of 16 outputs.
pub(crate) const PLANE_BYTES: usize = 256 * super::NUM_LANES;

/// The matrix unit: AMX with int8 products. Only `detect` makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileUnit(());

impl TileUnit {
    /// The proof that the processor has the unit and that the system lets this process use it.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(crate) fn detect() -> Option<Self> {
        static IS_USABLE: OnceLock<bool> = OnceLock::new();
        IS_USABLE.get_or_init(|| has_instructions() && may_use_registers()).then_some(Self(()))
    }

    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    pub(crate) fn detect() -> Option<Self> {
        None
    }

    /// Sets this thread's unit up for products of 16 rows over a group of 32 columns.
    pub(crate) fn set_up(self) -> TileProducts {
        const GROUP_BYTES: usize = 32;
        // SAFETY: the registers have at most 16 rows of 64 bytes.
        unsafe { self.configure(&[[TILE_ROWS, LINE], [TILE_ROWS, GROUP_BYTES], [GROUP_BYTES / 4, LINE]]) };
        TileProducts { _in_use: InUse { _not_send: std::marker::PhantomData } }
    }

    /// The same for products of up to 16 rows over a block of 256 columns; with fewer rows less is computed.
    pub(crate) fn set_up_blocks(self, num_rows: usize) -> BlockProducts {
        let num_rows = num_rows.min(TILE_ROWS);
        let (rows, weights) = ([num_rows, LINE], [LINE / 4, LINE]);
        // SAFETY: as above.
        unsafe { self.configure(&[rows, rows, rows, rows, weights, weights, weights, weights]) };
        BlockProducts { _in_use: InUse { _not_send: std::marker::PhantomData } }
    }

    /// Gives the first registers so many rows of so many bytes.
    ///
    /// # Safety
    /// There are at most eight, of at most 16 rows and 64 bytes; the unit is released when it is no longer in use.
    unsafe fn configure(self, shapes: &[[usize; 2]]) {
        let mut config = TileConfig {
            palette: 1,
            start_row: 0,
            _reserved: [0; 14],
            row_bytes: [0; 16],
            num_rows: [0; 16],
        };
        for (register, [num_rows, row_bytes]) in shapes.iter().enumerate() {
            config.num_rows[register] = *num_rows as u8;
            config.row_bytes[register] = *row_bytes as u16;
        }
        // SAFETY: `self` exists, so the unit does, and the configuration is one that it has.
        unsafe {
            tiles!("ldtilecfg [{config}]", config = in(reg) &raw const config, options(nostack, readonly));
        }
    }
}

/// The layout that `ldtilecfg` reads.
#[repr(C)]
struct TileConfig {
    palette: u8,
    start_row: u8,
    _reserved: [u8; 14],
    row_bytes: [u16; 16],
    num_rows: [u8; 16],
}

/// A matrix unit that is set up for this thread, until it is dropped.
#[derive(Debug)]
struct InUse {
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        // SAFETY: the unit exists, and nothing else of this thread uses it.
        unsafe {
            tiles!("tilerelease", options(nostack, nomem));
        };
    }
}

/// The unit while it multiplies groups.
#[derive(Debug)]
pub(crate) struct TileProducts {
    _in_use: InUse,
}

/// The unit while it multiplies blocks.
#[derive(Debug)]
pub(crate) struct BlockProducts {
    _in_use: InUse,
}

impl TileProducts {
    /// `out[r][c] = Σ_k a[r][k]·b[k / 4][c][k % 4]` — `a [16, depth]` with `stride` bytes from row to row and `b [depth / 4, 16, 4]`,
    /// both int8, `out [16, 16]`, exact.
    ///
    /// # Safety
    /// The operands can be read, and `out` written.
    #[inline(always)]
    pub(crate) unsafe fn multiply(&self, (a, stride): (*const i8, usize), b: *const i8, out: *mut i32) {
        // SAFETY: the caller's contract. No code that the compiler makes touches tile registers.
        unsafe {
            tiles!(
                "tilezero tmm0",
                "tileloadd tmm1, [{a} + {stride}]",
                "tileloadd tmm2, [{b} + {line}]",
                "tdpbssd tmm0, tmm1, tmm2",
                "tilestored [{out} + {line}], tmm0",
                a = in(reg) a,
                stride = in(reg) stride,
                b = in(reg) b,
                line = in(reg) LINE,
                out = in(reg) out,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// A tile of rows by two planes of weights, of which `$high` multiplies the high one.
#[cfg(target_arch = "x86_64")]
macro_rules! multiply_chunk {
    ($rows:ident, $planes:ident, $high:literal, $a:literal, $low_b:literal, $high_b:literal) => {
        tiles!(
            concat!("tileloadd ", $low_b, ", [{b} + {line}]"),
            concat!("tileloadd ", $a, ", [{rows} + {line}]"),
            concat!("tdpbsud tmm0, ", $a, ", ", $low_b),
            concat!("tileloadd ", $high_b, ", [{b} + {line} + {plane}]"),
            concat!($high, " tmm1, ", $a, ", ", $high_b),
            rows = in(reg) $rows,
            b = in(reg) $planes,
            line = in(reg) LINE,
            plane = const PLANE_BYTES,
            options(nostack, readonly, preserves_flags)
        )
    };
}

/// Sums over a block are built up piece by piece, so that other work can be done between the pieces.
///
/// With `low` and `high` for the two planes of the weights, `sums[0][r][c] = Σ_k a[r][k]·low[k / 4][c][k % 4]` and `sums[1]` likewise with
/// `high` — `a [16, 64]` int8, `low` bytes without a sign, `high` with one if so asked, `[16, 16, 4]` each; `sums [2, 16, 16]`, exact, as many rows
/// as the unit was set up for.
impl BlockProducts {
    /// All sums become zero.
    #[inline(always)]
    pub(crate) fn clear(&self) {
        // SAFETY: the unit is set up. No code that the compiler makes touches tile registers, here and below.
        unsafe {
            tiles!("tilezero tmm0", "tilezero tmm1", options(nostack, nomem, preserves_flags));
        }
    }

    /// Adds 64 columns; the high plane lies `PLANE_BYTES` behind the low one. If every other call is odd, its operands are loaded
    /// beside those of the call before.
    ///
    /// # Safety
    /// The operands can be read, 16 rows each.
    #[inline(always)]
    pub(crate) unsafe fn add<const HAS_SIGNED_HIGH: bool>(
        &self,
        rows: *const i8,
        planes: *const u8,
        is_odd: bool,
    ) {
        // SAFETY: the caller's contract.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            match (HAS_SIGNED_HIGH, is_odd) {
                (false, false) => multiply_chunk!(rows, planes, "tdpbsud", "tmm2", "tmm4", "tmm6"),
                (true, false) => multiply_chunk!(rows, planes, "tdpbssd", "tmm2", "tmm4", "tmm6"),
                (false, true) => multiply_chunk!(rows, planes, "tdpbsud", "tmm3", "tmm5", "tmm7"),
                (true, true) => multiply_chunk!(rows, planes, "tdpbssd", "tmm3", "tmm5", "tmm7"),
            }
        }
    }

    /// Writes the sums.
    ///
    /// # Safety
    /// `out` can be written.
    #[inline(always)]
    pub(crate) unsafe fn store(&self, out: *mut [i32; TILE_SUMS]) {
        // SAFETY: the caller's contract.
        unsafe {
            tiles!(
                "tilestored [{out} + {line}], tmm0",
                "tilestored [{out} + {line} + 1024], tmm1",
                out = in(reg) out,
                line = in(reg) LINE,
                options(nostack, preserves_flags)
            );
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn has_instructions() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    const OSXSAVE: u32 = 1 << 27;
    const AMX_TILE_AND_INT8: u32 = 1 << 24 | 1 << 25;
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;
    #[target_feature(enable = "xsave")]
    fn enabled_states() -> u64 {
        // SAFETY: the system has enabled `xgetbv`.
        unsafe { _xgetbv(0) }
    }
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    // SAFETY: just checked.
    let states = unsafe { enabled_states() };
    __cpuid_count(7, 0).edx & AMX_TILE_AND_INT8 == AMX_TILE_AND_INT8 && states & TILE_STATE == TILE_STATE
}

/// Asks Linux for the tile registers, which it saves only for processes that did. It holds for all threads.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn may_use_registers() -> bool {
    const SYS_ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i32 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    unsafe extern "C" {
        fn syscall(number: i64, ...) -> i64;
    }
    // SAFETY: the call takes two numbers.
    unsafe { syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}
