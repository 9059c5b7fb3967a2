//! The state of the feature store and the vectors read from it.
//!
//! ```text
//!   Transaction ─▶ for each stream: edges moved to T ─▶ read ─▶ added, if it is one of the stream's ─▶ read
//!   Label       ─▶ the transaction it speaks of becomes fraud, or is fraud no longer, in every stream
//! ```
//!
//! **Time.** An event's effective time in a stream is its own, unless it is further behind the newest of its
//! entity there than the lateness: then it is used as of arrival, at the newest time, and counted.
//!
//! **Labels.** A label counts at the time of its *transaction*, from its arrival on. With a delay no shorter
//! than labels take, a window never uses one before it could have been known, and a late one is in the windows
//! that are read after it came. The last label wins: `Genuine` takes a fraud back, a repeated one changes
//! nothing. A label whose transaction is not held is counted and left. The transaction is found by its time
//! (or, if it came too late, among those after it) and 32 bits of the hash of its id and time, at every entity
//! that the label itself names.
//!
//! **Order.** Events of one time stand in the order of arrival. A window counts what had arrived.
//!
//! Invariant: a vector is a function of the records applied so far, in order, and of nothing else; exact while
//! no counter of [`Tally`] beside labels and late events has grown and no stream has merged.

use pinion_runtime::memory::Words;
use pinion_runtime::state::{Region, RegionMut, State};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};
use pinion_schemas::wire::Verdict;
use zerocopy::IntoBytes as _;

use crate::config::FeaturesConfig;
use crate::error::FeaturesError;
use crate::fields::{self, AMOUNT_MINOR_MAX};
use crate::pairs::PairTable;
use crate::plan::{Aux, Plan, Stream};
use crate::reading::{self, Scratch};
use crate::set::{Entity, EntityKey, FeatureSet, Field, SECOND_NS, canonical, explain};
use crate::timelines::{Entry, Timelines};
use crate::transforms;

/// Spreads the bits of an id; fixed, so that a replay finds the same transactions.
const TAG_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Entities that an event can name.
pub const ENTITIES: usize = 6;

// Words of the tally.
const LATE: usize = 0;
const TOO_LATE: usize = 1;
const UNKNOWN: usize = 2;
const CLAMPED: usize = 3;
const LABELS_APPLIED: usize = 4;
const LABELS_REPEATED: usize = 5;
const LABELS_UNMATCHED: usize = 6;
const WATERMARK: usize = 7;
const TALLY_WORDS: usize = 8;

/// What was out of the ordinary, since the start of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Transactions older than the newest of one of their entities, within the lateness: exact.
    pub late_events: u64,
    /// Transactions later than the lateness: used as of arrival.
    pub too_late_events: u64,
    /// Entities of transactions that have no row: absent from the event, or past entities_max, or a pair for
    /// which there was no room. Their features are missing.
    pub unknown_entities: u64,
    /// Amounts held to [`AMOUNT_MINOR_MAX`].
    pub clamped_amounts: u64,
    /// Labels that made a transaction fraud, or took it back.
    pub labels_applied: u64,
    /// Labels that said what was known.
    pub labels_repeated: u64,
    /// Labels whose transaction is not held by any stream.
    pub labels_unmatched: u64,
}

/// What memory is used, over all streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entities that have had an event, in all streams together.
    pub entities: u64,
    /// Events merged with a neighbour because there was no room.
    pub merged_events: u64,
    /// Events that could not be kept because a pool was used up.
    pub unkept_events: u64,
    /// Pool entries given out.
    pub pool_used: u64,
    /// Pool entries.
    pub pool_len: u64,
    /// Pairs that lost their row to another.
    pub pairs_evicted: u64,
    /// Times that a pair got no row.
    pub pairs_refused: u64,
}

/// Whether a transaction is late for one of its entities.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lateness {
    Timely,
    Late,
    TooLate,
}

/// The entity of an event in a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// It has this row.
    Row(u32),
    /// It could have a row and has none: nothing is known of it.
    Stranger,
    /// The event does not name it, or there is no room for it.
    None,
}

/// What is known of the entities.
#[derive(Clone, Debug)]
pub struct FeatureStore {
    plan: Plan,
    set_hash: u64,
    timelines: Vec<Timelines>,
    /// Of each stream, whether a timely event can go the short way: [`Timelines::add_newest`].
    has_short_way: Vec<bool>,
    /// Of each kind of pair in the plan.
    pairs: Vec<(EntityKey, PairTable)>,
    lateness_ns: i64,
    tally: Words,
    scratch: Scratch,
    values: Vec<i64>,
}

impl FeatureStore {
    /// A store that knows nothing. Its memory is there when it is written; see [`Self::prefault`].
    ///
    /// # Errors
    /// A value of `config` is out of range, or too small for `set`.
    pub fn new(config: &FeaturesConfig, set: &FeatureSet) -> Result<Self, FeaturesError> {
        config.validate()?;
        let plan = Plan::new(set);
        plan.check(config)?;
        let timelines: Vec<Timelines> = plan
            .streams
            .iter()
            .map(|stream| Timelines::new(stream.shape.clone(), config.sizes(stream.key)))
            .collect();
        let both = plan.streams.iter().zip(&timelines);
        let has_short_way =
            both.map(|(stream, timelines)| !stream.short.is_empty() && timelines.has_short_way());
        let mut pairs: Vec<(EntityKey, PairTable)> = Vec::new();
        for stream in &plan.streams {
            if let EntityKey::Pair(first, second) = stream.key
                && pairs.iter().all(|(key, _)| *key != stream.key)
            {
                let ids_max = [first, second].map(|entity| config.sizes(EntityKey::One(entity)).entities_max);
                let rows_max = config.pairs.entities_max;
                pairs.push((
                    stream.key,
                    PairTable::new(rows_max, config.pairs.when_full, ids_max),
                ));
            }
        }
        let values_max = plan.streams.iter().map(|stream| stream.values.len()).max();
        Ok(Self {
            set_hash: canonical::hash(set),
            has_short_way: has_short_way.collect(),
            timelines,
            pairs,
            lateness_ns: i64::from(config.lateness_s_max) * SECOND_NS,
            tally: Words::zeroed(TALLY_WORDS),
            scratch: Scratch::new(plan.edges_max()),
            values: vec![0; values_max.unwrap_or(0)],
            plan,
        })
    }

    /// Has all memory there, so that nothing waits for a page later.
    ///
    /// Cost: writes [`Self::memory_len`] bytes, about 0.25 ms per MiB.
    pub fn prefault(&mut self) {
        self.timelines.iter_mut().for_each(Timelines::prefault);
        self.pairs.iter_mut().for_each(|(_, table)| table.prefault());
    }

    /// Memory at most. Unit: bytes.
    pub fn memory_len(&self) -> u64 {
        let streams = self.timelines.iter().map(Timelines::memory_len);
        let pairs = self.pairs.iter().map(|(_, table)| table.memory_len());
        streams.chain(pairs).sum()
    }

    /// What [`Self::memory_len`] is made of: each stream and each table of pairs in words, with its bytes.
    pub fn memory(&self) -> Vec<(String, u64)> {
        let streams = self.plan.streams.iter().zip(&self.timelines);
        let streams = streams.map(|(stream, timelines)| (stream.words(), timelines.memory_len()));
        let tables = self.pairs.iter();
        let tables = tables.map(|(key, table)| (explain::pairs(*key), table.memory_len()));
        streams.chain(tables).collect()
    }

    /// Hash of the feature set that it computes.
    pub fn set_hash(&self) -> u64 {
        self.set_hash
    }

    /// Adds one event and writes its vector: a transaction's features in the order of the set, zeros for any
    /// other event.
    ///
    /// Cost: no heap call; per stream one row, the newest entry and one entry per edge, and what the formulas
    /// say.
    pub fn apply(&mut self, payment: &PaymentRecord, vector: &mut [f32; FEATURES_MAX]) {
        self.forget_reused(payment);
        if payment.origin.kind == payment_kind::TRANSACTION {
            self.add_transaction(payment, vector);
            return;
        }
        *vector = [0.0; FEATURES_MAX];
        if payment.origin.kind == payment_kind::LABEL {
            self.add_label(payment);
        }
        self.add_other(payment);
    }

    /// Asks for the first lines that [`Self::apply`] will need. Call it a few events ahead.
    #[inline]
    pub fn prefetch_rows(&self, payment: &PaymentRecord) {
        for (stream, timelines) in self.plan.streams.iter().zip(&self.timelines) {
            if let EntityKey::One(entity) = stream.key {
                timelines.prefetch_row(fields::dense(payment, entity));
            }
        }
    }

    /// Asks for the lines after those of [`Self::prefetch_rows`]. Call it when these should have come.
    #[inline]
    pub fn prefetch_entries(&self, payment: &PaymentRecord) {
        for (stream, timelines) in self.plan.streams.iter().zip(&self.timelines) {
            if let EntityKey::One(entity) = stream.key {
                timelines.prefetch_entries(fields::dense(payment, entity));
            }
        }
    }

    /// What was out of the ordinary so far.
    pub fn tally(&self) -> Tally {
        Tally {
            late_events: self.tally[LATE],
            too_late_events: self.tally[TOO_LATE],
            unknown_entities: self.tally[UNKNOWN],
            clamped_amounts: self.tally[CLAMPED],
            labels_applied: self.tally[LABELS_APPLIED],
            labels_repeated: self.tally[LABELS_REPEATED],
            labels_unmatched: self.tally[LABELS_UNMATCHED],
        }
    }

    /// Time of the newest transaction so far, 0 before the first. Unit: ns since the Unix epoch.
    pub fn watermark_ns(&self) -> i64 {
        self.tally[WATERMARK] as i64
    }

    /// What memory is used.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for timelines in &self.timelines {
            usage.entities += timelines.entities();
            usage.merged_events += timelines.merged_events();
            usage.unkept_events += timelines.unkept_events();
            usage.pool_used += timelines.pool_used();
            usage.pool_len += timelines.pool_len();
        }
        for (_, table) in &self.pairs {
            usage.pairs_evicted += table.evicted();
            usage.pairs_refused += table.refused();
        }
        usage
    }

    /// The vector that this transaction would get at its `event_ns` before it is added itself. What needs the
    /// current event to be in the window is read without it.
    ///
    /// Cost: takes memory, and searches for every edge: for a copy of the store that serves no events.
    pub fn peek(&self, probe: &PaymentRecord, vector: &mut [f32; FEATURES_MAX]) {
        self.begin_vector(probe, vector);
        let mut scratch = Scratch::new(self.plan.edges_max());
        let (dense, at_ns) = (fields::all_dense(probe), probe.origin.event_ns);
        for (index, (stream, timelines)) in self.plan.streams.iter().zip(&self.timelines).enumerate() {
            match self.find(index, &dense) {
                Subject::Row(row) => {
                    timelines.search(row, at_ns, &mut scratch.numbers);
                    for steps in [&stream.before, &stream.after] {
                        reading::read_all(steps, timelines, row, at_ns, probe, &mut scratch, vector);
                    }
                }
                Subject::Stranger => reading::read_nothing(stream, vector),
                Subject::None => {}
            }
        }
        self.divide(vector);
    }

    /// Time of the newest event of an entity over all streams, if there was one; of a pair with both dense ids.
    /// Unit: ns since the Unix epoch.
    pub fn newest_ns(&self, key: EntityKey, dense: &[u32; ENTITIES]) -> Option<i64> {
        let streams = self.plan.streams.iter().enumerate();
        let newest = streams
            .filter(|(_, stream)| stream.key == key)
            .filter_map(|(index, _)| match self.find(index, dense) {
                Subject::Row(row) => self.timelines[index].newest_ns(row),
                _ => None,
            });
        newest.max()
    }

    /// The slots that no stream is needed for, the missing values of the others, and zeros behind.
    fn begin_vector(&self, payment: &PaymentRecord, vector: &mut [f32; FEATURES_MAX]) {
        *vector = self.plan.missing;
        for (slots, transform) in &self.plan.transforms {
            transforms::write(transform, payment, &mut vector[slots.clone()]);
        }
    }

    /// The slots that are one slot divided by another.
    fn divide(&self, vector: &mut [f32; FEATURES_MAX]) {
        for ratio in &self.plan.ratios {
            let (above, below) = (vector[ratio.numerator], vector[ratio.denominator]);
            let quotient = (f64::from(above) / f64::from(below)) as f32;
            if quotient.is_finite() {
                vector[ratio.slot] = quotient;
            }
        }
    }

    /// Forgets what is known under dense ids that were given anew with this event.
    fn forget_reused(&mut self, payment: &PaymentRecord) {
        if payment.fresh == 0 {
            return;
        }
        for entity in Entity::ALL {
            if payment.fresh & entity.fresh_bit() == 0 {
                continue;
            }
            let dense = fields::dense(payment, entity);
            for (stream, timelines) in self.plan.streams.iter().zip(&mut self.timelines) {
                if stream.key == EntityKey::One(entity) && timelines.has_row(dense) {
                    timelines.forget(dense);
                }
            }
            for (key, table) in &mut self.pairs {
                match *key {
                    EntityKey::Pair(first, _) if first == entity => table.renew(0, dense),
                    EntityKey::Pair(_, second) if second == entity => table.renew(1, dense),
                    _ => {}
                }
            }
        }
    }

    fn add_transaction(&mut self, payment: &PaymentRecord, vector: &mut [f32; FEATURES_MAX]) {
        let watermark_ns = self.watermark_ns().max(payment.origin.event_ns);
        self.tally[WATERMARK] = watermark_ns as u64;
        self.begin_vector(payment, vector);
        let dense = fields::all_dense(payment);
        let mut lateness = Lateness::Timely;
        for index in 0..self.plan.streams.len() {
            if !self.add_short(index, payment, &dense, vector) {
                lateness = lateness.max(self.read_and_add(index, payment, &dense, vector));
            }
        }
        self.divide(vector);
        self.tally[LATE] += u64::from(lateness == Lateness::Late);
        self.tally[TOO_LATE] += u64::from(lateness == Lateness::TooLate);
        self.tally[CLAMPED] += u64::from(payment.amount_minor.abs_diff(0) > AMOUNT_MINOR_MAX as u64);
    }

    /// As [`Self::read_and_add`], for most of the events of most of the streams. `false`: nothing was done.
    #[inline]
    fn add_short(
        &mut self,
        index: usize,
        payment: &PaymentRecord,
        dense: &[u32; ENTITIES],
        vector: &mut [f32; FEATURES_MAX],
    ) -> bool {
        let (stream, timelines) = (&self.plan.streams[index], &mut self.timelines[index]);
        let EntityKey::One(entity) = stream.key else {
            return false;
        };
        let row = dense[entity as usize];
        if !self.has_short_way[index] || !timelines.has_row(row) || !fields::belongs(payment, stream) {
            return false;
        }
        let entry = entry(stream, payment.origin.event_ns, payment, &mut self.values);
        let totals = &mut self.scratch.totals;
        let is_added = timelines.add_newest(row, &entry, self.lateness_ns, totals);
        if is_added {
            reading::read_totals(&stream.short, totals, vector);
        }
        is_added
    }

    /// Reads one stream's slots for a transaction, and adds it if it is one of the stream's events.
    fn read_and_add(
        &mut self,
        index: usize,
        payment: &PaymentRecord,
        dense: &[u32; ENTITIES],
        vector: &mut [f32; FEATURES_MAX],
    ) -> Lateness {
        let is_own = fields::belongs(payment, &self.plan.streams[index]);
        let subject = if is_own {
            self.give(index, dense)
        } else {
            self.find(index, dense)
        };
        let Self {
            plan,
            timelines,
            tally,
            scratch,
            values,
            lateness_ns,
            ..
        } = self;
        let (stream, timelines) = (&plan.streams[index], &mut timelines[index]);
        let row = match subject {
            Subject::Row(row) => row,
            Subject::Stranger => {
                reading::read_nothing(stream, vector);
                return Lateness::Timely;
            }
            Subject::None => {
                tally[UNKNOWN] += 1;
                return Lateness::Timely;
            }
        };
        let (at_ns, lateness) = effective(timelines, row, payment.origin.event_ns, *lateness_ns);
        if !is_own {
            timelines.advance(row, at_ns, &mut scratch.numbers);
            for steps in [&stream.before, &stream.after] {
                reading::read_all(steps, timelines, row, at_ns, payment, scratch, vector);
            }
            return Lateness::Timely;
        }
        let entry = entry(stream, at_ns, payment, values);
        timelines.advance(row, at_ns, &mut scratch.numbers);
        reading::read_all(&stream.before, timelines, row, at_ns, payment, scratch, vector);
        timelines.insert(row, &entry, *lateness_ns);
        timelines.numbers_after(row, at_ns, &mut scratch.numbers);
        reading::read_all(&stream.after, timelines, row, at_ns, payment, scratch, vector);
        lateness
    }

    /// Adds a label or an account update to the streams over these.
    fn add_other(&mut self, payment: &PaymentRecord) {
        let dense = fields::all_dense(payment);
        for index in 0..self.plan.streams.len() {
            if !fields::belongs(payment, &self.plan.streams[index]) {
                continue;
            }
            let Subject::Row(row) = self.give(index, &dense) else {
                continue;
            };
            let (stream, timelines) = (&self.plan.streams[index], &mut self.timelines[index]);
            let (at_ns, _) = effective(timelines, row, payment.origin.event_ns, self.lateness_ns);
            let entry = entry(stream, at_ns, payment, &mut self.values);
            timelines.insert(row, &entry, self.lateness_ns);
        }
    }

    /// The entity of an event in a stream, as far as it is known.
    #[inline]
    fn find(&self, index: usize, dense: &[u32; ENTITIES]) -> Subject {
        match self.plan.streams[index].key {
            EntityKey::One(entity) => {
                let dense = dense[entity as usize];
                match self.timelines[index].has_row(dense) {
                    true => Subject::Row(dense),
                    false => Subject::None,
                }
            }
            EntityKey::Pair(first, second) => {
                let pair = [dense[first as usize], dense[second as usize]];
                let tables = self.pairs.iter();
                let mut tables = tables.filter(|(key, _)| *key == EntityKey::Pair(first, second));
                match tables.next() {
                    Some((_, table)) if table.may_name(pair) => {
                        table.find(pair).map_or(Subject::Stranger, Subject::Row)
                    }
                    _ => Subject::None,
                }
            }
        }
    }

    /// As [`Self::find`], and a pair that has no row is given one, if there is room.
    fn give(&mut self, index: usize, dense: &[u32; ENTITIES]) -> Subject {
        let key = self.plan.streams[index].key;
        let EntityKey::Pair(first, second) = key else {
            return self.find(index, dense);
        };
        let pair = [dense[first as usize], dense[second as usize]];
        let mut tables = self.pairs.iter_mut().filter(|(known, _)| *known == key);
        let Some(given) = tables.next().and_then(|(_, table)| table.give(pair)) else {
            return Subject::None;
        };
        if given.is_evicted {
            self.forget_pair(key, given.row);
        }
        Subject::Row(given.row)
    }

    /// Forgets what is known under a row that was given to another pair, in all streams of its kind.
    fn forget_pair(&mut self, key: EntityKey, row: u32) {
        for (stream, timelines) in self.plan.streams.iter().zip(&mut self.timelines) {
            if stream.key == key {
                timelines.forget(row);
            }
        }
    }

    fn add_label(&mut self, label: &PaymentRecord) {
        if label.verdict == Verdict::Erased.0 {
            return;
        }
        let dense = fields::all_dense(label);
        let tag = tag(label, label.transaction_ns);
        let is_fraud = i64::from(label.verdict == Verdict::Fraud.0);
        let mut found = None;
        for index in 0..self.plan.streams.len() {
            let Some(column) = self.plan.streams[index].fraud_column() else {
                continue;
            };
            if let Subject::Row(row) = self.find(index, &dense) {
                let which = (label.transaction_ns, tag);
                let changed = self.timelines[index].relabel(row, column, which, is_fraud);
                found = found.max(changed);
            }
        }
        let which = match found {
            Some(true) => LABELS_APPLIED,
            Some(false) => LABELS_REPEATED,
            None => LABELS_UNMATCHED,
        };
        self.tally[which] += 1;
    }
}

impl State for FeatureStore {
    fn regions(&self) -> Vec<Region<'_>> {
        let mut list = vec![Region {
            name: "features",
            index: 0,
            bytes: self.tally.as_bytes(),
        }];
        for (index, timelines) in (0..).zip(&self.timelines) {
            timelines.regions(index, &mut list);
        }
        for (index, (_, table)) in (0..).zip(&self.pairs) {
            table.regions(index, &mut list);
        }
        list
    }

    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        let mut list = vec![RegionMut {
            name: "features",
            index: 0,
            bytes: self.tally.as_mut_bytes(),
        }];
        for (index, timelines) in (0..).zip(&mut self.timelines) {
            timelines.regions_mut(index, &mut list);
        }
        for (index, (_, table)) in (0..).zip(&mut self.pairs) {
            table.regions_mut(index, &mut list);
        }
        list
    }
}

/// The time that an event counts at in a stream, and whether it is late there.
fn effective(timelines: &Timelines, row: u32, event_ns: i64, lateness_ns: i64) -> (i64, Lateness) {
    match timelines.newest_ns(row) {
        Some(newest_ns) if event_ns < newest_ns.saturating_sub(lateness_ns) => (newest_ns, Lateness::TooLate),
        Some(newest_ns) if event_ns < newest_ns => (event_ns, Lateness::Late),
        _ => (event_ns, Lateness::Timely),
    }
}

/// What a stream keeps of an event.
#[inline(always)]
fn entry<'a>(stream: &Stream, at_ns: i64, payment: &PaymentRecord, values: &'a mut [i64]) -> Entry<'a> {
    for (value, &field) in values.iter_mut().zip(&stream.values) {
        *value = fields::value(payment, field);
    }
    let aux = match stream.aux {
        Aux::Nothing => 0,
        Aux::Tag => tag(payment, payment.origin.event_ns),
        Aux::Value(Field::Id(entity)) => fields::dense(payment, entity),
        Aux::Value(field) => fields::value(payment, field) as u32,
    };
    Entry {
        time_ns: at_ns,
        aux,
        values,
    }
}

/// 32 bits of a transaction's id and its own time, by which its labels find it.
#[inline]
fn tag(payment: &PaymentRecord, time_ns: i64) -> u32 {
    let (words, rest) = payment.transaction_id.0.as_chunks();
    let rest = rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let mix = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * u128::from(TAG_FACTOR);
        product as u64 ^ (product >> 64) as u64
    };
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    (mix(words.fold(rest, mix), time_ns as u64 ^ TAG_FACTOR) >> 32) as u32
}
