//! Counts heap calls, so that a test can hold a duty cycle to none.
//!
//! ```
//! use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! assert_eq!(count_heap_calls(|| 1 + 1), 0);
//! assert_eq!(count_heap_calls(|| drop(Box::new(1))), 2); // taken and given back
//! ```
//!
//! Invariant: a thread counts its own calls alone, and giving back counts as much as taking.

// An allocator is an unsafe trait.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

thread_local! {
    static HEAP_CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting calls per thread. For tests: make it the `#[global_allocator]`.
pub struct CountingAllocator;

/// Counts the calls of `alloc`, `dealloc` and `realloc` that this thread makes in `work`.
///
/// Panics if [`CountingAllocator`] is not the program's allocator: it would count nothing and prove nothing.
pub fn count_heap_calls<R>(work: impl FnOnce() -> R) -> u64 {
    assert_counting();
    let before = thread_heap_calls();
    let result = work();
    let count = thread_heap_calls() - before;
    drop(result);
    count
}

/// Heap calls of this thread since it began; to watch a thread from within.
pub fn thread_heap_calls() -> u64 {
    HEAP_CALLS.try_with(Cell::get).unwrap_or_default()
}

/// Makes one heap call and looks whether it was counted.
fn assert_counting() {
    let before = thread_heap_calls();
    drop(black_box(Box::new(before)));
    assert!(
        thread_heap_calls() > before,
        "CountingAllocator is not the #[global_allocator] of this program"
    );
}

/// Counts one call; a thread that is coming down has no counter any more.
fn count_one() {
    let _ = HEAP_CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call goes to `System` unchanged; counting touches no memory of the heap.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps `alloc`'s contract for `layout`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps `alloc_zeroed`'s contract for `layout`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count_one();
        // SAFETY: `ptr` came from `System` by way of `alloc` above, with this `layout`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_one();
        // SAFETY: `ptr` came from `System` by way of `alloc` above, with this `layout`; the caller keeps the rest.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}
