//! One run of events per entity, sorted by time, with running totals; all runs in one pool.
//!
//! ```text
//!   rows    [ entity 0 | entity 1 | … ]            24 bytes each
//!               │
//!   pool    [ …….. | t0 t1 t2 t3 · · · · | …….. ]  16 bytes per event: time, total up to and with it
//!                    └ held ──┘ └ room ┘           an extent of 8 · 2^class events
//! ```
//!
//! A window is two binary searches and one subtraction of totals: nothing expires by a cursor, so a late
//! event is answered as exactly as a timely one. Late events move the younger ones of their entity by one.
//!
//! **Bounds.** When an extent is full, expired events go first; then it doubles, up to `events_max`; when it
//! may not, or the pool has no larger extent, the oldest eighth goes, and [`Timelines::outgrown_count`] grows.
//! Extents are split but not merged again; they come back when an entity is forgotten.
//!
//! Invariant: the events held of an entity are in order of time, those of one time in order of arrival, and
//! the total of each is that of the one before it (or `before`) plus its own share.

/// An extent of class 0 has room for this many events.
const EXTENT_LEN_MIN: u32 = 8;

/// Classes of extents: 8 to 65,536 events and spare.
const CLASSES: usize = 16;

/// The class of a row that has no extent.
const NO_EXTENT: u8 = u8::MAX;

/// End of a list of free extents.
const NOWHERE: u64 = u64::MAX;

/// One event of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it happened. Unit: ns since the Unix epoch.
    pub time_ns: i64,
    /// Running total; what it counts, and in which bits, is the owner's affair.
    pub total: u64,
}

/// Fills the pool at start; not zero, so that every page is written and so mapped.
const UNUSED: Entry = Entry {
    time_ns: i64::MIN,
    total: 0,
};

#[derive(Clone, Copy, Debug)]
struct Row {
    /// Total of the youngest event that was given up, 0 before the first.
    before: u64,
    /// Start of the extent in the pool.
    extent: u32,
    /// First event held, from the start of the extent.
    first: u32,
    /// Events held.
    len: u32,
    /// The extent has room for 8 · 2^class events.
    class: u8,
}

const EMPTY_ROW: Row = Row {
    before: 0,
    extent: 0,
    first: 0,
    len: 0,
    class: NO_EXTENT,
};

const _: () = assert!(size_of::<Row>() == 24);
const _: () = assert!(size_of::<Entry>() == 16);

impl Row {
    fn capacity(&self) -> u32 {
        if self.class == NO_EXTENT {
            0
        } else {
            extent_len(self.class)
        }
    }

    fn range(&self) -> std::ops::Range<usize> {
        let start = (self.extent + self.first) as usize;
        start..start + self.len as usize
    }
}

/// The events of all entities of one kind.
pub struct Timelines {
    rows: Vec<Row>,
    pool: Vec<Entry>,
    /// Pool entries that were never given out begin here.
    untouched: u32,
    /// First free extent of each class; the next one stands in its first entry's `total`.
    free: [u64; CLASSES],
    class_max: u8,
    outgrown_count: u64,
}

impl Timelines {
    /// Takes all memory.
    ///
    /// Bound: `events_max` is a power of two from 8 to 65,536; `pool_events_max` at most 2^29.
    pub fn new(entities_max: u32, events_max: u32, pool_events_max: u32) -> Self {
        assert!(events_max.is_power_of_two(), "events_max is a power of two");
        assert!(
            (EXTENT_LEN_MIN..=1 << 16).contains(&events_max),
            "events_max is 8 to 65536"
        );
        Self {
            rows: vec![EMPTY_ROW; entities_max as usize],
            pool: vec![UNUSED; pool_events_max as usize],
            untouched: 0,
            free: [NOWHERE; CLASSES],
            class_max: (events_max / EXTENT_LEN_MIN).trailing_zeros() as u8,
            outgrown_count: 0,
        }
    }

    /// Whether there is a row for this dense id.
    pub fn has_row(&self, entity: u32) -> bool {
        (entity as usize) < self.rows.len()
    }

    /// Events given up though they had not expired, since the start.
    pub fn outgrown_count(&self) -> u64 {
        self.outgrown_count
    }

    /// Pool entries given out at one time or another.
    pub fn pool_used(&self) -> u32 {
        self.untouched
    }

    /// Forgets everything of an entity and takes its memory back.
    pub fn forget(&mut self, entity: u32) {
        let row = std::mem::replace(&mut self.rows[entity as usize], EMPTY_ROW);
        if row.class != NO_EXTENT {
            self.give_back(row.extent, row.class);
        }
    }

    /// The events held, oldest first.
    #[inline]
    pub fn held(&self, entity: u32) -> &[Entry] {
        &self.pool[self.rows[entity as usize].range()]
    }

    /// The running total before the `index`th event held.
    #[inline]
    pub fn total_before(&self, entity: u32, index: usize) -> u64 {
        let row = &self.rows[entity as usize];
        if index == 0 {
            row.before
        } else {
            self.pool[row.range()][index - 1].total
        }
    }

    /// Makes room for an event at `time_ns` and returns where it stands; its total is that of the one before
    /// it, to be raised by [`Timelines::add_from`]. `None`: there is no memory at all for this entity.
    ///
    /// Unit: events up to `expired_ns` may be given up without a count.
    /// Cost: constant for an event that is the newest; moves the younger ones for a late one.
    pub fn insert(&mut self, entity: u32, time_ns: i64, expired_ns: i64) -> Option<usize> {
        if !self.make_room(entity, expired_ns) {
            return None;
        }
        let index = upper_bound(self.held(entity), time_ns);
        let total = self.total_before(entity, index);
        let row = &mut self.rows[entity as usize];
        let range = row.range();
        row.len += 1;
        let place = range.start + index;
        self.pool.copy_within(place..range.end, place + 1);
        self.pool[place] = Entry { time_ns, total };
        Some(index)
    }

    /// Adds `delta` to the running totals from the `index`th event held on; wraps.
    pub fn add_from(&mut self, entity: u32, index: usize, delta: u64) {
        let range = self.rows[entity as usize].range();
        for entry in &mut self.pool[range][index..] {
            entry.total = entry.total.wrapping_add(delta);
        }
    }

    /// Changes the event at `index` alone.
    pub(crate) fn entry_mut(&mut self, entity: u32, index: usize) -> &mut Entry {
        let range = self.rows[entity as usize].range();
        &mut self.pool[range][index]
    }

    /// Leaves a free entry behind the newest event. `false`: the entity has no extent and gets none.
    fn make_room(&mut self, entity: u32, expired_ns: i64) -> bool {
        let row = self.rows[entity as usize];
        if row.class == NO_EXTENT {
            return self.first_extent(entity);
        }
        if row.first + row.len < row.capacity() {
            return true;
        }
        self.give_up(entity, upper_bound(self.held(entity), expired_ns) as u32);
        let row = self.rows[entity as usize];
        let spare = row.capacity() / 8;
        if row.len > row.capacity() - spare && !self.grow(entity) {
            let excess = row.len - (row.capacity() - spare);
            self.outgrown_count += u64::from(excess);
            self.give_up(entity, excess);
        }
        self.compact(entity);
        true
    }

    fn first_extent(&mut self, entity: u32) -> bool {
        let Some(extent) = self.take(0) else { return false };
        self.rows[entity as usize] = Row {
            extent,
            class: 0,
            ..EMPTY_ROW
        };
        true
    }

    /// Gives up the `count` oldest events.
    fn give_up(&mut self, entity: u32, count: u32) {
        if count == 0 {
            return;
        }
        let before = self.total_before(entity, count as usize);
        let row = &mut self.rows[entity as usize];
        row.before = before;
        row.first += count;
        row.len -= count;
    }

    /// Moves the events to an extent of twice the room, if the entity may have one and there is one.
    fn grow(&mut self, entity: u32) -> bool {
        let row = self.rows[entity as usize];
        if row.class == self.class_max {
            return false;
        }
        let Some(extent) = self.take(row.class + 1) else {
            return false;
        };
        self.pool.copy_within(row.range(), extent as usize);
        self.rows[entity as usize] = Row {
            extent,
            first: 0,
            class: row.class + 1,
            ..row
        };
        self.give_back(row.extent, row.class);
        true
    }

    /// Moves the events to the start of their extent.
    fn compact(&mut self, entity: u32) {
        let row = self.rows[entity as usize];
        if row.first > 0 {
            self.pool.copy_within(row.range(), row.extent as usize);
            self.rows[entity as usize].first = 0;
        }
    }

    /// An extent of this class: a free one, one never used, or half of a larger free one.
    fn take(&mut self, class: u8) -> Option<u32> {
        let extent = self.free[class as usize];
        if extent != NOWHERE {
            self.free[class as usize] = self.pool[extent as usize].total;
            return Some(extent as u32);
        }
        let len = extent_len(class);
        if self.pool.len() as u32 - self.untouched >= len {
            self.untouched += len;
            return Some(self.untouched - len);
        }
        if class == self.class_max {
            return None;
        }
        let larger = self.take(class + 1)?;
        self.give_back(larger + len, class);
        Some(larger)
    }

    fn give_back(&mut self, extent: u32, class: u8) {
        self.pool[extent as usize].total = self.free[class as usize];
        self.free[class as usize] = u64::from(extent);
    }
}

/// How many of `held` happened at `time_ns` or before.
///
/// Cost: one comparison if all did, else a binary search.
#[inline]
pub fn upper_bound(held: &[Entry], time_ns: i64) -> usize {
    match held.last() {
        Some(last) if last.time_ns > time_ns => held.partition_point(|entry| entry.time_ns <= time_ns),
        _ => held.len(),
    }
}

const fn extent_len(class: u8) -> u32 {
    EXTENT_LEN_MIN << class
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: i64 = i64::MIN;

    #[track_caller]
    fn check(timelines: &Timelines, entity: u32, expected: &[(i64, u64)]) {
        let found: Vec<_> = timelines
            .held(entity)
            .iter()
            .map(|entry| (entry.time_ns, entry.total))
            .collect();
        assert_eq!(found, expected);
    }

    fn add(timelines: &mut Timelines, entity: u32, time_ns: i64, expired_ns: i64) -> bool {
        let index = timelines.insert(entity, time_ns, expired_ns);
        if let Some(index) = index {
            timelines.add_from(entity, index, 1);
        }
        index.is_some()
    }

    #[test]
    fn late_event_stands_where_it_belongs_and_raises_the_totals_after_it() {
        let mut timelines = Timelines::new(1, 8, 8);
        for time_ns in [10, 30, 20, 20] {
            assert!(add(&mut timelines, 0, time_ns, NEVER));
        }
        check(&timelines, 0, &[(10, 1), (20, 2), (20, 3), (30, 4)]);
    }

    #[test]
    fn expired_events_go_uncounted_and_their_total_stays() {
        let mut timelines = Timelines::new(1, 8, 8);
        for time_ns in 0..12 {
            assert!(add(&mut timelines, 0, time_ns, time_ns - 4));
        }
        assert_eq!(timelines.outgrown_count(), 0);
        assert_eq!(
            timelines.held(0).last(),
            Some(&Entry {
                time_ns: 11,
                total: 12
            })
        );
        let oldest = timelines.held(0)[0];
        assert_eq!(timelines.total_before(0, 0) + 1, oldest.total);
    }

    #[test]
    fn entity_that_outgrows_its_events_gives_up_the_oldest_counted() {
        let mut timelines = Timelines::new(1, 16, 64);
        for time_ns in 0..40 {
            assert!(add(&mut timelines, 0, time_ns, NEVER));
        }
        let held = timelines.held(0);
        assert!(held.len() >= 14);
        assert_eq!(
            held.last(),
            Some(&Entry {
                time_ns: 39,
                total: 40
            })
        );
        assert_eq!(timelines.outgrown_count() + held.len() as u64, 40);
    }

    #[test]
    fn forgotten_entity_makes_room_for_others() {
        let mut timelines = Timelines::new(3, 16, 24);
        for time_ns in 0..10 {
            assert!(add(&mut timelines, 0, time_ns, NEVER));
        }
        assert!(
            add(&mut timelines, 1, 0, NEVER),
            "the extent of 8 that was outgrown is free"
        );
        assert!(!add(&mut timelines, 2, 0, NEVER), "the extent of 16 is in use");
        timelines.forget(0);
        check(&timelines, 0, &[]);
        assert!(add(&mut timelines, 2, 0, NEVER), "the extent of 16 was split");
        assert!(add(&mut timelines, 0, 0, NEVER));
        check(&timelines, 0, &[(0, 1)]);
        check(&timelines, 2, &[(0, 1)]);
    }

    #[test]
    fn entity_without_a_larger_extent_gives_up_its_own_oldest() {
        let mut timelines = Timelines::new(2, 16, 16);
        assert!(add(&mut timelines, 0, 0, NEVER));
        for time_ns in 0..20 {
            assert!(add(&mut timelines, 1, time_ns, NEVER));
        }
        check(&timelines, 0, &[(0, 1)]);
        assert_eq!(
            timelines.held(1).last(),
            Some(&Entry {
                time_ns: 19,
                total: 20
            })
        );
        assert!(timelines.outgrown_count() > 0);
    }
}
