//! What can be set of the feature store: section `[features]` of the configuration.
//!
//! Invariant: [`FeaturesConfig::validate`] runs before any memory is taken.

use serde::{Deserialize, Serialize};

use crate::error::FeaturesError;

/// The most entities that one kind can have: ingest gives no larger dense ids.
pub const ENTITIES_MAX: u32 = 1 << 26;

/// The most events of one entity. With amounts held to ±2^47 their sum stays within an `i64`.
pub const EVENTS_MAX: u32 = 1 << 16;

/// The most events of one kind of entity together: 8 GiB.
pub const POOL_EVENTS_MAX: u32 = 1 << 29;

/// The memory of one kind of entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimelinesConfig {
    /// Entities held; at least ids_max of the same table of ingest. Sizes a table once at start: 24 bytes
    /// each. Range: 1 to 67108864. Default: 262144.
    pub entities_max: u32,
    /// Events held of one entity, a power of two. Windows are exact while the longest window and the
    /// lateness together hold no more than seven eighths of it; beyond that the oldest events are given up,
    /// an eighth at a time, and counted. Range: 8 to 65536. Default: 1024.
    pub events_max: u32,
    /// Events held of all entities together. Sizes a pool once at start: 16 bytes each. An entity takes
    /// room in runs of 8, 16, 32 and so on, so plan for twice the events alive. When it is used up, an entity
    /// gives up its own oldest events, counted. Range: events_max to 536870912. Default: 4194304 (64 MiB).
    pub pool_events_max: u32,
}

impl Default for TimelinesConfig {
    fn default() -> Self {
        Self {
            entities_max: 262_144,
            events_max: 1024,
            pool_events_max: 4_194_304,
        }
    }
}

impl TimelinesConfig {
    /// Memory taken at start. Unit: bytes.
    pub fn memory_len(&self) -> u64 {
        24 * u64::from(self.entities_max) + 16 * u64::from(self.pool_events_max)
    }

    fn validate(&self, keys: &Keys) -> Result<(), FeaturesError> {
        check_range(keys.entities_max, self.entities_max, 1, ENTITIES_MAX)?;
        check_range(keys.events_max, self.events_max, 8, EVENTS_MAX)?;
        if !self.events_max.is_power_of_two() {
            return Err(FeaturesError::PowerOfTwo {
                key: keys.events_max,
                found: self.events_max,
            });
        }
        check_range(keys.pool_events_max, self.pool_events_max, 8, POOL_EVENTS_MAX)?;
        if self.pool_events_max < self.events_max {
            let (key, found) = (keys.pool_events_max, self.pool_events_max);
            return Err(FeaturesError::PoolSmallerThanEntity {
                key,
                found,
                events_max: self.events_max,
            });
        }
        Ok(())
    }
}

/// The full names of one kind's keys.
struct Keys {
    entities_max: &'static str,
    events_max: &'static str,
    pool_events_max: &'static str,
}

const CUSTOMER_KEYS: Keys = Keys {
    entities_max: "features.customers.entities_max",
    events_max: "features.customers.events_max",
    pool_events_max: "features.customers.pool_events_max",
};

const TERMINAL_KEYS: Keys = Keys {
    entities_max: "features.terminals.entities_max",
    events_max: "features.terminals.events_max",
    pool_events_max: "features.terminals.pool_events_max",
};

/// Section `[features]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    /// Events handled in one duty cycle. Range: 1 to 4096. Default: 64.
    pub batch_max: u32,
    /// How far an event may be behind the newest one of its customer or terminal and still get exact
    /// windows; later ones are counted and get the windows over what is still held. Unit: seconds.
    /// Range: 0 to 2592000. Default: 86400 (a day).
    pub lateness_s_max: u32,
    /// Memory of the customers.
    pub customers: TimelinesConfig,
    /// Memory of the terminals.
    pub terminals: TimelinesConfig,
}

impl Default for FeaturesConfig {
    fn default() -> Self {
        Self {
            batch_max: 64,
            lateness_s_max: 86_400,
            customers: TimelinesConfig::default(),
            terminals: TimelinesConfig::default(),
        }
    }
}

impl FeaturesConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key that is out of its range, with what was found and expected.
    pub fn validate(&self) -> Result<(), FeaturesError> {
        check_range("features.batch_max", self.batch_max, 1, 4096)?;
        check_range("features.lateness_s_max", self.lateness_s_max, 0, 2_592_000)?;
        self.customers.validate(&CUSTOMER_KEYS)?;
        self.terminals.validate(&TERMINAL_KEYS)
    }

    /// Memory taken at start. Unit: bytes.
    pub fn memory_len(&self) -> u64 {
        self.customers.memory_len() + self.terminals.memory_len()
    }
}

fn check_range(key: &'static str, found: u32, low: u32, high: u32) -> Result<(), FeaturesError> {
    if (low..=high).contains(&found) {
        Ok(())
    } else {
        Err(FeaturesError::Range {
            key,
            found,
            low,
            high,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut FeaturesConfig), expected: &str) {
        let mut config = FeaturesConfig::default();
        change(&mut config);
        let found = config
            .validate()
            .map_or_else(|error| error.to_string(), |()| String::new());
        assert_eq!(found, expected);
    }

    #[test]
    fn value_out_of_range_is_refused_by_its_key() {
        check(|_| (), "");
        check(
            |config| config.batch_max = 0,
            "features.batch_max is 0, expected 1 to 4096",
        );
        check(
            |config| config.lateness_s_max = 3_000_000,
            "features.lateness_s_max is 3000000, expected 0 to 2592000",
        );
        check(
            |config| config.customers.entities_max = 0,
            "features.customers.entities_max is 0, expected 1 to 67108864",
        );
        check(
            |config| config.terminals.events_max = 100,
            "features.terminals.events_max is 100, expected a power of two",
        );
        check(
            |config| config.terminals.pool_events_max = 512,
            "features.terminals.pool_events_max is 512, expected at least events_max, which is 1024",
        );
    }

    #[test]
    fn default_takes_140_mib() {
        assert_eq!(FeaturesConfig::default().memory_len(), 140 << 20);
    }
}
