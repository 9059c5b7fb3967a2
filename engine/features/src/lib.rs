//! The feature store of the payments lane: what customers, terminals, cards and devices did lately, in event
//! time.
//!
//! ```text
//!   features/payments-v1.toml ─▶ FeatureSet ─▶ plan
//!                                               │ says what is kept, and how each slot is read
//!   ingest ──PaymentRecord──▶ [FeatureAgent] ───┼──FeatureRecord──▶ score
//!                                  │ owns       ▼
//!                             FeatureStore ── Timelines: per stream, one sorted ring of events per entity
//! ```
//!
//! Start at [`agent`]; [`set`] says what a feature can be; [`store`] computes them; [`timelines`] keeps the
//! events. A replica for checkpoints and an exporter of training sets call [`FeatureStore::apply`] too, so that
//! serving, replay and training are one code.
//!
//! Invariant: the vector of sequence `n` is a function of the lane's events `1..=n` alone. Nothing here reads a
//! clock; after the start nothing allocates.

pub mod agent;
pub mod config;
pub mod counters;
pub mod error;

pub mod set;

mod fields;
mod formers;
pub mod pairs;
mod plan;
mod reading;
pub mod since;
pub mod sketch;
pub mod store;
pub mod timelines;
mod transforms;
mod watermarks;

pub use agent::{FeatureAgent, FeatureCommand, FeatureControl, FeatureRetired, Swap};
pub use config::{FeaturesConfig, PairsConfig, TimelinesConfig, WhenFull};
pub use error::FeaturesError;
pub use fields::AMOUNT_MINOR_MAX;
pub use formers::{Former, Formers};
pub use set::FeatureSet;
pub use since::Since;
pub use store::{FeatureStore, Tally, Usage};
pub use timelines::Sizes;
