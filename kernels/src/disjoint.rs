use std::marker::PhantomData;
use std::ops::Range;

/// A slice that several threads write at once, each to ranges of its own.
#[derive(Debug)]
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    _lends: PhantomData<&'a mut [T]>,
}

// SAFETY: access is by `range`, whose callers keep the ranges disjoint.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), _lends: PhantomData }
    }

    /// The elements of a range, which is checked against the slice.
    ///
    /// # Safety
    /// No two ranges that are alive at the same time overlap.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the callers keep the ranges disjoint")]
    pub(crate) unsafe fn range(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: inside of the slice by the assertion, exclusive by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start) }
    }
}
