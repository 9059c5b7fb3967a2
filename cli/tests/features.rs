//! Features of a running engine: read, exchanged while events flow, and the same after a restart.

mod support;

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::Value;

use support::{Room, Running};

const CONFIG: [&str; 2] = ["--config", "pinion.toml"];

/// Payments of a made day and more, one a minute.
const PAYMENTS: u64 = 3_000;
/// Those that are sent before the set is exchanged.
const FIRST: u64 = 1_500;

const MINUTES_OF_A_DAY: u64 = 1_440;

/// How often it is looked where the replica stands, on a machine that is busy.
const LOOKS_MAX: u32 = 2_000;

/// The feature that is appended to the set in force.
const APPENDED: &str = "
[[feature]]
name = \"device_declined_10m\"
description = \"Declined attempts from the device\"
entity = \"device\"
aggregate = \"count\"
filter = { outcome = \"declined\" }
window = \"10m\"
";

/// One payment, worked out from its number alone. Its time is its number in minutes.
struct Payment {
    customer: u64,
    device: u64,
    is_declined: bool,
    amount_minor: u64,
}

fn payment(minute: u64) -> Payment {
    let mixed = (minute + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Payment {
        customer: mixed % 40,
        device: mixed / 64 % 3,
        is_declined: mixed / 1_024 % 4 < 3,
        amount_minor: 100 + mixed / 8_192 % 10_000,
    }
}

/// All of them as a file.
fn csv() -> String {
    let heading =
        "kind,event_time,transaction_id,customer,terminal,account,amount,currency,channel,device,outcome\n";
    let row = |minute: u64| {
        let Payment {
            customer,
            device,
            is_declined,
            amount_minor,
        } = payment(minute);
        let outcome = if is_declined { "declined" } else { "approved" };
        let (day, hour, rest) = (1 + minute / 1_440, minute / 60 % 24, minute % 60);
        format!(
            "transaction,2026-01-{day:02}T{hour:02}:{rest:02}:00Z,t-{minute},c-{customer},p-{},,{}.{:02},978,\
             card-not-present,d-{device},{outcome}\n",
            minute % 50,
            amount_minor / 100,
            amount_minor % 100
        )
    };
    heading.to_owned() + &(0..PAYMENTS).map(row).collect::<String>()
}

/// The payments of the last so many minutes, the last one included.
fn window(last_minute: u64, minutes: u64) -> impl Iterator<Item = Payment> {
    ((last_minute + 1).saturating_sub(minutes)..=last_minute).map(payment)
}

/// Number and mean amount of a customer's payments of a day, counted by hand.
fn day_of_customer(last_minute: u64, customer: u64) -> (f64, f64) {
    let own = window(last_minute, MINUTES_OF_A_DAY).filter(|payment| payment.customer == customer);
    let amounts: Vec<u64> = own.map(|payment| payment.amount_minor).collect();
    let sum: u64 = amounts.iter().sum();
    (amounts.len() as f64, sum as f64 / amounts.len() as f64)
}

/// Declined attempts of a device in ten minutes, counted by hand.
fn declined(last_minute: u64, device: u64) -> f64 {
    let own = window(last_minute, 10).filter(|payment| payment.device == device && payment.is_declined);
    own.count() as f64
}

fn with_config<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &CONFIG].concat()
}

fn json(room: &Room, words: &[&str]) -> Value {
    let words = [&with_config(words)[..], &["--output", "json"]].concat();
    serde_json::from_str(&room.stdout(&words, 0)).unwrap()
}

fn start_engine(room: &Room, words: &[&str]) -> Running {
    // Nobody listens to its decisions.
    let alone = ["run", "--set", "publish.when_unheard=drop"];
    let engine = room.spawn(&with_config(&[&alone, words].concat()));
    engine.wait_for("ready");
    engine
}

fn stop(engine: Running) {
    engine.terminate();
    let (code, _, stderr) = engine.end();
    assert_eq!(code, Some(0), "{stderr}");
}

/// Waits until the replica has taken this payment; gives the digest there.
fn digest_at(room: &Room, sequence: u64) -> String {
    for _ in 0..LOOKS_MAX {
        let digest = json(room, &["features", "digest"]);
        if digest["replica"]["sequence"].as_u64().unwrap() >= sequence {
            assert_eq!(digest["replica"]["sequence"], sequence);
            return digest["digest"].as_str().unwrap().to_owned();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the replica does not come to sequence {sequence}");
}

fn value(features: &Value, name: &str) -> f64 {
    let slots = features["slots"].as_array().unwrap();
    let slot = slots.iter().find(|slot| slot["name"] == name);
    slot.unwrap_or_else(|| panic!("{name} in {features}"))["value"]
        .as_f64()
        .unwrap()
}

/// What is told of customers is what was counted by hand.
fn check_customers(room: &Room, last_minute: u64) {
    for customer in [0, 7, 39] {
        let entity = format!("customer=c-{customer}");
        let features = json(room, &["features", "get", "--entity", &entity]);
        let (count, mean) = day_of_customer(last_minute, customer);
        assert_eq!(value(&features, "customer_count_1d"), count, "{entity}");
        let found = value(&features, "customer_mean_minor_1d");
        assert!(
            (found - mean).abs() <= mean * 1e-6,
            "{entity}: {found}, expected {mean}"
        );
    }
}

/// The same of devices, whose feature came with the new set.
fn check_devices(room: &Room, last_minute: u64) {
    for device in 0..3 {
        let entity = format!("device=d-{device}");
        let features = json(room, &["features", "get", "--entity", &entity]);
        let expected = declined(last_minute, device);
        assert_eq!(value(&features, "device_declined_10m"), expected, "{entity}");
    }
}

fn publish<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["publish", "payments.csv", "--session", "7"];
    with_config(&[&fixed[..], words].concat())
}

/// Exchanges the set while payments come in.
fn backfill_under_way(room: &Room) {
    let first = FIRST.to_string();
    let publisher = room.spawn(&publish(&["--skip", &first, "--rate", "500"]));
    let words = ["features", "backfill", "longer.toml", "--from", "2026-01-01"];
    let done = json(room, &words);
    let at = done["first_sequence"].as_u64().unwrap();
    assert!((FIRST + 1..=PAYMENTS + 1).contains(&at), "{done}");
    assert_eq!(
        (&done["set"]["name"], &done["former"]["name"]),
        (&"longer".into(), &"payments-v1".into())
    );
    let (code, _, stderr) = publisher.end();
    assert_eq!(code, Some(0), "{stderr}");
}

/// A set that the model cannot be served from, in words.
fn set_without_the_models_features_is_refused(room: &Room) {
    let text = format!("name = \"short\"\nversion = 1\n{APPENDED}");
    room.write("short.toml", &text);
    let shown = room.shown(&with_config(&["features", "backfill", "short.toml"]));
    assert_snapshot!("backfill_refused", shown);
}

#[test]
fn values_are_those_counted_by_hand_before_and_after_a_backfill_and_a_restart() {
    let room = Room::new("features");
    room.write("payments.csv", &csv());
    let shipped = support::root().join("features/payments-v1.toml");
    let shipped = std::fs::read_to_string(shipped).unwrap();
    let longer = shipped.replace("name = \"payments-v1\"", "name = \"longer\"") + APPENDED;
    room.write("longer.toml", &longer);

    let engine = start_engine(&room, &[]);
    let first = FIRST.to_string();
    room.stdout(&publish(&["--limit", &first]), 0);
    let digest = digest_at(&room, FIRST);
    check_customers(&room, FIRST - 1);
    let get = [
        "features",
        "get",
        "--entity",
        "customer=c-7",
        "--entity",
        "terminal=p-3",
    ];
    assert_snapshot!("get", room.shown(&with_config(&get)));
    assert_snapshot!(
        "get_unknown",
        room.shown(&with_config(&["features", "get", "--entity", "device=d-99"]))
    );
    set_without_the_models_features_is_refused(&room);
    assert_eq!(digest_at(&room, FIRST), digest, "asking changes nothing");

    backfill_under_way(&room);
    let digest = digest_at(&room, PAYMENTS);
    check_customers(&room, PAYMENTS - 1);
    check_devices(&room, PAYMENTS - 1);
    stop(engine);

    let engine = start_engine(
        &room,
        &[
            "--set",
            "features.set=longer.toml",
            "--set",
            "ingest.ahead_s_max=0",
        ],
    );
    assert_eq!(digest_at(&room, PAYMENTS), digest, "a restart changes nothing");
    check_devices(&room, PAYMENTS - 1);
    watched(&room);
    event_dated_ahead_leaves_the_rest_readable(&room);
    stop(engine);
}

/// One event of the year 2099 moves no window beyond all others.
fn event_dated_ahead_leaves_the_rest_readable(room: &Room) {
    let last = "2026-01-03T01:59:00Z";
    let row = csv()
        .lines()
        .nth(1)
        .unwrap()
        .replace(",c-", ",ahead-")
        .replace(",d-", ",ahead-");
    let row = row.replace("t-0", "t-ahead").replace("2026-01-01", "2099-01-01");
    let heading = csv().lines().next().unwrap().to_owned();
    room.write("ahead.csv", &format!("{heading}\n{row}\n"));
    let words = ["publish", "ahead.csv", "--publisher-id", "9", "--session", "8"];
    room.stdout(&with_config(&words), 0);
    digest_at(room, PAYMENTS + 1);
    let get = ["features", "get", "--entity", "customer=c-7"];
    let features = json(room, &get);
    let as_of = features["as_of_ns"].as_i64().unwrap();
    assert!(as_of < features["replica"]["event_ns"].as_i64().unwrap());
    let features = json(room, &[&get[..], &["--as-of", last]].concat());
    let (count, _) = day_of_customer(PAYMENTS - 1, 7);
    assert_eq!(value(&features, "customer_count_1d"), count);
}

/// Watching goes on until it is asked to end.
fn watched(room: &Room) {
    let words = ["features", "get", "--entity", "device=d-1", "--watch", "0.01"];
    let watch = room.spawn(&[&with_config(&words)[..], &["--output", "json"]].concat());
    assert_eq!(watch.next_line(), watch.next_line());
    watch.terminate();
    assert_eq!(watch.end().0, Some(0));
}

/// Another model: the shipped one under another version.
fn write_other_model(room: &Room) {
    std::fs::create_dir(room.path("other")).unwrap();
    let shipped = support::root().join("models/fraud-v1");
    for file in ["manifest.toml", "encoder.onnx", "bank.bin"] {
        std::fs::copy(shipped.join(file), room.path("other").join(file)).unwrap();
    }
    let text = std::fs::read_to_string(shipped.join("manifest.toml")).unwrap();
    room.write(
        "other/manifest.toml",
        &text.replacen("version = 1", "version = 2", 1),
    );
}

#[test]
fn model_is_swapped_while_payments_come_in_and_the_journal_is_verified() {
    let room = Room::new("model-swap");
    room.write("payments.csv", &csv());
    write_other_model(&room);
    let swap = with_config(&["model", "swap", "other"]);
    assert_snapshot!("swap_absent", room.shown(&swap));
    let engine = start_engine(&room, &[]);
    let first = FIRST.to_string();
    room.stdout(&publish(&["--limit", &first]), 0);
    digest_at(&room, FIRST);
    let publisher = room.spawn(&publish(&["--skip", &first, "--rate", "500"]));
    let done = json(&room, &["model", "swap", "other"]);
    let at = done["first_sequence"].as_u64().unwrap();
    assert!((FIRST + 1..=PAYMENTS + 1).contains(&at), "{done}");
    assert_eq!(
        (&done["model"]["version"], &done["former"]["version"]),
        (&2.into(), &1.into())
    );
    let (code, _, stderr) = publisher.end();
    assert_eq!(code, Some(0), "{stderr}");
    digest_at(&room, PAYMENTS);
    // What is refused is told as a start would tell it.
    let foreign = support::root().join("models/fraud-v2").display().to_string();
    assert_snapshot!(
        "swap_refused",
        room.shown(&with_config(&["model", "swap", &foreign]))
    );
    // The configured one, and back to what it was.
    let text = room.stdout(&with_config(&["model", "swap"]), 0);
    let expected = format!(
        "swapped at sequence 3,001: fraud-v1 version 1 (hash {}), before",
        done["former"]["hash"].as_str().unwrap()
    );
    assert!(
        text.starts_with("brought up from the journal to ") && text.contains(&expected),
        "{text}"
    );
    stop(engine);
    let verdict = json(&room, &["replay", "--verify"]);
    assert_eq!(verdict["is_identical"], true, "{verdict}");
    let explained = json(&room, &["model", "explain", "--sequence", &PAYMENTS.to_string()]);
    assert_eq!(explained["model"]["hash"], done["model"]["hash"], "{explained}");
}
