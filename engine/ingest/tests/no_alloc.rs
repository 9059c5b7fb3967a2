//! After its start the agent neither allocates nor frees, whatever is thrown at it.

mod common;

use common::{Rig, config, frame, quote, stamp, transaction};
use pinion_ingest::IngestConfig;
use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use pinion_schemas::encode::{Encoder, Event, TransactionEvent};
use pinion_schemas::ids::Id;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const ROUNDS: u64 = 20_000;

/// Empties what the agent has written.
fn drain(rig: &mut Rig) {
    rig.market.read_batch(usize::MAX, |_| ());
    rig.payments.read_batch(usize::MAX, |_| ());
    rig.rejects.read_batch(usize::MAX, |_| ());
    rig.journal.read_batch(usize::MAX, |_, _| ());
}

#[test]
fn no_alloc_in_steady_state() {
    let mut rig = Rig::new(&config());
    let mut encoder = Encoder::new();
    let names: Vec<Id> = (0..200)
        .map(|number| common::id(&format!("name-{number}")))
        .collect();
    let quotes = ["A", "B", "C"].map(quote);
    let mut payment = Event::Transaction(transaction("ann", "shop"));
    let mut round = |rig: &mut Rig, sequence: u64| {
        let Event::Transaction(event) = &mut payment else {
            unreachable!()
        };
        event.customer = names[sequence as usize * 7 % 200];
        event.card = names[sequence as usize * 11 % 200];
        rig.offer_payment(encoder.encode(&stamp(1, 1, sequence), &payment));
        rig.offer_market(encoder.encode(&stamp(1, 1, sequence), &quotes[sequence as usize % 3]));
        rig.run();
        drain(rig);
    };
    (1..=100).for_each(|sequence| round(&mut rig, sequence));
    let heap_calls = count_heap_calls(|| (101..=ROUNDS).for_each(|sequence| round(&mut rig, sequence)));
    assert_eq!(heap_calls, 0);
    assert_eq!(
        (
            rig.count("ingest.market.accepted"),
            rig.count("ingest.payment.accepted")
        ),
        (ROUNDS, ROUNDS)
    );
    assert!(rig.count("ingest.customers.evicted") > 0);
}

#[test]
fn no_alloc_under_garbage() {
    let mut rig = Rig::new(&IngestConfig {
        rejects_max: 16,
        publishers_max: 1,
        ..config()
    });
    let good = frame(&stamp(1, 1, 1), &quote("A"));
    let absent = TransactionEvent {
        transaction_id: Id::NONE,
        ..transaction("ann", "shop")
    };
    let mut truncated = good.clone();
    truncated.truncate(good.len() / 2);
    let mut versioned = good.clone();
    versioned[good.len() - 84] = 9;
    let garbage = [
        vec![0; 10],
        vec![0xFF; 10_000],
        b"1234XXXX5678".to_vec(),
        truncated,
        versioned,
        good.clone(),
        frame(&stamp(2, 1, 1), &quote("A")),
        frame(&stamp(1, 1, 1), &Event::Transaction(transaction("ann", "shop"))),
        frame(&stamp(1, 1, 1), &Event::Transaction(absent)),
    ];
    let round = |rig: &mut Rig| {
        for bytes in &garbage {
            rig.offer_market(bytes);
            rig.offer_payment(bytes);
        }
        rig.run();
    };
    round(&mut rig);
    let heap_calls = count_heap_calls(|| (0..ROUNDS / 20).for_each(|_| round(&mut rig)));
    assert_eq!(heap_calls, 0);
    for reason in [
        "oversized",
        "malformed",
        "unknown_version",
        "unknown_type",
        "invalid_field",
        "table_full",
    ] {
        assert!(
            rig.count(&format!("ingest.rejected.{reason}")) > ROUNDS / 20,
            "{reason}"
        );
    }
    assert!(rig.count("ingest.rejected.wrong_lane") > ROUNDS / 20);
}
