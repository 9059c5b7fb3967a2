//! Hosts strategy modules: shows them events, takes their answers, and survives them.
//!
//! ```text
//!   book  ──BookRecord───▶ [MarketStrategyAgent]  ──DecisionRecord──▶ publish
//!   score ──ScoredRecord─▶ [PaymentStrategyAgent] ──DecisionRecord──▶ publish
//!                               │ calls
//!                           [host] ──panic, invalid answer──▶ quarantine, fallback
//! ```
//!
//! Start at [`agent`]; [`host`] is the boundary between a module and the engine.
//!
//! Invariant: every event that comes in gives exactly one decision, in order, whatever the module does.

pub mod agent;
pub mod config;
pub mod counters;
pub mod error;
pub mod host;

pub use agent::{MarketStrategyAgent, PaymentStrategyAgent};
pub use config::{Fallback, StrategyConfig};
pub use error::StrategyError;
pub use host::{config_hash_under, strategy_hash};
