//! How another model, or the same one with another bank, takes over while the stage runs.
//!
//! ```text
//!   conductor ── Copy(ring) ──▶ each record that is scored goes into the ring, too
//!       │ brings the cases up from the journal to the first record in the ring, then from the ring
//!       └────── Swap(scorer) ──▶ it takes the rest of the ring, then it scores; the former one is retired
//! ```
//!
//! When a journal is run again, [`Successor`]s take over where their like did.
//!
//! Invariant: a record is scored by one model, and which it is changes between two records; nothing waits for it, and
//! nothing is taken or freed here but the memory of a successor's predecessor, in recovery.

use std::collections::VecDeque;

use pinion_runtime::control::AgentEnd;
use pinion_runtime::ring::{Consumer, Producer};
use pinion_schemas::records::{FeatureRecord, decision_flag};

use crate::counters::ScoreCounters;
use crate::encoder::ROWS_MAX;
use crate::scorer::Scorer;

/// Duty cycles that a new scorer may take to catch up.
const SWAP_CYCLES_MAX: u32 = 4096;

/// Records that a new scorer catches up with in a duty cycle, beside two for each that is scored in it.
const CATCH_UP_MIN: usize = 2;

/// What the control plane can ask for. Looked at once per duty cycle, before the batch.
pub enum ScoreCommand {
    /// From the next record on every record that is scored goes into this ring too, without gaps. The first that finds
    /// no room ends the copying.
    Copy(Producer<FeatureRecord>),
    /// Catches up with the ring that an earlier [`Self::Copy`] feeds, then swaps between two records.
    Swap(Box<Swap>),
}

/// A scorer that shall take over.
pub struct Swap {
    /// It has every record before `next_sequence`.
    pub scorer: Scorer,
    /// First sequence that it lacks; what the ring holds of earlier ones is left out.
    pub next_sequence: u64,
    /// The records it lacks.
    pub catch_up: Consumer<FeatureRecord>,
}

/// What comes back, to be dropped.
pub enum ScoreRetired {
    /// Copying has ended.
    Copy(Producer<FeatureRecord>),
    /// A swap has ended.
    Swap {
        /// If it was done, the former scorer is in it; else it is as far as it came.
        swap: Box<Swap>,
        /// Whether the new scorer scores. If not, it was too slow or a record was missing.
        is_done: bool,
        /// The last record that both scorers had, or that the one in force has.
        sequence: u64,
    },
}

/// The control plane's end of an agent is `control::ConductorEnd` of these.
pub type ScoreControl = AgentEnd<ScoreCommand, ScoreRetired>;

/// A scorer that takes over at a place that is known before.
pub struct Successor {
    /// The last record that it does not score. It has every record up to it.
    pub sequence: u64,
    /// It.
    pub scorer: Box<Scorer>,
}

/// What an agent knows of exchanges.
#[derive(Default)]
pub struct Exchanges {
    /// The way for commands.
    pub control: Option<ScoreControl>,
    /// Those that take over in what is recorded, in order.
    pub successors: VecDeque<Successor>,
    /// The last record that the agent's scorer has, 0 before the first.
    pub last_sequence: u64,
    /// Whether scorers were exchanged an odd number of times before.
    pub is_odd: bool,
}

/// The agent's part of an exchange.
#[derive(Default)]
pub(crate) struct Exchange {
    known: Exchanges,
    swap: Option<(Box<Swap>, u32)>,
    /// What could not be retired yet.
    leaving: Option<ScoreRetired>,
    copy: Option<Producer<FeatureRecord>>,
    /// The ring of the copy was full: it has a gap.
    is_copy_broken: bool,
    /// The copy ends because its reader has all it needs, not because its ring was full.
    is_copy_unread: bool,
    /// Records since the last duty cycle.
    taken: usize,
}

impl Exchange {
    pub(crate) fn new(known: Exchanges) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// Whether the scorer is the one that will be in force.
    pub(crate) fn is_settled(&self) -> bool {
        self.known.successors.is_empty()
    }

    /// What stands in the flags of a decision.
    #[inline]
    pub(crate) fn flag(&self) -> u8 {
        if self.known.is_odd {
            decision_flag::EXCHANGED
        } else {
            0
        }
    }

    /// How many of `records` the scorer takes before another one takes over; at least one. Whoever is due takes over.
    pub(crate) fn run_len(&mut self, scorer: &mut Scorer, records: &[FeatureRecord]) -> usize {
        if self.is_settled() {
            return records.len();
        }
        self.succeed(scorer, records[0].payment.origin.sequence - 1);
        let Some(next) = self.known.successors.front() else {
            return records.len();
        };
        let is_before = |record: &FeatureRecord| record.payment.origin.sequence <= next.sequence;
        records.partition_point(is_before)
    }

    /// The agent's scorer has taken `records`.
    #[inline]
    pub(crate) fn note(&mut self, scorer: &mut Scorer, records: &[FeatureRecord]) {
        let Some(last) = records.last() else { return };
        self.known.last_sequence = last.payment.origin.sequence;
        self.taken += records.len();
        if !self.is_settled() {
            self.succeed(scorer, self.known.last_sequence);
        }
        if let Some(copy) = &mut self.copy
            && !self.is_copy_broken
        {
            self.is_copy_broken = !records.iter().all(|record| copy.try_push(record));
        }
    }

    /// Lets those take over whose time comes behind `last_sequence`. Of what is recorded only, so that the former ones
    /// may go here.
    fn succeed(&mut self, scorer: &mut Scorer, last_sequence: u64) {
        let is_due = |next: &mut Successor| next.sequence <= last_sequence;
        while let Some(mut next) = self.known.successors.pop_front_if(is_due) {
            std::mem::swap(scorer, &mut next.scorer);
            self.known.is_odd = !self.known.is_odd;
        }
    }

    /// Takes a command if there is one and nothing waits to leave.
    ///
    /// Cost: one load when nothing waits.
    #[inline]
    pub(crate) fn obey(&mut self, scorer: &mut Scorer, counters: &ScoreCounters) -> usize {
        if self.known.control.is_none() {
            return 0;
        }
        self.obey_now(scorer, counters)
    }

    fn obey_now(&mut self, scorer: &mut Scorer, counters: &ScoreCounters) -> usize {
        let taken = std::mem::take(&mut self.taken);
        self.retire_leaving();
        if self.leaving.is_none() && self.is_copy_broken {
            counters.copy_overflows.add(u64::from(!self.is_copy_unread));
            self.end_copy();
        }
        if self.leaving.is_some() {
            return 0;
        }
        match self.known.control.as_mut().and_then(AgentEnd::next_command) {
            None => return self.catch_up(scorer, counters, CATCH_UP_MIN + 2 * taken),
            Some(ScoreCommand::Copy(ring)) => {
                self.end_copy();
                self.copy = Some(ring);
            }
            Some(ScoreCommand::Swap(swap)) => {
                if let Some((former, _)) = self.swap.replace((swap, 0)) {
                    self.leave_refused(former, counters);
                }
            }
        }
        1
    }

    fn retire_leaving(&mut self) {
        if let (Some(control), Some(leaving)) = (&mut self.known.control, self.leaving.take()) {
            self.leaving = control.retire(leaving).err();
        }
    }

    /// Something leaves at once, or as soon as there is room.
    fn leave(&mut self, retired: ScoreRetired) {
        debug_assert!(self.leaving.is_none(), "one thing leaves at a time");
        self.leaving = Some(retired);
        self.retire_leaving();
    }

    fn end_copy(&mut self) {
        self.is_copy_broken = false;
        self.is_copy_unread = false;
        if let Some(ring) = self.copy.take() {
            self.leave(ScoreRetired::Copy(ring));
        }
    }

    /// Brings a new scorer nearer to the serving one, and lets it score when it is there.
    fn catch_up(&mut self, scorer: &mut Scorer, counters: &ScoreCounters, count_max: usize) -> usize {
        let Some((mut swap, cycles)) = self.swap.take() else {
            return 0;
        };
        let last_sequence = self.known.last_sequence;
        let (work_count, is_whole) = swap.catch_up(count_max);
        let is_level = swap.catch_up.is_empty() && swap.next_sequence == last_sequence + 1;
        if is_whole && !is_level && cycles < SWAP_CYCLES_MAX {
            self.swap = Some((swap, cycles + 1));
            return work_count;
        }
        if !(is_whole && is_level) {
            self.leave_refused(swap, counters);
            return work_count + 1;
        }
        std::mem::swap(scorer, &mut swap.scorer);
        self.known.is_odd = !self.known.is_odd;
        counters.swaps.increment();
        counters.show(scorer);
        // Nobody reads the copy any more; the ring leaves when the former scorer has left.
        self.is_copy_unread = self.copy.is_some();
        self.is_copy_broken = self.is_copy_unread;
        self.leave(ScoreRetired::Swap {
            swap,
            is_done: true,
            sequence: last_sequence,
        });
        work_count + 1
    }

    /// Hands a scorer back that does not get to score.
    fn leave_refused(&mut self, swap: Box<Swap>, counters: &ScoreCounters) {
        counters.swaps_refused.increment();
        self.leave(ScoreRetired::Swap {
            swap,
            is_done: false,
            sequence: self.known.last_sequence,
        });
    }
}

impl Swap {
    /// Takes up to `count_max` records of the ring, as many at once as are encoded at once. Returns how many, and
    /// whether none was missing.
    fn catch_up(&mut self, count_max: usize) -> (usize, bool) {
        let Self {
            scorer,
            next_sequence,
            catch_up,
        } = self;
        let mut is_whole = true;
        let count = catch_up.read_slices(count_max.min(ROWS_MAX), |first, second| {
            for records in [first, second] {
                let is_known = |record: &&FeatureRecord| record.payment.origin.sequence < *next_sequence;
                let lacking = &records[records.iter().take_while(is_known).count()..];
                let mut pairs = lacking.iter().zip(*next_sequence..);
                is_whole &= pairs.all(|(record, sequence)| record.payment.origin.sequence == sequence);
                if is_whole {
                    scorer.apply_all(lacking, |_, _| ());
                    *next_sequence += lacking.len() as u64;
                }
            }
        });
        (count, is_whole)
    }
}
