//! The append-only record of every input and every decision.
//!
//! ```text
//!   ingest ──inputs───▶ ┐  EntryConsumers                     ┌▶ journal-prepare: next segment, zero-filled
//!                       ├─▶ [JournalAgent] ──pwrite──▶ segment ┤
//!   publish ─decisions▶ ┘        │                            └▶ journal-sync: fdatasync every interval
//!                                ▼
//!                        JournalPosition ──▶ Gate (publish waits here)        Reader ◀── replay, recovery
//! ```
//!
//! **Parts.** [`config`] is the section `[journal]`. [`recover`] locks the directory, reads what is there, cuts
//! off a torn tail and gives a [`Recovery`]; [`JournalAgent`] continues from it. [`Gate`] says whether an input
//! is covered. [`Reader`] gives the entries back, also while an engine is writing.
//!
//! **What an acknowledgement means.** *Written*: in the page cache, it survives the death of the process.
//! *Durable*: fdatasync has returned, it survives the loss of power as far as the disk obeys.
//!
//! **When something fails** (disk full, write error, failed fdatasync) the journal stops for good: the
//! [`Failure`] can be read from [`JournalPosition`], the gate does not open again, rings are no longer read,
//! and nothing is retried. The process lives, so that it can say so.
//!
//! **On disk** (see [`format`](mod@format)): files of fixed length, `0000000000000001.segment` and so on, each a
//! header block of 4 KiB and
//! then entries of whole 64-byte lines; what follows the last entry is zero. An entry's checksum depends on the
//! journal, the segment and the place, so old bytes never pass for an entry.
//!
//! Invariant: what a reader returns is an exact prefix of what was appended. Damage below the durable
//! position is an error that names the bytes; only bytes that were never durable are cut off, and counted.

pub mod config;
pub mod error;
pub mod format;
pub mod position;

mod agent;
mod counters;
mod helper;
mod lock;
mod mapping;
mod reader;
mod recovery;
mod segments;
mod writer;

pub use agent::JournalAgent;
pub use config::{FsyncPolicy, GateMode, JournalConfig};
pub use error::{Failure, FailureKind, JournalError};
pub use format::SegmentInfo;
pub use position::{Gate, JournalPosition};
pub use reader::{Entry, Reader, Tail, Tear};
pub use recovery::{LaneSequences, Recovery, recover};
pub use writer::Identity;
