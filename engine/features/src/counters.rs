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
    /// See [`crate::store::Tally::unkept_events`].
    pub unkept_events: Counter,
    /// See [`crate::store::Tally::clamped_amounts`].
    pub clamped_amounts: Counter,
    /// See [`crate::store::Tally::labels_applied`].
    pub labels_applied: Counter,
    /// See [`crate::store::Tally::labels_repeated`].
    pub labels_repeated: Counter,
    /// See [`crate::store::Tally::labels_unmatched`].
    pub labels_unmatched: Counter,
    /// Events of customers given up before they expired.
    pub customer_events_outgrown: Counter,
    /// Events of terminals given up before they expired.
    pub terminal_events_outgrown: Counter,
    /// Entries of the customers' pool given out.
    pub customer_pool_used: Counter,
    /// Entries of the terminals' pool given out.
    pub terminal_pool_used: Counter,
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
            unkept_events: counters.counter("features.unkept_events"),
            clamped_amounts: counters.counter("features.clamped_amounts"),
            labels_applied: counters.counter("features.labels_applied"),
            labels_repeated: counters.counter("features.labels_repeated"),
            labels_unmatched: counters.counter("features.labels_unmatched"),
            customer_events_outgrown: counters.counter("features.customers.events_outgrown"),
            terminal_events_outgrown: counters.counter("features.terminals.events_outgrown"),
            customer_pool_used: counters.counter("features.customers.pool_used"),
            terminal_pool_used: counters.counter("features.terminals.pool_used"),
        }
    }

    /// Shows what the store tells of itself.
    ///
    /// Cost: twelve stores, once per batch.
    pub(crate) fn show(&self, store: &FeatureStore) {
        let tally = store.tally();
        self.late_events.set(tally.late_events);
        self.too_late_events.set(tally.too_late_events);
        self.unknown_entities.set(tally.unknown_entities);
        self.unkept_events.set(tally.unkept_events);
        self.clamped_amounts.set(tally.clamped_amounts);
        self.labels_applied.set(tally.labels_applied);
        self.labels_repeated.set(tally.labels_repeated);
        self.labels_unmatched.set(tally.labels_unmatched);
        self.customer_events_outgrown
            .set(store.customers().outgrown_count());
        self.terminal_events_outgrown
            .set(store.terminals().outgrown_count());
        self.customer_pool_used
            .set(u64::from(store.customers().pool_used()));
        self.terminal_pool_used
            .set(u64::from(store.terminals().pool_used()));
    }
}
