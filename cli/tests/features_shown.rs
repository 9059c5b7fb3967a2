//! What people see of feature sets: exit code, stdout and stderr of `pinion features`, held as snapshots.

mod support;

use insta::assert_snapshot;

use support::{Room, root};

/// The set that ships, by its place in the source.
fn shipped(name: &str) -> String {
    root().join("features").join(name).display().to_string()
}

const WRONG: &str = r#"name = "Payments v2"
version = 0

[[feature]]
name = "device_declined_10m"
entity = "devise"
aggregate = "count"
filter = { outcome = "refused" }
window = "10 minutes"

[[feature]]
name = "customer_fraud_7d"
entity = "customer"
source = "fraud"
aggregate = "max"
windw = "7d"

[[feature]]
name = "to_mean"
ratio = ["amount_minor", "customer_fraud_7d"]
"#;

const WELL: &str = r#"name = "attempts"
version = 1

[[feature]]
name = "device_declined_10m"
entity = "device"
aggregate = "count"
filter = { outcome = "declined" }
window = "10m"

[[feature]]
name = "pair_count"
entity = ["customer", "terminal"]
aggregate = "count"
window = { last = 200 }
"#;

#[test]
fn help_of_every_features_command_has_examples() {
    let room = Room::new("features-help");
    for command in [
        "", "check", "list", "explain", "schema", "get", "backfill", "digest", "compare",
    ] {
        let words: Vec<&str> = ["features"]
            .into_iter()
            .chain(command.split_whitespace())
            .chain(["--help"])
            .collect();
        let shown = room.shown(&words);
        assert!(shown.contains("Examples:"), "{command}");
        assert_snapshot!(format!("help {command}").trim().replace(' ', "_"), shown);
    }
}

#[test]
fn set_that_is_well_is_told_with_model_and_memory() {
    let room = Room::new("features-well");
    let check = |words: &[&str]| {
        let fixed = ["features", "check", "--config", "pinion.toml"];
        room.shown(&[&fixed[..], words].concat())
    };
    assert_snapshot!("check_configured", check(&[]));
    assert_snapshot!("check_longer", check(&[&shipped("payments-attempts.toml")]));
    room.write("mine.toml", WELL);
    assert_snapshot!("check_other", check(&["mine.toml"]));
    let little = ["mine.toml", "--set", "features.pairs.events_max=128"];
    assert_snapshot!("check_little_memory", check(&little));
    let json = [
        "mine.toml",
        "--output",
        "json",
        "--set",
        "score.model=models/none",
    ];
    let fixed = ["features", "check", "--config", "pinion.toml"];
    let report = room.stdout(&[&fixed[..], &json].concat(), 0);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["slots"], &report["model"]["is_accepting"]),
        (&2.into(), &false.into())
    );
    let parts = report["memory"].as_array().unwrap().iter();
    let sum: u64 = parts.map(|part| part["len"].as_u64().unwrap()).sum();
    assert_eq!(report["memory_len"].as_u64(), Some(sum));
}

#[test]
fn set_that_is_wrong_is_refused_with_every_place_and_a_suggestion() {
    let room = Room::new("features-wrong");
    room.write("wrong.toml", WRONG);
    assert_snapshot!("wrong_check", room.shown(&["features", "check", "wrong.toml"]));
    assert_snapshot!("wrong_missing", room.shown(&["features", "list", "nowhere.toml"]));
    room.write("broken.toml", "name = = 1\n");
    assert_snapshot!("wrong_broken", room.shown(&["features", "list", "broken.toml"]));
    room.write("empty.toml", "");
    assert_snapshot!("wrong_empty", room.shown(&["features", "list", "empty.toml"]));
}

#[test]
fn engine_refuses_a_wrong_set_as_it_refuses_a_wrong_configuration() {
    let room = Room::new("features-engine");
    room.write(
        "one.toml",
        "name = \"one\"\nversion = 1\n\n[[feature]]\nname = \"amount\"\ntransform = \"row\"\n",
    );
    room.write("set.toml", "[features]\nset = \"one.toml\"\n");
    for command in ["check", "run"] {
        let words = [command, "--config", "set.toml"];
        assert_snapshot!(format!("engine_{command}"), room.shown(&words));
    }
    room.write("absent.toml", "[features]\nset = \"/no/such/set.toml\"\n");
    assert_snapshot!("engine_absent", room.shown(&["check", "--config", "absent.toml"]));
}

#[test]
fn set_is_listed_and_its_features_are_explained() {
    let room = Room::new("features-words");
    room.write("mine.toml", WELL);
    let small = shipped("payments-v1.toml");
    assert_snapshot!("list", room.shown(&["features", "list", &small]));
    let words = ["features", "list", "mine.toml", "--output", "json"];
    assert_snapshot!("list_json", room.shown(&words));
    let explain = |words: &[&str]| room.shown(&[&["features", "explain"], words].concat());
    assert_snapshot!("explain_delayed", explain(&["terminal_fraud_share_30d", &small]));
    assert_snapshot!("explain_filtered", explain(&["device_declined_10m", "mine.toml"]));
    assert_snapshot!("explain_misspelt", explain(&["custmer_count_7d", &small]));
    assert_snapshot!("explain_unlike", explain(&["weather_of_today", "mine.toml"]));
    let schema = room.shown(&["features", "schema"]);
    let head: Vec<&str> = schema.lines().take(12).collect();
    assert_snapshot!("schema_head", head.join("\n"));
    let shipped = std::fs::read_to_string(shipped("feature-set.schema.json")).unwrap();
    assert_eq!(room.stdout(&["features", "schema"], 0), shipped);
}

#[test]
fn wrong_usage_of_features_is_exit_code_2() {
    let room = Room::new("features-usage");
    let get = |words: &[&str]| room.shown(&[&["features", "get"], words].concat());
    assert_snapshot!("usage_no_entity", get(&[]));
    assert_snapshot!("usage_kind", get(&["--entity", "issuer=7"]));
    assert_snapshot!("usage_name", get(&["--entity", "card"]));
    assert_snapshot!("usage_twice", get(&["--entity", "card=1", "--entity", "card=2"]));
    let words = ["features", "backfill", "--from", "yesterday"];
    assert_snapshot!("usage_day", room.shown(&words));
}

#[test]
fn engine_that_does_not_run_is_told_by_its_socket() {
    let room = Room::new("features-absent");
    let words = [
        "features",
        "get",
        "--entity",
        "customer=123",
        "--config",
        "pinion.toml",
    ];
    assert_snapshot!("absent_get", room.shown(&words));
    let words = ["features", "digest", "--dir", "elsewhere"];
    assert_snapshot!("absent_digest", room.shown(&words));
    assert_snapshot!(
        "absent_backfill",
        room.shown(&["features", "backfill", "--config", "pinion.toml"])
    );
    room.write("wrong.toml", WRONG);
    let words = ["features", "backfill", "wrong.toml", "--config", "pinion.toml"];
    assert_eq!(room.command(&words).output().unwrap().status.code(), Some(3));
}
