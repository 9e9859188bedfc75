use super::{Lanes, NUM_LANES, PanelGroup};

/// Two vectors as one of twice the width.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Twice<H>(pub(super) H);

macro_rules! both {
    ($($name:ident($($arg:ident),*) -> $out:ident),* $(,)?) => {
        $(
            #[inline(always)]
            fn $name(self, $($arg: both!(@type $name $arg)),*) -> Self::$out {
                (self.0.$name($($arg.0),*), self.0.$name($($arg.1),*))
            }
        )*
    };
    (@type to_f32 $arg:ident) => { Self::I };
    (@type as_f32 $arg:ident) => { Self::I };
    (@type add_i32 $arg:ident) => { Self::I };
    (@type mul_i32 $arg:ident) => { Self::I };
    (@type add_i16 $arg:ident) => { Self::I };
    (@type mul_i16 $arg:ident) => { Self::I };
    (@type and $arg:ident) => { Self::I };
    (@type or $arg:ident) => { Self::I };
    (@type xor $arg:ident) => { Self::I };
    (@type max_i32 $arg:ident) => { Self::I };
    (@type mul_pairs $arg:ident) => { Self::I };
    (@type dot2_i16 $arg:ident) => { Self::I };
    (@type $name:ident $arg:ident) => { Self::F };
}

impl<H: Lanes> Lanes for Twice<H> {
    type F = (H::F, H::F);
    type I = (H::I, H::I);
    type Columns = H;
    const WIDTH: usize = 2 * H::WIDTH;
    const MAX_TILE_ROWS: usize = H::MAX_TILE_ROWS;
    const MAX_INTEGER_ROWS: usize = H::MAX_INTEGER_ROWS;
    const NUM_SUMS: usize = H::NUM_SUMS / 2;
    const U8_BIAS: i32 = H::U8_BIAS;
    const HAS_PAIRS: bool = H::HAS_PAIRS;
    const HAS_FOUR_ROWS: bool = H::HAS_FOUR_ROWS;
    const READ_AHEAD: usize = H::READ_AHEAD;

    #[inline(always)]
    fn columns(self) -> H {
        self.0
    }

    both! {
        add(a, b) -> F,
        sub(a, b) -> F,
        mul(a, b) -> F,
        div(a, b) -> F,
        fma(a, b, c) -> F,
        max(a, b) -> F,
        min(a, b) -> F,
        to_f32(a) -> F,
        bits(a) -> I,
        as_f32(a) -> F,
        add_i32(a, b) -> I,
        mul_i32(a, b) -> I,
        add_i16(a, b) -> I,
        mul_i16(a, b) -> I,
        and(a, b) -> I,
        or(a, b) -> I,
        xor(a, b) -> I,
        max_i32(a, b) -> I,
        mul_pairs(w, a) -> I,
        dot2_i16(acc, a, b) -> I,
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        (self.0.splat(x), self.0.splat(x))
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::I {
        (self.0.splat_i32(x), self.0.splat_i32(x))
    }
    #[inline(always)]
    fn shl<const N: u32>(self, a: Self::I) -> Self::I {
        (self.0.shl::<N>(a.0), self.0.shl::<N>(a.1))
    }
    #[inline(always)]
    fn shr<const N: u32>(self, a: Self::I) -> Self::I {
        (self.0.shr::<N>(a.0), self.0.shr::<N>(a.1))
    }
    #[inline(always)]
    fn dot4_u7(self, acc: Self::I, w: Self::I, a: i32) -> Self::I {
        (self.0.dot4_u7(acc.0, w.0, a), self.0.dot4_u7(acc.1, w.1, a))
    }
    #[inline(always)]
    fn dot4_u8(self, acc: Self::I, w: Self::I, a: i32) -> Self::I {
        (self.0.dot4_u8(acc.0, w.0, a), self.0.dot4_u8(acc.1, w.1, a))
    }

    #[inline(always)]
    fn add_pairs(self, sum: Self::I, w: Self::I, a: &i32) -> Self::I {
        self.0.add_two_pairs([sum.0, sum.1], [w.0, w.1], a).into()
    }

    #[inline(always)]
    unsafe fn nibble_sums<const ROW_BYTES: usize>(self, tile: *const u8, words: *const i32) -> [Self::I; 4] {
        // SAFETY: the caller's contract.
        unsafe { self.0.two_nibble_sums::<ROW_BYTES>(tile, words) }.map(Into::into)
    }
    #[inline(always)]
    unsafe fn add_nibbles<const HAS_OFFSETS: bool>(self, group: PanelGroup, out: &mut [[f32; NUM_LANES]; 4]) {
        // SAFETY: the caller's contract.
        unsafe { self.0.add_nibbles::<HAS_OFFSETS>(group, out) };
    }

    #[inline(always)]
    unsafe fn add_bytes(self, group: PanelGroup, out: &mut [[f32; NUM_LANES]; 4]) {
        // SAFETY: the caller's contract.
        unsafe { self.0.add_bytes(group, out) };
    }

    // SAFETY (all below): the caller gives twice the elements that one half needs.
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::F {
        // SAFETY: see above.
        unsafe { (self.0.load(p), self.0.load(p.add(H::WIDTH))) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> Self::F {
        // SAFETY: see above.
        unsafe { (self.0.load_f16(p), self.0.load_f16(p.add(H::WIDTH))) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> Self::F {
        // SAFETY: see above.
        unsafe { (self.0.load_bf16(p), self.0.load_bf16(p.add(H::WIDTH))) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, a: Self::F) {
        // SAFETY: see above.
        unsafe {
            self.0.store(p, a.0);
            self.0.store(p.add(H::WIDTH), a.1);
        }
    }
    #[inline(always)]
    unsafe fn store_f16(self, p: *mut u16, a: Self::F) {
        // SAFETY: see above.
        unsafe {
            self.0.store_f16(p, a.0);
            self.0.store_f16(p.add(H::WIDTH), a.1);
        }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> Self::I {
        // SAFETY: see above.
        unsafe { (self.0.load_bytes(p), self.0.load_bytes(p.add(4 * H::WIDTH))) }
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> Self::I {
        // SAFETY: see above.
        unsafe { (self.0.load_i8(p), self.0.load_i8(p.add(H::WIDTH))) }
    }
    #[inline(always)]
    unsafe fn load_i32(self, p: *const i32) -> Self::I {
        // SAFETY: see above.
        unsafe { (self.0.load_i32(p), self.0.load_i32(p.add(H::WIDTH))) }
    }
    #[inline(always)]
    unsafe fn store_i8(self, p: *mut i8, a: Self::F) {
        // SAFETY: see above.
        unsafe {
            self.0.store_i8(p, a.0);
            self.0.store_i8(p.add(H::WIDTH), a.1);
        }
    }
    #[inline(always)]
    unsafe fn expand_bits(self, p: *const u8, bit: u8) -> Self::I {
        // SAFETY: see above.
        unsafe { (self.0.expand_bits(p, bit), self.0.expand_bits(p.add(H::WIDTH / 2), bit)) }
    }
}
