//! How large a vector is, and rounding, without calls into a library: eight lanes that the compiler can keep in
//! registers, added up in one order on every machine.
//!
//! Invariant: the same bits on every machine.

const LANES: usize = 8;

/// The length of a vector.
#[inline]
pub(super) fn length(values: &[f64]) -> f64 {
    let mut sums = [0.0_f64; LANES];
    let (eights, rest) = values.as_chunks::<LANES>();
    for eight in eights {
        for (sum, value) in sums.iter_mut().zip(eight) {
            *sum += value * value;
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += value * value;
    }
    sums.iter().sum::<f64>().sqrt()
}

/// The length of a vector of singles, not finite if one of them is not.
#[inline]
pub(super) fn length_of_singles(values: &[f32]) -> f64 {
    let mut doubles = [0.0; super::DIMENSIONS_MAX];
    let doubles = &mut doubles[..values.len()];
    for (double, &value) in doubles.iter_mut().zip(values) {
        *double = f64::from(value);
    }
    length(doubles)
}

/// The largest amount among values that are numbers.
#[inline]
pub(super) fn largest(values: &[f32]) -> f32 {
    let mut most = [0.0_f32; LANES];
    let (eights, rest) = values.as_chunks::<LANES>();
    let raise = |most: &mut [f32; LANES], values: &[f32]| {
        for (most, value) in most.iter_mut().zip(values) {
            let amount = value.abs();
            *most = if amount > *most { amount } else { *most };
        }
    };
    eights.iter().for_each(|eight| raise(&mut most, eight));
    raise(&mut most, rest);
    most.iter().fold(0.0, |most, &amount| most.max(amount))
}

/// The nearest whole number, ties to even. Bound: the value is below 2^22 in amount.
#[inline]
pub(super) fn nearest_whole(value: f32) -> f32 {
    // Next to this number singles have steps of 1: adding rounds to them.
    const STEPS_OF_ONE: f32 = 12_582_912.0;
    (value + STEPS_OF_ONE) - STEPS_OF_ONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_a_few_and_of_many() {
        assert_eq!(length(&[3.0, 4.0]), 5.0);
        assert_eq!(length_of_singles(&[1.0; 100]), 10.0);
        assert!(!length_of_singles(&[1.0, f32::NAN]).is_finite());
        assert_eq!(largest(&[0.5; 9]), 0.5);
        assert_eq!(largest(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, -9.0]), 9.0);
    }

    #[test]
    fn whole_numbers_are_the_nearest_and_ties_even() {
        for value in [0.0, 0.49, 0.5, 0.51, 1.5, 2.5, 126.5, 32_511.5, 1e-30] {
            assert_eq!(nearest_whole(value), value.round_ties_even(), "{value}");
            assert_eq!(nearest_whole(-value), (-value).round_ties_even(), "{value}");
        }
    }
}
