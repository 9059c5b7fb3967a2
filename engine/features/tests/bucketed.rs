//! Bucketed precision: its error in time is less than a bucket, and its memory does not depend on the events.

mod support;

use pinion_features::set::{Aggregate, DAY_NS, FeatureKind, Precision, SECOND_NS, Window, WindowFeature};
use pinion_schemas::records::PaymentRecord;
use proptest::prelude::*;
use support::build::{AMOUNT, START_NS, feature, over, set, set_of, transaction};
use support::check::{apply, bounded, compare, reference, store, wide};
use support::generate::{Habits, events, steps};
use support::random::Random;

const MINUTE_NS: i64 = 60 * SECOND_NS;

/// Of a customer's transactions, a bucket a minute.
fn bucketed(aggregate: Aggregate, window: Window, delay_ns: i64) -> WindowFeature {
    WindowFeature {
        delay_ns,
        precision: Precision::Bucketed(MINUTE_NS),
        ..over(aggregate, window)
    }
}

/// Second and amount of each transaction, and what is expected of it.
#[track_caller]
fn check_store(window: WindowFeature, cases: &[(i64, f32)]) {
    let mut store = store(&set_of(window), &wide(0));
    let found: Vec<f32> = cases
        .iter()
        .map(|&(second, _)| apply(&mut store, &transaction(START_NS + second * SECOND_NS, 1, "t"))[0])
        .collect();
    let expected: Vec<f32> = cases.iter().map(|&(_, value)| value).collect();
    assert_eq!(found, expected);
}

#[test]
fn window_begins_with_the_bucket_that_holds_its_start() {
    let window = bucketed(Aggregate::Count, Window::Sliding(2 * MINUTE_NS), 0);
    check_store(
        window,
        &[
            (0, 1.0),
            (59, 2.0),
            (60, 3.0),
            (178, 4.0),
            (179, 5.0),
            (180, 4.0),
            (239, 5.0),
            (240, 5.0),
        ],
    );
}

#[test]
fn delayed_window_ends_with_the_last_whole_bucket() {
    let window = bucketed(Aggregate::Count, Window::Sliding(2 * MINUTE_NS), MINUTE_NS);
    check_store(
        window,
        &[
            (0, 0.0),
            (59, 0.0),
            (60, 0.0),
            (118, 0.0),
            (120, 2.0),
            (179, 2.0),
            (180, 4.0),
        ],
    );
}

#[test]
fn tumbling_window_of_whole_buckets_is_exact() {
    let window = bucketed(Aggregate::Count, Window::Tumbling(2 * MINUTE_NS), 0);
    check_store(
        window,
        &[(0, 1.0), (119, 2.0), (120, 1.0), (239, 2.0), (240, 1.0)],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Everything of the window that is not in its last bucket is counted, nothing from before the bucket in which
    /// it begins, and nothing after its end.
    #[test]
    fn prop_error_in_time_is_less_than_a_bucket(
        minutes in 2..90_i64,
        delay_minutes in 0..30_i64,
        steps in steps(Habits { kinds: [1, 0, 0], lateness: [1, 0, 0], fresh_one_in: 100 }, 200),
    ) {
        let (length, delay_ns) = (minutes * MINUTE_NS, delay_minutes * MINUTE_NS);
        let exact = |from_ns: i64, to_ns: i64| WindowFeature {
            delay_ns: to_ns,
            ..over(Aggregate::Count, Window::Sliding(from_ns - to_ns))
        };
        let sure_ns = if delay_ns == 0 { 0 } else { delay_ns + MINUTE_NS };
        let windows = [
            exact(delay_ns + length, sure_ns),
            bucketed(Aggregate::Count, Window::Sliding(length), delay_ns),
            exact(delay_ns + length + MINUTE_NS, delay_ns),
        ];
        let set = set(windows.map(|window| feature(FeatureKind::Window(window))).into());
        let mut store = store(&set, &wide(0));
        for event in events(&steps, 0) {
            let [least, found, most] = *apply(&mut store, &event).first_chunk().expect("three places");
            prop_assert!(least <= found && found <= most, "{found} is not from {least} to {most}");
        }
    }
}

/// A day of an event a second in 128 places: equal to the reference on bucket times, nothing merged.
#[test]
fn a_day_of_events_takes_one_place_a_bucket() {
    let windows = [
        Window::Sliding(10 * MINUTE_NS),
        Window::Sliding(90 * MINUTE_NS),
        Window::Tumbling(60 * MINUTE_NS),
    ];
    let totals = [
        Aggregate::Count,
        Aggregate::Sum(AMOUNT),
        Aggregate::Variance(AMOUNT),
        Aggregate::Max(AMOUNT),
    ];
    let over_windows = |aggregate| windows.map(|window| bucketed(aggregate, window, 0));
    let features = totals.into_iter().flat_map(over_windows);
    let set = set(features
        .map(|window| feature(FeatureKind::Window(window)))
        .collect());
    let config = bounded(600, 128, 4096);
    let mut store = store(&set, &config);
    let mut reference = reference(&set, &config);
    let mut random = Random::new(11);
    for second in 0..DAY_NS / SECOND_NS / 4 {
        let event = day_event(&mut random, second);
        let found = apply(&mut store, &event);
        if random.below(500) == 0 {
            compare(&set, &found, &reference.apply(&event)).unwrap();
        } else {
            reference.absorb(&event);
        }
    }
}

/// One event in eight is up to ten minutes late.
fn day_event(random: &mut Random, second: i64) -> PaymentRecord {
    let late_s = if random.below(8) == 0 {
        random.below(600)
    } else {
        0
    };
    let event_ns = START_NS + (second - late_s as i64) * SECOND_NS;
    transaction(event_ns, random.next() as i64 >> 20, "t")
}
