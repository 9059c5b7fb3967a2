//! The market lane's books on the real files beside the checkout, from frames on, beside a straightforward
//! reference. Skipped with a note where the files are absent.
//!
//! ```text
//!   file ─┬─▶ frame ─▶ IngestAgent ─▶ BookAgent ─▶ top of book ─┐
//!         └─▶ ReferenceBooks ────────────────────▶ best levels ─┴─▶ equal after each venue message
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;

use pinion_book::BookAgent;
use pinion_book::config::BookConfig;
use pinion_ingest::{DeadLetters, IngestAgent, IngestConfig, Intake, Ports};
use pinion_replay::import::reference::ReferenceBooks;
use pinion_replay::import::source::FLAG_MORE;
use pinion_replay::import::{EventSource, Format, ImportOptions, open};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::control::IngestGate;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::names::NameTable;
use pinion_runtime::ring::{Consumer, ring};
use pinion_schemas::encode::{Encoder, Event, Stamp};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{BookRecord, TopOfBook};
use pinion_transport::in_process::{InProcessBus, InProcessPublication};
use pinion_transport::{Bus as _, Endpoint, Publication as _};

/// The file, or `None` and a note.
fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(name);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

/// Ingest and book with the market's stream in front and the books behind.
struct Lane {
    stream: InProcessPublication,
    ingest: IngestAgent<InProcessBus>,
    book: BookAgent,
    booked: Consumer<BookRecord>,
    names: NameTable,
    encoder: Encoder,
    sequence: u64,
}

impl Lane {
    fn new() -> Self {
        let config = IngestConfig {
            instruments_max: 64,
            ..IngestConfig::default()
        };
        let books = BookConfig {
            instruments_max: 64,
            depth_instruments_max: 8,
            levels_max: 16_384,
            ..BookConfig::default()
        };
        let (counters, names) = (Counters::in_memory(256), NameTable::new(64));
        let mut bus = InProcessBus::new();
        let endpoint = Endpoint::new("market", 1);
        let stream = bus.add_publication(&endpoint).unwrap();
        let market = Some(bus.add_subscription(&endpoint).unwrap());
        let (to_book, from_ingest) = ring(64);
        let (to_strategy, booked) = ring(64);
        let ports = Ports {
            market: to_book,
            payments: ring(64).0,
            journal: None,
            rejects: ring(config.rejects_max as usize).0,
            dead_letters: DeadLetters::in_memory(&config.dead_letters).unwrap(),
            instruments: names.clone(),
            faults: ErrorLog::in_memory(),
            gate: IngestGate::new(),
            pressure: None,
        };
        let intake = Intake {
            market,
            payments: None,
            bus,
        };
        Self {
            stream,
            ingest: IngestAgent::new(&config, intake, ports, None, &counters).unwrap(),
            book: BookAgent::new(&books, from_ingest, to_strategy, &counters).unwrap(),
            booked,
            names,
            encoder: Encoder::new(),
            sequence: 0,
        }
    }

    /// The book after one event.
    fn take(&mut self, event: &Event, flags: u16) -> BookRecord {
        self.sequence += 1;
        let stamp = Stamp {
            publisher_id: 1,
            session: 1,
            sequence: self.sequence,
            flags,
        };
        let frame = self.encoder.encode(&stamp, event);
        assert!(self.stream.offer(frame).is_accepted());
        self.ingest.do_work(i64::MAX);
        self.book.do_work(i64::MAX);
        self.booked.try_pop().expect("every event is answered")
    }
}

/// Price and quantity of the best levels, 0 if there are none.
fn top_of(top: &TopOfBook) -> [(i64, i64); 2] {
    [
        (top.bid_price, top.bid_quantity),
        (top.ask_price, top.ask_quantity),
    ]
}

/// Compares the top of the book after each venue message, and every level at the end. Returns how many
/// messages and levels were compared.
fn compare(source: &mut dyn EventSource) -> (u64, u64) {
    let (mut lane, mut reference) = (Lane::new(), ReferenceBooks::default());
    let (mut messages, mut instruments) = (0, BTreeSet::new());
    while let Some(source_event) = source.next().unwrap() {
        let (event, flags) = (&source_event.event, source_event.flags);
        let record = lane.take(event, flags);
        let Some((_, book)) = reference.apply(event) else {
            continue;
        };
        instruments.insert(record.market.instrument);
        if flags & FLAG_MORE == 0 {
            let expected = [book.best_bid(), book.best_ask()].map(Option::unwrap_or_default);
            assert_eq!(
                top_of(&record.top),
                expected,
                "after event {}: {event:?}",
                lane.sequence
            );
            messages += 1;
        }
    }
    let mut levels = 0;
    for instrument in instruments {
        let name: Id = lane.names.get(instrument).unwrap();
        let book = reference.book(name).unwrap();
        let held = |is_bid| {
            let levels = lane.book.books().side(instrument, is_bid).iter().rev();
            levels
                .map(|level| (level.price, level.quantity))
                .collect::<Vec<_>>()
        };
        let (bids, asks) = (held(true), held(false));
        assert_eq!(bids, book.bids().collect::<Vec<_>>());
        assert_eq!(asks, book.asks().collect::<Vec<_>>());
        levels += (bids.len() + asks.len()) as u64;
    }
    (messages, levels)
}

#[track_caller]
fn check(name: &str, messages_min: u64) {
    let Some(path) = shared(name) else { return };
    let (messages, levels) = compare(&mut *open(&path, Format::Auto, &ImportOptions::default()).unwrap());
    println!("{name}: {messages} venue messages and {levels} levels at the end are equal");
    assert!(messages >= messages_min, "{messages}");
}

#[test]
fn perpetual_by_level_is_as_the_reference_keeps_it() {
    check("market/binance_usdm_btcusdt_20240808.gz", 1_000);
}

#[test]
fn spot_by_level_is_as_the_reference_keeps_it() {
    check("market/binance_spot_btcusdt_20240808.gz", 1_000);
}

#[test]
fn future_by_order_is_as_the_reference_keeps_it() {
    check("market/esh4-glbx-mdp3-20231225.mbo.dbn.zst", 10_000);
}
