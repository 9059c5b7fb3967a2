//! What can be set of the feature store: section `[features]` of the configuration.
//!
//! Invariant: [`FeaturesConfig::validate`] runs before any memory is taken.

use std::io;
use std::path::{Path, PathBuf};

use pinion_runtime::paths;
use serde::{Deserialize, Serialize};

use crate::error::FeaturesError;
use crate::set::file::SetError;
use crate::set::{Entity, EntityKey, FeatureSet};
use crate::timelines::Sizes;

/// The most entities that one kind can have: ingest gives no larger dense ids.
pub const ENTITIES_MAX: u32 = 1 << 26;

/// The most events of one entity. Merging all of them takes 0.1 ms once in a while; up to 4,096 no step takes longer
/// than 50 µs (`docs/latency.md`).
pub const EVENTS_MAX: u32 = 1 << 14;

/// The most events of one kind of entity together.
pub const POOL_EVENTS_MAX: u32 = 1 << 29;

/// What happens to a new pair when the table is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The pair unused for longest makes room.
    #[default]
    EvictOldestIdle,
    /// The new pair's features are missing.
    Reject,
}

/// The memory of one kind of entity, taken for each stream of the feature set over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimelinesConfig {
    /// Entities held; at least ids_max of the same table of ingest. Sizes a table once at start: 64 bytes
    /// each, more with many windows. Range: 1 to 67108864. Default: 262144.
    pub entities_max: u32,
    /// Events held of one entity, a power of two. Exact windows are exact while the longest window, its delay
    /// and the lateness together hold no more; beyond that all but the newest quarter are merged by time, counted:
    /// a window's start is then wrong by less than a 4 / events_max th of the time held. Steps take longer
    /// with more of them, longest where a set counts distinct values or sums with decay; docs/latency.md has figures. Range: 8 to 16384. Default: 1024.
    pub events_max: u32,
    /// Events held of all entities together. Sizes a pool once at start: 16 bytes each and 8 to 16 more per
    /// source field. An entity takes room in runs of 8, 16, 32 and so on, so plan for twice the events alive.
    /// When it is used up, an entity merges its own oldest events, counted. Range: events_max to 536870912.
    /// Default: 2097152.
    pub pool_events_max: u32,
}

impl Default for TimelinesConfig {
    fn default() -> Self {
        Self {
            entities_max: 262_144,
            events_max: 1024,
            pool_events_max: 2_097_152,
        }
    }
}

/// The memory of pairs of entities, taken for each kind of pair in the feature set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairsConfig {
    /// Pairs held. Sizes a table once at start: 56 to 72 bytes each, and 64 for each stream.
    /// Range: 1 to 67108864. Default: 262144.
    pub entities_max: u32,
    /// Events held of one pair, a power of two, as of one entity. Range: 8 to 16384. Default: 256.
    pub events_max: u32,
    /// Events held of all pairs together, as of entities. Range: events_max to 536870912. Default: 2097152.
    pub pool_events_max: u32,
    /// What happens to a new pair when the table is full: "evict-oldest-idle" gives it the row of the pair
    /// that is unused for longest, counted; "reject" makes its features missing, counted.
    /// Default: "evict-oldest-idle".
    pub when_full: WhenFull,
}

impl Default for PairsConfig {
    fn default() -> Self {
        Self {
            entities_max: 262_144,
            events_max: 256,
            pool_events_max: 2_097_152,
            when_full: WhenFull::default(),
        }
    }
}

/// Section `[features]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    /// File of the feature set. A relative path is looked for in the working directory and above, then above
    /// the program. Default: "features/payments-v2.toml".
    pub set: PathBuf,
    /// Events handled in one duty cycle. Range: 1 to 4096. Default: 64.
    pub batch_max: u32,
    /// How far an event may be behind the newest one of its entity, among those that a feature is over (its
    /// filter), and still be placed where it belongs; later ones are counted and used as of arrival. Unit: seconds. Range: 0 to 2592000. Default: 86400 (a day).
    pub lateness_s_max: u32,
    /// Memory of the customers, if the set has features of them.
    pub customers: TimelinesConfig,
    /// Memory of the terminals, if the set has features of them.
    pub terminals: TimelinesConfig,
    /// Memory of the cards, if the set has features of them.
    pub cards: TimelinesConfig,
    /// Memory of the merchants, if the set has features of them.
    pub merchants: TimelinesConfig,
    /// Memory of the devices, if the set has features of them.
    pub devices: TimelinesConfig,
    /// Memory of the accounts, if the set has features of them.
    pub accounts: TimelinesConfig,
    /// Memory of pairs of entities, if the set has features of them.
    pub pairs: PairsConfig,
}

impl Default for FeaturesConfig {
    fn default() -> Self {
        Self {
            set: PathBuf::from("features/payments-v2.toml"),
            batch_max: 64,
            lateness_s_max: 86_400,
            customers: TimelinesConfig::default(),
            terminals: TimelinesConfig::default(),
            cards: TimelinesConfig::default(),
            merchants: TimelinesConfig::default(),
            devices: TimelinesConfig::default(),
            accounts: TimelinesConfig::default(),
            pairs: PairsConfig::default(),
        }
    }
}

impl FeaturesConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key that is out of its range, with what was found and expected.
    pub fn validate(&self) -> Result<(), FeaturesError> {
        check_range("features", "batch_max", self.batch_max, 1, 4096)?;
        check_range("features", "lateness_s_max", self.lateness_s_max, 0, 2_592_000)?;
        for entity in Entity::ALL {
            let key = EntityKey::One(entity);
            check_sizes(section(key), self.sizes(key))?;
        }
        let pairs = EntityKey::Pair(Entity::Customer, Entity::Terminal);
        check_sizes(section(pairs), self.sizes(pairs))
    }

    /// Reads the feature set that is configured.
    ///
    /// # Errors
    /// The file is at none of the places where it is looked for, or is refused.
    pub fn load_set(&self) -> Result<FeatureSet, SetError> {
        FeatureSet::load(&self.locate_set()?)
    }

    /// Where the file of the feature set stands, seen from the working directory if it stands below it.
    ///
    /// # Errors
    /// [`SetError::Read`]: it is at none of the places where it is looked for.
    pub fn locate_set(&self) -> Result<PathBuf, SetError> {
        let path = paths::locate(&self.set, Path::is_file).map_err(|searched| {
            let places: Vec<String> = searched.iter().map(|place| place.display().to_string()).collect();
            let reason = format!("expected a file at one of: {}", places.join(", "));
            SetError::Read {
                path: self.set.clone(),
                source: io::Error::new(io::ErrorKind::NotFound, reason),
            }
        })?;
        let working = std::env::current_dir().unwrap_or_default();
        let below = path.strip_prefix(working).map(Path::to_path_buf);
        Ok(below.unwrap_or(path))
    }

    /// The memory for a kind of entity.
    pub fn sizes(&self, key: EntityKey) -> Sizes {
        let EntityKey::One(entity) = key else {
            return Sizes {
                entities_max: self.pairs.entities_max,
                events_max: self.pairs.events_max,
                pool_events_max: self.pairs.pool_events_max,
            };
        };
        let config = match entity {
            Entity::Customer => &self.customers,
            Entity::Terminal => &self.terminals,
            Entity::Card => &self.cards,
            Entity::Merchant => &self.merchants,
            Entity::Device => &self.devices,
            Entity::Account => &self.accounts,
        };
        Sizes {
            entities_max: config.entities_max,
            events_max: config.events_max,
            pool_events_max: config.pool_events_max,
        }
    }
}

/// The section of the configuration for a kind of entity.
pub(crate) fn section(key: EntityKey) -> &'static str {
    match key {
        EntityKey::One(Entity::Customer) => "features.customers",
        EntityKey::One(Entity::Terminal) => "features.terminals",
        EntityKey::One(Entity::Card) => "features.cards",
        EntityKey::One(Entity::Merchant) => "features.merchants",
        EntityKey::One(Entity::Device) => "features.devices",
        EntityKey::One(Entity::Account) => "features.accounts",
        EntityKey::Pair(..) => "features.pairs",
    }
}

fn check_sizes(section: &'static str, sizes: Sizes) -> Result<(), FeaturesError> {
    let Sizes {
        entities_max,
        events_max,
        pool_events_max,
    } = sizes;
    check_range(section, "entities_max", entities_max, 1, ENTITIES_MAX)?;
    check_range(section, "events_max", events_max, 8, EVENTS_MAX)?;
    if !events_max.is_power_of_two() {
        return Err(FeaturesError::PowerOfTwo {
            section,
            found: events_max,
        });
    }
    check_range(section, "pool_events_max", pool_events_max, 8, POOL_EVENTS_MAX)?;
    if pool_events_max < events_max {
        return Err(FeaturesError::PoolSmallerThanEntity {
            section,
            found: pool_events_max,
            events_max,
        });
    }
    Ok(())
}

fn check_range(
    section: &'static str,
    key: &'static str,
    found: u32,
    low: u32,
    high: u32,
) -> Result<(), FeaturesError> {
    if (low..=high).contains(&found) {
        Ok(())
    } else {
        Err(FeaturesError::Range {
            section,
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
}
