//! Gives every pair of entities a row, in a table whose memory is taken at start.
//!
//! ```text
//!   (dense a, dense b) ──hash──▶ buckets (open addressing, half full at most) ──▶ rows: pair, neighbours in
//!        └ and how often each dense id was given anew                             the order of use
//! ```
//!
//! A pair is known under its dense ids and their generations: when a dense id is given to another name, its
//! pairs are no longer found, and leave as the longest idle do.
//!
//! Invariant: which row a pair has is a function of the pairs before it, in their order.

use pinion_runtime::memory::Words;
use pinion_runtime::state::{Region, RegionMut};
use zerocopy::IntoBytes as _;

use crate::config::WhenFull;

/// Words of a row: pair, generations, neighbours (each plus one).
const ROW: usize = 3;
const PAIR: usize = 0;
const GENERATIONS: usize = 1;
const LINKS: usize = 2;

// Words of the table's own account: rows given, oldest and newest row plus one, pairs evicted and refused.
const LEN: usize = 0;
const OLDEST: usize = 1;
const NEWEST: usize = 2;
const EVICTED: usize = 3;
const REFUSED: usize = 4;
const ACCOUNT_WORDS: usize = 5;

/// A pair's row, and whether it was another pair's before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The row.
    pub row: u32,
    /// What is known under it is of another pair.
    pub is_evicted: bool,
}

/// Pairs of one kind and their rows.
#[derive(Clone, Debug)]
pub struct PairTable {
    buckets: Words,
    rows: Words,
    generations: [Words; 2],
    account: Words,
    rows_max: u32,
    may_evict: bool,
}

impl PairTable {
    /// Memory for `rows_max` pairs of entities with dense ids below the two bounds.
    pub fn new(rows_max: u32, when_full: WhenFull, ids_max: [u32; 2]) -> Self {
        Self {
            buckets: Words::zeroed((2 * rows_max as usize).next_power_of_two()),
            rows: Words::zeroed(ROW * rows_max as usize),
            generations: ids_max.map(|ids_max| Words::zeroed(ids_max as usize)),
            account: Words::zeroed(ACCOUNT_WORDS),
            rows_max,
            may_evict: when_full == WhenFull::EvictOldestIdle,
        }
    }

    /// Has all memory there.
    pub fn prefault(&mut self) {
        self.buckets.prefault();
        self.rows.prefault();
        for generations in &mut self.generations {
            generations.prefault();
        }
    }

    /// Memory at most. Unit: bytes.
    pub fn memory_len(&self) -> u64 {
        self.memory()
            .iter()
            .map(|(_, words)| 8 * words.len() as u64)
            .sum()
    }

    /// Adds the table's memory to the list of a state.
    pub fn regions<'a>(&'a self, index: u32, list: &mut Vec<Region<'a>>) {
        for (name, words) in self.memory() {
            let bytes = words.as_bytes();
            list.push(Region { name, index, bytes });
        }
    }

    /// As [`Self::regions`].
    pub fn regions_mut<'a>(&'a mut self, index: u32, list: &mut Vec<RegionMut<'a>>) {
        let [first, second] = &mut self.generations;
        let memory = [
            ("pairs account", &mut self.account),
            ("pairs buckets", &mut self.buckets),
            ("pairs rows", &mut self.rows),
            ("pairs first", first),
            ("pairs second", second),
        ];
        for (name, words) in memory {
            let bytes = words.as_mut_bytes();
            list.push(RegionMut { name, index, bytes });
        }
    }

    fn memory(&self) -> [(&'static str, &Words); 5] {
        [
            ("pairs account", &self.account),
            ("pairs buckets", &self.buckets),
            ("pairs rows", &self.rows),
            ("pairs first", &self.generations[0]),
            ("pairs second", &self.generations[1]),
        ]
    }

    /// Pairs that lost their row to another.
    pub fn evicted(&self) -> u64 {
        self.account[EVICTED]
    }

    /// Times that a pair got no row because the table was full.
    pub fn refused(&self) -> u64 {
        self.account[REFUSED]
    }

    /// The dense id at `place` (0 or 1) of the pair was given to another name.
    pub fn renew(&mut self, place: usize, dense: u32) {
        if let Some(generation) = self.generations[place].get_mut(dense as usize) {
            *generation = u64::from((*generation as u32).wrapping_add(1));
        }
    }

    /// Whether both dense ids are within bounds.
    pub fn may_name(&self, pair: [u32; 2]) -> bool {
        self.key(pair).is_some()
    }

    /// The row of a pair, if it has one.
    ///
    /// Cost: about two lines.
    pub fn find(&self, pair: [u32; 2]) -> Option<u32> {
        let key = self.key(pair)?;
        self.slot(key).ok().map(|slot| self.buckets[slot] as u32 - 1)
    }

    /// The row of a pair, which is the newest from now on; a new one if it has none. `None`: there is no room.
    ///
    /// Cost: as [`Self::find`], plus up to three rows.
    pub fn give(&mut self, pair: [u32; 2]) -> Option<Given> {
        let key = self.key(pair)?;
        if let Ok(slot) = self.slot(key) {
            let row = self.buckets[slot] as u32 - 1;
            self.unlink(row);
            self.link_newest(row);
            return Some(Given {
                row,
                is_evicted: false,
            });
        }
        let given = self.room()?;
        let slot = match self.slot(key) {
            Ok(slot) | Err(slot) => slot,
        };
        let at = ROW * given.row as usize;
        self.rows[at + PAIR] = key[0];
        self.rows[at + GENERATIONS] = key[1];
        self.buckets[slot] = hash(key) & !u64::from(u32::MAX) | u64::from(given.row + 1);
        self.link_newest(given.row);
        Some(given)
    }

    fn room(&mut self) -> Option<Given> {
        if self.account[LEN] < u64::from(self.rows_max) {
            self.account[LEN] += 1;
            return Some(Given {
                row: self.account[LEN] as u32 - 1,
                is_evicted: false,
            });
        }
        if !self.may_evict {
            self.account[REFUSED] += 1;
            return None;
        }
        let row = self.account[OLDEST] as u32 - 1;
        self.unlink(row);
        let at = ROW * row as usize;
        let key = [self.rows[at + PAIR], self.rows[at + GENERATIONS]];
        if let Ok(slot) = self.slot(key) {
            self.close_gap(slot);
        }
        self.account[EVICTED] += 1;
        Some(Given {
            row,
            is_evicted: true,
        })
    }

    /// The pair with its generations; `None` if one of the ids is absent or out of bounds.
    fn key(&self, pair: [u32; 2]) -> Option<[u64; 2]> {
        let generation = |place: usize| self.generations[place].get(pair[place] as usize).copied();
        let generations = generation(0)? | generation(1)? << 32;
        Some([u64::from(pair[0]) | u64::from(pair[1]) << 32, generations])
    }

    /// The bucket of a pair, or the empty one where it would stand.
    fn slot(&self, key: [u64; 2]) -> Result<usize, usize> {
        let hash = hash(key);
        let mut index = self.home(hash);
        loop {
            let bucket = self.buckets[index];
            if bucket == 0 {
                return Err(index);
            }
            let at = ROW * (bucket as u32 - 1) as usize;
            let is_same_hash = bucket >> 32 == hash >> 32;
            if is_same_hash && self.rows[at + PAIR] == key[0] && self.rows[at + GENERATIONS] == key[1] {
                return Ok(index);
            }
            index = self.next(index);
        }
    }

    /// The upper half of a hash stands in its bucket, and is enough to find its home.
    fn home(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.buckets.len() - 1)
    }

    fn next(&self, index: usize) -> usize {
        (index + 1) & (self.buckets.len() - 1)
    }

    /// Empties a bucket and moves up whoever was pushed past it, so that no search breaks off there.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.buckets.len() - 1;
        let mut index = self.next(gap);
        while self.buckets[index] != 0 {
            let pushed = index.wrapping_sub(self.home(self.buckets[index])) & mask;
            if pushed >= index.wrapping_sub(gap) & mask {
                self.buckets[gap] = self.buckets[index];
                gap = index;
            }
            index = self.next(index);
        }
        self.buckets[gap] = 0;
    }

    /// Neighbours of a row, each plus one; 0: none.
    fn links(&self, row: u32) -> (u64, u64) {
        let word = self.rows[ROW * row as usize + LINKS];
        (word & u64::from(u32::MAX), word >> 32)
    }

    fn set_links(&mut self, row: u32, older: u64, newer: u64) {
        self.rows[ROW * row as usize + LINKS] = older | newer << 32;
    }

    fn unlink(&mut self, row: u32) {
        let (older, newer) = self.links(row);
        match older {
            0 => self.account[OLDEST] = newer,
            _ => {
                let row = older as u32 - 1;
                self.set_links(row, self.links(row).0, newer);
            }
        }
        match newer {
            0 => self.account[NEWEST] = older,
            _ => {
                let row = newer as u32 - 1;
                self.set_links(row, older, self.links(row).1);
            }
        }
    }

    fn link_newest(&mut self, row: u32) {
        let older = self.account[NEWEST];
        let link = u64::from(row) + 1;
        self.set_links(row, older, 0);
        match older {
            0 => self.account[OLDEST] = link,
            _ => {
                let row = older as u32 - 1;
                self.set_links(row, self.links(row).0, link);
            }
        }
        self.account[NEWEST] = link;
    }
}

/// 64 bits of a pair and its generations.
fn hash(key: [u64; 2]) -> u64 {
    let mut hash = key[0].wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ key[1].wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    hash = (hash ^ hash >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(when_full: WhenFull, pairs: &[[u32; 2]], expected: &[Option<(u32, bool)>]) {
        let mut table = PairTable::new(3, when_full, [10, 10]);
        let given = pairs
            .iter()
            .map(|&pair| table.give(pair).map(|it| (it.row, it.is_evicted)));
        assert_eq!(given.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn full_table_evicts_the_pair_unused_for_longest() {
        let pairs = [[1, 1], [1, 2], [2, 1], [1, 1], [3, 3], [1, 2]];
        let expected = [
            (0, false),
            (1, false),
            (2, false),
            (0, false),
            (1, true),
            (2, true),
        ];
        check(WhenFull::EvictOldestIdle, &pairs, &expected.map(Some));
    }

    #[test]
    fn full_table_refuses_new_pairs_and_knows_the_old() {
        let pairs = [[1, 1], [1, 2], [2, 1], [3, 3], [1, 2]];
        let expected = [
            Some((0, false)),
            Some((1, false)),
            Some((2, false)),
            None,
            Some((1, false)),
        ];
        check(WhenFull::Reject, &pairs, &expected);
    }

    #[test]
    fn id_out_of_bounds_has_no_pair() {
        check(WhenFull::Reject, &[[10, 1], [1, u32::MAX]], &[None, None]);
    }

    #[test]
    fn id_given_anew_is_another_pair() {
        let mut table = PairTable::new(3, WhenFull::Reject, [10, 10]);
        assert_eq!(table.give([1, 2]).unwrap().row, 0);
        table.renew(1, 2);
        assert_eq!(table.find([1, 2]), None);
        assert_eq!(table.give([1, 2]).unwrap().row, 1);
    }

    #[test]
    fn many_pairs_come_and_go() {
        let mut table = PairTable::new(64, WhenFull::EvictOldestIdle, [1000, 1000]);
        for round in 0..20_000_u32 {
            let pair = [round.wrapping_mul(2_654_435_761) >> 23, round % 7];
            let given = table.give(pair).unwrap();
            assert_eq!(table.find(pair), Some(given.row));
        }
        let known = (0..1000).flat_map(|a| (0..7).map(move |b| [a, b]));
        assert_eq!(known.filter(|&pair| table.find(pair).is_some()).count(), 64);
    }
}
