use std::alloc::{Layout, alloc, dealloc};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use crate::KernelError;

/// Size of a large page.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;
const CHUNK_BYTES: usize = 32 << 20;

/// Hands out memory in 2 MiB pages, so that streaming over the weights does not miss the TLB. Pages are backed only
/// once they are written; a chunk is freed with the last region in it.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    current: Mutex<Option<(Arc<Chunk>, usize)>>,
}

impl Arena {
    /// `num_bytes`, aligned to a cache line.
    pub(crate) fn allocate(&self, num_bytes: usize) -> Result<Region, KernelError> {
        let num_bytes = num_bytes.next_multiple_of(64);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((chunk, used)) = current.as_mut()
            && num_bytes <= chunk.layout.size() - *used
        {
            let region = Region { chunk: Arc::clone(chunk), offset: *used, num_bytes };
            *used += num_bytes;
            return Ok(region);
        }
        let chunk = Arc::new(Chunk::new(num_bytes.max(CHUNK_BYTES))?);
        if num_bytes < CHUNK_BYTES {
            *current = Some((Arc::clone(&chunk), num_bytes));
        }
        Ok(Region { chunk, offset: 0, num_bytes })
    }
}

#[derive(Debug)]
struct Chunk {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the chunk owns its memory; regions of it never overlap.
unsafe impl Send for Chunk {}
// SAFETY: as above, and `Chunk` itself gives no access.
unsafe impl Sync for Chunk {}

impl Chunk {
    fn new(num_bytes: usize) -> Result<Self, KernelError> {
        let out_of_memory = KernelError::OutOfMemory { num_bytes, purpose: "packed weights" };
        let Some(num_bytes) = num_bytes.checked_next_multiple_of(HUGE_PAGE_BYTES) else {
            return Err(out_of_memory);
        };
        let Ok(layout) = Layout::from_size_align(num_bytes, HUGE_PAGE_BYTES) else {
            return Err(out_of_memory);
        };
        // SAFETY: the size is not zero.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else {
            return Err(out_of_memory);
        };
        advise_huge_pages(start, num_bytes);
        Ok(Self { start, layout })
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// Asks for 2 MiB pages for freshly allocated memory; only whole ones within it can become large.
#[cfg(target_os = "linux")]
pub(crate) fn advise_huge_pages(start: NonNull<u8>, num_bytes: usize) {
    const MADV_HUGEPAGE: i32 = 14;
    unsafe extern "C" {
        fn madvise(start: *mut std::ffi::c_void, num_bytes: usize, advice: i32) -> i32;
    }
    // SAFETY: the range is allocated. The advice changes no contents, and a kernel that refuses it, as it does for a
    // start within a page, only leaves the pages small.
    let _refused_is_fine = unsafe { madvise(start.as_ptr().cast(), num_bytes, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn advise_huge_pages(_start: NonNull<u8>, _num_bytes: usize) {}

/// Memory of an [`Arena`], written once and then read by all threads.
#[derive(Debug)]
pub(crate) struct Region {
    chunk: Arc<Chunk>,
    offset: usize,
    num_bytes: usize,
}

impl Region {
    pub(crate) fn num_bytes(&self) -> usize {
        self.num_bytes
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.start()
    }

    /// Lends it for writing. Nothing may be read before all was written.
    pub(crate) fn as_uninit(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the region lies in its chunk, no other region overlaps it.
        unsafe { std::slice::from_raw_parts_mut(self.start().cast(), self.num_bytes) }
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: the offset was handed out within the chunk.
        unsafe { self.chunk.start.as_ptr().add(self.offset) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_aligned_and_do_not_overlap() {
        let arena = Arena::default();
        let mut regions: Vec<Region> =
            [1, 100, 64, CHUNK_BYTES, 4096, 0].iter().map(|&n| arena.allocate(n).unwrap()).collect();
        for (i, region) in regions.iter_mut().enumerate() {
            assert_eq!(region.as_ptr() as usize % 64, 0);
            region.as_uninit().fill(MaybeUninit::new(i as u8));
        }
        for (i, region) in regions.iter().enumerate() {
            // SAFETY: the region was filled above.
            let bytes = unsafe { std::slice::from_raw_parts(region.as_ptr(), region.num_bytes()) };
            assert!(bytes.iter().all(|&byte| byte == i as u8));
        }
    }

    #[test]
    fn absurd_size_is_an_error() {
        assert!(matches!(Arena::default().allocate(usize::MAX / 2), Err(KernelError::OutOfMemory { .. })));
    }
}
