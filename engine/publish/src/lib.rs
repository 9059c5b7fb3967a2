//! Lets decisions out: in order, not before the journal has their input, each stamped as it leaves.
//!
//! ```text
//!   strategy ──market decisions───▶ ┐   gate                    ┌──frame──▶ bus
//!   strategy ──payment decisions──▶ ├─ covers input_index? ─────┤
//!   ingest ───rejects─────────────▶ ┘   (no gate for rejects)   └──entry──▶ journal
//! ```
//!
//! Start at [`PublishAgent`]. `outlet` is the way of one frame, `lane` what is known of each lane.
//!
//! A decision without an action is counted and hashed and goes nowhere. While the bus or the journal has no
//! room the foremost decision stays in its ring: nothing is dropped, the lane backs up to its publishers. Only
//! while nobody listens, and only with `publish.when_unheard = "drop"`, a decision is not sent; it is counted.
//!
//! After a restart, decisions of recorded inputs are hashed again. Those up to the last recorded decision are
//! not published again; later ones are, with the flag `RECOVERED`.
//!
//! Invariant: the frames of a lane leave in the order of their sequences, and the gate covered the input of
//! each before it left.

mod agent;
pub mod config;
mod counters;
pub mod error;
mod lane;
mod outlet;

pub use agent::{Hashes, Ports, PublishAgent};
pub use config::{PublishConfig, WhenUnheard};
pub use error::PublishError;
pub use lane::{DecisionMark, LaneResume, Resume};
pub use outlet::{Engine, Outlet};
