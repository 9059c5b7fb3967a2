//! One node: its configuration, the order of its stages, its threads, and its control plane.
//!
//! ```text
//!   [config] ─▶ [launch] ─▶ [topology] stages, rings ─▶ threads by plan of cores
//!                  │                                        ▲ looks after
//!                  └──────────▶ [conductor] (actix) ────────┘
//! ```
//!
//! Beside the engine a [`replica`] follows the journal: the [`snapshotter`] makes [`checkpoints`] of it, [`admin`]
//! answers from it over a socket, [`backfill`] makes one of another feature set, and [`model_swap`] one of another model.
//! [`challengers`] are replicas with other models.
//!
//! Start at [`launch`]; [`topology`] is the only place that knows the order of stages; [`pipeline`] runs the
//! same topology on one thread by hand, for replays and the lab; [`accounts`] says what became of every event.
//!
//! Invariant: node, replay and lab build the same topology; only bus, clock and threads differ.

pub mod config;
pub mod strategies;
pub mod topology;
mod writing;

pub mod accounts;
pub mod bus;
pub mod conductor;
pub mod launch;
pub mod pipeline;

pub mod housekeeping;
pub mod replica;

pub mod feature_sets;
pub mod models;
mod notes;

pub mod backfill;
pub mod checkpoints;
mod exchanging;
pub mod model_swap;
pub mod snapshotter;

pub mod challengers;

pub mod drift;

pub mod admin;

pub use accounts::{Accounts, LaneAccount};
pub use conductor::conduct;
pub use config::{Config, Finding, Sources};
pub use feature_sets::{History, HistoryError};
pub use launch::{Engine, NodeError, Recovered, Summary};
pub use pipeline::Pipeline;
pub use replica::Replica;
