//! A restart: what the journal holds goes the same way again, and the first live frames tell what was lost.

mod common;

use std::path::Path;

use common::{Rig, Rings, config, frame, id, payment_frame, quote, quote_frame, stamp, write_journal};
use pinion_ingest::IngestConfig;
use pinion_ingest::config::{SheddingConfig, TableConfig, WhenFull};
use pinion_journal::Reader;
use pinion_runtime::faults::FaultKind;
use pinion_runtime::latest::latest;
use pinion_schemas::records::{Origin, PaymentRecord, decision_flag};

fn restart(config: &IngestConfig, dir: &Path) -> Rig {
    Rig::with(config, Rings::default(), Some(Reader::open(dir).unwrap()))
}

#[test]
fn what_was_shed_is_journaled_and_shed_again() {
    let shedding = SheddingConfig {
        deadline_us: 100,
        payments_per_s: 1,
        burst: 2,
    };
    let config = IngestConfig { shedding, ..config() };
    let (mut show, pressure) = latest([0, 40_000]);
    let mut live = Rig::under(&config, Rings::default(), None, Some(pressure));
    for sequence in 1..=7 {
        live.offer_payment(&payment_frame(sequence, "customer", "shop"));
    }
    live.run();
    show.set([4, 40_000]);
    live.offer_payment(&payment_frame(8, "customer", "shop"));
    live.run();
    let shed = decision_flag::SHED | decision_flag::DEGRADED;
    let flags = |payments: &[PaymentRecord]| payments.iter().map(|one| one.origin.flags).collect::<Vec<_>>();
    let payments = live.take_payments();
    // Three wait for 120 µs and more; two tokens are there; the eighth finds one waiting.
    assert_eq!(flags(&payments), [0, 0, 0, shed, shed, 0, 0, 0]);
    assert_eq!(
        (
            live.count("ingest.payment.shed"),
            live.count("ingest.payment.late")
        ),
        (2, 2)
    );

    let folder = tempfile::tempdir().unwrap();
    write_journal(folder.path(), &live.take_journal());
    let mut again = restart(&config, folder.path());
    again.run();
    let plain: Vec<u8> = flags(&again.take_payments());
    let expected = flags(&payments)
        .into_iter()
        .map(|flags| flags | decision_flag::RECOVERED);
    assert!(plain.into_iter().eq(expected));
    assert_eq!(
        again.count("ingest.payment.shed"),
        0,
        "it was counted when it happened"
    );
}

/// An origin without what a recovery adds.
fn plain(origin: Origin) -> Origin {
    assert_eq!(origin.flags, decision_flag::RECOVERED);
    Origin { flags: 0, ..origin }
}

#[test]
fn recorded_inputs_become_the_same_records_and_are_not_journaled_again() {
    let folder = tempfile::tempdir().unwrap();
    let small = TableConfig {
        ids_max: 3,
        when_full: WhenFull::EvictOldestIdle,
    };
    let config = IngestConfig {
        customers: small,
        ..config()
    };
    let mut live = Rig::new(&config);
    for sequence in 1..=200 {
        live.offer_market(&quote_frame(sequence, ["A", "B", "C"][sequence as usize % 3]));
        let customer = format!("customer-{}", sequence * sequence % 7);
        live.offer_payment(&payment_frame(sequence, &customer, "shop"));
        live.offer_payment(b"garbage");
        live.run();
    }
    let (market, payments) = (live.take_market(), live.take_payments());
    write_journal(folder.path(), &live.take_journal());

    let mut again = restart(&config, folder.path());
    assert!(again.agent.is_recovering());
    assert_eq!(again.count("ingest.recovering"), 1);
    again.run();
    assert!(!again.agent.is_recovering());
    assert_eq!(again.count("ingest.recovering"), 0);
    let found_market: Vec<_> = again.take_market();
    let found_payments: Vec<_> = again.take_payments();
    assert_eq!((found_market.len(), found_payments.len()), (200, 200));
    for (found, expected) in found_market.iter().zip(&market) {
        assert_eq!(plain(found.origin), expected.origin);
        assert_eq!(
            (found.instrument, found.price),
            (expected.instrument, expected.price)
        );
    }
    for (mut found, expected) in found_payments.into_iter().zip(payments) {
        found.origin = plain(found.origin);
        assert_eq!(found, expected);
    }
    assert!(again.take_journal().is_empty());
    assert_eq!(again.names.get(0), Some(id("B")));
    assert_eq!(
        (
            again.count("ingest.market.recorded"),
            again.count("ingest.market.accepted")
        ),
        (200, 0)
    );
}

#[test]
fn first_live_frame_tells_what_was_lost_and_nothing_is_accepted_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = Rig::new(&config());
    for sequence in 1..=10 {
        live.offer_market(&quote_frame(sequence, "A"));
    }
    live.run();
    write_journal(folder.path(), &live.take_journal());

    let mut again = restart(&config(), folder.path());
    for sequence in [9, 10, 14, 15, 17] {
        again.offer_market(&quote_frame(sequence, "A"));
    }
    again.run();
    let counts = again.counts();
    assert_eq!(
        (
            counts["market.recorded"],
            counts["market.accepted"],
            counts["market.duplicates"]
        ),
        (10, 3, 2)
    );
    assert_eq!(
        (counts["market.lost_unacknowledged"], counts["market.missing"]),
        (3, 1)
    );
    assert_eq!(again.faults.count(FaultKind::LostUnacknowledged), 1);
    let records = again.take_market();
    let live: Vec<_> = records[10..]
        .iter()
        .map(|it| (it.origin.sequence, it.origin.input_index))
        .collect();
    assert_eq!(live, [(11, 11), (12, 12), (13, 13)]);
    assert!(records[10..].iter().all(|it| it.origin.flags == 0));
    assert_eq!(again.take_journal().len(), 3);
}

#[test]
fn live_frames_wait_until_all_recorded_ones_were_fed() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = Rig::new(&config());
    for sequence in 1..=20 {
        live.offer_market(&quote_frame(sequence, "A"));
    }
    live.run();
    write_journal(folder.path(), &live.take_journal());

    let recorded = Some(Reader::open(folder.path()).unwrap());
    let mut again = Rig::with(
        &config(),
        Rings {
            records: 7,
            ..Rings::default()
        },
        recorded,
    );
    again.offer_market(&quote_frame(21, "A"));
    let mut sequences = Vec::new();
    while sequences.len() < 21 {
        assert!(again.run() > 0);
        sequences.extend(again.take_market().iter().map(|it| it.origin.publisher_sequence));
    }
    assert_eq!(sequences, (1..=21).collect::<Vec<_>>());
}

#[test]
fn live_stamps_do_not_fall_behind_recorded_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = Rig::new(&config());
    live.now_ns = 1_000_000;
    live.offer_market(&quote_frame(1, "A"));
    live.run();
    write_journal(folder.path(), &live.take_journal());

    let mut again = restart(&config(), folder.path());
    again.now_ns = 5;
    again.offer_market(&quote_frame(2, "A"));
    again.run();
    assert_eq!(again.take_market()[1].origin.ingest_ns, 1_000_001);
}

#[test]
fn recorded_input_that_is_not_accepted_is_counted_and_keeps_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = Rig::new(&config());
    for (sequence, instrument) in (1..).zip(["A", "B", "A"]) {
        live.offer_market(&frame(&stamp(1, 1, sequence), &quote(instrument)));
    }
    live.run();
    write_journal(folder.path(), &live.take_journal());

    let mut again = restart(
        &IngestConfig {
            instruments_max: 1,
            ..config()
        },
        folder.path(),
    );
    again.offer_market(&quote_frame(4, "A"));
    again.run();
    let sequences: Vec<_> = again.take_market().iter().map(|it| it.origin.sequence).collect();
    assert_eq!(sequences, [1, 3, 4]);
    assert_eq!(again.count("ingest.market.recorded_refused"), 1);
    assert_eq!(again.faults.count(FaultKind::RecordedRefused), 1);
    assert!(again.take_rejects().is_empty());
}

#[test]
fn journal_without_inputs_counts_as_none() {
    let folder = tempfile::tempdir().unwrap();
    write_journal(folder.path(), &[]);
    let mut rig = restart(&config(), folder.path());
    rig.offer_market(&quote_frame(4, "A"));
    rig.run();
    assert_eq!(
        (
            rig.count("ingest.market.missing"),
            rig.count("ingest.market.lost_unacknowledged")
        ),
        (3, 0)
    );
}

#[test]
fn closed_gate_ends_a_recovery_early() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = Rig::new(&config());
    live.offer_market(&quote_frame(1, "A"));
    live.run();
    write_journal(folder.path(), &live.take_journal());

    let mut again = restart(&config(), folder.path());
    again.gate.close();
    assert_eq!(again.run(), 0);
    assert!(again.agent.is_recovering());
}
