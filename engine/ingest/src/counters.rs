//! What ingest counts.
//!
//! ```text
//!   ingest.market.accepted   ingest.payment.accepted      by lane: accepted + duplicates + rejected
//!   ingest.rejected.malformed …                           by reason
//!   ingest.customers.ids …                                by table
//! ```
//!
//! Invariant: every frame that is polled counts as exactly one of accepted, duplicate and rejected of its
//! stream's lane, and every rejected one under exactly one reason.

use pinion_runtime::counters::{Counter, Counters};
use pinion_schemas::wire::RejectReason;

/// What happened to the frames of one stream.
#[derive(Clone)]
pub(crate) struct LaneCounters {
    /// Frames that became a record.
    pub(crate) accepted: Counter,
    /// Frames that came again and were passed over.
    pub(crate) duplicates: Counter,
    /// Frames that were refused.
    pub(crate) rejected: Counter,
    /// How often a publisher's sequence jumped.
    pub(crate) gaps: Counter,
    /// Frames that never came.
    pub(crate) missing: Counter,
    /// New sessions of known publishers.
    pub(crate) restarts: Counter,
    /// Frames that were sent while the engine was down, by what the first live frames tell.
    pub(crate) lost_unacknowledged: Counter,
    /// Recorded inputs that were accepted again after a start.
    pub(crate) recorded: Counter,
    /// Recorded inputs that this configuration does not accept.
    pub(crate) recorded_refused: Counter,
    /// Publishers known.
    pub(crate) publishers: Counter,
    /// Duty cycles that took nothing because a ring was full.
    pub(crate) back_pressured: Counter,
}

impl LaneCounters {
    pub(crate) fn new(counters: &Counters, lane: &str) -> Self {
        let counter = |name: &str| counters.counter(&format!("ingest.{lane}.{name}"));
        Self {
            accepted: counter("accepted"),
            duplicates: counter("duplicates"),
            rejected: counter("rejected"),
            gaps: counter("gaps"),
            missing: counter("missing"),
            restarts: counter("restarts"),
            lost_unacknowledged: counter("lost_unacknowledged"),
            recorded: counter("recorded"),
            recorded_refused: counter("recorded_refused"),
            publishers: counter("publishers"),
            back_pressured: counter("back_pressured"),
        }
    }
}

/// Names of the reasons in the order of their numbers.
const REASONS: [&str; 8] = [
    "other",
    "oversized",
    "malformed",
    "unknown_version",
    "unknown_type",
    "invalid_field",
    "table_full",
    "wrong_lane",
];

const _: () = assert!(REASONS.len() == RejectReason::ENUM_MAX as usize + 1);

/// What happened to refused frames.
pub(crate) struct RefusalCounters {
    reasons: [Counter; REASONS.len()],
    /// Refused frames whose answer had no room in the ring.
    pub(crate) unanswered: Counter,
}

impl RefusalCounters {
    pub(crate) fn new(counters: &Counters) -> Self {
        Self {
            reasons: REASONS.map(|reason| counters.counter(&format!("ingest.rejected.{reason}"))),
            unanswered: counters.counter("ingest.rejects_unanswered"),
        }
    }

    pub(crate) fn reason(&self, reason: RejectReason) -> &Counter {
        self.reasons
            .get(usize::from(reason.0))
            .unwrap_or(&self.reasons[0])
    }
}

/// How full one table of ids is.
pub(crate) struct TableCounters {
    /// Ids that have a number.
    pub(crate) ids: Counter,
    /// Ids that lost theirs to another.
    pub(crate) evicted: Counter,
}

impl TableCounters {
    pub(crate) fn new(counters: &Counters, name: &str) -> Self {
        Self {
            ids: counters.counter(&format!("{name}.ids")),
            evicted: counters.counter(&format!("{name}.evicted")),
        }
    }
}
