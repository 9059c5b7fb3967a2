//! In steady state the stage makes no heap call.

use std::path::Path;

use pinion_features::{FeatureAgent, FeatureSet, FeatureStore, FeaturesConfig, PairsConfig, TimelinesConfig};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::counters::Counters;
use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use pinion_runtime::ring::ring;
use pinion_schemas::records::{FeatureRecord, PaymentRecord, fresh, payment_kind};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SECOND_NS: i64 = 1_000_000_000;

/// Small, so that extents grow, are given up and are reused within the test.
fn small() -> TimelinesConfig {
    TimelinesConfig {
        entities_max: 16,
        events_max: 256,
        pool_events_max: 2048,
    }
}

fn event(sequence: u64) -> PaymentRecord {
    let mut payment = PaymentRecord::default();
    payment.origin.sequence = sequence;
    payment.origin.kind = if sequence.is_multiple_of(5) {
        payment_kind::LABEL
    } else {
        payment_kind::TRANSACTION
    };
    payment.origin.event_ns = sequence as i64 * 1000 * SECOND_NS - (sequence % 3) as i64 * 3600 * SECOND_NS;
    payment.transaction_ns = payment.origin.event_ns - 3000 * SECOND_NS;
    payment.verdict = 2;
    payment.amount_minor = 100;
    payment.customer = (sequence % 17) as u32;
    payment.terminal = (sequence % 13) as u32;
    payment.card = (sequence % 7) as u32;
    payment.device = (sequence % 11) as u32;
    payment.outcome = (sequence % 3) as u8;
    payment.fresh = if sequence.is_multiple_of(997) {
        fresh::CUSTOMER | fresh::TERMINAL
    } else {
        0
    };
    payment
}

fn config() -> FeaturesConfig {
    FeaturesConfig {
        customers: small(),
        terminals: small(),
        cards: small(),
        devices: small(),
        pairs: PairsConfig {
            entities_max: 64,
            events_max: 16,
            pool_events_max: 256,
            ..PairsConfig::default()
        },
        ..FeaturesConfig::default()
    }
}

/// A set that ships.
fn set(name: &str) -> FeatureSet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../features");
    FeatureSet::load(&folder.join(name)).unwrap()
}

#[track_caller]
fn check_no_alloc(set: &FeatureSet) {
    let (mut feed, input) = ring::<PaymentRecord>(16);
    let (output, mut drain) = ring::<FeatureRecord>(16);
    let store = Box::new(FeatureStore::new(&config(), set).unwrap());
    let counters = Counters::in_memory(32);
    let mut agent = FeatureAgent::new(&config(), store, 0, None, input, output, &counters).unwrap();
    let heap_calls = count_heap_calls(|| {
        for sequence in 1..=100_000 {
            assert!(feed.try_push(&event(sequence)));
            assert_eq!(agent.do_work(0), 1);
            assert_eq!(drain.try_pop().unwrap().payment.origin.sequence, sequence);
        }
    });
    assert_eq!(heap_calls, 0);
    assert!(agent.store().usage().merged_events > 0, "the bounds were met");
    assert!(
        agent.store().tally().unknown_entities > 0,
        "customer 16 has no row"
    );
}

#[test]
fn no_alloc_in_steady_state() {
    check_no_alloc(&set("payments-v1.toml"));
    check_no_alloc(&set("payments-attempts.toml"));
}

#[test]
fn full_output_holds_the_stage_back_and_nothing_is_lost() {
    let (mut feed, input) = ring::<PaymentRecord>(16);
    let (output, mut drain) = ring::<FeatureRecord>(2);
    let counters = Counters::in_memory(32);
    let store = Box::new(FeatureStore::new(&config(), &set("payments-v1.toml")).unwrap());
    let mut agent = FeatureAgent::new(&config(), store, 0, None, input, output, &counters).unwrap();
    for sequence in 1..=5 {
        assert!(feed.try_push(&event(sequence)));
    }
    assert_eq!(agent.do_work(0), 2);
    assert_eq!(agent.do_work(0), 0);
    assert_eq!(counters.value("features.output_full"), Some(1));
    let mut sequences = Vec::new();
    while !agent.is_drained() || !drain.is_empty() {
        agent.do_work(0);
        drain.read_batch(16, |record| sequences.push(record.payment.origin.sequence));
    }
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
}
