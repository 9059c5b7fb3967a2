//! A scorer's search on a device: fills the device's memory, keeps it as the bank is, and asks the bank wherever nothing is
//! proved.
//!
//! ```text
//!   batch ─▶ rows that changed are written ─▶ one run ─▶ vector 0: proved? ─▶ the nearest      no ─▶ Bank::search
//!                                        label ─▶ bank ─▶ vector 1: the bank compares that row itself
//! ```
//!
//! Invariant: what [`DeviceSearch::search`] finds is what [`Bank::search`] finds at that moment, whatever the device does.

use std::ops::Range;

use super::{DeviceBank, DeviceFailed};
use crate::bank::{Bank, Neighbour};

/// Searches since they were last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Searches {
    /// Transactions whose neighbours the device found, and which were proved to be the bank's.
    pub proved: u64,
    /// Those that the bank was searched for, because that was not proved or the device failed.
    pub left: u64,
    /// Runs of the device that failed.
    pub failed: u64,
}

/// A bank on a device, and what the device has of it.
pub(crate) struct DeviceSearch {
    pub(crate) device: DeviceBank,
    /// Whether the device has all rows but those that are noted.
    is_filled: bool,
    is_asked: bool,
    /// Vectors of the batch that the last run was for.
    ran: Range<usize>,
    /// Whether that run succeeded.
    is_good: bool,
    searches: Searches,
}

impl DeviceSearch {
    pub(crate) fn new(device: DeviceBank) -> Self {
        Self {
            device,
            is_filled: false,
            is_asked: false,
            ran: 0..0,
            is_good: false,
            searches: Searches::default(),
        }
    }

    /// Another batch is next. `is_asked`: the device searches for it.
    pub(crate) fn begin(&mut self, is_asked: bool) {
        self.is_asked = is_asked;
        self.ran = 0..0;
    }

    /// The bank was changed by others, or is another one: the device is filled anew before its next run.
    pub(crate) fn forget(&mut self) {
        self.is_filled = false;
        self.ran = 0..0;
    }

    /// Has the device hold the whole bank, unless it does.
    ///
    /// # Errors
    /// [`DeviceFailed`].
    ///
    /// Cost: copies the bank to the device, if it does not have it.
    pub(crate) fn fill(&mut self, bank: &mut Bank) -> Result<(), DeviceFailed> {
        if !self.is_filled {
            bank.watch();
            self.device.load(bank)?;
            self.is_filled = true;
        }
        Ok(())
    }

    /// Fills `nearest` as [`Bank::search`] does, for vector `index` of a batch's `vectors`, whose embedding on the CPU is
    /// `embedding`. A batch is asked for in order, its vectors being the same from [`Self::begin`] on.
    ///
    /// Sees:  every change of the bank before it.
    /// Cost:  one run for the batch, or for each part of it that the device takes at once; then as
    ///        [`DeviceBank::nearest`], and where nothing is proved as [`Bank::search`].
    pub(crate) fn search(
        &mut self,
        bank: &mut Bank,
        (vectors, index): (&[f32], usize),
        embedding: &[f32],
        nearest: &mut [Neighbour],
    ) -> usize {
        if !self.is_asked {
            return bank.search(embedding, nearest);
        }
        bank.take_changed(|row| self.device.note(row));
        if !self.ran.contains(&index) {
            self.run(bank, vectors, index);
        }
        let index = index - self.ran.start;
        let proved = if self.is_good {
            self.device.nearest(index, embedding, bank, nearest)
        } else {
            None
        };
        if let Some(found) = proved {
            self.searches.proved += 1;
            return found;
        }
        self.searches.left += 1;
        bank.search(embedding, nearest)
    }

    /// What was searched since this was last asked.
    pub(crate) fn take_searches(&mut self) -> Searches {
        std::mem::take(&mut self.searches)
    }

    /// Runs the vectors from `index` on, as many as the device takes at once. If that fails, they are the bank's.
    fn run(&mut self, bank: &mut Bank, vectors: &[f32], index: usize) {
        let features = self.device.features();
        let end = (index + self.device.batch()).min(vectors.len() / features);
        self.ran = index..end;
        let vectors = &vectors[index * features..end * features];
        self.is_good = self.try_run(bank, vectors).is_ok();
        self.searches.failed += u64::from(!self.is_good);
    }

    fn try_run(&mut self, bank: &mut Bank, vectors: &[f32]) -> Result<(), DeviceFailed> {
        self.fill(bank)?;
        self.device.write_stale(bank)?;
        self.device.run(vectors)
    }
}
