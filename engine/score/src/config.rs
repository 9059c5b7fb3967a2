//! What an operator can set of the scoring stage.

use serde::{Deserialize, Serialize};

use crate::error::ScoreError;

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
    /// Events scored in one duty cycle at most. 1 to 1024.
    pub batch_max: u32,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            model: "models/fraud-v1".to_owned(),
            backend: Backend::Onnx,
            library: "auto".to_owned(),
            batch_max: 16,
        }
    }
}

impl ScoreConfig {
    /// Refuses values that are out of range.
    ///
    /// # Errors
    /// [`ScoreError::BatchMax`], [`ScoreError::Empty`].
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
        Ok(())
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
    }
}
