//! `pinion replay` on the golden journal: as it is, under another configuration, cut, damaged, not there.

mod support;

use serde_json::Value;
use support::golden::{on_journal, unpack};
use support::{Room, without_numbers};

#[track_caller]
fn check(room: &Room, more: &[&str], code: i32) -> String {
    let words = on_journal("replay", more);
    room.stdout(&words.iter().map(String::as_str).collect::<Vec<_>>(), code)
}

#[test]
fn identical_decisions_are_exit_code_0() {
    let room = Room::new("replay");
    unpack(&room);
    let text = without_numbers(&check(&room, &["--verify"], 0));
    assert!(
        text.ends_with("every decision is the recorded one, byte for byte\n"),
        "{text}"
    );
    let verdict: Value = serde_json::from_str(&check(&room, &["--verify", "--output", "json"], 0)).unwrap();
    assert_eq!(
        (&verdict["is_identical"], &verdict["torn"]),
        (&true.into(), &Value::Null)
    );
    let replayed: Value = serde_json::from_str(&check(&room, &["--output", "json"], 0)).unwrap();
    assert_eq!(replayed["accounts"]["decision_hash"], verdict["decision_hash"]);
}

#[test]
fn another_configuration_is_exit_code_1_and_said_first() {
    let room = Room::new("replay-other");
    unpack(&room);
    let text = check(&room, &["--verify", "--set", "book.orders_max=9999"], 1);
    let expected = "nothing was replayed: the journal was written under another configuration: segment 1 has";
    assert!(text.starts_with(expected) && text.lines().count() == 1, "{text}");
}

#[test]
fn journal_of_a_crash_is_identical_and_says_where_it_ends() {
    let room = Room::new("replay-crash");
    let first = unpack(&room);
    let mut bytes = std::fs::read(&first).unwrap();
    // Within an entry, wherever that begins.
    let used = bytes[100_000..].iter().position(|&byte| byte != 0).unwrap();
    bytes[100_000 + used + 40..].fill(0);
    std::fs::write(&first, bytes).unwrap();
    for segment in 2..=9 {
        let _ = std::fs::remove_file(room.path(&format!("journal/{segment:016}.segment")));
    }
    let text = check(&room, &["--verify"], 0);
    assert!(text.contains("the journal was not closed in order: "), "{text}");
    assert!(text.contains("torn tail: "), "{text}");
}

#[test]
fn damage_is_exit_code_4_and_no_journal_is_exit_code_2() {
    let room = Room::new("replay-damage");
    check(&room, &["--verify"], 2);
    let first = unpack(&room);
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[50_000] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    check(&room, &["--verify"], 4);
}
