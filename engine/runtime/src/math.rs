//! Elementary functions from additions and multiplications alone: the same bits on every machine, which the
//! platform's own functions do not promise.
//!
//! Invariant: no call into the platform's mathematics; a replay on another machine gives the same bits.

use std::f64::consts::{FRAC_PI_2, LN_2, LOG2_E};

/// e^x to within 1e-14 of itself; x is held to ±700.
///
/// ```
/// assert!((pinion_runtime::math::exp(1.0) - std::f64::consts::E).abs() < 1e-14);
/// ```
pub fn exp(x: f64) -> f64 {
    const TERMS: usize = 14;
    let x = x.clamp(-700.0, 700.0);
    let halvings = (x * LOG2_E + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let rest = x - halvings as f64 * LN_2;
    let mut sum = 1.0;
    for term in (1..TERMS).rev() {
        sum = 1.0 + sum * rest / term as f64;
    }
    sum * f64::from_bits(((1023 + halvings) as u64) << 52)
}

/// 2^x, as [`exp`].
pub fn exp2(x: f64) -> f64 {
    exp(x * LN_2)
}

/// The natural logarithm of a normal positive number, to within 1e-14.
///
/// ```
/// assert_eq!(pinion_runtime::math::ln(1.0), 0.0);
/// ```
pub fn ln(x: f64) -> f64 {
    const TERMS: i32 = 25;
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    for term in (0..TERMS).rev() {
        sum = sum * square + 1.0 / f64::from(2 * term + 1);
    }
    2.0 * ratio * sum + exponent as f64 * LN_2
}

/// Sine and cosine of an angle in turns, 0 to 1, to within 1e-14.
///
/// ```
/// assert_eq!(pinion_runtime::math::sin_cos_turns(0.25), (1.0, 0.0));
/// ```
pub fn sin_cos_turns(turns: f64) -> (f64, f64) {
    let quarter = (4.0 * turns + 0.5) as i64;
    let angle = (4.0 * turns - quarter as f64) * FRAC_PI_2;
    let (sine, cosine) = sin_cos_small(angle);
    match quarter.rem_euclid(4) {
        0 => (sine, cosine),
        1 => (cosine, -sine),
        2 => (-sine, -cosine),
        _ => (-cosine, sine),
    }
}

/// Of an angle within ±π/4, by their series.
fn sin_cos_small(angle: f64) -> (f64, f64) {
    const TERMS: i32 = 10;
    let square = angle * angle;
    let (mut sine, mut cosine) = (1.0, 1.0);
    for term in (1..TERMS).rev() {
        sine = 1.0 - sine * square / f64::from(2 * term * (2 * term + 1));
        cosine = 1.0 - cosine * square / f64::from(2 * term * (2 * term - 1));
    }
    (sine * angle, cosine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prop_exp_and_ln_agree_with_the_platform(x in -30.0_f64..30.0) {
            prop_assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "{} {}", exp(x), x.exp());
            prop_assert!((exp2(x) / x.exp2() - 1.0).abs() < 1e-12, "{} {}", exp2(x), x.exp2());
            let y = x.exp();
            prop_assert!((ln(y) - y.ln()).abs() < 1e-12 * (1.0 + y.ln().abs()), "{} {}", ln(y), y.ln());
        }

        #[test]
        fn prop_sine_and_cosine_agree_with_the_platform(turns in 0.0_f64..=1.0) {
            let (sine, cosine) = sin_cos_turns(turns);
            let expected = (turns * std::f64::consts::TAU).sin_cos();
            prop_assert!((sine - expected.0).abs() < 1e-14 && (cosine - expected.1).abs() < 1e-14);
        }
    }
}
