//! Large tables of plain 64-bit words, all zero at first, on huge pages where the system gives them.
//!
//! Memory that was never written is not there: a table for many entities costs what its entities use, until
//! [`Words::prefault`] asks for all of it, which an agent does before its first duty cycle.
//!
//! Invariant: the length never changes, and nothing else has a reference to the mapping.
#![allow(unsafe_code)] // the mapped bytes are seen as words

use std::hint::black_box;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};
use zerocopy::IntoBytes as _;

use crate::state::PAGE_LEN;

/// Words of a page of the system's smallest size.
const PAGE_WORDS: usize = 512;

/// A fixed number of words.
///
/// ```
/// let mut words = pinion_runtime::memory::Words::zeroed(1000);
/// words[7] = 3;
/// assert_eq!((words.len(), words[7], words[8]), (1000, 3, 0));
/// ```
#[derive(Debug)]
pub struct Words {
    map: MmapMut,
    len: usize,
}

impl Words {
    /// Memory of `len` zeros, not there yet.
    ///
    /// Error: panics if the system has not even the addresses.
    pub fn zeroed(len: usize) -> Self {
        let bytes = len.max(1) * size_of::<u64>();
        let map = MmapMut::map_anon(bytes)
            .unwrap_or_else(|error| panic!("{bytes} bytes of memory cannot be mapped: {error}"));
        // Without huge pages it is slower, not wrong.
        let _ = map.advise(Advice::HugePage);
        Self { map, len }
    }

    /// Asks for the line of a word, to be there when it is read soon; does nothing on machines other than x86-64.
    ///
    /// Bound: any index; one that is out of range is harmless.
    #[inline]
    pub fn prefetch(&self, index: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let line = self
                .map
                .as_ptr()
                .wrapping_add(index.wrapping_mul(size_of::<u64>()));
            // SAFETY: a prefetch is a hint that reads nothing, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = index;
    }

    /// Has every page there, by writing to it.
    ///
    /// Cost: about 0.25 ms per MiB.
    pub fn prefault(&mut self) {
        touch(self.as_mut_bytes());
    }
}

impl Clone for Words {
    /// Copies the pages that hold something other than zeros.
    fn clone(&self) -> Self {
        let mut other = Self::zeroed(self.len);
        for (to, from) in other.chunks_mut(PAGE_WORDS).zip(self.chunks(PAGE_WORDS)) {
            if from.iter().any(|&word| word != 0) {
                to.copy_from_slice(from);
            }
        }
        other
    }
}

impl Deref for Words {
    type Target = [u64];

    #[inline]
    fn deref(&self) -> &[u64] {
        // SAFETY: the mapping is page-aligned, at least `len` words long and lives as long as `self`; any
        // bytes are words; `self` is borrowed for as long as the slice.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Words {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), self.len) }
    }
}

/// Writes to every page what stands there, so that the system takes the memory now and not at its first use.
///
/// Cost: one page fault per page, a quarter of a microsecond and more each.
pub fn touch(bytes: &mut [u8]) {
    for page in bytes.chunks_mut(PAGE_LEN) {
        // The compiler must not know that the byte is written as it was read.
        page[0] = black_box(page[0]);
    }
    // Memory that begins within a page also ends within one.
    if let Some(last) = bytes.last_mut() {
        *last = black_box(*last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clone_has_the_same_words_and_its_own_memory() {
        let mut words = Words::zeroed(3 * PAGE_WORDS + 5);
        words[PAGE_WORDS + 1] = 9;
        *words.last_mut().unwrap() = 4;
        words.prefault();
        let mut other = words.clone();
        assert_eq!(&words[..], &other[..]);
        other[0] = 1;
        assert_eq!(words[0], 0);
    }

    #[test]
    fn none_is_possible() {
        assert!(Words::zeroed(0).is_empty());
    }
}
