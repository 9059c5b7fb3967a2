//! The vectors equal the published features of the Fraud Detection Handbook.
//!
//! The published files do not ship with the project: without them the test says so and passes.

use std::collections::VecDeque;
use std::path::PathBuf;

use pinion_features::set::{DAY_NS, SECOND_NS};
use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};

/// 2018-04-01T00:00:00Z. Unit: ns since the Unix epoch.
const FIRST_DAY_NS: i64 = 1_522_540_800 * SECOND_NS;

/// Labels are delivered at the first event of the sixth day after their transaction's.
const LABELLED_AFTER_DAYS: i64 = 6;

/// The published column of each feature from `is_weekend` on.
const COLUMNS: [&str; 14] = [
    "TX_DURING_WEEKEND",
    "TX_DURING_NIGHT",
    "CUSTOMER_ID_NB_TX_1DAY_WINDOW",
    "CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW",
    "CUSTOMER_ID_NB_TX_7DAY_WINDOW",
    "CUSTOMER_ID_AVG_AMOUNT_7DAY_WINDOW",
    "CUSTOMER_ID_NB_TX_30DAY_WINDOW",
    "CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW",
    "TERMINAL_ID_NB_TX_1DAY_WINDOW",
    "TERMINAL_ID_RISK_1DAY_WINDOW",
    "TERMINAL_ID_NB_TX_7DAY_WINDOW",
    "TERMINAL_ID_RISK_7DAY_WINDOW",
    "TERMINAL_ID_NB_TX_30DAY_WINDOW",
    "TERMINAL_ID_RISK_30DAY_WINDOW",
];

fn open(name: &str) -> Option<csv::Reader<std::fs::File>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/payments");
    csv::Reader::from_path(folder.join(name)).ok()
}

fn set() -> FeatureSet {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../features");
    FeatureSet::load(&folder.join("payments-v1.toml")).unwrap()
}

fn column(headers: &csv::StringRecord, name: &str) -> usize {
    headers
        .iter()
        .position(|header| header == name)
        .unwrap_or_else(|| panic!("no column {name}"))
}

/// A published row: the transaction, and whether it was fraud.
fn transaction(row: &csv::StringRecord, headers: &csv::StringRecord) -> (PaymentRecord, bool) {
    let cell = |name| &row[column(headers, name)];
    let mut payment = PaymentRecord {
        customer: cell("CUSTOMER_ID").parse().unwrap(),
        terminal: cell("TERMINAL_ID").parse().unwrap(),
        amount_minor: (cell("TX_AMOUNT").parse::<f64>().unwrap() * 100.0).round() as i64,
        transaction_id: Id::new(cell("TRANSACTION_ID")).unwrap(),
        ..PaymentRecord::default()
    };
    payment.origin.kind = payment_kind::TRANSACTION;
    let seconds: i64 = cell("TX_TIME_SECONDS").parse().unwrap();
    payment.origin.event_ns = FIRST_DAY_NS + seconds * SECOND_NS;
    (payment, cell("TX_FRAUD") == "1")
}

fn label(payment: &PaymentRecord, is_fraud: bool, known_ns: i64) -> PaymentRecord {
    let mut label = *payment;
    label.origin.kind = payment_kind::LABEL;
    label.origin.event_ns = known_ns;
    label.transaction_ns = payment.origin.event_ns;
    label.verdict = 1 + u8::from(is_fraud);
    label
}

/// The published value in the unit of our feature.
fn published(cell: &str, name: &str) -> f64 {
    let scale = if name.starts_with("customer_mean_minor") {
        100.0
    } else {
        1.0
    };
    cell.parse::<f64>().unwrap() * scale
}

/// Compares one vector; returns the largest relative difference of a mean or share.
fn compare(names: &[String], vector: &[f32], row: &csv::StringRecord, columns: &[usize]) -> f64 {
    let mut worst: f64 = 0.0;
    for (index, &column) in columns.iter().enumerate() {
        let name = names[1 + index].as_str();
        let (found, expected) = (f64::from(vector[1 + index]), published(&row[column], name));
        if name.contains("mean") || name.contains("share") {
            let difference = (found - expected).abs() / expected.abs().max(1e-9);
            assert!(
                difference <= 1e-6,
                "{name} is {found}, expected {expected}: {row:?}"
            );
            worst = worst.max(difference);
        } else {
            assert_eq!(found, expected, "{name}: {row:?}");
        }
    }
    worst
}

#[test]
fn golden_vectors_equal_the_published_features() {
    let (Some(mut raw), Some(mut features)) = (open("mini_raw.csv"), open("mini_features.csv")) else {
        println!("skipped: the Handbook's files are not beside the workspace");
        return;
    };
    let (headers, feature_headers) = (
        raw.headers().unwrap().clone(),
        features.headers().unwrap().clone(),
    );
    let columns = COLUMNS.map(|name| column(&feature_headers, name));
    let set = set();
    let names = set.slot_names();
    let mut store = FeatureStore::new(&FeaturesConfig::default(), &set).unwrap();
    let mut unlabelled: VecDeque<(PaymentRecord, bool)> = VecDeque::new();
    let (mut rows, mut worst) = (0, 0.0_f64);
    for (row, expected) in raw.records().zip(features.records()) {
        let (payment, is_fraud) = transaction(&row.unwrap(), &headers);
        let mut vector = [f32::NAN; FEATURES_MAX];
        let now_ns = payment.origin.event_ns;
        let labelled_day = now_ns / DAY_NS - LABELLED_AFTER_DAYS;
        while unlabelled
            .front()
            .is_some_and(|(front, _)| front.origin.event_ns / DAY_NS <= labelled_day)
        {
            let (labelled, is_fraud) = unlabelled.pop_front().unwrap();
            store.apply(&label(&labelled, is_fraud, now_ns), &mut vector);
        }
        store.apply(&payment, &mut vector);
        worst = worst.max(compare(&names, &vector, &expected.unwrap(), &columns));
        unlabelled.push_back((payment, is_fraud));
        rows += 1;
    }
    println!("{rows} rows compared, worst relative difference {worst:.1e}");
    assert!(rows > 10_000, "only {rows} rows");
    assert_eq!(store.tally().labels_unmatched, 0);
    assert_eq!(store.usage().merged_events + store.usage().unkept_events, 0);
}
