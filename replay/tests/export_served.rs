//! What was served live and what is exported later are the same bytes.

mod export_support;

use std::fs;
use std::path::{Path, PathBuf};

use export_support::events::{at, rough_days};
use export_support::rows::{Row, files, read_all};
use export_support::serve::serve;
use pinion_features::FeatureSet;
use pinion_ingest::IngestConfig;
use pinion_node::{Config, Sources};
use pinion_replay::export::payments::JournalPayments;
use pinion_replay::export::target::{Place, Target};
use pinion_replay::export::{ExportError, ExportSummary, Request, export};
use pinion_schemas::encode::Event;
use pinion_schemas::records::{FeatureRecord, payment_kind};

/// Days served.
const DAYS: u32 = 10;

/// A folder with a journal, and what the score stage was given while it was written.
struct Served {
    folder: tempfile::TempDir,
    config: Config,
    set: FeatureSet,
    records: Vec<FeatureRecord>,
}

impl Served {
    /// Tables are smaller than the days, so that names are forgotten and come back; segments are short.
    fn new(set: &str, events: &[Event]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let sources = Sources {
            file: Some(root.join("tests/golden/pinion.toml")),
            flags: vec![format!("engine.dir={}", folder.path().display())],
            ..Sources::default()
        };
        let config = Config::load(&sources).unwrap_or_else(|findings| panic!("{}", findings[0]));
        let set = FeatureSet::load(&root.join("../features").join(set)).unwrap();
        let records = serve(&config, &set, &folder.path().join("journal"), events);
        Self {
            folder,
            config,
            set,
            records,
        }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn request(&self) -> Request {
        Request {
            features: self.config.features.clone(),
            ..Request::of(self.set.clone())
        }
    }

    fn export_to(&self, request: &Request, out: &Path) -> Result<ExportSummary, ExportError> {
        let ingest: &IngestConfig = &self.config.ingest;
        let mut payments = JournalPayments::open(&self.journal(), ingest)?;
        let target = Target::Place(Place::ParquetDays(out.to_path_buf()));
        export(request, &mut payments, target, |_| ())
    }

    fn export(&self, request: &Request) -> (ExportSummary, Vec<Row>) {
        let out = tempfile::tempdir().unwrap();
        let summary = self.export_to(request, out.path()).unwrap();
        (summary, read_all(out.path()))
    }

    /// Transactions that were served, as rows without a label.
    fn rows(&self) -> Vec<Row> {
        let slots = self.set.slot_count();
        let transactions = self
            .records
            .iter()
            .filter(|record| record.payment.origin.kind == payment_kind::TRANSACTION);
        transactions
            .map(|record| Row {
                transaction_id: record.payment.transaction_id.to_string(),
                sequence: record.payment.origin.sequence,
                event_ns: record.payment.origin.event_ns,
                label: None,
                vector: record.features[..slots]
                    .iter()
                    .map(|value| value.to_bits())
                    .collect(),
            })
            .collect()
    }
}

fn without_labels(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.iter_mut().for_each(|row| row.label = None);
    rows.sort_by_key(|row| row.sequence);
    rows
}

#[track_caller]
fn check_served_is_exported(set: &str) {
    let events = rough_days(DAYS);
    let served = Served::new(set, &events);
    let (summary, rows) = served.export(&served.request());
    let expected = served.rows();
    assert!(expected.len() > 1_000, "{} rows", expected.len());
    assert!(
        without_labels(&rows) == expected,
        "{}: an exported vector is not the one that was served",
        served.set.name
    );
    assert_eq!(summary.events, served.records.len() as u64);
    // The days were rough enough to prove something.
    let store = summary.store;
    assert!(store.late_events > 20 && store.too_late_events > 0, "{store:?}");
    assert!(store.labels_applied > 0 && store.labels_repeated > 0, "{store:?}");
    assert!(
        summary.frauds > 20 && summary.labelled > summary.frauds,
        "{summary:?}"
    );
    let is_forgotten = |record: &&FeatureRecord| record.payment.fresh != 0;
    assert!(served.records.iter().filter(is_forgotten).count() > 200);
}

#[test]
fn vectors_served_live_and_exported_are_the_same_bytes() {
    check_served_is_exported("payments-v1.toml");
}

#[test]
fn vectors_of_a_set_over_cards_and_devices_are_the_same_bytes() {
    check_served_is_exported("payments-attempts.toml");
}

#[test]
fn tables_of_another_size_forget_other_names() {
    let served = Served::new("payments-v1.toml", &rough_days(DAYS));
    let out = tempfile::tempdir().unwrap();
    let mut payments = JournalPayments::open(&served.journal(), &IngestConfig::default()).unwrap();
    let request = Request::of(served.set.clone());
    let target = Target::Place(Place::ParquetDays(out.path().to_path_buf()));
    export(&request, &mut payments, target, |_| ()).unwrap();
    let (exported, expected) = (without_labels(&read_all(out.path())), served.rows());
    assert_eq!(exported.len(), expected.len());
    assert!(exported != expected, "the same sizes would have shown nothing");
    assert_eq!(payments.config_hashes(), [served.config.decision_hash()]);
}

#[test]
fn rows_of_some_days_are_those_of_all_days() {
    let served = Served::new("payments-v1.toml", &rough_days(DAYS));
    let (_, all) = served.export(&served.request());
    let request = Request {
        from_ns: at(3),
        to_ns: at(5),
        ..served.request()
    };
    let (summary, some) = served.export(&request);
    let expected: Vec<Row> = all
        .into_iter()
        .filter(|row| (at(3)..at(5)).contains(&row.event_ns))
        .collect();
    assert!(some.len() > 100);
    assert_eq!((some, summary.days), (expected, 2));
}

#[test]
fn same_journal_gives_the_same_bytes() {
    let served = Served::new("payments-v1.toml", &rough_days(3));
    let bytes = || {
        let out = tempfile::tempdir().unwrap();
        served.export_to(&served.request(), out.path()).unwrap();
        files(out.path())
    };
    let first = bytes();
    assert!(first.len() >= 3);
    assert!(first == bytes());
}

#[test]
fn damaged_journal_is_told_and_nothing_is_written() {
    let served = Served::new("payments-v1.toml", &rough_days(3));
    let mut segments: Vec<_> = fs::read_dir(served.journal())
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "segment"))
        .collect();
    segments.sort();
    assert!(
        segments.len() > 1,
        "damage in the first is below what was durable"
    );
    let mut bytes = fs::read(&segments[0]).unwrap();
    bytes[100_000] ^= 1;
    fs::write(&segments[0], bytes).unwrap();
    let out = served.folder.path().join("out");
    let error = served.export_to(&served.request(), &out).unwrap_err();
    assert!(error.is_corruption(), "{error}");
    assert!(
        error.to_string().contains("segment 1 is damaged at bytes"),
        "{error}"
    );
    assert!(!out.exists());
}

#[test]
fn journal_without_payments_is_refused() {
    let served = Served::new("payments-v1.toml", &[]);
    let out = served.folder.path().join("out");
    let error = served.export_to(&served.request(), &out).unwrap_err();
    assert!(matches!(error, ExportError::NoTransaction { .. }), "{error}");
    assert!(!out.exists());
}
