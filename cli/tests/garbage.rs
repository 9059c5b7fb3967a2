//! Everything that is no good frame, among good ones, from the same publisher and beside others.
//!
//! ```text
//!   this test ── good, random, cut, huge, wrong … ─┐         ┌─▶ listen: a decision or a reject for each
//!   publish payments, publish market ── good ──────┴─▶ run ──┴─▶ dead letters: each refused frame
//! ```

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pinion_schemas::encode::{BookLevelEvent, Encoder, Event, Stamp, TransactionEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{BookAction, Channel, Frame, Limits, RejectReason, Side, read};
use pinion_transport::config::DirBase;
use pinion_transport::rusteron::RusteronBus;
use pinion_transport::{Bus, BusConfig, Offer, Publication as _};
use serde_json::Value;

use support::{Room, Running};

/// The publisher of the garbage and of the good frames among it.
const PUBLISHER_ID: u32 = 500;
/// A huge frame; the bus takes an eighth of a term.
const HUGE_LEN: usize = 10 * 1024 * 1024;
const TERM_LENGTH: u32 = 128 * 1024 * 1024;
/// Nothing in here may wait for longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Byte of the schema version in a frame's hot part.
const VERSION_OFFSET: usize = 28;

fn words<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--config", "pinion.toml", "--output", "json"]].concat()
}

/// A room with terms for huge frames, in a folder that has room for them, and dead letters for everything.
fn room() -> Room {
    let room = Room::new("garbage");
    let text = std::fs::read_to_string(room.path("pinion.toml")).unwrap();
    let large = format!("term_length = {TERM_LENGTH}\nterms_sparse = true\ndir_base = \"temporary\"");
    let text = text.replace("term_length = 1048576", &large);
    assert!(text.contains(&large));
    let letters = "[ingest]\nrejects_max = 65536\n[ingest.dead_letters]\nentries_max = 262144\n";
    room.write("pinion.toml", &(text + letters));
    room
}

/// Counts by reason.
type Reasons = BTreeMap<String, u64>;

fn reason_name(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::Oversized => "oversized",
        RejectReason::Malformed => "malformed",
        RejectReason::UnknownVersion => "unknown-version",
        RejectReason::UnknownType => "unknown-type",
        RejectReason::InvalidField => "invalid-field",
        RejectReason::WrongLane => "wrong-lane",
        other => panic!("{other:?} was not provoked"),
    }
}

/// Why bytes are no frame.
#[track_caller]
fn unreadable(bytes: &[u8]) -> RejectReason {
    read(bytes, &Limits::default())
        .expect_err("these bytes are a frame")
        .reason
}

/// A stream to the engine.
struct Stream {
    publication: <RusteronBus as Bus>::Publication,
    /// Number of the last frame.
    sequence: u64,
    good: u64,
}

/// A publisher that sends everything it can think of.
struct Vandal {
    bus: RusteronBus,
    market: Stream,
    payments: Stream,
    encoder: Encoder,
    seed: u64,
    refused: Reasons,
    started: Instant,
}

impl Vandal {
    fn connect() -> Self {
        let config = BusConfig {
            node: format!("cli-garbage-{}", std::process::id()),
            dir_base: DirBase::Temporary,
            term_length: TERM_LENGTH,
            terms_sparse: true,
            ..BusConfig::default()
        };
        let mut bus = RusteronBus::new(&config);
        let stream = |bus: &mut RusteronBus, endpoint| Stream {
            publication: bus.add_publication(endpoint).unwrap(),
            sequence: 0,
            good: 0,
        };
        Self {
            market: stream(&mut bus, &config.market),
            payments: stream(&mut bus, &config.payments),
            bus,
            encoder: Encoder::new(),
            seed: 0x9e37_79b9_7f4a_7c15,
            refused: Reasons::new(),
            started: Instant::now(),
        }
    }

    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn random_bytes(&mut self) -> Vec<u8> {
        let len = 1 + self.random() % 600;
        (0..len).map(|_| self.random() as u8).collect()
    }

    /// The next frame of the payments stream, with this customer.
    fn transaction(&mut self, customer: Id) -> Vec<u8> {
        let sequence = self.payments.sequence + 1;
        let event = TransactionEvent {
            event_ns: 1_000 + sequence as i64,
            amount_minor: 1_234,
            currency: 978,
            channel: Channel::CardPresent,
            transaction_id: Id::new(&format!("g-{sequence}")).unwrap(),
            customer,
            terminal: Id::new("terminal").unwrap(),
            ..TransactionEvent::default()
        };
        self.encoded(sequence, &Event::Transaction(event))
    }

    fn good_transaction(&mut self) -> Vec<u8> {
        self.transaction(Id::new("customer").unwrap())
    }

    /// The next frame of the market stream.
    fn level(&mut self) -> Vec<u8> {
        let sequence = self.market.sequence + 1;
        let event = BookLevelEvent {
            event_ns: 1_000 + sequence as i64,
            instrument: Id::new("GARBAGE").unwrap(),
            price: 100_000_000_000 + (sequence % 7) as i64,
            quantity: 1_000_000_000,
            side: Side::Bid,
            action: BookAction::Modify,
            ..BookLevelEvent::default()
        };
        self.encoded(sequence, &Event::BookLevel(event))
    }

    fn encoded(&mut self, sequence: u64, event: &Event) -> Vec<u8> {
        let stamp = Stamp {
            publisher_id: PUBLISHER_ID,
            session: 1,
            sequence,
            flags: 0,
        };
        self.encoder.encode(&stamp, event).to_vec()
    }

    fn offer(&mut self, is_market: bool, bytes: &[u8]) {
        let started = Instant::now();
        loop {
            self.bus.do_work(self.started.elapsed().as_nanos() as i64);
            let stream = if is_market {
                &mut self.market
            } else {
                &mut self.payments
            };
            match stream.publication.offer(bytes) {
                Offer::Accepted(_) => return,
                Offer::TooLong => panic!("{} bytes are too long for the bus", bytes.len()),
                _ => assert!(started.elapsed() < PATIENCE, "the bus takes nothing"),
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn send_good(&mut self) {
        let (transaction, level) = (self.good_transaction(), self.level());
        self.offer(false, &transaction);
        self.offer(true, &level);
        for stream in [&mut self.market, &mut self.payments] {
            stream.sequence += 1;
            stream.good += 1;
        }
    }

    fn send_bad(&mut self, is_market: bool, bytes: &[u8], reason: RejectReason) {
        self.offer(is_market, bytes);
        *self.refused.entry(reason_name(reason).to_owned()).or_default() += 1;
    }

    /// One of each kind.
    fn send_garbage(&mut self) {
        let random = self.random_bytes();
        self.send_bad(self.seed.is_multiple_of(2), &random, unreadable(&random));

        let mut known = self.random_bytes();
        known.resize(known.len().max(8), 0);
        known[4..8].copy_from_slice(b"PNTX");
        self.send_bad(false, &known, unreadable(&known));

        let mut cut = self.good_transaction();
        cut.truncate(8 + self.random() as usize % (cut.len() - 8));
        self.send_bad(false, &cut, RejectReason::Malformed);

        let mut version = self.good_transaction();
        let at = hot_offset(&version) + VERSION_OFFSET;
        version[at..at + 2].copy_from_slice(&77_u16.to_le_bytes());
        self.send_bad(false, &version, RejectReason::UnknownVersion);

        let mut kind = self.level();
        kind[4..8].copy_from_slice(b"PNZZ");
        self.send_bad(true, &kind, RejectReason::UnknownType);

        let astray = self.level();
        self.send_bad(false, &astray, RejectReason::WrongLane);
        let astray = self.good_transaction();
        self.send_bad(true, &astray, RejectReason::WrongLane);

        // A publisher counts such a frame, since it does not know that it is bad.
        let field = self.transaction(Id([0xff; 36]));
        self.send_bad(false, &field, RejectReason::InvalidField);
        self.payments.sequence += 1;
    }

    /// A good frame, drawn out.
    fn send_long(&mut self, len: usize) {
        let mut long = self.level();
        long.resize(len, 0);
        self.send_bad(true, &long, RejectReason::Oversized);
    }
}

/// Where the hot part begins in a frame of a transaction.
fn hot_offset(frame: &[u8]) -> usize {
    let Ok(Frame::Transaction(transaction)) = read(frame, &Limits::default()) else {
        panic!("it is a good frame");
    };
    std::ptr::from_ref(transaction.hot()).addr() - frame.as_ptr().addr()
}

/// Sends for 5 seconds, 30 in a full run.
fn vandalise() -> Vandal {
    let is_full = std::env::var_os("PINION_FULL").is_some();
    let duration = Duration::from_secs(if is_full { 30 } else { 5 });
    let mut vandal = Vandal::connect();
    let mut turn = 0_u64;
    while vandal.started.elapsed() < duration {
        vandal.send_good();
        vandal.send_garbage();
        if turn.is_multiple_of(64) {
            vandal.send_long(4_097);
        }
        if turn.is_multiple_of(512) {
            vandal.send_long(HUGE_LEN);
        }
        turn += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    vandal
}

fn reported(process: Running) -> Value {
    let (code, stdout, stderr) = process.end();
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout[0]).unwrap()
}

/// Ends a publisher. Returns how many events the bus took from it.
fn sent(publisher: Running, lane: &str) -> u64 {
    publisher.terminate();
    reported(publisher)["sent"][lane].as_u64().unwrap()
}

/// Waits until the engine has accepted and refused so many.
fn wait_for(room: &Room, accepted: u64, rejected: u64) {
    let started = Instant::now();
    loop {
        let stat: Value = serde_json::from_str(&room.stdout(&words(&["stat"]), 0)).unwrap();
        let sum = |name: &str| -> u64 {
            let counter = |lane| {
                stat["counters"][format!("ingest.{lane}.{name}")]
                    .as_u64()
                    .unwrap()
            };
            counter("market") + counter("payment")
        };
        if (sum("accepted"), sum("rejected")) == (accepted, rejected) {
            return;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "of {accepted} and {rejected}: {stat}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Decisions about payments of this test's own, and rejects by reason.
fn heard(listener: Running) -> (u64, Reasons) {
    listener.terminate();
    let (code, stdout, stderr) = listener.end();
    assert_eq!(code, Some(0), "{stderr}");
    let (mut decided, mut refused) = (0, Reasons::new());
    for line in stdout {
        let frame: Value = serde_json::from_str(&line).unwrap();
        if frame["kind"] == "reject" {
            count_reason(&mut refused, &frame);
        } else if frame["lane"] == "payments" && frame["input"]["publisher_id"] == PUBLISHER_ID {
            decided += 1;
        }
    }
    (decided, refused)
}

fn count_reason(reasons: &mut Reasons, refused: &Value) {
    let reason = refused["reason"].as_str().unwrap().to_owned();
    *reasons.entry(reason).or_default() += 1;
}

fn dead_letters(room: &Room) -> Reasons {
    let mut refused = Reasons::new();
    for line in room.stdout(&words(&["dead-letters"]), 0).lines() {
        count_reason(&mut refused, &serde_json::from_str(line).unwrap());
    }
    refused
}

#[test]
fn garbage_is_counted_and_answered_and_every_good_event_is_decided() {
    let room = room();
    let engine = room.spawn(&words(&["run"]));
    engine.wait_for("ready");
    let listener = room.spawn(&words(&["listen"]));
    listener.wait_for("listening to");
    let publish = |source, id| {
        let pace = ["--rate", "300"];
        room.spawn(&words(
            &[&["publish", source, "--publisher-id", id], &pace[..]].concat(),
        ))
    };
    let payments = publish("generated:payments", "1");
    let market = publish("generated:market", "2");
    let vandal = vandalise();
    let others = [sent(market, "market"), sent(payments, "payments")];

    let bad: u64 = vandal.refused.values().sum();
    let good = vandal.market.good + vandal.payments.good;
    wait_for(&room, good + others.iter().sum::<u64>(), bad);
    assert_eq!(dead_letters(&room), vandal.refused, "dead letters by reason");
    engine.terminate();
    let summary = reported(engine);
    let (decided, answered) = heard(listener);
    println!(
        "{good} good of ours, {others:?} of others, refused {:?}: {summary}",
        vandal.refused
    );

    let value = |lane: &str, name: &str| summary["accounts"][lane][name].as_u64().unwrap();
    assert_eq!(decided, vandal.payments.good, "each good payment is decided");
    assert_eq!(answered, vandal.refused, "answers by reason");
    assert_eq!(value("market", "rejected") + value("payments", "rejected"), bad);
    let own = [vandal.market.good, vandal.payments.good];
    for (lane, (own, others)) in ["market", "payments"]
        .into_iter()
        .zip(own.into_iter().zip(others))
    {
        assert_eq!(value(lane, "accepted"), own + others, "{lane}");
        assert_eq!(value(lane, "decided"), own + others, "{lane}");
        assert_eq!(
            (value(lane, "missing"), value(lane, "duplicates")),
            (0, 0),
            "{lane}"
        );
    }
    assert_eq!(
        vandal.refused.len(),
        6,
        "every reason was provoked: {:?}",
        vandal.refused
    );
}
