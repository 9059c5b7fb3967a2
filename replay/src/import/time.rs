//! Civil time of the files to nanoseconds since the Unix epoch and back. Times without an offset are read as UTC.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Nanoseconds of a second.
pub const SECOND_NS: i64 = 1_000_000_000;

/// Nanoseconds of a day.
pub const DAY_NS: i64 = 86_400 * SECOND_NS;

/// Midnight (UTC) of a day written `2018-04-01`.
pub fn parse_day(text: &str) -> Option<i64> {
    let date: Date = text.parse().ok()?;
    nanoseconds_of(date.at(0, 0, 0, 0))
}

/// A time written `2018-04-01 00:00:31`, or with an offset, as in RFC 3339: `2018-04-01T00:00:31.5Z`.
pub fn parse_time(text: &str) -> Option<i64> {
    // First with an offset: read as a civil time, the text would lose it.
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return i64::try_from(timestamp.as_nanosecond()).ok();
    }
    nanoseconds_of(text.parse().ok()?)
}

/// A time as RFC 3339 in UTC, with as many decimals as it has.
pub fn format_time(time_ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(time_ns))
        .map_or_else(|_| time_ns.to_string(), |time| time.to_string())
}

fn nanoseconds_of(time: DateTime) -> Option<i64> {
    let zoned = time.to_zoned(TimeZone::UTC).ok()?;
    i64::try_from(zoned.timestamp().as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_utc() {
        assert_eq!(parse_time("2018-04-01 00:00:31"), Some(1_522_540_831 * SECOND_NS));
        assert_eq!(
            parse_time("2018-04-01T00:00:31.5Z"),
            Some(1_522_540_831 * SECOND_NS + SECOND_NS / 2)
        );
        assert_eq!(
            parse_time("2018-04-01T02:00:31+02:00"),
            Some(1_522_540_831 * SECOND_NS)
        );
        assert_eq!(parse_day("2018-04-01"), Some(1_522_540_800 * SECOND_NS));
        assert_eq!(parse_day("2018-13-01"), None);
        assert_eq!(parse_time("yesterday"), None);
    }

    #[test]
    fn every_time_is_written_as_it_is_read() {
        for time_ns in [0, 1, i64::MIN, i64::MAX, 1_522_540_831_000_000_123] {
            assert_eq!(parse_time(&format_time(time_ns)), Some(time_ns));
        }
    }
}
