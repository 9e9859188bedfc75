use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::arena::HUGE_PAGE_BYTES;

/// A few milliseconds of work, after which the thread looks whether it is still wanted.
const BYTES_PER_CALL: usize = 8 * HUGE_PAGE_BYTES;

/// A thread that asks the system for the pages of some memory, in order. It ends when the memory is backed or when it is
/// dropped. Where a thread or the call is refused, pages are backed when they are first written.
#[derive(Debug)]
pub(crate) struct PageBacking {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PageBacking {
    /// # Safety
    /// The memory stays allocated until the value is dropped.
    pub(crate) unsafe fn start(start: NonNull<u8>, num_bytes: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen_by_thread = Arc::clone(&is_over);
        let address = start.as_ptr().expose_provenance();
        let back = move || {
            for offset in (0..num_bytes).step_by(BYTES_PER_CALL) {
                let size = BYTES_PER_CALL.min(num_bytes - offset);
                if seen_by_thread.load(Ordering::Relaxed) || !back_pages(address + offset, size) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("page-backing".to_owned()).spawn(back).ok();
        Self { is_over, thread }
    }

    /// Waits until all pages are backed.
    #[cfg(test)]
    pub(crate) fn finish(mut self) {
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok());
        }
    }
}

impl Drop for PageBacking {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread does nothing that panics.
            drop(thread.join());
        }
    }
}

/// Backs the pages as if they were written, and leaves what is in them. Returns whether the system did.
#[cfg(target_os = "linux")]
fn back_pages(address: usize, num_bytes: usize) -> bool {
    const MADV_POPULATE_WRITE: i32 = 23;
    unsafe extern "C" {
        fn madvise(start: *mut std::ffi::c_void, num_bytes: usize, advice: i32) -> i32;
    }
    // SAFETY: the range is allocated, by the contract of `start`, and the call changes no contents.
    unsafe { madvise(std::ptr::with_exposed_provenance_mut(address), num_bytes, MADV_POPULATE_WRITE) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn back_pages(_address: usize, _num_bytes: usize) -> bool {
    false
}
