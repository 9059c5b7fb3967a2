//! Our features beside the published ones of the Fraud Detection Handbook, value by value.
//!
//! ```text
//!   raw transactions ─▶ ingest's own way ─▶ FeatureStore ─ vector ─┐
//!   published features, a row per transaction ─────────────────────┴─▶ compared ─▶ Comparison
//! ```
//!
//! Frauds become known six days after their transaction, before the seven days that the published windows allow
//! for. Transactions of one customer in the same second have no order of their own: the table that is compared
//! with has them in the order of their ids, the publication's own order differs in a few rows, which can be
//! named and are told apart.
//!
//! Invariant: counts and flags are compared exactly; means and shares by their relative difference.

use std::collections::HashMap;
use std::path::Path;

use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig, Usage};
use pinion_ingest::IngestConfig;
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};

use crate::export::ExportError;
use crate::export::payments::{EventPayments, Payments as _};
use crate::import::handbook_features::{FEATURE_COUNT, FeatureRow, FeatureRows, TIED, tied_rows};
use crate::import::{self, Format, ImportError, ImportOptions};

/// The largest relative difference of a mean or share that counts as equal: 16 times that of the nearest f32.
pub const RELATIVE_MAX: f64 = 1e-6;

/// Below this a mean or share is compared as if it were this. Unit: cents, or a share.
const EXPECTED_MIN: f64 = 1e-9;

/// Our slot of the first published column; the others follow in the published order.
const FIRST_SLOT: usize = 1;

/// Our amounts are in cents, the published ones in euros.
const MINOR_PER_UNIT: f64 = 100.0;

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The transactions could not be read.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A file could not be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The rows of the two files are not of the same transactions.
    #[error("row {row} of the published features is of transaction {found}, expected {expected}")]
    OtherTransaction {
        /// The row, from 1.
        row: u64,
        /// The transaction that it is of, or that there is none.
        found: String,
        /// The transaction that the other file has there.
        expected: String,
    },
}

/// One value that was compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The transaction.
    pub transaction_id: i64,
    /// Our slot.
    pub slot: String,
    /// Ours.
    pub found: f64,
    /// The published one, in our unit.
    pub expected: f64,
}

/// The outcome of comparing some rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Rows compared.
    pub rows: u64,
    /// Values compared.
    pub values: u64,
    /// Counts and flags that are not equal.
    pub counts_different: u64,
    /// Means and shares that differ by more than [`RELATIVE_MAX`].
    pub ratios_different: u64,
    /// The largest relative difference of a mean or share.
    pub worst_relative: f64,
    /// Where that is, or the first count that is not equal.
    pub worst: Option<Place>,
}

/// The rows in which the publication's own order of one second differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ties {
    /// Their values beside those of the table, which are in the order of the ids.
    pub in_order_of_id: Comparison,
    /// Their customer's values beside the publication's own: these do differ.
    pub as_published: Comparison,
}

/// Everything that was compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handbook {
    /// All rows, tied ones included.
    pub all: Comparison,
    /// The tied ones, if their file was given.
    pub ties: Option<Ties>,
    /// What the feature store used: merged or unkept events would mean values that are not exact.
    pub usage: Usage,
}

impl Comparison {
    /// Whether every value is equal.
    pub fn is_equal(&self) -> bool {
        self.counts_different + self.ratios_different == 0
    }

    fn note(&mut self, slot: &str, transaction_id: i64, found: f64, expected: f64) {
        self.values += 1;
        let place = || Place {
            transaction_id,
            slot: slot.to_owned(),
            found,
            expected,
        };
        if !is_ratio(slot) {
            if found != expected {
                if self.counts_different == 0 {
                    self.worst = Some(place());
                }
                self.counts_different += 1;
            }
            return;
        }
        let relative = (found - expected).abs() / expected.abs().max(EXPECTED_MIN);
        self.ratios_different += u64::from(relative > RELATIVE_MAX);
        if relative > self.worst_relative {
            self.worst_relative = relative;
            if self.counts_different == 0 {
                self.worst = Some(place());
            }
        }
    }
}

/// Compares the features of every transaction of `raw` with those in `published`; `ties` names the rows that are
/// told apart.
///
/// # Errors
/// A file cannot be read, or they are not of the same transactions.
///
/// Cost: one pass over the files, 2 µs per transaction.
pub fn handbook(raw: &Path, published: &Path, ties: Option<&Path>) -> Result<Handbook, CompareError> {
    let source = import::open(raw, Format::Auto, &ImportOptions::default())?;
    let mut payments = EventPayments::once(source, &IngestConfig::default())?;
    let mut published = FeatureRows::open(published)?;
    let mut comparing = Comparing::new(ties.map(tied_rows).transpose()?);
    while let Some(payment) = payments.next_payment()? {
        let mut vector = [0.0; FEATURES_MAX];
        comparing.store.apply(&payment, &mut vector);
        if payment.origin.kind == payment_kind::TRANSACTION {
            comparing.compare(&payment, &vector, published.next_row()?)?;
        }
    }
    match published.next_row()? {
        None => Ok(comparing.finish()),
        Some(row) => Err(CompareError::OtherTransaction {
            row: comparing.outcome.all.rows + 1,
            found: row.transaction_id.to_string(),
            expected: "none".to_owned(),
        }),
    }
}

/// A comparison under way.
struct Comparing {
    store: FeatureStore,
    slots: Vec<String>,
    tied: HashMap<i64, Vec<f64>>,
    outcome: Handbook,
}

impl Comparing {
    fn new(tied: Option<HashMap<i64, Vec<f64>>>) -> Self {
        let set = FeatureSet::payments_v1();
        let store = FeatureStore::new(&FeaturesConfig::default(), &set)
            .expect("the set that ships fits the defaults");
        Self {
            store,
            slots: set.slot_names(),
            outcome: Handbook {
                ties: tied.is_some().then(Ties::default),
                ..Handbook::default()
            },
            tied: tied.unwrap_or_default(),
        }
    }

    fn compare(
        &mut self,
        payment: &PaymentRecord,
        vector: &[f32; FEATURES_MAX],
        published: Option<FeatureRow>,
    ) -> Result<(), CompareError> {
        let name = payment.transaction_id.as_str();
        let row = published.filter(|row| name.parse() == Ok(row.transaction_id));
        let Some(row) = row else {
            return Err(CompareError::OtherTransaction {
                row: self.outcome.all.rows + 1,
                found: published.map_or_else(|| "none".to_owned(), |row| row.transaction_id.to_string()),
                expected: name.to_owned(),
            });
        };
        let id = row.transaction_id;
        note_row(&mut self.outcome.all, &self.slots, vector, id, 0, &row.values);
        if let (Some(ties), Some(own)) = (&mut self.outcome.ties, self.tied.get(&row.transaction_id)) {
            note_row(&mut ties.in_order_of_id, &self.slots, vector, id, 0, &row.values);
            note_row(&mut ties.as_published, &self.slots, vector, id, TIED.start, own);
        }
        Ok(())
    }

    fn finish(mut self) -> Handbook {
        self.outcome.usage = self.store.usage();
        self.outcome
    }
}

/// Compares published values, from the one at `first` on, with one vector.
fn note_row(
    comparison: &mut Comparison,
    slots: &[String],
    vector: &[f32; FEATURES_MAX],
    transaction_id: i64,
    first: usize,
    values: &[f64],
) {
    comparison.rows += 1;
    for (slot, value) in (FIRST_SLOT + first..).zip(values) {
        let name = &slots[slot];
        let scale = if name.contains("_minor_") {
            MINOR_PER_UNIT
        } else {
            1.0
        };
        comparison.note(name, transaction_id, f64::from(vector[slot]), value * scale);
    }
}

const _: () = assert!(FEATURE_COUNT + FIRST_SLOT <= FEATURES_MAX);

fn is_ratio(slot: &str) -> bool {
    slot.contains("_mean_") || slot.contains("_share_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_compared_exactly_and_means_by_their_relative_difference() {
        let mut comparison = Comparison::default();
        comparison.note("customer_mean_minor_1d", 1, 100.000_05, 100.0);
        assert!(comparison.is_equal());
        assert_eq!(
            comparison.worst.as_ref().map(|place| place.transaction_id),
            Some(1)
        );
        comparison.note("customer_mean_minor_1d", 2, 100.000_2, 100.0);
        comparison.note("customer_count_1d", 3, 4.0, 5.0);
        comparison.note("terminal_fraud_share_1d", 4, 0.0, 0.0);
        assert_eq!(
            (
                comparison.counts_different,
                comparison.ratios_different,
                comparison.values
            ),
            (1, 1, 4)
        );
        assert_eq!(comparison.worst.map(|place| place.transaction_id), Some(3));
        assert!((comparison.worst_relative - 2e-6).abs() < 1e-12);
    }
}
