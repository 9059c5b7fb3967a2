//! The strategy modules that are linked in, by name.

use pinion_strategies_api::{MarketStrategy, ParameterError, PaymentStrategy};
use pinion_strategies_book_imbalance::BookImbalance;
use pinion_strategies_score_bands::ScoreBands;
use pinion_strategy::{StrategyConfig, StrategyError};

/// The module of the payments lane.
///
/// # Errors
/// [`StrategyError`] if no module has the name, or it refuses a parameter.
pub fn payments(config: &StrategyConfig) -> Result<Box<dyn PaymentStrategy>, StrategyError> {
    match config.payments.module.as_str() {
        ScoreBands::NAME => {
            let module = ScoreBands::new(config.payments.parameters());
            Ok(Box::new(module.map_err(refused("strategy.payments.parameters"))?))
        }
        found => Err(unknown("strategy.payments.module", found, ScoreBands::NAME)),
    }
}

/// The module of the market lane.
///
/// # Errors
/// [`StrategyError`] if no module has the name, or it refuses a parameter.
pub fn market(config: &StrategyConfig) -> Result<Box<dyn MarketStrategy>, StrategyError> {
    match config.market.module.as_str() {
        BookImbalance::NAME => {
            let module = BookImbalance::new(config.market.parameters());
            Ok(Box::new(module.map_err(refused("strategy.market.parameters"))?))
        }
        found => Err(unknown("strategy.market.module", found, BookImbalance::NAME)),
    }
}

fn refused(key: &'static str) -> impl Fn(ParameterError) -> StrategyError {
    move |source| StrategyError::Parameter { key, source }
}

fn unknown(key: &'static str, found: &str, expected: &str) -> StrategyError {
    StrategyError::UnknownModule {
        key,
        found: found.to_owned(),
        expected: format!("\"{expected}\""),
    }
}
