//! What can be wrong with the configuration of the feature store.

/// Why the stage cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeaturesError {
    /// A value is out of its range.
    #[error("{section}.{key} is {found}, expected {low} to {high}")]
    Range {
        /// The section of the configuration.
        section: &'static str,
        /// The key in it.
        key: &'static str,
        /// The value found.
        found: u32,
        /// The smallest value allowed.
        low: u32,
        /// The largest value allowed.
        high: u32,
    },
    /// A value is not a power of two.
    #[error("{section}.events_max is {found}, expected a power of two")]
    PowerOfTwo {
        /// The section of the configuration.
        section: &'static str,
        /// The value found.
        found: u32,
    },
    /// The events of all entities together have less room than those of one.
    #[error("{section}.pool_events_max is {found}, expected at least events_max, which is {events_max}")]
    PoolSmallerThanEntity {
        /// The section of the configuration.
        section: &'static str,
        /// The value found.
        found: u32,
        /// Events of one entity.
        events_max: u32,
    },
    /// A window by number does not fit.
    #[error("{key}.events_max is {found}, expected at least {expected}, the window of feature {feature}")]
    LastEvents {
        /// The section of the configuration.
        key: &'static str,
        /// Events of one entity.
        found: u32,
        /// Events of the window.
        expected: u32,
        /// The feature.
        feature: String,
    },
}
