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

    /// Sets this thread's unit up for products of `depth` columns, 16 or 32.
    pub(crate) fn set_up(self, depth: usize) -> TileProducts {
        let mut config = TileConfig {
            palette: 1,
            start_row: 0,
            _reserved: [0; 14],
            row_bytes: [0; 16],
            num_rows: [0; 16],
        };
        for (register, num_rows, row_bytes) in [
            (0, TILE_ROWS, 4 * super::NUM_LANES),
            (1, TILE_ROWS, depth),
            (2, depth / 4, 4 * super::NUM_LANES),
        ] {
            config.num_rows[register] = num_rows as u8;
            config.row_bytes[register] = row_bytes as u16;
        }
        // SAFETY: `self` exists, so the unit does, and the configuration is one that it has.
        unsafe {
            tiles!("ldtilecfg [{config}]", config = in(reg) &raw const config, options(nostack, readonly));
        }
        TileProducts { _not_send: std::marker::PhantomData }
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
pub(crate) struct TileProducts {
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Drop for TileProducts {
    fn drop(&mut self) {
        // SAFETY: the unit exists, and nothing else of this thread uses it.
        unsafe {
            tiles!("tilerelease", options(nostack, nomem));
        };
    }
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
                line = in(reg) 4 * super::NUM_LANES,
                out = in(reg) out,
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
