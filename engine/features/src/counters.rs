//! What the feature store counts.

use pinion_runtime::counters::{Counter, Counters};

use crate::store::FeatureStore;

/// The stage's counters.
pub struct FeaturesCounters {
    /// Transactions whose vector was computed.
    pub transactions: Counter,
    /// Labels and account updates passed on with a vector of zeros.
    pub passed: Counter,
    /// Duty cycles that waited because the ring to the scorer was full.
    pub output_full: Counter,
    /// See [`crate::store::Tally::late_events`].
    pub late_events: Counter,
    /// See [`crate::store::Tally::too_late_events`].
    pub too_late_events: Counter,
    /// See [`crate::store::Tally::unknown_entities`].
    pub unknown_entities: Counter,
    /// See [`crate::store::Tally::clamped_amounts`].
    pub clamped_amounts: Counter,
    /// See [`crate::store::Tally::labels_applied`].
    pub labels_applied: Counter,
    /// See [`crate::store::Tally::labels_repeated`].
    pub labels_repeated: Counter,
    /// See [`crate::store::Tally::labels_unmatched`].
    pub labels_unmatched: Counter,
    /// See [`crate::store::Usage::entities`].
    pub entities: Counter,
    /// See [`crate::store::Usage::merged_events`].
    pub merged_events: Counter,
    /// See [`crate::store::Usage::unkept_events`].
    pub unkept_events: Counter,
    /// See [`crate::store::Usage::pool_used`].
    pub pool_used: Counter,
    /// See [`crate::store::Usage::pairs_evicted`].
    pub pairs_evicted: Counter,
    /// See [`crate::store::Usage::pairs_refused`].
    pub pairs_refused: Counter,
    /// Newest event time of a transaction so far. Unit: ns since the Unix epoch.
    pub watermark_ns: Counter,
    /// Newest event time of the publisher that is furthest behind, of those heard since the start. Unit: ns since
    /// the Unix epoch.
    pub oldest_watermark_ns: Counter,
    /// Hash of the feature set in force.
    pub set_hash: Counter,
    /// Feature sets that took over while the engine ran.
    pub swaps: Counter,
    /// Feature sets that could not catch up.
    pub swaps_refused: Counter,
    /// Copies for a backfill that ended because the ring was full.
    pub copy_overflows: Counter,
}

impl FeaturesCounters {
    /// Takes the stage's cells.
    pub fn new(counters: &Counters) -> Self {
        Self {
            transactions: counters.counter("features.transactions"),
            passed: counters.counter("features.passed"),
            output_full: counters.counter("features.output_full"),
            late_events: counters.counter("features.late_events"),
            too_late_events: counters.counter("features.too_late_events"),
            unknown_entities: counters.counter("features.unknown_entities"),
            clamped_amounts: counters.counter("features.clamped_amounts"),
            labels_applied: counters.counter("features.labels_applied"),
            labels_repeated: counters.counter("features.labels_repeated"),
            labels_unmatched: counters.counter("features.labels_unmatched"),
            entities: counters.counter("features.entities"),
            merged_events: counters.counter("features.merged_events"),
            unkept_events: counters.counter("features.unkept_events"),
            pool_used: counters.counter("features.pool_used"),
            pairs_evicted: counters.counter("features.pairs_evicted"),
            pairs_refused: counters.counter("features.pairs_refused"),
            watermark_ns: counters.counter("features.watermark_ns"),
            oldest_watermark_ns: counters.counter("features.oldest_watermark_ns"),
            set_hash: counters.counter("features.set_hash"),
            swaps: counters.counter("features.swaps"),
            swaps_refused: counters.counter("features.swaps_refused"),
            copy_overflows: counters.counter("features.copy_overflows"),
        }
    }

    /// Shows what the store tells of itself.
    ///
    /// Cost: about twenty stores and a few loads per stream, once per batch.
    pub(crate) fn show(&self, store: &FeatureStore) {
        let tally = store.tally();
        self.late_events.set(tally.late_events);
        self.too_late_events.set(tally.too_late_events);
        self.unknown_entities.set(tally.unknown_entities);
        self.clamped_amounts.set(tally.clamped_amounts);
        self.labels_applied.set(tally.labels_applied);
        self.labels_repeated.set(tally.labels_repeated);
        self.labels_unmatched.set(tally.labels_unmatched);
        let usage = store.usage();
        self.entities.set(usage.entities);
        self.merged_events.set(usage.merged_events);
        self.unkept_events.set(usage.unkept_events);
        self.pool_used.set(usage.pool_used);
        self.pairs_evicted.set(usage.pairs_evicted);
        self.pairs_refused.set(usage.pairs_refused);
        self.watermark_ns.set(store.watermark_ns().max(0) as u64);
    }
}
