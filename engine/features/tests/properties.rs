//! The store against the reference: random sets of features over random events, within bounds that merge nothing.
//!
//! `proptest` prints the seed and the smallest case of a failure.

mod support;

use std::collections::BTreeSet;

use pinion_features::FeaturesConfig;
use pinion_features::set::{
    Aggregate, DAY_NS, EventKind, FeatureKind, FeatureSet, Field, Precision, SECOND_NS, Window, WindowFeature,
};
use pinion_runtime::state::{State as _, digest};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, fresh, payment_kind};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use support::build::{AMOUNT, CUSTOMER, START_NS, TERMINAL, feature, over, set, set_of, transaction};
use support::check::{apply, check, compare, lateness_s, reference, store, vectors, wide};
use support::generate::{
    Choice, Habits, all_aggregates, decayed_aggregates, distinct_aggregates, events, events_from, is_valid,
    pairs, sets, step, steps,
};
use support::random::Random;

/// Events of a case at most.
const STEPS_MAX: usize = 160;

fn exact() -> Choice {
    Choice {
        precisions: vec![Precision::Exact],
        aggregates: all_aggregates()
            .into_iter()
            .filter(|aggregate| !decayed_aggregates().contains(aggregate))
            .collect(),
        ..Choice::default()
    }
}

fn bucketed() -> Choice {
    let mut choice = Choice::default();
    choice
        .precisions
        .retain(|&precision| precision != Precision::Exact);
    choice
}

/// Mostly late events, a quarter of them too late.
fn often_late() -> Habits {
    Habits {
        lateness: [2, 6, 2],
        ..Habits::default()
    }
}

/// As many labels as transactions.
fn often_labelled() -> Habits {
    Habits {
        kinds: [8, 8, 1],
        ..Habits::default()
    }
}

/// A tenth of the events names an entity anew.
fn often_fresh() -> Habits {
    Habits {
        fresh_one_in: 10,
        ..Habits::default()
    }
}

fn of_fraud() -> Choice {
    Choice {
        aggregates: vec![
            Aggregate::Sum(Field::Fraud),
            Aggregate::Mean(Field::Fraud),
            Aggregate::Count,
        ],
        events: vec![EventKind::Transaction],
        ..exact()
    }
}

fn over_window(is_wanted: impl Fn(&Window) -> bool) -> Choice {
    let mut choice = Choice::default();
    choice.windows.retain(is_wanted);
    choice
}

/// A random set, lateness and sequence of events.
fn case(choice: Choice, habits: Habits) -> impl Strategy<Value = (FeatureSet, u32, Vec<PaymentRecord>)> {
    (sets(choice), lateness_s(), steps(habits, STEPS_MAX)).prop_map(|(set, lateness_s, steps)| {
        let events = events(&steps, i64::from(lateness_s) * SECOND_NS);
        (set, lateness_s, events)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prop_exact_features_equal_the_reference_to_the_last_bit((set, late, events) in case(exact(), Habits::default())) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_bucketed_features_equal_the_reference_on_bucket_times((set, late, events) in case(bucketed(), Habits::default())) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_features_of_all_kinds_equal_the_reference_side_by_side((set, late, events) in case(Choice::default(), Habits::default())) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_labels_count_where_they_name_and_until_taken_back((set, late, events) in case(of_fraud(), often_labelled())) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_windows_over_labels_and_account_updates_equal_the_reference((set, late, events) in case(
        Choice { events: vec![EventKind::Label, EventKind::Account], ..Choice::default() },
        Habits { kinds: [3, 3, 3], ..Habits::default() },
    )) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_pairs_equal_the_reference((set, late, events) in case(
        Choice { entities: pairs(), ..Choice::default() },
        Habits::default(),
    )) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_late_events_are_placed_where_they_belong((set, late, events) in case(Choice::default(), often_late())) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_tumbling_windows_begin_where_the_reference_says((set, late, events) in case(
        over_window(|window| matches!(window, Window::Tumbling(_))),
        Habits::default(),
    )) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_forever_means_every_event_since_the_first((set, late, events) in case(
        over_window(|window| matches!(window, Window::Forever)),
        Habits::default(),
    )) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_last_events_are_the_latest_by_time((set, late, events) in case(
        over_window(|window| matches!(window, Window::Last(_))),
        often_late(),
    )) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_distinct_counts_every_value_once((set, late, events) in case(
        Choice { aggregates: distinct_aggregates(), ..Choice::default() },
        Habits::default(),
    )) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_decayed_within_tolerance((set, late, events) in case(
        Choice { aggregates: decayed_aggregates(), precisions: vec![Precision::Exact], ..Choice::default() },
        often_late(),
    )) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_fresh_entities_start_from_nothing((set, late, events) in case(Choice::default(), often_fresh())) {
        check(&set, late, &events)?;
    }

    #[test]
    fn prop_times_at_the_ends_of_the_clock_are_held(
        set in sets(Choice::default()),
        late in lateness_s(),
        steps in steps(Habits::default(), 40),
        start in prop::sample::select(vec![0, 1, DAY_NS, i64::MAX - DAY_NS, i64::MAX]),
    ) {
        check(&set, late, &events_from(start, &steps, i64::from(late) * SECOND_NS))?;
    }

    /// Ingest takes no such times; a record with one is still no reason to stop.
    #[test]
    fn prop_times_before_1970_give_finite_vectors(
        set in sets(Choice::default()),
        late in lateness_s(),
        steps in steps(Habits::default(), 40),
        start in prop::sample::select(vec![i64::MIN, i64::MIN + DAY_NS, -DAY_NS]),
    ) {
        let events = events_from(start, &steps, i64::from(late) * SECOND_NS);
        for vector in vectors(&set, &wide(late), &events) {
            prop_assert!(vector.iter().all(|value| value.is_finite()), "{vector:?}");
        }
    }

    /// Dropping every label leaves all vectors before the first label as they were, and with a delay longer than
    /// the sequence no label shows at all.
    #[test]
    fn prop_labels_are_never_used_before_they_arrived((set, late, events) in case(of_fraud(), often_labelled())) {
        let is_label = |event: &PaymentRecord| event.origin.kind == payment_kind::LABEL;
        let first_label = events.iter().position(is_label).unwrap_or(events.len());
        let mut unlabelled = events.clone();
        for event in unlabelled.iter_mut().filter(|event| is_label(event)) {
            event.verdict = 0;
        }
        let config = wide(late);
        let (with, without) = (vectors(&set, &config, &events), vectors(&set, &config, &unlabelled));
        prop_assert_eq!(&with[..first_label], &without[..first_label]);
        let truncated = vectors(&set, &config, &events[..first_label]);
        prop_assert_eq!(&with[..first_label], &truncated[..]);
    }

    /// A vector depends on nothing that comes after it.
    #[test]
    fn prop_vectors_do_not_depend_on_later_events((set, late, events) in case(Choice::default(), often_late())) {
        let config = wide(late);
        let half = events.len() / 2;
        let whole = vectors(&set, &config, &events);
        prop_assert_eq!(&whole[..half], &vectors(&set, &config, &events[..half])[..]);
    }

    /// A store that took over another's regions goes on as that one would have.
    #[test]
    fn prop_state_copied_into_a_new_store_goes_on_the_same(
        (set, late, events) in case(Choice::default(), often_late()),
        at in any::<prop::sample::Index>(),
    ) {
        let (before, after) = events.split_at(at.index(events.len() + 1));
        let config = wide(late);
        let (mut first, mut second) = (store(&set, &config), store(&set, &config));
        for event in before {
            apply(&mut first, event);
        }
        for (from, to) in first.regions().iter().zip(second.regions_mut()) {
            prop_assert_eq!((from.name, from.index, from.bytes.len()), (to.name, to.index, to.bytes.len()));
            to.bytes.copy_from_slice(from.bytes);
        }
        for event in after {
            let vectors = [&mut first, &mut second].map(|store| apply(store, event).map(f32::to_bits));
            prop_assert_eq!(vectors[0], vectors[1]);
        }
        prop_assert_eq!(digest(&first), digest(&second));
    }

    /// What is looked up for a transaction in time is what it then gets, where it does not count itself; and
    /// looking changes nothing.
    #[test]
    fn prop_peek_is_the_vector_of_a_transaction_that_does_not_count_itself((set, late, events) in case(
        Choice { includes_current: vec![false], ..Choice::default() },
        Habits { lateness: [6, 3, 0], fresh_one_in: 1_000_000, ..Habits::default() },
    )) {
        let mut store = store(&set, &wide(late));
        for event in &events {
            if event.origin.kind != payment_kind::TRANSACTION || event.fresh != 0 {
                apply(&mut store, event);
                continue;
            }
            let mut peeked = [f32::NAN; FEATURES_MAX];
            store.peek(event, &mut peeked);
            prop_assert_eq!(peeked.map(f32::to_bits), apply(&mut store, event).map(f32::to_bits));
        }
    }

    /// Events that are late but in time leave the same state as in their right order.
    #[test]
    fn prop_order_of_arrival_within_the_lateness_does_not_matter(
        set in sets(exact()),
        seconds in prop::collection::btree_set(0..3600_i64, 2..60),
        order in any::<prop::sample::Index>(),
        step in 1..60_usize,
    ) {
        let count = seconds.len();
        let sorted: Vec<PaymentRecord> = seconds
            .iter()
            .map(|&second| transaction(START_NS + second * SECOND_NS, second % 7, &format!("t{second}")))
            .collect();
        let stride = if count.is_multiple_of(step) { 1 } else { step };
        let visited: BTreeSet<usize> = (0..count).map(|index| index * stride % count).collect();
        prop_assume!(visited.len() == count);
        let shuffled: Vec<PaymentRecord> = (0..count)
            .map(|index| sorted[(index * stride + order.index(count)) % count])
            .collect();
        let probe = transaction(START_NS + 3600 * SECOND_NS, 3, "probe");
        let last = |events: &[PaymentRecord]| {
            let mut store = store(&set, &wide(3600));
            for event in events {
                apply(&mut store, event);
            }
            apply(&mut store, &probe).map(f32::to_bits)
        };
        prop_assert_eq!(last(&sorted), last(&shuffled));
    }

    /// After a customer was named anew, its features are those of a store that never knew another.
    #[test]
    fn prop_a_dense_id_given_anew_knows_nothing_of_its_former_owner(
        set in sets(Choice { entities: vec![CUSTOMER], ..Choice::default() }),
        late in lateness_s(),
        before in steps(Habits { fresh_one_in: 1_000_000, ..Habits::default() }, 60),
        after in steps(Habits { fresh_one_in: 1_000_000, ..Habits::default() }, 30),
    ) {
        let lateness_ns = i64::from(late) * SECOND_NS;
        let of_one_customer = |mut event: PaymentRecord| {
            event.customer = 0;
            event
        };
        let mut owned: Vec<_> = events(&after, lateness_ns).into_iter().map(of_one_customer).collect();
        prop_assume!(!owned.is_empty());
        owned[0].fresh = fresh::CUSTOMER;
        let former: Vec<_> = events_from(START_NS + DAY_NS, &before, lateness_ns).into_iter().map(of_one_customer).collect();
        let both = vectors(&set, &wide(late), &[&former[..], &owned[..]].concat());
        prop_assert_eq!(&both[former.len()..], &vectors(&set, &wide(late), &owned)[..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// One entity of each kind: what it holds grows, empties and grows again.
    #[test]
    fn prop_bursts_and_gaps_of_one_entity_equal_the_reference(
        set in sets(Choice::default()),
        late in lateness_s(),
        steps in steps(Habits { fresh_one_in: 400, ..Habits::default() }, 1200),
    ) {
        let mut events = events(&steps, i64::from(late) * SECOND_NS);
        for event in &mut events {
            (event.customer, event.terminal, event.card) = (0, 0, 0);
            (event.merchant, event.device, event.account) = (0, 0, 0);
        }
        check(&set, late, &events)?;
    }
}

/// Two thousand events, a quarter of them late, that every run makes alike.
fn table_events(lateness_ns: i64) -> Vec<PaymentRecord> {
    let habits = Habits {
        lateness: [12, 3, 1],
        fresh_one_in: 500,
        ..Habits::default()
    };
    let mut runner = TestRunner::deterministic();
    let mut draw = || {
        step(habits)
            .new_tree(&mut runner)
            .expect("nothing is filtered")
            .current()
    };
    let steps: Vec<_> = (0..2000).map(|_| draw()).collect();
    events(&steps, lateness_ns)
}

/// Every valid combination of aggregate, kind of window, delay, current event and precision.
fn table() -> Vec<WindowFeature> {
    let day = DAY_NS;
    let windows = [
        Window::Sliding(day),
        Window::Tumbling(day),
        Window::Last(10),
        Window::Forever,
    ];
    let mut table = Vec::new();
    for aggregate in all_aggregates() {
        for window in windows {
            for delay_ns in [0, 3600 * SECOND_NS] {
                for includes_current in [true, false] {
                    for precision in [Precision::Exact, Precision::Bucketed(60 * SECOND_NS)] {
                        table.push(WindowFeature {
                            delay_ns,
                            precision,
                            includes_current,
                            ..over(aggregate, window)
                        });
                    }
                }
            }
        }
    }
    table.retain(is_valid);
    table
}

#[test]
fn every_aggregate_over_every_window_equals_the_reference() {
    let late = 3600;
    let events = table_events(i64::from(late) * SECOND_NS);
    let table = table();
    assert!(table.len() > 300, "only {} combinations", table.len());
    for feature in &table {
        if let Err(error) = check(&set_of(feature.clone()), late, &events) {
            panic!("{feature:?}: {error}");
        }
    }
}

/// What the latest event in time needs is held until it came: the first nanosecond of its window, or the last of
/// the events that it counts by number.
#[test]
fn event_as_late_as_allowed_sees_its_whole_window() {
    let windows = [
        Window::Sliding(5 * SECOND_NS),
        Window::Tumbling(5 * SECOND_NS),
        Window::Last(5),
    ];
    for window in windows {
        for delay_ns in [0, SECOND_NS] {
            let counted = WindowFeature {
                delay_ns,
                ..over(Aggregate::Sum(AMOUNT), window)
            };
            let events: Vec<PaymentRecord> = (0..600).flat_map(newest_then_latest).collect();
            check(&set_of(counted), 2, &events).unwrap();
        }
    }
}

/// An event at this second, one a nanosecond after the second before, and one at the second before that.
fn newest_then_latest(second: i64) -> [PaymentRecord; 3] {
    let at = |back: i64, after_ns: i64| {
        let event_ns = START_NS + (second - back) * SECOND_NS + after_ns;
        transaction(event_ns, second, &format!("t{second}-{back}"))
    };
    [at(0, 0), at(1, 1), at(2, 0)]
}

/// Events of the month: twenty a day of each customer, two hundred a day at each terminal.
const MONTH_EVENTS: u64 = 200 * 30 * 20;

/// Sums, means and variances over ten minutes, a day and a week, of customers and, a day later, of terminals.
fn month_set() -> FeatureSet {
    let mut features = Vec::new();
    for length in [600 * SECOND_NS, DAY_NS, 7 * DAY_NS] {
        for aggregate in [
            Aggregate::Sum(AMOUNT),
            Aggregate::Mean(AMOUNT),
            Aggregate::Variance(AMOUNT),
        ] {
            let of_customer = over(aggregate, Window::Sliding(length));
            let of_terminal = WindowFeature {
                entity: TERMINAL,
                delay_ns: DAY_NS,
                ..of_customer.clone()
            };
            features.extend([of_customer, of_terminal].map(|window| feature(FeatureKind::Window(window))));
        }
    }
    set(features)
}

fn month_config() -> FeaturesConfig {
    let mut config = wide(3600);
    config.customers.entities_max = 200;
    config.terminals.entities_max = 20;
    config
}

/// One event in ten is up to an hour late, one in a hundred too late.
fn month_event(random: &mut Random, now_ns: i64, index: u64) -> PaymentRecord {
    let late_s = match random.below(100) {
        0 => 3600 + random.below(3600),
        1..=10 => random.below(3600),
        _ => 0,
    };
    let amount_minor = random.below(1 << 46) as i64 - (1 << 20);
    let event_ns = now_ns - late_s as i64 * SECOND_NS;
    let mut event = transaction(event_ns, amount_minor, &format!("t{index}"));
    event.customer = random.below(200) as u32;
    event.terminal = random.below(20) as u32;
    event
}

/// Two hundred customers over thirty days, and terminals that meet all of them: what expired left no trace.
#[test]
fn a_month_of_updates_equals_the_reference_exactly() {
    let set = month_set();
    let config = month_config();
    let mut store = store(&set, &config);
    let mut reference = reference(&set, &config);
    let mut random = Random::new(7);
    let (mut now_ns, mut compared) = (START_NS, 0);
    for index in 0..MONTH_EVENTS {
        now_ns += random.below(2 * 30 * DAY_NS as u64 / MONTH_EVENTS) as i64;
        let event = month_event(&mut random, now_ns, index);
        let found = apply(&mut store, &event);
        if random.below(200) != 0 {
            reference.absorb(&event);
            continue;
        }
        compared += 1;
        if let Err(difference) = compare(&set, &found, &reference.apply(&event)) {
            panic!("event {index}: {difference}");
        }
    }
    assert!(compared > 300, "only {compared} vectors were compared");
}
