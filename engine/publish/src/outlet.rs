//! The way out: one frame at a time, written where the bus will read it, then recorded.
//!
//! ```text
//!   decision ─▶ gate covers its input? ─▶ room in the journal's ring? ─▶ claim, fill ─▶ journal entry
//! ```
//!
//! The bus comes before the journal: a decision whose entry was lost in a crash is published again after the
//! restart, with the same sequence and the flag `RECOVERED`; the other order would lose it.
//!
//! Invariant: an accepted frame and its journal entry carry the same stamp, and no frame leaves before the gate
//! covers its input.

use pinion_journal::Gate;
use pinion_runtime::faults::{ErrorLog, Fault, FaultKind};
use pinion_runtime::names::NameTable;
use pinion_runtime::ring::EntryProducer;
use pinion_schemas::encode::{self, Stamp};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{DecisionRecord, EntryHeader, RejectRecord, decision_flag, entry_kind};
use pinion_transport::{Bus, Offer, Publication as _};
use zerocopy::IntoBytes as _;

use crate::config::WhenUnheard;
use crate::counters::PublishCounters;
use crate::lane::{Fate, LaneState, Obstacle};

/// Who the engine is on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The `publisher_id` of its frames.
    pub node_id: u32,
    /// The `publisher_session` of its frames: when it started. Unit: ns since the Unix epoch.
    pub started_ns: i64,
}

/// The bus and the stream on it that decisions and rejects leave by.
pub struct Outlet<B: Bus> {
    /// Where frames go.
    pub publication: B::Publication,
    /// Its bus, conducted in the agent's duty cycle. It is dropped last.
    pub bus: B,
}

/// Sends, and remembers what was sent.
pub(crate) struct Sender<B: Bus> {
    pub(crate) outlet: Outlet<B>,
    pub(crate) engine: Engine,
    pub(crate) gate: Gate,
    pub(crate) journal: Option<EntryProducer>,
    pub(crate) instruments: NameTable,
    pub(crate) when_unheard: WhenUnheard,
    pub(crate) faults: ErrorLog,
    pub(crate) counters: PublishCounters,
    /// Frames handed to the bus.
    pub(crate) sequence: u64,
}

impl<B: Bus> Sender<B> {
    /// Settles the foremost decision of a lane. `false`: it stays, and everything behind it.
    pub(crate) fn settle(&mut self, lane: &mut LaneState, record: &DecisionRecord, now_ns: i64) -> bool {
        let fate = match lane.fate_at_once(record) {
            Some(fate) => Ok(fate),
            None => self.send(record, lane.is_recovered(record), now_ns),
        };
        match fate {
            Ok(fate) => lane.leave(record, fate),
            Err(obstacle) => {
                if let Some(kind) = lane.stay(record, obstacle, now_ns) {
                    let detail = if obstacle == Obstacle::Gate {
                        record.input_index
                    } else {
                        record.sequence
                    };
                    self.faults.record(Fault::new(kind, detail), now_ns);
                }
            }
        }
        fate.is_ok()
    }

    /// Answers one refused frame. `false`: it stays.
    pub(crate) fn answer(&mut self, record: &RejectRecord, now_ns: i64) -> bool {
        let stamp = self.stamp();
        let offer = self.outlet.publication.claim(encode::REJECT_LEN, |place| {
            encode::fill_reject(place, &stamp, record)
        });
        match self.judge(offer, encode::REJECT_LEN, 0, now_ns) {
            Ok(Fate::Published) => self.counters.rejects_published.increment(),
            Ok(_) => self.counters.rejects_unheard.increment(),
            Err(_) => return false,
        }
        true
    }

    fn send(&mut self, record: &DecisionRecord, is_recovered: bool, now_ns: i64) -> Result<Fate, Obstacle> {
        if !self.gate.covers(record.input_index) {
            return Err(Obstacle::Gate);
        }
        if self
            .journal
            .as_ref()
            .is_some_and(|journal| !journal.can_write(size_of::<DecisionRecord>()))
        {
            self.counters.journal_full.increment();
            return Err(Obstacle::Room);
        }
        let mut record = *record;
        record.published_ns = now_ns.max(record.decided_ns);
        if is_recovered {
            record.run_flags |= decision_flag::RECOVERED;
        }
        let fate = self.claim(&record, now_ns)?;
        if fate != Fate::Published {
            record.published_ns = 0;
        }
        self.write_to_journal(&record);
        Ok(fate)
    }

    fn claim(&mut self, record: &DecisionRecord, now_ns: i64) -> Result<Fate, Obstacle> {
        let stamp = self.stamp();
        let instrument = self.instruments.get(record.instrument).unwrap_or(Id::NONE);
        let offer = self.outlet.publication.claim(encode::DECISION_LEN, |place| {
            encode::fill_decision(place, &stamp, record, record.published_ns, instrument);
        });
        self.judge(offer, encode::DECISION_LEN, record.sequence, now_ns)
    }

    /// What the outcome of an offer of `len` bytes means for the frame.
    fn judge(&mut self, offer: Offer, len: usize, sequence: u64, now_ns: i64) -> Result<Fate, Obstacle> {
        match offer {
            Offer::Accepted(_) => {
                self.sequence += 1;
                Ok(Fate::Published)
            }
            Offer::BackPressured => {
                self.counters.back_pressured.increment();
                Err(Obstacle::Room)
            }
            Offer::NotConnected if self.when_unheard == WhenUnheard::Drop => {
                self.faults
                    .record(Fault::new(FaultKind::PublishNotConnected, sequence), now_ns);
                Ok(Fate::Unheard)
            }
            Offer::NotConnected => Err(Obstacle::Listener),
            Offer::Closed => {
                self.counters.closed.increment();
                Err(Obstacle::Listener)
            }
            Offer::TooLong => {
                self.faults
                    .record(Fault::new(FaultKind::MessageTooLong, len as u64), now_ns);
                Ok(Fate::TooLong)
            }
        }
    }

    fn write_to_journal(&mut self, record: &DecisionRecord) {
        if let Some(journal) = &mut self.journal {
            let header = EntryHeader {
                input_index: record.input_index,
                sequence: record.sequence,
                stamp_ns: record.decided_ns,
                kind: entry_kind::DECISION,
                lane: record.lane,
                ..EntryHeader::default()
            };
            assert!(
                journal.try_write(&header, record.as_bytes()),
                "room for the entry was seen before"
            );
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            publisher_id: self.engine.node_id,
            session: self.engine.started_ns as u64,
            sequence: self.sequence + 1,
            flags: 0,
        }
    }
}
