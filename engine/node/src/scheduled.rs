//! The feature stage of a replay of a journal whose feature set was exchanged.
//!
//! ```text
//!   payment ─▶ serving store ─▶ vector      at its sequence the first of the coming ones takes over
//!         └──▶ each coming store
//! ```
//!
//! Invariant: each vector is that of the set that served its payment, computed from everything before it.

use std::collections::VecDeque;

use pinion_features::{FeatureStore, FeaturesError, Since};
use pinion_runtime::agent::Agent;
use pinion_runtime::counters::{Counter, Counters};
use pinion_runtime::ring::{Consumer, Producer};
use pinion_schemas::records::{FEATURES_MAX, FeatureRecord, PaymentRecord, payment_kind};

use crate::config::Config;
use crate::feature_sets::InForce;
use crate::replica::feature_store;

/// A set's store, and from where on it serves.
struct Scheduled {
    /// The last payment before those that it serves.
    sequence: u64,
    store: Box<FeatureStore>,
    since: Option<Since>,
}

impl Scheduled {
    fn new(config: &Config, set: &InForce) -> Result<Self, FeaturesError> {
        Ok(Self {
            sequence: set.sequence,
            store: Box::new(feature_store(config, &set.set)?),
            since: set.since,
        })
    }

    fn apply(&mut self, payment: &PaymentRecord, vector: &mut [f32; FEATURES_MAX]) {
        let shaped = self.since.map_or(*payment, |since| since.shape(payment));
        self.store.apply(&shaped, vector);
    }
}

/// Gives every payment event its features, of the set that served it.
pub(crate) struct ScheduledFeatures {
    input: Consumer<PaymentRecord>,
    output: Producer<FeatureRecord>,
    serving: Scheduled,
    coming: VecDeque<Scheduled>,
    transactions: Counter,
    passed: Counter,
    set_hash: Counter,
    batch_max: usize,
}

impl ScheduledFeatures {
    /// Serves from `sets`, which are in order.
    ///
    /// # Errors
    /// The configuration is refused, or too small for a set.
    ///
    /// Panics: if there is no set.
    pub(crate) fn new(
        config: &Config,
        sets: &[InForce],
        (input, output): (Consumer<PaymentRecord>, Producer<FeatureRecord>),
        counters: &Counters,
    ) -> Result<Self, FeaturesError> {
        config.features.validate()?;
        let stores = sets.iter().map(|set| Scheduled::new(config, set));
        let mut coming = stores.collect::<Result<VecDeque<_>, _>>()?;
        let serving = coming.pop_front().expect("at least one set");
        let set_hash = counters.counter("features.set_hash");
        set_hash.set(serving.store.set_hash());
        Ok(Self {
            input,
            output,
            serving,
            coming,
            transactions: counters.counter("features.transactions"),
            passed: counters.counter("features.passed"),
            set_hash,
            batch_max: config.features.batch_max as usize,
        })
    }

    /// Lets the set serve whose turn it is.
    fn turn_to(&mut self, sequence: u64) {
        while let Some(next) = self.coming.pop_front_if(|next| next.sequence < sequence) {
            self.serving = next;
            self.set_hash.set(self.serving.store.set_hash());
        }
    }

    fn serve(&mut self, payment: &PaymentRecord) {
        self.turn_to(payment.origin.sequence);
        let is_transaction = payment.origin.kind == payment_kind::TRANSACTION;
        let counter = if is_transaction {
            &self.transactions
        } else {
            &self.passed
        };
        counter.increment();
        let serving = &mut self.serving;
        let is_pushed = self.output.push_with(|slot| {
            slot.payment = *payment;
            slot.payment.feature_set_hash = serving.store.set_hash();
            serving.apply(payment, &mut slot.features);
        });
        assert!(is_pushed, "the room was asked for before the batch was read");
        let mut vector = [0.0; FEATURES_MAX];
        self.coming
            .iter_mut()
            .for_each(|coming| coming.apply(payment, &mut vector));
    }
}

impl Agent for ScheduledFeatures {
    fn name(&self) -> &str {
        "features"
    }

    fn do_work(&mut self, _now_ns: i64) -> usize {
        let room = self.output.room(self.batch_max);
        for taken in 0..room {
            let Some(payment) = self.input.try_pop() else {
                return taken;
            };
            self.serve(&payment);
        }
        room
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }
}
