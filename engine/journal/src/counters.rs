//! What the journal counts.
//!
//! Invariant: only the agent's thread sets these.

use pinion_runtime::counters::{Counter, Counters};

/// The journal's counters.
pub(crate) struct JournalCounters {
    /// `journal.entries`: entries written since the start.
    pub(crate) entries: Counter,
    /// `journal.batches`: writes since the start; entries / batches is what a write carries.
    pub(crate) batches: Counter,
    /// `journal.segment`: the segment being written.
    pub(crate) segment: Counter,
    /// `journal.written_position`.
    pub(crate) written_position: Counter,
    /// `journal.durable_position`.
    pub(crate) durable_position: Counter,
    /// `journal.segment_waits`: roll-overs that had to wait for the next segment.
    pub(crate) segment_waits: Counter,
    /// `journal.failed`: 1 once the journal has stopped for good.
    pub(crate) failed: Counter,
}

impl JournalCounters {
    pub(crate) fn new(counters: &Counters) -> Self {
        Self {
            entries: counters.counter("journal.entries"),
            batches: counters.counter("journal.batches"),
            segment: counters.counter("journal.segment"),
            written_position: counters.counter("journal.written_position"),
            durable_position: counters.counter("journal.durable_position"),
            segment_waits: counters.counter("journal.segment_waits"),
            failed: counters.counter("journal.failed"),
        }
    }
}
