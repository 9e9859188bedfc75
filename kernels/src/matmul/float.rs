use std::marker::PhantomData;

use super::PanelKernel;
use crate::lanes::{Lanes, NUM_LANES};

/// How sixteen float weights come into registers.
pub(crate) trait Element: Copy {
    const NUM_BYTES: usize;
    /// # Safety
    /// `p` holds `V::WIDTH` elements.
    unsafe fn load<V: Lanes>(v: V, p: *const u8) -> V::F;
}

macro_rules! element {
    ($name:ident, $num_bytes:literal, $load:ident) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        impl Element for $name {
            const NUM_BYTES: usize = $num_bytes;
            #[inline(always)]
            unsafe fn load<V: Lanes>(v: V, p: *const u8) -> V::F {
                // SAFETY: the caller gives as many elements.
                unsafe { v.$load(p.cast()) }
            }
        }
    };
}

element!(OfF32, 4, load);
element!(OfF16, 2, load_f16);
element!(OfBf16, 2, load_bf16);

/// The product of f32 rows with a panel of floats.
#[derive(Clone, Copy)]
pub(super) struct FloatKernel<'a, E> {
    x: &'a [f32],
    num_cols: usize,
    _element: PhantomData<E>,
}

impl<'a, E: Element> FloatKernel<'a, E> {
    #[inline(always)]
    pub(super) fn new(x: &'a [f32], num_cols: usize) -> Self {
        Self { x, num_cols, _element: PhantomData }
    }
}

impl<V: Lanes, E: Element> PanelKernel<V> for FloatKernel<'_, E> {
    #[inline(always)]
    unsafe fn run<const MR: usize>(
        self,
        v: V,
        panel: *const u8,
        first_row: usize,
        out: &mut [[f32; NUM_LANES]; MR],
    ) {
        let num_cols = self.num_cols;
        let x = self.x[first_row * num_cols..(first_row + MR) * num_cols].as_ptr();
        let mut sums = [v.splat(0.0); MR];
        for k in 0..num_cols {
            // SAFETY: a panel holds 16 elements for each column.
            let w = unsafe { E::load(v, panel.add(k * NUM_LANES * E::NUM_BYTES)) };
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: each of the `MR` rows has `num_cols` elements.
                let x = unsafe { *x.add(r * num_cols + k) };
                *sum = v.fma(w, v.splat(x), *sum);
            }
        }
        for r in 0..MR {
            // SAFETY: a row of `out` has 16 elements.
            unsafe { v.store(out[r].as_mut_ptr(), sums[r]) };
        }
    }
}
