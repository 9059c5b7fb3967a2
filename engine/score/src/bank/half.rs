//! Half precision by integer arithmetic, so that every machine rounds alike.
//!
//! Invariant: reading is exact; writing rounds to the nearest, ties to even.

/// Sign of a half.
const SIGN: u16 = 0x8000;
/// Bits of a single's fraction that a half has not.
const CUT: u32 = 13;
/// Difference of the two exponents' biases, where a single's exponent stands.
const REBIAS: u32 = (127 - 15) << 23;
/// The smallest half that is not subnormal, as a single's bits.
const NORMAL_MIN: u32 = REBIAS + (1 << 23);
/// One step of subnormal halves: 2^-24.
const STEP: f32 = 1.0 / 16_777_216.0;

/// The nearest half. Bound: the value is below 65,504 in amount.
pub(super) fn from_single(value: f32) -> u16 {
    let bits = value.to_bits();
    let amount = bits & 0x7fff_ffff;
    let sign = (bits >> 16) as u16 & SIGN;
    if amount < NORMAL_MIN {
        // A single next to one half has steps of 2^-24: adding rounds to them.
        let rounded = (f32::from_bits(amount) + 0.5).to_bits() - 0.5_f32.to_bits();
        return sign | rounded as u16;
    }
    let is_odd = amount >> CUT & 1;
    let rounded = amount + (1 << (CUT - 1)) - 1 + is_odd;
    sign | ((rounded - REBIAS) >> CUT) as u16
}

/// The value of a half.
#[inline(always)]
pub(crate) fn to_single(half: u16) -> f32 {
    let amount = u32::from(half & !SIGN);
    let normal = f32::from_bits((amount << CUT) + REBIAS);
    let subnormal = amount as f32 * STEP;
    let value = if amount < 1 << 10 { subnormal } else { normal };
    f32::from_bits(value.to_bits() | u32::from(half & SIGN) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_comes_back() {
        for half in (0..0x7c00).chain(SIGN..SIGN | 0x7c00) {
            assert_eq!(from_single(to_single(half)), half, "{half:#x}");
        }
    }

    #[test]
    fn rounds_to_the_nearest_and_ties_to_even() {
        let check =
            |value: f32, expected: f32| assert_eq!(to_single(from_single(value)), expected, "{value}");
        check(1.0, 1.0);
        check(-0.333_333_34, -0.333_251_95);
        check(1.0 + 1.0 / 2048.0, 1.0);
        check(1.0 + 3.0 / 2048.0, 1.0 + 2.0 / 1024.0);
        check(STEP * 0.5, 0.0);
        check(STEP * 1.5, STEP * 2.0);
        check(1.0 / 16_384.0 - STEP * 0.25, 1.0 / 16_384.0);
    }
}
