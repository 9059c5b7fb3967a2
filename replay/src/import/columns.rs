//! Columns of numbers of a Parquet file, read in batches of rows; no rows are built and no other column is read.
//!
//! Invariant: after [`ColumnBatches::next_batch`] every column holds the same rows.

use std::fs::File;
use std::path::Path;

use parquet::basic::{LogicalType, TimeUnit};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::schema::types::ColumnDescPtr;

use super::error::{FileName, ImportError, Place};

/// Rows of a batch at most.
const BATCH_MAX: usize = 8_192;

/// One column's values of the current batch.
enum Values {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
}

/// Chosen columns of one file.
pub(crate) struct ColumnBatches {
    pub(crate) name: FileName,
    file: SerializedFileReader<File>,
    column_names: Vec<&'static str>,
    column_places: Vec<usize>,
    readers: Vec<ColumnReader>,
    values: Vec<Values>,
    next_group: usize,
    batch_len: usize,
    rows_before: u64,
}

impl ColumnBatches {
    /// Opens a file, of which the named columns will be read.
    ///
    /// Errors: not a Parquet file, packed in a way that is not read, or a column is missing.
    pub(crate) fn open(path: &Path, column_names: &[&'static str]) -> Result<Self, ImportError> {
        let name = FileName::new(&path.display().to_string());
        let file = open_file(path, &name)?;
        let present = names_of(&file);
        let mut column_places = Vec::with_capacity(column_names.len());
        for wanted in column_names {
            let place = present
                .iter()
                .position(|column| column == wanted)
                .ok_or_else(|| {
                    name.format(
                        format!("columns {}", present.join(", ")),
                        format!("column {wanted}"),
                    )
                })?;
            column_places.push(place);
        }
        Ok(Self {
            name,
            file,
            column_names: column_names.to_vec(),
            column_places,
            readers: Vec::new(),
            values: Vec::new(),
            next_group: 0,
            batch_len: 0,
            rows_before: 0,
        })
    }

    /// Rows of the file.
    pub(crate) fn row_count(&self) -> u64 {
        self.file
            .metadata()
            .file_metadata()
            .num_rows()
            .try_into()
            .unwrap_or(0)
    }

    /// How many nanoseconds one step of a column of times is; 1 for a column that is not of times.
    pub(crate) fn unit_ns(&self, column: usize) -> i64 {
        match self.descriptor(column).logical_type_ref() {
            Some(LogicalType::Timestamp(time)) => match time.unit {
                TimeUnit::MILLIS => 1_000_000,
                TimeUnit::MICROS => 1_000,
                TimeUnit::NANOS => 1,
            },
            _ => 1,
        }
    }

    /// Reads the next rows and gives how many there are; 0 at the end.
    pub(crate) fn next_batch(&mut self) -> Result<usize, ImportError> {
        self.rows_before += self.batch_len as u64;
        loop {
            self.batch_len = self.read_batch()?;
            if self.batch_len > 0 || self.next_group == self.file.num_row_groups() {
                return Ok(self.batch_len);
            }
            self.open_group()?;
        }
    }

    /// Where a row of the current batch stands.
    pub(crate) fn place(&self, row: usize) -> Place {
        Place::Row(self.rows_before + row as u64 + 1)
    }

    /// A value of a column of integers; an error on a column of floats.
    pub(crate) fn integer(&self, column: usize, row: usize) -> Result<i64, ImportError> {
        match &self.values[column] {
            Values::Integers(values) => Ok(values[row]),
            Values::Floats(_) => {
                let found = format!("floats in column {}", self.column_names[column]);
                Err(self.name.damaged(self.place(row), found, "integers"))
            }
        }
    }

    /// A value of a column of any numbers.
    pub(crate) fn float(&self, column: usize, row: usize) -> f64 {
        match &self.values[column] {
            Values::Integers(values) => values[row] as f64,
            Values::Floats(values) => values[row],
        }
    }

    fn descriptor(&self, column: usize) -> ColumnDescPtr {
        self.file
            .metadata()
            .file_metadata()
            .schema_descr()
            .column(self.column_places[column])
    }

    fn open_group(&mut self) -> Result<(), ImportError> {
        let group = self
            .file
            .get_row_group(self.next_group)
            .map_err(|error| self.damaged(error))?;
        self.readers.clear();
        for &place in &self.column_places {
            self.readers.push(
                group
                    .get_column_reader(place)
                    .map_err(|error| self.damaged(error))?,
            );
        }
        self.next_group += 1;
        Ok(())
    }

    fn read_batch(&mut self) -> Result<usize, ImportError> {
        self.values.clear();
        let mut batch_len = 0;
        for column in 0..self.readers.len() {
            let levels_max = self.descriptor(column).max_def_level();
            let (row_count, values) =
                read_values(&mut self.readers[column], levels_max).map_err(|error| self.damaged(error))?;
            let is_same_len = column == 0 || row_count == batch_len;
            if values.len() != row_count || !is_same_len {
                let found = format!("{} values of column {}", values.len(), self.column_names[column]);
                return Err(self
                    .name
                    .damaged(self.place(0), found, format!("{row_count} without nulls")));
            }
            batch_len = row_count;
            self.values.push(values);
        }
        Ok(batch_len)
    }

    fn damaged(&self, error: ParquetError) -> ImportError {
        self.name
            .damaged(self.place(0), error, "columns of numbers of a Parquet file")
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }
}

/// The names of a Parquet file's columns.
pub(crate) fn column_names(path: &Path) -> Result<Vec<String>, ImportError> {
    let name = FileName::new(&path.display().to_string());
    Ok(names_of(&open_file(path, &name)?))
}

fn open_file(path: &Path, name: &FileName) -> Result<SerializedFileReader<File>, ImportError> {
    let file = File::open(path).map_err(|error| name.read(error))?;
    SerializedFileReader::new(file).map_err(|error| name.damaged(Place::Offset(0), error, "a Parquet file"))
}

fn names_of(file: &SerializedFileReader<File>) -> Vec<String> {
    let columns = file.metadata().file_metadata().schema_descr().columns();
    columns.iter().map(|column| column.name().to_owned()).collect()
}

fn read_values(reader: &mut ColumnReader, levels_max: i16) -> Result<(usize, Values), ParquetError> {
    match reader {
        ColumnReader::Int32ColumnReader(reader) => {
            let (row_count, values) = read_column::<Int32Type>(reader, levels_max)?;
            Ok((
                row_count,
                Values::Integers(values.into_iter().map(i64::from).collect()),
            ))
        }
        ColumnReader::Int64ColumnReader(reader) => {
            let (row_count, values) = read_column::<Int64Type>(reader, levels_max)?;
            Ok((row_count, Values::Integers(values)))
        }
        ColumnReader::FloatColumnReader(reader) => {
            let (row_count, values) = read_column::<FloatType>(reader, levels_max)?;
            Ok((
                row_count,
                Values::Floats(values.into_iter().map(f64::from).collect()),
            ))
        }
        ColumnReader::DoubleColumnReader(reader) => {
            let (row_count, values) = read_column::<DoubleType>(reader, levels_max)?;
            Ok((row_count, Values::Floats(values)))
        }
        _ => Err(ParquetError::General(
            "a column that is not of numbers".to_owned(),
        )),
    }
}

/// The rows read, and their values without the nulls.
fn read_column<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    levels_max: i16,
) -> Result<(usize, Vec<T::T>), ParquetError> {
    let mut values = Vec::with_capacity(BATCH_MAX);
    let mut levels = Vec::new();
    let wants_levels = (levels_max > 0).then_some(&mut levels);
    let (row_count, _, _) = reader.read_records(BATCH_MAX, wants_levels, None, &mut values)?;
    Ok((row_count, values))
}
