//! Takes frames off the bus, checks each once, and hands records to the lanes.
//!
//! ```text
//!   bus ──market───▶ ┐                                      ┌──MarketRecord──▶ book
//!                    ├─ read ─ session ─ names ─ numbers ───┼──PaymentRecord─▶ features
//!   bus ──payments─▶ ┘    │                                 └──frame─────────▶ journal
//!   journal ─recorded▶ ┘  └─ refused ─▶ dead letters, RejectRecord ─▶ publish
//! ```
//!
//! Start at [`IngestAgent`]. `accept` is the way of one frame; [`sessions`] tells new frames from those that
//! came before, [`ByHand`] takes recorded payments the same way without a bus;
//! [`interning`] gives names their numbers, [`refusal`] says why a frame is not accepted and
//! [`dead_letters`] keeps it. `shedding` says which payments there is no time to score. `state` shows what the payment lane knows as plain memory: checkpoints are made of it.
//!
//! A publisher that resumes its session is not decided again for what was accepted: frames at or below its
//! last accepted sequence are duplicates. Sequences are counted for each stream separately.
//!
//! Invariant: a frame is accepted whole (its record and its bytes are in their rings, its numbers are given)
//! or it leaves no trace but its count, its dead letter and its answer.

mod accept;
mod agent;
mod by_hand;
pub mod config;
mod counters;
pub mod dead_letters;
pub mod error;
pub mod interning;
mod market;
mod memory;
mod payment;
pub mod refusal;
pub mod sessions;
mod shedding;
mod state;

pub use accept::Ports;
pub use agent::{IngestAgent, Intake};
pub use by_hand::ByHand;
pub use config::IngestConfig;
pub use dead_letters::{DeadLetter, DeadLetters, read_dead_letters};
pub use error::IngestError;
pub use shedding::Pressure;
