//! What crosses a boundary: the frames of the wire and the records of the rings.
//!
//! ```text
//!   publisher ──frame──▶ [wire::read] ──hot struct──▶ ingest ──record──▶ rings ──▶ decision ──frame──▶
//!                        verified once                       64-byte lines           [encode]
//! ```
//!
//! Start at [`wire`] for frames and at [`records`] for what the stages hand to each other; [`ids`] holds
//! names, versions and file identifiers; [`encode`] writes frames; [`hash`] compares decisions; [`generated`]
//! is `flatc`'s output and not written by hand.
//!
//! Invariant: every record is valid for any bytes; no frame is read before it was verified.

pub mod ids;

pub mod wire;

pub mod records;

pub mod encode;

pub mod hash;

pub mod generated;
