//! A log of changes beside the journal: one record per line, as JSON with a checksum, synced before anything follows
//! from it.
//!
//! Invariant: the last line may be torn, and is cut off by the next one; a damaged line before it is an error.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pinion_journal::JournalError;
use pinion_runtime::hash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A log beside the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The operating system refused.
    #[error("{}: could not {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// A line that is not the last is no record, or what it names cannot be read.
    #[error("{}:{line}: {found}, expected a record as the engine writes it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// What is wrong.
        found: String,
    },
    /// The journal's decisions cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line<T> {
    change: T,
    /// First eight bytes of the BLAKE3 hash of `change` in JSON, as 16 hexadecimal digits.
    checksum: String,
}

/// A hash as it stands in a record.
pub(crate) fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

/// The records of a file, in order; one that is not there is empty.
///
/// # Errors
/// It cannot be read, or is damaged before its last line.
pub(crate) fn read<T: Serialize + DeserializeOwned>(path: &Path) -> Result<Vec<T>, HistoryError> {
    read_lines(path).map(|(changes, _)| changes)
}

/// Appends a record, and makes file and name durable.
///
/// # Errors
/// As [`read`], or it cannot be written.
pub(crate) fn append<T: Serialize + DeserializeOwned>(path: &Path, change: &T) -> Result<(), HistoryError> {
    let (_, len) = read_lines::<T>(path)?;
    let line = Line {
        change,
        checksum: checksum(change),
    };
    let line = serde_json::to_string(&line).expect("a record is made of texts and numbers") + "\n";
    append_line(path, len, &line).map_err(|source| HistoryError::Io {
        path: path.to_path_buf(),
        action: "write",
        source,
    })
}

fn checksum(change: &impl Serialize) -> String {
    let text = serde_json::to_string(change).expect("a record is made of texts and numbers");
    hex(hash::short(text.as_bytes()))
}

/// Cuts off what is torn, writes one line, and makes file and name durable.
fn append_line(path: &Path, len: u64, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.set_len(len)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// The records of a file, and the length of what is whole. A last line that is torn is left out.
fn read_lines<T: Serialize + DeserializeOwned>(path: &Path) -> Result<(Vec<T>, u64), HistoryError> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        bytes => bytes.map_err(|source| HistoryError::Io {
            path: path.to_path_buf(),
            action: "read",
            source,
        })?,
    };
    let (mut changes, mut len) = (Vec::new(), 0);
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let is_last = len + line.len() == bytes.len();
        match parse(line) {
            Ok(change) => changes.push(change),
            Err(_) if is_last => break,
            Err(found) => {
                return Err(HistoryError::Damaged {
                    path: path.to_path_buf(),
                    line: index + 1,
                    found,
                });
            }
        }
        len += line.len();
    }
    Ok((changes, len as u64))
}

fn parse<T: Serialize + DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let Some(line) = line.strip_suffix(b"\n") else {
        return Err("a line without an end".to_owned());
    };
    let Line {
        change,
        checksum: found,
    } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let expected = checksum(&change);
    if found == expected {
        Ok(change)
    } else {
        Err(format!("its checksum is {found}, of what it says {expected}"))
    }
}
