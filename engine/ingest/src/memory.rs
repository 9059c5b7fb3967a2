//! Names the pieces of plain memory for a checkpoint.
//!
//! ```text
//!   [bytes, bytes, …] ──regions──▶ "customers" 0, 1, …
//! ```
//!
//! Invariant: nothing here changes a byte.

use pinion_runtime::state::{Region, RegionMut};

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
