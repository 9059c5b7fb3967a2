//! What can be set of the books: section `[book]` of the configuration.
//!
//! Invariant: [`BookConfig::validate`] runs before any memory is taken.

use serde::{Deserialize, Serialize};

use crate::error::BookError;

/// Section `[book]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BookConfig {
    /// Events handled in one duty cycle. Range: 1 to 4096. Default: 64.
    pub batch_max: u32,
    /// Instruments held; at least ingest.instruments_max. Sizes a table once at start: 64 bytes each.
    /// Range: 1 to 1048576. Default: 4096.
    pub instruments_max: u32,
    /// Instruments that have depth (book updates by order or by level). The first that come get it; depth of
    /// further ones is counted and left out. Each takes 2 × levels_max × 16 bytes at start: 8 MiB in all by
    /// default. Range: 1 to 65536. Default: 64.
    pub depth_instruments_max: u32,
    /// Price levels held per side. When a side has more, its worst level is dropped, counted, and not known
    /// again until it is updated. Range: 16 to 65536. Default: 4096.
    pub levels_max: u32,
    /// Open orders held, of all by-order instruments together. Sizes a table once at start: 64 to 80 bytes
    /// each. When it is full, orders are counted and left out of the book. Range: 1 to 16777216.
    /// Default: 262144.
    pub orders_max: u32,
}

impl Default for BookConfig {
    fn default() -> Self {
        Self {
            batch_max: 64,
            instruments_max: 4096,
            depth_instruments_max: 64,
            levels_max: 4096,
            orders_max: 262_144,
        }
    }
}

impl BookConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key that is out of its range, with what was found and expected.
    pub fn validate(&self) -> Result<(), BookError> {
        let ranges = [
            ("book.batch_max", self.batch_max, 1, 4096),
            ("book.instruments_max", self.instruments_max, 1, 1 << 20),
            (
                "book.depth_instruments_max",
                self.depth_instruments_max,
                1,
                1 << 16,
            ),
            ("book.levels_max", self.levels_max, 16, 1 << 16),
            ("book.orders_max", self.orders_max, 1, 1 << 24),
        ];
        for (key, found, low, high) in ranges {
            if !(low..=high).contains(&found) {
                return Err(BookError::Range {
                    key,
                    found,
                    low,
                    high,
                });
            }
        }
        Ok(())
    }

    /// Memory taken at start. Unit: bytes.
    pub fn memory_len(&self) -> u64 {
        let ladders = u64::from(self.depth_instruments_max) * 2 * u64::from(self.levels_max) * 16;
        let buckets = (2 * u64::from(self.orders_max)).next_power_of_two() * 8;
        64 * u64::from(self.instruments_max) + ladders + 48 * u64::from(self.orders_max) + buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut BookConfig), expected: &str) {
        let mut config = BookConfig::default();
        change(&mut config);
        let found = config
            .validate()
            .map_or_else(|error| error.to_string(), |()| String::new());
        assert_eq!(found, expected);
    }

    #[test]
    fn value_out_of_range_is_refused_by_its_key() {
        check(|_| (), "");
        check(
            |config| config.batch_max = 0,
            "book.batch_max is 0, expected 1 to 4096",
        );
        check(
            |config| config.levels_max = 4,
            "book.levels_max is 4, expected 16 to 65536",
        );
        check(
            |config| config.orders_max = 0,
            "book.orders_max is 0, expected 1 to 16777216",
        );
    }
}
