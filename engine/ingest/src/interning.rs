//! Gives every name a dense number, in a table whose memory is taken at start.
//!
//! ```text
//!   name ──hash──▶ buckets (open addressing, half full at most)
//!                     │ slot = dense id + 1
//!                     ▼
//!                  entries: name, hash, neighbours in the order of use
//!                     oldest ◀──▶ … ◀──▶ newest          (only if the oldest idle may be evicted)
//! ```
//!
//! Finding a place and taking it are two steps ([`IdTable::find`], [`IdTable::commit`]), so that an event
//! that is refused because another table is full leaves no trace in this one.
//!
//! Slot 0 holds no name and stands for "none" in buckets and links, so that a table without names is zero bytes,
//! which the system gives without taking memory until they are written.
//!
//! Invariant: which number a name has is a function of the names committed before it, in their order. The
//! hash decides where a name stands in memory and nothing else.

use std::hash::{BuildHasher, Hasher as _};

use foldhash::fast::FixedState;
use pinion_runtime::memory::touch;
use pinion_runtime::state::{Region, RegionMut};
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout};

use crate::config::WhenFull;
use crate::memory;

/// The most names that a table can hold.
pub const IDS_MAX: u32 = 1 << 26;

/// Fixed, so that two runs over the same names also touch the same memory.
const HASH_SEED: u64 = 0x5049_4E49_4F4E_0001;

/// A bucket that holds nothing. A used one holds the hash in the upper half and the slot in the lower.
const EMPTY: u64 = 0;

/// No neighbour in the order of use.
const NOWHERE: u32 = 0;

/// What [`IdTable::find`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The name has this dense id.
    Known(u32),
    /// The name is new and there is room. Holds its hash.
    New(u32),
    /// The name is new, the table is full, and the name unused for longest may make room. Holds the hash.
    Evicting(u32),
    /// The name is new, the table is full, and nothing may be evicted.
    Full,
    /// There is no name: the optional id is absent.
    Absent,
}

/// A name's number, and whether it was given just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interned {
    /// The number, [`DENSE_ID_NONE`] for an absent name.
    pub dense: u32,
    /// The number was given with this call: what is known under it is of another name or of none.
    pub is_fresh: bool,
    /// Another name lost the number.
    pub is_evicted: bool,
}

/// A name in its slot.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Entry {
    id: Id,
    hash: u32,
    /// The slot of the name used before it.
    older: u32,
    /// The slot of the name used after it.
    newer: u32,
}

const _: () = assert!(size_of::<Entry>() == 48);

/// What is known of the whole table.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Head {
    /// Names that have a number.
    len: u32,
    /// The slot of the name unused for longest.
    oldest: u32,
    /// The slot of the name used last.
    newest: u32,
}

/// Names of one kind and their dense numbers, `0..ids_max`.
///
/// Memory: 48 bytes per name and 16 to 32 for its buckets, all reserved in [`IdTable::new`]; a page of it is taken
/// when it is first written, or at once by [`IdTable::prefault`].
#[derive(Debug)]
pub struct IdTable {
    buckets: Vec<u64>,
    /// One more than names.
    entries: Vec<Entry>,
    head: Head,
    may_evict: bool,
    hasher: FixedState,
}

impl IdTable {
    /// Reserves the memory for `ids_max` names, 1 to [`IDS_MAX`]. Panics: if there is none.
    #[must_use]
    pub fn new(ids_max: u32, when_full: WhenFull) -> Self {
        assert!(ids_max > 0);
        assert!(ids_max <= IDS_MAX);
        let bucket_count = (ids_max as usize * 2).next_power_of_two();
        let entry_count = ids_max as usize + 1;
        Self {
            buckets: u64::new_vec_zeroed(bucket_count).expect("there is memory for the buckets"),
            entries: Entry::new_vec_zeroed(entry_count).expect("there is memory for the names"),
            head: Head::default(),
            may_evict: when_full == WhenFull::EvictOldestIdle,
            hasher: FixedState::with_seed(HASH_SEED),
        }
    }

    /// Takes all memory now, so that no later commit waits for the system. Changes nothing.
    pub fn prefault(&mut self) {
        touch(self.buckets.as_mut_bytes());
        touch(self.entries.as_mut_bytes());
    }

    /// All that the table knows, for tables of the same `ids_max` and `when_full`: regions `name` 0 to 2.
    pub fn regions(&self, name: &'static str) -> [Region<'_>; 3] {
        memory::regions(
            name,
            [
                self.head.as_bytes(),
                self.buckets.as_bytes(),
                self.entries.as_bytes(),
            ],
        )
    }

    /// The same regions, to be filled.
    pub fn regions_mut(&mut self, name: &'static str) -> [RegionMut<'_>; 3] {
        memory::regions_mut(
            name,
            [
                self.head.as_mut_bytes(),
                self.buckets.as_mut_bytes(),
                self.entries.as_mut_bytes(),
            ],
        )
    }

    /// Looks a name up, without changing anything.
    ///
    /// Cost: one cache line of buckets and one entry when the name is known.
    #[must_use]
    pub fn find(&self, id: &Id) -> Place {
        let hash = self.hash(id);
        let mut index = self.home(hash);
        loop {
            let bucket = self.buckets[index];
            if bucket == EMPTY {
                return self.place_of_new(hash);
            }
            if hash_of(bucket) == hash && self.entries[slot_of(bucket)].id == *id {
                return Place::Known(slot_of(bucket) as u32 - 1);
            }
            index = self.next(index);
        }
    }

    /// As [`Self::find`], but [`Id::NONE`] is [`Place::Absent`].
    #[must_use]
    pub fn find_optional(&self, id: &Id) -> Place {
        if id.is_none() {
            Place::Absent
        } else {
            self.find(id)
        }
    }

    /// Takes the place that [`Self::find`] returned for this very name, with no commit in between, and makes
    /// the name the newest.
    ///
    /// Cost: nothing more for a known name where nothing is ever evicted; else up to three entries.
    pub fn commit(&mut self, id: &Id, place: Place) -> Interned {
        match place {
            Place::Known(dense) => {
                self.touch(dense as usize + 1);
                Interned {
                    dense,
                    is_fresh: false,
                    is_evicted: false,
                }
            }
            Place::New(hash) => {
                let dense = self.head.len;
                self.head.len += 1;
                self.give(dense as usize + 1, id, hash);
                Interned {
                    dense,
                    is_fresh: true,
                    is_evicted: false,
                }
            }
            Place::Evicting(hash) => {
                let slot = self.head.oldest as usize;
                self.remove(slot);
                self.give(slot, id, hash);
                Interned {
                    dense: slot as u32 - 1,
                    is_fresh: true,
                    is_evicted: true,
                }
            }
            Place::Full => unreachable!("a full table refuses before anything is committed"),
            Place::Absent => Interned {
                dense: DENSE_ID_NONE,
                is_fresh: false,
                is_evicted: false,
            },
        }
    }

    /// Names that have a number now.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.head.len
    }

    /// Whether no name has a number yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.len == 0
    }

    /// Names at most.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.entries.len() as u32 - 1
    }

    fn hash(&self, id: &Id) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(&id.0);
        (hasher.finish() >> 32) as u32
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn next(&self, index: usize) -> usize {
        (index + 1) & (self.buckets.len() - 1)
    }

    fn place_of_new(&self, hash: u32) -> Place {
        if self.head.len < self.capacity() {
            Place::New(hash)
        } else if self.may_evict {
            Place::Evicting(hash)
        } else {
            Place::Full
        }
    }

    fn give(&mut self, slot: usize, id: &Id, hash: u32) {
        let mut index = self.home(hash);
        while self.buckets[index] != EMPTY {
            index = self.next(index);
        }
        self.buckets[index] = bucket(hash, slot);
        let entry = &mut self.entries[slot];
        entry.id = *id;
        entry.hash = hash;
        if self.may_evict {
            self.link_newest(slot);
        }
    }

    fn touch(&mut self, slot: usize) {
        if self.may_evict && self.head.newest as usize != slot {
            self.unlink(slot);
            self.link_newest(slot);
        }
    }

    fn remove(&mut self, slot: usize) {
        self.unlink(slot);
        let wanted = bucket(self.entries[slot].hash, slot);
        let mut index = self.home(hash_of(wanted));
        while self.buckets[index] != wanted {
            index = self.next(index);
        }
        self.close_gap(index);
    }

    /// Empties a bucket and moves up whoever was pushed past it, so that no search breaks off there.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.buckets.len() - 1;
        let mut index = self.next(gap);
        while self.buckets[index] != EMPTY {
            let home = self.home(hash_of(self.buckets[index]));
            let pushed = index.wrapping_sub(home) & mask;
            let past_gap = index.wrapping_sub(gap) & mask;
            if pushed >= past_gap {
                self.buckets[gap] = self.buckets[index];
                gap = index;
            }
            index = self.next(index);
        }
        self.buckets[gap] = EMPTY;
    }

    fn unlink(&mut self, slot: usize) {
        let Entry { older, newer, .. } = self.entries[slot];
        match older {
            NOWHERE => self.head.oldest = newer,
            older => self.entries[older as usize].newer = newer,
        }
        match newer {
            NOWHERE => self.head.newest = older,
            newer => self.entries[newer as usize].older = older,
        }
    }

    fn link_newest(&mut self, slot: usize) {
        let older = self.head.newest;
        let entry = &mut self.entries[slot];
        entry.older = older;
        entry.newer = NOWHERE;
        match older {
            NOWHERE => self.head.oldest = slot as u32,
            older => self.entries[older as usize].newer = slot as u32,
        }
        self.head.newest = slot as u32;
    }
}

fn bucket(hash: u32, slot: usize) -> u64 {
    u64::from(hash) << 32 | slot as u64
}

fn hash_of(bucket: u64) -> u32 {
    (bucket >> 32) as u32
}

fn slot_of(bucket: u64) -> usize {
    bucket as u32 as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn name(number: u32) -> Id {
        Id::new(&format!("name-{number}")).unwrap()
    }

    fn intern(table: &mut IdTable, number: u32) -> Option<Interned> {
        let id = name(number);
        match table.find(&id) {
            Place::Full => None,
            place => Some(table.commit(&id, place)),
        }
    }

    #[track_caller]
    fn check(when_full: WhenFull, names: &[u32], expected: &[Option<(u32, bool)>]) {
        let mut table = IdTable::new(3, when_full);
        let found: Vec<_> = names
            .iter()
            .map(|&number| intern(&mut table, number).map(|it| (it.dense, it.is_fresh)))
            .collect();
        assert_eq!(found, expected);
    }

    const fn fresh(dense: u32) -> Option<(u32, bool)> {
        Some((dense, true))
    }

    const fn known(dense: u32) -> Option<(u32, bool)> {
        Some((dense, false))
    }

    #[test]
    fn numbers_are_given_in_the_order_of_first_use() {
        check(
            WhenFull::Reject,
            &[7, 9, 7, 8],
            &[fresh(0), fresh(1), known(0), fresh(2)],
        );
    }

    #[test]
    fn full_table_refuses_new_names_and_knows_the_old() {
        check(
            WhenFull::Reject,
            &[1, 2, 3, 4, 2],
            &[fresh(0), fresh(1), fresh(2), None, known(1)],
        );
    }

    #[test]
    fn full_table_evicts_the_name_unused_for_longest() {
        let names = [1, 2, 3, 1, 4, 2, 1];
        check(
            WhenFull::EvictOldestIdle,
            &names,
            &[
                fresh(0),
                fresh(1),
                fresh(2),
                known(0),
                fresh(1),
                fresh(2),
                known(0),
            ],
        );
    }

    #[test]
    fn table_of_one_evicts_itself() {
        let mut table = IdTable::new(1, WhenFull::EvictOldestIdle);
        for number in 0..100 {
            let interned = intern(&mut table, number).unwrap();
            assert_eq!((interned.dense, interned.is_fresh), (0, true));
            assert_eq!(interned.is_evicted, number > 0);
        }
    }

    #[test]
    fn finding_leaves_no_trace() {
        let mut table = IdTable::new(2, WhenFull::EvictOldestIdle);
        intern(&mut table, 1);
        assert!(matches!(table.find(&name(2)), Place::New(_)));
        assert!(matches!(table.find(&name(2)), Place::New(_)));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn absent_name_has_no_number() {
        let mut table = IdTable::new(1, WhenFull::Reject);
        let place = table.find_optional(&Id::NONE);
        let interned = table.commit(&Id::NONE, place);
        assert_eq!((interned.dense, interned.is_fresh), (DENSE_ID_NONE, false));
        assert!(table.is_empty());
    }

    /// The plainest possible table: names with the time of their last use.
    #[derive(Default)]
    struct Reference {
        names: HashMap<u32, (u32, usize)>,
    }

    impl Reference {
        fn intern(&mut self, number: u32, now: usize, capacity: u32, may_evict: bool) -> Option<(u32, bool)> {
            if let Some((dense, last_use)) = self.names.get_mut(&number) {
                *last_use = now;
                return Some((*dense, false));
            }
            let dense = if (self.names.len() as u32) < capacity {
                self.names.len() as u32
            } else if may_evict {
                let (&oldest, &(dense, _)) = self.names.iter().min_by_key(|(_, (_, last_use))| *last_use)?;
                self.names.remove(&oldest);
                dense
            } else {
                return None;
            };
            self.names.insert(number, (dense, now));
            Some((dense, true))
        }
    }

    proptest! {
        #[test]
        fn prop_table_agrees_with_a_hash_map(
            names in prop::collection::vec(0_u32..60, 0..600),
            capacity in 1_u32..50,
            may_evict: bool,
        ) {
            let when_full = if may_evict { WhenFull::EvictOldestIdle } else { WhenFull::Reject };
            let mut table = IdTable::new(capacity, when_full);
            let mut reference = Reference::default();
            for (now, &number) in names.iter().enumerate() {
                let found = intern(&mut table, number).map(|it| (it.dense, it.is_fresh));
                prop_assert_eq!(found, reference.intern(number, now, capacity, may_evict));
            }
            prop_assert_eq!(table.len() as usize, reference.names.len());
        }
    }
}
