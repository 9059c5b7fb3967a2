//! The newest state on disk, so that a start need not run the whole journal again.
//!
//! ```text
//!   replica ──&dyn State──▶ [Writer] ─ pages that changed ─▶ [Store]: sled/ or redb/   one atomic, durable write each
//!                               └──── every Nth: all pages ─▶ snapshot-a.bin, -b.bin   two generations
//!
//!   start ─▶ restore ─▶ child process opens the store ─ manifest, pages ─▶ checked, filled in ─▶ [Outcome]
//!                │            └ error, panic, silence, death: moved aside          ▲
//!                └────────────▶ newest snapshot ───────────────────────────────────┘
//! ```
//!
//! **Parts.** [`config`] is the section `[checkpoint]`. [`Writer::write`] makes a checkpoint, [`restore`] brings the
//! newest whole one back, [`probe_main`] is what a program that restores must call first. [`manifest`] says what
//! a checkpoint is of. [`store`] is the trait with its two libraries, [`disk`] what makes bytes durable.
//!
//! **What is kept.** A [`State`](pinion_runtime::state::State) is regions of plain memory, cut into pages of
//! 4 KiB. A page that is all zero is not stored. The manifest's `state_hash` is the state's
//! [`digest`](pinion_runtime::state::digest): taken over the hashes of all pages, so that the writer has it for
//! nothing and [`restore`] checks the whole state while it fills it in.
//!
//! **When something fails.** A checkpoint is disposable, the journal is the truth. [`restore`] never stops the
//! engine: what it cannot use costs a longer replay, and the [`Outcome`] says why. [`Writer::write`] reports an
//! error and begins anew with the next checkpoint. Store libraries panic: that is caught, by the process border at
//! the start and in the writer afterwards. One that hangs while it writes holds up the writer's thread alone.
//!
//! **What it cannot do.** It does not look at the clock for anything but how long its own work took, knows no
//! schedule, and holds what changed in memory while it writes it. It runs on an unpinned thread of ordinary
//! priority: sled's threads inherit both, and spin.
//!
//! Invariant: a restored state is byte for byte one that was given to [`Writer::write`], with the manifest that was
//! written along with it. If that cannot be proved, the state is left as it was.

pub mod config;
pub mod error;
pub mod manifest;

pub mod disk;
pub mod store;

mod pages;
mod quarantine;
mod snapshot;

mod writer;

mod fill;
mod probe;
mod restore;

pub use config::{Backend, CheckpointConfig};
pub use error::{CheckpointError, Reason};
pub use manifest::{Identity, Manifest, Mark};
pub use probe::{PROBE_KEY, Probe, probe_main};
pub use restore::{Limits, Outcome, Refusal, Restored, Source, restore, restore_by};
pub use store::StoreError;
pub use writer::{Prepared, Shapes, Writer, Written};
