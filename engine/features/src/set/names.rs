//! The words of a feature set's file: one table per kind of thing.
//!
//! ```text
//!   file: word ─▶ value        canonical, explain: value ─▶ word        schema: all words
//! ```
//!
//! Invariant: no word stands twice in a table, and no value.

use pinion_schemas::wire::{AccountChange, Channel, LabelSource, Outcome, Verdict};

use super::{Aggregate, Entity, EventKind, Field, FilterField};

/// Words and what they stand for, in the order in which they are listed to people.
pub(super) type Names<T> = [(&'static str, T)];

/// The id fields.
pub(super) const ENTITIES: &Names<Entity> = &[
    ("customer", Entity::Customer),
    ("terminal", Entity::Terminal),
    ("card", Entity::Card),
    ("merchant", Entity::Merchant),
    ("device", Entity::Device),
    ("account", Entity::Account),
];

/// The kinds of events.
pub(super) const EVENTS: &Names<EventKind> = &[
    ("transaction", EventKind::Transaction),
    ("label", EventKind::Label),
    ("account", EventKind::Account),
];

/// The source fields.
pub(super) const FIELDS: &Names<Field> = &[
    ("amount_minor", Field::AmountMinor),
    ("fraud", Field::Fraud),
    ("currency", Field::Currency),
    ("merchant_category", Field::MerchantCategory),
    ("channel", Field::Channel),
    ("outcome", Field::Outcome),
    ("customer", Field::Id(Entity::Customer)),
    ("terminal", Field::Id(Entity::Terminal)),
    ("card", Field::Id(Entity::Card)),
    ("merchant", Field::Id(Entity::Merchant)),
    ("device", Field::Id(Entity::Device)),
    ("account", Field::Id(Entity::Account)),
];

/// The fields that a filter can look at.
pub(super) const FILTER_FIELDS: &Names<FilterField> = &[
    ("amount_minor", FilterField::Field(Field::AmountMinor)),
    ("currency", FilterField::Field(Field::Currency)),
    ("merchant_category", FilterField::Field(Field::MerchantCategory)),
    ("channel", FilterField::Field(Field::Channel)),
    ("outcome", FilterField::Field(Field::Outcome)),
    ("verdict", FilterField::Verdict),
    ("label_source", FilterField::LabelSource),
    ("change", FilterField::Change),
];

/// The values of [`Field::Channel`].
const CHANNELS: &Names<i64> = &[
    ("unknown", Channel::Unknown.0 as i64),
    ("card_present", Channel::CardPresent.0 as i64),
    ("card_not_present", Channel::CardNotPresent.0 as i64),
    ("atm", Channel::Atm.0 as i64),
    ("transfer", Channel::Transfer.0 as i64),
];

/// The values of [`Field::Outcome`].
const OUTCOMES: &Names<i64> = &[
    ("unknown", Outcome::Unknown.0 as i64),
    ("approved", Outcome::Approved.0 as i64),
    ("declined", Outcome::Declined.0 as i64),
];

/// The values of [`FilterField::Verdict`].
const VERDICTS: &Names<i64> = &[
    ("none", Verdict::None.0 as i64),
    ("genuine", Verdict::Genuine.0 as i64),
    ("fraud", Verdict::Fraud.0 as i64),
    ("erased", Verdict::Erased.0 as i64),
];

/// The values of [`FilterField::LabelSource`].
const LABEL_SOURCES: &Names<i64> = &[
    ("unknown", LabelSource::Unknown.0 as i64),
    ("chargeback", LabelSource::Chargeback.0 as i64),
    ("analyst", LabelSource::Analyst.0 as i64),
    ("customer", LabelSource::Customer.0 as i64),
    ("expiry", LabelSource::Expiry.0 as i64),
];

/// The values of [`FilterField::Change`].
const CHANGES: &Names<i64> = &[
    ("none", AccountChange::None.0 as i64),
    ("opened", AccountChange::Opened.0 as i64),
    ("limit_changed", AccountChange::LimitChanged.0 as i64),
    ("blocked", AccountChange::Blocked.0 as i64),
    ("unblocked", AccountChange::Unblocked.0 as i64),
    ("closed", AccountChange::Closed.0 as i64),
];

/// The word for a value.
fn name_of<T: PartialEq>(names: &Names<T>, value: &T) -> &'static str {
    let found = names.iter().find(|(_, other)| other == value);
    found.map(|(name, _)| *name).expect("every value has a word")
}

/// The words of a table.
pub(super) fn words<T>(names: &Names<T>) -> Vec<&'static str> {
    names.iter().map(|(name, _)| *name).collect()
}

/// The word nearest to a misspelt one, if one is near.
pub(super) fn nearest<'a>(found: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = words
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(word, found), word));
    let (distance, word) = distances.min()?;
    (distance <= 1 + word.len() / 3).then_some(word)
}

impl Entity {
    /// Its name in a file.
    pub fn name(self) -> &'static str {
        name_of(ENTITIES, &self)
    }
}

impl EventKind {
    /// Its name in a file.
    pub fn name(self) -> &'static str {
        name_of(EVENTS, &self)
    }
}

impl Field {
    /// Its name in a file.
    pub fn name(self) -> &'static str {
        name_of(FIELDS, &self)
    }

    /// The names of its values in the order of their numbers, which begin at 0; empty if it is not an enum.
    pub fn value_names(self) -> Vec<&'static str> {
        FilterField::Field(self).values().map(words).unwrap_or_default()
    }
}

impl FilterField {
    /// Its name in a file.
    pub fn name(self) -> &'static str {
        name_of(FILTER_FIELDS, &self)
    }

    /// The names of its values, if it is an enum.
    pub(super) fn values(self) -> Option<&'static Names<i64>> {
        match self {
            Self::Field(Field::Channel) => Some(CHANNELS),
            Self::Field(Field::Outcome) => Some(OUTCOMES),
            Self::Verdict => Some(VERDICTS),
            Self::LabelSource => Some(LABEL_SOURCES),
            Self::Change => Some(CHANGES),
            Self::Field(_) => None,
        }
    }
}

impl Aggregate {
    /// Its name in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum(_) => "sum",
            Self::Mean(_) => "mean",
            Self::Variance(_) => "variance",
            Self::StandardDeviation(_) => "standard_deviation",
            Self::Min(_) => "min",
            Self::Max(_) => "max",
            Self::First(_) => "first",
            Self::Last(_) => "last",
            Self::TimeSinceLast => "time_since_last",
            Self::Distinct(_) => "distinct",
            Self::DecayedSum { .. } => "decayed_sum",
            Self::DecayedMean { .. } => "decayed_mean",
            Self::Rate { .. } => "rate",
            Self::ZScore(_) => "z_score",
        }
    }

    /// The field that it is of, if it is of one.
    pub fn source(&self) -> Option<Field> {
        match *self {
            Self::Count | Self::TimeSinceLast | Self::Rate { .. } => None,
            Self::Sum(source)
            | Self::Mean(source)
            | Self::Variance(source)
            | Self::StandardDeviation(source)
            | Self::Min(source)
            | Self::Max(source)
            | Self::First(source)
            | Self::Last(source)
            | Self::Distinct(source)
            | Self::DecayedSum { source, .. }
            | Self::DecayedMean { source, .. }
            | Self::ZScore(source) => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: PartialEq>(names: &Names<T>) {
        for (index, (name, value)) in names.iter().enumerate() {
            let before = &names[..index];
            assert!(before.iter().all(|(other, _)| other != name), "{name} twice");
            assert!(
                before.iter().all(|(_, other)| other != value),
                "value of {name} twice"
            );
            assert_eq!(name_of(names, value), *name);
        }
    }

    #[test]
    fn no_word_and_no_value_stands_twice() {
        check(ENTITIES);
        check(EVENTS);
        check(FIELDS);
        check(FILTER_FIELDS);
        for (_, field) in FILTER_FIELDS {
            field.values().into_iter().for_each(check);
        }
    }

    #[test]
    fn values_stand_in_the_order_of_their_numbers() {
        for (name, field) in FILTER_FIELDS {
            for (index, (word, number)) in field.values().into_iter().flatten().enumerate() {
                assert_eq!(*number, index as i64, "{name} = {word}");
            }
        }
    }

    #[test]
    fn near_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("custmer", words(ENTITIES)), Some("customer"));
        assert_eq!(nearest("acount", words(ENTITIES)), Some("account"));
        assert_eq!(nearest("issuer", words(ENTITIES)), None);
    }
}
