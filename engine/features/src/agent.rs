//! The stage's duty cycle, and how another feature set takes over while it runs.
//!
//! ```text
//!   backfill ── Copy(ring) ──▶ each record that is applied goes into the ring, too
//!      │ reads the journal up to the first record in the ring, then the ring
//!      └────── Swap(store) ──▶ the rest of the ring is applied to it, then it serves; the old one is retired
//! ```
//!
//! Invariant: every event that comes in goes out once, in order; only transactions have a vector; a vector is
//! that of one set, and the record says which.

use pinion_runtime::agent::Agent;
use pinion_runtime::control::AgentEnd;
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer};
use pinion_schemas::records::{FEATURES_MAX, FeatureRecord, PaymentRecord, payment_kind};

use crate::config::FeaturesConfig;
use crate::counters::FeaturesCounters;
use crate::error::FeaturesError;
use crate::formers::Formers;
use crate::since::Since;
use crate::store::FeatureStore;
use crate::watermarks::Watermarks;

/// Events between asking for a row, for its entries, and using them.
const ROWS_AHEAD: usize = 8;
const ENTRIES_AHEAD: usize = 4;

/// Duty cycles that a new store may take to catch up.
const SWAP_CYCLES_MAX: u32 = 1024;

/// What the control plane can ask for. Looked at once per duty cycle, before the batch.
pub enum FeatureCommand {
    /// From the next event on every record that is applied goes into this ring too, as it came in, without gaps.
    /// The first that finds no room ends the copying.
    Copy(Producer<PaymentRecord>),
    /// Ends the copying.
    StopCopy,
    /// Catches up with the ring that an earlier [`Self::Copy`] feeds, then swaps between two events.
    Swap(Box<Swap>),
}

/// A store that shall take over.
pub struct Swap {
    /// It has every event before `next_sequence`.
    pub store: FeatureStore,
    /// First sequence that it lacks; what the ring holds of earlier ones is left out.
    pub next_sequence: u64,
    /// The events it lacks.
    pub catch_up: Consumer<PaymentRecord>,
}

/// What comes back.
pub enum FeatureRetired {
    /// Copying has ended.
    Copy(Producer<PaymentRecord>),
    /// A swap has ended.
    Swap {
        /// If it was done, the old store is in it; else it is as far as it came.
        swap: Box<Swap>,
        /// Whether the new store serves. If not, it was too slow or an event was missing.
        is_done: bool,
        /// The last event that both stores had, or that the serving one has.
        sequence: u64,
    },
}

/// The control plane's end of an agent is `control::ConductorEnd` of these.
pub type FeatureControl = AgentEnd<FeatureCommand, FeatureRetired>;

/// Gives every payment event its features.
pub struct FeatureAgent {
    input: Consumer<PaymentRecord>,
    output: Producer<FeatureRecord>,
    serving: Serving,
    control: Option<FeatureControl>,
    swap: Option<(Box<Swap>, u32)>,
    /// What could not be retired yet.
    leaving: Option<FeatureRetired>,
    /// The copy ends because its reader has all it needs, not because its ring was full.
    is_copy_unread: bool,
    counters: FeaturesCounters,
    batch_max: usize,
}

/// What the records pass through.
struct Serving {
    store: Box<FeatureStore>,
    /// What of recorded events counts.
    since: Option<Since>,
    /// The sets that served what is recorded.
    formers: Formers,
    copy: Option<Producer<PaymentRecord>>,
    /// The ring of the copy was full: it has a gap.
    is_copy_broken: bool,
    /// The last event that was applied, 0 before the first.
    last_sequence: u64,
    watermarks: Watermarks,
}

impl FeatureAgent {
    /// An agent that serves from `store`, which has every event up to `last_sequence`.
    ///
    /// # Errors
    /// [`FeaturesError`] if the configuration is refused.
    pub fn new(
        config: &FeaturesConfig,
        store: Box<FeatureStore>,
        last_sequence: u64,
        control: Option<FeatureControl>,
        input: Consumer<PaymentRecord>,
        output: Producer<FeatureRecord>,
        counters: &Counters,
    ) -> Result<Self, FeaturesError> {
        config.validate()?;
        let counters = FeaturesCounters::new(counters);
        counters.set_hash.set(store.set_hash());
        counters.show(&store);
        Ok(Self {
            input,
            output,
            serving: Serving {
                store,
                since: None,
                formers: Formers::default(),
                copy: None,
                is_copy_broken: false,
                last_sequence,
                watermarks: Watermarks::new(),
            },
            control,
            swap: None,
            leaving: None,
            is_copy_unread: false,
            counters,
            batch_max: config.batch_max as usize,
        })
    }

    /// Lets events before a time leave only their names, up to a sequence.
    pub fn with_since(mut self, since: Option<Since>) -> Self {
        self.serving.since = since;
        self
    }

    /// Lets the sets that served recorded payments serve them again.
    pub fn with_formers(mut self, formers: Formers) -> Self {
        self.serving.formers = formers;
        self
    }

    /// What the stage knows.
    pub fn store(&self) -> &FeatureStore {
        &self.serving.store
    }

    /// Takes a command if there is one and nothing waits to leave.
    fn obey(&mut self) -> usize {
        if self.control.is_none() {
            return 0;
        }
        self.retire_leaving();
        if self.leaving.is_none() && self.serving.is_copy_broken {
            self.counters.copy_overflows.add(u64::from(!self.is_copy_unread));
            self.end_copy();
        }
        if self.leaving.is_some() {
            return 0;
        }
        match self.control.as_mut().and_then(AgentEnd::next_command) {
            None => return self.catch_up(),
            Some(FeatureCommand::Copy(ring)) => {
                self.end_copy();
                self.serving.copy = Some(ring);
            }
            Some(FeatureCommand::StopCopy) => self.end_copy(),
            Some(FeatureCommand::Swap(swap)) => {
                if let Some((former, _)) = self.swap.replace((swap, 0)) {
                    self.leave_refused(former);
                }
            }
        }
        1
    }

    fn retire_leaving(&mut self) {
        if let (Some(control), Some(leaving)) = (&mut self.control, self.leaving.take()) {
            self.leaving = control.retire(leaving).err();
        }
    }

    /// Something leaves at once, or as soon as there is room.
    fn leave(&mut self, retired: FeatureRetired) {
        debug_assert!(self.leaving.is_none(), "one thing leaves at a time");
        self.leaving = Some(retired);
        self.retire_leaving();
    }

    fn end_copy(&mut self) {
        self.serving.is_copy_broken = false;
        self.is_copy_unread = false;
        if let Some(ring) = self.serving.copy.take() {
            self.leave(FeatureRetired::Copy(ring));
        }
    }

    /// Brings a new store nearer to the serving one, and lets it serve when it is there.
    fn catch_up(&mut self) -> usize {
        let Some((mut swap, cycles)) = self.swap.take() else {
            return 0;
        };
        let (work_count, is_whole) = swap.catch_up(2 * self.batch_max);
        let is_level = swap.catch_up.is_empty() && swap.next_sequence == self.serving.last_sequence + 1;
        if is_whole && !is_level && cycles < SWAP_CYCLES_MAX {
            self.swap = Some((swap, cycles + 1));
            return work_count;
        }
        if !(is_whole && is_level) {
            self.leave_refused(swap);
            return work_count + 1;
        }
        std::mem::swap(&mut *self.serving.store, &mut swap.store);
        self.counters.swaps.increment();
        self.counters.set_hash.set(self.serving.store.set_hash());
        self.counters.show(&self.serving.store);
        // Nobody reads the copy any more; the ring leaves when the old store has left.
        self.is_copy_unread = self.serving.copy.is_some();
        self.serving.is_copy_broken = self.is_copy_unread;
        self.leave(FeatureRetired::Swap {
            swap,
            is_done: true,
            sequence: self.serving.last_sequence,
        });
        work_count + 1
    }

    /// Hands a store back that does not get to serve.
    fn leave_refused(&mut self, swap: Box<Swap>) {
        self.counters.swaps_refused.increment();
        self.leave(FeatureRetired::Swap {
            swap,
            is_done: false,
            sequence: self.serving.last_sequence,
        });
    }
}

impl Swap {
    /// Applies up to `count_max` events of the ring. Returns how many, and whether none was missing.
    fn catch_up(&mut self, count_max: usize) -> (usize, bool) {
        let Self {
            store,
            next_sequence,
            catch_up,
        } = self;
        let mut vector = [0.0; FEATURES_MAX];
        let mut is_whole = true;
        let count = catch_up.read_while(count_max, |payment| {
            let sequence = payment.origin.sequence;
            is_whole = sequence <= *next_sequence;
            if sequence == *next_sequence {
                store.apply(payment, &mut vector);
                *next_sequence += 1;
            }
            is_whole
        });
        (count, is_whole)
    }
}

impl Serving {
    /// Gives one event its features.
    fn serve(&mut self, payment: &PaymentRecord, slot: &mut FeatureRecord) {
        slot.payment = *payment;
        slot.payment.feature_set_hash = self.store.set_hash();
        match self.since {
            None => self.store.apply(payment, &mut slot.features),
            Some(since) => self.store.apply(&since.shape(payment), &mut slot.features),
        }
        if !self.formers.is_empty()
            && let Some(set_hash) = self.formers.apply(payment, &mut slot.features)
        {
            slot.payment.feature_set_hash = set_hash;
        }
        self.last_sequence = payment.origin.sequence;
        let origin = &payment.origin;
        if origin.kind == payment_kind::TRANSACTION {
            self.watermarks.note(origin.publisher_id, origin.event_ns);
        }
        if let Some(copy) = &mut self.copy
            && !self.is_copy_broken
        {
            self.is_copy_broken = !copy.try_push(payment);
        }
    }
}

impl Agent for FeatureAgent {
    fn name(&self) -> &str {
        "features"
    }

    fn do_work(&mut self, _now_ns: i64) -> usize {
        let commands = self.obey();
        if self.input.is_empty() {
            return commands;
        }
        let Self {
            input,
            output,
            serving,
            counters,
            ..
        } = self;
        let room = output.room(self.batch_max);
        counters.output_full.add(u64::from(room == 0));
        let work_count = input.read_slices(room, |first, second| {
            let payment_at = |index: usize| first.get(index).or_else(|| second.get(index - first.len()));
            (0..ROWS_AHEAD)
                .filter_map(payment_at)
                .for_each(|payment| serving.store.prefetch_rows(payment));
            (0..ENTRIES_AHEAD)
                .filter_map(payment_at)
                .for_each(|payment| serving.store.prefetch_entries(payment));
            for (index, payment) in first.iter().chain(second).enumerate() {
                if let Some(payment) = payment_at(index + ROWS_AHEAD) {
                    serving.store.prefetch_rows(payment);
                }
                if let Some(payment) = payment_at(index + ENTRIES_AHEAD) {
                    serving.store.prefetch_entries(payment);
                }
                let is_transaction = payment.origin.kind == payment_kind::TRANSACTION;
                let counter = if is_transaction {
                    &counters.transactions
                } else {
                    &counters.passed
                };
                counter.increment();
                let is_pushed = output.push_with(|slot| serving.serve(payment, slot));
                assert!(is_pushed, "the room was asked for before the batch was read");
            }
        });
        counters.show(&serving.store);
        let oldest_ns = serving.watermarks.oldest_ns();
        counters.oldest_watermark_ns.set(oldest_ns.max(0) as u64);
        commands + work_count
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }
}
