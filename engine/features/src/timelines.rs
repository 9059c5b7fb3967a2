//! The events of every entity of one stream: a ring of entries each, sorted by time, with running totals; all
//! rings in one pool.
//!
//! ```text
//!   rows  [ entity 0 | entity 1 | … ]   newest, head, tail, one cursor per edge, totals: mostly one line
//!              │
//!   pool  [ ……. | t2 t3 t4 · · · t0 t1 | ……. ]   an extent of 8 · 2^class entries, used as a ring
//!                           └ head ─▶ tail (numbers of entries; the place is number mod the extent's length)
//! ```
//!
//! An entry holds the totals *before* it, so what a window holds is one subtraction: totals at its end less
//! totals at its start. Where a window starts, an edge, is remembered as a cursor and moved on with time: a
//! timely event finds every edge of its windows in a step or two; a late one searches. Nothing expires by
//! being subtracted, so nothing drifts.
//!
//! **Merging.** Two neighbours become one by leaving out the totals between them: the merged entry keeps the
//! totals before the first and the time of the second, and counts wholly while its newest event does.
//!
//! **Bounds.** When a ring is full, expired entries go; then it doubles, up to `events_max`; when it may not,
//! or the pool has no larger extent, all but the newest quarter are merged by time, counted: those within a
//! 4 / `events_max`th of the time that they span become one, so a window's start is wrong by less than that.
//! Every step moves at most `events_max` entries.
//!
//! Invariant: the entries held of an entity are in order of time, those of one time in order of arrival, and
//! the totals before each are those before the one before it plus its own share.

use pinion_runtime::memory::Words;
use pinion_runtime::state::{Region, RegionMut};
use zerocopy::IntoBytes as _;

use crate::sketch::{self, SKETCH_WORDS};

/// An extent of class 0 has room for this many entries.
pub const EXTENT_LEN_MIN: u32 = 8;

/// Classes of extents: 8 to 16,384 entries and spare.
const CLASSES: usize = 13;

/// Numbers of entries are taken back when they reach this, long before they run out.
const NUMBER_MAX: u32 = 1 << 31;

/// Entries looked at one by one before an edge is searched for by halving.
const STEPS_MAX: u32 = 8;

/// Nothing is left of what is older.
const HALF_LIVES_MAX: f64 = 1000.0;

/// Columns of sums that the short way can keep.
pub const SUMS_MAX: usize = 2;

/// Entries that the short way gives up at a time.
const GIVEN_UP_MAX: u32 = 2;

/// Edges that the short way can keep: three words of cursors.
const EDGES_SHORT_MAX: usize = 6;

/// Totals that the short way leaves.
pub const TOTALS_MAX: usize = NOW + 1 + EDGES_SHORT_MAX;

/// Events before this go the long way, so that the time before an edge needs no look at the end of the numbers.
const SHORT_NS_MIN: i64 = i64::MIN / 2;

/// Index of the totals of all events among those of [`Timelines::add_newest`]; those before it are zero.
pub const NOW: usize = 1;

/// Words of a cache line.
const LINE_WORDS: usize = 8;

// Words of a row.
const NEWEST: usize = 0;
const CURSORS_AT: usize = 1;
const SPAN: usize = 2;
const EXTENT: usize = 3;
const COUNT: usize = 4;
const CURSORS: usize = 5;

// Words of an entry.
const TIME: usize = 0;
const COUNT_BEFORE: usize = 1;
const COLUMNS: usize = 2;

// Flags of a row.
const SEEN: u64 = 1 << 40;
const MERGED: u64 = 1 << 41;
const HAS_BASE: u64 = 1 << 42;

// Words of the stream's own account.
const UNTOUCHED: usize = 0;
const MERGED_EVENTS: usize = 1;
const UNKEPT_EVENTS: usize = 2;
const ENTITIES: usize = 3;
const FREE: usize = 4;
const ACCOUNT_WORDS: usize = FREE + CLASSES;

/// What is kept of an event's value beside its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The total before each entry; right while no window holds more than 2^63.
    Sum,
    /// The total before each entry; two words.
    WideSum,
    /// The total of squares before each entry; two words.
    Square,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The first value.
    First,
    /// The last value.
    Last,
    /// The different values, as in [`crate::sketch`].
    Sketch,
}

impl Column {
    fn words(self) -> usize {
        match self {
            Self::WideSum | Self::Square => 2,
            Self::Sketch => SKETCH_WORDS,
            _ => 1,
        }
    }

    fn is_total(self) -> bool {
        matches!(self, Self::Sum | Self::WideSum | Self::Square)
    }

    fn is_extreme(self) -> bool {
        matches!(self, Self::Min | Self::Max | Self::First | Self::Last)
    }

    /// The one value of two neighbours.
    fn join(self, older: i64, younger: i64) -> i64 {
        match self {
            Self::Min => older.min(younger),
            Self::Max => older.max(younger),
            Self::First => older,
            _ => younger,
        }
    }
}

/// A column of one of an event's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnOf {
    /// What is kept.
    pub column: Column,
    /// Which of the event's values.
    pub value: usize,
}

/// Where a window starts or ends: the first entry later than a threshold that depends on the time of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Later than this long before. Unit: ns.
    Before(i64),
    /// Not before the last multiple of `len_ns` up to `delay_ns` ago; entries are `bucket_ns` long.
    Multiple {
        /// Unit: ns.
        delay_ns: i64,
        /// Unit: ns.
        len_ns: i64,
        /// Unit: ns.
        bucket_ns: i64,
    },
}

impl Edge {
    /// Entries later than this are beyond the edge. Unit: ns.
    #[inline]
    pub fn threshold_ns(self, at_ns: i64) -> i64 {
        match self {
            Self::Before(offset_ns) => at_ns.saturating_sub(offset_ns),
            Self::Multiple {
                delay_ns,
                len_ns,
                bucket_ns,
            } => {
                let end_ns = at_ns.saturating_sub(delay_ns);
                end_ns
                    .saturating_sub(end_ns.rem_euclid(len_ns))
                    .saturating_sub(bucket_ns)
            }
        }
    }
}

/// Sums with weights that halve with age, of events that were given up: `[sum, weight, time]` in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// Index of the column of sums, [`Column::Sum`].
    pub sum: usize,
    /// Unit: ns.
    pub half_life_ns: i64,
}

/// What a stream keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Edges with a cursor. All lie before the time of reading.
    pub edges: Vec<Edge>,
    /// What is kept of each entry.
    pub columns: Vec<ColumnOf>,
    /// Events of one multiple of this share an entry; 0: none do. Unit: ns.
    pub bucket_ns: i64,
    /// Older entries than this before the newest are given up. Unit: ns.
    pub reach_ns: i64,
    /// Entries that are kept whatever their age: this many of those older than the delay (ns).
    pub last: Option<(i64, u32)>,
    /// Whether extremes of what was given up are kept for ever.
    pub keeps_base: bool,
    /// Decayed sums for ever.
    pub decays: Vec<Decay>,
    /// What outgrows goes into sketches of the entries' `aux`: a count of different values.
    pub is_distinct: bool,
}

/// Decayed totals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decayed {
    /// Sum of the values, as it was at the latest event.
    pub sum: f64,
    /// Number of the events, as it was then: at least 1.
    pub weight: f64,
    /// What is left of both.
    pub since: f64,
}

/// How much memory a stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Rows.
    pub entities_max: u32,
    /// Entries of one entity, a power of two from 8 to 16,384.
    pub events_max: u32,
    /// Entries of all entities.
    pub pool_events_max: u32,
}

/// An event for a stream.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its effective time. Unit: ns.
    pub time_ns: i64,
    /// The tag of a transaction, or the value that is counted.
    pub aux: u32,
    /// Its values, as the columns refer to them.
    pub values: &'a [i64],
}

/// Totals up to some place among the entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Events.
    pub count: u32,
    /// Of each column.
    pub sums: [u64; SUMS_MAX],
}

/// The events of all entities of one stream.
#[derive(Clone, Debug)]
pub struct Timelines {
    shape: Shape,
    /// Word of each column in an entry, and in a row (totals and bases; 0: none).
    in_entry: Vec<usize>,
    in_row: Vec<usize>,
    decays_in_row: usize,
    entry_words: usize,
    row_words: usize,
    entities_max: u32,
    events_max: u32,
    /// Of each of the first edges.
    before_ns: [i64; EDGES_SHORT_MAX],
    rows: Words,
    pool: Words,
    account: Words,
    /// Buckets of what outgrew a count of different values.
    folded: Option<Box<Timelines>>,
}

impl Timelines {
    /// Memory for nothing yet; it is there when it is written.
    pub fn new(shape: Shape, sizes: Sizes) -> Self {
        assert!(sizes.events_max.is_power_of_two(), "events_max is a power of two");
        assert!(
            (EXTENT_LEN_MIN..=EXTENT_LEN_MIN << (CLASSES - 2)).contains(&sizes.events_max),
            "events_max is 8 to 16384"
        );
        let mut entry_words = COLUMNS;
        let mut row_words = CURSORS + shape.edges.len().div_ceil(2);
        let (mut in_entry, mut in_row) = (Vec::new(), Vec::new());
        for ColumnOf { column, .. } in &shape.columns {
            in_entry.push(entry_words);
            entry_words += column.words();
            let is_in_row = column.is_total() || shape.keeps_base && column.is_extreme();
            in_row.push(if is_in_row { row_words } else { 0 });
            row_words += if is_in_row { column.words() } else { 0 };
        }
        let decays_in_row = row_words;
        // One more word holds the time of the newest event that was given up.
        row_words += 3 * shape.decays.len() + usize::from(shape.keeps_base);
        let row_words = row_words.next_multiple_of(8);
        let mut before_ns = [0; EDGES_SHORT_MAX];
        for (before_ns, edge) in before_ns.iter_mut().zip(&shape.edges) {
            if let Edge::Before(edge_ns) = edge {
                *before_ns = *edge_ns;
            }
        }
        let folded = shape.is_distinct.then(|| Box::new(folds(&shape, sizes)));
        Self {
            rows: Words::zeroed(row_words * sizes.entities_max as usize),
            pool: Words::zeroed(entry_words * sizes.pool_events_max as usize),
            account: Words::zeroed(ACCOUNT_WORDS),
            shape,
            in_entry,
            in_row,
            decays_in_row,
            entry_words,
            row_words,
            entities_max: sizes.entities_max,
            events_max: sizes.events_max,
            before_ns,
            folded,
        }
    }

    /// Has all memory there.
    pub fn prefault(&mut self) {
        self.rows.prefault();
        self.pool.prefault();
        if let Some(folded) = &mut self.folded {
            folded.prefault();
        }
    }

    /// Memory at most. Unit: bytes.
    pub fn memory_len(&self) -> u64 {
        let own = 8 * (self.rows.len() + self.pool.len() + self.account.len()) as u64;
        own + self.folded.as_ref().map_or(0, |folded| folded.memory_len())
    }

    /// Adds the stream's memory to the list of a state.
    pub fn regions<'a>(&'a self, index: u32, list: &mut Vec<Region<'a>>) {
        for (name, words) in [
            ("account", &self.account),
            ("rows", &self.rows),
            ("pool", &self.pool),
        ] {
            let bytes = words.as_bytes();
            list.push(Region { name, index, bytes });
        }
        if let Some(folded) = &self.folded {
            folded.regions(index | FOLDED, list);
        }
    }

    /// As [`Self::regions`].
    pub fn regions_mut<'a>(&'a mut self, index: u32, list: &mut Vec<RegionMut<'a>>) {
        let memory = [
            ("account", &mut self.account),
            ("rows", &mut self.rows),
            ("pool", &mut self.pool),
        ];
        for (name, words) in memory {
            let bytes = words.as_mut_bytes();
            list.push(RegionMut { name, index, bytes });
        }
        if let Some(folded) = &mut self.folded {
            folded.regions_mut(index | FOLDED, list);
        }
    }

    /// Whether there is a row for this dense id.
    #[inline]
    pub fn has_row(&self, entity: u32) -> bool {
        entity < self.entities_max
    }

    /// Entities that have had an event.
    pub fn entities(&self) -> u64 {
        self.account[ENTITIES]
    }

    /// Events that were merged with a neighbour because there was no room.
    pub fn merged_events(&self) -> u64 {
        self.account[MERGED_EVENTS]
    }

    /// Events that could not be kept because the pool was used up.
    pub fn unkept_events(&self) -> u64 {
        self.account[UNKEPT_EVENTS] + self.folded.as_ref().map_or(0, |folded| folded.unkept_events())
    }

    /// Pool entries given out at one time or another.
    pub fn pool_used(&self) -> u64 {
        self.account[UNTOUCHED]
    }

    /// Pool entries.
    pub fn pool_len(&self) -> u64 {
        (self.pool.len() / self.entry_words) as u64
    }

    /// Forgets everything of an entity and takes its memory back.
    pub fn forget(&mut self, entity: u32) {
        let row = self.row(entity);
        if let Some((extent, class)) = self.extent(row) {
            self.give_back(extent, class);
        }
        self.account[ENTITIES] -= u64::from(self.rows[row + EXTENT] & SEEN != 0);
        self.rows[row..row + self.row_words].fill(0);
        if let Some(folded) = &mut self.folded {
            folded.forget(entity);
        }
    }

    /// Time of the newest event of an entity. Unit: ns.
    #[inline]
    pub fn newest_ns(&self, entity: u32) -> Option<i64> {
        let row = self.row(entity);
        (self.rows[row + EXTENT] & SEEN != 0).then(|| self.rows[row + NEWEST] as i64)
    }

    /// Asks for the lines that [`Self::advance`] and [`Self::insert`] will need first.
    #[inline]
    pub fn prefetch_row(&self, entity: u32) {
        if self.has_row(entity) {
            self.rows.prefetch(self.row(entity));
        }
    }

    /// Asks for the entries at the cursors and at the tail; the row should be there.
    #[inline]
    pub fn prefetch_entries(&self, entity: u32) {
        if !self.has_row(entity) {
            return;
        }
        let row = self.row(entity);
        let Some((extent, class)) = self.extent(row) else {
            return;
        };
        let mask = extent_len(class) - 1;
        let place = |number: u32| (extent + (number & mask)) as usize * self.entry_words;
        // In a full ring the oldest entries stand at the tail. An edge will mostly move to one of the two entries
        // behind its cursor.
        let ask = |number: u32, more: u32| {
            self.pool.prefetch(place(number));
            self.pool
                .prefetch(place(number.wrapping_add(more)) + self.entry_words - 1);
        };
        ask(self.tail(row), GIVEN_UP_MAX - 1);
        for edge in 0..self.shape.edges.len() {
            ask(self.cursor(row, edge), 2);
        }
    }

    /// Writes the number of the first entry after `at_ns` to `numbers[0]`, and that of each edge after it.
    ///
    /// Cost: for an event that is not late a step or two per edge; else a search each.
    #[inline]
    pub fn advance(&mut self, entity: u32, at_ns: i64, numbers: &mut [u32]) {
        let row = self.row(entity);
        if (self.rows[row + CURSORS_AT] as i64) > at_ns && self.rows[row + EXTENT] & SEEN != 0 {
            self.search(entity, at_ns, numbers);
            return;
        }
        let (head, tail) = (self.head(row), self.tail(row));
        numbers[0] = self.upper_bound(row, head, tail, at_ns);
        for edge in 0..self.shape.edges.len() {
            let threshold_ns = self.shape.edges[edge].threshold_ns(at_ns);
            let from = self.cursor(row, edge).max(head);
            let number = self.step(row, from, tail, threshold_ns);
            self.set_cursor(row, edge, number);
            numbers[1 + edge] = number;
        }
        self.rows[row + CURSORS_AT] = at_ns as u64;
    }

    /// The numbers again after [`Self::advance`] to `at_ns` and [`Self::insert`].
    ///
    /// Cost: for an event that is not late one load per edge; else a search each.
    #[inline]
    pub fn numbers_after(&self, entity: u32, at_ns: i64, numbers: &mut [u32]) {
        let row = self.row(entity);
        if self.rows[row + CURSORS_AT] as i64 != at_ns || self.rows[row + NEWEST] as i64 != at_ns {
            self.search(entity, at_ns, numbers);
            return;
        }
        numbers[0] = self.tail(row);
        for edge in 0..self.shape.edges.len() {
            numbers[1 + edge] = self.cursor(row, edge);
        }
    }

    /// As [`Self::advance`], but leaves the cursors where they are.
    pub fn search(&self, entity: u32, at_ns: i64, numbers: &mut [u32]) {
        let row = self.row(entity);
        let (head, tail) = (self.head(row), self.tail(row));
        numbers[0] = self.upper_bound(row, head, tail, at_ns);
        for (edge, number) in self.shape.edges.iter().zip(&mut numbers[1..]) {
            *number = self.upper_bound(row, head, tail, edge.threshold_ns(at_ns));
        }
    }

    /// Adds an event. `lateness_ns`: how far behind the newest event another one may still come.
    ///
    /// Cost: constant for an event that is the newest; moves the younger ones for a late one.
    #[inline]
    pub fn insert(&mut self, entity: u32, entry: &Entry<'_>, lateness_ns: i64) {
        let row = self.row(entity);
        let newest_ns = self.note_newest(row, entry.time_ns);
        let time_ns = match self.shape.bucket_ns {
            0 => entry.time_ns,
            bucket_ns => entry.time_ns.saturating_sub(entry.time_ns.rem_euclid(bucket_ns)),
        };
        let settled_ns = newest_ns.saturating_sub(lateness_ns);
        if self.shape.keeps_base {
            // What is read for ever is read from one place, and from the entries that are not settled.
            self.expire(entity, settled_ns);
        }
        if !self.make_room(entity, settled_ns) {
            self.account[UNKEPT_EVENTS] += 1;
            self.pass_by(row, entry);
            return;
        }
        let (head, tail) = (self.head(row), self.tail(row));
        let number = self.upper_bound(row, head, tail, time_ns);
        let shares_bucket =
            self.shape.bucket_ns > 0 && number > head && self.time(row, number - 1) == time_ns;
        if shares_bucket {
            self.add_to_bucket(row, number - 1, entry);
        } else {
            self.open(row, number, tail, time_ns);
            self.write(row, number, time_ns, entry);
        }
        self.raise_totals(row, entry);
    }

    /// Whether [`Self::add_newest`] can do anything: exact, one to three words of cursors and sums, windows that
    /// slide.
    pub fn has_short_way(&self) -> bool {
        let (columns, edges) = (&self.shape.columns, &self.shape.edges);
        let is_sum = |(index, of): (usize, &ColumnOf)| of.column == Column::Sum && of.value == index;
        self.shape.bucket_ns == 0
            && self.row_words == LINE_WORDS
            && columns.len() <= SUMS_MAX
            && columns.iter().enumerate().all(is_sum)
            && !edges.is_empty()
            && edges.iter().all(|edge| matches!(edge, Edge::Before(_)))
    }

    /// Adds an event that is the newest of its entity, where there [is a short way](Self::has_short_way). Writes
    /// the totals after it to `totals[NOW]`, and those before each edge to the ones behind. `false`: nothing was
    /// changed, and the long way must be gone.
    ///
    /// It leaves what [`Self::advance`] and [`Self::insert`] would, after one pass over the row.
    ///
    /// Cost: two loads per edge, which do not wait for each other, and the words of an entry.
    #[inline]
    pub fn add_newest(
        &mut self,
        entity: u32,
        entry: &Entry<'_>,
        lateness_ns: i64,
        totals: &mut [Totals; TOTALS_MAX],
    ) -> bool {
        let row = &self.rows.as_chunks::<LINE_WORDS>().0[entity as usize];
        let newest_ns = (row[NEWEST] as i64).max(row[CURSORS_AT] as i64);
        let len = ring_len(row);
        if len < EXTENT_LEN_MIN || entry.time_ns < newest_ns.max(SHORT_NS_MIN) {
            return false;
        }
        if (row[SPAN] >> 32) as u32 - row[SPAN] as u32 == len {
            let settled_ns = entry.time_ns.saturating_sub(lateness_ns);
            if !self.give_up_oldest(entity, settled_ns) {
                self.make_room(entity, settled_ns);
            }
        }
        match (self.shape.columns.len(), self.shape.edges.len()) {
            (0, 1) => self.push::<2, 1>(entity, entry, totals),
            (0, 2) => self.push::<2, 2>(entity, entry, totals),
            (0, 3) => self.push::<2, 3>(entity, entry, totals),
            (0, 4) => self.push::<2, 4>(entity, entry, totals),
            (0, 5) => self.push::<2, 5>(entity, entry, totals),
            (0, 6) => self.push::<2, 6>(entity, entry, totals),
            (1, 1) => self.push::<3, 1>(entity, entry, totals),
            (1, 2) => self.push::<3, 2>(entity, entry, totals),
            (1, 3) => self.push::<3, 3>(entity, entry, totals),
            (1, 4) => self.push::<3, 4>(entity, entry, totals),
            (2, 1) => self.push::<4, 1>(entity, entry, totals),
            (2, 2) => self.push::<4, 2>(entity, entry, totals),
            _ => unreachable!("there is no short way"),
        }
        true
    }

    /// Gives up one entry that no window can reach any more, or some: those that stand where the next events
    /// will, so that no other line is touched. `false`: there is none, or it must be added to what is kept.
    #[inline]
    fn give_up_oldest(&mut self, entity: u32, settled_ns: i64) -> bool {
        let row = self.row(entity);
        let (head, tail) = (self.head(row), self.tail(row));
        if self.shape.keeps_base || self.shape.last.is_some() || tail >= NUMBER_MAX {
            return false;
        }
        let expired_ns = settled_ns.saturating_sub(self.shape.reach_ns);
        let oldest = head..head + GIVEN_UP_MAX;
        let count = oldest
            .filter(|&number| self.time(row, number) <= expired_ns)
            .count();
        self.set_span(row, head + count as u32, tail);
        count > 0
    }

    /// Adds an event behind all others; there is room. Entries have `WORDS` words.
    #[inline]
    fn push<const WORDS: usize, const EDGES: usize>(
        &mut self,
        entity: u32,
        entry: &Entry<'_>,
        totals: &mut [Totals; TOTALS_MAX],
    ) {
        let row = &mut self.rows.as_chunks_mut::<LINE_WORDS>().0[entity as usize];
        let (first, len) = (row[EXTENT] as u32 as usize, ring_len(row) as usize);
        let ring = &mut self.pool.as_chunks_mut::<WORDS>().0[first..first + len];
        let (head, newest) = (row[SPAN] as u32, (row[SPAN] >> 32) as u32);
        row[SPAN] += 1 << 32;
        row[NEWEST] = entry.time_ns as u64;
        row[CURSORS_AT] = entry.time_ns as u64;
        let new = &mut ring[newest as usize & (len - 1)];
        new[TIME] = entry.time_ns as u64;
        new[COUNT_BEFORE] = u64::from(entry.aux) << 32 | row[COUNT];
        row[COUNT] = u64::from((row[COUNT] as u32).wrapping_add(1));
        totals[NOW].count = row[COUNT] as u32;
        for column in 0..WORDS - COLUMNS {
            let sum = &mut row[CURSORS + EDGES.div_ceil(2) + column];
            new[COLUMNS + column] = *sum;
            *sum = sum.wrapping_add(entry.values[column] as u64);
            totals[NOW].sums[column] = *sum;
        }
        let mut numbers = [0; EDGES_SHORT_MAX];
        for edge in 0..EDGES {
            let cursor = (row[CURSORS + edge / 2] >> (32 * (edge % 2))) as u32;
            let threshold_ns = entry.time_ns - self.before_ns[edge];
            let totals = &mut totals[NOW + 1 + edge];
            numbers[edge] = move_on(ring, (cursor.max(head), newest), threshold_ns, totals);
        }
        for word in 0..EDGES.div_ceil(2) {
            row[CURSORS + word] = u64::from(numbers[2 * word + 1]) << 32 | u64::from(numbers[2 * word]);
        }
    }

    /// Changes the value in a column of sums of the one event at `time_ns` with this tag; one that came too late
    /// stands at its arrival. `None`: it is not held. Else whether it had another value before.
    ///
    /// Cost: a search, and two words of every younger entry.
    pub fn relabel(
        &mut self,
        entity: u32,
        column: usize,
        (time_ns, tag): (i64, u32),
        value: i64,
    ) -> Option<bool> {
        let row = self.row(entity);
        let number = self.find(row, time_ns, tag)?;
        let found = self.total(entity, column, Some(number), number + 1) as i64;
        if found == value {
            return Some(false);
        }
        let delta = value.wrapping_sub(found) as u64;
        for younger in number + 1..self.tail(row) {
            let place = self.place(row, younger) + self.in_entry[column];
            self.pool[place] = self.pool[place].wrapping_add(delta);
        }
        let total = row + self.in_row[column];
        self.rows[total] = self.rows[total].wrapping_add(delta);
        Some(true)
    }

    /// Number of the first entry held, and of the one after the last.
    pub fn span(&self, entity: u32) -> (u32, u32) {
        let row = self.row(entity);
        (self.head(row), self.tail(row))
    }

    /// Number of the first entry so that no more than `count` events are from there to `end`.
    pub fn last(&self, entity: u32, end: u32, count: u32) -> u32 {
        let row = self.row(entity);
        let head = self.head(row);
        if self.rows[row + EXTENT] & MERGED == 0 {
            return head.max(end.saturating_sub(count)).min(end);
        }
        let all = self.count_before(row, end);
        partition(head, end, |number| {
            all.wrapping_sub(self.count_before(row, number)) > count
        })
    }

    /// Events between two entries; all up to `end` if `start` is none.
    #[inline]
    pub fn count(&self, entity: u32, start: Option<u32>, end: u32) -> u32 {
        let row = self.row(entity);
        let before = start.map_or(0, |start| self.count_before(row, start));
        self.count_before(row, end).wrapping_sub(before)
    }

    /// Total of a column of totals between two entries; of all up to `end` if `start` is none.
    #[inline]
    pub fn total(&self, entity: u32, column: usize, start: Option<u32>, end: u32) -> i128 {
        let row = self.row(entity);
        if self.shape.columns[column].column == Column::Sum {
            let before = start.map_or(0, |start| self.total_before(row, column, start)[0]);
            let total = self.total_before(row, column, end)[0].wrapping_sub(before);
            return i128::from(total as i64);
        }
        let before = start.map_or(0, |start| wide(self.total_before(row, column, start)));
        wide(self.total_before(row, column, end)).wrapping_sub(before) as i128
    }

    /// The extreme of a column over entries, and of everything before them if `start` is none.
    ///
    /// Cost: one pass over the entries for least and greatest; constant for first and last.
    pub fn extreme(&self, entity: u32, column: usize, start: Option<u32>, end: u32) -> Option<i64> {
        let row = self.row(entity);
        let kind = self.shape.columns[column].column;
        let base = match start {
            None if self.rows[row + EXTENT] & HAS_BASE != 0 => {
                Some(self.rows[row + self.in_row[column]] as i64)
            }
            _ => None,
        };
        let start = start.unwrap_or_else(|| self.head(row));
        let value = |number: u32| self.pool[self.place(row, number) + self.in_entry[column]] as i64;
        let held = match kind {
            _ if start >= end => None,
            Column::First => Some(value(start)),
            Column::Last => Some(value(end - 1)),
            _ => (start..end).map(value).reduce(|a, b| kind.join(a, b)),
        };
        match (base, held) {
            (Some(base), Some(held)) => Some(kind.join(base, held)),
            (base, held) => base.or(held),
        }
    }

    /// Time of the latest event between two entries, or of all before `end` if `start` is none. Unit: ns.
    pub fn latest_ns(&self, entity: u32, start: Option<u32>, end: u32) -> Option<i64> {
        let row = self.row(entity);
        let first = start.unwrap_or_else(|| self.head(row));
        if first < end {
            return Some(self.time(row, end - 1));
        }
        let has_base = start.is_none() && self.rows[row + EXTENT] & HAS_BASE != 0;
        has_base.then(|| self.rows[row + self.given_up_at()] as i64)
    }

    /// Decayed sum and decayed number as they were at the latest of these events, and what has faded since.
    /// `None`: there is no event.
    ///
    /// Cost: one pass over the entries.
    pub fn decayed(
        &self,
        entity: u32,
        decay: Decay,
        start: Option<u32>,
        end: u32,
        at_ns: i64,
    ) -> Option<Decayed> {
        let row = self.row(entity);
        let latest_ns = self.latest_ns(entity, start, end)?;
        let (mut sum, mut weight) = (0.0, 0.0);
        let known = self.shape.decays.iter().position(|known| *known == decay);
        if let (None, Some(index)) = (start, known)
            && self.rows[row + EXTENT] & HAS_BASE != 0
        {
            let [base_sum, base_weight, time_ns] = self.decay_words(row, index);
            let factor = faded(time_ns as i64, latest_ns, decay.half_life_ns);
            sum = f64::from_bits(base_sum) * factor;
            weight = f64::from_bits(base_weight) * factor;
        }
        for number in start.unwrap_or_else(|| self.head(row))..end {
            let factor = faded(self.time(row, number), latest_ns, decay.half_life_ns);
            sum += self.total(entity, decay.sum, Some(number), number + 1) as f64 * factor;
            weight += f64::from(self.count(entity, Some(number), number + 1)) * factor;
        }
        Some(Decayed {
            sum,
            weight,
            since: faded(latest_ns, at_ns, decay.half_life_ns),
        })
    }

    /// Adds the different values between two entries to `union`: of the entries' sketches or `aux`, and what
    /// was folded of the window later than the first time and not later than the second. A bucket counts while a
    /// part of it is later than the first; if `is_delayed`, only when all of it is not later than the second.
    ///
    /// Cost: one pass over the entries.
    pub fn add_distinct(
        &self,
        entity: u32,
        (start, end): (u32, u32),
        (after_ns, until_ns, is_delayed): (i64, i64, bool),
        absent: u32,
        union: &mut sketch::Union,
    ) {
        let row = self.row(entity);
        let sketch = self.sketch_in_entry();
        for number in start..end {
            let place = self.place(row, number);
            match sketch {
                Some(at) => union.add_sketch(&self.pool[place + at..place + at + SKETCH_WORDS]),
                None => {
                    let aux = (self.pool[place + COUNT_BEFORE] >> 32) as u32;
                    if aux != absent {
                        union.add(aux);
                    }
                }
            }
        }
        if let Some(folded) = &self.folded {
            let row = folded.row(entity);
            let (head, tail) = (folded.head(row), folded.tail(row));
            let last_ns = folded.shape.bucket_ns - 1;
            let until_ns = if is_delayed {
                until_ns.saturating_sub(last_ns)
            } else {
                until_ns
            };
            let start = folded.upper_bound(row, head, tail, after_ns.saturating_sub(last_ns));
            let end = folded.upper_bound(row, head, tail, until_ns);
            folded.add_distinct(entity, (start, end), (0, 0, false), absent, union);
        }
    }

    fn sketch_in_entry(&self) -> Option<usize> {
        let is_sketch = |of: &ColumnOf| of.column == Column::Sketch;
        self.shape
            .columns
            .iter()
            .position(is_sketch)
            .map(|index| self.in_entry[index])
    }

    #[inline]
    fn row(&self, entity: u32) -> usize {
        entity as usize * self.row_words
    }

    #[inline]
    fn head(&self, row: usize) -> u32 {
        self.rows[row + SPAN] as u32
    }

    #[inline]
    fn tail(&self, row: usize) -> u32 {
        (self.rows[row + SPAN] >> 32) as u32
    }

    #[inline]
    fn set_span(&mut self, row: usize, head: u32, tail: u32) {
        self.rows[row + SPAN] = u64::from(tail) << 32 | u64::from(head);
    }

    /// Start of the row's extent in the pool, in entries, and its class.
    #[inline]
    fn extent(&self, row: usize) -> Option<(u32, u8)> {
        let word = self.rows[row + EXTENT];
        let class = (word >> 32) as u8;
        (class > 0).then(|| (word as u32, class - 1))
    }

    fn set_extent(&mut self, row: usize, extent: u32, class: u8) {
        let flags = self.rows[row + EXTENT] & (SEEN | MERGED | HAS_BASE);
        self.rows[row + EXTENT] = flags | u64::from(class + 1) << 32 | u64::from(extent);
    }

    #[inline]
    fn cursor(&self, row: usize, edge: usize) -> u32 {
        (self.rows[row + CURSORS + edge / 2] >> (32 * (edge % 2))) as u32
    }

    #[inline]
    fn set_cursor(&mut self, row: usize, edge: usize, number: u32) {
        let shift = 32 * (edge % 2);
        let word = &mut self.rows[row + CURSORS + edge / 2];
        *word = *word & !(u64::from(u32::MAX) << shift) | u64::from(number) << shift;
    }

    /// First word of an entry. The row has an extent.
    #[inline]
    fn place(&self, row: usize, number: u32) -> usize {
        let word = self.rows[row + EXTENT];
        let mask = (EXTENT_LEN_MIN >> 1 << (word >> 32 & 0xFF)) - 1;
        (word as u32 + (number & mask)) as usize * self.entry_words
    }

    #[inline]
    fn time(&self, row: usize, number: u32) -> i64 {
        self.pool[self.place(row, number) + TIME] as i64
    }

    #[inline]
    fn count_before(&self, row: usize, number: u32) -> u32 {
        if number == self.tail(row) {
            self.rows[row + COUNT] as u32
        } else {
            self.pool[self.place(row, number) + COUNT_BEFORE] as u32
        }
    }

    /// The words of a column's total before an entry, or of all if it is the one after the last.
    #[inline]
    fn total_before(&self, row: usize, column: usize, number: u32) -> &[u64] {
        if number == self.tail(row) {
            &self.rows[row + self.in_row[column]..]
        } else {
            &self.pool[self.place(row, number) + self.in_entry[column]..]
        }
    }

    /// Number of the first entry later than `time_ns`.
    #[inline]
    fn upper_bound(&self, row: usize, head: u32, tail: u32, time_ns: i64) -> u32 {
        if head == tail || self.time(row, tail - 1) <= time_ns {
            return tail;
        }
        partition(head, tail, |number| self.time(row, number) <= time_ns)
    }

    /// As [`Self::upper_bound`], beginning where it probably is.
    #[inline]
    fn step(&self, row: usize, from: u32, tail: u32, time_ns: i64) -> u32 {
        let near = tail.min(from.saturating_add(STEPS_MAX));
        let mut number = from;
        while number < near && self.time(row, number) <= time_ns {
            number += 1;
        }
        if number == near && near < tail {
            return self.upper_bound(row, near, tail, time_ns);
        }
        number
    }

    /// The one event with this tag, at `time_ns` or, if it came too late and was used as of its arrival, after it.
    fn find(&self, row: usize, time_ns: i64, tag: u32) -> Option<u32> {
        let (head, tail) = (self.head(row), self.tail(row));
        let first = partition(head, tail, |number| self.time(row, number) < time_ns);
        (first..tail).find(|&number| {
            let count = self
                .count_before(row, number + 1)
                .wrapping_sub(self.count_before(row, number));
            count == 1 && (self.pool[self.place(row, number) + COUNT_BEFORE] >> 32) as u32 == tag
        })
    }

    fn note_newest(&mut self, row: usize, time_ns: i64) -> i64 {
        let is_seen = self.rows[row + EXTENT] & SEEN != 0;
        let newest_ns = match is_seen {
            true => (self.rows[row + NEWEST] as i64).max(time_ns),
            false => time_ns,
        };
        if !is_seen {
            self.rows[row + EXTENT] |= SEEN;
            self.account[ENTITIES] += 1;
        }
        self.rows[row + NEWEST] = newest_ns as u64;
        newest_ns
    }

    /// Leaves a free place behind the last entry. `false`: there is no extent for this entity at all.
    fn make_room(&mut self, entity: u32, settled_ns: i64) -> bool {
        let row = self.row(entity);
        let Some((_, class)) = self.extent(row) else {
            return self.first_extent(row);
        };
        let (head, tail) = (self.head(row), self.tail(row));
        if tail - head < extent_len(class) {
            return true;
        }
        if tail >= NUMBER_MAX {
            self.renumber(row);
        }
        self.expire(entity, settled_ns);
        if self.tail(row) - self.head(row) == extent_len(class) && !self.grow(row, class) {
            self.shrink(entity);
        }
        true
    }

    fn first_extent(&mut self, row: usize) -> bool {
        let Some(extent) = self.take(0) else { return false };
        self.set_extent(row, extent, 0);
        true
    }

    /// Takes the numbers of the entries back by a multiple of every extent's length.
    fn renumber(&mut self, row: usize) {
        let (head, tail) = (self.head(row), self.tail(row));
        let back = head & !(extent_len(CLASSES as u8) - 1);
        self.set_span(row, head - back, tail - back);
        for edge in 0..self.shape.edges.len() {
            let cursor = self.cursor(row, edge).saturating_sub(back);
            self.set_cursor(row, edge, cursor);
        }
    }

    /// Gives up what no window can reach any more. `settled_ns`: no event before it will come.
    fn expire(&mut self, entity: u32, settled_ns: i64) {
        let row = self.row(entity);
        let (head, tail) = (self.head(row), self.tail(row));
        let expired_ns = settled_ns.saturating_sub(self.shape.reach_ns);
        let mut until = self.step(row, head, tail, expired_ns);
        if let Some((delay_ns, count)) = self.shape.last {
            let end = self.upper_bound(row, head, tail, settled_ns.saturating_sub(delay_ns));
            until = until.min(end.saturating_sub(count).max(head));
        }
        if until > head && self.shape.keeps_base {
            for number in head..until {
                self.absorb(entity, number);
            }
        }
        self.set_span(row, until, tail);
    }

    /// Adds an entry that is given up to what is kept for ever.
    fn absorb(&mut self, entity: u32, number: u32) {
        let row = self.row(entity);
        let entry = self.place(row, number);
        let has_base = self.rows[row + EXTENT] & HAS_BASE != 0;
        for (index, ColumnOf { column, .. }) in self.shape.columns.iter().enumerate() {
            if column.is_extreme() {
                let value = self.pool[entry + self.in_entry[index]] as i64;
                let base = &mut self.rows[row + self.in_row[index]];
                *base = if has_base {
                    column.join(*base as i64, value)
                } else {
                    value
                } as u64;
            }
        }
        for index in 0..self.shape.decays.len() {
            self.absorb_decayed(entity, number, index);
        }
        let at = row + self.given_up_at();
        self.rows[at] = self.time(row, number) as u64;
        self.rows[row + EXTENT] |= HAS_BASE;
    }

    fn absorb_decayed(&mut self, entity: u32, number: u32, index: usize) {
        let row = self.row(entity);
        let time_ns = self.time(row, number);
        let Decay { sum, half_life_ns } = self.shape.decays[index];
        let value = self.total(entity, sum, Some(number), number + 1) as f64;
        let count = f64::from(self.count(entity, Some(number), number + 1));
        let [old_sum, old_weight, old_ns] = self.decay_words(row, index);
        let factor = match self.rows[row + EXTENT] & HAS_BASE {
            0 => 0.0,
            _ => faded(old_ns as i64, time_ns, half_life_ns),
        };
        let at = row + self.decays_in_row + 3 * index;
        self.rows[at] = (f64::from_bits(old_sum) * factor + value).to_bits();
        self.rows[at + 1] = (f64::from_bits(old_weight) * factor + count).to_bits();
        self.rows[at + 2] = time_ns as u64;
    }

    fn decay_words(&self, row: usize, index: usize) -> [u64; 3] {
        let at = row + self.decays_in_row + 3 * index;
        [self.rows[at], self.rows[at + 1], self.rows[at + 2]]
    }

    /// Word of a row for the time of the newest event that was given up.
    fn given_up_at(&self) -> usize {
        self.decays_in_row + 3 * self.shape.decays.len()
    }

    /// Moves the entries to an extent of twice the room, if the entity may have one and there is one.
    fn grow(&mut self, row: usize, class: u8) -> bool {
        if extent_len(class) >= self.events_max {
            return false;
        }
        let Some(larger) = self.take(class + 1) else {
            return false;
        };
        let Some((extent, _)) = self.extent(row) else {
            return false;
        };
        let (from_mask, to_mask) = (extent_len(class) - 1, extent_len(class + 1) - 1);
        for number in self.head(row)..self.tail(row) {
            let from = (extent + (number & from_mask)) as usize * self.entry_words;
            let to = (larger + (number & to_mask)) as usize * self.entry_words;
            self.pool.copy_within(from..from + self.entry_words, to);
        }
        self.set_extent(row, larger, class + 1);
        self.give_back(extent, class);
        true
    }

    /// Makes room without a larger extent: folds the oldest quarter, or merges all but the newest quarter by time.
    fn shrink(&mut self, entity: u32) {
        let row = self.row(entity);
        let (head, tail) = (self.head(row), self.tail(row));
        let quarter = (tail - head) / 4;
        let (left, until) = if self.folded.is_some() {
            self.fold(entity, head, head + quarter);
            (head + quarter, head + quarter)
        } else {
            let until = tail - quarter;
            (self.merge(row, head, until), until)
        };
        self.account[MERGED_EVENTS] += u64::from(left - head);
        self.rows[row + EXTENT] |= MERGED;
        self.set_span(row, left, tail);
        self.find_cursors_again(row, until);
    }

    /// Merges the entries from `head` to `until` that lie in one multiple of a time, which is chosen so that at
    /// most five eighths of the ring's length are left of them. Returns the number of the first that is left.
    fn merge(&mut self, row: usize, head: u32, until: u32) -> u32 {
        let span_ns = self.time(row, until - 1).abs_diff(self.time(row, head));
        let buckets_max = u64::from((until - head) * 5 / 6 - 1);
        let bucket_ns = (span_ns / buckets_max + 1).next_power_of_two();
        let bucket = |time_ns: i64| (time_ns as u64 ^ 1 << 63) / bucket_ns;
        let mut left = until;
        for number in (head..until).rev() {
            let is_same = left < until && bucket(self.time(row, left)) == bucket(self.time(row, number));
            if is_same {
                self.join(row, number, left);
            } else {
                left -= 1;
                let (from, to) = (self.place(row, number), self.place(row, left));
                self.pool.copy_within(from..from + self.entry_words, to);
            }
        }
        left
    }

    /// Makes one entry of two: in the place of the younger, with its time and the totals before the older.
    fn join(&mut self, row: usize, older: u32, younger: u32) {
        let (from, to) = (self.place(row, older), self.place(row, younger));
        self.pool[to + COUNT_BEFORE] = u64::from(self.pool[from + COUNT_BEFORE] as u32);
        for (index, ColumnOf { column, .. }) in self.shape.columns.iter().enumerate() {
            let (a, b) = (from + self.in_entry[index], to + self.in_entry[index]);
            if column.is_total() {
                self.pool.copy_within(a..a + column.words(), b);
            } else if *column == Column::Sketch {
                let mut joined = [0; SKETCH_WORDS];
                joined.copy_from_slice(&self.pool[a..a + SKETCH_WORDS]);
                sketch::merge(&mut joined, &self.pool[b..b + SKETCH_WORDS]);
                self.pool[b..b + SKETCH_WORDS].copy_from_slice(&joined);
            } else {
                self.pool[b] = column.join(self.pool[a] as i64, self.pool[b] as i64) as u64;
            }
        }
    }

    /// Puts the entries' values into the buckets of the folded ones.
    fn fold(&mut self, entity: u32, start: u32, end: u32) {
        let row = self.row(entity);
        let Some(mut folded) = self.folded.take() else {
            return;
        };
        for number in start..end {
            let place = self.place(row, number);
            let entry = Entry {
                time_ns: self.pool[place + TIME] as i64,
                aux: (self.pool[place + COUNT_BEFORE] >> 32) as u32,
                values: &[],
            };
            folded.insert(entity, &entry, 0);
        }
        self.folded = Some(folded);
    }

    /// Finds the cursors that point before `until` again, after numbers have changed there.
    fn find_cursors_again(&mut self, row: usize, until: u32) {
        let (head, tail) = (self.head(row), self.tail(row));
        let at_ns = self.rows[row + CURSORS_AT] as i64;
        for edge in 0..self.shape.edges.len() {
            if self.cursor(row, edge) < until {
                let threshold_ns = self.shape.edges[edge].threshold_ns(at_ns);
                let number = self.upper_bound(row, head, tail, threshold_ns);
                self.set_cursor(row, edge, number);
            }
        }
    }

    /// Leaves a place for an entry at `time_ns`: moves those from `number` on by one, and the cursors with them.
    fn open(&mut self, row: usize, number: u32, tail: u32, time_ns: i64) {
        let head = self.head(row);
        self.set_span(row, head, tail + 1);
        let at_ns = self.rows[row + CURSORS_AT] as i64;
        if number == tail && time_ns >= at_ns {
            return;
        }
        for younger in (number..tail).rev() {
            let (from, to) = (self.place(row, younger), self.place(row, younger + 1));
            self.pool.copy_within(from..from + self.entry_words, to);
        }
        for edge in 0..self.shape.edges.len() {
            let cursor = self.cursor(row, edge);
            let is_before = time_ns <= self.shape.edges[edge].threshold_ns(at_ns);
            if number < cursor || number == cursor && is_before {
                self.set_cursor(row, edge, cursor + 1);
            }
        }
    }

    /// Writes a new entry and raises the totals before those after it.
    fn write(&mut self, row: usize, number: u32, time_ns: i64, entry: &Entry<'_>) {
        let tail = self.tail(row);
        let place = self.place(row, number);
        let is_newest = number + 1 == tail;
        // Totals before it: those before the one that stood here, or those of the row.
        let count = if is_newest {
            self.rows[row + COUNT] as u32
        } else {
            self.pool[place + COUNT_BEFORE] as u32
        };
        self.pool[place + TIME] = time_ns as u64;
        self.pool[place + COUNT_BEFORE] = u64::from(entry.aux) << 32 | u64::from(count);
        for index in 0..self.shape.columns.len() {
            let ColumnOf { column, value } = self.shape.columns[index];
            let at = place + self.in_entry[index];
            match column {
                _ if column.is_total() && is_newest => {
                    let total = row + self.in_row[index];
                    for word in 0..column.words() {
                        self.pool[at + word] = self.rows[total + word];
                    }
                }
                _ if column.is_total() => {}
                Column::Sketch => {
                    self.pool[at..at + SKETCH_WORDS].fill(0);
                    self.add_to_sketch(at, entry);
                }
                _ => self.pool[at] = entry.values[value] as u64,
            }
        }
        self.raise_younger(row, number, entry);
    }

    fn add_to_bucket(&mut self, row: usize, number: u32, entry: &Entry<'_>) {
        let place = self.place(row, number);
        for index in 0..self.shape.columns.len() {
            let ColumnOf { column, value } = self.shape.columns[index];
            let at = place + self.in_entry[index];
            if column.is_extreme() {
                self.pool[at] = column.join(self.pool[at] as i64, entry.values[value]) as u64;
            } else if column == Column::Sketch {
                self.add_to_sketch(at, entry);
            }
        }
        self.raise_younger(row, number, entry);
    }

    fn add_to_sketch(&mut self, at: usize, entry: &Entry<'_>) {
        if entry.aux != pinion_schemas::ids::DENSE_ID_NONE && self.folded.is_none() {
            sketch::add(&mut self.pool[at..at + SKETCH_WORDS], entry.aux);
        }
    }

    /// Adds an event to the totals before every entry after `number`.
    fn raise_younger(&mut self, row: usize, number: u32, entry: &Entry<'_>) {
        for younger in number + 1..self.tail(row) {
            let place = self.place(row, younger);
            let word = self.pool[place + COUNT_BEFORE];
            let count = (word as u32).wrapping_add(1);
            self.pool[place + COUNT_BEFORE] = word & !u64::from(u32::MAX) | u64::from(count);
            for (index, of) in self.shape.columns.iter().enumerate() {
                raise(*of, &mut self.pool[place + self.in_entry[index]..], entry);
            }
        }
    }

    #[inline]
    fn raise_totals(&mut self, row: usize, entry: &Entry<'_>) {
        let count = (self.rows[row + COUNT] as u32).wrapping_add(1);
        self.rows[row + COUNT] = u64::from(count);
        for (index, of) in self.shape.columns.iter().enumerate() {
            if of.column.is_total() {
                raise(*of, &mut self.rows[row + self.in_row[index]..], entry);
            }
        }
    }

    /// Counts an event that cannot be kept where it can be counted: in the totals for ever.
    fn pass_by(&mut self, row: usize, entry: &Entry<'_>) {
        self.raise_totals(row, entry);
    }

    /// An extent of this class: a free one, one never used, or half of a larger free one.
    fn take(&mut self, class: u8) -> Option<u32> {
        let free = self.account[FREE + class as usize];
        if free != 0 {
            let extent = (free - 1) as u32;
            self.account[FREE + class as usize] = self.pool[extent as usize * self.entry_words];
            return Some(extent);
        }
        let len = u64::from(extent_len(class));
        if self.pool_len() - self.account[UNTOUCHED] >= len {
            self.account[UNTOUCHED] += len;
            return Some((self.account[UNTOUCHED] - len) as u32);
        }
        if extent_len(class) >= self.events_max {
            return None;
        }
        let larger = self.take(class + 1)?;
        self.give_back(larger + extent_len(class), class);
        Some(larger)
    }

    /// Puts an extent on the list of its class; the next one stands in its first word, plus one.
    fn give_back(&mut self, extent: u32, class: u8) {
        self.pool[extent as usize * self.entry_words] = self.account[FREE + class as usize];
        self.account[FREE + class as usize] = u64::from(extent) + 1;
    }
}

/// Places of a row's ring; fewer than [`EXTENT_LEN_MIN`] if it has none.
#[inline]
fn ring_len(row: &[u64; LINE_WORDS]) -> u32 {
    EXTENT_LEN_MIN >> 1 << (row[EXTENT] >> 32 & 0xFF)
}

/// The number of the first entry from `number` on that is later than `threshold_ns`, which the newest is; notes
/// the totals before it.
#[inline]
fn move_on<const WORDS: usize>(
    ring: &[[u64; WORDS]],
    (mut number, newest): (u32, u32),
    threshold_ns: i64,
    totals: &mut Totals,
) -> u32 {
    let entry = |number: u32| &ring[number as usize & (ring.len() - 1)];
    let is_before = |number: u32| entry(number)[TIME] as i64 <= threshold_ns;
    // Mostly it is one of the next four. Which one is a matter of chance, so nothing branches on it.
    number += u32::from(is_before(number))
        + u32::from(is_before(newest.min(number + 1)))
        + u32::from(is_before(newest.min(number + 2)));
    if is_before(number) {
        number = move_far(ring, (number + 1, newest), threshold_ns);
    }
    let entry = entry(number);
    totals.count = entry[COUNT_BEFORE] as u32;
    totals.sums[..WORDS - COLUMNS].copy_from_slice(&entry[COLUMNS..]);
    number
}

/// As [`move_on`], from further away.
#[cold]
fn move_far<const WORDS: usize>(
    ring: &[[u64; WORDS]],
    (number, newest): (u32, u32),
    threshold_ns: i64,
) -> u32 {
    let is_before = |number: u32| ring[number as usize & (ring.len() - 1)][TIME] as i64 <= threshold_ns;
    let near = newest.min(number + STEPS_MAX);
    match (number..near).find(|&number| !is_before(number)) {
        Some(number) => number,
        None => partition(near, newest, is_before),
    }
}

/// Bit of a region's index that tells folded buckets from entries.
const FOLDED: u32 = 1 << 16;

/// The buckets of what outgrows a count of different values: a quarter of what the windows reach is one, and eight
/// of an entity have room.
fn folds(shape: &Shape, sizes: Sizes) -> Timelines {
    let bucket_ns = shape.reach_ns / 4 + 1;
    let shape = Shape {
        edges: Vec::new(),
        columns: vec![ColumnOf {
            column: Column::Sketch,
            value: 0,
        }],
        bucket_ns,
        reach_ns: shape.reach_ns + bucket_ns,
        last: None,
        keeps_base: false,
        decays: Vec::new(),
        is_distinct: false,
    };
    let sizes = Sizes {
        events_max: EXTENT_LEN_MIN,
        pool_events_max: (sizes.pool_events_max / 64).max(EXTENT_LEN_MIN),
        ..sizes
    };
    Timelines::new(shape, sizes)
}

/// Adds an event's value to a total.
#[inline]
fn raise(of: ColumnOf, words: &mut [u64], entry: &Entry<'_>) {
    let added = match of.column {
        Column::Sum => {
            words[0] = words[0].wrapping_add(entry.values[of.value] as u64);
            return;
        }
        Column::WideSum => i128::from(entry.values[of.value]),
        Column::Square => i128::from(entry.values[of.value]).pow(2),
        _ => return,
    };
    let total = wide(words).wrapping_add(added as u128);
    words[0] = total as u64;
    words[1] = (total >> 64) as u64;
}

/// A total of two words.
fn wide(words: &[u64]) -> u128 {
    u128::from(words[0]) | u128::from(words[1]) << 64
}

/// What is left of 1 after the time between.
fn faded(from_ns: i64, to_ns: i64, half_life_ns: i64) -> f64 {
    let age_ns = i128::from(to_ns) - i128::from(from_ns);
    let half_lives = age_ns as f64 / half_life_ns as f64;
    if half_lives > HALF_LIVES_MAX {
        return 0.0;
    }
    pinion_runtime::math::exp2(-half_lives)
}

/// The first number for which `is_before` no longer holds.
#[inline]
fn partition(mut low: u32, mut high: u32, is_before: impl Fn(u32) -> bool) -> u32 {
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

const fn extent_len(class: u8) -> u32 {
    EXTENT_LEN_MIN << class
}
