//! Rows of a CSV file with a heading, read by the names of its columns.

use std::io::BufRead;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::error::{FileName, ImportError, Place, quoted};
use super::input::Input;

/// What to make of a column that was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherColumns {
    Ignored,
    Refused,
}

/// A CSV file with the row last read.
pub(crate) struct CsvTable {
    pub(crate) name: FileName,
    reader: Reader<Box<dyn BufRead>>,
    row: StringRecord,
    column_names: &'static [&'static str],
    column_places: Vec<Option<usize>>,
    line: u64,
}

impl CsvTable {
    /// Reads the heading. Of `column_names` the first `required_count` must be there.
    pub(crate) fn open(
        input: Input,
        column_names: &'static [&'static str],
        required_count: usize,
        others: OtherColumns,
    ) -> Result<Self, ImportError> {
        let name = input.name.clone();
        let mut reader = ReaderBuilder::new().from_reader(input.into_reader());
        let heading = reader.headers().map_err(|error| failed(&name, 1, error))?.clone();
        let places: Vec<_> = column_names
            .iter()
            .map(|column| heading.iter().position(|present| present == *column))
            .collect();
        if let Some(missing) = places[..required_count].iter().position(Option::is_none) {
            let found = format!(
                "columns {}",
                quoted(&heading.iter().collect::<Vec<_>>().join(","))
            );
            return Err(name.damaged(Place::Line(1), found, format!("column {}", column_names[missing])));
        }
        let other = heading.iter().find(|present| !column_names.contains(present));
        if let (Some(other), OtherColumns::Refused) = (other, others) {
            let expected = format!("only {}", column_names.join(", "));
            return Err(name.damaged(Place::Line(1), format!("column {}", quoted(other)), expected));
        }
        Ok(Self {
            name,
            reader,
            row: StringRecord::new(),
            column_names,
            column_places: places,
            line: 1,
        })
    }

    /// Reads the next row; false at the end.
    pub(crate) fn next_row(&mut self) -> Result<bool, ImportError> {
        self.line = self.reader.position().line();
        let is_row = self
            .reader
            .read_record(&mut self.row)
            .map_err(|error| failed(&self.name, self.line, error))?;
        self.line = self.row.position().map_or(self.line, csv::Position::line);
        Ok(is_row)
    }

    /// The row's value in a column; empty if the file does not have the column.
    pub(crate) fn text(&self, column: usize) -> &str {
        self.column_places[column]
            .and_then(|place| self.row.get(place))
            .unwrap_or("")
    }

    /// The row's value as `parse` makes it, or an error that says what was `expected`.
    pub(crate) fn value<T>(
        &self,
        column: usize,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ImportError> {
        let text = self.text(column);
        parse(text).ok_or_else(|| {
            let found = format!("{} {}", self.column_names[column], quoted(text));
            self.name.bad(self.place(), found, expected)
        })
    }

    /// Where the row stands.
    pub(crate) fn place(&self) -> Place {
        Place::Line(self.line)
    }
}

fn failed(name: &FileName, line: u64, error: csv::Error) -> ImportError {
    let place = Place::Line(line);
    match error.into_kind() {
        ErrorKind::Io(error) => name.damaged(place, error, "a file that can be read on"),
        ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => {
            let place = pos.map_or(place, |position| Place::Line(position.line()));
            name.bad(place, format!("{len} columns"), format!("{expected_len}"))
        }
        ErrorKind::Utf8 { pos, err } => {
            let place = pos.map_or(place, |position| Place::Line(position.line()));
            name.bad(place, err, "UTF-8 text")
        }
        other => name.damaged(place, format!("{other:?}"), "CSV"),
    }
}
