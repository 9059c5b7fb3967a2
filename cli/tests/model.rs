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
        for (deviations, is_reason) in values("features", "deviations")
            .iter()
            .zip(values("features", "is_reason"))
        {
            assert_eq!(
                deviations.as_f64().unwrap().abs() >= 2.0,
                is_reason.as_bool().unwrap(),
                "{explained}"
            );
        }
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
