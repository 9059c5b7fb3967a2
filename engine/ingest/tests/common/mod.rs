//! An ingest agent with both ends of everything around it in hand.

#![allow(dead_code, unreachable_pub)] // Each test file is a program of its own and uses a part of this one.

use std::collections::HashMap;
use std::path::Path;

use pinion_ingest::config::{TableConfig, WhenFull};
use pinion_ingest::{DeadLetters, IngestAgent, IngestConfig, Intake, Ports, Pressure};
use pinion_journal::{Identity, JournalAgent, JournalConfig, Reader, recover};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::control::IngestGate;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::names::NameTable;
use pinion_runtime::ring::{Consumer, EntryConsumer, entry_ring, ring};
use pinion_schemas::encode::{
    AccountUpdateEvent, Encoder, Event, LabelEvent, QuoteEvent, Stamp, TransactionEvent,
};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{EntryHeader, MarketRecord, PaymentRecord, RejectRecord};
use pinion_schemas::wire::{AccountChange, Channel, LabelSource, Outcome, Verdict};
use pinion_transport::in_process::{InProcessBus, InProcessPublication, InProcessSubscription};
use pinion_transport::{Bus as _, Endpoint, Publication as _};

/// Everything around one agent.
pub struct Rig {
    pub agent: IngestAgent<InProcessBus>,
    pub market_in: InProcessPublication,
    pub payments_in: InProcessPublication,
    pub market: Consumer<MarketRecord>,
    pub payments: Consumer<PaymentRecord>,
    pub rejects: Consumer<RejectRecord>,
    pub journal: EntryConsumer,
    pub counters: Counters,
    pub faults: ErrorLog,
    pub names: NameTable,
    pub gate: IngestGate,
    pub now_ns: i64,
}

/// How large the rings around the agent are.
#[derive(Clone, Copy)]
pub struct Rings {
    pub records: usize,
    pub journal_lines: usize,
}

impl Default for Rings {
    fn default() -> Self {
        Self {
            records: 1024,
            journal_lines: 16_384,
        }
    }
}

/// Small tables, so that building a rig costs little.
pub fn config() -> IngestConfig {
    let table = TableConfig {
        ids_max: 64,
        when_full: WhenFull::EvictOldestIdle,
    };
    IngestConfig {
        publishers_max: 8,
        instruments_max: 64,
        customers: table.clone(),
        terminals: table.clone(),
        cards: table.clone(),
        merchants: table.clone(),
        devices: table.clone(),
        accounts: table,
        ..IngestConfig::default()
    }
}

impl Rig {
    pub fn new(config: &IngestConfig) -> Self {
        Self::with(config, Rings::default(), None)
    }

    pub fn with(config: &IngestConfig, rings: Rings, recorded: Option<Reader>) -> Self {
        Self::under(config, rings, recorded, None)
    }

    pub fn under(
        config: &IngestConfig,
        rings: Rings,
        recorded: Option<Reader>,
        pressure: Option<Pressure>,
    ) -> Self {
        let mut bus = InProcessBus::new();
        let (market_in, market_out) = stream(&mut bus, 1);
        let (payments_in, payments_out) = stream(&mut bus, 2);
        let (to_book, market) = ring(rings.records);
        let (to_features, payments) = ring(rings.records);
        let (to_publish, rejects) = ring(config.rejects_max as usize);
        let (to_journal, journal) = entry_ring(rings.journal_lines);
        let counters = Counters::in_memory(256);
        let faults = ErrorLog::in_memory();
        let names = NameTable::new(config.instruments_max as usize);
        let gate = IngestGate::new();
        let ports = Ports {
            market: to_book,
            payments: to_features,
            journal: Some(to_journal),
            rejects: to_publish,
            dead_letters: DeadLetters::in_memory(&config.dead_letters).unwrap(),
            instruments: names.clone(),
            faults: faults.clone(),
            gate: gate.clone(),
            pressure,
        };
        let intake = Intake {
            market: Some(market_out),
            payments: Some(payments_out),
            bus,
        };
        let agent = IngestAgent::new(config, intake, ports, recorded, &counters).unwrap();
        assert_eq!(counters.refused_count(), 0);
        Self {
            agent,
            market_in,
            payments_in,
            market,
            payments,
            rejects,
            journal,
            counters,
            faults,
            names,
            gate,
            now_ns: 1_000,
        }
    }

    pub fn offer_market(&mut self, bytes: &[u8]) {
        assert!(self.market_in.offer(bytes).is_accepted());
    }

    pub fn offer_payment(&mut self, bytes: &[u8]) {
        assert!(self.payments_in.offer(bytes).is_accepted());
    }

    /// Cycles until nothing happens. Returns the work done.
    pub fn run(&mut self) -> usize {
        let mut work = 0;
        loop {
            self.now_ns += 1;
            match self.agent.do_work(self.now_ns) {
                0 => return work,
                count => work += count,
            }
        }
    }

    pub fn count(&self, label: &str) -> u64 {
        self.counters
            .value(label)
            .unwrap_or_else(|| panic!("no counter {label}"))
    }

    /// The counters that are not 0, without their prefix.
    pub fn counts(&self) -> HashMap<String, u64> {
        let short = |(label, value): (String, u64)| (label.replace("ingest.", ""), value);
        self.counters
            .list()
            .into_iter()
            .filter(|(_, value)| *value != 0)
            .map(short)
            .collect()
    }

    pub fn take_market(&mut self) -> Vec<MarketRecord> {
        std::iter::from_fn(|| self.market.try_pop()).collect()
    }

    pub fn take_payments(&mut self) -> Vec<PaymentRecord> {
        std::iter::from_fn(|| self.payments.try_pop()).collect()
    }

    pub fn take_rejects(&mut self) -> Vec<RejectRecord> {
        std::iter::from_fn(|| self.rejects.try_pop()).collect()
    }

    pub fn take_journal(&mut self) -> Vec<(EntryHeader, Vec<u8>)> {
        let mut entries = Vec::new();
        self.journal.read_batch(usize::MAX, |header, payload| {
            entries.push((*header, payload.to_vec()))
        });
        entries
    }
}

fn stream(bus: &mut InProcessBus, stream_id: i32) -> (InProcessPublication, InProcessSubscription) {
    let endpoint = Endpoint::new("test", stream_id);
    let publication = bus.add_publication(&endpoint).unwrap();
    (publication, bus.add_subscription(&endpoint).unwrap())
}

pub fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

pub fn stamp(publisher_id: u32, session: u64, sequence: u64) -> Stamp {
    Stamp {
        publisher_id,
        session,
        sequence,
        flags: 0,
    }
}

pub fn quote(instrument: &str) -> Event {
    Event::Quote(QuoteEvent {
        event_ns: 5,
        instrument: id(instrument),
        bid_price: 99,
        bid_quantity: 1,
        ask_price: 101,
        ask_quantity: 2,
        venue_sequence: 7,
    })
}

pub fn transaction(customer: &str, terminal: &str) -> TransactionEvent {
    TransactionEvent {
        event_ns: 5,
        amount_minor: 1_250,
        currency: 978,
        merchant_category: 5_411,
        channel: Channel::CardPresent,
        transaction_id: id("tx-1"),
        customer: id(customer),
        terminal: id(terminal),
        card: Id::NONE,
        merchant: Id::NONE,
        device: Id::NONE,
        account: Id::NONE,
        outcome: Outcome::Approved,
        text: None,
    }
}

pub fn label(customer: &str, terminal: &str) -> LabelEvent {
    LabelEvent {
        event_ns: 9,
        transaction_ns: 5,
        amount_minor: 1_250,
        verdict: Verdict::Fraud,
        source: LabelSource::Chargeback,
        transaction_id: id("tx-1"),
        customer: id(customer),
        terminal: id(terminal),
        ..LabelEvent::default()
    }
}

pub fn account_update(customer: &str, account: &str) -> AccountUpdateEvent {
    AccountUpdateEvent {
        event_ns: 9,
        limit_minor: 100_000,
        currency: 978,
        change: AccountChange::LimitChanged,
        customer: id(customer),
        account: id(account),
    }
}

/// The frame of an event.
pub fn frame(stamp: &Stamp, event: &Event) -> Vec<u8> {
    Encoder::new().encode(stamp, event).to_vec()
}

/// A quote of publisher 1, session 1.
pub fn quote_frame(sequence: u64, instrument: &str) -> Vec<u8> {
    frame(&stamp(1, 1, sequence), &quote(instrument))
}

/// A transaction of publisher 1, session 1.
pub fn payment_frame(sequence: u64, customer: &str, terminal: &str) -> Vec<u8> {
    frame(
        &stamp(1, 1, sequence),
        &Event::Transaction(transaction(customer, terminal)),
    )
}

/// Writes a journal of these entries.
pub fn write_journal(dir: &Path, entries: &[(EntryHeader, Vec<u8>)]) {
    let config = JournalConfig {
        dir: dir.to_owned(),
        segment_len: 1 << 20,
        ..JournalConfig::default()
    };
    let (mut producer, consumer) = entry_ring(1 << 14);
    for (header, payload) in entries {
        assert!(producer.try_write(header, payload));
    }
    let recovery = recover(&config).unwrap();
    let (counters, faults) = (Counters::in_memory(64), ErrorLog::in_memory());
    let mut journal = JournalAgent::new(
        &config,
        recovery,
        vec![consumer],
        &Identity::default(),
        &counters,
        &faults,
    )
    .unwrap();
    while journal.do_work(1) > 0 {}
    journal.on_close();
}
