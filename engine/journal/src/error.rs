//! What can go wrong: [`JournalError`] at start and when reading, [`Failure`] while writing.
//!
//! Invariant: an error names the file, and damage names the bytes.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The journal could not be opened, recovered or read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A key of the configuration is out of its range.
    #[error("journal.{key} is {found}, expected {expected}")]
    Config {
        /// The key within the section.
        key: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The operating system refused.
    #[error("{}: could not {action}: {source}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// Another process holds the directory.
    #[error("{}: in use by another engine, expected to be its only writer", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Bytes that were durable, or that intact ones depend on, are not what was written.
    #[error(
        "{}: segment {segment_id} is damaged at bytes {start} to {end} (journal position {position}): {reason}",
        path.display()
    )]
    Corrupt {
        /// The segment's file.
        path: PathBuf,
        /// The segment.
        segment_id: u64,
        /// First damaged byte in the file.
        start: u64,
        /// First byte in the file after the damage, as far as it can be told.
        end: u64,
        /// Position in the journal of the first damaged byte.
        position: u64,
        /// What was found and what was expected.
        reason: Damage,
    },
    /// A segment between others is not there.
    #[error("{}: segment {segment_id} is missing, expected it beside segment {present_id}", dir.display())]
    MissingSegment {
        /// The journal's directory.
        dir: PathBuf,
        /// The segment that is not there.
        segment_id: u64,
        /// A later one that is.
        present_id: u64,
    },
    /// A segment was written in another format.
    #[error("{}: format version {found}, expected {expected}", path.display())]
    Version {
        /// The segment's file.
        path: PathBuf,
        /// The version in its header.
        found: u16,
        /// The version that this build reads and writes.
        expected: u16,
    },
}

impl JournalError {
    /// Whether stored data is corrupt, as opposed to something that could not be done with it.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::MissingSegment { .. })
    }

    /// Makes a function that wraps an error of the operating system, for `map_err`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }
}

/// Why bytes are taken for damaged and not for torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// A checksum is wrong where the journal was already durable.
    #[error("unreadable although everything below position {durable_position} was durable")]
    BelowDurable {
        /// The highest durable position that intact entries tell of.
        durable_position: u64,
    },
    /// The first segment's header is unreadable, and without it nothing can be checked.
    #[error("the first segment's header is unreadable, expected it to be durable before any entry")]
    FirstHeader,
    /// A header is intact but belongs elsewhere.
    #[error("{field} in the header is {found}, expected {expected}")]
    Header {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What follows from the file's name or the segment before.
        expected: u64,
    },
    /// A finished segment has bytes after its last entry.
    #[error("a finished segment has bytes after its last entry, expected zeros")]
    Remainder,
}

/// What was being done when the journal stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FailureKind {
    /// A batch or a header could not be written.
    #[error("write")]
    Write,
    /// Written bytes could not be made durable.
    #[error("sync")]
    Sync,
    /// The next segment could not be made.
    #[error("prepare")]
    Prepare,
}

/// Why a running journal stopped for good. No heap: safe to raise in a duty cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "journal: could not {kind} segment {segment_id} at position {position}: {}; nothing after is acknowledged",
    io::Error::from_raw_os_error(*os_error)
)]
pub struct Failure {
    /// What was being done.
    pub kind: FailureKind,
    /// The operating system's error number.
    pub os_error: i32,
    /// The segment it was done to.
    pub segment_id: u64,
    /// Write, prepare: the position that was next. Sync: the last durable position.
    pub position: u64,
}

impl Failure {
    /// Keeps the number of `error`; one that is not the operating system's counts as `EIO`.
    pub(crate) fn new(kind: FailureKind, error: &io::Error, segment_id: u64, position: u64) -> Self {
        const EIO: i32 = 5;
        Self {
            kind,
            os_error: error.raw_os_error().unwrap_or(EIO),
            segment_id,
            position,
        }
    }
}
