//! One lane's decisions on their way to the gate: what was seen of the foremost, and the hash over all.
//!
//! ```text
//!   ring ──▶ foremost decision ──┬─ no action, or published before the restart ──▶ counted
//!                                ├─ gate closed, no room, nobody there ──▶ stays in the ring, and all behind it
//!                                └─ sent ──▶ counted, journaled
//! ```
//!
//! Invariant: decisions leave a lane in the order of their sequences; the hash covers each exactly once.

use pinion_journal::Recovery;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::FaultKind;
use pinion_schemas::hash::DecisionHash;
use pinion_schemas::records::DecisionRecord;
use pinion_schemas::wire::Action;

use crate::counters::LaneCounters;

/// How far a lane's decisions came: what a checkpoint must know of them to go on from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecisionMark {
    /// Sequence of the last event decided.
    pub sequence: u64,
    /// Sequence of the last of these whose decision has an action, and so stands in the journal, or will.
    pub answered_sequence: u64,
    /// The hash over every decision up to `sequence`.
    pub hash: DecisionHash,
}

impl DecisionMark {
    /// As plain numbers.
    #[must_use]
    pub fn words(self) -> [u64; 3] {
        [self.sequence, self.answered_sequence, self.hash.value()]
    }

    /// From what [`Self::words`] gave.
    #[must_use]
    pub fn from_words([sequence, answered_sequence, hash]: [u64; 3]) -> Self {
        Self {
            sequence,
            answered_sequence,
            hash: DecisionHash::resumed(hash),
        }
    }
}

/// What the journal knew of a lane when the engine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneResume {
    /// Where the lane goes on; everything up to there is not decided again. The default: from the first event.
    pub mark: DecisionMark,
    /// Sequence of the last event whose decision is recorded: up to it nothing is published again.
    pub decided_sequence: u64,
    /// Sequence of the last recorded event: decisions up to it carry the flag `RECOVERED`.
    pub recorded_sequence: u64,
}

/// What the journal knew when the engine started; the default for a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Of the market lane.
    pub market: LaneResume,
    /// Of the payment lane.
    pub payment: LaneResume,
}

impl From<&Recovery> for Resume {
    fn from(recovery: &Recovery) -> Self {
        let (decided, recorded) = (recovery.last_decision_sequence, recovery.last_sequence);
        Self {
            market: LaneResume {
                decided_sequence: decided.market,
                mark: DecisionMark::default(),
                recorded_sequence: recorded.market,
            },
            payment: LaneResume {
                decided_sequence: decided.payment,
                mark: DecisionMark::default(),
                recorded_sequence: recorded.payment,
            },
        }
    }
}

/// Why the foremost decision stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    Gate,
    Room,
    Listener,
}

/// What became of the foremost decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It asks for no answer.
    NoAction,
    /// It was published before the restart.
    Resumed,
    /// It was handed to the bus.
    Published,
    /// Nobody listens.
    Unheard,
    /// No message can hold it.
    TooLong,
}

/// The foremost decision of a lane while it waits.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// 0: nothing waits.
    sequence: u64,
    since_ns: i64,
    is_gated: bool,
    is_told: bool,
}

/// What publish knows of one lane beside the ring.
pub(crate) struct LaneState {
    resume: LaneResume,
    mark: DecisionMark,
    head: Head,
    stalled_after_ns: i64,
    counters: LaneCounters,
}

impl LaneState {
    pub(crate) fn new(lane: &str, resume: LaneResume, stalled_after_ns: i64, counters: &Counters) -> Self {
        let counters = LaneCounters::new(counters, lane);
        let mark = resume.mark;
        counters.decision_hash.set(mark.hash.value());
        Self {
            resume,
            mark,
            head: Head::default(),
            stalled_after_ns,
            counters,
        }
    }

    /// The hash over every decision so far.
    pub(crate) fn hash(&self) -> u64 {
        self.mark.hash.value()
    }

    /// How far the lane came.
    pub(crate) fn mark(&self) -> DecisionMark {
        self.mark
    }

    /// What becomes of a decision without looking at the gate or the bus, if that is all there is to it.
    pub(crate) fn fate_at_once(&self, record: &DecisionRecord) -> Option<Fate> {
        if record.action == Action::None.0 {
            Some(Fate::NoAction)
        } else if record.sequence <= self.resume.decided_sequence {
            Some(Fate::Resumed)
        } else {
            None
        }
    }

    /// Whether the event was recorded before the restart.
    pub(crate) fn is_recovered(&self, record: &DecisionRecord) -> bool {
        record.sequence <= self.resume.recorded_sequence
    }

    /// Takes note of a decision that leaves the ring.
    pub(crate) fn leave(&mut self, record: &DecisionRecord, fate: Fate) {
        self.head = Head::default();
        self.mark.sequence = record.sequence;
        self.mark.hash.add(record.core());
        if fate != Fate::NoAction {
            self.mark.answered_sequence = record.sequence;
        }
        self.counters.decided.increment();
        self.counters.action(Action(record.action)).increment();
        match fate {
            Fate::NoAction => {}
            Fate::Resumed => self.counters.resumed.increment(),
            Fate::Published => self.counters.published.increment(),
            Fate::Unheard => self.counters.unheard.increment(),
            Fate::TooLong => self.counters.too_long.increment(),
        }
        if fate == Fate::Published && self.is_recovered(record) {
            self.counters.recovered.increment();
        }
    }

    /// Takes note of a decision that stays. Returns the fault, once, when it has stayed too long.
    pub(crate) fn stay(
        &mut self,
        record: &DecisionRecord,
        obstacle: Obstacle,
        now_ns: i64,
    ) -> Option<FaultKind> {
        if self.head.sequence != record.sequence {
            self.head = Head {
                sequence: record.sequence,
                since_ns: now_ns,
                ..Head::default()
            };
        }
        if obstacle == Obstacle::Gate && !self.head.is_gated {
            self.head.is_gated = true;
            self.counters.gated.increment();
        }
        if self.head.is_told || now_ns - self.head.since_ns < self.stalled_after_ns {
            return None;
        }
        self.head.is_told = true;
        Some(match obstacle {
            Obstacle::Gate => FaultKind::GateStalled,
            Obstacle::Room => FaultKind::PublishBackPressured,
            Obstacle::Listener => FaultKind::PublishNotConnected,
        })
    }

    /// Shows the hash to whoever reads the counters.
    pub(crate) fn show_hash(&self) {
        self.counters.decision_hash.set(self.mark.hash.value());
    }
}
