//! The latency lab: measures the engine open loop, beside the machine's own floors, in one run.
//!
//! ```text
//!   [schedule] intended times ──▶ [rig] send when due ──▶ engine ──▶ receive
//!                                   └── latency = receive − INTENDED time ──▶ histogram
//!   [floor] core-to-core round trip and hiccups, just before and just after
//! ```
//!
//! A closed loop waits for the answer before it sends again, so one stall hides the thousand events that
//! would have come meanwhile. Here the times are fixed beforehand and a late send counts against us.
//!
//! Start at [`scenario`]; [`rig`] is the open loop and [`subject`] what it drives; [`load`] makes the events;
//! [`floor`] measures the machine; [`device`] the model on a GPU; [`mod@bench`] is the small harness of the micro-benches in `benches/`.
//!
//! Invariant: every figure names its unit, its environment and its rival, and comes from a run that anyone
//! can repeat with `pinion lab run`.

pub mod scenario;

pub mod device;
pub mod load;
pub mod model;
pub mod rig;
pub mod schedule;
pub mod subject;

pub mod fingerprint;
pub mod floor;
pub mod report;

pub mod bench;

pub use report::Report;
pub use scenario::{LabError, Options, run};
