//! Plain memory: takes its pages ahead of time, and names its pieces for a checkpoint.
//!
//! ```text
//!   zeroed vector ──touch──▶ every page taken            [bytes, bytes, …] ──regions──▶ "customers" 0, 1, …
//! ```
//!
//! Invariant: nothing here changes a byte.

use std::hint::black_box;

use pinion_runtime::state::{PAGE_LEN, Region, RegionMut};

/// Writes to every page what stands there, so that the system takes the memory now and not at its first use.
///
/// Cost: one page fault per page, a quarter of a microsecond and more each.
pub(crate) fn touch(bytes: &mut [u8]) {
    for page in bytes.chunks_mut(PAGE_LEN) {
        // The compiler must not know that the byte is written as it was read.
        page[0] = black_box(page[0]);
    }
    // Memory that begins within a page also ends within one.
    if let Some(last) = bytes.last_mut() {
        *last = black_box(*last);
    }
}

/// The pieces under one name, numbered from 0.
pub(crate) fn regions<'a, const N: usize>(name: &'static str, pieces: [&'a [u8]; N]) -> [Region<'a>; N] {
    let mut next = 0;
    pieces.map(|bytes| {
        let index = next;
        next += 1;
        Region { name, index, bytes }
    })
}

/// As [`regions`], to be filled.
pub(crate) fn regions_mut<'a, const N: usize>(
    name: &'static str,
    pieces: [&'a mut [u8]; N],
) -> [RegionMut<'a>; N] {
    let mut next = 0;
    pieces.map(|bytes| {
        let index = next;
        next += 1;
        RegionMut { name, index, bytes }
    })
}
