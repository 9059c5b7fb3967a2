//! The engine is killed in mid-stream, again and again, while publishers and a listener stay.
//!
//! ```text
//!   publish payments ─┐                        ┌─▶ listen (one process, all lives)
//!   publish market  ──┴─▶ run ✗ run ✗ run … ───┘
//!                          └─▶ journal ─▶ read at the end: each sequence once, gaps = what was lost
//! ```

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinion_journal::Reader;
use pinion_schemas::wire::{Lane, peek_header};
use serde_json::Value;

use support::{Room, Running};

/// How often the engine is killed in mid-stream.
const KILLS: usize = 5;
/// A life that does not get on for so long has hung.
const PATIENCE: Duration = Duration::from_secs(60);

fn words<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--config", "pinion.toml", "--output", "json"]].concat()
}

/// Numbers that differ from run to run; the seed is printed.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = now.as_nanos() as u64 | 1;
        println!("seed {seed}");
        Self(seed)
    }

    /// From 0 to `bound` - 1.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What is seen of an engine from outside.
struct Life {
    accepted: BTreeMap<&'static str, u64>,
    lost: u64,
}

fn look(room: &Room) -> Life {
    let stat: Value = serde_json::from_str(&room.stdout(&words(&["stat"]), 0)).unwrap();
    let counter = |lane: &str, name: &str| {
        stat["counters"][format!("ingest.{lane}.{name}")]
            .as_u64()
            .unwrap()
    };
    let lanes = ["market", "payment"];
    Life {
        accepted: lanes.map(|lane| (lane, counter(lane, "accepted"))).into(),
        lost: lanes
            .map(|lane| counter(lane, "lost_unacknowledged"))
            .iter()
            .sum(),
    }
}

/// Waits until the engine has accepted `events` of each lane, then kills it. Returns what it had lost.
fn live_and_die(room: &Room, engine: Running, events: u64) -> u64 {
    let started = Instant::now();
    while look(room).accepted.values().any(|accepted| *accepted < events) {
        assert!(started.elapsed() < PATIENCE, "no {events} events were accepted");
        std::thread::sleep(Duration::from_millis(20));
    }
    engine.kill();
    look(room).lost
}

fn start(room: &Room) -> Running {
    room.spawn(&words(&["run"]))
}

/// A publisher that outlives engines.
fn publisher(room: &Room, source: &str, id: &str) -> Running {
    let pace = ["--rate", "1000", "--patience", "60"];
    let words = words(&[&["publish", source, "--publisher-id", id], &pace[..]].concat());
    room.spawn(&words)
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

/// Waits until the engine takes nothing more: the bus holds nothing then of what publishers sent.
fn wait_for_all(room: &Room) {
    let (started, mut before) = (Instant::now(), look(room).accepted);
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = look(room).accepted;
        if now == before {
            return;
        }
        before = now;
        assert!(started.elapsed() < PATIENCE, "the engine never comes to the end");
    }
}

/// What a journal holds of one lane.
#[derive(Default)]
struct Kept {
    inputs: u64,
    /// Frames left out in the publisher's count.
    gaps: u64,
    last_input: u64,
    last_sequence: u64,
    last_decided: u64,
}

/// Reads the journal; fails on a sequence that was taken or decided twice.
fn kept(journal: &Path) -> BTreeMap<u8, Kept> {
    let mut lanes: BTreeMap<u8, Kept> = BTreeMap::new();
    let mut reader = Reader::open(journal).unwrap();
    while let Some(entry) = reader.next_input().unwrap() {
        let (_, _, input) = peek_header(entry.payload).unwrap();
        let lane = lanes.entry(entry.header.lane).or_default();
        assert_eq!(
            entry.header.sequence,
            lane.last_sequence + 1,
            "sequences have no gaps"
        );
        assert!(input > lane.last_input, "no frame is taken twice");
        lane.gaps += input - lane.last_input - 1;
        (lane.last_input, lane.last_sequence) = (input, entry.header.sequence);
        lane.inputs += 1;
    }
    let mut reader = Reader::open(journal).unwrap();
    while let Some(entry) = reader.next_decision().unwrap() {
        let lane = lanes.get_mut(&entry.header.lane).unwrap();
        let sequence = entry.header.sequence;
        assert!(
            sequence > lane.last_decided,
            "sequence {sequence} is decided twice"
        );
        lane.last_decided = sequence;
    }
    lanes
}

/// Checks that no sequence is shown twice, and returns how many decisions of payments were shown.
fn check_heard(lines: &[String]) -> u64 {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut payments = 0;
    for line in lines {
        let frame: Value = serde_json::from_str(line).unwrap();
        assert_eq!(frame["kind"], "decision", "{line}");
        let lane = frame["lane"].as_str().unwrap().to_owned();
        let sequence = frame["sequence"].as_u64().unwrap();
        payments += u64::from(lane == "payments");
        let before = last.insert(lane, sequence).unwrap_or_default();
        assert!(sequence > before, "shown twice, or out of order: {line}");
    }
    payments
}

#[test]
fn an_engine_that_is_killed_loses_count_of_nothing_and_decides_nothing_twice() {
    let (room, mut dice, began) = (Room::new("crash"), Dice::new(), Instant::now());
    let mut engine = start(&room);
    engine.wait_for("ready");
    let listener = room.spawn(&words(&["listen"]));
    listener.wait_for("listening to");
    let payments = publisher(&room, "generated:payments", "11");
    let market = publisher(&room, "generated:market", "12");

    let mut lost = 0;
    for kill in 0..KILLS {
        lost += live_and_die(&room, engine, 500 + dice.below(2_500));
        // One more that does not live to see an event.
        let short = start(&room);
        std::thread::sleep(Duration::from_millis(dice.below(30)));
        short.kill();
        engine = start(&room);
        let recorded = engine.wait_for("recorded inputs");
        engine.wait_for("ready");
        let since = began.elapsed().as_secs_f64();
        println!("{since:.1} s, life {}: {}", kill + 2, recorded.trim());
    }
    let sent = [sent(market, "market"), sent(payments, "payments")];
    wait_for_all(&room);
    engine.terminate();
    let summary = reported(engine);
    listener.terminate();
    let (code, shown, stderr) = listener.end();
    assert_eq!(code, Some(0), "{stderr}");

    let lanes = kept(&room.path("data/journal"));
    let accounts = &summary["accounts"];
    let names = [(Lane::Market, "market"), (Lane::Payment, "payments")];
    for ((lane, name), sent) in names.into_iter().zip(sent) {
        let value = |field: &str| accounts[name][field].as_u64().unwrap();
        let kept = &lanes[&lane.0];
        lost += value("lost_unacknowledged");
        assert_eq!(kept.inputs + kept.gaps, sent, "{name}: {accounts}");
        let decided = value("recorded") + value("accepted");
        assert_eq!(kept.inputs, value("restored") + decided, "{name}");
        assert_eq!(value("decided"), decided, "{name}");
        assert_eq!(value("duplicates"), 0, "{name}");
    }
    let gaps: u64 = lanes.values().map(|lane| lane.gaps).sum();
    println!("{gaps} of {sent:?} events were lost unacknowledged in {KILLS} kills: {accounts}");
    assert_eq!(gaps, lost, "each engine says what was lost before it: {accounts}");
    let heard = check_heard(&shown);
    println!("{heard} payment decisions were shown, {stderr}");

    let verdict = room.stdout(&words(&["replay", "--verify"]), 0);
    let verdict: Value = serde_json::from_str(&verdict).unwrap();
    assert_eq!(verdict["is_identical"], true, "{verdict}");
    assert_eq!(verdict["decision_hash"], accounts["decision_hash"]);
}
