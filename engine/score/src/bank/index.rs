//! Finds the row of an id: open addressing, at most half full, no marks left by what was removed.
//!
//! ```text
//!   id ──hash──▶ home bucket, or the next free one        bucket: upper half of the hash │ row + 1     0: free
//! ```
//!
//! Invariant: between a bucket's home and itself none is free, so a search ends at the first free one.

use pinion_schemas::ids::Id;

use super::column::Column;

/// Odd numbers without a pattern.
const MIX: [u64; 6] = [
    0x9E37_79B9_7F4A_7C15,
    0xC2B2_AE3D_27D4_EB4F,
    0xBF58_476D_1CE4_E5B9,
    0x94D0_49BB_1331_11EB,
    0xD6E8_FEB8_6659_FD93,
    0xA076_1D64_78BD_642F,
];

/// What has an id.
pub(crate) trait Identified {
    fn id(&self) -> &Id;
}

/// Rows by id.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) buckets: Column<u64>,
}

impl Index {
    pub(crate) fn new(rows_max: u32) -> Self {
        Self {
            buckets: Column::zeroed((2 * rows_max as usize).next_power_of_two()),
        }
    }

    /// The row of an id. Cost: about two lines.
    pub(crate) fn find(&self, rows: &[impl Identified], id: &Id) -> Option<u32> {
        let buckets = &*self.buckets;
        let slot = slot(buckets, rows, id).ok()?;
        Some(buckets[slot] as u32 - 1)
    }

    /// Adds an id that is not there.
    pub(crate) fn add(&mut self, rows: &[impl Identified], id: &Id, row: u32) {
        let buckets = &mut *self.buckets;
        let slot = slot(buckets, rows, id).expect_err("the id was removed before");
        buckets[slot] = hash(id) & !u64::from(u32::MAX) | u64::from(row + 1);
    }

    /// Takes an id out that is there.
    pub(crate) fn remove(&mut self, rows: &[impl Identified], id: &Id) {
        let buckets = &mut *self.buckets;
        let slot = slot(buckets, rows, id).expect("a row's id is in the index");
        let mask = buckets.len() - 1;
        close_gap(buckets, slot, |&bucket| (bucket != 0).then(|| home(bucket, mask)));
    }
}

/// The upper half of a hash stands in its bucket, and is enough to find its home.
fn home(hash: u64, mask: usize) -> usize {
    (hash >> 32) as usize & mask
}

/// The bucket of an id, or the free one where it would stand.
fn slot(buckets: &[u64], rows: &[impl Identified], id: &Id) -> Result<usize, usize> {
    let mask = buckets.len() - 1;
    let hash = hash(id);
    let mut index = home(hash, mask);
    loop {
        let bucket = buckets[index];
        if bucket == 0 {
            return Err(index);
        }
        if bucket >> 32 == hash >> 32 && rows[(bucket as u32 - 1) as usize].id() == id {
            return Ok(index);
        }
        index = (index + 1) & mask;
    }
}

/// Empties a bucket and moves up whoever was pushed past it, so that no search breaks off there. `home` is none for
/// a bucket that is free.
pub(crate) fn close_gap<T: Copy + Default>(
    buckets: &mut [T],
    mut gap: usize,
    home: impl Fn(&T) -> Option<usize>,
) {
    let mask = buckets.len() - 1;
    let mut index = (gap + 1) & mask;
    while let Some(home) = home(&buckets[index]) {
        let pushed = index.wrapping_sub(home) & mask;
        if pushed >= index.wrapping_sub(gap) & mask {
            buckets[gap] = buckets[index];
            gap = index;
        }
        index = (index + 1) & mask;
    }
    buckets[gap] = T::default();
}

/// 64 bits of an id.
pub(crate) fn hash(id: &Id) -> u64 {
    let (words, rest) = id.0.as_chunks::<8>();
    let rest = u64::from(u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]));
    let word = |index: usize| u64::from_le_bytes(words[index]);
    let first = fold(word(0) ^ MIX[0], word(1) ^ MIX[1]);
    let second = fold(word(2) ^ MIX[2], word(3) ^ MIX[3]);
    fold(first ^ MIX[4], second ^ rest ^ MIX[5])
}

/// 64 bits of a number.
pub(crate) fn hash_number(number: u64) -> u64 {
    fold(number ^ MIX[0], MIX[1])
}

fn fold(first: u64, second: u64) -> u64 {
    let product = u128::from(first) * u128::from(second);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::super::case::Row;
    use super::*;

    #[test]
    fn ids_come_and_go_and_the_rest_is_found() {
        let id = |number: u32| Id::new(&format!("case-{number}")).unwrap();
        let mut rows = [Row::NONE; 64];
        let mut index = Index::new(64);
        for number in 0..20_000_u32 {
            let row = number % 64;
            if number >= 64 {
                index.remove(&rows, &id(number - 64));
            }
            rows[row as usize].id = id(number);
            index.add(&rows, &id(number), row);
            assert_eq!(index.find(&rows, &id(number)), Some(row));
            assert_eq!(index.find(&rows, &id(number + 1)), None);
        }
        (0..64).for_each(|row| index.remove(&rows, &rows[row].id));
        assert!(index.buckets.iter().all(|&bucket| bucket == 0));
    }
}
