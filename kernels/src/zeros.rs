use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use crate::KernelError;
use crate::arena::{HUGE_PAGE_BYTES, advise_huge_pages};
use crate::page_backing::PageBacking;

/// Zeroed memory that is backed without holding up its owner: soon all of it is, so that the memory of a process stays what
/// it was. Who writes to it meanwhile has it backed slowly. In 2 MiB pages where it is large enough for one.
#[derive(Debug)]
pub(crate) struct Zeros {
    allocated: NonNull<u8>,
    layout: Layout,
    start: NonNull<u16>,
    len: usize,
    // Ends before the memory does, since it is dropped in `drop`.
    backing: Option<PageBacking>,
}

// SAFETY: `Zeros` owns its memory and lends it by the rules of references.
unsafe impl Send for Zeros {}
// SAFETY: as above.
unsafe impl Sync for Zeros {}

impl Zeros {
    /// # Errors
    /// `OutOfMemory` if the system does not promise the memory.
    pub(crate) fn new(num_bytes: usize) -> Result<Self, KernelError> {
        let out_of_memory = KernelError::OutOfMemory { num_bytes, purpose: "keys and values" };
        let is_large = num_bytes >= HUGE_PAGE_BYTES;
        let align = if is_large { HUGE_PAGE_BYTES } else { 64 };
        // Aligned by hand: the allocator clears what it aligns by writing to it, but takes zeros of the system as they are.
        let layout = num_bytes.checked_add(align).map(|size| Layout::from_size_align(size, 16));
        let Some(Ok(layout)) = layout else { return Err(out_of_memory) };
        // SAFETY: the size is not zero.
        let Some(allocated) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            return Err(out_of_memory);
        };
        // SAFETY: at most `align` bytes are skipped.
        let start = unsafe { allocated.add(allocated.align_offset(align)) };
        let backing = is_large.then(|| {
            advise_huge_pages(start, num_bytes);
            // SAFETY: `drop` ends it before it frees the memory.
            unsafe { PageBacking::start(start, num_bytes) }
        });
        Ok(Self { allocated, layout, start: start.cast(), len: num_bytes / size_of::<u16>(), backing })
    }

    #[inline(always)]
    pub(crate) fn as_slice(&self) -> &[u16] {
        // SAFETY: initialised to zero, owned, and aligned to a cache line.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u16] {
        if let Some(backing) = &self.backing {
            backing.note_use();
        }
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Zeros {
    fn drop(&mut self) {
        drop(self.backing.take());
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.allocated.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zero_aligned_and_can_be_dropped_at_once() {
        for (num_bytes, align) in
            [(0, 64), (100, 64), (HUGE_PAGE_BYTES, HUGE_PAGE_BYTES), (200 << 20, HUGE_PAGE_BYTES)]
        {
            let mut zeros = Zeros::new(num_bytes).unwrap();
            assert_eq!(zeros.as_slice().as_ptr() as usize % align, 0);
            assert_eq!(zeros.as_slice().len(), num_bytes / 2);
            if let Some(last) = zeros.as_mut_slice().last_mut() {
                assert_eq!(std::mem::replace(last, 7), 0);
            }
        }
    }

    #[test]
    fn backing_changes_nothing() {
        let mut zeros = Zeros::new(64 << 20).unwrap();
        for (i, value) in zeros.as_mut_slice().iter_mut().step_by(4099).enumerate() {
            *value = i as u16;
        }
        // Waits for the thread.
        if let Some(backing) = zeros.backing.take() {
            backing.finish();
        }
        assert!(zeros.as_slice().iter().step_by(4099).enumerate().all(|(i, value)| *value == i as u16));
        assert_eq!(zeros.as_slice()[1], 0);
    }

    #[test]
    fn absurd_size_is_an_error() {
        for num_bytes in [usize::MAX, usize::MAX / 2] {
            assert!(matches!(Zeros::new(num_bytes), Err(KernelError::OutOfMemory { .. })));
        }
    }
}
