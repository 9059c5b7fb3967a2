//! What can be wrong with the configuration of the books.

/// Why the stage cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// A value is out of its range.
    #[error("{key} is {found}, expected {low} to {high}")]
    Range {
        /// The configuration key.
        key: &'static str,
        /// The value found.
        found: u32,
        /// The smallest value allowed.
        low: u32,
        /// The largest value allowed.
        high: u32,
    },
}
