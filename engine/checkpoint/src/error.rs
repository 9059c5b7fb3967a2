//! What can go wrong: [`CheckpointError`] when writing, [`Reason`] why a checkpoint was not used.
//!
//! Invariant: an error names the file or key, what was found and what was expected.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::store::StoreError;

/// A checkpoint could not be written. The engine goes on; the next one begins anew.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// A key of the configuration is out of its range.
    #[error("checkpoint.{key} is {found}, expected {min} to {max}")]
    Config {
        /// The key within the section.
        key: &'static str,
        /// Its value.
        found: u64,
        /// The least it may be.
        min: u64,
        /// The most it may be.
        max: u64,
    },
    /// The store could not be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
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
}

impl CheckpointError {
    /// Makes a function that wraps an error of the operating system, for `map_err`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }
}

/// Why a checkpoint was not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// It is of another journal, feature set, layout or schema. Nothing is wrong with it.
    #[error("foreign: its {field} is {found}, expected {expected}")]
    Foreign {
        /// What differs.
        field: &'static str,
        /// The checkpoint's.
        found: String,
        /// This engine's.
        expected: String,
    },
    /// It tells of bytes of the journal that are not there.
    #[error("ahead of the journal: its position is {position}, expected at most {durable_position}")]
    AheadOfJournal {
        /// The checkpoint's position in the journal. Unit: bytes.
        position: u64,
        /// Where the recovered journal ends. Unit: bytes.
        durable_position: u64,
    },
    /// It tells of events whose decisions are not recorded yet. Nothing is wrong with it.
    #[error("ahead of the decisions: its sequence is {sequence}, expected at most {decided_sequence}")]
    AheadOfDecisions {
        /// The last event in the checkpoint whose decision must be recorded.
        sequence: u64,
        /// The last one with a recorded decision.
        decided_sequence: u64,
    },
    /// Its bytes are not what was written.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The process that opened it ended before it was through.
    #[error("the process that opened it ended early: {0}")]
    Died(String),
    /// The process that opened it said nothing for too long.
    #[error("the process that opened it was silent for {ms} ms")]
    Silent {
        /// `open_ms_max`.
        ms: u64,
    },
    /// Another process holds it.
    #[error("in use by another process")]
    Locked,
    /// The operating system refused, for a reason that is not the checkpoint's.
    #[error("unreachable: {0}")]
    Unreachable(String),
}

impl Reason {
    /// Whether it may never be used again, and so is moved aside.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::AheadOfJournal { .. } | Self::Damaged(_) | Self::Died(_) | Self::Silent { .. } => true,
            Self::Foreign { .. } | Self::AheadOfDecisions { .. } | Self::Locked | Self::Unreachable(_) => {
                false
            }
        }
    }
}

impl From<StoreError> for Reason {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Locked { .. } => Self::Locked,
            StoreError::Damaged { message, .. } => Self::Damaged(message),
            StoreError::Io { action, source, .. } => {
                Self::Unreachable(format!("could not {action}: {source}"))
            }
            StoreError::Sync { source, .. } => Self::Unreachable(format!("could not sync: {source}")),
        }
    }
}
