//! Counts the instructions of one event in the feature store, under `valgrind --tool=callgrind`.
//!
//! ```text
//!   cargo run --release -p pinion-latency-lab --example features_instructions
//!     └─ for each case: valgrind … features_instructions <case>   callgrind counts within `measured` alone
//!                          └─ the total / EVENTS ─▶ a line on stdout, to be appended to results/instructions.jsonl
//! ```
//!
//! Instructions do not depend on what else the machine does: a figure that rises is a change of the code.
//!
//! Invariant: a case is the same events on the same history every time.

#[path = "instructions/count.rs"]
mod count;
#[path = "../benches/features/traffic.rs"]
mod traffic;

use std::collections::HashSet;
use std::process::ExitCode;

use pinion_features::set::SECOND_NS;
use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig, TimelinesConfig};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};
use pinion_schemas::wire::Verdict;

use count::Instructions;
use traffic::Traffic;

/// Entities, and events of each within the longest window.
const ENTITIES: u32 = 100;
const EVENTS_EACH: u32 = 24;

/// Events that are counted.
const EVENTS: usize = 2_000;

/// Feature sets and kinds of events.
const CASES: [&str; 6] = [
    "payments-v1/timely",
    "payments-v1/late",
    "payments-v1/label",
    "payments-attempts/timely",
    "payments-attempts/late",
    "payments-attempts/label",
];

fn main() -> ExitCode {
    let bench = Instructions {
        bench: "features/instructions",
        keys: ["set", "event"],
        operations: EVENTS,
    };
    count::all(&bench, &CASES, run)
}

/// Fills a store, then gives it the events of a case.
fn run(set: &str, event: &str) {
    let mut store = store(set);
    let mut traffic = Traffic::new(ENTITIES, EVENTS_EACH);
    let mut history: Vec<PaymentRecord> = Vec::new();
    history.extend((0..4 * ENTITIES * EVENTS_EACH).map(|_| transaction(&mut traffic)));
    let mut vector = [0.0; FEATURES_MAX];
    history
        .iter()
        .for_each(|payment| store.apply(payment, &mut vector));
    let events: Vec<PaymentRecord> = match event {
        "timely" => (0..EVENTS).map(|_| transaction(&mut traffic)).collect(),
        "late" => late(&history),
        "label" => history.iter().rev().take(EVENTS).map(label).collect(),
        _ => panic!("no such kind of event: {event}"),
    };
    measured(&mut store, &events, &mut vector);
}

/// What is counted.
#[inline(never)]
fn measured(store: &mut FeatureStore, events: &[PaymentRecord], vector: &mut [f32; FEATURES_MAX]) {
    for payment in events {
        store.apply(payment, vector);
        std::hint::black_box(&mut *vector);
    }
}

fn store(set: &str) -> FeatureStore {
    let table = TimelinesConfig {
        entities_max: ENTITIES,
        ..TimelinesConfig::default()
    };
    let config = FeaturesConfig {
        customers: table.clone(),
        terminals: table.clone(),
        cards: table.clone(),
        devices: table,
        ..FeaturesConfig::default()
    };
    let set = match set {
        "payments-v1" => Ok(FeatureSet::payments_v1()),
        _ => FeatureSet::parse(include_str!("../../features/payments-attempts.toml")),
    };
    FeatureStore::new(&config, &set.expect("a set that ships is right")).expect("the sizes are in range")
}

/// A transaction with a card and a device, too; a third is declined.
fn transaction(traffic: &mut Traffic) -> PaymentRecord {
    let index = traffic.next;
    let mut payment = traffic.event();
    payment.card = payment.customer;
    payment.device = (payment.customer + (index % 2) as u32) % ENTITIES;
    payment.outcome = 1 + (index % 3) as u8;
    payment
}

/// Transactions an hour before the newest of their customer and terminal, each a second before the last.
fn late(history: &[PaymentRecord]) -> Vec<PaymentRecord> {
    let (mut customers, mut terminals) = (HashSet::new(), HashSet::new());
    let newest = history.iter().rev().filter(|payment| {
        let is_newest = [
            customers.insert(payment.customer),
            terminals.insert(payment.terminal),
        ];
        is_newest == [true, true]
    });
    let newest: Vec<PaymentRecord> = newest.copied().collect();
    let late = newest.iter().cycle().take(EVENTS).zip(0..);
    let late = late.map(|(payment, index)| {
        let mut late = *payment;
        late.origin.event_ns -= (3_600 + index / newest.len() as i64) * SECOND_NS;
        late
    });
    late.collect()
}

fn label(payment: &PaymentRecord) -> PaymentRecord {
    let mut label = PaymentRecord {
        transaction_ns: payment.origin.event_ns,
        verdict: Verdict::Fraud.0,
        ..*payment
    };
    label.origin.kind = payment_kind::LABEL;
    label
}
