//! Training sets: what stands in a row, and what a label reaches.

use std::collections::VecDeque;

use pinion_features::FeatureSet;
use pinion_features::set::canonical;
use pinion_replay::export::{self, ExportError, ExportSummary};
use pinion_replay::generate::{PaymentsConfig, PaymentsGenerator};
use pinion_replay::import::source::Tally;
use pinion_replay::import::time::{DAY_NS, SECOND_NS};
use pinion_replay::import::{EventSource, ImportError, SourceEvent};
use pinion_schemas::encode::{Event, LabelEvent, TransactionEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::Verdict;

/// 2018-04-01T00:00:00Z, a Sunday.
const T0: i64 = 1_522_540_800 * SECOND_NS;

/// Events by hand.
struct Script(VecDeque<Event>);

impl EventSource for Script {
    fn next(&mut self) -> Result<Option<SourceEvent>, ImportError> {
        Ok(self.0.pop_front().map(SourceEvent::from))
    }

    fn len_hint(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        "a script".to_owned()
    }

    fn tally(&self) -> Tally {
        Tally::default()
    }
}

fn pay(name: &str, event_ns: i64, amount_minor: i64) -> Event {
    Event::Transaction(TransactionEvent {
        event_ns,
        amount_minor,
        transaction_id: Id::new(name).unwrap(),
        customer: Id::new("C1").unwrap(),
        terminal: Id::new("T1").unwrap(),
        ..TransactionEvent::default()
    })
}

fn label(name: &str, transaction_ns: i64, event_ns: i64, verdict: Verdict) -> Event {
    Event::Label(LabelEvent {
        event_ns,
        transaction_ns,
        verdict,
        transaction_id: Id::new(name).unwrap(),
        customer: Id::new("C1").unwrap(),
        terminal: Id::new("T1").unwrap(),
        ..LabelEvent::default()
    })
}

fn export(events: impl IntoIterator<Item = Event>) -> (String, ExportSummary) {
    let mut out = Vec::new();
    let summary = export::features(&mut Script(events.into_iter().collect()), &mut out).unwrap();
    (String::from_utf8(out).unwrap(), summary)
}

/// The names of the frauds among the rows.
fn frauds(text: &str) -> Vec<&str> {
    text.lines()
        .skip(2)
        .filter_map(|row| {
            let mut cells = row.split(',');
            let name = cells.next()?;
            (cells.nth(1)? == "1").then_some(name)
        })
        .collect()
}

#[test]
fn set_begins_with_the_hash_and_the_names_of_the_features() {
    let (text, _) = export([pay("a", T0, 1250)]);
    let mut lines = text.lines();
    let hash = format!(
        "# feature_set_hash {:016x}",
        canonical::hash(&FeatureSet::payments_v1())
    );
    assert_eq!(lines.next(), Some(hash.as_str()));
    let names = FeatureSet::payments_v1().slot_names();
    let heading = format!("transaction_id,event_ns,fraud,{}", names.join(","));
    assert_eq!(lines.next(), Some(heading.as_str()));
    let row = "a,1522540800000000000,0,1250,1,1,1,1250,1,1250,1,1250,0,0,0,0,0,0";
    assert_eq!(lines.next(), Some(row));
}

#[test]
fn customer_and_terminal_are_remembered_and_labels_reach_the_windows() {
    let later = T0 + 7 * DAY_NS + SECOND_NS;
    let (text, _) = export([
        pay("a", T0, 100),
        label("a", T0, T0 + DAY_NS, Verdict::Fraud),
        pay("b", later, 300),
    ]);
    let row = "b,1523145601000000000,0,300,1,1,1,300,1,300,2,200,1,1,1,1,1,1";
    assert_eq!(text.lines().last(), Some(row));
    assert_eq!(frauds(&text), ["a"]);
}

#[test]
fn last_label_within_eight_days_counts() {
    let at = |days: i64| T0 + days * DAY_NS;
    let (text, summary) = export([
        pay("timely", at(0), 1),
        pay("late", at(0), 1),
        pay("taken-back", at(1), 1),
        label("taken-back", at(1), at(2), Verdict::Fraud),
        label("unknown", at(1), at(2), Verdict::Fraud),
        label("taken-back", at(1), at(3), Verdict::Genuine),
        label("timely", at(0), at(8), Verdict::Fraud),
        label("late", at(0), at(8) + 1, Verdict::Fraud),
        pay("last", at(20), 1),
        label("last", at(20), at(21), Verdict::Fraud),
    ]);
    assert_eq!(frauds(&text), ["timely", "last"]);
    let counts = (
        summary.transactions,
        summary.frauds,
        summary.labels,
        summary.labels_unmatched,
    );
    assert_eq!(counts, (4, 2, 4, 2));
}

#[test]
fn rows_keep_the_order_of_the_source() {
    let (text, summary) = export([
        pay("a", T0 + 10 * DAY_NS, 1),
        pay("b", T0, 1),
        pay("c", T0 + 30 * DAY_NS, 1),
    ]);
    let names: Vec<&str> = text
        .lines()
        .skip(2)
        .filter_map(|row| row.split(',').next())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(summary.store.too_late_events, 1);
}

#[test]
fn source_without_transactions_is_refused() {
    let error = export::features(&mut Script(VecDeque::new()), Vec::new()).unwrap_err();
    assert!(matches!(error, ExportError::NoTransaction { .. }));
    assert_eq!(
        error.to_string(),
        "a script: found no transaction, expected a source of payments"
    );
}

#[test]
fn generated_days_have_each_fraud_of_the_generator() {
    let config = PaymentsConfig {
        customers: 100,
        terminals: 200,
        days: 30,
        ..PaymentsConfig::default()
    };
    let mut generator = PaymentsGenerator::new(config.clone()).unwrap();
    let is_fraud = |scenario: u8| u64::from(scenario > 0);
    let expected: u64 = std::iter::from_fn(|| generator.next_payment())
        .map(|p| is_fraud(p.scenario))
        .sum();
    let mut source = PaymentsGenerator::new(config).unwrap();
    let mut out = Vec::new();
    let summary = export::features(&mut source, &mut out).unwrap();
    assert_eq!((summary.frauds, summary.labels_unmatched), (expected, 0));
    assert_eq!(frauds(std::str::from_utf8(&out).unwrap()).len() as u64, expected);
    assert_eq!(summary.store.unkept_events + summary.store.unknown_entities, 0);
}
