//! Where rows go: CSV for what reads it, Parquet in one file or in one per day.
//!
//! Invariant: a path's own words say what is written there; see [`Place::of`].

use std::io::Write;
use std::path::{Path, PathBuf};

use pinion_features::FeatureSet;

use super::csv_rows::CsvRows;
use super::finished::Unfinished;
use super::parquet::{ParquetDays, ParquetFile};
use super::{ExportError, Heading, Row};

/// The columns of a CSV row before its features.
pub(crate) const CSV_COLUMNS: [&str; 3] = ["transaction_id", "event_ns", "fraud"];

/// The columns of a Parquet row before its features.
pub(crate) const PARQUET_COLUMNS: [&str; 5] = [
    "transaction_id",
    "sequence",
    "event_ns",
    "label",
    "label_known_ns",
];

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One CSV file.
    CsvFile(PathBuf),
    /// One Parquet file.
    ParquetFile(PathBuf),
    /// A folder with a Parquet file for each day: `day=2026-01-31/part-0.parquet`.
    ParquetDays(PathBuf),
}

impl Place {
    /// What a path stands for: `x.parquet` is one Parquet file; a folder, or a name without an ending where
    /// there is no file, is a folder of days; anything else is CSV.
    pub fn of(path: &Path) -> Self {
        let to = path.to_path_buf();
        match path.extension() {
            _ if path.is_dir() => Self::ParquetDays(to),
            Some(ending) if ending == "parquet" => Self::ParquetFile(to),
            None if !path.exists() => Self::ParquetDays(to),
            _ => Self::CsvFile(to),
        }
    }

    /// The folder that the files are in.
    pub fn folder(&self) -> &Path {
        match self {
            Self::ParquetDays(folder) => folder,
            Self::CsvFile(file) | Self::ParquetFile(file) => match file.parent() {
                Some(folder) if folder != Path::new("") => folder,
                _ => Path::new("."),
            },
        }
    }
}

/// Takes rows.
pub enum Target<'a> {
    /// Files, which get their names when everything is written.
    Place(Place),
    /// CSV into any writer.
    Csv(&'a mut dyn Write),
}

/// Something that takes rows, in the order of the source.
pub(crate) trait Rows {
    fn write(&mut self, row: &Row<'_>) -> Result<(), ExportError>;
    /// No row of this day will come any more.
    fn end_day(&mut self, day: i64) -> Result<(), ExportError>;
    /// Everything is written.
    fn finish(self: Box<Self>) -> Result<(), ExportError>;
}

pub(crate) fn open<'a>(target: Target<'a>, heading: Heading) -> Result<Box<dyn Rows + 'a>, ExportError> {
    Ok(match target {
        Target::Csv(out) => Box::new(CsvRows::begin(out, &heading)?),
        Target::Place(Place::CsvFile(path)) => Box::new(CsvRows::begin(Unfinished::begin(&path)?, &heading)?),
        Target::Place(Place::ParquetFile(path)) => Box::new(ParquetFile::begin(&path, &heading)?),
        Target::Place(Place::ParquetDays(folder)) => Box::new(ParquetDays::new(folder, heading)),
    })
}

/// An error if a slot has the name of a column.
pub(crate) fn check_names(set: &FeatureSet) -> Result<(), ExportError> {
    let is_taken = |name: &String| {
        let columns = CSV_COLUMNS.iter().chain(&PARQUET_COLUMNS);
        columns.into_iter().any(|column| column == name)
    };
    match set.slot_names().into_iter().find(is_taken) {
        Some(name) => Err(ExportError::ColumnName { name }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_says_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        std::fs::create_dir(path("folder.csv")).unwrap();
        let csv = |name| (name, Place::CsvFile(path(name)));
        let days = |name| (name, Place::ParquetDays(path(name)));
        let cases = [
            csv("v.csv"),
            csv("v.txt"),
            csv("file"),
            ("v.parquet", Place::ParquetFile(path("v.parquet"))),
            days("new"),
            days("new/"),
            days("folder.csv"),
        ];
        for (name, expected) in cases {
            assert_eq!(Place::of(&path(name)), expected, "{name}");
        }
    }

    #[test]
    fn slot_with_the_name_of_a_column_is_refused() {
        let text = "name = \"x\"\nversion = 1\n[[feature]]\nname = \"label\"\ntransform = \"raw\"\nsource = \"amount_minor\"\n";
        let error = check_names(&FeatureSet::parse(text).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a slot of the feature set is called \"label\", expected another name than that of a row's column"
        );
    }
}
