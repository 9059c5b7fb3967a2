//! Another feature set takes over between two events, and nothing of either is lost.

use std::path::Path;

use pinion_features::{
    FeatureAgent, FeatureCommand, FeatureRetired, FeatureSet, FeatureStore, FeaturesConfig, Swap,
    TimelinesConfig,
};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::control::{ConductorEnd, channel};
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer, ring};
use pinion_schemas::records::{FEATURES_MAX, FeatureRecord, PaymentRecord, payment_kind};

fn config() -> FeaturesConfig {
    let small = || TimelinesConfig {
        entities_max: 16,
        events_max: 64,
        pool_events_max: 1024,
    };
    FeaturesConfig {
        batch_max: 4,
        customers: small(),
        terminals: small(),
        cards: small(),
        devices: small(),
        ..FeaturesConfig::default()
    }
}

fn store(name: &str) -> FeatureStore {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../features");
    let set = FeatureSet::load(&folder.join(name)).unwrap();
    FeatureStore::new(&config(), &set).unwrap()
}

fn event(sequence: u64) -> PaymentRecord {
    let mut payment = PaymentRecord::default();
    payment.origin.sequence = sequence;
    payment.origin.kind = payment_kind::TRANSACTION;
    payment.origin.event_ns = 1_767_225_600_000_000_000 + sequence as i64 * 1_000_000_000;
    payment.amount_minor = sequence as i64 * 10;
    payment.customer = (sequence % 3) as u32;
    payment.terminal = (sequence % 4) as u32;
    payment.device = (sequence % 2) as u32;
    payment.outcome = (sequence % 3) as u8;
    payment
}

struct Rig {
    feed: Producer<PaymentRecord>,
    drain: Consumer<FeatureRecord>,
    conductor: ConductorEnd<FeatureCommand, FeatureRetired>,
    agent: FeatureAgent,
    counters: Counters,
    sequence: u64,
}

impl Rig {
    fn new() -> Self {
        let (feed, input) = ring(64);
        let (output, drain) = ring(64);
        let (conductor, control) = channel(4);
        let counters = Counters::in_memory(64);
        let first = Box::new(store("payments-v1.toml"));
        let agent = FeatureAgent::new(&config(), first, 0, Some(control), input, output, &counters).unwrap();
        Self {
            feed,
            drain,
            conductor,
            agent,
            counters,
            sequence: 0,
        }
    }

    fn send(&mut self, command: FeatureCommand) {
        assert!(self.conductor.send(command).is_ok());
    }

    /// Feeds `count` events and checks each vector against a store of the named set that had all events.
    fn run(&mut self, count: u64, expected: &mut FeatureStore) {
        for _ in 0..count {
            self.sequence += 1;
            assert!(self.feed.try_push(&event(self.sequence)));
            self.agent.do_work(0);
            let found = self.drain.try_pop().unwrap();
            let mut vector = [0.0; FEATURES_MAX];
            expected.apply(&event(self.sequence), &mut vector);
            assert_eq!(found.features, vector, "sequence {}", self.sequence);
            assert_eq!(found.payment.feature_set_hash, expected.set_hash());
        }
    }
}

fn apply(store: &mut FeatureStore, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        store.apply(&event(sequence), &mut [0.0; FEATURES_MAX]);
    }
}

#[test]
fn new_set_serves_from_one_event_to_the_next_with_all_of_the_past() {
    let mut rig = Rig::new();
    let mut old = store("payments-v1.toml");
    rig.run(10, &mut old);
    let (copy, catch_up) = ring(64);
    rig.send(FeatureCommand::Copy(copy));
    rig.run(30, &mut old);
    let mut new = store("payments-attempts.toml");
    apply(&mut new, 1..=20);
    let mut whole = new.clone();
    apply(&mut whole, 21..=40);
    let swap = Swap {
        store: new,
        next_sequence: 21,
        catch_up,
    };
    rig.send(FeatureCommand::Swap(Box::new(swap)));
    for _ in 0..10 {
        rig.agent.do_work(0);
    }
    rig.run(20, &mut whole);
    assert!(matches!(
        rig.conductor.next_retired(),
        Some(FeatureRetired::Swap { is_done: true, sequence: 40, swap }) if swap.store.set_hash() == old.set_hash()
    ));
    assert!(matches!(
        rig.conductor.next_retired(),
        Some(FeatureRetired::Copy(_))
    ));
    assert_eq!(rig.counters.value("features.swaps"), Some(1));
}

#[test]
fn ring_that_overflows_is_given_back_and_the_old_set_serves_on() {
    let mut rig = Rig::new();
    let mut old = store("payments-v1.toml");
    let (copy, _catch_up) = ring(2);
    rig.send(FeatureCommand::Copy(copy));
    rig.run(6, &mut old);
    assert!(matches!(
        rig.conductor.next_retired(),
        Some(FeatureRetired::Copy(_))
    ));
    assert_eq!(rig.counters.value("features.copy_overflows"), Some(1));
}

#[test]
fn store_that_lacks_an_event_is_handed_back() {
    let mut rig = Rig::new();
    let mut old = store("payments-v1.toml");
    rig.run(10, &mut old);
    let (copy, catch_up) = ring(64);
    rig.send(FeatureCommand::Copy(copy));
    rig.run(10, &mut old);
    let mut new = store("payments-attempts.toml");
    apply(&mut new, 1..=5);
    let swap = Swap {
        store: new,
        next_sequence: 6,
        catch_up,
    };
    rig.send(FeatureCommand::Swap(Box::new(swap)));
    rig.run(5, &mut old);
    assert!(matches!(
        rig.conductor.next_retired(),
        Some(FeatureRetired::Swap { is_done: false, .. })
    ));
    assert_eq!(rig.counters.value("features.swaps_refused"), Some(1));
}
