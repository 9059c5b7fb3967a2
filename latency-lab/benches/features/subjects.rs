//! What is timed: the store, the cache misses that it must take, and a hash map of deques.
//!
//! ```text
//!   floor   row ─▶ two entries at each of 3 or 4 cursors, place of the new one   nothing is computed
//!   store   the same lines, and the vector
//!   rival   HashMap<u32, VecDeque<(time, value)>>: push, pop what expired, loop over what is left per window
//! ```
//!
//! Invariant: all three are given the same events in the same order; store and rival give the same vector.

use std::collections::{HashMap, VecDeque};

use pinion_features::set::DAY_NS;
use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig, TimelinesConfig};
use pinion_runtime::memory::Words;
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord};

use crate::traffic::{REACH_DAYS, draw};

/// Slots of payments-v1 that are read from customers and terminals.
pub(crate) const SLOTS: std::ops::Range<usize> = 3..15;

/// Windows of customers and terminals. Unit: ns.
pub(crate) const WINDOWS_NS: [i64; 3] = [DAY_NS, 7 * DAY_NS, 30 * DAY_NS];

/// How long before now the windows of terminals end. Unit: ns.
pub(crate) const DELAY_NS: i64 = 7 * DAY_NS;

/// Words of a row: one cache line, as in the store.
const ROW_WORDS: usize = 8;

/// Words of an entry, as in the store.
const ENTRY_WORDS: usize = 3;

/// Something that takes events.
pub(crate) trait Subject {
    /// Asks for the first lines that an event needs.
    fn prefetch_rows(&self, _payment: &PaymentRecord) {}

    /// Asks for the lines after those.
    fn prefetch_entries(&self, _payment: &PaymentRecord) {}

    /// Takes an event. What is returned depends on everything that was read.
    fn apply(&mut self, payment: &PaymentRecord) -> u64;
}

/// The feature store, and its last vector.
pub(crate) struct Store {
    store: FeatureStore,
    pub(crate) vector: [f32; FEATURES_MAX],
}

impl Store {
    /// A store of payments-v1 for as many customers and terminals, each with room for `events_each` events.
    pub(crate) fn new(entities: u32, events_each: u32) -> Self {
        let timelines = TimelinesConfig {
            entities_max: entities,
            events_max: 1024,
            // More than it needs, for the extents that were grown out of; what is not used is not there.
            pool_events_max: (3 * entities * extent_len(events_each)).max(1024),
        };
        let config = FeaturesConfig {
            customers: timelines.clone(),
            terminals: timelines,
            ..FeaturesConfig::default()
        };
        let store = FeatureStore::new(&config, &FeatureSet::payments_v1()).expect("the sizes are in range");
        Self {
            store,
            vector: [0.0; FEATURES_MAX],
        }
    }

    /// Panics if an event was merged or could not be kept: another table than that of the floor then.
    pub(crate) fn check_whole(&self) {
        let usage = self.store.usage();
        assert_eq!((usage.merged_events, usage.unkept_events), (0, 0));
    }
}

impl Subject for Store {
    #[inline]
    fn prefetch_rows(&self, payment: &PaymentRecord) {
        self.store.prefetch_rows(payment);
    }

    #[inline]
    fn prefetch_entries(&self, payment: &PaymentRecord) {
        self.store.prefetch_entries(payment);
    }

    #[inline]
    fn apply(&mut self, payment: &PaymentRecord) -> u64 {
        self.store.apply(payment, &mut self.vector);
        folded(&self.vector[SLOTS])
    }
}

/// The lines that the store must touch, and nothing else.
pub(crate) struct Floor {
    customers: Lines<3>,
    terminals: Lines<4>,
}

impl Floor {
    /// Tables of the sizes of the store's, with cursors where windows start and end in the mean.
    pub(crate) fn new(entities: u32, events_each: u32) -> Self {
        Self {
            customers: Lines::new(entities, events_each, [1, 7, 30]),
            terminals: Lines::new(entities, events_each, [7, 8, 14, 37]),
        }
    }
}

impl Subject for Floor {
    #[inline]
    fn prefetch_rows(&self, payment: &PaymentRecord) {
        self.customers.prefetch_row(payment.customer);
        self.terminals.prefetch_row(payment.terminal);
    }

    #[inline]
    fn prefetch_entries(&self, payment: &PaymentRecord) {
        self.customers.prefetch_entries(payment.customer);
        self.terminals.prefetch_entries(payment.terminal);
    }

    #[inline]
    fn apply(&mut self, payment: &PaymentRecord) -> u64 {
        let customer = self.customers.touch(payment.customer);
        customer ^ self.terminals.touch(payment.terminal)
    }
}

/// Rows of one line each, and rings of entries in one pool.
struct Lines<const EDGES: usize> {
    /// First word of the ring, its length less one, number of the next entry, number at each cursor.
    rows: Words,
    pool: Words,
}

impl<const EDGES: usize> Lines<EDGES> {
    fn new(entities: u32, events_each: u32, edge_days: [i64; EDGES]) -> Self {
        let len = extent_len(events_each) as usize;
        let mut rows = Words::zeroed(entities as usize * ROW_WORDS);
        let mut pool = Words::zeroed(entities as usize * len * ENTRY_WORDS);
        pool.prefault();
        for (entity, row) in rows.chunks_exact_mut(ROW_WORDS).enumerate() {
            let tail = (1 << 20) + draw(entity as u64) % len as u64;
            row[..3].copy_from_slice(&[(entity * len * ENTRY_WORDS) as u64, len as u64 - 1, tail]);
            for (edge, days) in edge_days.into_iter().enumerate() {
                let mean = f64::from(events_each) * days as f64 / REACH_DAYS as f64;
                let before = scattered(mean, draw((entity * EDGES + edge) as u64));
                row[3 + edge] = tail - before.min(len as u64 - 1);
            }
        }
        Self { rows, pool }
    }

    #[inline]
    fn prefetch_row(&self, entity: u32) {
        self.rows.prefetch(entity as usize * ROW_WORDS);
    }

    #[inline]
    fn prefetch_entries(&self, entity: u32) {
        let at = entity as usize * ROW_WORDS;
        let row = &self.rows[at..at + ROW_WORDS];
        for number in &row[2..3 + EDGES] {
            self.pool.prefetch(place(row, *number));
            self.pool.prefetch(place(row, number + 1) + ENTRY_WORDS - 1);
        }
    }

    /// Reads the entry at each cursor and the one that the cursor moves on to, and writes a new one.
    #[inline]
    fn touch(&mut self, entity: u32) -> u64 {
        let at = entity as usize * ROW_WORDS;
        let row = &mut self.rows[at..at + ROW_WORDS];
        let mut seen = 0;
        for edge in 0..EDGES {
            seen ^= self.pool[place(row, row[3 + edge])];
            row[3 + edge] += 1;
            let entry = place(row, row[3 + edge]);
            seen ^= self.pool[entry] ^ self.pool[entry + ENTRY_WORDS - 1];
        }
        let entry = place(row, row[2]);
        self.pool[entry] = row[2];
        self.pool[entry + ENTRY_WORDS - 1] = row[2];
        row[2] += 1;
        seen
    }
}

/// First word of an entry.
#[inline]
fn place(row: &[u64], number: u64) -> usize {
    row[0] as usize + (number & row[1]) as usize * ENTRY_WORDS
}

/// Places of a ring that holds `events_each` in the mean.
fn extent_len(events_each: u32) -> u32 {
    (events_each + events_each / 4).next_power_of_two().max(8)
}

/// About `mean`, as far from it as numbers of random events are, to whole ones.
fn scattered(mean: f64, bits: u64) -> u64 {
    // The sum of four even draws is near enough to a bell: variance a third of one.
    let draws = (0..4).map(|part| (bits >> (16 * part) & 0xFFFF) as f64 / 65_536.0);
    let bell = (draws.sum::<f64>() - 2.0) * 3.0_f64.sqrt();
    (mean + bell * mean.sqrt()).round().max(0.0) as u64
}

/// The obvious way.
#[derive(Default)]
pub(crate) struct Obvious {
    customers: HashMap<u32, VecDeque<(i64, i64)>>,
    terminals: HashMap<u32, VecDeque<(i64, i64)>>,
    pub(crate) vector: [f32; 15],
}

impl Subject for Obvious {
    fn apply(&mut self, payment: &PaymentRecord) -> u64 {
        let now_ns = payment.origin.event_ns;
        let customer = self.customers.entry(payment.customer).or_default();
        add(customer, now_ns, payment.amount_minor, WINDOWS_NS[2]);
        read(customer, now_ns, &mut self.vector[3..9]);
        let terminal = self.terminals.entry(payment.terminal).or_default();
        add(terminal, now_ns, 0, DELAY_NS + WINDOWS_NS[2]);
        read(terminal, now_ns - DELAY_NS, &mut self.vector[9..15]);
        folded(&self.vector[SLOTS])
    }
}

impl Obvious {
    /// A label: the terminal's transaction at this time was fraud.
    pub(crate) fn label(&mut self, terminal: u32, time_ns: i64) {
        let events = self.terminals.entry(terminal).or_default();
        for event in events.iter_mut().filter(|event| event.0 == time_ns) {
            event.1 = 1;
        }
    }
}

fn add(events: &mut VecDeque<(i64, i64)>, now_ns: i64, value: i64, reach_ns: i64) {
    events.push_back((now_ns, value));
    while events.front().is_some_and(|event| event.0 <= now_ns - reach_ns) {
        events.pop_front();
    }
}

/// Count and mean of each window up to `end_ns`.
fn read(events: &VecDeque<(i64, i64)>, end_ns: i64, slots: &mut [f32]) {
    for (window_ns, slots) in WINDOWS_NS.into_iter().zip(slots.chunks_exact_mut(2)) {
        let (mut count, mut sum) = (0, 0);
        for &(time_ns, value) in events {
            if end_ns - window_ns < time_ns && time_ns <= end_ns {
                count += 1;
                sum += value;
            }
        }
        write(count, sum, slots);
    }
}

/// Writes count and mean; the mean of nothing is 0.
pub(crate) fn write(count: i64, sum: i64, slots: &mut [f32]) {
    slots[0] = count as f32;
    slots[1] = if count == 0 {
        0.0
    } else {
        (sum as f64 / count as f64) as f32
    };
}

/// A number that depends on every slot.
#[inline]
fn folded(slots: &[f32]) -> u64 {
    slots.iter().fold(0, |all, slot| all ^ u64::from(slot.to_bits()))
}
