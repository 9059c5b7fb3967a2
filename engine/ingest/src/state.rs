//! What the payment lane knows, as plain memory: for checkpoints, and for a copy that follows the journal.
//!
//! ```text
//!   "ingest.payment"             0  numbers of the last frame accepted
//!   "ingest.payment.publishers"  0  how many    1  their sessions
//!   "ingest.customers" … (six)   0  how many    1  buckets         2  names and the order of their use
//! ```
//!
//! Start at [`PaymentLane`]'s regions; [`IngestConfig::payments_layout`] says when those of one fit another.
//!
//! Invariant: after [`Sessions::resume`](crate::sessions::Sessions::resume) the state is a function of the lane's
//! accepted frames alone, whether they came live or were recorded.

use pinion_runtime::state::{Region, RegionMut, State};
use zerocopy::IntoBytes as _;

use crate::accept::PaymentLane;
use crate::config::{IngestConfig, WhenFull};
use crate::memory;

/// Counts the changes of what the bytes of a region mean.
const LAYOUT_VERSION: u64 = 1;

/// The region of the lane's own numbers.
const LANE: &str = "ingest.payment";

/// The regions of its sessions.
const PUBLISHERS: &str = "ingest.payment.publishers";

impl State for PaymentLane {
    fn regions(&self) -> Vec<Region<'_>> {
        let mut regions = memory::regions(LANE, [self.state.last.as_bytes()]).to_vec();
        regions.extend(self.state.sessions.regions(PUBLISHERS));
        let tables = self.tables().into_iter();
        regions.extend(tables.flat_map(|table| table.ids.regions(table.name)));
        regions
    }

    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        let (state, tables) = self.state_and_tables_mut();
        let mut regions = Vec::from(memory::regions_mut(LANE, [state.last.as_mut_bytes()]));
        regions.extend(state.sessions.regions_mut(PUBLISHERS));
        let tables = tables.into_iter();
        regions.extend(tables.flat_map(|table| table.ids.regions_mut(table.name)));
        regions
    }
}

impl IngestConfig {
    /// What the payment lane's regions depend on. Under two configurations with the same numbers, what was read of
    /// one may be filled into the other.
    #[must_use]
    pub fn payments_layout(&self) -> Vec<u64> {
        let tables = [
            &self.customers,
            &self.terminals,
            &self.cards,
            &self.merchants,
            &self.devices,
            &self.accounts,
        ];
        let mut layout = vec![LAYOUT_VERSION, self.publishers_max.into()];
        for table in tables {
            layout.push(table.ids_max.into());
            layout.push(u64::from(table.when_full == WhenFull::EvictOldestIdle));
        }
        layout
    }
}
