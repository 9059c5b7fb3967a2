//! What verification says of journals that are whole, cut, tampered with, damaged, or somebody else's.

mod support;

use std::fs;

use pinion_journal::Tail;
use pinion_replay::difference::Difference;
use pinion_replay::session::ReplayError;
use pinion_replay::verify::{Verdict, verify};
use pinion_schemas::records::{DecisionRecord, entry_kind};
use pinion_schemas::wire::{Action, Lane};
use proptest::prelude::*;
use support::cut::{Place, cut, damage, entries, tamper};
use support::{Golden, decisions, of_lane};
use zerocopy::{FromBytes as _, IntoBytes as _};

fn verdict(golden: &Golden) -> Verdict {
    verify(&golden.config, &golden.journal, |_| ()).unwrap()
}

/// The entry of kind and lane that stands at a share of the journal.
fn entry(golden: &Golden, kind: u8, lane: Lane, share: f64) -> Place {
    let is_it = |place: &Place| place.header.kind == kind && place.header.lane == lane.0;
    let places: Vec<_> = entries(&golden.journal).into_iter().filter(is_it).collect();
    places[(places.len() as f64 * share) as usize].clone()
}

fn tamper_with_decision(golden: &Golden, place: &Place, change: impl FnOnce(&mut DecisionRecord)) {
    tamper(&golden.journal, place, |_, payload| {
        let mut record = DecisionRecord::read_from_bytes(payload).unwrap();
        change(&mut record);
        payload.copy_from_slice(record.as_bytes());
    });
}

#[test]
fn changed_decision_is_shown_field_by_field_though_its_checksum_is_right() {
    let golden = Golden::new();
    let place = entry(&golden, entry_kind::DECISION, Lane::Payment, 0.5);
    let mut was = DecisionRecord::default();
    tamper_with_decision(&golden, &place, |record| {
        was = *record;
        record.action = Action::Decline.0;
        record.score += 0.25;
    });
    let verdict = verdict(&golden);
    assert_eq!((verdict.different(), verdict.market.different), (1, 0));
    let Some(Difference::Fields { which, fields }) = verdict.first_difference else {
        panic!("{verdict:?}")
    };
    assert_eq!((which.lane, which.sequence), ("payments", place.header.sequence));
    assert_eq!(
        (which.input_index, which.subject),
        (was.input_index, was.subject.to_string())
    );
    let names: Vec<_> = fields.iter().map(|field| field.field).collect();
    assert_eq!(names, ["score", "action"]);
    assert_eq!(fields[1].recorded, "decline");
    assert_eq!(
        fields[1].replayed,
        Action(was.action).variant_name().unwrap().to_lowercase()
    );
}

#[test]
fn stamps_of_the_engines_clock_are_not_compared() {
    let golden = Golden::new();
    let place = entry(&golden, entry_kind::DECISION, Lane::Market, 0.5);
    tamper_with_decision(&golden, &place, |record| record.decided_ns += 1);
    assert_eq!(verdict(&golden).first_difference, None);
}

#[test]
fn difference_of_the_lowest_input_index_comes_first_whichever_its_lane() {
    for (earlier, later) in [(Lane::Market, Lane::Payment), (Lane::Payment, Lane::Market)] {
        let golden = Golden::new();
        let first = entry(&golden, entry_kind::DECISION, earlier, 0.3);
        for place in [&first, &entry(&golden, entry_kind::DECISION, later, 0.9)] {
            tamper_with_decision(&golden, place, |record| record.quantity += 1);
        }
        let verdict = verdict(&golden);
        let Some(Difference::Fields { which, .. }) = &verdict.first_difference else {
            panic!("{verdict:?}")
        };
        assert_eq!(
            (which.input_index, verdict.different()),
            (first.header.input_index, 2)
        );
    }
}

#[test]
fn decision_that_was_taken_out_is_missing() {
    let golden = Golden::new();
    let place = entry(&golden, entry_kind::DECISION, Lane::Payment, 0.5);
    tamper(&golden.journal, &place, |header, _| {
        header.kind = entry_kind::MARK
    });
    let verdict = verdict(&golden);
    let Some(Difference::Missing { which, .. }) = &verdict.first_difference else {
        panic!("{verdict:?}")
    };
    assert_eq!((which.sequence, verdict.different()), (place.header.sequence, 1));
}

#[test]
fn decision_without_its_input_is_too_much() {
    let golden = Golden::new();
    let decision = entry(&golden, entry_kind::DECISION, Lane::Payment, 0.5).header;
    let is_its_input = |place: &Place| {
        place.header.kind == entry_kind::INPUT && place.header.input_index == decision.input_index
    };
    let place = entries(&golden.journal).into_iter().find(is_its_input).unwrap();
    tamper(&golden.journal, &place, |header, _| {
        header.kind = entry_kind::MARK
    });
    let verdict = verdict(&golden);
    let Some(Difference::Extra { which, .. }) = &verdict.first_difference else {
        panic!("{verdict:?}")
    };
    assert_eq!((which.lane, which.sequence), ("payments", decision.sequence));
}

#[test]
fn last_decisions_missing_after_an_orderly_close_are_a_difference() {
    let golden = Golden::new();
    let place = entry(&golden, entry_kind::DECISION, Lane::Payment, 0.9999);
    tamper(&golden.journal, &place, |header, _| {
        header.kind = entry_kind::MARK
    });
    let verdict = verdict(&golden);
    assert!(verdict.is_closed);
    let Some(Difference::Missing { which, .. }) = &verdict.first_difference else {
        panic!("{verdict:?}")
    };
    assert_eq!((which.sequence, verdict.undecided()), (place.header.sequence, 0));
}

#[test]
fn other_configuration_is_told_before_anything_is_run() {
    let mut golden = Golden::new();
    let recorded = format!("{:016x}", golden.config.decision_hash());
    golden.config.book.orders_max += 1;
    let verdict = verdict(&golden);
    let difference = verdict.first_difference.unwrap();
    assert!(
        difference
            .to_string()
            .starts_with("the journal was written under another configuration: segment 1 has"),
        "{difference}"
    );
    let in_force = format!("{:016x}", golden.config.decision_hash());
    assert_eq!(
        difference,
        Difference::Configuration {
            recorded,
            in_force,
            segment_id: 1
        }
    );
    assert_eq!(verdict.inputs, 0);
}

#[test]
fn what_only_concerns_a_live_engine_does_not_stop_a_replay() {
    let mut golden = Golden::new();
    golden.config.publish.when_unheard = pinion_publish::WhenUnheard::Wait;
    golden.config.engine.node_id = 77;
    assert_eq!(verdict(&golden).first_difference, None);
}

#[test]
fn damage_is_corruption_and_names_the_bytes() {
    let golden = Golden::new();
    damage(&entry(&golden, entry_kind::INPUT, Lane::Market, 0.2));
    let error = verify(&golden.config, &golden.journal, |_| ()).unwrap_err();
    assert!(error.is_corruption(), "{error}");
    assert!(
        error
            .to_string()
            .contains("0000000000000001.segment: segment 1 is damaged at bytes "),
        "{error}"
    );
}

#[test]
fn missing_segment_is_corruption() {
    let golden = Golden::new();
    fs::remove_file(golden.journal.join("0000000000000002.segment")).unwrap();
    let error = verify(&golden.config, &golden.journal, |_| ()).unwrap_err();
    assert!(
        error.is_corruption() && error.to_string().contains("segment 2 is missing"),
        "{error}"
    );
}

#[test]
fn empty_or_absent_journal_proves_nothing() {
    let golden = Golden::new();
    let empty = golden.journal.join("empty");
    fs::create_dir(&empty).unwrap();
    let error = verify(&golden.config, &empty, |_| ()).unwrap_err();
    assert!(matches!(error, ReplayError::NoInputs { .. }), "{error}");
    let error = verify(&golden.config, &golden.journal.join("absent"), |_| ()).unwrap_err();
    assert!(!error.is_corruption(), "{error}");
}

#[test]
fn progress_ends_at_all_inputs() {
    let golden = Golden::new();
    let mut last = None;
    let verdict = verify(&golden.config, &golden.journal, |progress| last = Some(progress)).unwrap();
    let last = last.unwrap();
    assert_eq!((last.done, last.inputs), (verdict.inputs, verdict.inputs));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// A crash anywhere: what is left of the journal is decided as before, and is a prefix of each lane.
    #[test]
    fn prop_journal_cut_anywhere_replays_as_a_prefix(share in 0.001_f64..1.0, torn_len in 0_usize..100) {
        let golden = Golden::new();
        let (whole, _) = decisions(&golden.config, &golden.journal);
        let places = entries(&golden.journal);
        let kept = 1 + ((places.len() - 2) as f64 * share) as usize;
        let is_torn = torn_len > 0;
        cut(&golden.journal, kept, torn_len);
        let verdict = verdict(&golden);
        prop_assert_eq!(&verdict.first_difference, &None);
        let of_kind = |kind: u8| places[..kept].iter().filter(|place| place.header.kind == kind).count() as u64;
        prop_assert_eq!(verdict.inputs, of_kind(entry_kind::INPUT));
        prop_assert_eq!(verdict.compared(), of_kind(entry_kind::DECISION));
        prop_assert_eq!(matches!(verdict.tail, Tail::Torn(_)), is_torn);
        prop_assert!(!verdict.is_closed);

        let (prefix, _) = decisions(&golden.config, &golden.journal);
        prop_assert_eq!(prefix.len() as u64, verdict.compared() + verdict.undecided());
        for lane in [Lane::Market, Lane::Payment] {
            let (whole, prefix) = (of_lane(&whole, lane), of_lane(&prefix, lane));
            let is_prefix = whole.iter().zip(&prefix).all(|(whole, prefix)| whole.core() == prefix.core());
            prop_assert!(is_prefix && prefix.len() <= whole.len(), "lane {:?}", lane);
        }
    }
}
