//! The Fraud Detection Handbook's simulated transactions, as Parquet or CSV.
//!
//! ```text
//!   row ──▶ Transaction        row of a fraud ──▶ Label, `label_delay_ns` later
//! ```
//!
//! Columns: TRANSACTION_ID, TX_DATETIME, CUSTOMER_ID, TERMINAL_ID, TX_AMOUNT, TX_FRAUD. The published features
//! take a fraud as known seven days after it, so any delay below that gives the same features.
//!
//! Invariant: events are in the order of time; rows must be, and one that is not is a bad record.

use std::collections::VecDeque;
use std::path::Path;

use pinion_schemas::encode::{Event, TransactionEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{Channel, LabelSource, Verdict};

use super::columns::ColumnBatches;
use super::error::{FileName, ImportError, Place};
use super::input::Input;
use super::labels::{PendingLabels, label_of};
use super::number::cents_of_float;
use super::source::{RecordDecoder, SourceEvent, Step};
use super::table::{CsvTable, OtherColumns};
use super::time::parse_time;

/// The columns that are read, of both forms.
const COLUMNS: &[&str] = &[
    "TRANSACTION_ID",
    "TX_DATETIME",
    "CUSTOMER_ID",
    "TERMINAL_ID",
    "TX_AMOUNT",
    "TX_FRAUD",
];

/// ISO 4217 number of the euro: the publication names no currency.
pub(crate) const EURO: u16 = 978;

/// One published transaction.
pub(crate) struct HandbookRow {
    place: Place,
    transaction_id: i64,
    event_ns: i64,
    customer: i64,
    terminal: i64,
    amount_minor: i64,
    is_fraud: bool,
}

/// A file of such rows.
pub(crate) trait HandbookRows {
    /// The next row, `None` at the end.
    fn next_row(&mut self) -> Result<Option<HandbookRow>, ImportError>;
    fn row_count(&self) -> Option<u64>;
    fn name(&self) -> &FileName;
}

/// The Parquet form.
pub(crate) struct ParquetRows {
    columns: ColumnBatches,
    unit_ns: i64,
    row: usize,
    batch_len: usize,
}

impl ParquetRows {
    pub(crate) fn open(path: &Path) -> Result<Self, ImportError> {
        let columns = ColumnBatches::open(path, COLUMNS)?;
        let unit_ns = columns.unit_ns(1);
        Ok(Self {
            columns,
            unit_ns,
            row: 0,
            batch_len: 0,
        })
    }

    fn amount_minor(&self, row: usize) -> Result<i64, ImportError> {
        let amount = self.columns.float(4, row);
        cents_of_float(amount).ok_or_else(|| {
            self.columns.name.bad(
                self.columns.place(row),
                format!("TX_AMOUNT {amount}"),
                "whole cents",
            )
        })
    }
}

impl HandbookRows for ParquetRows {
    fn next_row(&mut self) -> Result<Option<HandbookRow>, ImportError> {
        if self.row == self.batch_len {
            self.batch_len = self.columns.next_batch()?;
            self.row = 0;
        }
        if self.batch_len == 0 {
            return Ok(None);
        }
        let row = self.row;
        self.row += 1;
        Ok(Some(HandbookRow {
            place: self.columns.place(row),
            transaction_id: self.columns.integer(0, row)?,
            event_ns: self.columns.integer(1, row)?.saturating_mul(self.unit_ns),
            customer: self.columns.integer(2, row)?,
            terminal: self.columns.integer(3, row)?,
            amount_minor: self.amount_minor(row)?,
            is_fraud: self.columns.integer(5, row)? != 0,
        }))
    }

    fn row_count(&self) -> Option<u64> {
        Some(self.columns.row_count())
    }

    fn name(&self) -> &FileName {
        &self.columns.name
    }
}

/// The CSV form.
pub(crate) struct CsvRows {
    table: CsvTable,
}

impl CsvRows {
    pub(crate) fn open(input: Input) -> Result<Self, ImportError> {
        let table = CsvTable::open(input, COLUMNS, COLUMNS.len(), OtherColumns::Ignored)?;
        Ok(Self { table })
    }
}

impl HandbookRows for CsvRows {
    fn next_row(&mut self) -> Result<Option<HandbookRow>, ImportError> {
        if !self.table.next_row()? {
            return Ok(None);
        }
        let table = &self.table;
        let whole = |column| table.value(column, "a whole number", |text| text.parse().ok());
        Ok(Some(HandbookRow {
            place: table.place(),
            transaction_id: whole(0)?,
            event_ns: table.value(1, "a time like 2018-04-01 00:00:31", parse_time)?,
            customer: whole(2)?,
            terminal: whole(3)?,
            amount_minor: table.value(4, "an amount of whole cents", amount_of)?,
            is_fraud: whole(5)? != 0,
        }))
    }

    fn row_count(&self) -> Option<u64> {
        None
    }

    fn name(&self) -> &FileName {
        &self.table.name
    }
}

/// The published CSV writes out the binary fraction: `251.20000000000002` is 251.20.
fn amount_of(text: &str) -> Option<i64> {
    cents_of_float(text.parse().ok()?)
}

/// Turns rows into transactions and labels.
pub(crate) struct HandbookDecoder<R> {
    rows: R,
    label_delay_ns: i64,
    pending: PendingLabels,
    last_ns: i64,
}

impl<R: HandbookRows> HandbookDecoder<R> {
    pub(crate) fn new(rows: R, label_delay_ns: i64) -> Self {
        Self {
            rows,
            label_delay_ns,
            pending: PendingLabels::default(),
            last_ns: i64::MIN,
        }
    }

    fn append_row(&mut self, row: &HandbookRow, out: &mut VecDeque<SourceEvent>) -> Result<(), ImportError> {
        if row.event_ns < self.last_ns {
            let found = format!("time {} ns", row.event_ns);
            let expected = format!("at least {} ns, the time of the row before", self.last_ns);
            return Err(self.rows.name().bad(row.place, found, expected));
        }
        self.last_ns = row.event_ns;
        let transaction = transaction_of(row);
        self.pending.release_until(row.event_ns, out);
        if row.is_fraud {
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

fn transaction_of(row: &HandbookRow) -> TransactionEvent {
    let name = |number: i64| Id::new(&number.to_string()).unwrap_or(Id::NONE);
    TransactionEvent {
        event_ns: row.event_ns,
        amount_minor: row.amount_minor,
        currency: EURO,
        channel: Channel::CardPresent,
        transaction_id: name(row.transaction_id),
        customer: name(row.customer),
        terminal: name(row.terminal),
        ..TransactionEvent::default()
    }
}

impl<R: HandbookRows> RecordDecoder for HandbookDecoder<R> {
    fn decode(&mut self, out: &mut VecDeque<SourceEvent>) -> Result<Step, ImportError> {
        if let Some(row) = self.rows.next_row()? {
            self.append_row(&row, out)?;
            return Ok(Step::Record);
        }
        self.pending.release_all(out);
        Ok(Step::End)
    }

    fn len_hint(&self) -> Option<u64> {
        self.rows.row_count()
    }

    fn describe(&self) -> String {
        format!(
            "transactions of the Fraud Detection Handbook of {}",
            self.rows.name().as_str()
        )
    }
}
