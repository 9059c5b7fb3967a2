//! The store against a reference that keeps every event and counts by hand.

use pinion_features::spec::{DAY_NS, LABEL_DELAY_DAYS, WINDOW_DAYS};
use pinion_features::{FEATURES, FeatureStore, FeaturesConfig, TimelinesConfig};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, fresh, payment_kind};
use proptest::prelude::*;

const ENTITIES: u32 = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Customer, terminal, forward in time, backward in time, amount, fresh bits.
    Transaction {
        customer: u32,
        terminal: u32,
        forward_ns: i64,
        late_ns: i64,
        amount_minor: i64,
        fresh: u8,
    },
    /// Of one of the transactions so far, counted from the last.
    Label { back: usize, verdict: u8 },
}

#[derive(Clone, Copy)]
struct Known {
    payment: PaymentRecord,
    is_fraud: bool,
    /// Forgotten with the customer, with the terminal.
    of_customer: bool,
    of_terminal: bool,
}

#[derive(Default)]
struct Reference(Vec<Known>);

impl Reference {
    fn apply(&mut self, payment: &PaymentRecord) -> Vec<f32> {
        for known in &mut self.0 {
            known.of_customer &=
                payment.fresh & fresh::CUSTOMER == 0 || known.payment.customer != payment.customer;
            known.of_terminal &=
                payment.fresh & fresh::TERMINAL == 0 || known.payment.terminal != payment.terminal;
        }
        if payment.origin.kind == payment_kind::LABEL {
            let labelled = self.0.iter_mut().find(|known| {
                known.payment.transaction_id == payment.transaction_id
                    && known.payment.terminal == payment.terminal
                    && known.of_terminal
            });
            if let Some(labelled) = labelled {
                labelled.is_fraud = payment.verdict == 2;
            }
            return vec![0.0; FEATURES.len()];
        }
        self.0.push(Known {
            payment: *payment,
            is_fraud: false,
            of_customer: true,
            of_terminal: true,
        });
        self.vector(payment)
    }

    fn vector(&self, payment: &PaymentRecord) -> Vec<f32> {
        let time_ns = payment.origin.event_ns;
        let mut vector = vec![payment.amount_minor as f32];
        vector.push(f32::from((time_ns / DAY_NS + 3) % 7 >= 5));
        vector.push(f32::from(time_ns % DAY_NS < 7 * DAY_NS / 24));
        for days in WINDOW_DAYS {
            let amounts: Vec<i64> = self
                .within(time_ns, days)
                .filter(|known| known.of_customer && known.payment.customer == payment.customer)
                .map(|known| known.payment.amount_minor)
                .collect();
            vector.push(amounts.len() as f32);
            vector.push((amounts.iter().sum::<i64>() as f64 / amounts.len() as f64) as f32);
        }
        for days in WINDOW_DAYS {
            let frauds: Vec<bool> = self
                .within(time_ns - LABEL_DELAY_DAYS * DAY_NS, days)
                .filter(|known| known.of_terminal && known.payment.terminal == payment.terminal)
                .map(|known| known.is_fraud)
                .collect();
            let fraud_count = frauds.iter().filter(|&&is_fraud| is_fraud).count();
            vector.push(frauds.len() as f32);
            vector.push((fraud_count as f64 / frauds.len().max(1) as f64) as f32);
        }
        vector
    }

    fn within(&self, end_ns: i64, days: i64) -> impl Iterator<Item = &Known> {
        let span = end_ns - days * DAY_NS + 1..=end_ns;
        self.0
            .iter()
            .filter(move |known| span.contains(&known.payment.origin.event_ns))
    }
}

fn step() -> impl Strategy<Value = Step> {
    let forward = prop_oneof![Just(0), 0..DAY_NS, Just(DAY_NS), 0..5 * DAY_NS];
    let late = prop_oneof![4 => Just(0), 1 => 0..DAY_NS];
    let fresh = prop_oneof![30 => Just(0_u8), 1 => 0_u8..4];
    let transaction = (0..ENTITIES, 0..ENTITIES, forward, late, -500_i64..100_000, fresh).prop_map(
        |(customer, terminal, forward_ns, late_ns, amount_minor, fresh)| Step::Transaction {
            customer,
            terminal,
            forward_ns,
            late_ns,
            amount_minor,
            fresh,
        },
    );
    prop_oneof![4 => transaction, 1 => (0_usize..40, 0_u8..3).prop_map(|(back, verdict)| Step::Label { back, verdict })]
}

/// Turns steps into events: time goes forward, late events stand behind it by at most a day.
fn events(steps: &[Step]) -> Vec<PaymentRecord> {
    let mut now_ns = 1_522_540_800_000_000_000;
    let mut transactions: Vec<PaymentRecord> = Vec::new();
    let mut events = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        match *step {
            Step::Transaction {
                customer,
                terminal,
                forward_ns,
                late_ns,
                amount_minor,
                fresh,
            } => {
                now_ns += forward_ns;
                let mut payment = PaymentRecord {
                    customer,
                    terminal,
                    amount_minor,
                    fresh,
                    ..Default::default()
                };
                payment.origin.kind = payment_kind::TRANSACTION;
                payment.origin.event_ns = now_ns - late_ns;
                payment.transaction_id = Id::new(&format!("transaction-{index}")).unwrap();
                transactions.push(payment);
                events.push(payment);
            }
            Step::Label { back, verdict } => {
                let Some(at) = transactions.len().checked_sub(back + 1) else {
                    continue;
                };
                let mut label = PaymentRecord {
                    verdict,
                    fresh: 0,
                    ..transactions[at]
                };
                label.transaction_ns = label.origin.event_ns;
                label.origin.kind = payment_kind::LABEL;
                label.origin.event_ns = now_ns;
                events.push(label);
            }
        }
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bounds wide enough for all events: every value is the same bits.
    #[test]
    fn prop_store_equals_the_reference(steps in prop::collection::vec(step(), 1..400)) {
        let size = || TimelinesConfig { entities_max: ENTITIES, events_max: 1024, pool_events_max: 8192 };
        let mut store = FeatureStore::new(&FeaturesConfig { customers: size(), terminals: size(), ..Default::default() });
        let mut reference = Reference::default();
        for event in events(&steps) {
            let mut vector = [f32::NAN; FEATURES_MAX];
            store.apply(&event, &mut vector);
            let expected = reference.apply(&event);
            prop_assert_eq!(&vector[..FEATURES.len()], &expected[..]);
            prop_assert!(vector[FEATURES.len()..].iter().all(|&value| value == 0.0));
        }
    }

    /// Bounds too narrow: counts are never too large, and nothing breaks.
    #[test]
    fn prop_outgrown_store_undercounts_and_says_so(steps in prop::collection::vec(step(), 1..400)) {
        let size = || TimelinesConfig { entities_max: ENTITIES, events_max: 16, pool_events_max: 32 };
        let mut store = FeatureStore::new(&FeaturesConfig { customers: size(), terminals: size(), ..Default::default() });
        let mut reference = Reference::default();
        for event in events(&steps) {
            let mut vector = [f32::NAN; FEATURES_MAX];
            store.apply(&event, &mut vector);
            let expected = reference.apply(&event);
            let counts = [3, 5, 7, 9, 11, 13];
            let lost = store.customers().outgrown_count() + store.terminals().outgrown_count()
                + store.tally().unkept_events;
            for index in counts {
                prop_assert!(vector[index] <= expected[index]);
                prop_assert!(vector[index] == expected[index] || lost > 0);
            }
        }
    }
}
