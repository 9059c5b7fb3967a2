//! The payment lane's way of one frame, for recorded inputs and without a bus: what a replica is fed through.
//!
//! ```text
//!   journal entry ─▶ the same Acceptor as the engine's ─▶ PaymentRecord, or nothing
//! ```
//!
//! Invariant: the same inputs, one after another, give the same records as in the engine, and leave the same state.

use pinion_journal::Entry;
use pinion_runtime::control::IngestGate;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::names::NameTable;
use pinion_runtime::ring::{Consumer, ring};
use pinion_runtime::state::State;
use pinion_schemas::ids::Id;
use pinion_schemas::records::PaymentRecord;
use pinion_schemas::wire::Lane;

use crate::accept::{Acceptor, Ports};
use crate::config::{DeadLettersConfig, IngestConfig};
use crate::dead_letters::DeadLetters;
use crate::error::IngestError;
use crate::refusal::Field;

/// Cells for the counters of one intake; nobody reads them.
const COUNTERS_MAX: usize = 256;

/// Feeds recorded payments through the engine's own intake, one at a time.
pub struct ByHand {
    acceptor: Acceptor,
    records: Consumer<PaymentRecord>,
}

impl ByHand {
    /// Reserves the memory of the payment lane; a page of it is taken when it is first written.
    ///
    /// # Errors
    /// A value of `config` is out of its range.
    pub fn new(config: &IngestConfig) -> Result<Self, IngestError> {
        let config = IngestConfig {
            instruments_max: 1,
            dead_letters: DeadLettersConfig {
                entries_max: 1,
                ..config.dead_letters.clone()
            },
            ..config.clone()
        };
        let (market, _) = ring(1);
        let (payments, records) = ring(1);
        let (rejects, _) = ring(1);
        let ports = Ports {
            market,
            payments,
            journal: None,
            rejects,
            dead_letters: DeadLetters::in_memory(&config.dead_letters).map_err(IngestError::DeadLetters)?,
            instruments: NameTable::new(1),
            faults: ErrorLog::in_memory(),
            gate: IngestGate::new(),
            pressure: None,
        };
        Ok(Self {
            acceptor: Acceptor::new(&config, ports, &Counters::in_memory(COUNTERS_MAX))?,
            records,
        })
    }

    /// Takes one recorded input. `None`: it is not of the payment lane, or this configuration does not accept it,
    /// as the engine's own intake would not.
    ///
    /// Cost: as in the engine; no heap call.
    pub fn take(&mut self, entry: &Entry<'_>) -> Option<PaymentRecord> {
        if entry.header.lane != Lane::Payment.0 {
            return None;
        }
        self.acceptor.take_recorded(entry);
        self.records.try_pop()
    }

    /// What is known of the payments taken: as [`IngestAgent::payments_state`](crate::IngestAgent::payments_state).
    #[must_use]
    pub fn payments_state(&self) -> &dyn State {
        self.acceptor.payments()
    }

    /// The same, to be filled before anything is taken; then [`Self::resume_payments`].
    pub fn payments_state_mut(&mut self) -> &mut dyn State {
        self.acceptor.payments_mut()
    }

    /// Goes on behind the state that was filled in: payments up to `sequence` are passed over.
    ///
    /// Panics: if `sequence` is not that of the last payment in the state.
    pub fn resume_payments(&mut self, sequence: u64) {
        self.acceptor.resume_payments(sequence);
    }

    /// Sequence of the last payment taken.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.acceptor.sequence(Lane::Payment)
    }

    /// The dense number of a name; [`pinion_schemas::ids::DENSE_ID_NONE`] if it has none. `field` is one of the six
    /// that name an entity of a payment, else nothing is found.
    #[must_use]
    pub fn dense_of(&self, field: Field, id: &Id) -> u32 {
        self.acceptor.dense_of(field, id)
    }
}
