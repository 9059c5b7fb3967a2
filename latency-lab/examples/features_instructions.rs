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

#[path = "../benches/features/traffic.rs"]
mod traffic;

use std::collections::HashSet;
use std::io;
use std::process::{Command, ExitCode};

use pinion_features::set::SECOND_NS;
use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig, TimelinesConfig};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};
use pinion_schemas::wire::Verdict;

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
    if let Some(case) = std::env::args().nth(1) {
        run(&case);
        return ExitCode::SUCCESS;
    }
    for case in CASES {
        match count(case) {
            Ok(instructions) => println!("{}", line(case, instructions)),
            Err(error) => {
                eprintln!("{case} cannot be counted: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Instructions of one event, by running this program again under valgrind.
fn count(case: &str) -> io::Result<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("callgrind.out");
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*measured*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .arg(case)
        .output()?;
    if !done.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&done.stderr).into_owned(),
        ));
    }
    let text = std::fs::read_to_string(&file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: Option<f64> = total.and_then(|total| total.trim().parse().ok());
    let total = total.filter(|total| *total > 0.0);
    total
        .map(|total| total / EVENTS as f64)
        .ok_or_else(|| io::Error::other("callgrind's file has no total"))
}

fn line(case: &str, instructions: f64) -> String {
    let (set, event) = case.split_once('/').expect("a case is a set and a kind of event");
    let line = serde_json::json!({
        "bench": "features/instructions",
        "date": text_of("date", &["-u", "+%F"]),
        "revision": text_of("git", &["describe", "--always", "--dirty"]),
        "set": set,
        "event": event,
        "instructions": instructions.round(),
    });
    line.to_string()
}

/// What a command says, or nothing.
fn text_of(command: &str, arguments: &[&str]) -> String {
    let done = Command::new(command).args(arguments).output();
    done.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// Fills a store, then gives it the events of a case.
fn run(case: &str) {
    let (set, event) = case.split_once('/').expect("a case is a set and a kind of event");
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
