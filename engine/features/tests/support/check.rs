//! The store beside the reference.

use pinion_features::set::{Aggregate, DAY_NS, Feature, FeatureKind, FeatureSet, Field, SECOND_NS, Window};
use pinion_features::{FeatureStore, FeaturesConfig, PairsConfig, TimelinesConfig, WhenFull};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::generate::ENTITIES_MAX;
use super::reference::{Expected, Reference};

/// A vector as the store fills it.
pub(crate) type Vector = [f32; FEATURES_MAX];

/// Bounds within which nothing is merged.
pub(crate) fn wide(lateness_s: u32) -> FeaturesConfig {
    bounded(lateness_s, 4096, 262_144)
}

/// A few entities of each kind, each with at most `events_max` events.
pub(crate) fn bounded(lateness_s: u32, events_max: u32, pool_events_max: u32) -> FeaturesConfig {
    let size = || TimelinesConfig {
        entities_max: ENTITIES_MAX,
        events_max,
        pool_events_max,
    };
    FeaturesConfig {
        lateness_s_max: lateness_s,
        customers: size(),
        terminals: size(),
        cards: size(),
        merchants: size(),
        devices: size(),
        accounts: size(),
        pairs: PairsConfig {
            entities_max: 1024,
            events_max,
            pool_events_max,
            when_full: WhenFull::EvictOldestIdle,
        },
        ..FeaturesConfig::default()
    }
}

/// The store for a set that can be computed.
pub(crate) fn store(set: &FeatureSet, config: &FeaturesConfig) -> FeatureStore {
    FeatureStore::new(config, set).expect("the set is valid and fits")
}

/// The reference for a store with these bounds.
pub(crate) fn reference(set: &FeatureSet, config: &FeaturesConfig) -> Reference {
    let kinds = [
        &config.customers,
        &config.terminals,
        &config.cards,
        &config.merchants,
        &config.devices,
        &config.accounts,
    ];
    let lateness_ns = i64::from(config.lateness_s_max) * SECOND_NS;
    Reference::new(set, lateness_ns).with_entities_max(kinds.map(|kind| kind.entities_max))
}

/// One event through the store.
pub(crate) fn apply(store: &mut FeatureStore, event: &PaymentRecord) -> Vector {
    let mut vector = [f32::NAN; FEATURES_MAX];
    store.apply(event, &mut vector);
    vector
}

/// The vector of every event.
pub(crate) fn vectors(set: &FeatureSet, config: &FeaturesConfig, events: &[PaymentRecord]) -> Vec<Vector> {
    let mut store = store(set, config);
    events.iter().map(|event| apply(&mut store, event)).collect()
}

/// Transactions are kept this long for their labels where a window of labels has no start. Unit: ns.
const LABELLED_FOR_NS: i64 = 90 * DAY_NS;

/// The events without labels that come after their transaction was given up: only the sum or mean of
/// [`Field::Fraud`] since forever gives up any.
pub(crate) fn with_labels_in_time(set: &FeatureSet, events: Vec<PaymentRecord>) -> Vec<PaymentRecord> {
    let gives_up = |feature: &Feature| match &feature.kind {
        FeatureKind::Window(window) => {
            let is_of_fraud = matches!(
                window.aggregate,
                Aggregate::Sum(Field::Fraud) | Aggregate::Mean(Field::Fraud)
            );
            is_of_fraud && window.window == Window::Forever
        }
        _ => false,
    };
    if !set.features.iter().any(gives_up) {
        return events;
    }
    let mut newest_ns = i64::MIN;
    let is_kept = |event: &PaymentRecord| {
        newest_ns = newest_ns.max(event.origin.event_ns);
        event.origin.kind != payment_kind::LABEL
            || event.transaction_ns >= newest_ns.saturating_sub(LABELLED_FOR_NS)
    };
    let mut events = events;
    events.retain(is_kept);
    events
}

/// Every place of every vector is what the reference promises.
pub(crate) fn check(
    set: &FeatureSet,
    lateness_s: u32,
    events: &[PaymentRecord],
) -> Result<(), TestCaseError> {
    let config = wide(lateness_s);
    let mut store = store(set, &config);
    let mut reference = reference(set, &config);
    let events = with_labels_in_time(set, events.to_vec());
    for (index, event) in events.iter().enumerate() {
        let expected = reference.apply(event);
        let found = apply(&mut store, event);
        compare(set, &found, &expected).map_err(|difference| {
            TestCaseError::fail(format!(
                "event {index} at {}: {difference}",
                event.origin.event_ns
            ))
        })?;
    }
    let usage = store.usage();
    prop_assert_eq!(
        (usage.merged_events, usage.unkept_events, usage.pairs_evicted),
        (0, 0, 0)
    );
    Ok(())
}

/// The first place where `found` is not `expected`, in words.
pub(crate) fn compare(set: &FeatureSet, found: &Vector, expected: &[Expected]) -> Result<(), String> {
    for (slot, promise) in expected.iter().enumerate() {
        if !promise.admits(found, slot) {
            let (value, feature) = (found[slot], feature_at(set, slot));
            return Err(format!(
                "place {slot} is {value:?}, expected {promise:?}: {feature:?}"
            ));
        }
    }
    match found[expected.len()..]
        .iter()
        .position(|&value| value.to_bits() != 0)
    {
        Some(place) => Err(format!(
            "place {} behind the last is not 0",
            expected.len() + place
        )),
        None => Ok(()),
    }
}

fn feature_at(set: &FeatureSet, slot: usize) -> &FeatureKind {
    let kinds = set
        .features
        .iter()
        .flat_map(|feature| std::iter::repeat_n(&feature.kind, feature.slot_count()));
    kinds.into_iter().nth(slot).expect("the set has this place")
}

/// How far behind the newest an event may be. Unit: s.
pub(crate) fn lateness_s() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![0_u32, 1, 10, 60, 3600, 86_400])
}
