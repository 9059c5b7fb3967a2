//! Proves that a journal's decisions follow from its inputs, or shows the first one that does not.
//!
//! ```text
//!   recorded inputs ──▶ [Session] ──replayed decisions──┐
//!                                                       ├─ lane by lane, sequence by sequence, byte by byte
//!   recorded decisions of each lane ────────────────────┘
//! ```
//!
//! What is compared is [`DecisionRecord::core`], 192 bytes; stamps of the engine's clock come after it.
//! Decisions without an action are not recorded: they show in the hashes, which cover every decision.
//!
//! | recorded | replayed | it is |
//! |---|---|---|
//! | a decision | the same bytes | fine |
//! | a decision | other bytes | [`Difference::Fields`] |
//! | none, though later ones are | a decision | [`Difference::Missing`] |
//! | none, nor any later, no orderly close | a decision | undecided: the engine died before it was recorded |
//! | a decision | none | [`Difference::Extra`] |
//!
//! Invariant: the first difference is the one of the lowest input index, in whatever order the lanes come.

use std::path::Path;
use std::time::Duration;

use pinion_journal::{JournalError, Tail};
use pinion_node::Config;
use pinion_schemas::hash;
use pinion_schemas::records::DecisionRecord;
use pinion_schemas::wire::Lane;

use crate::difference::Difference;
use crate::session::{Progress, ReplayError, Session};
use crate::sources::{RecordedDecisions, RecordedJournal, Survey};

/// What was found of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneVerdict {
    /// Inputs decided again.
    pub inputs: u64,
    /// Recorded decisions compared with replayed ones.
    pub compared: u64,
    /// Decisions that differ, are missing, or are too many.
    pub different: u64,
    /// Decisions at the end that the engine did not live to record.
    pub undecided: u64,
    /// Rolling hash over all replayed decisions, those without an action too.
    pub decision_hash: u64,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Inputs run through the pipeline.
    pub inputs: u64,
    /// The market lane.
    pub market: LaneVerdict,
    /// The payments lane.
    pub payments: LaneVerdict,
    /// The difference of the lowest input index; none: the decisions are the recorded ones, byte for byte.
    pub first_difference: Option<Difference>,
    /// What stands behind the journal's last intact entry.
    pub tail: Tail,
    /// The journal ends with the mark of an orderly close.
    pub is_closed: bool,
    /// How long the pipeline ran.
    pub elapsed: Duration,
}

impl Verdict {
    /// Whether every decision is the recorded one.
    pub fn is_identical(&self) -> bool {
        self.first_difference.is_none()
    }

    /// Decisions compared, of both lanes.
    pub fn compared(&self) -> u64 {
        self.market.compared + self.payments.compared
    }

    /// Differences of both lanes.
    pub fn different(&self) -> u64 {
        self.market.different + self.payments.different
    }

    /// Decisions at the end that the engine did not live to record, of both lanes.
    pub fn undecided(&self) -> u64 {
        self.market.undecided + self.payments.undecided
    }

    /// Both lanes' decision hashes in one.
    pub fn decision_hash(&self) -> u64 {
        hash::combine(self.market.decision_hash, self.payments.decision_hash)
    }

    /// Inputs per second.
    pub fn events_per_second(&self) -> f64 {
        self.inputs as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The verdict on a journal that another configuration wrote: nothing was run.
    fn of_another_configuration(survey: &Survey, difference: Difference) -> Self {
        Self {
            inputs: 0,
            market: LaneVerdict::default(),
            payments: LaneVerdict::default(),
            first_difference: Some(difference),
            tail: survey.tail,
            is_closed: survey.is_closed,
            elapsed: Duration::ZERO,
        }
    }
}

/// Runs the journal in `journal_dir` through the topology of `config` and compares every decision.
///
/// A journal that was written under another configuration is told by its hash and not run.
///
/// # Errors
/// The journal is damaged or empty, or a stage of the configuration cannot be built.
///
/// Cost: a pass over the journal to find its end, one for the inputs and one for each lane's decisions, and the
///       pipeline's own; memory as the configuration's tables, whatever the journal's length.
pub fn verify(
    config: &Config,
    journal_dir: &Path,
    progress: impl FnMut(Progress),
) -> Result<Verdict, ReplayError> {
    let journal = RecordedJournal::open(journal_dir)?;
    let survey = journal.survey();
    if let Some(difference) = other_configuration(survey, config.decision_hash()) {
        return Ok(Verdict::of_another_configuration(survey, difference));
    }
    let mut market = Comparison::new(journal.decisions(Lane::Market)?)?;
    let mut payments = Comparison::new(journal.decisions(Lane::Payment)?)?;
    let compare = |record: &DecisionRecord| {
        if record.lane == Lane::Market.0 {
            market.take(record)
        } else {
            payments.take(record)
        }
    };
    let replayed = Session::new(config, &journal)?.run(compare, progress)?;
    market.finish(survey.is_closed)?;
    payments.finish(survey.is_closed)?;
    let accounts = &replayed.accounts;
    let refused = (replayed.inputs_refused > 0).then_some(Difference::Refused {
        inputs: replayed.inputs_refused,
    });
    Ok(Verdict {
        inputs: replayed.inputs,
        first_difference: first(&market, &payments).or(refused),
        market: market.verdict(accounts.market.decided, accounts.market.decision_hash),
        payments: payments.verdict(accounts.payments.decided, accounts.payments.decision_hash),
        tail: survey.tail,
        is_closed: survey.is_closed,
        elapsed: replayed.elapsed,
    })
}

/// The first part of the journal that was not written under `in_force`.
fn other_configuration(survey: &Survey, in_force: u64) -> Option<Difference> {
    let other = survey
        .configurations
        .iter()
        .find(|written| written.config_hash != in_force)?;
    Some(Difference::Configuration {
        recorded: format!("{:016x}", other.config_hash),
        in_force: format!("{in_force:016x}"),
        segment_id: other.segment_id,
    })
}

/// The earlier of the two lanes' first differences.
fn first(market: &Comparison, payments: &Comparison) -> Option<Difference> {
    let found = [&market.first, &payments.first].into_iter().flatten();
    found
        .min_by_key(|(input_index, _)| *input_index)
        .map(|(_, difference)| difference.clone())
}

/// One lane: its recorded decisions, and what the replayed ones turned out to be.
struct Comparison {
    recorded: RecordedDecisions,
    /// The next recorded decision.
    head: Option<DecisionRecord>,
    compared: u64,
    different: u64,
    undecided: u64,
    first: Option<(u64, Difference)>,
    /// The first replayed decision after the last recorded one.
    first_undecided: Option<DecisionRecord>,
}

impl Comparison {
    fn new(mut recorded: RecordedDecisions) -> Result<Self, JournalError> {
        let head = recorded.next_decision()?;
        let (compared, different, undecided) = (0, 0, 0);
        Ok(Self {
            recorded,
            head,
            compared,
            different,
            undecided,
            first: None,
            first_undecided: None,
        })
    }

    /// Compares the next replayed decision of the lane.
    fn take(&mut self, replayed: &DecisionRecord) -> Result<(), JournalError> {
        while let Some(recorded) = self.head.filter(|head| head.sequence < replayed.sequence) {
            self.note(recorded.input_index, Difference::extra(&recorded));
            self.head = self.recorded.next_decision()?;
        }
        match self.head {
            Some(recorded) if recorded.sequence == replayed.sequence => {
                self.compared += 1;
                if let Some(difference) = Difference::between(&recorded, replayed) {
                    self.note(replayed.input_index, difference);
                }
                self.head = self.recorded.next_decision()?;
            }
            Some(_) => self.note(replayed.input_index, Difference::missing(replayed)),
            None => {
                self.undecided += 1;
                self.first_undecided.get_or_insert(*replayed);
            }
        }
        Ok(())
    }

    /// Nothing more is replayed: what is left in the journal is too much, and after an orderly close nothing may
    /// be undecided.
    fn finish(&mut self, is_closed: bool) -> Result<(), JournalError> {
        while let Some(recorded) = self.head {
            self.note(recorded.input_index, Difference::extra(&recorded));
            self.head = self.recorded.next_decision()?;
        }
        if let Some(undecided) = self.first_undecided.filter(|_| is_closed) {
            self.note(undecided.input_index, Difference::missing(&undecided));
            self.different += self.undecided - 1;
            self.undecided = 0;
        }
        Ok(())
    }

    fn note(&mut self, input_index: u64, difference: Difference) {
        self.different += 1;
        self.first.get_or_insert((input_index, difference));
    }

    fn verdict(&self, inputs: u64, decision_hash: u64) -> LaneVerdict {
        let Self {
            compared,
            different,
            undecided,
            ..
        } = *self;
        LaneVerdict {
            inputs,
            compared,
            different,
            undecided,
            decision_hash,
        }
    }
}
