//! What happened to the bank since it was made, counted.
//!
//! Invariant: the counts are state: a bank that goes on from a checkpoint goes on counting.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::recall::Recall;

/// Counts of a bank. All but the first two only grow. Searches are counted only where they might be approximate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tally {
    /// Rows that are there.
    pub rows: u64,
    /// Frauds among them.
    pub frauds: u64,
    /// Cases inserted, replacements included.
    pub inserted: u64,
    /// Cases inserted whose id was there: the former one left.
    pub replaced: u64,
    /// Cases that were not taken: no id, or a weight or an embedding out of range.
    pub refused: u64,
    /// Rows that left because their class was at its cap.
    pub evicted_class: u64,
    /// Rows that left because their entity was at its cap.
    pub evicted_entity: u64,
    /// Rows that left because of their age.
    pub evicted_age: u64,
    /// Rows that left because all were taken.
    pub evicted_full: u64,
    /// Rows removed by id.
    pub removed: u64,
    /// Labels that were reversed.
    pub relabelled: u64,
    /// Labels that were given once more as they were.
    pub confirmed: u64,
    /// Ids to be removed or relabelled that were not there.
    pub unknown: u64,
    /// Times that rows were laid out in cells.
    pub clustered: u64,
    /// Searches that scanned the nearest cells only.
    pub approximate: u64,
    /// Searches that scanned all rows although the bank is large enough: recall was too low, or the nearest cells had
    /// too few rows or almost all of them.
    pub exact_instead: u64,
    /// Searches that were made both ways to measure recall; they are among the two above, too.
    pub compared: u64,
    /// Times that exact search took over because recall fell below its floor.
    pub recall_fell: u64,
}

/// The bank's account of itself.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Account {
    pub(super) tally: Tally,
    /// Operations that gave a label, ever.
    pub(super) sequence: u64,
    /// Rows that were ever taken: those from here on are untouched.
    pub(super) touched: u32,
    /// The row to be taken next, plus one; 0: an untouched one.
    pub(super) free: u32,
    pub(super) recall: Recall,
}
