//! Training sets: what stands in a row, what a label reaches, and which files there are.

mod export_support;

use std::fs;
use std::path::{Path, PathBuf};

use export_support::events::{Script, T0, at, config, label, pay, rough_days};
use export_support::rows::{about, files, read, read_all};
use pinion_features::FeatureSet;
use pinion_features::set::canonical;
use pinion_ingest::IngestConfig;
use pinion_replay::export::payments::EventPayments;
use pinion_replay::export::target::{Place, Target};
use pinion_replay::export::{ExportError, ExportSummary, Request, export};
use pinion_replay::generate::PaymentsGenerator;
use pinion_replay::import::time::{DAY_NS, SECOND_NS};
use pinion_schemas::encode::Event;
use pinion_schemas::wire::Verdict;

fn request() -> Request {
    Request::of(FeatureSet::payments_v1())
}

fn payments(events: &[Event]) -> EventPayments {
    let ingest = IngestConfig::default();
    EventPayments::new(Script::boxed(events), Script::boxed(events), &ingest).unwrap()
}

fn csv(request: &Request, events: &[Event]) -> (String, ExportSummary) {
    let mut out = Vec::new();
    let summary = export(request, &mut payments(events), Target::Csv(&mut out), |_| ()).unwrap();
    (String::from_utf8(out).unwrap(), summary)
}

fn parquet(request: &Request, events: &[Event], out: &Path) -> Result<ExportSummary, ExportError> {
    export(
        request,
        &mut payments(events),
        Target::Place(Place::of(out)),
        |_| (),
    )
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

/// Transactions of three days with every fate that a label can have.
fn fates() -> Vec<Event> {
    vec![
        pay("timely", at(0), 1),
        pay("late", at(0), 1),
        label("early", at(1), at(1), Verdict::Fraud),
        pay("early", at(1), 1),
        pay("taken-back", at(1), 1),
        label("taken-back", at(1), at(2), Verdict::Fraud),
        label("unknown", at(1), at(2), Verdict::Fraud),
        label("taken-back", at(1), at(3), Verdict::Genuine),
        label("taken-back", at(1) + 1, at(3), Verdict::Fraud),
        label("timely", at(0), at(8), Verdict::Fraud),
        label("late", at(0), at(8) + 1, Verdict::Fraud),
        pay("last", at(20), 1),
        label("last", at(20), at(21), Verdict::Fraud),
        label("last", at(20), at(22), Verdict::Fraud),
    ]
}

#[test]
fn set_begins_with_the_hash_and_the_names_of_the_features() {
    let (text, _) = csv(&request(), &[pay("a", T0, 1250)]);
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
    let events = [
        pay("a", T0, 100),
        label("a", T0, T0 + DAY_NS, Verdict::Fraud),
        pay("b", later, 300),
    ];
    let (text, _) = csv(&request(), &events);
    let row = "b,1523145601000000000,0,300,1,1,1,300,1,300,2,200,1,1,1,1,1,1";
    assert_eq!(text.lines().last(), Some(row));
    assert_eq!(frauds(&text), ["a"]);
}

#[test]
fn last_label_within_eight_days_counts() {
    let (text, summary) = csv(&request(), &fates());
    assert_eq!(frauds(&text), ["timely", "last"]);
    let counts = (
        summary.transactions,
        summary.frauds,
        summary.labels,
        summary.labels_late,
        summary.labels_unmatched,
    );
    assert_eq!(counts, (5, 2, 5, 1, 3));
}

#[test]
fn label_days_say_how_late_a_label_may_come() {
    let frauds_within = |label_days| {
        let request = Request {
            label_days,
            ..request()
        };
        frauds(&csv(&request, &fates()).0).join(" ")
    };
    assert_eq!(frauds_within(0), "");
    assert_eq!(frauds_within(1), "taken-back last");
    assert_eq!(frauds_within(9), "timely late last");
}

#[test]
fn rows_keep_the_order_of_the_source() {
    let events = [
        pay("a", T0 + 10 * DAY_NS, 1),
        pay("b", T0, 1),
        pay("c", T0 + 30 * DAY_NS, 1),
    ];
    let (text, summary) = csv(&request(), &events);
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
    let refusal = |request: &Request, events: &[Event]| {
        let out = tempfile::tempdir().unwrap();
        let error = parquet(request, events, &out.path().join("out")).unwrap_err();
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
        error.to_string()
    };
    assert_eq!(
        refusal(&request(), &[]),
        "a script: found no transaction, expected a source of payments"
    );
    let request = Request {
        to_ns: T0,
        ..request()
    };
    assert_eq!(
        refusal(&request, &[pay("a", T0, 1)]),
        "a script: found no transaction in the days asked for, expected a source of payments"
    );
}

#[test]
fn generated_days_have_each_fraud_of_the_generator() {
    let config = config(30);
    let open = || Box::new(PaymentsGenerator::new(config.clone()).unwrap());
    let mut generator = PaymentsGenerator::new(config.clone()).unwrap();
    let is_fraud = |scenario: u8| u64::from(scenario > 0);
    let expected: u64 = std::iter::from_fn(|| generator.next_payment())
        .map(|payment| is_fraud(payment.scenario))
        .sum();
    let mut payments = EventPayments::new(open(), open(), &IngestConfig::default()).unwrap();
    let mut out = Vec::new();
    let summary = export(&request(), &mut payments, Target::Csv(&mut out), |_| ()).unwrap();
    assert_eq!((summary.frauds, summary.labels_unmatched), (expected, 0));
    assert_eq!(summary.refused, 0);
    assert_eq!(frauds(std::str::from_utf8(&out).unwrap()).len() as u64, expected);
    assert_eq!(summary.usage.unkept_events + summary.store.unknown_entities, 0);
}

#[test]
fn parquet_has_a_file_per_day_with_labels_and_when_they_were_known() {
    let out = tempfile::tempdir().unwrap();
    parquet(&request(), &fates(), out.path()).unwrap();
    let names: Vec<PathBuf> = files(out.path()).into_keys().collect();
    let expected = ["2018-04-01", "2018-04-02", "2018-04-21"];
    let expected: Vec<PathBuf> = expected
        .iter()
        .map(|day| PathBuf::from(format!("day={day}/part-0.parquet")))
        .collect();
    assert_eq!(names, expected);
    let rows = read_all(out.path());
    let labels: Vec<_> = rows
        .iter()
        .map(|row| (row.transaction_id.as_str(), row.sequence, row.event_ns, row.label))
        .collect();
    let expected = [
        ("timely", 1, at(0), Some((1, at(8)))),
        ("late", 2, at(0), None),
        ("early", 4, at(1), None),
        ("taken-back", 5, at(1), Some((0, at(3)))),
        ("last", 12, at(20), Some((1, at(22)))),
    ];
    assert_eq!(labels, expected);
}

#[test]
fn parquet_says_what_it_is() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("all.parquet");
    parquet(&request(), &fates(), &path).unwrap();
    let (columns, metadata, groups) = about(&path);
    let set = FeatureSet::payments_v1();
    assert_eq!(columns.len(), 5 + set.slot_count());
    assert_eq!(
        columns[..6].join("\n"),
        "transaction_id BYTE_ARRAY String\n\
         sequence INT64 Integer(IntType { bit_width: 64, is_signed: false })\n\
         event_ns INT64 Timestamp(TimestampType { is_adjusted_to_u_t_c: true, unit: NANOS })\n\
         label? INT32 Integer(IntType { bit_width: 8, is_signed: true })\n\
         label_known_ns? INT64 Timestamp(TimestampType { is_adjusted_to_u_t_c: true, unit: NANOS })\n\
         amount_minor FLOAT"
    );
    let hash = format!("{:016x}", canonical::hash(&set));
    let expected = [
        ("pinion.feature_set_hash", hash.as_str()),
        ("pinion.feature_set_name", "payments-v1"),
        ("pinion.feature_set_version", "1"),
        ("pinion.label_days", "8"),
        ("pinion.version", env!("CARGO_PKG_VERSION")),
    ];
    let found: Vec<_> = metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(groups, [5]);
    assert_eq!(read(&path).len(), 5);
}

#[test]
fn csv_and_parquet_have_the_same_rows() {
    let events = rough_days(4);
    let (text, _) = csv(&request(), &events);
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("all.parquet");
    parquet(&request(), &events, &path).unwrap();
    let lines = read(&path).into_iter().map(|row| {
        let is_fraud = u8::from(row.label.is_some_and(|(label, _)| label == 1));
        let vector = row.vector.iter().map(|bits| f32::from_bits(*bits).to_string());
        format!(
            "{},{},{is_fraud},{}",
            row.transaction_id,
            row.event_ns,
            vector.collect::<Vec<_>>().join(",")
        )
    });
    let lines: Vec<String> = lines.collect();
    assert!(lines.len() > 300);
    assert!(lines.iter().map(String::as_str).eq(text.lines().skip(2)));
}

#[test]
fn export_replaces_its_days_and_leaves_what_is_not_its_own() {
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name);
    fs::create_dir_all(path("day=2018-04-01")).unwrap();
    for name in [
        "day=2018-04-01/part-0.parquet",
        "day=2018-04-01/other",
        "notes.txt",
    ] {
        fs::write(path(name), "old").unwrap();
    }
    parquet(&request(), &[pay("a", T0, 1)], out.path()).unwrap();
    assert_eq!(read(&path("day=2018-04-01/part-0.parquet")).len(), 1);
    let names: Vec<_> = files(out.path()).into_keys().collect();
    assert_eq!(
        names
            .iter()
            .map(|name| name.to_str().unwrap())
            .collect::<Vec<_>>(),
        [
            "day=2018-04-01/other",
            "day=2018-04-01/part-0.parquet",
            "notes.txt"
        ]
    );
    assert_eq!(fs::read_to_string(path("notes.txt")).unwrap(), "old");
}

/// A source that ends differently when it is read again: the export fails in its second pass.
fn interrupted(out: &Path) -> ExportError {
    let first = fates();
    let second = &first[..first.len() - 4];
    let ingest = IngestConfig::default();
    let mut payments = EventPayments::new(Script::boxed(&first), Script::boxed(second), &ingest).unwrap();
    let place = Target::Place(Place::of(out));
    export(&request(), &mut payments, place, |_| ()).unwrap_err()
}

#[test]
fn interrupted_export_leaves_no_half_file_and_keeps_the_old_ones() {
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name);
    fs::create_dir_all(path("days/day=2018-04-01")).unwrap();
    for name in ["days/day=2018-04-01/part-0.parquet", "all.parquet", "all.csv"] {
        fs::write(path(name), "old").unwrap();
    }
    for name in ["days", "all.parquet", "all.csv", "new", "new.parquet", "new.csv"] {
        let error = interrupted(&path(name));
        assert!(matches!(error, ExportError::Changed { .. }), "{error}");
    }
    let left: Vec<_> = files(out.path()).into_iter().collect();
    let old = |name: &str| (PathBuf::from(name), b"old".to_vec());
    assert_eq!(
        left,
        [
            old("all.csv"),
            old("all.parquet"),
            old("days/day=2018-04-01/part-0.parquet")
        ]
    );
}

#[test]
fn groups_have_a_fixed_number_of_rows() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("all.parquet");
    let events: Vec<Event> = (0..20_000_i64)
        .map(|index| pay(&index.to_string(), T0 + index * SECOND_NS, index))
        .collect();
    parquet(&request(), &events, &path).unwrap();
    let (_, _, groups) = about(&path);
    assert_eq!(groups, [16_384, 3_616]);
    let names: Vec<String> = read(&path).into_iter().map(|row| row.transaction_id).collect();
    assert!(
        names
            .iter()
            .map(|name| name.parse::<i32>().unwrap())
            .eq(0..20_000)
    );
}
