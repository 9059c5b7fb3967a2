//! How far the journal has come, and the gate that waits for it.
//!
//! ```text
//!   journal agent ──written──▶ ┐                  ┌── covers(input_index)? ── publish
//!                              ├ JournalPosition ─┤
//!   syncing thread ──durable─▶ ┘                  └── failure() ── conductor
//! ```
//!
//! Invariant: a mark is moved only after what it covers has happened, and after a failure no gate that waits
//! for the journal opens again.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::config::GateMode;
use crate::error::Failure;

/// A position and the inputs below it, on a line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Mark {
    position: AtomicU64,
    index: AtomicU64,
}

impl Mark {
    fn set(&self, position: u64, index: u64) {
        self.index.store(index, Ordering::Release);
        self.position.store(position, Ordering::Release);
    }
}

/// The journal's progress, shared by its threads and whoever waits for it.
///
/// A position is a byte offset in the journal, headers and gaps of segments not counted. An index is the
/// highest `input_index` among the inputs below the position.
#[derive(Debug, Default)]
pub struct JournalPosition {
    written: Mark,
    durable: Mark,
    has_failed: AtomicBool,
    failure: OnceLock<Failure>,
}

impl JournalPosition {
    /// Progress that starts at `position`, written and durable, with inputs up to `index` below it.
    pub(crate) fn starting_at(position: u64, index: u64) -> Self {
        let progress = Self::default();
        progress.set_written(position, index);
        progress.set_durable(position, index);
        progress
    }

    /// Everything below is in the page cache.
    pub fn written_position(&self) -> u64 {
        self.written.position.load(Ordering::Acquire)
    }

    /// Inputs up to this index are in the page cache.
    pub fn written_index(&self) -> u64 {
        self.written.index.load(Ordering::Acquire)
    }

    /// Everything below has been synced.
    pub fn durable_position(&self) -> u64 {
        self.durable.position.load(Ordering::Acquire)
    }

    /// Inputs up to this index have been synced.
    pub fn durable_index(&self) -> u64 {
        self.durable.index.load(Ordering::Acquire)
    }

    /// Why the journal stopped, if it did. It stays stopped.
    pub fn failure(&self) -> Option<Failure> {
        self.failure.get().copied()
    }

    /// Whether the journal stopped. Cost: one load.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    pub(crate) fn set_written(&self, position: u64, index: u64) {
        self.written.set(position, index);
    }

    pub(crate) fn set_durable(&self, position: u64, index: u64) {
        self.durable.set(position, index);
    }

    /// Stops the journal for good; the first reason is kept.
    pub(crate) fn fail(&self, failure: Failure) {
        self.failure.get_or_init(|| failure);
        self.has_failed.store(true, Ordering::Release);
    }
}

/// Says whether a decision may leave.
#[derive(Clone, Debug)]
pub struct Gate {
    mode: GateMode,
    position: Arc<JournalPosition>,
}

impl Gate {
    /// A gate that opens as `position` advances.
    pub fn new(mode: GateMode, position: Arc<JournalPosition>) -> Self {
        Self { mode, position }
    }

    /// A gate that is always open, for a pipeline without a journal.
    ///
    /// ```
    /// assert!(pinion_journal::Gate::open().covers(1));
    /// ```
    pub fn open() -> Self {
        Self::new(GateMode::Off, Arc::default())
    }

    /// Whether the input `input_index` and all before it are as safe as the mode demands. After a failure of
    /// the journal: no, unless the mode is off.
    ///
    /// Cost: two loads.
    #[inline]
    pub fn covers(&self, input_index: u64) -> bool {
        let index = match self.mode {
            GateMode::Off => return true,
            GateMode::Written => self.position.written_index(),
            GateMode::Durable => self.position.durable_index(),
        };
        input_index <= index && !self.position.has_failed()
    }

    /// The mode it was made with.
    pub fn mode(&self) -> GateMode {
        self.mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FailureKind;

    #[track_caller]
    fn check(mode: GateMode, position: &Arc<JournalPosition>, index: u64, expected: bool) {
        assert_eq!(
            Gate::new(mode, Arc::clone(position)).covers(index),
            expected,
            "{mode:?} {index}"
        );
    }

    #[test]
    fn gate_opens_with_its_mark() {
        let position = Arc::new(JournalPosition::default());
        position.set_written(640, 5);
        position.set_durable(320, 3);
        check(GateMode::Written, &position, 5, true);
        check(GateMode::Written, &position, 6, false);
        check(GateMode::Durable, &position, 3, true);
        check(GateMode::Durable, &position, 4, false);
        check(GateMode::Off, &position, 9, true);
    }

    #[test]
    fn gate_never_opens_after_a_failure() {
        let position = Arc::new(JournalPosition::starting_at(640, 5));
        let failure = Failure {
            kind: FailureKind::Sync,
            os_error: 5,
            segment_id: 1,
            position: 640,
        };
        position.fail(failure);
        position.fail(Failure {
            os_error: 28,
            ..failure
        });
        check(GateMode::Written, &position, 1, false);
        check(GateMode::Durable, &position, 1, false);
        assert_eq!(position.failure(), Some(failure));
    }
}
