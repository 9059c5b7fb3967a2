//! The rows of each entity, oldest first, so that one entity cannot fill the bank.
//!
//! ```text
//!   entity ──hash──▶ bucket: entity │ oldest row, newest row, how many         (rows are linked in order)
//! ```
//!
//! Invariant: an entity has a bucket exactly while it has a row.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::case::{Ends, KIN, Row};
use super::column::Column;
use super::index::{close_gap, hash_number};

/// An entity and its rows; free if it has none.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Bucket {
    entity: u64,
    rows: Ends,
}

/// Rows by entity; entity 0 stands for none and is not kept.
#[derive(Clone, Debug)]
pub(super) struct Kin {
    pub(super) buckets: Column<Bucket>,
}

impl Kin {
    /// Memory for `rows_max` entities, or none if entities are not limited.
    pub(super) fn new(rows_max: u32, is_limited: bool) -> Self {
        let len = if is_limited {
            (2 * rows_max as usize).next_power_of_two()
        } else {
            0
        };
        Self {
            buckets: Column::zeroed(len),
        }
    }

    fn keeps(&self, entity: u64) -> bool {
        entity != 0 && !self.buckets.is_empty()
    }

    /// The entity's oldest row, if it has `count` or more.
    pub(super) fn oldest_of(&self, entity: u64, count: u32) -> Option<u32> {
        if !self.keeps(entity) {
            return None;
        }
        let buckets = &*self.buckets;
        let rows = &buckets[slot(buckets, entity).ok()?].rows;
        if rows.count >= count { rows.oldest() } else { None }
    }

    /// Adds a row as the newest of its entity.
    pub(super) fn push(&mut self, rows: &mut [Row], row: u32) {
        let entity = rows[row as usize].entity;
        if !self.keeps(entity) {
            return;
        }
        let buckets = &mut *self.buckets;
        let slot = match slot(buckets, entity) {
            Ok(slot) | Err(slot) => slot,
        };
        buckets[slot].entity = entity;
        buckets[slot].rows.push(rows, KIN, row);
    }

    /// Takes a row from its entity.
    pub(super) fn take(&mut self, rows: &mut [Row], row: u32) {
        let entity = rows[row as usize].entity;
        if !self.keeps(entity) {
            return;
        }
        let buckets = &mut *self.buckets;
        let slot = slot(buckets, entity).expect("an entity with a row has a bucket");
        buckets[slot].rows.take(rows, KIN, row);
        if buckets[slot].rows.count == 0 {
            let mask = buckets.len() - 1;
            buckets[slot] = Bucket::default();
            close_gap(buckets, slot, |bucket| {
                (bucket.rows.count != 0).then(|| home(bucket.entity, mask))
            });
        }
    }
}

fn home(entity: u64, mask: usize) -> usize {
    hash_number(entity) as usize & mask
}

/// The bucket of an entity, or the free one where it would stand.
fn slot(buckets: &[Bucket], entity: u64) -> Result<usize, usize> {
    let mask = buckets.len() - 1;
    let mut index = home(entity, mask);
    loop {
        let bucket = &buckets[index];
        if bucket.rows.count == 0 {
            return Err(index);
        }
        if bucket.entity == entity {
            return Ok(index);
        }
        index = (index + 1) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_come_and_go_and_leave_nothing() {
        let mut rows = [Row::NONE; 64];
        let mut kin = Kin::new(64, true);
        for number in 0..20_000_u64 {
            let row = (number % 64) as u32;
            if number >= 64 {
                kin.take(&mut rows, row);
            }
            rows[row as usize].entity = 1 + (number * number) % 40;
            kin.push(&mut rows, row);
            assert!(kin.oldest_of(rows[row as usize].entity, 1).is_some());
        }
        (0..64).for_each(|row| kin.take(&mut rows, row));
        assert!(kin.buckets.bytes().iter().all(|&byte| byte == 0));
    }

    #[test]
    fn oldest_is_given_from_the_cap_on() {
        let mut rows = [Row::NONE; 4];
        let mut kin = Kin::new(4, true);
        for row in [3, 1] {
            rows[row as usize].entity = 9;
            kin.push(&mut rows, row);
        }
        assert_eq!(
            (kin.oldest_of(9, 2), kin.oldest_of(9, 3), kin.oldest_of(8, 1)),
            (Some(3), None, None)
        );
    }
}
