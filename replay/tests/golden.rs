//! The wall: one committed journal, one committed model, one committed file of decisions, the same bits for ever.
//!
//! The journal was written by an engine over Aeron, fed with a made day. When something that decides is changed
//! on purpose (a feature, a key of the configuration, a strategy), `PINION_BLESS=1 cargo test -p pinion-replay
//! --test golden` decides the day again and writes journal and decisions anew; the difference belongs into the
//! review.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::sync::Once;

use pinion_replay::verify::verify;
use pinion_schemas::hash::DecisionHash;
use pinion_schemas::records::DecisionRecord;
use pinion_schemas::wire::{Action, Lane};
use support::{Golden, config, day, decisions, golden, live, of_lane, pack};

#[test]
fn golden_journal_is_decided_as_recorded_and_as_committed() {
    let Golden { config, journal, .. } = &committed();
    let verdict = verify(config, journal, |_| ()).unwrap();
    println!(
        "{} inputs at {:.0} per second",
        verdict.inputs,
        verdict.events_per_second()
    );
    assert_eq!(
        verdict.first_difference,
        None,
        "{}",
        verdict.first_difference.as_ref().unwrap()
    );
    assert_eq!(verdict.inputs, day().accepted);
    assert_eq!(
        (verdict.different(), verdict.undecided(), verdict.is_closed),
        (0, 0, true)
    );

    let (records, replayed) = decisions(config, journal);
    assert_eq!(replayed.accounts.decision_hash(), verdict.decision_hash());
    assert_eq!(records.len() as u64, verdict.compared());
    let committed = fs::read_to_string(golden().join("decisions.txt")).unwrap();
    for (found, expected) in lines(&records, verdict.decision_hash())
        .lines()
        .zip(committed.lines())
    {
        assert_eq!(found, expected);
    }
    assert_eq!(lines(&records, verdict.decision_hash()), committed);
}

#[test]
fn golden_day_has_every_action_and_kind_of_event() {
    let Golden { config, journal, .. } = &committed();
    let (_, replayed) = decisions(config, journal);
    let (market, payments) = (&replayed.accounts.market, &replayed.accounts.payments);
    for action in ["approve", "review", "decline"] {
        assert!(payments.action(action) > 10, "{action}: {:?}", payments.actions);
    }
    for action in ["buy", "sell", "none"] {
        assert!(market.action(action) > 2, "{action}: {:?}", market.actions);
    }
    assert!(
        payments.action("none") > 10,
        "labels and account updates: {:?}",
        payments.actions
    );
}

/// What is committed, written anew before if that was asked for.
fn committed() -> Golden {
    static BLESS: Once = Once::new();
    BLESS.call_once(|| {
        if std::env::var_os("PINION_BLESS").is_some() {
            bless();
        }
    });
    Golden::new()
}

fn bless() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.bus.node = format!("bless-{}", std::process::id());
    config.bus.term_length = 1 << 20;
    config.cores.cores_max = 1;
    let summary = live::decide(&config, &day());
    pack(&config.journal().dir);
    let (records, replayed) = decisions(&config, &config.journal().dir);
    assert_eq!(
        replayed.accounts.decision_hash(),
        summary.accounts.decision_hash()
    );
    fs::write(
        golden().join("decisions.txt"),
        lines(&records, summary.accounts.decision_hash()),
    )
    .unwrap();
}

/// One line for each decision: what a person wants to see of it, and a hash over all bytes of its core.
fn lines(records: &[DecisionRecord], decision_hash: u64) -> String {
    let mut text = format!("decision hash {decision_hash:016x}, over those without an action too\n");
    for lane in [Lane::Market, Lane::Payment] {
        for record in of_lane(records, lane) {
            let mut core = DecisionHash::new();
            core.add(record.core());
            let action = Action(record.action).variant_name().unwrap();
            let (lane, core) = (lane.variant_name().unwrap(), core.value());
            let (score, value) = (record.score, record.value);
            writeln!(
                text,
                "{lane} {} {action} score {score} value {value} core {core:016x}",
                record.sequence
            )
            .unwrap();
        }
    }
    text
}
