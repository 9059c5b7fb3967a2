//! Bounds too narrow for the events: the oldest are merged, nothing is lost from totals, and a window never holds
//! what it should not hold yet.

mod support;

use pinion_features::set::{
    Aggregate, Entity, EntityKey, EventKind, Feature, FeatureKind, FeatureSet, Field, Precision, SECOND_NS,
    Window,
};
use pinion_features::{FeaturesConfig, WhenFull};
use pinion_schemas::records::PaymentRecord;
use proptest::prelude::*;
use support::build::{AMOUNT, CUSTOMER, START_NS, TERMINAL, feature, over, set, set_of, transaction};
use support::check::{apply, bounded, compare, reference, store};
use support::generate::{Choice, Habits, events, pairs, sets, steps};
use support::random::Random;
use support::reference::Reference;

/// Events of a case at most: several times what an entity may hold.
const STEPS_MAX: usize = 400;

/// Windows that hold more events than there is room for, if they come every few seconds.
const WINDOWS: [Window; 4] = [
    Window::Sliding(60 * SECOND_NS),
    Window::Sliding(600 * SECOND_NS),
    Window::Tumbling(600 * SECOND_NS),
    Window::Forever,
];

/// Whose totals can be taken from merged events.
fn totals() -> Vec<Aggregate> {
    vec![
        Aggregate::Count,
        Aggregate::Sum(AMOUNT),
        Aggregate::Mean(AMOUNT),
        Aggregate::Variance(AMOUNT),
        Aggregate::StandardDeviation(AMOUNT),
        Aggregate::Min(AMOUNT),
        Aggregate::Max(AMOUNT),
    ]
}

/// Totals over transactions, every event kept apart as far as there is room.
fn choice(windows: Vec<Window>, delays_ns: Vec<i64>) -> Choice {
    Choice {
        events: vec![EventKind::Transaction],
        aggregates: totals(),
        windows,
        delays_ns,
        precisions: vec![Precision::Exact],
        ..Choice::default()
    }
}

/// In the order of time, without labels.
fn in_order() -> Habits {
    Habits {
        kinds: [1, 0, 0],
        lateness: [1, 0, 0],
        fresh_one_in: 300,
    }
}

/// A few seconds from event to event of customer 0, so that a ring is full within a window.
fn dense() -> impl Strategy<Value = Vec<PaymentRecord>> {
    let advance_ns = prop_oneof![4 => 0..5 * SECOND_NS, 1 => Just(0), 1 => 0..60 * SECOND_NS];
    let step = (advance_ns, -500..1000_i64, 0..3_u8);
    prop::collection::vec(step, 1..250).prop_map(|steps| {
        let mut now_ns = START_NS;
        let event = |(index, (advance_ns, amount_minor, outcome)): (usize, (i64, i64, u8))| {
            now_ns += advance_ns;
            PaymentRecord {
                outcome,
                ..transaction(now_ns, amount_minor, &format!("t{index}"))
            }
        };
        steps.into_iter().enumerate().map(event).collect()
    })
}

fn narrow() -> impl Strategy<Value = FeaturesConfig> {
    prop::sample::select(vec![(16, 4096), (32, 4096), (32, 1024)])
        .prop_map(|(events_max, pool_events_max)| bounded(60, events_max, pool_events_max))
}

/// Everything, of pairs mostly, but windows by number that hold more events than an entity may have.
fn within_eight_events() -> Choice {
    let mut choice = Choice {
        entities: [pairs(), vec![CUSTOMER, TERMINAL]].concat(),
        ..Choice::default()
    };
    choice
        .windows
        .retain(|window| !matches!(window, Window::Last(6..)));
    choice
}

/// By how much merging may move the start or the end of a window: a ring of `events_max` is merged by a time less
/// than 4 / `events_max` of what it spans, rounded up to whole nanoseconds. Unit: ns.
fn merged_ns_max(set: &FeatureSet, config: &FeaturesConfig) -> i64 {
    let reach_ns = |feature: &Feature| match &feature.kind {
        FeatureKind::Window(window) => match window.window {
            Window::Sliding(length) | Window::Tumbling(length) => length + window.delay_ns,
            Window::Last(_) | Window::Forever => window.delay_ns,
        },
        _ => 0,
    };
    let reach_ns = set.features.iter().map(reach_ns).max().unwrap_or(0);
    let lateness_ns = i64::from(config.lateness_s_max) * SECOND_NS;
    4 * (reach_ns + lateness_ns) / i64::from(config.customers.events_max) + 2
}

/// The value of feature `slot` is that of a run of events which begins no later than the window, ends no later than
/// the window, and is empty if the window is; what it holds beside the window, or lacks, lies within `merged_ns`.
fn is_of_a_near_run(
    reference: &Reference,
    slot: usize,
    event: &PaymentRecord,
    found: &[f32],
    merged_ns: i64,
) -> bool {
    let Some((entries, window)) = reference.run(slot, event) else {
        return true;
    };
    let is_run = |first: usize, end: usize| {
        let mut place = vec![0.0; slot];
        place.push(found[slot]);
        reference
            .over(slot, &entries[first..end], event)
            .admits(&place, slot)
    };
    if window.is_empty() {
        return is_run(0, 0);
    }
    // What is merged with an event of the window, or with one behind it, is less than `merged_ns` away from it.
    let time_ns = |index: usize| entries[index].time_ns;
    let first_ns = time_ns(window.start) - merged_ns;
    let is_end_near = |end: usize| {
        end == window.end
            || entries
                .get(window.end)
                .is_some_and(|next| next.time_ns - time_ns(end) < merged_ns)
    };
    let firsts = (0..=window.start).filter(|&first| time_ns(first) > first_ns);
    let ends = (0..=window.end).filter(|&end| is_end_near(end));
    is_run(window.start, window.end)
        || is_run(0, 0) && is_end_near(window.start)
        || ends
            .flat_map(|end| firsts.clone().map(move |first| (first, end)))
            .any(|(first, end)| first < end && is_run(first, end))
}

/// Of a set whose features all count the current transaction in.
fn including_current(mut set: FeatureSet) -> FeatureSet {
    for feature in &mut set.features {
        if let FeatureKind::Window(window) = &mut feature.kind {
            window.includes_current = true;
        }
    }
    set.features
        .retain(|feature| matches!(feature.kind, FeatureKind::Window(_)));
    set
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prop_totals_since_forever_stay_exact_when_events_are_merged(
        set in sets(choice(vec![Window::Forever], vec![0])),
        config in narrow(),
        steps in steps(in_order(), STEPS_MAX),
    ) {
        let mut store = store(&set, &config);
        let mut reference = reference(&set, &config);
        for event in events(&steps, 60 * SECOND_NS) {
            let expected = reference.apply(&event);
            compare(&set, &apply(&mut store, &event), &expected).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn prop_merged_events_leave_a_window_together_and_last(
        set in sets(choice(WINDOWS.to_vec(), vec![0])),
        config in narrow(),
        events in dense(),
    ) {
        check_runs(&including_current(set), &config, &events)?;
    }

    #[test]
    fn prop_merged_events_enter_a_delayed_window_together_and_last(
        set in sets(choice(WINDOWS.to_vec(), vec![SECOND_NS, 10 * SECOND_NS, 60 * SECOND_NS])),
        config in narrow(),
        events in dense(),
    ) {
        check_runs(&including_current(set), &config, &events)?;
    }

    /// A new terminal with every event: a sketch counts from a quarter of the reach before the window on, and up to
    /// its end at most.
    #[test]
    fn prop_merged_distinct_counts_are_wrong_by_less_than_a_quarter_of_the_reach(
        length_s in 50..900_i64,
        delay_s in prop_oneof![Just(0), 1..300_i64],
        events in dense(),
    ) {
        let (length, delay_ns) = (length_s * SECOND_NS, delay_s * SECOND_NS);
        let mut window = over(Aggregate::Distinct(Field::Id(Entity::Terminal)), Window::Sliding(length));
        window.delay_ns = delay_ns;
        let mut store = store(&set_of(window), &bounded(0, 16, 1024));
        let merged_ns = (length + delay_ns) / 4 + 2;
        let times: Vec<i64> = events.iter().map(|event| event.origin.event_ns).collect();
        for (index, event) in events.iter().enumerate() {
            let found = apply(&mut store, &PaymentRecord { terminal: index as u32, ..*event })[0];
            let end_ns = times[index] - delay_ns;
            let between = |after_ns: i64, until_ns: i64| {
                let held = times[..=index].iter().filter(|&&time| time > after_ns && time <= until_ns);
                held.count() as f32
            };
            let sure_ns = if delay_ns == 0 { end_ns } else { end_ns - merged_ns };
            let least = between(end_ns - length, sure_ns);
            let most = between(end_ns - length - merged_ns, end_ns);
            prop_assert!(
                found >= 0.74 * least - 1.0 && found <= 1.26 * most + 1.0,
                "{found} at event {index}, {least} to {most} expected"
            );
        }
    }

    /// Late events, labels, fresh entities, pairs that push each other out: nothing panics and nothing is NaN.
    #[test]
    fn prop_any_set_within_any_bounds_gives_finite_vectors(
        set in sets(within_eight_events()),
        events_max in prop::sample::select(vec![8_u32, 16, 64]),
        pool_factor in 1..8_u32,
        pairs_max in 1..8_u32,
        steps in steps(Habits { fresh_one_in: 20, ..Habits::default() }, STEPS_MAX),
    ) {
        let mut config = bounded(60, events_max, events_max * pool_factor);
        config.pairs.entities_max = pairs_max;
        let mut store = store(&set, &config);
        for event in events(&steps, 60 * SECOND_NS) {
            let vector = apply(&mut store, &event);
            prop_assert!(vector.iter().all(|value| value.is_finite()), "{vector:?}");
        }
    }
}

fn check_runs(
    set: &FeatureSet,
    config: &FeaturesConfig,
    events: &[PaymentRecord],
) -> Result<(), TestCaseError> {
    let mut store = store(set, config);
    let mut reference = reference(set, config);
    let merged_ns = merged_ns_max(set, config);
    for (index, event) in events.iter().enumerate() {
        reference.absorb(event);
        let found = apply(&mut store, event);
        for (slot, feature) in set.features.iter().enumerate() {
            let (value, kind) = (found[slot], &feature.kind);
            prop_assert!(
                is_of_a_near_run(&reference, slot, event, &found, merged_ns),
                "event {index}: {value} is of no run of events that {kind:?} may hold"
            );
        }
    }
    Ok(())
}

/// One customer, a transaction a second: `count` of them.
fn every_second(count: i64) -> impl Iterator<Item = PaymentRecord> {
    (0..count).map(|second| transaction(START_NS + second * SECOND_NS, second, "t"))
}

/// Four parts in `events_max` of the hundred seconds held, and the second that the newest event may be from an edge.
#[test]
fn window_that_outgrew_its_room_starts_wrong_by_less_than_the_stated_time() {
    for events_max in [8, 16, 32, 64] {
        let set = set_of(over(Aggregate::Count, Window::Sliding(100 * SECOND_NS)));
        let mut store = store(&set, &bounded(0, events_max, 1024));
        let slack = 4.0 * 100.0 / events_max as f32 + 1.0;
        for (index, event) in every_second(2000).enumerate() {
            let found = apply(&mut store, &event)[0];
            let exact = (index + 1).min(100) as f32;
            assert!(
                found >= exact && found <= exact + slack,
                "{found} at {index}, exact {exact}, {events_max} held"
            );
        }
        assert!(store.usage().merged_events > 1000, "{:?}", store.usage());
        let later = transaction(START_NS + 2100 * SECOND_NS, 0, "later");
        assert_eq!(apply(&mut store, &later)[0], 1.0);
    }
}

#[test]
fn sum_since_forever_of_a_hundred_thousand_events_is_exact() {
    let set = set(totals()
        .into_iter()
        .map(|aggregate| feature(FeatureKind::Window(over(aggregate, Window::Forever))))
        .collect());
    let config = bounded(0, 16, 256);
    let mut store = store(&set, &config);
    let mut random = Random::new(3);
    let mut reference = reference(&set, &config);
    for (index, mut event) in every_second(100_000).enumerate() {
        event.amount_minor = random.next() as i64 >> 16;
        let found = apply(&mut store, &event);
        if index % 25_000 == 24_999 {
            compare(&set, &found, &reference.apply(&event)).unwrap();
        } else {
            reference.absorb(&event);
        }
    }
}

#[test]
fn sum_since_forever_may_exceed_64_bits() {
    let aggregates = [
        Aggregate::Sum(AMOUNT),
        Aggregate::Mean(AMOUNT),
        Aggregate::Variance(AMOUNT),
    ];
    let features = aggregates.map(|aggregate| over(aggregate, Window::Forever));
    let set = set(features.map(|window| feature(FeatureKind::Window(window))).into());
    let config = bounded(0, 16, 256);
    let (mut store, mut reference) = (store(&set, &config), reference(&set, &config));
    for (index, mut event) in every_second(140_000).enumerate() {
        event.amount_minor = i64::MAX;
        let found = apply(&mut store, &event);
        if index % 70_000 == 69_999 {
            compare(&set, &found, &reference.apply(&event)).unwrap();
        } else {
            reference.absorb(&event);
        }
    }
}

/// The distinct terminals of a customer, from 1e2 to 1e5, of three seeds: within four standard errors.
#[test]
fn distinct_count_of_merged_events_is_within_its_stated_error() {
    const STANDARD_ERROR: f64 = 0.065;
    let window = over(Aggregate::Distinct(Field::Id(Entity::Terminal)), Window::Forever);
    let set = set_of(window);
    let (mut squares, mut count) = (0.0, 0);
    for seed in 1..=3 {
        let mut random = Random::new(seed);
        let mut store = store(&set, &bounded(0, 16, 256));
        let salt = (random.next() as u32) >> 4;
        for (index, mut event) in every_second(100_000).enumerate() {
            event.terminal = salt.wrapping_add((index as u32).wrapping_mul(7)) % (u32::MAX - 1);
            let found = f64::from(apply(&mut store, &event)[0]);
            let exact = index as f64 + 1.0;
            if [100.0, 1000.0, 10_000.0, 100_000.0].contains(&exact) {
                let error = found / exact - 1.0;
                println!("seed {seed}: {found} of {exact}, {:+.1} %", 100.0 * error);
                assert!(error.abs() <= 4.0 * STANDARD_ERROR, "{found} of {exact}");
                squares += error * error;
                count += 1;
            }
        }
    }
    let root = (squares / f64::from(count)).sqrt();
    assert!(
        root <= 2.0 * STANDARD_ERROR,
        "the errors' root mean square is {root}"
    );
}

/// A new terminal a second, a hundred seconds: what was merged leaves the window again.
#[test]
fn distinct_count_over_a_merged_window_forgets_what_has_left() {
    let window = Window::Sliding(100 * SECOND_NS);
    let set = set_of(over(Aggregate::Distinct(Field::Id(Entity::Terminal)), window));
    let mut store = store(&set, &bounded(0, 32, 1024));
    for (index, mut event) in every_second(1000).enumerate() {
        event.terminal = index as u32;
        let found = apply(&mut store, &event)[0];
        let exact = (index + 1).min(100) as f32;
        assert!(
            found >= 0.74 * exact && found <= 1.26 * 2.0 * exact,
            "{found} at {index}, exact {exact}"
        );
    }
    let later = transaction(START_NS + 1100 * SECOND_NS, 0, "later");
    assert_eq!(apply(&mut store, &later)[0], 1.0);
}

/// Seven terminals at once, thirty more after a while, then one now and then: a quarter of the window after they
/// left it, the first are counted no more.
#[test]
fn distinct_count_of_merged_events_starts_wrong_by_less_than_a_quarter_of_the_window() {
    let window = Window::Sliding(100 * SECOND_NS);
    let set = set_of(over(Aggregate::Distinct(Field::Id(Entity::Terminal)), window));
    for first_at in 0..100 {
        let mut store = store(&set, &bounded(0, 32, 1024));
        let seconds = [[0; 7].as_slice(), &[first_at; 30], &[126, 140, 160, 180, 198]].concat();
        for (index, &second) in seconds.iter().enumerate() {
            let mut event = transaction(START_NS + second * SECOND_NS, 0, "t");
            event.terminal = index as u32;
            let found = apply(&mut store, &event)[0];
            let since = |back: i64| {
                let held = seconds[..=index].iter().filter(|&&at| at > second - back).count();
                held as f32
            };
            let (least, most) = (since(100), since(126));
            assert!(
                found >= 0.74 * least - 1.0 && found <= 1.26 * most + 1.0,
                "{found} at {second}, {least} to {most} expected, the thirty at {first_at}"
            );
        }
    }
}

/// Transactions of customer 0 at these terminals, a second apart, counted per pair.
#[track_caller]
fn check_pairs(when_full: WhenFull, terminals: &[u32], expected: &[f32], evicted_and_refused: [u64; 2]) {
    let mut window = over(Aggregate::Count, Window::Forever);
    window.entity = EntityKey::Pair(Entity::Customer, Entity::Terminal);
    let mut config = bounded(0, 16, 256);
    (config.pairs.entities_max, config.pairs.when_full) = (2, when_full);
    let mut store = store(&set_of(window), &config);
    let found: Vec<f32> = every_second(terminals.len() as i64)
        .zip(terminals)
        .map(|(event, &terminal)| apply(&mut store, &PaymentRecord { terminal, ..event })[0])
        .collect();
    assert_eq!(found, expected);
    let usage = store.usage();
    assert_eq!([usage.pairs_evicted, usage.pairs_refused], evicted_and_refused);
}

#[test]
fn pair_that_was_idle_for_longest_makes_room_and_starts_from_nothing_when_it_comes_back() {
    let terminals = [0, 1, 0, 2, 0, 1, 2];
    let expected = [1.0, 1.0, 2.0, 1.0, 3.0, 1.0, 1.0];
    check_pairs(WhenFull::EvictOldestIdle, &terminals, &expected, [3, 0]);
}

#[test]
fn pair_without_room_is_missing_and_the_others_go_on() {
    let terminals = [0, 1, 2, 0, 2, 1];
    let expected = [1.0, 1.0, -1.0, 2.0, -1.0, 2.0];
    check_pairs(WhenFull::Reject, &terminals, &expected, [0, 2]);
}

/// The same values over and over are not counted again.
#[test]
fn distinct_count_of_merged_events_does_not_grow_with_repetition() {
    let set = set_of(over(
        Aggregate::Distinct(Field::Id(Entity::Terminal)),
        Window::Forever,
    ));
    let mut store = store(&set, &bounded(0, 16, 256));
    let mut settled = Vec::new();
    for (index, mut event) in every_second(20_000).enumerate() {
        event.terminal = index as u32 % 200;
        settled.push(apply(&mut store, &event)[0]);
    }
    assert!((settled[400] - 200.0).abs() <= 200.0 * 0.26, "{}", settled[400]);
    assert!(settled[400..].iter().all(|&value| value == settled[400]));
}
