//! Sources, importers, generators and replays of journals.
//!
//! ```text
//!   import: files of recorded days ──┐
//!                                    ├─EventSource─▶ publisher ─▶ bus
//!   generate: seeded days ───────────┘
//! ```
//!
//! Start at [`import::open`] for a file, at [`generate`] for a made day.
//!
//! Invariant: a source gives the same events in the same order every time.

pub mod generate;
pub mod import;

pub mod export;
