//! Training sets: every transaction's features, computed by the serving code, and what became known of it later.
//!
//! ```text
//!   journal ─┐                       first pass:  days, their last rows ─▶ Plan
//!            ├─ payments ─▶ ByHand ─┤             labels by day ─────────▶ DayLabels ─┐
//!   file ────┘  (ingest's own way)  └ second pass: FeatureStore ─vector──────────────┴─▶ rows ─▶ CSV, Parquet
//! ```
//!
//! Start at [`export`]; [`payments`] are the two sources, [`target`] the places where rows go, [`labels`] joins
//! what was learnt later to its row.
//!
//! **Rows.** One for each transaction of the days asked for, in the order of the source. *All* events from the
//! source's beginning are applied, so that windows are full on the first day. A label speaks of the transaction
//! of its id and its time that came before it, as in the feature store; the last one wins. One that became
//! known more than [`Request::label_days`] after its transaction is counted and left, for a model that is
//! trained on as many days' patience cannot know it either.
//!
//! **Two passes.** What became known after a row is written with it, and the time until then is not held in
//! memory but read again. Memory: the feature store and ingest's tables as configured; up to
//! [`labels::HELD_MAX`] labels, beyond which they go to a file per day; and for each day that is being written
//! (from its first row to its last: one or two, unless events are late by days) its labels, 64 bytes each, and
//! one group of [`parquet::GROUP_ROWS`] rows. The length of the journal does not matter.
//!
//! **Files** get their names when everything is written, each at once: an export that is interrupted leaves what
//! was there. What else is in the folder is left alone.
//!
//! Invariant: the vector of a transaction is that which an engine computes from the same events in the same
//! order under the same configuration, and the same source gives the same bytes.

pub mod payments;

pub mod labels;
pub(crate) mod plan;

mod csv_rows;
mod finished;
pub mod parquet;
pub mod target;

use std::io;
use std::path::{Path, PathBuf};

use pinion_features::set::canonical;
use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig, FeaturesError, Since, Tally, Usage};
use pinion_ingest::IngestError;
use pinion_journal::JournalError;
use pinion_node::{History, HistoryError, feature_sets};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};

use crate::import::ImportError;
use crate::import::time::DAY_NS;

use self::labels::Outcome;
use self::payments::{Payments, Provenance};
use self::plan::Plan;
use self::target::Rows;

/// How long after its transaction a label may come, where nobody says otherwise. Unit: days of event time.
pub const LABEL_DAYS: u32 = 8;

/// The longest that can be asked for: what a window and its delay may reach back together. Unit: days.
pub const LABEL_DAYS_MAX: u32 = 730;

/// Events between two reports of progress.
const PROGRESS_EVENTS: u64 = 1024;

/// Why a training set was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file of events could not be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The journal could not be read, or is damaged.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The sizes of ingest's tables are refused.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The sizes of the feature store are refused, or too small for the set.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// The output could not be written.
    #[error("{}: the training set cannot be written: {source}", path.display())]
    Write {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to learn from.
    #[error("{source_name}: found no transaction{range}, expected a source of payments")]
    NoTransaction {
        /// The source in its own words.
        source_name: String,
        /// The days asked for, in words, or nothing.
        range: &'static str,
    },
    /// The source was not the same when it was read again.
    #[error("{source_name}: found other events when it was read again, expected what was there before")]
    Changed {
        /// The source in its own words.
        source_name: String,
    },
    /// A feature has the name of one of the columns before the features.
    #[error(
        "a slot of the feature set is called {name:?}, expected another name than that of a row's column"
    )]
    ColumnName {
        /// The slot.
        name: String,
    },
}

impl ExportError {
    /// Makes a function that wraps an error of the operating system, for `map_err`.
    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Write { path, source }
    }

    /// Whether stored data is corrupt, as opposed to the export not being able to run.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Journal(error) => error.is_corruption(),
            Self::Import(error) => {
                matches!(error, ImportError::Damaged { .. } | ImportError::BadRecord { .. })
            }
            _ => false,
        }
    }
}

/// What shall be exported.
#[derive(Clone, Debug)]
pub struct Request {
    /// The features.
    pub set: FeatureSet,
    /// The sizes of the store: those of the engine, for the same vectors where a table is full.
    pub features: FeaturesConfig,
    /// What of the source counts for the set: that of the log beside a journal, [`since_of`]; payments that do not
    /// count have no row.
    pub since: Option<Since>,
    /// First day of which rows are written: midnight UTC. Unit: ns since the Unix epoch.
    pub from_ns: i64,
    /// First day of which none are: midnight UTC. Unit: ns since the Unix epoch.
    pub to_ns: i64,
    /// How long after its transaction a label may come. Unit: days of event time, up to [`LABEL_DAYS_MAX`].
    pub label_days: u32,
    /// A folder for labels that do not fit into memory. Nothing is made in it unless there are such.
    pub spill: PathBuf,
}

impl Request {
    /// Every transaction with the features of `set`, with the defaults for the rest.
    pub fn of(set: FeatureSet) -> Self {
        Self {
            set,
            features: FeaturesConfig::default(),
            since: None,
            from_ns: i64::MIN,
            to_ns: i64::MAX,
            label_days: LABEL_DAYS,
            spill: std::env::temp_dir(),
        }
    }

    fn has(&self, time_ns: i64) -> bool {
        (self.from_ns..self.to_ns).contains(&time_ns)
    }

    fn label_reach_ns(&self) -> i64 {
        i64::from(self.label_days.min(LABEL_DAYS_MAX)) * DAY_NS
    }

    fn range_in_words(&self) -> &'static str {
        if self.from_ns == i64::MIN && self.to_ns == i64::MAX {
            ""
        } else {
            " in the days asked for"
        }
    }
}

/// What was written, and what the rows do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportSummary {
    /// Rows written, one per transaction.
    pub transactions: u64,
    /// Transactions left out because they were erased.
    pub erased: u64,
    /// Days that they are of.
    pub days: u64,
    /// Rows labelled fraud.
    pub frauds: u64,
    /// Rows with a label.
    pub labelled: u64,
    /// Labels that found their row.
    pub labels: u64,
    /// Labels that came more than [`Request::label_days`] after their transaction: left.
    pub labels_late: u64,
    /// Labels of a transaction that had not been there before them: left.
    pub labels_unmatched: u64,
    /// Payment events applied.
    pub events: u64,
    /// Payment events that ingest does not take: they have no row, as they would have had no decision.
    pub refused: u64,
    /// What was out of the ordinary in the feature store.
    pub store: Tally,
    /// Its memory; merged or unkept events mean vectors that are not exact, served or exported.
    pub usage: Usage,
}

/// How far an export has come: events read of both passes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Events read.
    pub done: u64,
    /// Events to be read, once that is known: in the second pass.
    pub total: Option<u64>,
}

/// A row, as it goes to a target.
pub(crate) struct Row<'a> {
    /// The transaction.
    pub(crate) payment: &'a PaymentRecord,
    /// What became known of it.
    pub(crate) outcome: Option<Outcome>,
    /// As many as the set has slots.
    pub(crate) vector: &'a [f32],
}

/// What is the same for all rows.
pub(crate) struct Heading {
    pub(crate) set_name: String,
    pub(crate) set_version: u32,
    pub(crate) set_hash: u64,
    pub(crate) slot_names: Vec<String>,
    pub(crate) label_days: u32,
    pub(crate) provenance: Provenance,
}

/// What of the journal in `dir` counts for `set`, as the log beside it says; everything if it says nothing.
///
/// # Errors
/// The journal or its log cannot be read.
pub fn since_of(dir: &Path, set: &FeatureSet) -> Result<Option<Since>, HistoryError> {
    let history = History::of_journal(dir)?;
    Ok(history.and_then(|history| history.since_of(canonical::hash(set)).flatten()))
}

/// What does not count, for people.
pub fn words_of(since: Since) -> String {
    let from = jiff::Timestamp::from_nanosecond(since.from_ns.into()).unwrap_or_default();
    format!(
        "the set was computed from {from:.0} on ({}): payments before it, up to sequence {}, leave only their names \
         and have no row",
        feature_sets::FILE_NAME,
        since.until_sequence
    )
}

/// Writes the features of the transactions of `payments` into `target`.
///
/// Cost: two passes over the source; a few microseconds per transaction.
///
/// # Errors
/// The source cannot be read or is damaged, the output cannot be written, or there is no transaction. Nothing is
/// left under the target's name then that was not there before.
///
/// ```
/// use pinion_features::FeatureSet;
/// use pinion_ingest::IngestConfig;
/// use pinion_replay::export::{self, Request, payments::EventPayments, target::Target};
/// use pinion_replay::generate::{PaymentsConfig, PaymentsGenerator};
///
/// let config = PaymentsConfig { customers: 20, terminals: 40, days: 2, ..PaymentsConfig::default() };
/// let open = || Box::new(PaymentsGenerator::new(config.clone()).unwrap());
/// let mut payments = EventPayments::new(open(), open(), &IngestConfig::default())?;
/// let mut out = Vec::new();
/// let request = Request::of(FeatureSet::payments_v1());
/// let summary = export::export(&request, &mut payments, Target::Csv(&mut out), |_| ())?;
/// let text = String::from_utf8(out).unwrap();
/// assert!(text.starts_with("# feature_set_hash "));
/// assert_eq!(text.lines().count() as u64, 2 + summary.transactions);
/// # Ok::<(), export::ExportError>(())
/// ```
pub fn export(
    request: &Request,
    payments: &mut dyn Payments,
    target: target::Target<'_>,
    mut progress: impl FnMut(Progress),
) -> Result<ExportSummary, ExportError> {
    target::check_names(&request.set)?;
    let mut plan = Plan::of(request, payments, &mut progress)?;
    if plan.days.is_empty() {
        return Err(ExportError::NoTransaction {
            source_name: payments.describe(),
            range: request.range_in_words(),
        });
    }
    payments.restart()?;
    let rows = target::open(target, heading(request, payments.provenance()))?;
    write(request, payments, &mut plan, rows, &mut progress)
}

fn heading(request: &Request, provenance: Provenance) -> Heading {
    Heading {
        set_name: request.set.name.clone(),
        set_version: request.set.version,
        set_hash: canonical::hash(&request.set),
        slot_names: request.set.slot_names(),
        label_days: request.label_days,
        provenance,
    }
}

/// The second pass.
fn write(
    request: &Request,
    payments: &mut dyn Payments,
    plan: &mut Plan,
    mut rows: Box<dyn Rows + '_>,
    progress: &mut impl FnMut(Progress),
) -> Result<ExportSummary, ExportError> {
    let mut store = FeatureStore::new(&request.features, &request.set)?;
    let mut summary = ExportSummary {
        labels_late: plan.labels_late,
        refused: plan.refused,
        ..ExportSummary::default()
    };
    let slot_count = request.set.slot_count();
    let mut vector = [0.0; FEATURES_MAX];
    while let Some(payment) = payments.next_payment()? {
        let shaped = request.since.map_or(payment, |since| since.shape(&payment));
        store.apply(&shaped, &mut vector);
        summary.events += 1;
        if summary.events.is_multiple_of(PROGRESS_EVENTS) {
            let (done, total) = (plan.events + summary.events, Some(2 * plan.events));
            progress(Progress { done, total });
        }
        if is_row(request, &payment) {
            let outcome = plan.labels.outcome_of(&payment)?;
            let vector = &vector[..slot_count];
            if summary.note(outcome) {
                rows.write(&Row {
                    payment: &payment,
                    outcome,
                    vector,
                })?;
            }
            if plan.is_last_of_its_day(&payment) {
                plan.labels.close(day_of(&payment));
                rows.end_day(day_of(&payment))?;
            }
        }
    }
    if summary.events != plan.events || summary.transactions + summary.erased != plan.transactions() {
        let source_name = payments.describe();
        return Err(ExportError::Changed { source_name });
    }
    rows.finish()?;
    (summary.labels, summary.labels_unmatched) = plan.labels.tally();
    summary.days = plan.days.len() as u64;
    (summary.store, summary.usage) = (store.tally(), store.usage());
    Ok(summary)
}

impl ExportSummary {
    /// Counts a transaction. Returns whether it may be written.
    fn note(&mut self, outcome: Option<Outcome>) -> bool {
        let is_erased = outcome.is_some_and(|outcome| outcome.is_erased);
        if is_erased {
            self.erased += 1;
            return false;
        }
        self.transactions += 1;
        self.labelled += u64::from(outcome.is_some());
        self.frauds += u64::from(outcome.is_some_and(|outcome| outcome.is_fraud));
        true
    }
}

pub(crate) fn is_row(request: &Request, payment: &PaymentRecord) -> bool {
    let counts = request.since.is_none_or(|since| since.counts(payment));
    counts && payment.origin.kind == payment_kind::TRANSACTION && request.has(payment.origin.event_ns)
}

/// The day of an event, counted from the Unix epoch, UTC.
pub(crate) fn day_of(payment: &PaymentRecord) -> i64 {
    payment.origin.event_ns.div_euclid(DAY_NS)
}
