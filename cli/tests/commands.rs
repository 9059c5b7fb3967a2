//! What people see: exit code, stdout and stderr of every command, held as snapshots.

mod support;

use std::io::Read as _;
use std::process::Stdio;

use insta::assert_snapshot;
use pinion_ingest::DeadLetters;
use pinion_ingest::config::DeadLettersConfig;

use support::{Room, root, without_numbers};

#[test]
fn help_of_every_command_has_examples() {
    let room = Room::new("help");
    let commands = [
        "",
        "demo",
        "run",
        "check",
        "publish",
        "listen",
        "generate",
        "generate payments",
        "generate market",
        "export",
        "export features",
        "model",
        "model explain",
        "model train",
        "model compare",
        "model swap",
        "model bench",
        "replay",
        "lab",
        "lab run",
        "stat",
        "dead-letters",
        "config",
        "config reference",
        "config show",
    ];
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let shown = room.shown(&words);
        assert!(shown.contains("Examples:"), "{command}");
        assert_snapshot!(format!("help {command}").trim().replace(' ', "_"), shown);
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let room = Room::new("usage");
    assert_snapshot!("usage_unknown_command", room.shown(&["pubilsh"]));
    assert_snapshot!("usage_no_source", room.shown(&["publish"]));
    assert_snapshot!(
        "usage_rate_of_nothing",
        room.shown(&["publish", "generated:market", "--rate", "0"])
    );
    assert_snapshot!(
        "usage_rate_and_speed",
        room.shown(&["publish", "x", "--rate", "1", "--speed", "1"])
    );
    assert_snapshot!(
        "usage_skip_needs_session",
        room.shown(&["publish", "x", "--skip", "3"])
    );
    assert_snapshot!("usage_format", room.shown(&["publish", "x", "--format", "csv"]));
    assert_snapshot!("usage_generated", room.shown(&["publish", "generated:weather"]));
    let mut command = room.command(&["config", "reference"]);
    let output = command.env("PINION_LOG", "loud").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("PINION_LOG is \"loud\", expected error, warn"));
}

#[test]
fn refused_configuration_is_exit_code_3_with_its_place() {
    let room = Room::new("refused");
    let cases = [
        ("misspelt_key", "[journal]\n\nsegment_lne = 65536\n"),
        ("wrong_type", "[journal]\nsegment_len = \"long\"\n"),
        ("out_of_range", "[score]\nbatch_max = 0\n"),
        ("broken_toml", "[score]\nbatch_max = = 1\n"),
        (
            "unknown_strategy",
            "[strategy.payments]\nmodule = \"score-band\"\n",
        ),
        (
            "strategy_parameter",
            "[strategy.payments.parameters]\nreview_at = 7.0\n",
        ),
        ("two_at_once", "[jornal]\nfsync = \"never\"\n[score]\nbatch = 4\n"),
    ];
    for (name, text) in cases {
        room.write("wrong.toml", text);
        let words: &[&str] = &["config", "show", "--config", "wrong.toml"];
        assert_snapshot!(format!("refused_{name}"), room.shown(words));
    }
    assert_snapshot!(
        "refused_missing_file",
        room.shown(&["check", "--config", "nowhere.toml"])
    );
    assert_snapshot!("refused_flag", room.shown(&["run", "--set", "journal.gate=soon"]));
    assert_snapshot!(
        "refused_flag_out_of_range",
        room.shown(&["run", "--set", "engine.node_id=0"])
    );
}

#[test]
fn configuration_is_shown_as_it_is_in_force() {
    let room = Room::new("show");
    let reference = room.stdout(&["config", "reference"], 0);
    assert_eq!(
        reference,
        std::fs::read_to_string(root().join("config/reference.toml")).unwrap()
    );
    let words = [
        "config",
        "show",
        "--output",
        "json",
        "--set",
        "journal.fsync=never",
    ];
    let mut command = room.command(&words);
    let output = command.env("PINION_SCORE__BATCH_MAX", "7").output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&shown["journal"]["fsync"], &shown["score"]["batch_max"]),
        (&"never".into(), &7.into())
    );
    let text = room.stdout(&["config", "show", "--set", "journal.fsync=never"], 0);
    room.write("again.toml", &text);
    assert_eq!(
        room.stdout(&["config", "show", "--config", "again.toml"], 0),
        text
    );
}

#[test]
fn reader_that_goes_away_is_no_error() {
    let room = Room::new("pipe");
    let mut command = room.command(&["config", "reference"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn golden_generated_days_are_the_same_everywhere() {
    let room = Room::new("generate");
    let words = [
        "generate",
        "payments",
        "--out",
        "p.csv",
        "--customers",
        "20",
        "--days",
        "3",
    ];
    assert_snapshot!("generate_payments", room.shown(&words));
    let words = [
        "generate", "market", "--out", "m.csv", "--events", "500", "--output", "json",
    ];
    assert_snapshot!("generate_market", room.shown(&words));
    let hash = |name: &str| blake3::hash(&std::fs::read(room.path(name)).unwrap()).to_hex();
    assert_snapshot!("generate_hashes", format!("{}\n{}", hash("p.csv"), hash("m.csv")));
    let words = ["generate", "market", "--out", "m.csv", "--instruments", "0"];
    assert_snapshot!("generate_nothing", room.shown(&words));
    let words = ["generate", "market", "--out", "no/such/folder.csv"];
    assert_snapshot!("generate_nowhere", room.shown(&words));
}

#[test]
fn features_are_exported_from_payments_only() {
    let room = Room::new("export");
    room.stdout(
        &[
            "generate",
            "payments",
            "--out",
            "p.csv",
            "--customers",
            "20",
            "--days",
            "3",
        ],
        0,
    );
    room.stdout(&["generate", "market", "--out", "m.csv", "--events", "500"], 0);
    let words = ["export", "features", "--in", "p.csv", "--out", "f.csv"];
    assert_snapshot!("export_features", room.shown(&words));
    let text = std::fs::read_to_string(room.path("f.csv")).unwrap();
    assert!(text.starts_with("# feature_set_hash "), "{text}");
    assert_snapshot!(
        "export_market",
        room.shown(&["export", "features", "--in", "m.csv", "--out", "f.csv"])
    );
}

#[test]
fn source_that_cannot_be_played_is_told_before_anything_is_sent() {
    let room = Room::new("source");
    room.write("broken.csv", "kind,event_time,transaction_id,customer,terminal,account,amount,currency\ntransaction,yesterday,t-1,c-1,p-1,,10.00,978\n");
    room.write("poem.txt", "the quick brown fox\n");
    let publish = |words: &[&str]| {
        room.shown(&[&["publish", "--config", "pinion.toml", "--session", "1"], words].concat())
    };
    assert_snapshot!("publish_missing_file", publish(&["nowhere.csv"]));
    assert_snapshot!("publish_unknown_format", publish(&["poem.txt"]));
    assert_snapshot!("publish_broken_row", publish(&["broken.csv"]));
    assert_snapshot!(
        "publish_broken_row_skipped",
        publish(&["broken.csv", "--skip-bad-rows", "--output", "json"])
    );
}

#[test]
fn absent_engine_is_told_in_one_sentence() {
    let room = Room::new("absent");
    let with = |words: &[&str]| {
        let shown = room.shown(&[words, &["--config", "pinion.toml"]].concat());
        let aeron_dir = shown
            .find("media driver lives in ")
            .map(|at| at + "media driver lives in ".len());
        aeron_dir.map_or(shown.clone(), |at| {
            let end = at + shown[at..].find(": is").unwrap();
            format!("{}[bus]{}", &shown[..at], &shown[end..])
        })
    };
    let words = [
        "publish",
        "generated:market",
        "--session",
        "7",
        "--patience",
        "0.3",
    ];
    assert_snapshot!("absent_publish", with(&words));
    assert_snapshot!(
        "absent_listen",
        with(&["listen", "--idle", "0.3", "--output", "json"])
    );
    assert_snapshot!("absent_stat", with(&["stat"]));
    assert_snapshot!("absent_dead_letters", with(&["dead-letters"]));
    assert_snapshot!("absent_replay", with(&["replay", "--verify"]));
}

#[test]
fn dead_letters_are_listed_or_said_to_be_none() {
    let room = Room::new("letters");
    std::fs::create_dir(room.path("data")).unwrap();
    let path = room.path("data/dead-letters");
    let mut letters = DeadLetters::open(&DeadLettersConfig {
        path: path.clone(),
        ..DeadLettersConfig::default()
    })
    .unwrap();
    assert_snapshot!(
        "dead_letters_none",
        room.shown(&["dead-letters", "--config", "pinion.toml"])
    );
    let reject = pinion_schemas::records::RejectRecord {
        ingest_ns: 1_700_000_000_000_000_000,
        input_publisher_id: 9,
        input_session: 8,
        input_sequence: 7,
        frame_len: 40,
        reason: 2,
        lane: 1,
        found: 3,
        expected: 60,
        ..Default::default()
    };
    letters.keep(&reject, &[0xab; 40]);
    drop(letters);
    assert_snapshot!(
        "dead_letters_text",
        room.shown(&["dead-letters", "--config", "pinion.toml"])
    );
    let words = ["dead-letters", "--config", "pinion.toml", "--output", "json"];
    assert_snapshot!("dead_letters_json", room.shown(&words));
    std::fs::write(&path, [7; 200]).unwrap();
    assert_snapshot!(
        "dead_letters_foreign",
        room.shown(&["dead-letters", "--config", "pinion.toml"])
    );
}

#[test]
fn check_tells_what_a_start_would_find() {
    let room = Room::new("check");
    let shown = room.shown(&["check", "--config", "pinion.toml"]);
    let is_of_the_machine = |line: &&str| !line.starts_with("configuration") && !line.starts_with("model");
    let lines = shown
        .lines()
        .filter(is_of_the_machine)
        .map(|line| match line.split_once("  ") {
            Some(("cores" | "memory" | "space", _)) => without_numbers(line),
            _ => line.to_owned(),
        });
    assert_snapshot!("check_well", lines.collect::<Vec<_>>().join("\n"));
    let words = [
        "check",
        "--config",
        "pinion.toml",
        "--output",
        "json",
        "--set",
        "score.model=models/none",
    ];
    let found: serde_json::Value = serde_json::from_str(&room.stdout(&words, 1)).unwrap();
    let findings = found["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    let finding = findings[0].as_str().unwrap();
    assert!(
        finding.starts_with("score: score.model is \"models/none\", expected a folder with manifest.toml"),
        "{finding}"
    );
    assert!(!room.path("data").exists(), "check leaves nothing behind");
}
