//! What can be set of the bank: how many cases, how exactly they are kept, and who leaves first.
//!
//! Invariant: [`BankConfig::validate`] runs before any memory is taken.

use serde::{Deserialize, Serialize};

use crate::error::ScoreError;

/// The most rows of a bank.
pub const ROWS_MAX: u32 = 1 << 20;

/// The most values of an embedding.
pub const DIMENSIONS_MAX: usize = 128;

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
        let bounds = [
            ("score.bank.rows_max", rows_max, 1, u64::from(ROWS_MAX)),
            (
                "score.bank.fraud_rows_max",
                u64::from(self.fraud_rows_max),
                0,
                rows_max,
            ),
            (
                "score.bank.genuine_rows_max",
                u64::from(self.genuine_rows_max),
                0,
                rows_max,
            ),
            (
                "score.bank.entity_rows_max",
                u64::from(self.entity_rows_max),
                0,
                u64::from(ROWS_MAX),
            ),
            ("score.bank.age_s_max", self.age_s_max, 0, AGE_S_MAX),
        ];
        for (key, got, min, max) in bounds {
            if !(min..=max).contains(&got) {
                return Err(ScoreError::Bank { key, got, min, max });
            }
        }
        Ok(())
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
