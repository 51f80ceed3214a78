//! Reading allocates nothing beyond the buffer, and forwarding nothing beyond its output. Counted, not timed.
//! The counter is per thread, so that the test harness does not disturb it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;

#[path = "../benches/hot.rs"]
#[allow(dead_code)]
mod hot;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// The one thing a counting allocator cannot be without; it only passes calls on.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations `work` makes.
fn allocations<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = COUNT.get();
    let result = work();
    (result, COUNT.get() - before)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| vec![1u8; 100]).1, 1);
}

#[test]
fn parsing_and_locating_allocates_nothing() {
    let buf = Bytes::from_static(hot::INVITE);
    let (sum, count) = allocations(|| hot::parse_and_locate(&buf));
    assert!(sum > 0);
    assert_eq!(count, 0);
}

#[test]
fn checking_and_peeking_allocate_nothing() {
    let request = hot::parse(&Bytes::from_static(hot::INVITE));
    assert_eq!(allocations(|| request.check().is_ok()), (true, 0));
    assert_eq!(allocations(|| sip_message::peek::call_id(hot::INVITE).is_some()), (true, 0));
}

#[test]
fn forwarding_allocates_only_its_output() {
    let request = hot::parse(&Bytes::from_static(hot::INVITE));
    let mut out = Vec::new();
    assert_eq!(
        allocations(|| hot::forward(&request, &mut out)).1,
        1,
        "the first time it grows once"
    );
    assert_eq!(allocations(|| hot::forward(&request, &mut out)).1, 0, "then it fits");
}
