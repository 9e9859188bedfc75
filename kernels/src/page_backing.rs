use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::arena::HUGE_PAGE_BYTES;

/// Little, since the process maps no other memory meanwhile.
const BYTES_PER_CALL: usize = HUGE_PAGE_BYTES;
/// A call can take milliseconds, where a virtual machine asks its host for each page. The pause after it is so many times as long, for
/// what else there is to do at a start.
const PAUSE_TO_CALL: u32 = 4;
/// The same while the memory is in use, where a call takes the time of somebody's answer.
const PAUSE_TO_CALL_IN_USE: u32 = 64;

/// A thread that asks the system for the pages of some memory, in order. It ends when the memory is backed or when it is
/// dropped. Where a thread or the call is refused, pages are backed when they are first written.
#[derive(Debug)]
pub(crate) struct PageBacking {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    is_over: AtomicBool,
    /// Since the thread looked last.
    was_used: AtomicBool,
}

impl PageBacking {
    /// # Safety
    /// The memory stays allocated until the value is dropped.
    pub(crate) unsafe fn start(start: NonNull<u8>, num_bytes: usize) -> Self {
        let state = Arc::new(State::default());
        let seen_by_thread = Arc::clone(&state);
        let address = start.as_ptr().expose_provenance();
        let back = move || {
            for offset in (0..num_bytes).step_by(BYTES_PER_CALL) {
                let size = BYTES_PER_CALL.min(num_bytes - offset);
                let start = Instant::now();
                if seen_by_thread.is_over.load(Ordering::Relaxed) || !back_pages(address + offset, size) {
                    return;
                }
                let was_used = seen_by_thread.was_used.swap(false, Ordering::Relaxed);
                let pause = if was_used { PAUSE_TO_CALL_IN_USE } else { PAUSE_TO_CALL };
                std::thread::park_timeout(start.elapsed() * pause);
            }
        };
        let thread = std::thread::Builder::new().name("page-backing".to_owned()).spawn(back).ok();
        Self { state, thread }
    }

    /// Says that the memory is in use.
    #[inline(always)]
    pub(crate) fn note_use(&self) {
        self.state.was_used.store(true, Ordering::Relaxed);
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
        self.state.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
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
