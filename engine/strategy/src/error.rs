//! What can be wrong with the strategy section.

use pinion_strategies_api::ParameterError;

/// Why a strategy stage cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// `batch_max` is outside 1..=4096.
    #[error("strategy.batch_max is {got}, expected 1 to 4096")]
    BatchMax {
        /// The value found.
        got: u32,
    },
    /// A module's name is empty.
    #[error("{key} is empty, expected the name of a module")]
    NoModule {
        /// The configuration key.
        key: &'static str,
    },
    /// No module has the name.
    #[error("{key} is \"{found}\", expected one of {expected}")]
    UnknownModule {
        /// The configuration key.
        key: &'static str,
        /// The name found.
        found: String,
        /// The modules there are.
        expected: String,
    },
    /// The module refused a parameter.
    #[error("{key}.{source}")]
    Parameter {
        /// The table.
        key: &'static str,
        /// What the module said.
        source: ParameterError,
    },
    /// The market lane has no fallback that decides on payments.
    #[error("strategy.market.on_fault is \"{found}\", expected \"none\"")]
    MarketFallback {
        /// The value found.
        found: &'static str,
    },
}
