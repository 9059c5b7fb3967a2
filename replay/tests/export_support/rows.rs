//! Reading an export back.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;

/// One row, with the bits of its vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub transaction_id: String,
    pub sequence: u64,
    pub event_ns: i64,
    /// Label, and when it was known.
    pub label: Option<(i8, i64)>,
    pub vector: Vec<u32>,
}

/// The files of an export and what is in them, by their path below its folder.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_path_buf();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn open(path: &Path) -> SerializedFileReader<File> {
    SerializedFileReader::new(File::open(path).unwrap()).unwrap()
}

/// The rows of one file.
pub fn read(path: &Path) -> Vec<Row> {
    open(path)
        .get_row_iter(None)
        .unwrap()
        .map(|row| row_of(row.unwrap().into_columns()))
        .collect()
}

/// The rows of every file of an export, in the order of their days, then of the file.
pub fn read_all(dir: &Path) -> Vec<Row> {
    files(dir).keys().flat_map(|name| read(&dir.join(name))).collect()
}

fn row_of(columns: Vec<(String, Field)>) -> Row {
    let mut fields = columns.into_iter().map(|(_, field)| field);
    let mut next = || fields.next().unwrap();
    let Field::Str(transaction_id) = next() else {
        panic!("transaction_id is no string")
    };
    let Field::ULong(sequence) = next() else {
        panic!("sequence is no u64")
    };
    let event_ns = long(&next()).unwrap();
    let label = match next() {
        Field::Byte(label) => Some(label),
        Field::Null => None,
        other => panic!("label is {other:?}"),
    };
    let known_ns = long(&next());
    assert_eq!(label.is_some(), known_ns.is_some());
    let vector = fields
        .map(|field| match field {
            Field::Float(value) => value.to_bits(),
            other => panic!("a slot is {other:?}"),
        })
        .collect();
    Row {
        transaction_id,
        sequence,
        event_ns,
        label: label.zip(known_ns),
        vector,
    }
}

fn long(field: &Field) -> Option<i64> {
    match field {
        Field::Long(value) => Some(*value),
        Field::Null => None,
        other => panic!("a time is {other:?}"),
    }
}

/// The columns of a file and their types in words, and its metadata.
pub fn about(path: &Path) -> (Vec<String>, BTreeMap<String, String>, Vec<i64>) {
    let file = open(path);
    let metadata = file.metadata();
    let about = metadata.file_metadata();
    let columns = about.schema_descr().columns().iter();
    let columns = columns
        .map(|column| {
            let optional = if column.max_def_level() > 0 { "?" } else { "" };
            let logical = column
                .logical_type_ref()
                .map_or(String::new(), |logical| format!(" {logical:?}"));
            format!("{}{optional} {}{logical}", column.name(), column.physical_type())
        })
        .collect();
    let pairs = about.key_value_metadata().unwrap().iter();
    let pairs = pairs
        .map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default()))
        .collect();
    let groups = metadata.row_groups().iter().map(|group| group.num_rows());
    (columns, pairs, groups.collect())
}
