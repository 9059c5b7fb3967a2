//! A test that forgot to install the allocator is told, and does not pass for nothing.

#[test]
#[should_panic(expected = "CountingAllocator is not the #[global_allocator] of this program")]
fn counting_without_the_allocator_is_refused() {
    pinion_runtime::heap::count_heap_calls(|| ());
}
