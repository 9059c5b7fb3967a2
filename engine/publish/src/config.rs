//! What can be set of publish: section `[publish]` of the configuration.
//!
//! Invariant: [`PublishConfig::validate`] runs before any memory is taken.

use serde::{Deserialize, Serialize};

use crate::error::PublishError;

/// What happens to a decision while nobody listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenUnheard {
    /// It is journaled, counted as unheard and not sent.
    #[default]
    Drop,
    /// It waits for a listener, and everything behind it waits too, up to the publishers.
    Wait,
}

/// Section `[publish]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishConfig {
    /// Decisions taken from each lane in one duty cycle, and rejects answered. Range: 1 to 4096. Default: 64.
    pub batch_max: u32,
    /// What happens to a decision while nobody listens: "drop" counts it and goes on, "wait" holds everything
    /// up until somebody does. Default: "drop".
    pub when_unheard: WhenUnheard,
    /// A decision that waited this long for the journal, for room or for a listener is a fault. Unit:
    /// milliseconds. Range: 1 to 3600000. Default: 1000.
    pub stalled_after_ms: u32,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self {
            batch_max: 64,
            when_unheard: WhenUnheard::Drop,
            stalled_after_ms: 1_000,
        }
    }
}

impl PublishConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key that is out of its range, with what was found and expected.
    pub fn validate(&self) -> Result<(), PublishError> {
        let ranges = [
            ("publish.batch_max", self.batch_max, 1, 4096),
            ("publish.stalled_after_ms", self.stalled_after_ms, 1, 3_600_000),
        ];
        for (key, found, low, high) in ranges {
            if !(low..=high).contains(&found) {
                return Err(PublishError::OutOfRange {
                    key,
                    found,
                    low,
                    high,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(config: &PublishConfig, expected: &str) {
        assert_eq!(
            config
                .validate()
                .map_or_else(|error| error.to_string(), |()| String::new()),
            expected
        );
    }

    #[test]
    fn value_out_of_range_is_refused_by_its_key() {
        let config = PublishConfig::default();
        check(&config, "");
        let no_batch = PublishConfig {
            batch_max: 0,
            ..config.clone()
        };
        check(&no_batch, "publish.batch_max is 0, expected 1 to 4096");
        let never = PublishConfig {
            stalled_after_ms: 3_600_001,
            ..config
        };
        check(
            &never,
            "publish.stalled_after_ms is 3600001, expected 1 to 3600000",
        );
    }
}
