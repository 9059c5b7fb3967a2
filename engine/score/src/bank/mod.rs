//! The living bank of labelled cases: what was confirmed now is seen by the next search.
//!
//! ```text
//!   insert, relabel, remove, expire                     search(embedding) ──▶ nearest rows
//!      │                                                   │ scans all, or the nearest cells
//!      ▼                                                   ▼
//!   rows ─────────place───────────────────────────▶ embeddings, blocks of sixteen, cell by cell
//!      ▲ id ─▶ index   entity ─▶ kin   class ─▶ lists   event time ─▶ ages
//! ```
//!
//! Start at [`Bank`]. [`config`] says what can be set; [`case`] what a case is; `embeddings`, `kernel` and `search`
//! find the nearest, `cells` says which are alike and `recall` whether that is good enough; `index`, `kin` and `ages`
//! find who leaves; `start` reads a model's bank; `tally` counts; `stale` lists rows for whoever keeps a copy.
//!
//! One writer owns it. All memory is reserved at start and none is taken later. A row keeps its number while its case
//! is there; blocks stand without gaps, so some embeddings move when another goes.
//!
//! Order: each operation that gives a label has the next number, the case's sequence. "Oldest" is the lowest sequence;
//! of two equally similar cases the one with the higher sequence is nearer, so that the newest label counts however many
//! cases are alike. So what is found depends on which cases are there and in which order their labels came, not on who
//! was evicted before or on the machine.
//!
//! Search is exact, unless [`BankConfig::approximate_from_rows`] says from how many rows on it scans only the cells that
//! are nearest. [`Bank::start`] lays the cells out, once; what is inserted joins the nearest cell and is found at once.
//! A bank that began nearly empty, or has changed a lot, is laid out by [`Bank::cluster`], off the hot path.
//!
//! Invariant: the same configuration and the same operations give the same bytes of state and the same neighbours, on
//! every machine and with all vector instructions.

pub mod case;
pub mod config;

mod ages;
mod amount;
mod cells;
pub(crate) mod column;
mod embeddings;
pub(crate) mod half;
pub(crate) mod index;
mod kernel;
mod kin;
mod recall;
mod search;
pub(crate) mod stale;
mod start;
mod tally;

use pinion_runtime::state::{Region, RegionMut, State};
use pinion_schemas::ids::Id;

pub use case::{Case, Label};
pub use config::{BankConfig, CELLS_MAX, DIMENSIONS_MAX, Precision, ROWS_MAX, WhenFull};
pub use tally::Tally;

use crate::error::ScoreError;
use ages::Ages;
use case::{CLASS, Ends, Row};
use cells::{Cells, Moved};
use column::Column;
use embeddings::{Candidate, Embeddings};
use index::Index;
use kernel::LANES;
use kin::Kin;
use recall::RECALL_AT;
use search::{Scan, Search, Sizes};
use stale::Stale;
use tally::Account;

/// How far from 1 the length of an embedding may be.
pub const LENGTH_TOLERANCE: f64 = 1e-3;

/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;

/// A row and how near it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Neighbour {
    /// Row of the bank; its case's while that is there.
    pub row: u32,
    /// Cosine, -1..=1 up to rounding.
    pub similarity: f32,
}

/// What became of a case that was inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is there, in this row.
    New(u32),
    /// It is there, in this row, instead of the one with its id.
    Replaced(u32),
}

impl Inserted {
    /// The row.
    pub fn row(self) -> u32 {
        match self {
            Self::New(row) | Self::Replaced(row) => row,
        }
    }
}

/// Why a case was not inserted. The bank is as before, but for one count.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The id is [`Id::NONE`].
    #[error("no id")]
    NoId,
    /// The weight is negative or not finite.
    #[error("a weight of {0}, expected 0 or more")]
    Weight(f32),
    /// A value of the embedding is not finite.
    #[error("an embedding that is not finite")]
    NotFinite,
    /// The embedding is of another length than 1, to within [`LENGTH_TOLERANCE`].
    #[error("an embedding of length {0}, expected 1")]
    Length(f32),
}

/// What became of a label that was given anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relabelled {
    /// It was the other one.
    Reversed,
    /// It was that already; nothing changed.
    Confirmed,
    /// No case has the id.
    Unknown,
}

/// Labelled embeddings.
#[derive(Clone, Debug)]
pub struct Bank {
    rows_max: u32,
    caps: [u32; 2],
    entity_rows_max: u32,
    age_ns_max: Option<i64>,
    when_full: WhenFull,
    approximate_from_rows: u32,
    recall_every: u32,
    recall_floor_permille: u32,
    account: Column<Account>,
    classes: Column<Ends>,
    rows: Column<Row>,
    row_of_place: Column<u32>,
    index: Index,
    kin: Kin,
    ages: Ages,
    cells: Cells,
    embeddings: Embeddings,
    search: Search,
    /// Rows that have another case than before, or none; none: nobody asked. No state: whoever fills in another asks anew.
    changed: Option<Box<Stale>>,
}

impl Bank {
    /// A bank without cases, for embeddings of `dimensions`.
    ///
    /// # Errors
    /// [`ScoreError::Bank`]: a value of the configuration, or `dimensions`, is out of range.
    ///
    /// Cost: maps [`Self::memory_len`] bytes, which are there once they are written to or [`Self::prefault`] asks.
    pub fn new(config: &BankConfig, dimensions: usize) -> Result<Self, ScoreError> {
        config.validate()?;
        if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
            return Err(ScoreError::Bank {
                key: "encoder.dimensions",
                got: dimensions as u64,
                min: 1,
                max: DIMENSIONS_MAX as u64,
            });
        }
        let rows_max = config.rows_max;
        let is_aging = config.age_s_max > 0;
        let blocks_max = Cells::blocks_max(config);
        Ok(Self {
            rows_max,
            caps: config.caps(),
            entity_rows_max: config.entity_rows_max,
            age_ns_max: is_aging.then(|| SECOND_NS * config.age_s_max as i64),
            when_full: config.when_full,
            approximate_from_rows: config.approximate_from_rows,
            recall_every: config.recall_every,
            recall_floor_permille: config.recall_floor_permille,
            account: Column::zeroed(1),
            classes: Column::zeroed(2),
            rows: Column::zeroed(rows_max as usize),
            row_of_place: Column::zeroed(blocks_max * LANES),
            index: Index::new(rows_max),
            kin: Kin::new(rows_max, config.entity_rows_max > 0),
            ages: Ages::new(rows_max, is_aging),
            cells: Cells::new(config, dimensions),
            embeddings: Embeddings::new(blocks_max, dimensions, config.precision),
            search: Search::new(Sizes {
                rows_max: rows_max as usize,
                blocks_max,
                listed_max: Cells::listed_max(config),
                is_by_block: Embeddings::are_by_block(blocks_max, dimensions),
            }),
            changed: None,
        })
    }

    /// Has all memory there, so that no later operation waits for the system to give it.
    ///
    /// Cost: about 0.25 ms per MiB of [`Self::memory_len`].
    pub fn prefault(&mut self) {
        self.account.prefault();
        self.classes.prefault();
        self.rows.prefault();
        self.row_of_place.prefault();
        self.index.buckets.prefault();
        self.kin.buckets.prefault();
        self.ages.heap.prefault();
        self.cells.prefault();
        self.embeddings.prefault();
        self.search.prefault();
    }

    /// Memory at most, without the searches' own (about 10 bytes per row; 25 in banks of up to 2^18 values). Unit: bytes.
    pub fn memory_len(&self) -> u64 {
        self.memory().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.account[0].tally.rows as usize
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of an embedding.
    pub fn dimensions(&self) -> usize {
        self.embeddings.dimensions()
    }

    /// What happened so far.
    pub fn tally(&self) -> Tally {
        self.account[0].tally
    }

    /// Rows at most.
    pub fn rows_max(&self) -> u32 {
        self.rows_max
    }

    /// From now on notes which rows have another case than before, or none, for [`Self::take_changed`].
    ///
    /// Cost: takes five bytes for each of the rows, once; then one more for each case that comes or leaves.
    pub(crate) fn watch(&mut self) {
        let changed = self
            .changed
            .get_or_insert_with(|| Box::new(Stale::all(self.rows_max)));
        changed.clear();
    }

    /// Gives each row that was noted to `note`, once, and begins anew. A row's case may have come and left since.
    pub(crate) fn take_changed(&mut self, note: impl FnMut(u32)) {
        if let Some(changed) = &mut self.changed {
            changed.rows().iter().copied().for_each(note);
            changed.clear();
        }
    }

    /// The row of an id. Cost: about two lines.
    pub fn find(&self, id: &Id) -> Option<u32> {
        self.index.find(&self.rows, id)
    }

    /// Whether a row has a case.
    pub fn is_taken(&self, row: u32) -> bool {
        self.rows[row as usize].is_taken == 1
    }

    /// Rows that have or had a case: those from this number on never had one.
    pub fn touched(&self) -> u32 {
        self.account[0].touched
    }

    /// Whether a row is a fraud.
    pub fn is_fraud(&self, row: u32) -> bool {
        self.rows[row as usize].is_fraud == 1
    }

    /// How much a row's vote counts: a row that stands for four genuine cases counts four.
    pub fn weight(&self, row: u32) -> f32 {
        self.rows[row as usize].weight
    }

    /// The transaction a row was.
    pub fn name(&self, row: u32) -> Id {
        self.rows[row as usize].id
    }

    /// The entity of a row's case; 0: none.
    pub fn entity(&self, row: u32) -> u64 {
        self.rows[row as usize].entity
    }

    /// When a row's case happened. Unit: ns since 1970.
    pub fn event_ns(&self, row: u32) -> i64 {
        self.rows[row as usize].event_ns
    }

    /// Number of the operation that gave a row's case its label, from 1: the lower, the older.
    pub fn sequence(&self, row: u32) -> u64 {
        self.rows[row as usize].sequence
    }

    /// Reads a row's embedding as it is kept. Shape: the bank's dimensions.
    pub fn embedding(&self, row: u32, embedding: &mut [f32]) {
        self.embeddings
            .read(self.rows[row as usize].place as usize, embedding);
    }

    /// Whether the next search scans the nearest cells only, as far as they have rows enough.
    pub fn is_approximate(&self) -> bool {
        self.is_large() && !self.account[0].recall.is_low()
    }

    /// Share of the ten nearest that search by cells finds: a mean over the last samples of those that
    /// [`BankConfig::recall_every`] asks for, whichever way answers; none before the first.
    pub fn recall(&self) -> Option<f64> {
        self.account[0].recall.mean()
    }

    /// Fills `nearest` with the rows most similar to `embedding`, nearest first; of equally similar ones the one with
    /// the higher sequence first. Returns how many there are: fewer than asked for only if the bank has fewer, none if
    /// `embedding` is not finite.
    ///
    /// Shape: `embedding` has the bank's dimensions; `nearest` is as long as neighbours are wanted, up to about 256.
    /// Sees:  every insertion, removal and label before it.
    /// Finds: exactly the nearest, or, while [`Self::is_approximate`], exactly the nearest of the nearest cells.
    /// State: a search that might be approximate counts, and what it counts decides when recall is measured: who
    ///        replays operations replays these searches, too.
    /// Cost:  one pass over a byte per value, of all rows or of those cells; then each row that its byte leaves in
    ///        doubt, about 20 ns. Those are few, unless the bank is full of cases that are all alike; up to 16384 rows
    ///        of 16 dimensions (2^18 values) those cost one pass over what is kept at most, about 1.5 ns each.
    pub fn search(&mut self, embedding: &[f32], nearest: &mut [Neighbour]) -> usize {
        assert_eq!(
            embedding.len(),
            self.dimensions(),
            "an embedding has the bank's dimensions"
        );
        let is_large = self.is_large();
        if is_large && self.account[0].recall.is_due(self.recall_every) {
            self.measure_recall(embedding);
        }
        let (way, found) = self.nearest(embedding, nearest.len(), self.is_approximate());
        let found = found.len();
        for (neighbour, candidate) in nearest.iter_mut().zip(self.search.found(found)) {
            *neighbour = Neighbour {
                row: self.row_of_place[candidate.place as usize],
                similarity: candidate.similarity,
            };
        }
        if is_large {
            let tally = self.tally_mut();
            match way {
                Way::Cells => tally.approximate += 1,
                Way::All => tally.exact_instead += 1,
            }
        }
        found
    }

    /// Fills in how similar the rows of `neighbours` are to `embedding`, to the bit as [`Self::search`] says it. Each of
    /// the rows has a case.
    ///
    /// Cost: about 20 ns each, 50 where embeddings are kept sixteen rows together.
    pub fn compare(&self, embedding: &[f32], neighbours: &mut [Neighbour]) {
        const TOGETHER: usize = 64;
        if self.embeddings.is_by_block() {
            let mut kept = [0.0; DIMENSIONS_MAX];
            let kept = &mut kept[..self.dimensions()];
            for neighbour in neighbours {
                self.embedding(neighbour.row, kept);
                let products = embedding.iter().zip(&*kept).map(|(wanted, value)| wanted * value);
                neighbour.similarity = products.fold(0.0, |sum, product| sum + product);
            }
            return;
        }
        for neighbours in neighbours.chunks_mut(TOGETHER) {
            let mut candidates = [Candidate {
                place: 0,
                similarity: 0.0,
            }; TOGETHER];
            let candidates = &mut candidates[..neighbours.len()];
            for (candidate, neighbour) in candidates.iter_mut().zip(&*neighbours) {
                candidate.place = self.rows[neighbour.row as usize].place;
            }
            self.embeddings.compare(embedding, candidates);
            for (neighbour, candidate) in neighbours.iter_mut().zip(candidates) {
                neighbour.similarity = candidate.similarity;
            }
        }
    }

    /// Lays the rows out in cells by what they resemble now, and begins to measure recall anew. Returns how many cells
    /// there are; 0, and search stays exact, if the configuration asks for none or there are too few rows.
    ///
    /// [`Self::start`] does this where it begins with rows enough. Later it is for a copy that no search waits for:
    /// clone the bank (or restore one from its state), cluster the copy, apply to it what was done to the original
    /// meanwhile, exchange the two ([`std::mem::swap`]), and drop the former where nobody waits either. It is an
    /// operation like an insertion: which rows an approximate search finds depends on where it stands among the
    /// others, so a replay copies, clusters and exchanges at the same places. It is due when the rows are twice as many
    /// as when it was done last, or when exact search has taken over ([`Tally::recall_fell`]).
    ///
    /// Cost: takes memory for a second set of embeddings while it runs; for 1024 cells about 1 s, and 5 µs for each row.
    pub fn cluster(&mut self) -> usize {
        let is_taken = |row: &u32| self.rows[*row as usize].is_taken == 1;
        let rows: Vec<u32> = (0..self.account[0].touched).filter(is_taken).collect();
        let place = |row: &u32| self.rows[*row as usize].place;
        let places: Vec<u32> = rows.iter().map(place).collect();
        let count = self.cells.lay_out(&self.embeddings, &places);
        let mut embedding = vec![0.0; self.dimensions()];
        let cell = |(row, place): (u32, u32)| {
            self.embeddings.read(place as usize, &mut embedding);
            (self.cells.nearest(&embedding), row)
        };
        let mut order: Vec<(u32, u32)> = rows.into_iter().zip(places).map(cell).collect();
        order.sort_unstable();
        let another = self.embeddings.another();
        let former = std::mem::replace(&mut self.embeddings, another);
        self.row_of_place.fill(0);
        for (cell, row) in order {
            let place = self.cells.take_place(cell);
            let kept = &mut self.rows[row as usize];
            self.embeddings.take(&former, kept.place as usize, place as usize);
            kept.place = place;
            self.row_of_place[place as usize] = row;
        }
        self.prefault();
        self.account[0].recall.restart();
        self.tally_mut().clustered += 1;
        count
    }

    /// Adds a case, the newest from now on. A case with its id leaves; so does, if there is no room for it, the oldest
    /// of its entity, of its class, or by [`BankConfig::when_full`].
    ///
    /// # Errors
    /// [`Refusal`]: the case is out of range, and the bank as before.
    ///
    /// Cost: a few lines and the lines of the embedding, about 0.3 µs; 0.2 µs more for each case that leaves; and where
    ///       rows are laid out in cells, a search for the nearest of them, about 3 µs for 1024.
    pub fn insert(&mut self, case: &Case<'_>) -> Result<Inserted, Refusal> {
        assert_eq!(
            case.embedding.len(),
            self.dimensions(),
            "an embedding has the bank's dimensions"
        );
        if let Err(refusal) = check(case) {
            self.tally_mut().refused += 1;
            return Err(refusal);
        }
        let replaced = self.find(&case.id);
        if let Some(row) = replaced {
            self.drop_row(row);
            self.tally_mut().replaced += 1;
        }
        self.make_room(case);
        let row = self.take_row();
        let cell = self.cells.nearest(case.embedding);
        let place = self.cells.take_place(cell);
        self.rows[row as usize] = Row {
            entity: case.entity,
            event_ns: case.event_ns,
            weight: case.weight,
            is_fraud: u32::from(case.label == Label::Fraud),
            place,
            id: case.id,
            is_taken: 1,
            ..Row::NONE
        };
        self.embeddings.put(place as usize, case.embedding);
        self.note_changed(row);
        self.row_of_place[place as usize] = row;
        self.index.add(&self.rows, &case.id, row);
        let len = self.len();
        self.ages.push(&mut self.rows, len, row);
        self.enlist(row);
        let tally = self.tally_mut();
        tally.rows += 1;
        tally.inserted += 1;
        Ok(if replaced.is_some() {
            Inserted::Replaced(row)
        } else {
            Inserted::New(row)
        })
    }

    /// Gives a case another label; it is the newest from then on, and stands for itself alone, with a weight of 1. If
    /// its new class is at its cap, the oldest there leaves. A label that it has already changes nothing.
    ///
    /// Cost: a few lines, about 0.1 µs.
    pub fn relabel(&mut self, id: &Id, label: Label) -> Relabelled {
        let Some(row) = self.find(id) else {
            self.tally_mut().unknown += 1;
            return Relabelled::Unknown;
        };
        if self.rows[row as usize].label() == label {
            self.tally_mut().confirmed += 1;
            return Relabelled::Confirmed;
        }
        self.make_room_in_class(label);
        self.delist(row);
        self.rows[row as usize].is_fraud = u32::from(label == Label::Fraud);
        self.rows[row as usize].weight = 1.0;
        self.enlist(row);
        self.tally_mut().relabelled += 1;
        Relabelled::Reversed
    }

    /// Removes a case: its row, id and embedding are overwritten with zeros. Returns whether it was there.
    ///
    /// Cost: about 0.2 µs.
    pub fn remove(&mut self, id: &Id) -> bool {
        let Some(row) = self.find(id) else {
            self.tally_mut().unknown += 1;
            return false;
        };
        self.drop_row(row);
        self.tally_mut().removed += 1;
        true
    }

    /// Removes all cases older than [`BankConfig::age_s_max`] by the time of their events; returns how many.
    ///
    /// Unit: `now_ns` in ns since 1970, a time of events, not the clock's.
    /// Cost: 10 ns if there is none; about 0.3 µs for each.
    pub fn expire(&mut self, now_ns: i64) -> u32 {
        self.expire_some(now_ns, u32::MAX)
    }

    /// As [`Self::expire`], but removes `rows_max` cases at most, the earliest first, so that a duty cycle stays short.
    pub fn expire_some(&mut self, now_ns: i64, rows_max: u32) -> u32 {
        let Some(age_ns_max) = self.age_ns_max else {
            return 0;
        };
        let earliest_ns = now_ns.saturating_sub(age_ns_max);
        for count in 0..rows_max {
            match self.ages.earliest(self.len()) {
                Some(row) if self.rows[row as usize].event_ns < earliest_ns => self.drop_row(row),
                _ => return count,
            }
            self.tally_mut().evicted_age += 1;
        }
        rows_max
    }

    /// Whether search may be approximate.
    fn is_large(&self) -> bool {
        self.cells.count() > 1 && self.len() >= self.approximate_from_rows as usize
    }

    /// The `count` nearest places, by cells if they are to be and have rows enough; stays in [`Search::found`].
    fn nearest(&mut self, embedding: &[f32], count: usize, is_approximate: bool) -> (Way, &[Candidate]) {
        let count = count.min(self.len());
        let (rows, row_of_place) = (&*self.rows, &*self.row_of_place);
        let sequence = |place: u32| rows[row_of_place[place as usize] as usize].sequence;
        let used = self.cells.used();
        let list = if is_approximate {
            self.cells.list(embedding, count)
        } else {
            None
        };
        let (way, scan) = match list {
            Some(list) => (Way::Cells, Scan::listed(&self.embeddings, list)),
            None => (Way::All, Scan::whole(&self.embeddings, used)),
        };
        (way, self.search.run(&scan, embedding, count, sequence))
    }

    /// Searches both ways and takes how much the one finds of what the other does.
    fn measure_recall(&mut self, embedding: &[f32]) {
        let mut near = [u32::MAX; RECALL_AT];
        let (_, found) = self.nearest(embedding, RECALL_AT, true);
        for (near, candidate) in near.iter_mut().zip(found) {
            *near = candidate.place;
        }
        let (_, exact) = self.nearest(embedding, RECALL_AT, false);
        let of = exact.len();
        if of == 0 {
            return; // The embedding is no direction.
        }
        let is_found = |exact: &&Candidate| near.contains(&exact.place);
        let hits = exact.iter().filter(is_found).count();
        let has_fallen = self.account[0].recall.take(hits, of, self.recall_floor_permille);
        let tally = self.tally_mut();
        tally.compared += 1;
        tally.recall_fell += u64::from(has_fallen);
    }

    fn tally_mut(&mut self) -> &mut Tally {
        &mut self.account[0].tally
    }

    /// Has somebody leave wherever the case would be one too many.
    fn make_room(&mut self, case: &Case<'_>) {
        if let Some(row) = self.kin.oldest_of(case.entity, self.entity_rows_max) {
            self.drop_row(row);
            self.tally_mut().evicted_entity += 1;
        }
        self.make_room_in_class(case.label);
        if self.len() as u32 == self.rows_max {
            let row = self.first_to_leave();
            self.drop_row(row);
            self.tally_mut().evicted_full += 1;
        }
    }

    fn make_room_in_class(&mut self, label: Label) {
        let class = self.classes[label.class()];
        if class.count >= self.caps[label.class()] {
            let row = class
                .oldest()
                .expect("a cap is 1 at least, so the class has a row");
            self.drop_row(row);
            self.tally_mut().evicted_class += 1;
        }
    }

    /// Who leaves a full bank.
    fn first_to_leave(&self) -> u32 {
        let [genuine, fraud] = [Label::Genuine, Label::Fraud].map(|label| self.classes[label.class()]);
        let (Some(oldest_genuine), Some(oldest_fraud)) = (genuine.oldest(), fraud.oldest()) else {
            let row = genuine.oldest().or(fraud.oldest());
            return row.expect("a full bank has a row");
        };
        let is_fraud = match self.when_full {
            WhenFull::Oldest => self.sequence(oldest_fraud) < self.sequence(oldest_genuine),
            WhenFull::OldestOfFullestClass => {
                let [genuine_cap, fraud_cap] = self.caps.map(u64::from);
                u64::from(fraud.count) * genuine_cap > u64::from(genuine.count) * fraud_cap
            }
        };
        if is_fraud { oldest_fraud } else { oldest_genuine }
    }

    /// A row that no case has.
    fn take_row(&mut self) -> u32 {
        let account = &mut self.account[0];
        let Some(row) = account.free.checked_sub(1) else {
            account.touched += 1;
            return account.touched - 1;
        };
        account.free = self.rows[row as usize].place;
        row
    }

    /// Puts a row at the end of the lists of its class and its entity.
    fn enlist(&mut self, row: u32) {
        self.account[0].sequence += 1;
        let sequence = self.account[0].sequence;
        let kept = &mut self.rows[row as usize];
        kept.sequence = sequence;
        let label = kept.label();
        self.classes[label.class()].push(&mut self.rows, CLASS, row);
        self.kin.push(&mut self.rows, row);
        self.account[0].tally.frauds = u64::from(self.classes[Label::Fraud.class()].count);
    }

    /// Takes a row out of the lists of its class and its entity.
    fn delist(&mut self, row: u32) {
        let label = self.rows[row as usize].label();
        self.classes[label.class()].take(&mut self.rows, CLASS, row);
        self.kin.take(&mut self.rows, row);
        self.account[0].tally.frauds = u64::from(self.classes[Label::Fraud.class()].count);
    }

    /// Takes a row out of everything and overwrites it with zeros.
    fn drop_row(&mut self, row: u32) {
        let Row { id, place, .. } = self.rows[row as usize];
        let len = self.len();
        self.note_changed(row);
        self.delist(row);
        self.index.remove(&self.rows, &id);
        self.ages.take(&mut self.rows, len, row);
        self.leave_place(row, place);
        let account = &mut self.account[0];
        account.tally.rows -= 1;
        self.rows[row as usize] = Row {
            place: account.free,
            ..Row::NONE
        };
        account.free = row + 1;
    }

    fn note_changed(&mut self, row: u32) {
        if let Some(changed) = &mut self.changed {
            changed.add(row);
        }
    }

    /// Has the last row of a row's cell stand where it stood, and leaves no gap.
    fn leave_place(&mut self, row: u32, place: u32) {
        let last = self.cells.last_beside(place);
        self.embeddings.remove(place as usize, last as usize);
        let moved = std::mem::take(&mut self.row_of_place[last as usize]);
        if moved != row {
            self.row_of_place[place as usize] = moved;
            self.rows[moved as usize].place = place;
        }
        if let Some(moved) = self.cells.give_back(last) {
            self.move_block(moved);
        }
    }

    fn move_block(&mut self, Moved { from, to }: Moved) {
        for lane in 0..LANES {
            let (from, to) = (from * LANES + lane, to * LANES + lane);
            if !self.embeddings.is_taken(from) {
                return; // Places of a block are taken in order.
            }
            self.embeddings.remove(to, from);
            let row = std::mem::take(&mut self.row_of_place[from]);
            self.row_of_place[to] = row;
            self.rows[row as usize].place = to as u32;
        }
    }

    fn memory(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let own = [
            ("bank account", self.account.bytes()),
            ("bank classes", self.classes.bytes()),
            ("bank rows", self.rows.bytes()),
            ("bank places", self.row_of_place.bytes()),
            ("bank ids", self.index.buckets.bytes()),
            ("bank entities", self.kin.buckets.bytes()),
            ("bank ages", self.ages.heap.bytes()),
        ];
        let embeddings = self.embeddings.memory(embeddings::NAMES);
        own.into_iter().chain(self.cells.memory()).chain(embeddings)
    }

    fn memory_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut [u8])> {
        let own = [
            ("bank account", self.account.bytes_mut()),
            ("bank classes", self.classes.bytes_mut()),
            ("bank rows", self.rows.bytes_mut()),
            ("bank places", self.row_of_place.bytes_mut()),
            ("bank ids", self.index.buckets.bytes_mut()),
            ("bank entities", self.kin.buckets.bytes_mut()),
            ("bank ages", self.ages.heap.bytes_mut()),
        ];
        let embeddings = self.embeddings.memory_mut(embeddings::NAMES);
        own.into_iter().chain(self.cells.memory_mut()).chain(embeddings)
    }
}

/// What a search scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The nearest cells.
    Cells,
    /// All rows.
    All,
}

/// All that a bank must keep to go on later; its configuration and its dimensions are not part of it.
impl State for Bank {
    fn regions(&self) -> Vec<Region<'_>> {
        column::regions(self.memory())
    }

    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        column::regions_mut(self.memory_mut())
    }
}

/// Whether a case may be inserted.
fn check(case: &Case<'_>) -> Result<(), Refusal> {
    if case.id.is_none() {
        return Err(Refusal::NoId);
    }
    if !case.weight.is_finite() || case.weight < 0.0 {
        return Err(Refusal::Weight(case.weight));
    }
    let length = amount::length_of_singles(case.embedding);
    if !length.is_finite() {
        return Err(Refusal::NotFinite);
    }
    if (length - 1.0).abs() > LENGTH_TOLERANCE {
        return Err(Refusal::Length(length as f32));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Instructions;

    /// A bank of `rows` in clusters, without two alike; laid out in cells if it is to be approximate.
    fn bank(rows: u32, is_approximate: bool, instructions: Instructions) -> Bank {
        let config = BankConfig {
            rows_max: rows,
            approximate_from_rows: u32::from(is_approximate),
            cells: 64,
            probes: 3,
            recall_every: 2,
            ..BankConfig::default()
        };
        let mut bank = Bank::new(&config, 20).unwrap();
        bank.search.instructions = instructions;
        bank.cells.search.instructions = instructions;
        for row in 0..rows {
            insert(&mut bank, row);
            if row == rows / 2 {
                bank.cluster();
            }
        }
        (0..rows / 8).for_each(|row| {
            bank.remove(&Id::new(&(row * 5).to_string()).unwrap());
        });
        bank
    }

    fn insert(bank: &mut Bank, number: u32) {
        bank.insert(&Case {
            id: Id::new(&number.to_string()).unwrap(),
            entity: 0,
            label: Label::Genuine,
            weight: 1.0,
            event_ns: 0,
            embedding: &direction(number),
        })
        .unwrap();
    }

    fn direction(number: u32) -> [f32; 20] {
        let cluster = f64::from(number % 13);
        let turn = 0.5 + cluster + f64::from(number) * 1e-4;
        let values: [f64; 20] = std::array::from_fn(|dimension| (turn * (1.0 + dimension as f64)).sin());
        let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        values.map(|value| (value / length) as f32)
    }

    fn found(bank: &mut Bank, query: u32, count: usize) -> Vec<(u32, u32)> {
        let mut nearest = vec![Neighbour::default(); count];
        let found = bank.search(&direction(query), &mut nearest);
        let found = nearest[..found].iter();
        found.map(|near| (near.row, near.similarity.to_bits())).collect()
    }

    #[test]
    fn search_and_state_are_the_same_with_all_instructions() {
        for (rows, is_approximate) in [
            (1, false),
            (15, false),
            (16, false),
            (17, false),
            (1_000, false),
            (40_000, false),
            (1_000, true),
            (20_000, true),
        ] {
            let outcomes = Instructions::all().into_iter().map(|instructions| {
                let mut bank = bank(rows, is_approximate, instructions);
                assert_eq!(bank.is_approximate(), is_approximate);
                let mut all = Vec::new();
                for query in [3, 77, rows + 1] {
                    for count in [1, 10, 200] {
                        all.push(found(&mut bank, query, count));
                    }
                }
                (all, pinion_runtime::state::digest(&bank))
            });
            let outcomes: Vec<_> = outcomes.collect();
            assert!(outcomes.iter().all(|other| *other == outcomes[0]), "{rows} rows");
        }
    }
}
