//! What can be set of the bank: how many cases, how exactly they are kept, and who leaves first.
//!
//! Invariant: [`BankConfig::validate`] runs before any memory is taken.

use serde::{Deserialize, Serialize};

use crate::error::ScoreError;

/// The most rows of a bank.
pub const ROWS_MAX: u32 = 1 << 20;

/// The most values of an embedding.
pub const DIMENSIONS_MAX: usize = 128;

/// The most cells.
pub const CELLS_MAX: u32 = 4096;

/// The longest time between two measurements of recall. Unit: searches.
const RECALL_EVERY_MAX: u32 = 1_000_000_000;

/// The highest floor: above it the mean would have to be exactly 1.
const RECALL_FLOOR_MAX: u32 = 999;

/// The longest life of a case by event time. Unit: seconds (about 31 years).
const AGE_S_MAX: u64 = 1_000_000_000;

/// How exactly an embedding is kept. What a search finds is exact for what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// As it came: 4 bytes per value and 1 for the scan.
    #[default]
    F32,
    /// Half precision: 2 bytes per value and 1 for the scan. A similarity is off by less than 0.0005.
    F16,
    /// Eight bits and one scale per row: 1 byte per value. A similarity is off by about 0.002, and by less than 0.02.
    Int8,
}

/// Which case leaves when the bank is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The oldest of the class that uses most of its cap, genuine if both do: the rarer class stays.
    #[default]
    OldestOfFullestClass,
    /// The oldest of all.
    Oldest,
}

/// Section `[score.bank]`. "Oldest" is whose label was learnt first, whenever its event was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BankConfig {
    /// Cases held. Sizes the tables once at start: 128 to 180 bytes each, and 1 to 5 per value of the embedding.
    /// Range: 1 to 1048576, and at least as many as the model's bank begins with. Default: 16384.
    pub rows_max: u32,
    /// How an embedding is kept: "f32", "f16" or "int8". Default: "f32".
    pub precision: Precision,
    /// Frauds held at most; one more and the oldest leaves, counted. 0: as many as rows_max.
    /// Range: 0 to rows_max. Default: 0.
    pub fraud_rows_max: u32,
    /// Genuine cases held at most, as of frauds. 0: as many as rows_max. Range: 0 to rows_max. Default: 0.
    pub genuine_rows_max: u32,
    /// Cases held of one entity, so that one attack cannot flood the bank; one more and its oldest leaves, counted.
    /// Cases without an entity are not limited. 0: no limit. Range: 0 to 1048576. Default: 32.
    pub entity_rows_max: u32,
    /// Cases whose event is older leave. 0: never. Unit: seconds. Range: 0 to 1000000000. Default: 0.
    pub age_s_max: u64,
    /// Who leaves when all rows are taken, counted: "oldest-of-fullest-class" (the oldest of the class that uses
    /// most of its cap) or "oldest". Default: "oldest-of-fullest-class".
    pub when_full: WhenFull,
    /// From so many rows on, search scans only the cells of rows whose centroids are nearest, and may miss some of the
    /// nearest rows; below, and where rows were never laid out in cells, it is exact. Exact search takes about as long
    /// as this one up to some ten thousand rows. 0: always exact. Range: 0 to rows_max. Default: 0.
    pub approximate_from_rows: u32,
    /// Cells that rows are laid out in at most; fewer if there are less than 16 cases for each. Each takes up to 1.5
    /// KiB; inserting takes longer with more. Only with approximate_from_rows. Range: 2 to 4096. Default: 1024.
    pub cells: u32,
    /// Cells that a search scans: more find more and take longer. Range: 1 to cells. Default: 32.
    pub probes: u32,
    /// Every so many searches one is made both ways and compared, the ten nearest: that one takes as long as an exact
    /// one more. 0: never, and recall_floor_permille says nothing. Range: 0 to 1000000000. Default: 4096.
    pub recall_every: u32,
    /// When less than this share of the nearest is found, as a mean over the last samples, exact search takes over,
    /// counted, until the mean is half way between here and all. Unit: thousandths. Range: 0 to 999. Default: 950.
    pub recall_floor_permille: u32,
}

impl Default for BankConfig {
    fn default() -> Self {
        Self {
            rows_max: 16_384,
            precision: Precision::default(),
            fraud_rows_max: 0,
            genuine_rows_max: 0,
            entity_rows_max: 32,
            age_s_max: 0,
            when_full: WhenFull::default(),
            approximate_from_rows: 0,
            cells: 1024,
            probes: 32,
            recall_every: 4096,
            recall_floor_permille: 950,
        }
    }
}

impl BankConfig {
    /// Refuses values that are out of range.
    ///
    /// # Errors
    /// [`ScoreError::Bank`] with the key.
    pub fn validate(&self) -> Result<(), ScoreError> {
        let rows_max = u64::from(self.rows_max);
        let all = u64::from(ROWS_MAX);
        let bounds = [
            ("score.bank.rows_max", rows_max, 1, all),
            (
                "score.bank.fraud_rows_max",
                self.fraud_rows_max.into(),
                0,
                rows_max,
            ),
            (
                "score.bank.genuine_rows_max",
                self.genuine_rows_max.into(),
                0,
                rows_max,
            ),
            ("score.bank.entity_rows_max", self.entity_rows_max.into(), 0, all),
            ("score.bank.age_s_max", self.age_s_max, 0, AGE_S_MAX),
            (
                "score.bank.approximate_from_rows",
                self.approximate_from_rows.into(),
                0,
                rows_max,
            ),
            ("score.bank.cells", self.cells.into(), 2, CELLS_MAX.into()),
            ("score.bank.probes", self.probes.into(), 1, self.cells.into()),
            (
                "score.bank.recall_every",
                self.recall_every.into(),
                0,
                RECALL_EVERY_MAX.into(),
            ),
            (
                "score.bank.recall_floor_permille",
                self.recall_floor_permille.into(),
                0,
                RECALL_FLOOR_MAX.into(),
            ),
        ];
        for (key, got, min, max) in bounds {
            if !(min..=max).contains(&got) {
                return Err(ScoreError::Bank { key, got, min, max });
            }
        }
        Ok(())
    }

    /// Cells that there may be; 1 if rows are never laid out in cells.
    pub(super) fn cells_max(&self) -> usize {
        if self.approximate_from_rows == 0 {
            1
        } else {
            self.cells as usize
        }
    }

    /// Genuine cases and frauds held at most, 0 being spelt out.
    pub(super) fn caps(&self) -> [u32; 2] {
        [self.genuine_rows_max, self.fraud_rows_max].map(|cap| if cap == 0 { self.rows_max } else { cap })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut BankConfig), expected: &str) {
        let mut config = BankConfig::default();
        change(&mut config);
        assert_eq!(config.validate().unwrap_err().to_string(), expected);
    }

    #[test]
    fn values_out_of_range_are_refused_by_key() {
        BankConfig::default().validate().unwrap();
        check(
            |config| config.rows_max = 0,
            "score.bank.rows_max is 0, expected 1 to 1048576",
        );
        check(
            |config| config.rows_max = ROWS_MAX + 1,
            "score.bank.rows_max is 1048577, expected 1 to 1048576",
        );
        check(
            |config| config.fraud_rows_max = 16_385,
            "score.bank.fraud_rows_max is 16385, expected 0 to 16384",
        );
        check(
            |config| config.genuine_rows_max = 16_385,
            "score.bank.genuine_rows_max is 16385, expected 0 to 16384",
        );
        check(
            |config| config.entity_rows_max = ROWS_MAX + 1,
            "score.bank.entity_rows_max is 1048577, expected 0 to 1048576",
        );
        check(
            |config| config.age_s_max = AGE_S_MAX + 1,
            "score.bank.age_s_max is 1000000001, expected 0 to 1000000000",
        );
        check(
            |config| config.approximate_from_rows = 16_385,
            "score.bank.approximate_from_rows is 16385, expected 0 to 16384",
        );
        check(
            |config| config.cells = 1,
            "score.bank.cells is 1, expected 2 to 4096",
        );
        check(
            |config| (config.cells, config.probes) = (20, 21),
            "score.bank.probes is 21, expected 1 to 20",
        );
        check(
            |config| config.recall_every = 1_000_000_001,
            "score.bank.recall_every is 1000000001, expected 0 to 1000000000",
        );
        check(
            |config| config.recall_floor_permille = 1000,
            "score.bank.recall_floor_permille is 1000, expected 0 to 999",
        );
    }

    #[test]
    fn misspelt_key_is_refused() {
        let read = toml::from_str::<BankConfig>;
        assert!(
            read("rows_maximum = 1")
                .unwrap_err()
                .to_string()
                .contains("rows_maximum")
        );
        let config = read("precision = \"int8\"\nwhen_full = \"oldest\"").unwrap();
        assert_eq!(
            (config.precision, config.when_full),
            (Precision::Int8, WhenFull::Oldest)
        );
    }
}
