//! Everything in processes of its own over Aeron: an engine, publishers, a listener.

mod support;

use std::collections::BTreeMap;

use serde_json::Value;

use support::{Room, Running};

const CONFIG: [&str; 2] = ["--config", "pinion.toml"];

fn with_config<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &CONFIG, &["--output", "json"]].concat()
}

fn start_engine(room: &Room) -> Running {
    let engine = room.spawn(&with_config(&["run"]));
    engine.wait_for("ready");
    engine
}

fn start_listener(room: &Room) -> Running {
    let listener = room.spawn(&with_config(&["listen", "--idle", "6"]));
    listener.wait_for("listening to");
    listener
}

fn report(publisher: Running) -> Value {
    let (code, stdout, stderr) = publisher.end();
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout[0]).unwrap()
}

/// What `publish` says that it sent: market, payments.
fn sent(publisher: Running) -> (u64, u64) {
    let report = report(publisher);
    assert_eq!(report["is_complete"], true);
    (
        report["sent"]["market"].as_u64().unwrap(),
        report["sent"]["payments"].as_u64().unwrap(),
    )
}

fn stopped(engine: Running) -> Value {
    engine.terminate();
    let (code, stdout, stderr) = engine.end();
    assert_eq!(code, Some(0), "{stderr}");
    let summary: Value = serde_json::from_str(&stdout[0]).unwrap();
    assert_eq!(summary["accounts"]["inside"], 0);
    let journal = &summary["journal"];
    assert_eq!(journal["written_position"], journal["durable_position"]);
    summary["accounts"].clone()
}

/// What a listener heard: decisions by lane, and rejects.
struct Heard {
    sequences: BTreeMap<String, Vec<u64>>,
    rejects: Vec<Value>,
}

fn heard(listener: Running) -> Heard {
    let (code, stdout, stderr) = listener.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("0 lost on the way, 0 unreadable"), "{stderr}");
    let mut heard = Heard {
        sequences: BTreeMap::new(),
        rejects: Vec::new(),
    };
    for line in stdout {
        let frame: Value = serde_json::from_str(&line).unwrap();
        if frame["kind"] == "reject" {
            heard.rejects.push(frame);
            continue;
        }
        let stamps = ["event_ns", "ingest_ns", "scored_ns", "decided_ns", "published_ns"];
        let stamps = stamps.map(|name| frame[name].as_i64().unwrap());
        assert!(stamps.is_sorted(), "{line}");
        let lane = frame["lane"].as_str().unwrap().to_owned();
        heard
            .sequences
            .entry(lane)
            .or_default()
            .push(frame["sequence"].as_u64().unwrap());
    }
    heard
}

fn count(accounts: &Value, lane: &str, name: &str) -> u64 {
    accounts[lane][name]
        .as_u64()
        .unwrap_or_else(|| panic!("{lane} {name} in {accounts}"))
}

/// Sent is accepted or rejected, accepted is decided, and a decision with an action is heard, once, in order.
#[track_caller]
fn check_lane(accounts: &Value, heard: &Heard, lane: &str, sent: u64, rejected: u64) {
    let value = |name: &str| count(accounts, lane, name);
    assert_eq!(value("accepted") + value("rejected"), sent, "{lane}: {accounts}");
    assert_eq!(value("rejected"), rejected, "{lane}");
    assert_eq!(
        (value("duplicates"), value("missing"), value("unheard")),
        (0, 0, 0),
        "{lane}"
    );
    assert_eq!(value("decided"), value("accepted"), "{lane}");
    let unanswered = accounts[lane]["actions"]["none"].as_u64().unwrap();
    assert_eq!(value("published"), value("decided") - unanswered, "{lane}");
    let sequences = &heard.sequences[lane];
    assert_eq!(sequences.len() as u64, value("published"), "{lane}");
    assert!(sequences.is_sorted_by(|a, b| a < b), "{lane}");
}

/// What a stopped engine leaves behind says the same as it did.
#[track_caller]
fn check_stopped(room: &Room, accounts: &Value) {
    let stat: Value = serde_json::from_str(&room.stdout(&with_config(&["stat"]), 0)).unwrap();
    assert_eq!(stat["state"], "stopped");
    let verdict = room.stdout(&with_config(&["replay", "--verify"]), 0);
    let verdict: Value = serde_json::from_str(&verdict).unwrap();
    assert_eq!(
        (&verdict["is_identical"], &verdict["is_closed"]),
        (&true.into(), &true.into())
    );
    assert_eq!(verdict["decision_hash"], accounts["decision_hash"]);
}

#[test]
fn every_event_of_every_process_is_accounted_for() {
    let room = Room::new("account");
    let engine = start_engine(&room);
    let listener = start_listener(&room);
    let payments = [
        "publish",
        "generated:payments",
        "--limit",
        "3000",
        "--publisher-id",
        "1",
    ];
    let market = [
        "publish",
        "generated:market",
        "--limit",
        "6000",
        "--publisher-id",
        "2",
    ];
    // Payments on the market's stream: each is refused.
    let astray = [
        "publish",
        "generated:payments",
        "--limit",
        "5",
        "--publisher-id",
        "3",
        "--set",
        "bus.payments.stream_id=1001",
    ];
    let publishers = [&payments[..], &market, &astray].map(|words| room.spawn(&with_config(words)));
    let [payments, market, astray] = publishers.map(sent);
    assert_eq!((payments, market, astray), ((0, 3_000), (6_000, 0), (0, 5)));
    let heard = heard(listener);

    let stat: Value = serde_json::from_str(&room.stdout(&with_config(&["stat"]), 0)).unwrap();
    assert_eq!(
        (&stat["state"], &stat["counters"]["ingest.market.accepted"]),
        (&"running".into(), &6_000.into())
    );
    let letters = room.stdout(&with_config(&["dead-letters"]), 0);
    assert_eq!(
        letters.matches("\"reason\":\"wrong-lane\"").count(),
        5,
        "{letters}"
    );

    let accounts = stopped(engine);
    check_lane(&accounts, &heard, "market", 6_005, 5);
    check_lane(&accounts, &heard, "payments", 3_000, 0);
    assert_eq!(heard.rejects.len(), 5);
    for reject in &heard.rejects {
        assert_eq!(
            (&reject["reason"], &reject["input"]["publisher_id"]),
            (&"wrong-lane".into(), &3.into())
        );
    }
    check_stopped(&room, &accounts);
}

#[test]
fn interrupted_publisher_says_where_to_go_on() {
    let room = Room::new("interrupt");
    let engine = start_engine(&room);
    let listener = start_listener(&room);
    let publish = |words: &[&str]| {
        let fixed = ["publish", "generated:payments", "--session", "5"];
        room.spawn(&with_config(&[&fixed[..], words].concat()))
    };
    let publisher = publish(&["--rate", "200"]);
    let accepted = || {
        let stat: Value = serde_json::from_str(&room.stdout(&with_config(&["stat"]), 0)).unwrap();
        stat["counters"]["ingest.payment.accepted"].as_u64().unwrap()
    };
    while accepted() < 50 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    publisher.terminate();
    let first = report(publisher);
    assert_eq!(first["is_complete"], false);
    let done = first["sent"]["payments"].as_u64().unwrap();
    let (skip, limit) = (done.to_string(), (done + 25).to_string());
    assert_eq!(sent(publish(&["--skip", &skip, "--limit", &limit])), (0, 25));
    heard(listener);
    let accounts = stopped(engine);
    let value = |name: &str| count(&accounts, "payments", name);
    assert_eq!(
        (value("accepted"), value("duplicates"), value("missing")),
        (done + 25, 0, 0)
    );
}

#[test]
fn killed_engine_loses_only_what_it_counts_as_lost_and_decides_nothing_twice() {
    let room = Room::new("killed");
    let engine = start_engine(&room);
    let listener = start_listener(&room);
    let words = [
        "publish",
        "generated:payments",
        "--session",
        "9",
        "--limit",
        "3000",
        "--rate",
        "500",
    ];
    let publisher = room.spawn(&with_config(&words));
    std::thread::sleep(std::time::Duration::from_secs(2));
    engine.kill();
    let engine = start_engine(&room);
    assert_eq!(sent(publisher), (0, 3_000));
    let heard = heard(listener);
    assert!(
        heard.sequences["payments"].is_sorted_by(|a, b| a < b),
        "shown once, in order"
    );
    let accounts = stopped(engine);
    let value = |name: &str| count(&accounts, "payments", name);
    let before = value("restored") + value("recorded");
    assert!(before > 0, "{accounts}");
    let known = before + value("accepted");
    assert_eq!(known + value("lost_unacknowledged"), 3_000, "{accounts}");
    assert_eq!(value("missing"), 0, "{accounts}");
    assert_eq!(value("decided") + value("restored"), known, "{accounts}");
    room.stdout(&with_config(&["replay", "--verify"]), 0);
}

#[test]
fn a_session_goes_on_after_the_engine_was_restarted() {
    let room = Room::new("resume");
    let publish = |words: &[&str]| {
        let fixed = ["publish", "generated:payments", "--session", "77"];
        sent(room.spawn(&with_config(&[&fixed[..], words].concat())))
    };
    let engine = start_engine(&room);
    let listener = start_listener(&room);
    assert_eq!(publish(&["--limit", "1000"]), (0, 1_000));
    let first = heard(listener);
    let accounts = stopped(engine);
    assert_eq!(count(&accounts, "payments", "decided"), 1_000);

    let engine = start_engine(&room);
    let listener = start_listener(&room);
    assert_eq!(publish(&["--limit", "1100"]), (0, 1_100));
    assert_eq!(publish(&["--skip", "1100", "--limit", "1150"]), (0, 50));
    let second = heard(listener);
    let accounts = stopped(engine);
    let value = |name: &str| count(&accounts, "payments", name);
    assert_eq!(
        (value("restored"), value("recorded"), value("duplicates")),
        (1_000, 0, 1_000),
        "a checkpoint has them"
    );
    assert_eq!((value("accepted"), value("decided")), (150, 150));
    assert_eq!((value("missing"), value("lost_unacknowledged")), (0, 0));
    let (first, second) = (&first.sequences["payments"], &second.sequences["payments"]);
    assert!(
        first.last().unwrap() <= &1_000 && second[0] > 1_000,
        "nothing is decided twice"
    );
    damaged_journal_is_exit_code_4(&room);
}

/// A byte in the middle of what was durable.
fn damaged_journal_is_exit_code_4(room: &Room) {
    let journal = room.path("data/journal");
    let mut segments: Vec<_> = std::fs::read_dir(&journal)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    let segment = segments
        .iter()
        .find(|path| std::fs::metadata(path).unwrap().len() > 100_000)
        .unwrap();
    let mut bytes = std::fs::read(segment).unwrap();
    bytes[50_000] ^= 0x55;
    std::fs::write(segment, bytes).unwrap();
    for command in ["run", "replay"] {
        let output = room.command(&with_config(&[command])).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{command}: {stderr}");
        assert!(stderr.contains("is damaged at bytes"), "{stderr}");
    }
}
