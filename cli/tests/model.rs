//! `pinion model explain` on the golden journal: as it was decided, under another model, of what is not there.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::golden::{on_journal, unpack};
use support::{Room, root};

#[track_caller]
fn explain(room: &Room, more: &[&str], code: i32) -> String {
    let words = on_journal("model explain", more);
    room.stdout(&words.iter().map(String::as_str).collect::<Vec<_>>(), code)
}

#[track_caller]
fn as_json(room: &Room, more: &[&str], code: i32) -> Value {
    let text = explain(room, &[more, &["--output", "json"]].concat(), code);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn scores_of_a_journal_are_found_again_with_their_cases_and_reasons() {
    let room = Room::new("explain");
    unpack(&room);
    for sequence in [1, 200, 1_200] {
        let explained = as_json(&room, &["--sequence", &sequence.to_string()], 0);
        assert_eq!(explained["is_as_recorded"], true, "{explained}");
        let id = explained["transaction_id"].as_str().unwrap();
        assert_eq!(as_json(&room, &["--event", id], 0), explained);
        let values = |list: &str, key: &str| -> Vec<Value> {
            let items = explained[list].as_array().unwrap().iter();
            items.map(|item| item[key].clone()).collect()
        };
        let similarities = values("cases", "similarity");
        let similarities: Vec<f64> = similarities.iter().map(|value| value.as_f64().unwrap()).collect();
        assert_eq!(similarities.len(), 8, "{explained}");
        assert!(similarities.is_sorted_by(|a, b| a >= b), "{explained}");
        let names: BTreeSet<String> = values("features", "name").iter().map(Value::to_string).collect();
        assert_eq!(names.len(), 15, "{explained}");
        check_effects_and_habits(&explained);
        let ranks: BTreeSet<u64> = values("features", "reason")
            .iter()
            .filter_map(Value::as_u64)
            .collect();
        let count = ranks.len() as u64;
        assert!(ranks.into_iter().eq(1..=count), "{explained}");
        assert!(count <= 8, "{explained}");
        let is_fraud_near = explained["fraud_share"].as_f64().unwrap() >= 0.01;
        assert!(count > 0 || !is_fraud_near, "{explained}");
    }
}

/// Effects are in order and shares; habits are there exactly if there are earlier transactions enough.
#[track_caller]
fn check_effects_and_habits(explained: &Value) {
    let features = explained["features"].as_array().unwrap();
    let effects: Vec<f64> = features
        .iter()
        .map(|item| item["effect"].as_f64().unwrap())
        .collect();
    assert!(effects.is_sorted_by(|a, b| a >= b), "{explained}");
    assert!(
        effects.iter().all(|effect| (-1.0..=1.0).contains(effect)),
        "{explained}"
    );
    let has_own = features.iter().any(|item| !item["own_deviations"].is_null());
    let is_known = explained["own_transactions"]
        .as_u64()
        .is_some_and(|count| count >= 5);
    assert_eq!(has_own, is_known, "{explained}");
}

#[test]
fn customer_with_habits_is_compared_with_them() {
    let room = Room::new("explain-own");
    unpack(&room);
    // The customer of the last payments has many before; the first payment's has none.
    let first = as_json(&room, &["--sequence", "1"], 0);
    assert!(first["own_transactions"].is_null(), "{first}");
    let transactions = (1_150..1_200).map(|sequence| {
        let words = on_journal(
            "model explain",
            &["--sequence", &sequence.to_string(), "--output", "json"],
        );
        let found = room
            .command(&words.iter().map(String::as_str).collect::<Vec<_>>())
            .output()
            .unwrap();
        serde_json::from_slice(&found.stdout).unwrap_or(Value::Null)
    });
    let known = transactions
        .into_iter()
        .find(|explained: &Value| explained["own_transactions"].as_u64().is_some());
    let known = known.expect("one of fifty late payments is of a customer with five before");
    check_effects_and_habits(&known);
}

#[test]
fn text_says_whether_it_is_the_recorded_score() {
    let room = Room::new("explain-text");
    unpack(&room);
    let text = explain(&room, &["--sequence", "200"], 0);
    assert!(
        text.contains("\nthe recorded decision has this score, to the last bit\n"),
        "{text}"
    );
    let other = format!("score.model={}", root().join("models/fraud-v1").display());
    let text = explain(&room, &["--sequence", "200", "--set", &other], 1);
    assert!(
        text.contains("\nthe recorded decision has score 0.002675 of the model with hash "),
        "{text}"
    );
}

#[test]
fn payments_that_are_not_there_are_exit_code_1() {
    let room = Room::new("explain-none");
    unpack(&room);
    assert_eq!(explain(&room, &["--event", "nobody"], 1), "");
    assert_eq!(explain(&room, &["--sequence", "1000000"], 1), "");
}

#[track_caller]
fn compare(room: &Room, more: &[&str], code: i32) -> String {
    let words = on_journal("model compare", more);
    room.stdout(&words.iter().map(String::as_str).collect::<Vec<_>>(), code)
}

#[test]
fn models_are_compared_over_a_journal_and_a_model_with_itself_is_the_same() {
    let room = Room::new("compare");
    unpack(&room);
    let own = root().join("replay/tests/golden/model").display().to_string();
    let other = root().join("models/fraud-v1").display().to_string();
    let more = ["--model", &own, "--model", &other, "--reference-days", "2"];
    let json = compare(&room, &[&more[..], &["--output", "json"]].concat(), 0);
    let found: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["decisions"], 1_448);
    assert_eq!(
        found["decisions_same"], 1_448,
        "the journal's own model and configuration"
    );
    let models = found["models"].as_array().unwrap();
    let figures = |place: usize| {
        (
            &models[place]["overall"],
            &models[place]["days"],
            &models[place]["curve"],
        )
    };
    assert_eq!(figures(0), figures(1));
    assert_ne!(figures(0), figures(2));
    assert_eq!(models[1]["shift"]["moved"], 0.0);
    assert_eq!(models[1]["overall"]["stability"], 0.0);
    assert!(models[2]["overall"]["stability"].as_f64().unwrap() > 0.25);

    let text = compare(&room, &[&more[..], &["--out", "report.html"]].concat(), 0);
    assert!(
        text.starts_with("281 of 1,448 transactions measured, 12 frauds"),
        "{text}"
    );
    let page = std::fs::read_to_string(room.path("report.html")).unwrap();
    for model in models {
        let shown = format!("{:.4}", model["overall"]["auc_roc"].as_f64().unwrap());
        assert!(text.contains(&shown) && page.contains(&shown), "{shown}");
    }
}

#[test]
fn what_cannot_be_compared_is_refused_with_its_place() {
    let room = Room::new("compare-refused");
    unpack(&room);
    let refused = |more: &[&str]| {
        let words = on_journal("model compare", more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = room.command(&words).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = refused(&["--model", "models/none"]);
    assert!(
        missing.contains(
            "error: --model models/none: model is \"models/none\", expected a folder with manifest.toml"
        ),
        "{missing}"
    );
    let nothing_noted = refused(&["--recorded"]);
    assert!(
        nothing_noted.contains("challengers: No such file"),
        "{nothing_noted}"
    );
    let other = root().join("models/fraud-v1").display().to_string();
    let other = format!("score.model={other}");
    assert!(compare(&room, &["--set", &other], 1).contains("\n0 of 1,448 recorded decisions"));
}

#[test]
fn broken_challenger_is_found_by_a_check_and_refused_by_a_start() {
    let room = Room::new("challengers");
    let set = "challengers.models=[{ name = \"mine\", model = \"models/none\" }]";
    let expected =
        "challengers.models: \"mine\": model is \"models/none\", expected a folder with manifest.toml";
    let words = ["check", "--config", "pinion.toml", "--set", set];
    let text = room.stdout(&words, 1);
    assert!(text.contains(expected), "{text}");
    let words = ["run", "--config", "pinion.toml", "--set", set];
    let output = room.command(&words).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains(expected), "{stderr}");
}
