//! The feature store of the payments lane: what a customer and a terminal did lately, in event time.
//!
//! ```text
//!   ingest ──PaymentRecord──▶ [FeatureAgent] ──FeatureRecord──▶ score
//!                                 │ owns
//!                            FeatureStore ─┬─ customers: time, sum of amounts  ─┐ Timelines: one sorted
//!                                          └─ terminals: time, sum of frauds   ─┘ run of events per entity
//! ```
//!
//! Start at [`agent`]; [`spec`] lists the features; [`store`] computes them; [`timelines`] keeps the events.
//! An exporter of training sets calls [`FeatureStore::apply`] too, so that serving and training are one code.
//!
//! Invariant: the vector for sequence `n` is a function of the lane's events `1..=n` and the configuration
//! alone, so replay gives the same bytes. Nothing here reads a clock.

pub mod agent;
pub mod config;
pub mod counters;
pub mod error;

pub mod spec;
pub mod store;
pub mod timelines;

pub use agent::FeatureAgent;
pub use config::{FeaturesConfig, TimelinesConfig};
pub use error::FeaturesError;
pub use spec::{FEATURES, feature_set_hash};
pub use store::{FeatureStore, Tally};
