//! The Handbook's published features, to compare ours with. Rows of numbers, not events.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::columns::ColumnBatches;
use super::error::ImportError;
use super::input::Input;
use super::table::{CsvTable, OtherColumns};

/// Features of a row.
pub const FEATURE_COUNT: usize = 14;

/// The columns: the transaction, then its features in the published order.
const COLUMNS: &[&str] = &[
    "TRANSACTION_ID",
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

const _: () = assert!(COLUMNS.len() == FEATURE_COUNT + 1);

/// The published features of one transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureRow {
    /// The transaction's number.
    pub transaction_id: i64,
    /// Weekend and night (0 or 1); of the customer over 1, 7, 30 days: transactions and mean amount (in euros);
    /// of the terminal over 1, 7, 30 days that end 7 days before: transactions and share of frauds.
    pub values: [f64; FEATURE_COUNT],
}

enum Rows {
    Parquet {
        columns: Box<ColumnBatches>,
        row: usize,
        batch_len: usize,
    },
    Csv(Box<CsvTable>),
}

/// Reads the rows of one file in its order.
pub struct FeatureRows(Rows);

impl FeatureRows {
    /// Opens the Parquet form, or the CSV form if the name ends so.
    ///
    /// Errors: the file cannot be read, or a column is missing.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        if path.extension().is_some_and(|extension| extension == "csv") {
            let table = CsvTable::open(Input::open(path)?, COLUMNS, COLUMNS.len(), OtherColumns::Ignored)?;
            return Ok(Self(Rows::Csv(Box::new(table))));
        }
        let columns = Box::new(ColumnBatches::open(path, COLUMNS)?);
        Ok(Self(Rows::Parquet {
            columns,
            row: 0,
            batch_len: 0,
        }))
    }

    /// The next row, `None` at the end.
    pub fn next_row(&mut self) -> Result<Option<FeatureRow>, ImportError> {
        match &mut self.0 {
            Rows::Parquet {
                columns,
                row,
                batch_len,
            } => {
                if *row == *batch_len {
                    (*row, *batch_len) = (0, columns.next_batch()?);
                }
                if *batch_len == 0 {
                    return Ok(None);
                }
                let transaction_id = columns.integer(0, *row)?;
                let values = std::array::from_fn(|feature| columns.float(feature + 1, *row));
                *row += 1;
                Ok(Some(FeatureRow {
                    transaction_id,
                    values,
                }))
            }
            Rows::Csv(table) => table.next_row()?.then(|| csv_row(table)).transpose(),
        }
    }
}

fn csv_row(table: &CsvTable) -> Result<FeatureRow, ImportError> {
    let transaction_id = table.value(0, "a whole number", |text| text.parse().ok())?;
    let mut values = [0.0; FEATURE_COUNT];
    for (feature, value) in values.iter_mut().enumerate() {
        *value = table.value(feature + 1, "a number", |text| text.parse().ok())?;
    }
    Ok(FeatureRow {
        transaction_id,
        values,
    })
}

/// The columns of the rows that the publication has in an order of its own: the transaction, then the customer's
/// features as published.
const TIED_COLUMNS: &[&str] = &[
    "TRANSACTION_ID",
    "CUSTOMER_ID_NB_TX_1DAY_WINDOW_pub",
    "CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW_pub",
    "CUSTOMER_ID_NB_TX_7DAY_WINDOW_pub",
    "CUSTOMER_ID_AVG_AMOUNT_7DAY_WINDOW_pub",
    "CUSTOMER_ID_NB_TX_30DAY_WINDOW_pub",
    "CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW_pub",
];

/// The places among [`FeatureRow::values`] of the features that a tied row has of its own.
pub const TIED: Range<usize> = 2..8;

const _: () = assert!(TIED_COLUMNS.len() == TIED.end - TIED.start + 1);

/// Reads the rows that the publication has in an order of its own, by transaction: the values at [`TIED`].
///
/// Errors: the file cannot be read, or a column is missing.
pub fn tied_rows(path: &Path) -> Result<HashMap<i64, Vec<f64>>, ImportError> {
    let mut table = CsvTable::open(
        Input::open(path)?,
        TIED_COLUMNS,
        TIED_COLUMNS.len(),
        OtherColumns::Ignored,
    )?;
    let mut rows = HashMap::new();
    while table.next_row()? {
        let transaction_id = table.value(0, "a whole number", |text| text.parse().ok())?;
        let values = (1..TIED_COLUMNS.len())
            .map(|column| table.value(column, "a number", |text| text.parse().ok()))
            .collect::<Result<_, _>>()?;
        rows.insert(transaction_id, values);
    }
    Ok(rows)
}
