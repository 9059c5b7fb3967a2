//! Section `[strategy]`: which modules decide, and what happens when one fails.

use pinion_strategies_api::{Action, Parameters, parameters::Value};
use serde::{Deserialize, Serialize};

use crate::error::StrategyError;

/// What is decided when a module cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// No answer.
    None,
    /// Let it pass.
    Approve,
    /// Let a person look.
    Review,
    /// Refuse.
    Decline,
}

impl Fallback {
    /// The action of the decision.
    pub fn action(self) -> Action {
        match self {
            Self::None => Action::None,
            Self::Approve => Action::Approve,
            Self::Review => Action::Review,
            Self::Decline => Action::Decline,
        }
    }
}

/// A module and how it is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModuleConfig {
    /// Name of the module. Payments: "score-bands". Market: "book-imbalance".
    pub module: String,
    /// What is decided from then on when the module panics, and for one event when its answer is not valid:
    /// "none", "approve", "review" or "decline"; on the market lane only "none".
    pub on_fault: Fallback,
    /// Parameters of the module; each module's documentation lists them. score-bands: review_at, decline_at,
    /// review_above_minor, approve_unscored_minor. book-imbalance: enter_at, release_at, quantity, instruments_max.
    pub parameters: std::collections::BTreeMap<String, Parameter>,
}

/// A parameter as it stands in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A truth value.
    Flag(bool),
    /// A text.
    Text(String),
}

impl Default for ModuleConfig {
    fn default() -> Self {
        Self {
            module: String::new(),
            on_fault: Fallback::None,
            parameters: std::collections::BTreeMap::new(),
        }
    }
}

impl ModuleConfig {
    /// The parameters as a module takes them.
    pub fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::default();
        for (key, value) in &self.parameters {
            let value = match value {
                Parameter::Integer(number) => Value::Number(*number as f64),
                Parameter::Float(number) => Value::Number(*number),
                Parameter::Flag(flag) => Value::Flag(*flag),
                Parameter::Text(text) => Value::Text(text.clone()),
            };
            parameters.set(key, value);
        }
        parameters
    }
}

/// Which modules decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StrategyConfig {
    /// Events shown to a module in one duty cycle at most. Range: 1 to 4096. Default: 64.
    pub batch_max: u32,
    /// The module of the payments lane. Default: "score-bands", "review" on a fault.
    pub payments: ModuleConfig,
    /// The module of the market lane. Default: "book-imbalance", "none" on a fault.
    pub market: ModuleConfig,
}

impl Default for StrategyConfig {
    fn default() -> Self {
        let module = |name: &str, on_fault| ModuleConfig {
            module: name.to_owned(),
            on_fault,
            ..ModuleConfig::default()
        };
        Self {
            batch_max: 64,
            payments: module("score-bands", Fallback::Review),
            market: module("book-imbalance", Fallback::None),
        }
    }
}

impl StrategyConfig {
    /// Refuses what is out of range. Names and parameters of modules are checked where modules are made.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn validate(&self) -> Result<(), StrategyError> {
        if !(1..=4096).contains(&self.batch_max) {
            return Err(StrategyError::BatchMax { got: self.batch_max });
        }
        if self.payments.module.is_empty() {
            return Err(StrategyError::NoModule {
                key: "strategy.payments.module",
            });
        }
        if self.market.module.is_empty() {
            return Err(StrategyError::NoModule {
                key: "strategy.market.module",
            });
        }
        let found = match self.market.on_fault {
            Fallback::None => return Ok(()),
            Fallback::Approve => "approve",
            Fallback::Review => "review",
            Fallback::Decline => "decline",
        };
        Err(StrategyError::MarketFallback { found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut StrategyConfig), expected: &str) {
        let mut config = StrategyConfig::default();
        change(&mut config);
        assert_eq!(config.validate().unwrap_err().to_string(), expected);
    }

    #[test]
    fn values_out_of_range_are_refused_by_key() {
        StrategyConfig::default().validate().unwrap();
        check(
            |config| config.batch_max = 5000,
            "strategy.batch_max is 5000, expected 1 to 4096",
        );
        check(
            |config| config.market.module.clear(),
            "strategy.market.module is empty, expected the name of a module",
        );
        check(
            |config| config.market.on_fault = Fallback::Review,
            "strategy.market.on_fault is \"review\", expected \"none\"",
        );
    }
}
