//! What an operator can set of the scoring stage.

use serde::{Deserialize, Serialize};

use crate::bank::{BankConfig, ROWS_MAX};
use crate::cases::CaseEntity;
use crate::error::ScoreError;

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// Which code runs the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// ONNX Runtime on the CPU.
    Onnx,
    /// Our own loops over the same weights: needs no library, gives the same bits on every machine.
    Native,
}

/// The scoring stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreConfig {
    /// Folder of the model: manifest.toml, encoder.onnx, bank.bin. A relative path is looked for in the working
    /// directory, then in the folders above the program and above the working directory.
    pub model: String,
    /// What runs the encoder: "onnx" (ONNX Runtime on the CPU) or "native" (own code, no library needed,
    /// same bits on every machine). The two agree to 1e-5.
    pub backend: Backend,
    /// Path of the ONNX Runtime library, or "auto": beside the program, in its lib folder, or where
    /// `cargo xtask setup` puts it.
    pub library: String,
    /// Events scored in one duty cycle at most; of these, up to 32 are encoded at once. 1 to 1024.
    pub batch_max: u32,
    /// How long two events and more wait for others to be encoded with, until there are `batch_max`: from the acceptance
    /// of the first of them on. One that is there alone is scored at once. A longer batch costs less per event and holds
    /// up its first. 0: what is there is scored. Unit: microseconds. 0 to 1000000.
    pub batch_wait_us: u32,
    /// Scored transactions that wait for their label; it takes them into the bank. One more and the oldest can be
    /// learnt from no more, counted. Sizes the table once at start: 80 bytes each, and 4 per value of the embedding.
    /// 0: the bank stays the model's own, but for corrections and erasures. 0 to 1048576.
    pub waiting_max: u32,
    /// A transaction without a label counts as genuine after this time by the events' clock; a later label takes that
    /// back. score.waiting_max must hold the transactions of that time. 0: only a label says so, and where there are
    /// labels of frauds alone, the bank fills with frauds. Unit: seconds. 0 to 31536000.
    pub genuine_after_s: u64,
    /// Whose cases score.bank.entity_rows_max limits together, and whose earlier payments reasons compare with:
    /// "customer", "terminal", "card", "merchant", "device" or "account".
    pub case_entity: CaseEntity,
    /// Entities whose earlier payments are known; one more, and of a few the one seen longest ago makes room. Sizes the
    /// table once at start: 16 bytes each, and 8 per feature of the model. 0: reasons compare with training alone.
    /// 0 to 1048576.
    pub histories_max: u32,
    /// The cases that scores are made of.
    pub bank: BankConfig,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            model: "models/fraud-v2".to_owned(),
            backend: Backend::Onnx,
            library: "auto".to_owned(),
            batch_max: 32,
            batch_wait_us: 0,
            waiting_max: 65_536,
            genuine_after_s: 7 * DAY_S,
            case_entity: CaseEntity::default(),
            histories_max: 65_536,
            bank: BankConfig::default(),
        }
    }
}

impl ScoreConfig {
    /// The section without what cannot change a score: which model it is, its hash says; where the library lies, and how
    /// many events are scored at once and how long they wait for that, makes no difference.
    pub fn deciding(&self) -> Self {
        let Self {
            model,
            library,
            batch_max,
            batch_wait_us,
            ..
        } = Self::default();
        Self {
            model,
            library,
            batch_max,
            batch_wait_us,
            ..self.clone()
        }
    }

    /// Refuses values that are out of range.
    ///
    /// # Errors
    /// [`ScoreError::BatchMax`], [`ScoreError::Empty`], [`ScoreError::Bank`].
    pub fn validate(&self) -> Result<(), ScoreError> {
        if !(1..=1024).contains(&self.batch_max) {
            return Err(ScoreError::BatchMax { got: self.batch_max });
        }
        if self.model.is_empty() {
            return Err(ScoreError::Empty { key: "score.model" });
        }
        if self.library.is_empty() {
            return Err(ScoreError::Empty { key: "score.library" });
        }
        let limits = [
            ("score.batch_wait_us", self.batch_wait_us.into(), 1_000_000),
            ("score.waiting_max", self.waiting_max.into(), ROWS_MAX.into()),
            ("score.histories_max", self.histories_max.into(), ROWS_MAX.into()),
            ("score.genuine_after_s", self.genuine_after_s, 365 * DAY_S),
        ];
        for (key, got, max) in limits {
            if got > max {
                return Err(ScoreError::Bank {
                    key,
                    got,
                    min: 0,
                    max,
                });
            }
        }
        self.bank.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut ScoreConfig), expected: &str) {
        let mut config = ScoreConfig::default();
        change(&mut config);
        assert_eq!(config.validate().unwrap_err().to_string(), expected);
    }

    #[test]
    fn values_out_of_range_are_refused_by_key() {
        ScoreConfig::default().validate().unwrap();
        check(
            |config| config.batch_max = 0,
            "score.batch_max is 0, expected 1 to 1024",
        );
        check(
            |config| config.model.clear(),
            "score.model is empty, expected a path",
        );
        check(
            |config| config.library.clear(),
            "score.library is empty, expected a path",
        );
        check(
            |config| config.batch_wait_us = 1_000_001,
            "score.batch_wait_us is 1000001, expected 0 to 1000000",
        );
        check(
            |config| config.waiting_max = ROWS_MAX + 1,
            "score.waiting_max is 1048577, expected 0 to 1048576",
        );
        check(
            |config| config.histories_max = ROWS_MAX + 1,
            "score.histories_max is 1048577, expected 0 to 1048576",
        );
        check(
            |config| config.genuine_after_s = 365 * DAY_S + 1,
            "score.genuine_after_s is 31536001, expected 0 to 31536000",
        );
        check(
            |config| config.bank.rows_max = 0,
            "score.bank.rows_max is 0, expected 1 to 1048576",
        );
    }
}
