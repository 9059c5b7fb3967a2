//! Lengths of time as people write them: `"90s"`, `"10m"`, `"30d"`.
//!
//! Invariant: [`parse`] reads what [`short`] writes, as the same number.

use super::{DAY_NS, SECOND_NS};

/// The units, longest first: the word in a file, one and many of them in a sentence, length in ns.
const UNITS: [(&str, &str, i64); 7] = [
    ("d", "day", DAY_NS),
    ("h", "hour", 3_600 * SECOND_NS),
    ("m", "minute", 60 * SECOND_NS),
    ("s", "second", SECOND_NS),
    ("ms", "millisecond", 1_000_000),
    ("us", "microsecond", 1_000),
    ("ns", "nanosecond", 1),
];

/// The length of time that a text names: a whole number followed by a unit. Unit: ns; saturates.
pub(super) fn parse(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, word) = text.split_at(digits);
    let unit_ns = UNITS.iter().find(|unit| unit.0 == word)?.2;
    let is_number = !number.is_empty();
    is_number.then(|| number.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(unit_ns))
}

/// A length of time in the longest unit that it is a whole number of, as in a file: `7d`.
pub(super) fn short(length_ns: i64) -> String {
    let (number, (word, _, _)) = whole(length_ns);
    format!("{number}{word}")
}

/// The same as in a sentence: `7 days`.
pub(super) fn words(length_ns: i64) -> String {
    let (number, (_, word, _)) = whole(length_ns);
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}

/// One of a length of time, where that is one unit: `hour`, but `10 minutes`.
pub(super) fn each(length_ns: i64) -> String {
    match whole(length_ns) {
        (1, (_, word, _)) => word.to_owned(),
        _ => words(length_ns),
    }
}

fn whole(length_ns: i64) -> (i64, (&'static str, &'static str, i64)) {
    let second = UNITS[3];
    let unit = UNITS.into_iter().find(|unit| length_ns % unit.2 == 0);
    let unit = unit.filter(|_| length_ns != 0).unwrap_or(second);
    (length_ns / unit.2, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn duration_is_a_whole_number_and_a_unit() {
        check("1d", Some(DAY_NS));
        check("10m", Some(600 * SECOND_NS));
        check("36h", Some(DAY_NS * 3 / 2));
        check("250ms", Some(SECOND_NS / 4));
        check("5us", Some(5_000));
        check("0ns", Some(0));
        check("99999999999999999999d", Some(i64::MAX));
        for broken in [
            "", "d", "1", "1x", "1 d", "-1d", "1.5d", "+1d", "1D", "1dd", "1d ", "٣d",
        ] {
            check(broken, None);
        }
    }

    #[test]
    fn duration_is_written_in_its_longest_whole_unit_and_read_again() {
        let cases = [
            (0, "0s", "0 seconds"),
            (1, "1ns", "1 nanosecond"),
            (DAY_NS, "1d", "1 day"),
        ];
        let more = [
            (DAY_NS + SECOND_NS, "86401s", "86401 seconds"),
            (7_200 * SECOND_NS, "2h", "2 hours"),
        ];
        for (length_ns, expected, sentence) in cases.into_iter().chain(more) {
            assert_eq!(short(length_ns), expected);
            assert_eq!(words(length_ns), sentence);
            check(expected, Some(length_ns));
        }
        assert_eq!(each(3_600 * SECOND_NS), "hour");
        assert_eq!(each(600 * SECOND_NS), "10 minutes");
    }
}
