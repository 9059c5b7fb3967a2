//! What can be wrong with the configuration of the feature store.

/// Why the stage cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeaturesError {
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
    /// A value is not a power of two.
    #[error("{key} is {found}, expected a power of two")]
    PowerOfTwo {
        /// The configuration key.
        key: &'static str,
        /// The value found.
        found: u32,
    },
    /// The events of all entities together have less room than those of one.
    #[error("{key} is {found}, expected at least events_max, which is {events_max}")]
    PoolSmallerThanEntity {
        /// The configuration key.
        key: &'static str,
        /// The value found.
        found: u32,
        /// Events of one entity.
        events_max: u32,
    },
}
