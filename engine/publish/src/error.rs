//! What can keep publish from starting.
//!
//! Invariant: nothing here is raised by a duty cycle; what goes wrong there is counted.

use thiserror::Error;

/// Why a publishing agent could not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// A value is out of its range.
    #[error("{key} is {found}, expected {low} to {high}")]
    OutOfRange {
        /// The key, with its section.
        key: &'static str,
        /// Its value.
        found: u32,
        /// The lowest value allowed.
        low: u32,
        /// The highest value allowed.
        high: u32,
    },
    /// The journal's ring cannot take one decision wherever the last entry ended.
    #[error("journal ring for decisions takes payloads of {found} bytes, expected at least {expected}")]
    JournalRing {
        /// The longest payload that it takes.
        found: usize,
        /// The length of a decision.
        expected: usize,
    },
}
