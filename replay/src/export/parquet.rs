//! Rows as Parquet, in one file or in one per day, with what they are in the file's metadata.
//!
//! | column | type | |
//! |---|---|---|
//! | `transaction_id` | string | |
//! | `sequence` | u64 | the event's place in the payments lane, from 1 |
//! | `event_ns` | timestamp, ns, UTC | |
//! | `label` | i8, may be null | 1 fraud, 0 genuine, null: never labelled |
//! | `label_known_ns` | timestamp, ns, UTC, may be null | when the label became known |
//! | one per slot | f32 | the vector, bit for bit as it was served |
//!
//! Metadata, all text: `pinion.feature_set_name`, `pinion.feature_set_version`, `pinion.feature_set_hash` (16
//! hexadecimal digits), `pinion.label_days`, `pinion.version`; of a journal also `pinion.journal` (16 hexadecimal
//! digits), `pinion.journal_from` and `pinion.journal_to` (positions in bytes).
//!
//! Invariant: the same rows give the same bytes: groups of fixed size, nothing of the clock or the machine.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use crate::import::time::DAY_NS;

use super::finished::{Unfinished, Whole};
use super::target::{PARQUET_COLUMNS, Rows};
use super::{ExportError, Heading, Row, day_of};

/// Rows of a group: about 4 MiB of a set with 60 features.
pub const GROUP_ROWS: usize = 16_384;

/// The name of a day's file.
const DAY_FILE: &str = "part-0.parquet";

/// One file with all rows.
pub(crate) struct ParquetFile(FileRows);

/// A folder with a file per day.
pub(crate) struct ParquetDays {
    folder: PathBuf,
    heading: Heading,
    /// Days being written.
    open: BTreeMap<i64, FileRows>,
    whole: BTreeMap<i64, Whole>,
}

impl ParquetFile {
    pub(crate) fn begin(path: &Path, heading: &Heading) -> Result<Self, ExportError> {
        Ok(Self(FileRows::begin(path, heading)?))
    }
}

impl Rows for ParquetFile {
    fn write(&mut self, row: &Row<'_>) -> Result<(), ExportError> {
        self.0.write(row)
    }

    fn end_day(&mut self, _day: i64) -> Result<(), ExportError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        self.0.end()?.name()
    }
}

impl ParquetDays {
    pub(crate) fn new(folder: PathBuf, heading: Heading) -> Self {
        Self {
            folder,
            heading,
            open: BTreeMap::new(),
            whole: BTreeMap::new(),
        }
    }
}

impl Rows for ParquetDays {
    fn write(&mut self, row: &Row<'_>) -> Result<(), ExportError> {
        let day = day_of(row.payment);
        if !self.open.contains_key(&day) {
            let path = self.folder.join(format!("day={}", day_text(day))).join(DAY_FILE);
            self.open.insert(day, FileRows::begin(&path, &self.heading)?);
        }
        self.open
            .get_mut(&day)
            .expect("it was opened just now")
            .write(row)
    }

    fn end_day(&mut self, day: i64) -> Result<(), ExportError> {
        if let Some(rows) = self.open.remove(&day) {
            self.whole.insert(day, rows.end()?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        assert!(self.open.is_empty(), "every day ends with its last row");
        self.whole.into_values().try_for_each(Whole::name)
    }
}

/// The rows of one file.
struct FileRows {
    writer: SerializedFileWriter<Unfinished>,
    columns: Columns,
    path: PathBuf,
}

impl FileRows {
    fn begin(path: &Path, heading: &Heading) -> Result<Self, ExportError> {
        let out = Unfinished::begin(path)?;
        let path = out.path().to_path_buf();
        let begun = schema(heading)
            .and_then(|schema| SerializedFileWriter::new(out, schema, Arc::new(properties(heading)?)));
        Ok(Self {
            writer: begun.map_err(failed(&path))?,
            columns: Columns::new(heading.slot_names.len()),
            path,
        })
    }

    fn write(&mut self, row: &Row<'_>) -> Result<(), ExportError> {
        self.columns.push(row);
        if self.columns.len() == GROUP_ROWS {
            self.write_group()?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ExportError> {
        let written = self.writer.next_row_group().and_then(|mut group| {
            self.columns.write_to(&mut group)?;
            group.close().map(drop)
        });
        self.columns.clear();
        written.map_err(failed(&self.path))
    }

    fn end(mut self) -> Result<Whole, ExportError> {
        if self.columns.len() > 0 {
            self.write_group()?;
        }
        self.writer.into_inner().map_err(failed(&self.path))?.end()
    }
}

/// The values of a group, column by column; of columns that may be null those that are there.
struct Columns {
    transaction_ids: Vec<ByteArray>,
    sequences: Vec<i64>,
    events_ns: Vec<i64>,
    /// 1 where there is a label, else 0.
    label_levels: Vec<i16>,
    labels: Vec<i32>,
    labels_known_ns: Vec<i64>,
    slots: Vec<Vec<f32>>,
}

impl Columns {
    fn new(slot_count: usize) -> Self {
        Self {
            transaction_ids: Vec::new(),
            sequences: Vec::new(),
            events_ns: Vec::new(),
            label_levels: Vec::new(),
            labels: Vec::new(),
            labels_known_ns: Vec::new(),
            slots: vec![Vec::new(); slot_count],
        }
    }

    fn len(&self) -> usize {
        self.sequences.len()
    }

    fn push(&mut self, row: &Row<'_>) {
        let id = row.payment.transaction_id.as_str();
        self.transaction_ids.push(ByteArray::from(id.as_bytes().to_vec()));
        self.sequences.push(row.payment.origin.sequence as i64);
        self.events_ns.push(row.payment.origin.event_ns);
        self.label_levels.push(i16::from(row.outcome.is_some()));
        if let Some(outcome) = row.outcome {
            self.labels.push(i32::from(outcome.is_fraud));
            self.labels_known_ns.push(outcome.known_ns);
        }
        for (slot, value) in self.slots.iter_mut().zip(row.vector) {
            slot.push(*value);
        }
    }

    fn clear(&mut self) {
        self.transaction_ids.clear();
        self.sequences.clear();
        self.events_ns.clear();
        self.label_levels.clear();
        self.labels.clear();
        self.labels_known_ns.clear();
        self.slots.iter_mut().for_each(Vec::clear);
    }

    /// In the order of [`schema`].
    fn write_to(&self, group: &mut SerializedRowGroupWriter<'_, Unfinished>) -> Result<(), ParquetError> {
        let levels = Some(self.label_levels.as_slice());
        write_column::<ByteArrayType>(group, &self.transaction_ids, None)?;
        write_column::<Int64Type>(group, &self.sequences, None)?;
        write_column::<Int64Type>(group, &self.events_ns, None)?;
        write_column::<Int32Type>(group, &self.labels, levels)?;
        write_column::<Int64Type>(group, &self.labels_known_ns, levels)?;
        self.slots
            .iter()
            .try_for_each(|slot| write_column::<FloatType>(group, slot, None))
    }
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Unfinished>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("more columns than the schema has".to_owned()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

fn schema(heading: &Heading) -> Result<TypePtr, ParquetError> {
    const OPTIONAL: Repetition = Repetition::OPTIONAL;
    const REQUIRED: Repetition = Repetition::REQUIRED;
    let time = || Some(LogicalType::timestamp(true, TimeUnit::NANOS));
    let [id, sequence, event_ns, label, known_ns] = PARQUET_COLUMNS;
    let mut columns = vec![
        column(id, Physical::BYTE_ARRAY, REQUIRED, Some(LogicalType::String))?,
        column(
            sequence,
            Physical::INT64,
            REQUIRED,
            Some(LogicalType::integer(64, false)),
        )?,
        column(event_ns, Physical::INT64, REQUIRED, time())?,
        column(
            label,
            Physical::INT32,
            OPTIONAL,
            Some(LogicalType::integer(8, true)),
        )?,
        column(known_ns, Physical::INT64, OPTIONAL, time())?,
    ];
    for name in &heading.slot_names {
        columns.push(column(name, Physical::FLOAT, REQUIRED, None)?);
    }
    Type::group_type_builder("row")
        .with_fields(columns)
        .build()
        .map(Arc::new)
}

fn column(
    name: &str,
    physical: Physical,
    repetition: Repetition,
    logical: Option<LogicalType>,
) -> Result<TypePtr, ParquetError> {
    Type::primitive_type_builder(name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .build()
        .map(Arc::new)
}

fn properties(heading: &Heading) -> Result<WriterProperties, ParquetError> {
    let pair = |key: &str, value: String| KeyValue::new(format!("pinion.{key}"), value);
    let mut metadata = vec![
        pair("feature_set_name", heading.set_name.clone()),
        pair("feature_set_version", heading.set_version.to_string()),
        pair("feature_set_hash", format!("{:016x}", heading.set_hash)),
        pair("label_days", heading.label_days.to_string()),
        pair("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    if let Some(journal) = heading.provenance.journal {
        metadata.push(pair("journal", format!("{:016x}", journal.id)));
        metadata.push(pair("journal_from", journal.from_position.to_string()));
        metadata.push(pair("journal_to", journal.to_position.to_string()));
    }
    Ok(WriterProperties::builder()
        .set_created_by(format!("pinion {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_key_value_metadata(Some(metadata))
        .build())
}

/// `2026-01-31`.
fn day_text(day: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(day) * i128::from(DAY_NS));
    time.map_or_else(|_| day.to_string(), |time| time.strftime("%Y-%m-%d").to_string())
}

fn failed(path: &Path) -> impl FnOnce(ParquetError) -> ExportError + use<> {
    let path = path.to_path_buf();
    move |error| {
        let source = match error {
            ParquetError::External(error) => match error.downcast::<io::Error>() {
                Ok(error) => *error,
                Err(error) => io::Error::other(error),
            },
            error => io::Error::other(error),
        };
        ExportError::Write { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_names_of_the_calendar() {
        let cases = [
            (0, "1970-01-01"),
            (20_484, "2026-01-31"),
            (-1, "1969-12-31"),
            (i64::MIN.div_euclid(DAY_NS), "1677-09-21"),
        ];
        cases
            .into_iter()
            .for_each(|(day, text)| assert_eq!(day_text(day), text));
    }
}
