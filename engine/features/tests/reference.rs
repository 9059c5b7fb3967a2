//! The reference that the store is held to, held to values worked out by hand.

mod support;

use pinion_features::set::{
    Aggregate, Condition, Entity, EntityKey, EventKind, FeatureKind, FeatureSet, Field, Filter, FilterField,
    Precision, SECOND_NS, Test, Transform, Window, WindowFeature,
};
use pinion_schemas::ids::DENSE_ID_NONE;
use pinion_schemas::records::{PaymentRecord, fresh, payment_kind};
use support::build::{AMOUNT, START_NS, account_update, feature, label, over, set, set_of, transaction};
use support::reference::{Expected, FRAUD, Reference};

const GENUINE: u8 = 1;

const TEN: Window = Window::Sliding(10 * SECOND_NS);
const HALF_LIFE_NS: i64 = 10 * SECOND_NS;

/// Transactions of one customer: second, amount.
fn transactions(events: &[(i64, i64)]) -> Vec<PaymentRecord> {
    let at = |(index, &(second, amount)): (usize, &(i64, i64))| {
        transaction(START_NS + second * SECOND_NS, amount, &format!("t{index}"))
    };
    events.iter().enumerate().map(at).collect()
}

/// The first place of the vector of each transaction; lateness is five seconds.
fn values(set: &FeatureSet, events: &[PaymentRecord]) -> Vec<f32> {
    let mut reference = Reference::new(set, 5 * SECOND_NS).with_entities_max([4; 6]);
    let vectors: Vec<_> = events.iter().map(|event| reference.apply(event)).collect();
    let of_transactions = events
        .iter()
        .zip(vectors)
        .filter(|(event, _)| event.origin.kind == payment_kind::TRANSACTION);
    of_transactions.map(|(_, vector)| vector[0].value()).collect()
}

#[track_caller]
fn check(window: &WindowFeature, events: &[PaymentRecord], expected: &[f32]) {
    assert_eq!(values(&set_of(window.clone()), events), expected);
}

/// An aggregate over ten seconds of customer 0: second, amount → value.
#[track_caller]
fn check_ten(aggregate: Aggregate, cases: &[(i64, i64, f32)]) {
    let events: Vec<(i64, i64)> = cases
        .iter()
        .map(|&(second, amount, _)| (second, amount))
        .collect();
    let expected: Vec<f32> = cases.iter().map(|&(_, _, value)| value).collect();
    check(&over(aggregate, TEN), &transactions(&events), &expected);
}

#[test]
fn sliding_window_leaves_out_its_start_and_holds_its_end() {
    check_ten(
        Aggregate::Count,
        &[(0, 0, 1.0), (9, 0, 2.0), (10, 0, 2.0), (10, 0, 3.0), (30, 0, 1.0)],
    );
}

#[test]
fn sum_and_mean_are_of_the_amounts() {
    check_ten(
        Aggregate::Sum(AMOUNT),
        &[(0, 100, 100.0), (3, -30, 70.0), (10, 5, -25.0)],
    );
    check_ten(
        Aggregate::Mean(AMOUNT),
        &[(0, 100, 100.0), (3, -30, 35.0), (10, 5, -12.5)],
    );
}

#[test]
fn variance_is_of_the_population() {
    let cases = [(0, 2, 0.0), (1, 4, 1.0), (2, 4, 8.0 / 9.0), (3, 10, 9.0)];
    check_ten(Aggregate::Variance(AMOUNT), &cases);
    let roots = [
        (0, 2, 0.0),
        (1, 4, 1.0),
        (2, 4, (8.0_f64 / 9.0).sqrt() as f32),
        (3, 10, 3.0),
    ];
    check_ten(Aggregate::StandardDeviation(AMOUNT), &roots);
}

#[test]
fn variance_of_negative_amounts_is_that_of_their_mirror() {
    check_ten(
        Aggregate::Variance(AMOUNT),
        &[(0, -1, 0.0), (1, -2, 0.25), (2, -6, 14.0 / 3.0)],
    );
}

#[test]
fn variance_of_amounts_that_hardly_differ_loses_nothing() {
    let big = (1 << 47) - 3;
    check_ten(
        Aggregate::Variance(AMOUNT),
        &[(0, big, 0.0), (1, big + 2, 1.0), (2, big + 1, 2.0 / 3.0)],
    );
}

#[test]
fn least_and_greatest_leave_with_their_events() {
    check_ten(
        Aggregate::Min(AMOUNT),
        &[(0, -5, -5.0), (4, 7, -5.0), (10, 9, 7.0), (15, 8, 8.0)],
    );
    check_ten(
        Aggregate::Max(AMOUNT),
        &[(0, 50, 50.0), (4, 7, 50.0), (10, 9, 9.0), (15, 8, 9.0)],
    );
}

#[test]
fn first_and_last_go_by_time_and_then_by_arrival() {
    let late = [
        (0, 1, 1.0),
        (6, 2, 1.0),
        (3, 3, 1.0),
        (6, 4, 1.0),
        (12, 5, 3.0),
        (13, 6, 2.0),
        (16, 7, 5.0),
    ];
    check_ten(Aggregate::First(AMOUNT), &late);
    let last = [(0, 1, 1.0), (6, 2, 2.0), (3, 3, 3.0), (6, 4, 4.0), (6, 5, 5.0)];
    check_ten(Aggregate::Last(AMOUNT), &last);
}

#[test]
fn last_before_the_current_one_is_missing_at_first() {
    let mut window = over(Aggregate::Last(AMOUNT), TEN);
    window.includes_current = false;
    check(
        &window,
        &transactions(&[(0, 7), (5, 8), (5, 9), (20, 1)]),
        &[-1.0, 7.0, 8.0, -1.0],
    );
}

#[test]
fn time_since_last_is_in_seconds_and_leaves_the_current_one_out() {
    let mut window = over(Aggregate::TimeSinceLast, Window::Forever);
    window.includes_current = false;
    check(
        &window,
        &transactions(&[(0, 0), (7, 0), (7, 0), (1007, 0)]),
        &[-1.0, 7.0, 0.0, 1000.0],
    );
}

#[test]
fn time_since_last_counts_from_now_and_not_from_the_delayed_end() {
    let mut window = over(Aggregate::TimeSinceLast, Window::Forever);
    window.delay_ns = 4 * SECOND_NS;
    check(
        &window,
        &transactions(&[(0, 0), (3, 0), (5, 0), (8, 0)]),
        &[-1.0, -1.0, 5.0, 5.0],
    );
}

#[test]
fn delay_keeps_events_out_until_it_is_over() {
    let mut window = over(Aggregate::Count, TEN);
    window.delay_ns = 5 * SECOND_NS;
    check(
        &window,
        &transactions(&[(0, 0), (5, 0), (9, 0), (10, 0), (15, 0)]),
        &[0.0, 1.0, 1.0, 2.0, 3.0],
    );
}

#[test]
fn tumbling_window_begins_at_a_multiple_of_its_length_since_the_epoch() {
    let window = over(Aggregate::Count, Window::Tumbling(60 * SECOND_NS));
    check(
        &window,
        &transactions(&[(-1, 0), (0, 0), (59, 0), (60, 0), (61, 0)]),
        &[1.0, 1.0, 2.0, 1.0, 2.0],
    );
    let before_epoch: Vec<_> = [-61, -60, -1, 0]
        .map(|second| transaction(second * SECOND_NS, 0, "t"))
        .into();
    check(&window, &before_epoch, &[1.0, 1.0, 2.0, 1.0]);
}

#[test]
fn tumbling_window_of_a_delayed_time_is_that_times_own() {
    let mut window = over(Aggregate::Count, Window::Tumbling(10 * SECOND_NS));
    window.delay_ns = 4 * SECOND_NS;
    let events = transactions(&[(0, 0), (6, 0), (13, 0), (14, 0), (17, 0), (21, 0)]);
    check(&window, &events, &[0.0, 1.0, 2.0, 0.0, 1.0, 3.0]);
}

#[test]
fn window_by_number_holds_the_latest() {
    let window = over(Aggregate::Sum(AMOUNT), Window::Last(2));
    check(
        &window,
        &transactions(&[(0, 1), (100, 2), (1000, 4), (998, 8)]),
        &[1.0, 3.0, 6.0, 10.0],
    );
}

#[test]
fn window_of_everything_forgets_nothing() {
    let window = over(Aggregate::Sum(AMOUNT), Window::Forever);
    check(
        &window,
        &transactions(&[(0, 1), (100_000_000, 2), (500_000_000, 4)]),
        &[1.0, 3.0, 7.0],
    );
}

#[test]
fn late_event_sees_only_what_was_up_to_its_time() {
    check_ten(
        Aggregate::Count,
        &[
            (0, 0, 1.0),
            (20, 0, 1.0),
            (15, 0, 1.0),
            (17, 0, 2.0),
            (20, 0, 4.0),
        ],
    );
}

#[test]
fn event_that_is_too_late_counts_at_the_time_of_the_newest() {
    check_ten(
        Aggregate::Count,
        &[
            (0, 0, 1.0),
            (20, 0, 1.0),
            (14, 0, 2.0),
            (29, 0, 3.0),
            (30, 0, 2.0),
        ],
    );
}

#[test]
fn sums_of_huge_amounts_do_not_wrap() {
    let held = ((1_i64 << 47) - 1) as f64;
    check_ten(
        Aggregate::Sum(AMOUNT),
        &[(0, i64::MAX, held as f32), (1, i64::MAX, (2.0 * held) as f32)],
    );
    check_ten(Aggregate::Min(AMOUNT), &[(0, i64::MIN, -held as f32)]);
}

#[test]
fn rate_is_the_number_in_units_of_time() {
    let rate = Aggregate::Rate {
        per_ns: 60 * SECOND_NS,
    };
    check_ten(rate, &[(0, 0, 6.0), (1, 0, 12.0), (10, 0, 12.0)]);
}

#[test]
fn z_score_is_missing_until_there_is_a_spread() {
    let mut window = over(Aggregate::ZScore(AMOUNT), TEN);
    window.includes_current = false;
    let events = transactions(&[(0, 4), (1, 4), (2, 4), (3, 8), (4, 9)]);
    check(
        &window,
        &events,
        &[-1.0, -1.0, -1.0, -1.0, (4.0 / 3.0_f64.sqrt()) as f32],
    );
}

#[test]
fn distinct_counts_values_and_no_absent_id() {
    let mut events = transactions(&[(0, 0), (1, 0), (2, 0), (3, 0), (11, 0)]);
    for (event, terminal) in events.iter_mut().zip([3, 3, DENSE_ID_NONE, 1, DENSE_ID_NONE]) {
        event.terminal = terminal;
    }
    let window = over(Aggregate::Distinct(Field::Id(Entity::Terminal)), TEN);
    check(&window, &events, &[1.0, 1.0, 1.0, 2.0, 1.0]);
}

#[test]
fn decayed_sum_halves_with_every_half_life() {
    let (source, half_life_ns) = (AMOUNT, HALF_LIFE_NS);
    let events = transactions(&[(0, 8), (10, 4), (30, 1)]);
    let sum = Aggregate::DecayedSum { source, half_life_ns };
    check(&over(sum, Window::Forever), &events, &[8.0, 8.0, 3.0]);
    let mean = Aggregate::DecayedMean { source, half_life_ns };
    let means = [8.0, (8.0 / 1.5) as f32, (3.0 / 1.375) as f32];
    check(&over(mean, Window::Forever), &events, &means);
}

#[test]
fn decayed_sum_ages_from_now_and_not_from_the_delayed_end() {
    let sum = Aggregate::DecayedSum {
        source: AMOUNT,
        half_life_ns: HALF_LIFE_NS,
    };
    let mut window = over(sum, Window::Sliding(20 * SECOND_NS));
    window.delay_ns = 10 * SECOND_NS;
    check(
        &window,
        &transactions(&[(0, 8), (10, 4), (20, 1), (30, 0)]),
        &[0.0, 4.0, 4.0, 1.5],
    );
}

#[test]
fn decayed_mean_of_what_has_long_faded_may_be_missing() {
    let mean = Aggregate::DecayedMean {
        source: AMOUNT,
        half_life_ns: SECOND_NS,
    };
    let mut window = over(mean, Window::Forever);
    window.includes_current = false;
    let mut reference = Reference::new(&set_of(window), 0);
    let events = transactions(&[(0, 8), (100_000, 4)]);
    reference.apply(&events[0]);
    let expected = reference.apply(&events[1])[0];
    assert!(expected.admits(&[8.0], 0) && expected.admits(&[-1.0], 0) && !expected.admits(&[7.9], 0));
}

#[test]
fn filtered_out_transaction_reads_at_its_time_and_is_not_kept() {
    let mut window = over(Aggregate::Count, TEN);
    window.filter = Filter {
        conditions: vec![Condition {
            field: FilterField::Field(AMOUNT),
            test: Test::Between(10, 20),
        }],
    };
    let events = transactions(&[(0, 9), (1, 10), (2, 20), (3, 21), (1000, 9), (3, 15)]);
    check(&window, &events, &[0.0, 1.0, 2.0, 2.0, 0.0, 3.0]);
}

#[test]
fn all_conditions_of_a_filter_hold() {
    let mut window = over(Aggregate::Count, Window::Forever);
    let condition = |field, values: &[i64]| Condition {
        field: FilterField::Field(field),
        test: Test::AnyOf(values.to_vec()),
    };
    window.filter = Filter {
        conditions: vec![
            condition(Field::Channel, &[1, 3]),
            condition(Field::Outcome, &[2]),
        ],
    };
    let mut events = transactions(&[(0, 0), (1, 0), (2, 0)]);
    for (event, (channel, outcome)) in events.iter_mut().zip([(3, 2), (1, 1), (2, 2)]) {
        (event.channel, event.outcome) = (channel, outcome);
    }
    check(&window, &events, &[1.0, 1.0, 1.0]);
}

#[test]
fn absent_entity_is_missing_even_for_a_count() {
    let mut events = transactions(&[(0, 0), (1, 0), (2, 0)]);
    for (event, customer) in events.iter_mut().zip([DENSE_ID_NONE, 4, 3]) {
        event.customer = customer;
    }
    check(&over(Aggregate::Count, TEN), &events, &[-1.0, -1.0, 1.0]);
}

#[test]
fn pair_needs_both_of_its_entities() {
    let mut window = over(Aggregate::Count, TEN);
    window.entity = EntityKey::Pair(Entity::Customer, Entity::Terminal);
    let mut events = transactions(&[(0, 0), (1, 0), (2, 0), (3, 0)]);
    for (event, terminal) in events.iter_mut().zip([1, 2, DENSE_ID_NONE, 1]) {
        event.terminal = terminal;
    }
    check(&window, &events, &[1.0, 1.0, -1.0, 2.0]);
}

#[test]
fn label_counts_from_its_arrival_until_it_is_taken_back() {
    let payments = transactions(&[(0, 0), (1, 0), (2, 0), (3, 0)]);
    let verdict = |verdict| label(&payments[0], START_NS + 50 * SECOND_NS, verdict);
    let events = [
        payments[0],
        verdict(FRAUD),
        payments[1],
        verdict(FRAUD),
        payments[2],
        verdict(GENUINE),
        payments[3],
    ];
    check(
        &over(Aggregate::Sum(Field::Fraud), TEN),
        &events,
        &[0.0, 1.0, 1.0, 0.0],
    );
    let shares = [0.0, 0.5, (1.0 / 3.0) as f32, 0.0];
    check(&over(Aggregate::Mean(Field::Fraud), TEN), &events, &shares);
}

#[test]
fn label_of_a_transaction_that_is_not_known_as_named_changes_nothing() {
    let payments = transactions(&[(20, 0), (1, 0), (21, 0)]);
    let mut of_another_time = label(&payments[0], START_NS, FRAUD);
    of_another_time.transaction_ns += 1;
    let mut of_another_customer = label(&payments[0], START_NS, FRAUD);
    of_another_customer.customer = 1;
    let events = [
        payments[0],
        payments[1],
        of_another_time,
        of_another_customer,
        payments[2],
    ];
    check(&over(Aggregate::Sum(Field::Fraud), TEN), &events, &[0.0; 3]);
}

#[test]
fn label_finds_a_transaction_that_came_too_late_where_it_stands() {
    let payments = transactions(&[(20, 0), (1, 0), (21, 0)]);
    let of_too_late = label(&payments[1], START_NS, FRAUD);
    let events = [payments[0], payments[1], of_too_late, payments[2]];
    check(
        &over(Aggregate::Sum(Field::Fraud), TEN),
        &events,
        &[0.0, 0.0, 1.0],
    );
}

#[test]
fn windows_over_labels_and_account_updates_go_by_their_own_times() {
    let payments = transactions(&[(0, 7), (3, 0), (11, 0), (20, 0)]);
    let known = label(&payments[0], START_NS + SECOND_NS, GENUINE);
    let update = account_update(START_NS + 2 * SECOND_NS, 900, 2);
    let events = [payments[0], known, update, payments[1], payments[2], payments[3]];
    let mut labels = over(Aggregate::Count, TEN);
    labels.event = EventKind::Label;
    check(&labels, &events, &[0.0, 1.0, 0.0, 0.0]);
    let mut limits = over(Aggregate::Last(AMOUNT), Window::Forever);
    limits.event = EventKind::Account;
    check(&limits, &events, &[-1.0, 900.0, 900.0, 900.0]);
}

#[test]
fn fresh_entity_starts_from_nothing_and_so_do_its_pairs() {
    let mut events = transactions(&[(0, 1), (1, 1), (2, 1), (3, 1)]);
    events[2].fresh = fresh::TERMINAL;
    let mut window = over(Aggregate::Count, Window::Forever);
    check(&window, &events, &[1.0, 2.0, 3.0, 4.0]);
    window.entity = EntityKey::Pair(Entity::Customer, Entity::Terminal);
    check(&window, &events, &[1.0, 2.0, 1.0, 2.0]);
}

#[test]
fn fresh_entity_is_not_late() {
    let mut events = transactions(&[(100, 1), (0, 1), (1, 1)]);
    events[1].fresh = fresh::CUSTOMER;
    check(&over(Aggregate::TimeSinceLast, TEN), &events, &[0.0, 0.0, 0.0]);
}

#[test]
fn buckets_are_taken_whole_at_the_start_of_the_window() {
    let mut window = over(Aggregate::Count, TEN);
    window.precision = Precision::Bucketed(4 * SECOND_NS);
    // At 13 the window begins after 3, in the bucket from 0; at 14 after 4, in that from 4; at 18 in that from 8.
    let events = transactions(&[(0, 0), (3, 0), (4, 0), (13, 0), (14, 0), (18, 0)]);
    check(&window, &events, &[1.0, 2.0, 3.0, 4.0, 3.0, 3.0]);
}

#[test]
fn buckets_are_used_only_when_a_delay_is_over_for_all_of_them() {
    let mut window = over(Aggregate::Count, TEN);
    window.precision = Precision::Bucketed(4 * SECOND_NS);
    window.delay_ns = 2 * SECOND_NS;
    let events = transactions(&[(0, 0), (3, 0), (5, 0), (6, 0), (10, 0)]);
    check(&window, &events, &[0.0, 0.0, 0.0, 2.0, 4.0]);
}

#[test]
fn tumbling_buckets_hold_the_one_in_which_the_window_begins() {
    let mut window = over(Aggregate::Count, Window::Tumbling(10 * SECOND_NS));
    window.precision = Precision::Bucketed(4 * SECOND_NS);
    check(
        &window,
        &transactions(&[(7, 0), (8, 0), (9, 0), (12, 0)]),
        &[1.0, 2.0, 3.0, 3.0],
    );
}

#[test]
fn times_at_the_ends_of_the_clock_are_held() {
    let events = [i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX].map(|time| transaction(time, 0, "t"));
    check(&over(Aggregate::Count, TEN), &events, &[0.0, 1.0, 1.0, 2.0]);
    check(
        &over(Aggregate::Count, Window::Forever),
        &events,
        &[1.0, 2.0, 3.0, 4.0],
    );
}

#[test]
fn transforms_are_of_the_current_event() {
    let value = |transform, second| {
        let set = set(vec![feature(FeatureKind::Current(transform))]);
        values(&set, &transactions(&[(second, -100)]))[0]
    };
    assert_eq!(value(Transform::Raw(AMOUNT), 0), -100.0);
    assert_eq!(value(Transform::Log(AMOUNT), 0), -(101_f32.ln()));
    assert_eq!(value(Transform::Log(Field::Channel), 0), 0.0);
    assert_eq!(value(Transform::Hour, 6 * 3600), 1.0);
    assert_eq!(value(Transform::IsNight { hour_max: 6 }, 7 * 3600 - 1), 1.0);
    assert_eq!(value(Transform::IsNight { hour_max: 6 }, 7 * 3600), 0.0);
    assert_eq!(value(Transform::IsWeekend, 0), 1.0);
    assert_eq!(value(Transform::IsWeekend, 86_400), 0.0);
    assert!((value(Transform::Weekday, 86_400 + 7 * 86_400 / 4) - 1.0).abs() < 1e-6);
}

#[test]
fn ratio_is_missing_where_the_denominator_is_0() {
    let ratio = FeatureKind::Ratio {
        numerator: 0,
        denominator: 1,
    };
    let mut previous = over(Aggregate::Count, TEN);
    previous.includes_current = false;
    let parts = [over(Aggregate::Sum(AMOUNT), TEN), previous];
    let mut features: Vec<_> = parts
        .into_iter()
        .map(|part| feature(FeatureKind::Window(part)))
        .collect();
    features.push(feature(ratio));
    let mut reference = Reference::new(&set(features), 0);
    let mut last = |event: &PaymentRecord| reference.apply(event)[2];
    let events = transactions(&[(0, 6), (1, 3), (2, 3)]);
    let ratios: Vec<Expected> = events.iter().map(&mut last).collect();
    assert_eq!(ratios, [-1.0, 9.0, 6.0].map(Expected::Exactly));
}
