//! Real files through four processes: an engine, a publisher of payments, one of market events, a listener.
//! A prefix of each file; with PINION_FULL set the whole of it. Skipped with a note where the files are absent.

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use support::{Room, Running, root};

/// What the engine may take for what the bus holds still.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events of each file, unless PINION_FULL is set.
const EVENTS: &str = "60000";

fn words<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &["--config", "pinion.toml", "--output", "json"]].concat()
}

/// The file, or `None` and a note.
fn shared(name: &str) -> Option<PathBuf> {
    let path = root().join("../shared/data").join(name);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

fn publish(room: &Room, source: &str, publisher_id: &str) -> Running {
    let mut arguments = vec!["publish", source, "--publisher-id", publisher_id];
    if std::env::var_os("PINION_FULL").is_none() {
        arguments.extend(["--limit", EVENTS]);
    }
    room.spawn(&words(&arguments))
}

fn reported(process: Running) -> Value {
    let (code, stdout, stderr) = process.end();
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout[0]).unwrap()
}

/// Waits until the engine has published an answer to everything that it was sent.
fn wait_for_all(room: &Room, sent: &[(&str, u64); 2]) {
    let (started, all) = (Instant::now(), sent.map(|(_, sent)| sent));
    loop {
        let stat: Value = serde_json::from_str(&room.stdout(&words(&["stat"]), 0)).unwrap();
        let decided = |lane| stat["counters"][format!("publish.{lane}.decided")].as_u64();
        let decided = ["market", "payment"].map(decided).map(Option::unwrap_or_default);
        if decided == all {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{decided:?} decided of {all:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Decisions of each lane that were shown, in the order of their sequences, their times in order.
fn heard(listener: Running) -> BTreeMap<String, u64> {
    let (code, stdout, stderr) = listener.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("0 lost on the way, 0 unreadable"), "{stderr}");
    let (mut counts, mut last) = (BTreeMap::new(), BTreeMap::new());
    for line in stdout {
        let frame: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(frame["kind"], "decision", "{line}");
        let stamps = ["event_ns", "ingest_ns", "scored_ns", "decided_ns", "published_ns"];
        let stamps = stamps.map(|name| frame[name].as_i64().unwrap());
        assert!(stamps.is_sorted(), "{line}");
        let lane = frame["lane"].as_str().unwrap().to_owned();
        let sequence = frame["sequence"].as_u64().unwrap();
        let before = last.insert(lane.clone(), sequence).unwrap_or_default();
        assert!(sequence > before, "{line}");
        *counts.entry(lane).or_default() += 1;
    }
    counts
}

#[test]
fn every_event_of_real_files_is_accounted_for() {
    let (Some(payments), Some(market)) = (
        shared("payments/handbook_raw.parquet"),
        shared("market/binance_usdm_btcusdt_20240808.gz"),
    ) else {
        return;
    };
    let room = Room::new("real");
    let engine = room.spawn(&words(&["run"]));
    engine.wait_for("ready");
    let listener = room.spawn(&words(&["listen"]));
    listener.wait_for("listening to");
    let payments = publish(&room, payments.to_str().unwrap(), "1");
    let market = publish(&room, market.to_str().unwrap(), "2");
    let sent = [
        ("market", reported(market)["sent"]["market"].as_u64().unwrap()),
        (
            "payments",
            reported(payments)["sent"]["payments"].as_u64().unwrap(),
        ),
    ];
    wait_for_all(&room, &sent);
    engine.terminate();
    let summary = reported(engine);
    listener.terminate();
    let heard = heard(listener);
    println!("sent {sent:?}, heard {heard:?}: {summary}");

    for (lane, sent) in sent {
        let account = &summary["accounts"][lane];
        let value = |name: &str| account[name].as_u64().unwrap();
        assert_eq!(value("accepted") + value("rejected"), sent, "{lane}: {account}");
        assert_eq!(value("decided"), value("accepted"), "{lane}: {account}");
        let irregular = [
            "rejected",
            "duplicates",
            "missing",
            "lost_unacknowledged",
            "unheard",
        ];
        assert_eq!(irregular.map(value), [0; 5], "{lane}: {account}");
        let unanswered = account["actions"]["none"].as_u64().unwrap();
        assert_eq!(value("published"), value("decided") - unanswered, "{lane}");
        assert_eq!(
            heard.get(lane).copied().unwrap_or_default(),
            value("published"),
            "{lane}"
        );
    }
    assert!(heard["payments"] > 0, "payments are answered");
    let verdict = room.stdout(&words(&["replay", "--verify"]), 0);
    let verdict: Value = serde_json::from_str(&verdict).unwrap();
    assert_eq!(verdict["is_identical"], true, "{verdict}");
    assert_eq!(verdict["decision_hash"], summary["accounts"]["decision_hash"]);
}
