//! What can go wrong with a file, said with the place, what was found and what was expected.

use std::fmt;
use std::io;
use std::sync::Arc;

/// A place within a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a text file, from 1.
    Line(u64),
    /// A row of a table, from 1, without its heading.
    Row(u64),
    /// A byte of the unpacked file, from 0: where the record starts.
    Offset(u64),
    /// A record of a binary file whose reader tells no offset, from 1.
    Record(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
            Self::Offset(offset) => write!(f, "offset {offset}"),
            Self::Record(record) => write!(f, "record {record}"),
        }
    }
}

/// Why a file, or a record of it, was not read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file could not be opened or read on.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// The file as it was named.
        file: Arc<str>,
        /// What the system said.
        source: io::Error,
    },
    /// The packing or the table around the records is damaged: nothing after it can be trusted.
    #[error("{file}, {place}: found {found}, expected {expected}")]
    Damaged {
        /// The file as it was named.
        file: Arc<str>,
        /// Where.
        place: Place,
        /// What was there.
        found: String,
        /// What should have been there.
        expected: String,
    },
    /// One record is not as it should be; the next one can be read.
    #[error("{file}, {place}: found {found}, expected {expected}")]
    BadRecord {
        /// The file as it was named.
        file: Arc<str>,
        /// Where.
        place: Place,
        /// What was there.
        found: String,
        /// What should have been there.
        expected: String,
    },
    /// The format could not be told from the file's content, or has no events in it.
    #[error("{file}: found {found}, expected {expected}")]
    Format {
        /// The file as it was named.
        file: Arc<str>,
        /// How the file begins.
        found: String,
        /// The formats that are read.
        expected: String,
    },
}

impl ImportError {
    /// Whether the records after it can be read.
    pub fn is_skippable(&self) -> bool {
        matches!(self, Self::BadRecord { .. })
    }
}

/// Names a file, and makes errors about it.
#[derive(Clone, Debug)]
pub(crate) struct FileName(Arc<str>);

impl FileName {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn read(&self, source: io::Error) -> ImportError {
        ImportError::Read {
            file: self.0.clone(),
            source,
        }
    }

    pub(crate) fn damaged(
        &self,
        place: Place,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> ImportError {
        ImportError::Damaged {
            file: self.0.clone(),
            place,
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    pub(crate) fn bad(
        &self,
        place: Place,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> ImportError {
        ImportError::BadRecord {
            file: self.0.clone(),
            place,
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    pub(crate) fn format(&self, found: impl fmt::Display, expected: impl fmt::Display) -> ImportError {
        ImportError::Format {
            file: self.0.clone(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }
}

/// Text of a file for an error message: quoted, and cut short.
pub(crate) fn quoted(text: &str) -> String {
    const LEN_MAX: usize = 60;
    match text.char_indices().nth(LEN_MAX) {
        Some((end, _)) => format!("{:?} and more", &text[..end]),
        None => format!("{text:?}"),
    }
}
