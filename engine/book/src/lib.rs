//! Order books and what follows from their top.
//!
//! ```text
//!   ingest ──MarketRecord──▶ [BookAgent] ──BookRecord──▶ strategy
//!                                │ owns
//!                              Books ─┬─ per instrument: last trade, top quote
//!                                     ├─ ladders: price levels of the instruments that have depth
//!                                     └─ orders: id ─▶ price, quantity, side (by-order feeds only)
//! ```
//!
//! Start at [`agent`]; [`books`] says which event changes what; [`ladder`] holds one side's levels; [`orders`]
//! the open orders.
//!
//! Invariant: the book after sequence `n` is a function of the lane's events `1..=n` and the configuration
//! alone. Trades, fills and one's own orders never change it.

pub mod agent;
pub mod config;
pub mod counters;
pub mod error;

pub mod books;
pub mod ladder;
pub mod orders;

pub use agent::BookAgent;
pub use books::{Books, Tally};
pub use config::BookConfig;
pub use error::BookError;
