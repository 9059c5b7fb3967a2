//! Sources, importers, generators and replays of journals.
//!
//! ```text
//!   import: files of recorded days ──┐
//!                                    ├─EventSource─▶ publisher ─▶ bus
//!   generate: seeded days ───────────┘
//!
//!   sources: a journal ─▶ session: the node's own topology by hand ─▶ verify: the recorded decisions?
//! ```
//!
//! Start at [`import::open`] for a file, at [`generate`] for a made day, at [`verify::verify`] for a journal, at [`explain::explain`] for one of its payments,
//! at [`contest::compare`] for models over one.
//!
//! Invariant: a source gives the same events in the same order every time, and a journal the same decisions.

pub mod generate;
pub mod import;

pub mod sources;

pub mod session;

pub mod difference;

pub mod verify;

pub mod explain;

pub mod export;

pub mod compare;

pub mod contest;
