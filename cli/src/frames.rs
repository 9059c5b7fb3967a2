//! Decisions and rejects as people and programs read them.
//!
//! Invariant: JSON holds every field of the frame under the schema's name; hashes are 16 hexadecimal digits,
//! because numbers of 64 bits do not survive every reader of JSON.

use pinion_replay::import::time::format_time;
use pinion_schemas::ids::Id;
use pinion_schemas::records::decision_flag;
use pinion_schemas::wire::{Action, Decision, FrameHeader, Lane, RejectHot, RejectReason};
use pinion_strategies_api::reasons;
use serde::Serialize;

/// The codes that are not a feature's, with their names.
const REASONS: [(u16, &str); 9] = [
    (reasons::DEGRADED, "degraded"),
    (reasons::QUARANTINED, "quarantined"),
    (reasons::INVALID_ANSWER, "invalid-answer"),
    (reasons::SHED, "shed"),
    (reasons::SCORE_HIGH, "score-high"),
    (reasons::SCORE_MEDIUM, "score-medium"),
    (reasons::AMOUNT_HIGH, "amount-high"),
    (reasons::BOOK_LEANS_TO_BID, "book-leans-to-bid"),
    (reasons::BOOK_LEANS_TO_ASK, "book-leans-to-ask"),
];

/// Who sent a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sender {
    /// The publisher.
    pub publisher_id: u32,
    /// Its session.
    pub session: u64,
    /// Its count.
    pub sequence: u64,
}

/// A decision as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownDecision {
    kind: &'static str,
    /// The lane.
    pub lane: &'static str,
    /// Place of the event in its lane.
    pub sequence: u64,
    action: &'static str,
    score: f32,
    subject: String,
    value: i64,
    quantity: i64,
    reasons: Vec<String>,
    /// Beside the reasons; 0 of one that is no feature. Unit: standard deviations.
    deviations: Vec<f64>,
    event_ns: i64,
    ingest_ns: i64,
    scored_ns: i64,
    decided_ns: i64,
    published_ns: i64,
    model_hash: String,
    strategy_hash: String,
    config_hash: String,
    /// Decided after a restart.
    pub is_recovered: bool,
    is_degraded: bool,
    is_shed: bool,
    /// Who sent the event.
    input: Sender,
    /// The engine that sent the decision.
    pub engine: Sender,
}

/// A reject as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownReject {
    kind: &'static str,
    lane: &'static str,
    reason: &'static str,
    found: u64,
    expected: u64,
    frame_len: u32,
    ingest_ns: i64,
    /// Who sent the frame, as far as it could be read.
    input: Sender,
    /// The engine that refused it.
    pub engine: Sender,
}

/// The heading of [`ShownDecision::text`] and [`ShownReject::text`].
pub fn heading() -> String {
    format!(
        "{:<30} {:<8} {:>10} {:<8} {:>6} {:>9} {:<24} reasons",
        "published", "lane", "sequence", "action", "score", "us inside", "subject"
    )
}

impl ShownDecision {
    /// Out of a frame; `features` are the names of the slots that its reasons may speak of.
    pub fn of(decision: &Decision<'_>, features: &[String]) -> Self {
        let hot = decision.hot();
        let reason_count = usize::from(hot.reason_count()).min(hot.reasons().len());
        Self {
            kind: "decision",
            lane: lane_name(hot.lane()),
            sequence: hot.sequence(),
            action: action_name(hot.action()),
            score: hot.score(),
            subject: Id::from(hot.subject()).as_str().to_owned(),
            value: hot.value(),
            quantity: hot.quantity(),
            reasons: hot
                .reasons()
                .iter()
                .take(reason_count)
                .map(|code| reason_name(code, features))
                .collect(),
            deviations: (0..reason_count)
                .map(|index| deviation(decision, index))
                .collect(),
            event_ns: hot.event_ns(),
            ingest_ns: hot.ingest_ns(),
            scored_ns: hot.scored_ns(),
            decided_ns: hot.decided_ns(),
            published_ns: hot.published_ns(),
            model_hash: hash_text(hot.model_hash()),
            strategy_hash: hash_text(hot.strategy_hash()),
            config_hash: hash_text(hot.config_hash()),
            is_recovered: hot.flags() & decision_flag::RECOVERED != 0,
            is_degraded: hot.flags() & decision_flag::DEGRADED != 0,
            is_shed: hot.flags() & decision_flag::SHED != 0,
            input: Sender {
                publisher_id: hot.input_publisher_id(),
                session: hot.input_session(),
                sequence: hot.input_sequence(),
            },
            engine: sender(hot.header()),
        }
    }

    /// One line for people. Time inside is from ingest to publish, in microseconds; behind a reason stands by how many
    /// standard deviations it is off.
    pub fn text(&self) -> String {
        let reasons = self.reasons.iter().zip(&self.deviations);
        let reasons: Vec<String> = reasons
            .map(|(reason, &deviation)| match deviation {
                0.0 => reason.clone(),
                _ => format!("{reason}{deviation:+.1}"),
            })
            .collect();
        let inside_us = (self.published_ns - self.ingest_ns) as f64 / 1e3;
        let line = format!(
            "{:<30} {:<8} {:>10} {:<8} {:>6.3} {inside_us:>9.1} {:<24} {}",
            format_time(self.published_ns),
            self.lane,
            self.sequence,
            self.action,
            self.score,
            self.subject,
            reasons.join(" "),
        );
        line.trim_end().to_owned()
    }
}

impl ShownReject {
    /// Out of a frame.
    pub fn of(hot: &RejectHot) -> Self {
        Self {
            kind: "reject",
            lane: lane_name(hot.lane()),
            reason: reject_reason_name(hot.reason()),
            found: hot.found(),
            expected: hot.expected(),
            frame_len: hot.frame_len(),
            ingest_ns: hot.ingest_ns(),
            input: Sender {
                publisher_id: hot.input_publisher_id(),
                session: hot.input_session(),
                sequence: hot.input_sequence(),
            },
            engine: sender(hot.header()),
        }
    }

    /// One line for people.
    pub fn text(&self) -> String {
        format!(
            "{:<30} {:<8} {:>10} reject   {}: found {}, expected {}; publisher {} session {}, {} bytes",
            format_time(self.ingest_ns),
            self.lane,
            self.input.sequence,
            self.reason,
            self.found,
            self.expected,
            self.input.publisher_id,
            self.input.session,
            self.frame_len,
        )
    }
}

fn deviation(decision: &Decision<'_>, index: usize) -> f64 {
    let deviations = decision.deviations();
    deviations.map_or(0.0, |deviations| {
        f64::from(deviations.hundredths().get(index)) / 100.0
    })
}

fn sender(header: &FrameHeader) -> Sender {
    Sender {
        publisher_id: header.publisher_id(),
        session: header.publisher_session(),
        sequence: header.publisher_sequence(),
    }
}

/// A hash as it is shown everywhere.
pub fn hash_text(hash: u64) -> String {
    format!("{hash:016x}")
}

/// A lane as it is named on the command line.
pub fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Market => "market",
        Lane::Payment => "payments",
        _ => "none",
    }
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::None => "none",
        Action::Approve => "approve",
        Action::Review => "review",
        Action::Decline => "decline",
        Action::Buy => "buy",
        Action::Sell => "sell",
        _ => "other",
    }
}

/// Why a frame was refused, in one word.
pub fn reject_reason_name(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::Oversized => "oversized",
        RejectReason::Malformed => "malformed",
        RejectReason::UnknownVersion => "unknown-version",
        RejectReason::UnknownType => "unknown-type",
        RejectReason::InvalidField => "invalid-field",
        RejectReason::TableFull => "table-full",
        RejectReason::WrongLane => "wrong-lane",
        _ => "other",
    }
}

/// A feature's name, a strategy's reason, or the number of one that is not known here.
fn reason_name(code: u16, features: &[String]) -> String {
    let feature = usize::from(code)
        .checked_sub(1)
        .and_then(|index| features.get(index));
    let other = REASONS
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, name)| *name);
    feature
        .map(String::as_str)
        .or(other)
        .map_or_else(|| code.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_named_after_features_and_bands() {
        let features = ["amount_minor".to_owned()];
        assert_eq!(reason_name(1, &features), "amount_minor");
        assert_eq!(reason_name(2, &features), "2");
        assert_eq!(reason_name(reasons::SCORE_HIGH, &features), "score-high");
        assert_eq!(reason_name(20_000, &features), "20000");
    }
}
