//! A publishing agent with both ends of everything around it in hand.

#![allow(dead_code, unreachable_pub)] // Each test file is a program of its own and uses a part of this one.

use pinion_journal::Gate;
use pinion_publish::{Engine, Outlet, Ports, PublishAgent, PublishConfig, Resume};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::latest::Latest;
use pinion_runtime::names::NameTable;
use pinion_runtime::ring::{EntryConsumer, Producer, entry_ring, ring};
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use pinion_schemas::records::{DecisionRecord, EntryHeader, RejectRecord};
use pinion_schemas::wire::{Action, Lane};
use pinion_transport::in_process::{InProcessBus, InProcessSubscription};
use pinion_transport::{Bus as _, Endpoint, Subscription as _};
use zerocopy::FromBytes as _;

/// Everything around one agent.
pub struct Rig {
    pub agent: PublishAgent<InProcessBus>,
    pub bus: InProcessBus,
    pub market: Producer<DecisionRecord>,
    pub payments: Producer<DecisionRecord>,
    pub rejects: Producer<RejectRecord>,
    pub journal: EntryConsumer,
    pub counters: Counters,
    pub faults: ErrorLog,
    pub names: NameTable,
    pub now_ns: i64,
}

/// What differs between rigs.
pub struct Setting {
    pub config: PublishConfig,
    pub gate: Gate,
    pub resume: Resume,
    /// Length of the bus's ring for each listener. Unit: bytes.
    pub bus_len: usize,
    pub journal_lines: usize,
    pub progress: Option<Latest<3>>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            config: PublishConfig::default(),
            gate: Gate::open(),
            resume: Resume::default(),
            bus_len: 1 << 20,
            journal_lines: 4096,
            progress: None,
        }
    }
}

impl Rig {
    pub fn new(setting: Setting) -> Self {
        let mut bus = InProcessBus::with_ring_len(setting.bus_len);
        let publication = bus.add_publication(&endpoint()).unwrap();
        let (market, market_out) = ring(256);
        let (payments, payments_out) = ring(256);
        let (rejects, rejects_out) = ring(64);
        let (to_journal, journal) = entry_ring(setting.journal_lines);
        let (counters, faults, names) = (Counters::in_memory(128), ErrorLog::in_memory(), NameTable::new(8));
        assert!(names.set(3, Id::new("BTCUSDT").unwrap()));
        let ports = Ports {
            market: market_out,
            payments: payments_out,
            rejects: rejects_out,
            journal: Some(to_journal),
            gate: setting.gate,
            instruments: names.clone(),
            faults: faults.clone(),
            progress: setting.progress,
        };
        let engine = Engine {
            node_id: 42,
            started_ns: 77,
        };
        let outlet = Outlet {
            publication,
            bus: bus.clone(),
        };
        let agent =
            PublishAgent::new(&setting.config, engine, outlet, ports, setting.resume, &counters).unwrap();
        assert_eq!(counters.refused_count(), 0);
        Self {
            agent,
            bus,
            market,
            payments,
            rejects,
            journal,
            counters,
            faults,
            names,
            now_ns: 1_000,
        }
    }

    pub fn listen(&mut self) -> InProcessSubscription {
        self.bus.add_subscription(&endpoint()).unwrap()
    }

    /// Puts a decision into its lane's ring.
    pub fn decide(&mut self, record: DecisionRecord) {
        let ring = if record.lane == Lane::Market.0 {
            &mut self.market
        } else {
            &mut self.payments
        };
        assert!(ring.try_push(&record));
    }

    /// One duty cycle, 1 ns after the last.
    pub fn cycle(&mut self) -> usize {
        self.now_ns += 1;
        self.agent.do_work(self.now_ns)
    }

    pub fn count(&self, label: &str) -> u64 {
        self.counters
            .value(label)
            .unwrap_or_else(|| panic!("no counter {label}"))
    }

    pub fn take_journal(&mut self) -> Vec<(EntryHeader, DecisionRecord)> {
        let mut entries = Vec::new();
        self.journal.read_batch(usize::MAX, |header, payload| {
            entries.push((*header, DecisionRecord::read_from_bytes(payload).unwrap()));
        });
        entries
    }
}

fn endpoint() -> Endpoint {
    Endpoint::new("test", 3)
}

/// Everything that a listener has received.
pub fn heard(listener: &mut InProcessSubscription) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while listener.poll(64, |bytes| frames.push(bytes.to_vec())) > 0 {}
    frames
}

/// A decision of a lane; the payment lane's are approvals, the market lane's are buys.
pub fn decision(lane: Lane, sequence: u64, input_index: u64) -> DecisionRecord {
    let is_market = lane == Lane::Market;
    DecisionRecord {
        sequence,
        input_session: 5,
        input_sequence: sequence,
        event_ns: 100,
        value: 7,
        score: 0.25,
        lane: lane.0,
        action: if is_market {
            Action::Buy.0
        } else {
            Action::Approve.0
        },
        subject: if is_market {
            Id::NONE
        } else {
            Id::new("tx-1").unwrap()
        },
        instrument: if is_market { 3 } else { DENSE_ID_NONE },
        ingest_ns: 200,
        scored_ns: 300,
        decided_ns: 400,
        input_index,
        ..DecisionRecord::default()
    }
}

pub fn market(sequence: u64, input_index: u64) -> DecisionRecord {
    decision(Lane::Market, sequence, input_index)
}

pub fn payment(sequence: u64, input_index: u64) -> DecisionRecord {
    decision(Lane::Payment, sequence, input_index)
}
