//! Rows as CSV: what `models/train/train.py` reads.
//!
//! First line: `# feature_set_hash`, 16 hexadecimal digits. Then a heading and a row per transaction:
//! `transaction_id`, `event_ns`, `fraud` (1 if a label said so, else 0), and the slots of the set by name.

use std::io::{self, Write};
use std::path::PathBuf;

use super::finished::Unfinished;
use super::target::{CSV_COLUMNS, Rows};
use super::{ExportError, Heading, Row};

/// What CSV is written to.
pub(crate) trait End: Write {
    /// Everything is written.
    fn end(self) -> Result<(), ExportError>;
}

impl End for Unfinished {
    fn end(self) -> Result<(), ExportError> {
        Unfinished::end(self)?.name()
    }
}

impl End for &mut dyn Write {
    fn end(self) -> Result<(), ExportError> {
        self.flush().map_err(failed)
    }
}

/// A CSV file under way.
pub(crate) struct CsvRows<W: End> {
    writer: csv::Writer<W>,
}

impl<W: End> CsvRows<W> {
    pub(crate) fn begin(mut out: W, heading: &Heading) -> Result<Self, ExportError> {
        writeln!(out, "# feature_set_hash {:016x}", heading.set_hash).map_err(failed)?;
        let mut writer = csv::Writer::from_writer(out);
        let slots = heading.slot_names.iter().map(String::as_str);
        writer
            .write_record(CSV_COLUMNS.into_iter().chain(slots))
            .map_err(refused)?;
        Ok(Self { writer })
    }

    fn write_row(&mut self, row: &Row<'_>) -> Result<(), csv::Error> {
        let is_fraud = row.outcome.is_some_and(|outcome| outcome.is_fraud);
        self.writer.write_field(row.payment.transaction_id.as_str())?;
        self.writer.write_field(row.payment.origin.event_ns.to_string())?;
        self.writer.write_field(if is_fraud { "1" } else { "0" })?;
        for value in row.vector {
            self.writer.write_field(value.to_string())?;
        }
        self.writer.write_record(None::<&[u8]>)
    }
}

impl<W: End> Rows for CsvRows<W> {
    fn write(&mut self, row: &Row<'_>) -> Result<(), ExportError> {
        self.write_row(row).map_err(refused)
    }

    fn end_day(&mut self, _day: i64) -> Result<(), ExportError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        let out = self
            .writer
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        out.end()
    }
}

fn refused(error: csv::Error) -> ExportError {
    failed(error.into())
}

fn failed(source: io::Error) -> ExportError {
    let path = PathBuf::from("CSV");
    ExportError::Write { path, source }
}
