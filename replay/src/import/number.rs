//! Decimal text to exact integers and back: no floating point on the way.
//!
//! Invariant: what [`format_scaled`] writes, [`parse_scaled`] reads back to the same integer.

use std::fmt;

/// Decimal places of prices and quantities: their unit is 1e-9.
pub const PRICE_PLACES: u32 = 9;

/// Decimal places of amounts: their unit is the cent.
pub const AMOUNT_PLACES: u32 = 2;

/// Why a text is not a number of the wanted scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// Not `[-]digits[.digits]`.
    NotDecimal,
    /// A digit other than 0 stands past the last place of the scale.
    TooPrecise,
    /// Does not fit a 64-bit integer at this scale.
    OutOfRange,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDecimal => "a decimal number",
            Self::TooPrecise => "a number with fewer decimal places",
            Self::OutOfRange => "a number within the range of 64 bits",
        })
    }
}

/// Reads a decimal number as an integer in units of 10 to the power of `-places`.
///
/// ```
/// use pinion_replay::import::number::parse_scaled;
/// assert_eq!(parse_scaled("61800.20", 9), Ok(61_800_200_000_000));
/// assert!(parse_scaled("1.005", 2).is_err());
/// ```
pub fn parse_scaled(text: &str, places: u32) -> Result<i64, NumberError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(NumberError::NotDecimal);
    }
    let kept_len = fraction.len().min(places as usize);
    let (kept, dropped) = fraction.split_at(kept_len);
    if dropped.bytes().any(|byte| byte != b'0') {
        return Err(NumberError::TooPrecise);
    }
    let zeros = std::iter::repeat_n(b'0', places as usize - kept_len);
    let mut value: i64 = 0;
    for digit in whole.bytes().chain(kept.bytes()).chain(zeros) {
        let digit = i64::from(digit - b'0');
        let signed = if negative { -digit } else { digit };
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(signed))
            .ok_or(NumberError::OutOfRange)?;
    }
    Ok(value)
}

/// Writes an integer in units of 10 to the power of `-places` as a decimal number, zeros at the end left out.
pub fn format_scaled(value: i64, places: u32) -> String {
    let unit = 10_u64.pow(places);
    let sign = if value < 0 { "-" } else { "" };
    let (whole, fraction) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let digits = format!("{fraction:0width$}", width = places as usize);
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// An amount held as a binary fraction to cents, or `None` if it is not a number of whole cents.
///
/// Published files keep amounts with two decimals in 64-bit floats; the nearest cent is exact while it is
/// within a ten-thousandth of a cent.
pub fn cents_of_float(amount: f64) -> Option<i64> {
    let scaled = amount * 100.0;
    let rounded = scaled.round();
    let is_cents = rounded.abs() < 9e15 && (scaled - rounded).abs() < 1e-4;
    is_cents.then_some(rounded as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, places: u32, expected: Result<i64, NumberError>) {
        assert_eq!(parse_scaled(text, places), expected, "{text:?}");
    }

    #[test]
    fn decimals_become_exact_integers() {
        check("61800.20", 9, Ok(61_800_200_000_000));
        check("0.00000001", 9, Ok(10));
        check("-3.5", 2, Ok(-350));
        check("146", 2, Ok(14_600));
        check("2.080000", 2, Ok(208));
        check("9223372036.854775807", 9, Ok(i64::MAX));
        check("-9223372036.854775808", 9, Ok(i64::MIN));
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        check("1.005", 2, Err(NumberError::TooPrecise));
        check("9223372036.854775808", 9, Err(NumberError::OutOfRange));
        for text in [
            "", "-", ".5", "5.", "1e5", "+1", " 1", "1,5", "0x10", "1.2.3", "--1", "１",
        ] {
            check(text, 9, Err(NumberError::NotDecimal));
        }
    }

    #[test]
    fn floats_of_whole_cents_are_amounts() {
        assert_eq!(cents_of_float(57.16), Some(5_716));
        assert_eq!(cents_of_float(-0.1), Some(-10));
        assert_eq!(cents_of_float(25_691.16), Some(2_569_116));
        assert_eq!(cents_of_float(1.005), None);
        assert_eq!(cents_of_float(f64::NAN), None);
        assert_eq!(cents_of_float(f64::INFINITY), None);
    }

    proptest! {
        #[test]
        fn prop_written_numbers_read_back(value: i64, places in 0_u32..=9) {
            prop_assert_eq!(parse_scaled(&format_scaled(value, places), places), Ok(value));
        }

        #[test]
        fn prop_any_text_is_read_or_refused(text in "\\PC{0,24}", places in 0_u32..=9) {
            if let Ok(value) = parse_scaled(&text, places) {
                prop_assert_eq!(parse_scaled(&format_scaled(value, places), places), Ok(value));
            }
        }

        #[test]
        fn prop_cents_survive_a_float(cents in -1_000_000_000_i64..1_000_000_000) {
            prop_assert_eq!(cents_of_float(cents as f64 / 100.0), Some(cents));
        }
    }
}
