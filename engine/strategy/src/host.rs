//! The boundary between a module and the engine.
//!
//! Invariant: a panic in a module ends the module, not the stage: from then on the fallback decides. What
//! leaves here for an event is an answer that the event admits.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pinion_schemas::hash;
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use pinion_schemas::records::{DecisionRecord, Origin, REASONS_MAX, ScoredRecord, decision_flag};
use pinion_schemas::wire::Lane;
use pinion_strategies_api::{Action, Answer, Descriptor, reasons};

use crate::config::Fallback;
use crate::counters::StrategyCounters;

/// What is around a module: its standing, its fallback and its counters.
pub(crate) struct Host {
    fallback: Fallback,
    counters: StrategyCounters,
    is_quarantined: bool,
    strategy_hash: u64,
    config_hash: u64,
}

/// What an event asks of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A transaction: approve, review or decline.
    Payment,
    /// A market event: a signal, or none.
    Signal,
    /// A label or an account change: nothing.
    Nothing,
}

impl Question {
    /// Whether `action` is an answer.
    fn admits(self, action: Action) -> bool {
        match self {
            Self::Payment => matches!(action, Action::Approve | Action::Review | Action::Decline),
            Self::Signal => matches!(action, Action::None | Action::Buy | Action::Sell),
            Self::Nothing => action == Action::None,
        }
    }
}

/// What a decision takes over from its event beside the origin.
pub(crate) struct Subject {
    pub(crate) name: Id,
    pub(crate) instrument: u32,
    /// Used when the answer gives no value of its own.
    pub(crate) amount_minor: i64,
    pub(crate) model_hash: u64,
    /// What the event's features were read by; `None` on the market lane, which has none.
    pub(crate) feature_set_hash: Option<u64>,
    pub(crate) scored_ns: i64,
    /// The model's reasons with their deviations; 0: none.
    pub(crate) reasons: ([u16; REASONS_MAX], [i16; REASONS_MAX]),
}

impl Host {
    pub(crate) fn new(
        descriptor: &Descriptor,
        fallback: Fallback,
        config_hash: u64,
        counters: StrategyCounters,
    ) -> Self {
        let strategy_hash = strategy_hash(descriptor);
        Self {
            fallback,
            counters,
            is_quarantined: false,
            strategy_hash,
            config_hash,
        }
    }

    pub(crate) fn counters(&self) -> &StrategyCounters {
        &self.counters
    }

    /// Calls the module unless it is quarantined. Returns the answer and whether the module gave it.
    pub(crate) fn ask(&mut self, question: Question, call: impl FnOnce(&mut Answer)) -> (Answer, bool) {
        self.counters.events.increment();
        if self.is_quarantined {
            return (self.fall_back(question, reasons::QUARANTINED), false);
        }
        let mut answer = Answer::default();
        // What the module leaves half done is its own state, and it is never called again.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(&mut answer))) {
            // The payload is the module's own type: dropping it could panic again. It is leaked, once.
            std::mem::forget(payload);
            self.counters.panics.increment();
            self.counters.quarantined.set(1);
            self.is_quarantined = true;
            return (self.fall_back(question, reasons::QUARANTINED), false);
        }
        if !answer.score.is_finite() || !question.admits(answer.action) {
            self.counters.invalid_answers.increment();
            return (self.fall_back(question, reasons::INVALID_ANSWER), false);
        }
        if answer.action != Action::None {
            self.counters.answers.increment();
        }
        (answer, true)
    }

    /// The fallback decides on transactions alone: elsewhere no answer is the mild one.
    fn fall_back(&self, question: Question, reason: u16) -> Answer {
        let mut answer = Answer::default();
        if question == Question::Payment {
            self.counters.fallbacks.increment();
            answer.action = self.fallback.action();
            answer.add_reason(reason);
        }
        answer
    }

    /// Writes the whole decision.
    pub(crate) fn write(
        &self,
        decision: &mut DecisionRecord,
        (lane, origin, subject): (Lane, &Origin, &Subject),
        (answer, is_modules): (&Answer, bool),
        now_ns: i64,
    ) {
        let mut codes = [0; REASONS_MAX];
        codes[..answer.reasons().len()].copy_from_slice(answer.reasons());
        let unscored = origin.flags & (decision_flag::DEGRADED | decision_flag::SHED);
        let by_fallback = if is_modules { 0 } else { decision_flag::DEGRADED };
        *decision = DecisionRecord {
            sequence: origin.sequence,
            input_session: origin.publisher_session,
            input_sequence: origin.publisher_sequence,
            event_ns: origin.event_ns,
            value: if lane == Lane::Payment {
                subject.amount_minor
            } else {
                answer.value
            },
            quantity: answer.quantity,
            model_hash: subject.model_hash,
            strategy_hash: self.strategy_hash,
            config_hash: config_hash_under(self.config_hash, subject.feature_set_hash),
            reasons: codes,
            input_publisher_id: origin.publisher_id,
            score: answer.score,
            lane: lane.0,
            action: answer.action.0,
            reason_count: answer.reasons().len() as u8,
            flags: unscored | by_fallback,
            subject: subject.name,
            instrument: subject.instrument,
            deviations: codes.map(|code| subject.deviation(code)),
            ingest_ns: origin.ingest_ns,
            scored_ns: subject.scored_ns,
            decided_ns: now_ns.max(subject.scored_ns),
            input_index: origin.input_index,
            run_flags: origin.flags & (decision_flag::RECOVERED | decision_flag::EXCHANGED),
            ..DecisionRecord::default()
        };
    }
}

impl Subject {
    /// A payment's.
    pub(crate) fn payment(event: &ScoredRecord) -> Self {
        let (payment, score) = (&event.payment, &event.score);
        Self {
            name: payment.transaction_id,
            instrument: DENSE_ID_NONE,
            amount_minor: payment.amount_minor,
            model_hash: score.model_hash,
            feature_set_hash: Some(payment.feature_set_hash),
            scored_ns: score.scored_ns,
            reasons: (score.reasons, score.deviations),
        }
    }

    /// A market event's.
    pub(crate) fn instrument(instrument: u32, booked_ns: i64) -> Self {
        Self {
            name: Id::NONE,
            instrument,
            amount_minor: 0,
            model_hash: 0,
            feature_set_hash: None,
            scored_ns: booked_ns,
            reasons: Default::default(),
        }
    }

    /// How far the feature with this code is from usual, if it is a reason of the model.
    fn deviation(&self, code: u16) -> i16 {
        let (codes, deviations) = &self.reasons;
        let place = codes.iter().position(|&known| known == code && known != 0);
        place.map_or(0, |place| deviations[place])
    }
}

/// What stands in a decision as the hash of its configuration: a payment's tells which feature set was in force
/// too, for the set may be exchanged while the configuration stays.
pub fn config_hash_under(config_hash: u64, feature_set_hash: Option<u64>) -> u64 {
    feature_set_hash.map_or(config_hash, |set| hash::combine(config_hash, set))
}

/// The hash of a module and its parameters that stands in its decisions: the first eight bytes, little endian,
/// of the BLAKE3 hash of `name`, a zero byte, the version as text, a zero byte, and the canonical parameters.
pub fn strategy_hash(descriptor: &Descriptor) -> u64 {
    let text = format!(
        "{}\0{}\0{}",
        descriptor.name, descriptor.version, descriptor.parameters
    );
    pinion_runtime::hash::short(text.as_bytes())
}
