//! Made days of payments and of a market: what ships in place of real data.
//!
//! ```text
//!   PaymentsConfig ──▶ [payments] ──┐
//!                                   ├─EventSource─▶ publisher, or CSV
//!   MarketConfig ────▶ [market] ────┘
//! ```
//!
//! Start at [`payments::PaymentsGenerator`] and [`market::MarketGenerator`].
//!
//! Invariant: a configuration gives the same events everywhere and for ever: [`random`] fixes every bit, and
//! golden hashes in the tests hold it.

pub mod payments;

pub mod market;

pub mod random;

pub mod error;

mod book;
mod compromise;
mod population;

pub use error::GenerateError;
pub use market::{MarketConfig, MarketGenerator};
pub use payments::{PaymentsConfig, PaymentsGenerator};
