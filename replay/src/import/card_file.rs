//! The real card transactions of two days in September 2013 (ULB Machine Learning Group), as Parquet.
//!
//! The file has no names: row `n` (from 1) becomes transaction `card-n` of customer `card-n` at terminal `card`,
//! so nothing can be learnt about a customer. Times count from the first transaction; which is taken to be
//! 2013-09-01 00:00 UTC. The 28 anonymised components are not part of the events.

use std::collections::VecDeque;
use std::path::Path;

use pinion_schemas::encode::{Event, TransactionEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{Channel, LabelSource, Verdict};

use super::columns::ColumnBatches;
use super::error::ImportError;
use super::handbook::EURO;
use super::labels::{PendingLabels, label_of};
use super::number::cents_of_float;
use super::source::{RecordDecoder, SourceEvent, Step};
use super::time::SECOND_NS;

const COLUMNS: &[&str] = &["Time", "Amount", "Class"];

/// 2013-09-01 00:00 UTC. Unit: ns since the Unix epoch.
const START_NS: i64 = 1_377_993_600 * SECOND_NS;

/// Reads the rows of the file.
pub(crate) struct CardDecoder {
    columns: ColumnBatches,
    row: usize,
    batch_len: usize,
    row_count: u64,
    label_delay_ns: i64,
    pending: PendingLabels,
}

impl CardDecoder {
    pub(crate) fn open(path: &Path, label_delay_ns: i64) -> Result<Self, ImportError> {
        let columns = ColumnBatches::open(path, COLUMNS)?;
        let pending = PendingLabels::default();
        Ok(Self {
            columns,
            row: 0,
            batch_len: 0,
            row_count: 0,
            label_delay_ns,
            pending,
        })
    }

    fn append_row(&mut self, row: usize, out: &mut VecDeque<SourceEvent>) -> Result<(), ImportError> {
        self.row_count += 1;
        let amount = self.columns.float(1, row);
        let amount_minor = cents_of_float(amount).ok_or_else(|| {
            self.columns
                .name
                .bad(self.columns.place(row), format!("Amount {amount}"), "whole cents")
        })?;
        let event_ns = START_NS.saturating_add(self.columns.integer(0, row)?.saturating_mul(SECOND_NS));
        let card = Id::new(&format!("card-{}", self.row_count)).unwrap_or(Id::NONE);
        let transaction = TransactionEvent {
            event_ns,
            amount_minor,
            currency: EURO,
            channel: Channel::Unknown,
            transaction_id: card,
            customer: card,
            terminal: Id::new("card").unwrap_or(Id::NONE),
            ..TransactionEvent::default()
        };
        self.pending.release_until(event_ns, out);
        if self.columns.integer(2, row)? != 0 {
            let label = label_of(
                &transaction,
                self.label_delay_ns,
                Verdict::Fraud,
                LabelSource::Chargeback,
            );
            self.pending.put(label);
        }
        out.push_back(Event::Transaction(transaction).into());
        Ok(())
    }
}

impl RecordDecoder for CardDecoder {
    fn decode(&mut self, out: &mut VecDeque<SourceEvent>) -> Result<Step, ImportError> {
        if self.row == self.batch_len {
            (self.row, self.batch_len) = (0, self.columns.next_batch()?);
        }
        if self.batch_len == 0 {
            self.pending.release_all(out);
            return Ok(Step::End);
        }
        let row = self.row;
        self.row += 1;
        self.append_row(row, out)?;
        Ok(Step::Record)
    }

    fn len_hint(&self) -> Option<u64> {
        Some(self.columns.row_count())
    }

    fn describe(&self) -> String {
        format!("card transactions of {}", self.columns.name.as_str())
    }
}
