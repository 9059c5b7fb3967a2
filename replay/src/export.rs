//! Training sets: every transaction's features, computed by the serving code, and whether it was a fraud.
//!
//! ```text
//!   EventSource ─▶ dense ids ─▶ FeatureStore ─vector─▶ rows held ─8 days of event time─▶ CSV
//!                                                          ▲
//!                              Label ──────────fraud───────┘
//! ```
//!
//! First line: `# feature_set_hash`, 16 hexadecimal digits. Then a heading and a row per transaction, in the
//! order of the source: `transaction_id`, `event_ns`, `fraud`, and the slots of the feature set by name. A label reaches back
//! [`LABEL_REACH_NS`] at most: later ones are counted and left, as a model that is trained today cannot know
//! them either. The last label wins, as it does in the store.
//!
//! Memory: the feature store, every entity's name, and the rows of eight days.
//!
//! Invariant: the vector of a transaction is that which an engine computes from the same events in the same
//! order, and the same source gives the same bytes.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};

use pinion_features::set::canonical;
use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig};
use pinion_schemas::encode::{Event, LabelEvent, TransactionEvent};
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use pinion_schemas::records::{FEATURES_MAX, Origin, PaymentRecord, fresh, payment_kind};
use pinion_schemas::wire::{Lane, Verdict};

use crate::import::time::DAY_NS;
use crate::import::{EventSource, ImportError};

/// How long after its transaction a label may come. Unit: ns of event time.
pub const LABEL_REACH_NS: i64 = 8 * DAY_NS;

/// The columns before the features.
const FIRST_COLUMNS: [&str; 3] = ["transaction_id", "event_ns", "fraud"];

/// Why a training set was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The source could not be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The output could not be written.
    #[error("the training set cannot be written: {0}")]
    Write(#[from] io::Error),
    /// There is nothing to learn from.
    #[error("{source_name}: found no transaction, expected a source of payments")]
    NoTransaction {
        /// The source in its own words.
        source_name: String,
    },
}

impl From<csv::Error> for ExportError {
    fn from(error: csv::Error) -> Self {
        Self::Write(error.into())
    }
}

/// What was written, and what the rows do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportSummary {
    /// Rows written, one per transaction.
    pub transactions: u64,
    /// Rows with `fraud` 1.
    pub frauds: u64,
    /// Labels that found their row.
    pub labels: u64,
    /// Labels of a transaction that was never there, or that came after [`LABEL_REACH_NS`]: left.
    pub labels_unmatched: u64,
    /// What was out of the ordinary in the feature store: beside labels and late events all zero, or some
    /// vectors are not exact.
    pub store: pinion_features::Tally,
}

/// Writes the features of every transaction of `source`, a source of payments; other events are left out.
///
/// Cost: one pass, a few microseconds per transaction.
///
/// # Errors
/// The source cannot be read, the output cannot be written, or there is no transaction.
///
/// ```
/// use pinion_replay::export;
/// use pinion_replay::generate::{PaymentsConfig, PaymentsGenerator};
///
/// let config = PaymentsConfig { customers: 20, terminals: 40, days: 2, ..PaymentsConfig::default() };
/// let mut source = PaymentsGenerator::new(config).unwrap();
/// let mut out = Vec::new();
/// let summary = export::features(&mut source, &mut out).unwrap();
/// let text = String::from_utf8(out).unwrap();
/// assert!(text.starts_with("# feature_set_hash "));
/// assert_eq!(text.lines().count() as u64, 2 + summary.transactions);
/// ```
pub fn features(source: &mut dyn EventSource, out: impl Write) -> Result<ExportSummary, ExportError> {
    let mut export = Export::begin(out)?;
    while let Some(event) = source.next()? {
        export.add(&event.event)?;
    }
    let summary = export.finish()?;
    if summary.transactions == 0 {
        let source_name = source.describe();
        return Err(ExportError::NoTransaction { source_name });
    }
    Ok(summary)
}

/// A row that waits for its label.
struct Row {
    transaction_id: Id,
    event_ns: i64,
    is_fraud: bool,
    vector: [f32; FEATURES_MAX],
}

/// An export under way.
struct Export<W: Write> {
    store: FeatureStore,
    slot_count: usize,
    names: Names,
    rows: VecDeque<Row>,
    /// Place of each held row, counted from the first row of all.
    places: HashMap<Id, u64>,
    writer: csv::Writer<W>,
    summary: ExportSummary,
}

impl<W: Write> Export<W> {
    fn begin(mut out: W) -> Result<Self, ExportError> {
        let set = FeatureSet::payments_v1();
        writeln!(out, "# feature_set_hash {:016x}", canonical::hash(&set))?;
        let mut writer = csv::Writer::from_writer(out);
        let names = set.slot_names();
        writer.write_record(FIRST_COLUMNS.into_iter().chain(names.iter().map(String::as_str)))?;
        let store = FeatureStore::new(&FeaturesConfig::default(), &set).expect("the defaults are in range");
        Ok(Self {
            store,
            slot_count: set.slot_count(),
            names: Names::default(),
            rows: VecDeque::new(),
            places: HashMap::new(),
            writer,
            summary: ExportSummary::default(),
        })
    }

    fn add(&mut self, event: &Event) -> Result<(), ExportError> {
        let Some(record) = self.names.record(event) else {
            return Ok(());
        };
        let mut vector = [0.0; FEATURES_MAX];
        self.store.apply(&record, &mut vector);
        self.release_before(record.origin.event_ns.saturating_sub(LABEL_REACH_NS))?;
        match event {
            Event::Transaction(transaction) => self.hold(transaction, &vector),
            Event::Label(label) => self.set_fraud(label),
            _ => {}
        }
        Ok(())
    }

    fn hold(&mut self, transaction: &TransactionEvent, vector: &[f32; FEATURES_MAX]) {
        let place = self.summary.transactions + self.rows.len() as u64;
        self.places.insert(transaction.transaction_id, place);
        self.rows.push_back(Row {
            transaction_id: transaction.transaction_id,
            event_ns: transaction.event_ns,
            is_fraud: false,
            vector: *vector,
        });
    }

    fn set_fraud(&mut self, label: &LabelEvent) {
        let Some(place) = self.places.get(&label.transaction_id) else {
            self.summary.labels_unmatched += 1;
            return;
        };
        self.summary.labels += 1;
        let row = &mut self.rows[(place - self.summary.transactions) as usize];
        row.is_fraud = label.verdict == Verdict::Fraud;
    }

    /// Writes the rows of transactions before `time_ns`. A row that is out of order waits for those before it.
    fn release_before(&mut self, time_ns: i64) -> Result<(), ExportError> {
        while let Some(row) = self.rows.front()
            && row.event_ns < time_ns
        {
            self.release_first()?;
        }
        Ok(())
    }

    fn release_first(&mut self) -> Result<(), ExportError> {
        let Some(row) = self.rows.pop_front() else {
            return Ok(());
        };
        let place = self.summary.transactions;
        if self.places.get(&row.transaction_id) == Some(&place) {
            self.places.remove(&row.transaction_id);
        }
        self.summary.transactions += 1;
        self.summary.frauds += u64::from(row.is_fraud);
        self.writer.write_field(row.transaction_id.as_str())?;
        self.writer.write_field(row.event_ns.to_string())?;
        self.writer.write_field(if row.is_fraud { "1" } else { "0" })?;
        for value in &row.vector[..self.slot_count] {
            self.writer.write_field(value.to_string())?;
        }
        self.writer.write_record(None::<&[u8]>)?;
        Ok(())
    }

    fn finish(mut self) -> Result<ExportSummary, ExportError> {
        while !self.rows.is_empty() {
            self.release_first()?;
        }
        self.writer.flush()?;
        self.summary.store = self.store.tally();
        Ok(self.summary)
    }
}

/// The dense ids of each kind of entity, in the order of their first event, as ingest gives them.
#[derive(Default)]
struct Names {
    customers: HashMap<Id, u32>,
    terminals: HashMap<Id, u32>,
}

impl Names {
    /// The record that ingest would make of a payment event, as far as the feature store reads it.
    fn record(&mut self, event: &Event) -> Option<PaymentRecord> {
        let mut record = PaymentRecord::default();
        let (kind, customer, terminal) = match event {
            Event::Transaction(transaction) => {
                record.amount_minor = transaction.amount_minor;
                record.transaction_id = transaction.transaction_id;
                (
                    payment_kind::TRANSACTION,
                    transaction.customer,
                    transaction.terminal,
                )
            }
            Event::Label(label) => {
                record.amount_minor = label.amount_minor;
                record.transaction_ns = label.transaction_ns;
                record.verdict = label.verdict.0;
                record.detail = label.source.0;
                record.transaction_id = label.transaction_id;
                (payment_kind::LABEL, label.customer, label.terminal)
            }
            Event::AccountUpdate(update) => {
                record.amount_minor = update.limit_minor;
                (payment_kind::ACCOUNT, update.customer, Id::NONE)
            }
            _ => return None,
        };
        record.origin = Origin {
            event_ns: event.event_ns(),
            kind,
            lane: Lane::Payment.0,
            ..Origin::default()
        };
        let (dense, is_customer_new) = dense_id(&mut self.customers, customer);
        record.customer = dense;
        let (dense, is_terminal_new) = dense_id(&mut self.terminals, terminal);
        record.terminal = dense;
        record.fresh =
            (fresh::CUSTOMER * u8::from(is_customer_new)) | (fresh::TERMINAL * u8::from(is_terminal_new));
        Some(record)
    }
}

/// The dense id of a name, and whether it was given just now.
fn dense_id(names: &mut HashMap<Id, u32>, name: Id) -> (u32, bool) {
    if name.is_none() {
        return (DENSE_ID_NONE, false);
    }
    let next = names.len() as u32;
    let dense = *names.entry(name).or_insert(next);
    (dense, dense == next)
}
