//! A fixed number of plain records, all zero at first, whose bytes are a region of a state.
//!
//! Invariant: the number of records never changes, and none is anywhere but in the one mapping.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use pinion_runtime::memory::Words;
use pinion_runtime::state::{Region, RegionMut};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The records of one kind, by number.
#[derive(Clone, Debug)]
pub(crate) struct Column<T> {
    words: Words,
    len: usize,
    kind: PhantomData<T>,
}

impl<T> Column<T> {
    const WITHIN_WORDS: () = assert!(
        align_of::<T>() <= align_of::<u64>(),
        "words are not aligned enough"
    );

    /// Memory for `len` records, not there yet.
    pub(crate) fn zeroed(len: usize) -> Self {
        let () = Self::WITHIN_WORDS;
        Self {
            words: Words::zeroed((len * size_of::<T>()).div_ceil(size_of::<u64>())),
            len,
            kind: PhantomData,
        }
    }

    /// Has all memory there.
    pub(crate) fn prefault(&mut self) {
        self.words.prefault();
    }

    /// All bytes, to be kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.words.as_bytes()
    }

    /// All bytes, to be filled.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.words.as_mut_bytes()
    }

    /// Asks for the lines of some records, to be there when they are read soon.
    #[inline]
    pub(crate) fn prefetch(&self, first: usize, count: usize) {
        const WORD: usize = size_of::<u64>();
        const LINE: usize = 8;
        let start = first * size_of::<T>() / WORD;
        let end = ((first + count) * size_of::<T>()).div_ceil(WORD);
        for word in (start..end).step_by(LINE) {
            self.words.prefetch(word);
        }
    }
}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout> Deref for Column<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        let (records, _) = <[T]>::ref_from_prefix_with_elems(self.words.as_bytes(), self.len)
            .expect("words hold all records, and are aligned for them");
        records
    }
}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout> DerefMut for Column<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        let (records, _) = <[T]>::mut_from_prefix_with_elems(self.words.as_mut_bytes(), self.len)
            .expect("words hold all records, and are aligned for them");
        records
    }
}

/// The regions of columns that stand once each, to be read.
pub(crate) fn regions<'a>(parts: impl IntoIterator<Item = (&'static str, &'a [u8])>) -> Vec<Region<'a>> {
    let region = |(name, bytes)| Region {
        name,
        index: 0,
        bytes,
    };
    parts.into_iter().map(region).collect()
}

/// The same, to be filled.
pub(crate) fn regions_mut<'a>(
    parts: impl IntoIterator<Item = (&'static str, &'a mut [u8])>,
) -> Vec<RegionMut<'a>> {
    let region = |(name, bytes)| RegionMut {
        name,
        index: 0,
        bytes,
    };
    parts.into_iter().map(region).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_as_many_as_asked_for_and_zero() {
        let mut column = Column::<u32>::zeroed(5);
        assert_eq!((column.len(), column.bytes().len()), (5, 24));
        column[4] = 7;
        assert_eq!(column[..], [0, 0, 0, 0, 7]);
        assert_eq!(column.clone()[..], column[..]);
        assert!(Column::<u32>::zeroed(0).is_empty());
    }
}
