//! Agents, duty cycles, rings, clocks and counters: what every stage stands on.
//!
//! ```text
//!   runner (thread, core, idle strategy)          conductor
//!     └─ composite ─┬─ agent ◀──ring── …            ├─ control: commands ─▶ agent, retired objects ◀─
//!                   └─ agent ──ring──▶ …            ├─ clock: re-anchors
//!   invoker (replay, tests) ─ agent                 └─ counters, faults: mapped files ─▶ stat, top, /metrics
//! ```
//!
//! Start at [`agent`]; [`ring`] joins agents, [`latest`] shows how far one came; [`runner`], [`composite`] and [`invoker`] drive them, [`cores`]
//! says which thread goes where. [`clock`] tells the time, [`counters`] and [`faults`] tell what happened,
//! [`control`] and [`shutdown`] are how the control plane speaks to agents, [`state`] is how what an agent knows
//! is kept and brought back. [`pace`] is for long work beside the agents. [`paths`] finds what a configuration names. [`heap`] is for tests.
//!
//! Invariant: after its start nothing here allocates, frees, locks or waits on an agent's thread, except for the
//! idle strategy, whose purpose it is.

pub mod agent;
pub mod composite;
pub mod idle;
pub mod invoker;
pub mod pace;
pub mod runner;
mod system;

pub mod cores;

pub mod latest;
pub mod names;
pub mod ring;

pub mod clock;

pub mod counters;
pub mod faults;
pub mod locks;
pub mod mapped;
pub mod paths;

pub mod control;
pub mod shutdown;

pub mod state;

pub mod hash;
pub mod heap;
pub mod math;
pub mod memory;
