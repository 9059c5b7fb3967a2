//! The stage's duty cycle.
//!
//! Invariant: every event that comes in goes out once, in order; only transactions have a vector.

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer};
use pinion_schemas::records::{FeatureRecord, PaymentRecord, payment_kind};

use crate::config::FeaturesConfig;
use crate::counters::FeaturesCounters;
use crate::error::FeaturesError;
use crate::store::FeatureStore;

/// Gives every payment event its features.
pub struct FeatureAgent {
    input: Consumer<PaymentRecord>,
    output: Producer<FeatureRecord>,
    store: FeatureStore,
    counters: FeaturesCounters,
    batch_max: usize,
}

impl FeatureAgent {
    /// An agent with its memory taken.
    ///
    /// # Errors
    /// [`FeaturesError`] if the configuration is refused.
    pub fn new(
        config: &FeaturesConfig,
        input: Consumer<PaymentRecord>,
        output: Producer<FeatureRecord>,
        counters: &Counters,
    ) -> Result<Self, FeaturesError> {
        config.validate()?;
        let store = FeatureStore::new(config);
        let counters = FeaturesCounters::new(counters);
        Ok(Self {
            input,
            output,
            store,
            counters,
            batch_max: config.batch_max as usize,
        })
    }

    /// What the stage knows.
    pub fn store(&self) -> &FeatureStore {
        &self.store
    }
}

impl Agent for FeatureAgent {
    fn name(&self) -> &str {
        "features"
    }

    fn do_work(&mut self, _now_ns: i64) -> usize {
        let Self {
            input,
            output,
            store,
            counters,
            batch_max,
        } = self;
        if input.is_empty() {
            return 0;
        }
        let room = output.room(*batch_max);
        counters.output_full.add(u64::from(room == 0));
        let work_count = input.read_batch(room, |payment| {
            let is_transaction = payment.origin.kind == payment_kind::TRANSACTION;
            if is_transaction {
                &counters.transactions
            } else {
                &counters.passed
            }
            .increment();
            let pushed = output.push_with(|slot| {
                slot.payment = *payment;
                store.apply(payment, &mut slot.features);
            });
            assert!(pushed, "the room was asked for before the batch was read");
        });
        counters.show(store);
        work_count
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }
}
