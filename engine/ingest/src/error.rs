//! What can keep ingest from starting.
//!
//! Invariant: nothing here is raised by a duty cycle; what goes wrong there is counted.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A value of section `[ingest]` that is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{key} is {found}, expected {low} to {high}")]
pub struct ConfigError {
    /// The key, with its section.
    pub key: &'static str,
    /// Its value.
    pub found: u32,
    /// The lowest value allowed.
    pub low: u32,
    /// The highest value allowed.
    pub high: u32,
}

/// The file of dead letters could not be opened or read.
#[derive(Debug, Error)]
pub enum DeadLettersError {
    /// The system refused.
    #[error("dead-letter file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not begin as such a file does.
    #[error("dead-letter file {}: begins with {found:#018x}, expected {expected:#018x}", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// Its first eight bytes.
        found: u64,
        /// What they should be.
        expected: u64,
    },
    /// The file is of another version.
    #[error("dead-letter file {}: version is {found}, expected {expected}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version understood.
        expected: u32,
    },
    /// The file is shorter than its header says.
    #[error("dead-letter file {}: length is {found}, expected {expected}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// What the header says.
        expected: u64,
    },
}

/// Why an ingest agent could not be built.
#[derive(Debug, Error)]
pub enum IngestError {
    /// A value is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The table of names cannot take every instrument.
    #[error(
        "table of instrument names holds {found}, expected at least {expected} for ingest.instruments_max"
    )]
    InstrumentNames {
        /// Names that it holds.
        found: usize,
        /// Names that would do.
        expected: usize,
    },
    /// The journal's ring cannot take the longest frame wherever the last entry ended.
    #[error("journal ring holds {found} lines, expected at least {expected} for ingest.frame_len_max")]
    JournalRing {
        /// Its lines.
        found: usize,
        /// The lines that would do.
        expected: usize,
    },
    /// There is no memory for refused frames.
    #[error("memory for refused frames: {0}")]
    DeadLetters(io::Error),
}
