//! A counting front for the allocator: how many allocations the process has made is a metric, and
//! the fast path is held to none. And a word for mimalloc, which keeps what was freed.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, Ordering};

// Only to be linked.
use libmimalloc_sys as _;

/// Counts allocations and passes them on.
#[derive(Debug)]
pub struct Counting<A>(pub A);

/// Shared by all threads. The fast path allocates nothing, so that nobody contends for it.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Allocations since the process started, reallocations included.
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Gives back to the kernel what this thread has freed. By itself mimalloc does so while it is
/// asked for memory, and never for who asks for none. Takes as long as the thread has pages.
pub fn release() {
    // SAFETY: the function takes a flag, and may be called by any thread at any time.
    unsafe { mi_collect(true) }
}

unsafe extern "C" {
    /// Frees pages with nothing in them; with `is_forced`, all of them and at once.
    fn mi_collect(is_forced: bool);
}

// SAFETY: every call is passed on unchanged to an allocator that keeps the contract.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}
