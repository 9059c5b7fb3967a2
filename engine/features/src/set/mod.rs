//! What a feature set says, after its file was read and checked.
//!
//! ```text
//!   features/payments-v1.toml ──file──▶ FeatureSet ──plan──▶ streams, edges, one step per slot ──▶ store
//!                                           └── canonical text ──▶ hash: what a model was trained on
//! ```
//!
//! Start at [`FeatureSet`]; [`mod@file`] reads it, [`canonical`] hashes it, [`explain`] says it in words.
//!
//! Invariant: a [`FeatureSet`] that exists is valid: every combination in it can be computed, its slots fit a
//! vector, and a ratio refers to features before it.

pub mod file;

pub mod canonical;
pub mod explain;
pub mod schema;
mod shipped;

mod duration;
mod names;

use pinion_schemas::records::FEATURES_MAX;

/// One second. Unit: ns.
pub const SECOND_NS: i64 = 1_000_000_000;

/// One day. Unit: ns.
pub const DAY_NS: i64 = 86_400 * SECOND_NS;

/// The longest window, and the longest delay. Unit: ns.
pub const WINDOW_NS_MAX: i64 = 365 * DAY_NS;

/// The most events that a window by number may hold.
pub const LAST_EVENTS_MAX: u32 = 16_384;

/// A versioned list of features.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureSet {
    /// Its name, words joined by hyphens.
    pub name: String,
    /// Its version, from 1.
    pub version: u32,
    /// What it is for; not part of the hash.
    pub description: String,
    /// The features in the order of the file.
    pub features: Vec<Feature>,
}

/// One feature: one place in the vector, or several ([`Transform::Hour`] and its like).
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Name in manifests and training sets: lower-case words joined by underscores.
    pub name: String,
    /// What it is for; not part of the hash.
    pub description: String,
    /// How it is computed.
    pub kind: FeatureKind,
    /// The value where there is nothing to compute from: no event in the window, an absent entity, a
    /// denominator of 0, a spread of 0. Finite.
    pub missing: f32,
}

/// How a feature is computed.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureKind {
    /// From the current transaction alone.
    Current(Transform),
    /// From an entity's history.
    Window(WindowFeature),
    /// One feature divided by another; both stand before it in the file and have one slot.
    Ratio {
        /// Index of the feature above the line.
        numerator: usize,
        /// Index of the feature below the line.
        denominator: usize,
    },
}

/// A transform of the current transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Transform {
    /// The field's value. Numeric fields only, not [`Field::Fraud`].
    Raw(Field),
    /// sign(x) · ln(1 + |x|) of the field's value.
    Log(Field),
    /// Sine and cosine of the time of day, UTC: slots `NAME_sin`, `NAME_cos`.
    Hour,
    /// Sine and cosine of the time of the week, which begins on Monday, UTC: slots `NAME_sin`, `NAME_cos`.
    Weekday,
    /// 1 in the hours 0 to `hour_max`, UTC, else 0.
    IsNight {
        /// The last hour of the night, 0 to 23.
        hour_max: u8,
    },
    /// 1 on Saturday and Sunday, UTC, else 0.
    IsWeekend,
    /// 1 in the slot of the field's value and 0 in the others: slots `NAME_VALUE`. [`Field::Channel`] and
    /// [`Field::Outcome`] only.
    OneHot(Field),
}

/// A feature over the history of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowFeature {
    /// Whose history.
    pub entity: EntityKey,
    /// Of which events.
    pub event: EventKind,
    /// Of which of these.
    pub filter: Filter,
    /// What is computed.
    pub aggregate: Aggregate,
    /// Over which time or number.
    pub window: Window,
    /// The window ends this long before the current event. Unit: ns; 0 to [`WINDOW_NS_MAX`].
    pub delay_ns: i64,
    /// How much is kept.
    pub precision: Precision,
    /// Whether the current event counts, where it is one of those that the window is over.
    pub includes_current: bool,
}

/// One or two fields that name an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKey {
    /// An entity with a dense id of its own.
    One(Entity),
    /// Two of them together; the first is less than the second.
    Pair(Entity, Entity),
}

/// An id field of a payment event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Entity {
    Customer = 0,
    Terminal = 1,
    Card = 2,
    Merchant = 3,
    Device = 4,
    Account = 5,
}

/// Which events a window is over. The vector itself is always that of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// Transactions, at their event time.
    Transaction,
    /// Labels, at the time they became known. (What a label says of its transaction is [`Field::Fraud`].)
    Label,
    /// Account updates.
    Account,
}

/// A field of an event that can be aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `amount_minor`; of an account update the limit. Unit: minor currency units, held to ±2^47.
    AmountMinor,
    /// 1 if the transaction is labelled fraud as far as is known, else 0. Transactions only.
    Fraud,
    /// ISO 4217 numeric code.
    Currency,
    /// ISO 18245 code.
    MerchantCategory,
    /// [`pinion_schemas::wire::Channel`] as a number.
    Channel,
    /// [`pinion_schemas::wire::Outcome`] as a number.
    Outcome,
    /// An id; for [`Aggregate::Distinct`] only.
    Id(Entity),
}

/// Which events count: all conditions hold. Empty: all events.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    /// Sorted by field, each field once.
    pub conditions: Vec<Condition>,
}

/// One condition of a filter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// The field looked at.
    pub field: FilterField,
    /// What it must be.
    pub test: Test,
}

/// A field that a filter can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterField {
    /// A number of the event; never [`Field::Fraud`], never an id.
    Field(Field),
    /// Label: [`pinion_schemas::wire::Verdict`] as a number.
    Verdict,
    /// Label: [`pinion_schemas::wire::LabelSource`] as a number.
    LabelSource,
    /// Account update: [`pinion_schemas::wire::AccountChange`] as a number.
    Change,
}

/// What a filtered field must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// One of these, sorted, at least one.
    AnyOf(Vec<i64>),
    /// Between these, both included.
    Between(i64, i64),
}

/// What is computed over a window. `v` is the source field, `n` the number of events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    /// n. Never missing for a present entity: 0.
    Count,
    /// Σ v. Never missing for a present entity: 0.
    Sum(Field),
    /// Σ v / n.
    Mean(Field),
    /// Σ (v − mean)² / n: of the population.
    Variance(Field),
    /// The square root of the variance.
    StandardDeviation(Field),
    /// The least v.
    Min(Field),
    /// The greatest v.
    Max(Field),
    /// v of the earliest event.
    First(Field),
    /// v of the latest event.
    Last(Field),
    /// From the latest event to now. Unit: s.
    TimeSinceLast,
    /// How many different v; an absent id is no value.
    Distinct(Field),
    /// Σ v · 2^(−age / half-life).
    DecayedSum {
        /// v.
        source: Field,
        /// Unit: ns.
        half_life_ns: i64,
    },
    /// The decayed sum divided by the decayed number.
    DecayedMean {
        /// v.
        source: Field,
        /// Unit: ns.
        half_life_ns: i64,
    },
    /// n divided by the length of the window in units of `per_ns`. Sliding windows only.
    Rate {
        /// Unit: ns.
        per_ns: i64,
    },
    /// (v of the current transaction − mean) / standard deviation. Missing if the deviation is 0.
    ZScore(Field),
}

/// The time or number that an aggregate is over. `T` is the current event time less the delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// (T − length, T]. Unit: ns.
    Sliding(i64),
    /// From the last multiple of the length since the Unix epoch, included, to T. Unit: ns.
    Tumbling(i64),
    /// The last events up to T, at most this many.
    Last(u32),
    /// Everything up to T.
    Forever,
}

/// How much of the history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// Every event, up to `events_max` of an entity; beyond that the oldest are merged, counted.
    Exact,
    /// One bucket per this time. A window's start is taken back to the start of its bucket, and the end of a
    /// delayed one too, so that nothing is used early: wrong by less than this. Unit: ns.
    Bucketed(i64),
}

impl Feature {
    /// Places that it takes in the vector.
    pub fn slot_count(&self) -> usize {
        self.slot_names().len()
    }

    /// The names of its places.
    pub fn slot_names(&self) -> Vec<String> {
        let named = |suffixes: &[&str]| -> Vec<String> {
            let name = &self.name;
            suffixes.iter().map(|suffix| format!("{name}_{suffix}")).collect()
        };
        match &self.kind {
            FeatureKind::Current(Transform::Hour | Transform::Weekday) => named(&["sin", "cos"]),
            FeatureKind::Current(Transform::OneHot(field)) => named(&field.value_names()),
            _ => vec![self.name.clone()],
        }
    }
}

impl FeatureSet {
    /// The names of the vector's places, in order.
    pub fn slot_names(&self) -> Vec<String> {
        self.features.iter().flat_map(Feature::slot_names).collect()
    }

    /// Places of the vector in use, at most [`FEATURES_MAX`].
    pub fn slot_count(&self) -> usize {
        self.features.iter().map(Feature::slot_count).sum()
    }
}

const _: () = assert!(FEATURES_MAX == 64, "the JSON schema and the documentation say 64");
