//! Section `[drift]`: how far the model's inputs and scores have moved.

use serde::{Deserialize, Serialize};

/// Values of one input that are held or counted at most.
const TRANSACTIONS_MAX: u32 = 1_000_000;

/// How far the model's inputs and scores have moved. It is counted beside the engine and changes no decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriftConfig {
    /// Transactions that later ones are compared with, unless the model's manifest has a reference: the first that the
    /// engine's replica takes after the start. Costs 4 bytes for each and each feature of the model, once at start.
    /// Range: 100 to 1000000. Default: 10000.
    pub reference_transactions: u32,
    /// Transactions of a window; at the end of each the counters drift.feature.* and drift.score show its population
    /// stability index against the reference, in thousandths: below 100 nothing moved, from 250 on it did. Small
    /// windows tell of chance: about 20000 / n thousandths for n transactions. 0: drift is not counted.
    /// Range: 0 to 1000000. Default: 5000.
    pub window_transactions: u32,
}

impl Default for DriftConfig {
    fn default() -> Self {
        Self {
            reference_transactions: 10_000,
            window_transactions: 5_000,
        }
    }
}

impl DriftConfig {
    /// Refuses what is out of range; the message begins with the key.
    ///
    /// # Errors
    /// The first key that is out of range.
    pub fn validate(&self) -> Result<(), String> {
        let keys = [
            ("reference_transactions", self.reference_transactions, 100),
            ("window_transactions", self.window_transactions, 0),
        ];
        let in_range = |got: u32, min: u32| (min..=TRANSACTIONS_MAX).contains(&got);
        match keys.into_iter().find(|&(_, got, min)| !in_range(got, min)) {
            None => Ok(()),
            Some((key, got, min)) => Err(format!(
                "drift.{key} is {got}, expected {min} to {TRANSACTIONS_MAX}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused_by_key() {
        let config = DriftConfig::default();
        config.validate().unwrap();
        let few = DriftConfig {
            reference_transactions: 99,
            ..config.clone()
        };
        assert_eq!(
            few.validate().unwrap_err(),
            "drift.reference_transactions is 99, expected 100 to 1000000"
        );
        let many = DriftConfig {
            window_transactions: 1_000_001,
            ..config
        };
        assert_eq!(
            many.validate().unwrap_err(),
            "drift.window_transactions is 1000001, expected 0 to 1000000"
        );
    }
}
