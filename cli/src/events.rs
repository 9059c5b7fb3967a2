//! Events to be played: from a file, or made.

use std::path::Path;

use pinion_replay::generate::{
    GenerateError, MarketConfig, MarketGenerator, PaymentsConfig, PaymentsGenerator,
};
use pinion_replay::import::{self, EventSource, Format, ImportOptions};

use crate::exit::Failure;

/// Names of the sources that are made.
pub const GENERATED_PAYMENTS: &str = "generated:payments";
/// See [`GENERATED_PAYMENTS`].
pub const GENERATED_MARKET: &str = "generated:market";

/// Customers of a made payments day, where nobody says otherwise.
pub const CUSTOMERS: u32 = 1_000;
/// Days of made payments, where nobody says otherwise.
pub const DAYS: u32 = 60;
/// Events of a made market day, where nobody says otherwise.
pub const MARKET_EVENTS: u64 = 300_000;
/// Instruments of a made market day, where nobody says otherwise.
pub const INSTRUMENTS: u32 = 4;
/// The seed, where nobody says otherwise.
pub const SEED: u64 = 42;

/// Opens a file, or one of the made sources with the default sizes.
///
/// # Errors
/// The file cannot be read, or its format is not known.
pub fn open(
    source: &str,
    format: Format,
    options: &ImportOptions,
    seed: u64,
) -> Result<Box<dyn EventSource>, Failure> {
    match source {
        GENERATED_PAYMENTS => Ok(Box::new(payments(CUSTOMERS, DAYS, seed)?)),
        GENERATED_MARKET => Ok(Box::new(market(MARKET_EVENTS, INSTRUMENTS, seed)?)),
        _ if source.starts_with("generated:") => Err(Failure::could_not(format!(
            "source is \"{source}\", expected a file, {GENERATED_PAYMENTS} or {GENERATED_MARKET}"
        ))),
        _ => Ok(import::open(Path::new(source), format, options)?),
    }
}

/// Fewer terminals than this leave many customers without one near them, who then pay nothing.
const TERMINALS_MIN: u32 = 2_000;

/// Payments of so many customers, with twice as many terminals but for a few customers.
///
/// # Errors
/// A number is out of its range.
pub fn payments(customers: u32, days: u32, seed: u64) -> Result<PaymentsGenerator, Failure> {
    let defaults = PaymentsConfig::default();
    let config = PaymentsConfig {
        seed,
        customers,
        terminals: customers.saturating_mul(2).max(TERMINALS_MIN),
        days,
        customers_compromised_per_day: defaults.customers_compromised_per_day.min(customers),
        ..defaults
    };
    PaymentsGenerator::new(config).map_err(refused)
}

/// A market day.
///
/// # Errors
/// A number is out of its range.
pub fn market(events: u64, instruments: u32, seed: u64) -> Result<MarketGenerator, Failure> {
    let config = MarketConfig {
        seed,
        events,
        instruments,
        ..MarketConfig::default()
    };
    MarketGenerator::new(config).map_err(refused)
}

fn refused(error: GenerateError) -> Failure {
    Failure::could_not(error)
}
