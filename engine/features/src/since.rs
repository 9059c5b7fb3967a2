//! What of a journal counts for a set that was computed from a day on.
//!
//! Invariant: a record that does not count still gives its names their numbers, and nothing else.

use pinion_schemas::records::PaymentRecord;

/// Events that leave nothing but their names: those before `from_ns`, up to lane sequence `until_sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// Unit: ns since the Unix epoch.
    pub from_ns: i64,
    /// From behind it every event counts.
    pub until_sequence: u64,
}

impl Since {
    /// Whether the record leaves more than its names.
    pub fn counts(&self, record: &PaymentRecord) -> bool {
        record.origin.event_ns >= self.from_ns || record.origin.sequence > self.until_sequence
    }

    /// The record as it counts: one of no known kind, if the event is too old, which only forgets what its fresh
    /// numbers stood for before.
    pub fn shape(&self, record: &PaymentRecord) -> PaymentRecord {
        let mut shaped = *record;
        if !self.counts(record) {
            shaped.origin.kind = 0;
        }
        shaped
    }
}
