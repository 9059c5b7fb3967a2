//! Features of the current transaction alone.
//!
//! Invariant: a transform writes all of its slots; the platform's mathematics is not called.

use pinion_runtime::math::{ln, sin_cos_turns};
use pinion_schemas::records::PaymentRecord;

use crate::fields;
use crate::set::{DAY_NS, SECOND_NS, Transform};

/// Days from Monday to the day of the epoch, a Thursday.
const EPOCH_WEEKDAY: i64 = 3;

/// Writes a transform's slots, which are all of `slots`.
pub(crate) fn write(transform: &Transform, payment: &PaymentRecord, slots: &mut [f32]) {
    let time_ns = payment.origin.event_ns;
    match transform {
        Transform::Raw(field) => slots[0] = fields::number(payment, *field) as f32,
        Transform::Log(field) => slots[0] = log(fields::number(payment, *field)),
        Transform::Hour => write_cycle(time_ns.rem_euclid(DAY_NS), DAY_NS, slots),
        Transform::Weekday => write_cycle(week_ns(time_ns), 7 * DAY_NS, slots),
        Transform::IsNight { hour_max } => slots[0] = f32::from(is_night(time_ns, *hour_max)),
        Transform::IsWeekend => slots[0] = f32::from(is_weekend(time_ns)),
        Transform::OneHot(field) => {
            slots.fill(0.0);
            if let Some(slot) = slots.get_mut(fields::number(payment, *field) as usize) {
                *slot = 1.0;
            }
        }
    }
}

/// sign(x) · ln(1 + |x|).
fn log(value: i64) -> f32 {
    let logarithm = ln(1.0 + value.unsigned_abs() as f64);
    (logarithm * value.signum() as f64) as f32
}

#[inline(never)]
fn write_cycle(since_ns: i64, len_ns: i64, slots: &mut [f32]) {
    let (sine, cosine) = sin_cos_turns(since_ns as f64 / len_ns as f64);
    slots[0] = sine as f32;
    slots[1] = cosine as f32;
}

/// Time since Monday, 00:00 UTC. Unit: ns.
fn week_ns(time_ns: i64) -> i64 {
    let day = (time_ns.div_euclid(DAY_NS) + EPOCH_WEEKDAY).rem_euclid(7);
    day * DAY_NS + time_ns.rem_euclid(DAY_NS)
}

/// Saturday or Sunday.
fn is_weekend(time_ns: i64) -> bool {
    week_ns(time_ns) >= 5 * DAY_NS
}

fn is_night(time_ns: i64, hour_max: u8) -> bool {
    time_ns.rem_euclid(DAY_NS) / (3600 * SECOND_NS) <= i64::from(hour_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: i64 = 1_522_540_800 * SECOND_NS; // 2018-04-01, a Sunday

    #[test]
    fn weekend_and_night_are_those_of_utc() {
        let hour_ns = 3600 * SECOND_NS;
        assert!(is_weekend(T0));
        assert!(!is_weekend(T0 + DAY_NS));
        assert!(is_weekend(T0 + 6 * DAY_NS));
        assert!(is_night(T0 + 7 * hour_ns - 1, 6));
        assert!(!is_night(T0 + 7 * hour_ns, 6));
        assert!(is_night(-DAY_NS, 6), "before the epoch");
    }

    #[test]
    fn cycles_begin_at_midnight_and_on_monday() {
        let mut slots = [f32::NAN; 2];
        write_cycle(0, DAY_NS, &mut slots);
        assert_eq!(slots, [0.0, 1.0]);
        assert_eq!(week_ns(T0 + DAY_NS), 0);
    }

    #[test]
    fn logarithm_keeps_the_sign() {
        assert_eq!(log(0), 0.0);
        assert_eq!(log(-100), -log(100));
        assert!((log(99) - 100_f32.ln()).abs() < 1e-6);
        assert!(log(i64::MIN).is_finite());
    }
}
