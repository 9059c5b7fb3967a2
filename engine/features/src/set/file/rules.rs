//! What goes together in a window feature.
//!
//! ```text
//!   aggregate ─▶ Rule: keys, sources, windows, buckets        event ─▶ sources, filter fields, entities
//! ```
//!
//! Start at [`RULES`], then [`refuse_combinations`]. Invariant: what passes can be computed.

use super::source::{Section, one_of};
use crate::set::duration::short;
use crate::set::{Entity, EntityKey, EventKind, Field, FilterField, Precision, Window, WindowFeature, names};

/// The most buckets of a window and its delay: as many as events of one entity can be held.
pub(in crate::set) const BUCKETS_MAX: i64 = crate::config::EVENTS_MAX as i64;

/// What one aggregate takes.
pub(in crate::set) struct Rule {
    /// Its name in a file.
    pub(in crate::set) name: &'static str,
    /// The key that it needs beside the source.
    pub(in crate::set) parameter: Option<&'static str>,
    /// The fields that it can be of; empty: it is of the events themselves.
    pub(in crate::set) sources: &'static [Field],
    windows: Windows,
    /// Whether it can be computed from buckets.
    is_bucketed: bool,
    /// Whether the current event counts if the file does not say.
    pub(in crate::set) includes_current: bool,
}

/// The windows that an aggregate takes.
#[derive(Clone, Copy, PartialEq)]
enum Windows {
    Any,
    Sliding,
    SlidingOrForever,
}

const NONE: &[Field] = &[];
const AMOUNT: &[Field] = &[Field::AmountMinor];
const AMOUNT_OR_FRAUD: &[Field] = &[Field::AmountMinor, Field::Fraud];
const VALUES: &[Field] = &[
    Field::AmountMinor,
    Field::Currency,
    Field::MerchantCategory,
    Field::Channel,
    Field::Outcome,
];
const KINDS: &[Field] = &[
    Field::Currency,
    Field::MerchantCategory,
    Field::Channel,
    Field::Outcome,
    Field::Id(Entity::Customer),
    Field::Id(Entity::Terminal),
    Field::Id(Entity::Card),
    Field::Id(Entity::Merchant),
    Field::Id(Entity::Device),
    Field::Id(Entity::Account),
];

/// Every aggregate.
#[rustfmt::skip] // a table is read by its columns
pub(in crate::set) const RULES: [Rule; 15] = [
    //   name                  sources          windows                    buckets  current
    rule("count",              NONE,            Windows::Any,              true,    true),
    rule("sum",                AMOUNT_OR_FRAUD, Windows::Any,              true,    true),
    rule("mean",               AMOUNT_OR_FRAUD, Windows::Any,              true,    true),
    rule("variance",           AMOUNT,          Windows::Any,              true,    true),
    rule("standard_deviation", AMOUNT,          Windows::Any,              true,    true),
    rule("min",                AMOUNT,          Windows::Any,              true,    true),
    rule("max",                AMOUNT,          Windows::Any,              true,    true),
    rule("first",              VALUES,          Windows::Any,              false,   true),
    rule("last",               VALUES,          Windows::Any,              false,   false),
    rule("time_since_last",    NONE,            Windows::Any,              false,   false),
    rule("distinct",           KINDS,           Windows::Any,              true,    true),
    with("half_life",
    rule("decayed_sum",        AMOUNT,          Windows::SlidingOrForever, false,   true)),
    with("half_life",
    rule("decayed_mean",       AMOUNT,          Windows::SlidingOrForever, false,   true)),
    with("per",
    rule("rate",               NONE,            Windows::Sliding,          true,    true)),
    rule("z_score",            AMOUNT,          Windows::Any,              false,   false),
];

const fn rule(
    name: &'static str,
    sources: &'static [Field],
    windows: Windows,
    is_bucketed: bool,
    includes_current: bool,
) -> Rule {
    Rule {
        name,
        parameter: None,
        sources,
        windows,
        is_bucketed,
        includes_current,
    }
}

const fn with(parameter: &'static str, rule: Rule) -> Rule {
    Rule {
        parameter: Some(parameter),
        ..rule
    }
}

/// The rule of an aggregate.
pub(in crate::set) fn rule_of(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// The fields of an event that a window can be of.
fn event_sources(event: EventKind) -> Vec<Field> {
    match event {
        EventKind::Transaction => names::FIELDS.iter().map(|(_, field)| *field).collect(),
        EventKind::Label => vec![Field::AmountMinor],
        EventKind::Account => vec![Field::AmountMinor, Field::Currency],
    }
}

/// The fields of an event that a filter can look at.
pub(in crate::set) fn event_filter_fields(event: EventKind) -> Vec<FilterField> {
    let fields = names::FILTER_FIELDS.iter().map(|(_, field)| *field);
    let has = |field: &FilterField| match field {
        FilterField::Field(Field::AmountMinor) => true,
        FilterField::Field(Field::Currency) => event != EventKind::Label,
        FilterField::Field(_) => event == EventKind::Transaction,
        FilterField::Verdict | FilterField::LabelSource => event == EventKind::Label,
        FilterField::Change => event == EventKind::Account,
    };
    fields.filter(has).collect()
}

/// Refuses what does not go together. `at` is the feature's section, `feature` what it says.
pub(super) fn refuse_combinations(at: &Section<'_>, feature: &WindowFeature) -> Option<()> {
    let rule = rule_of(feature.aggregate.name()).expect("every aggregate has a rule");
    let checks = [
        source(at, feature),
        entity(at, feature),
        event(at, feature),
        window(at, feature, rule),
        delay(at, feature, rule),
        precision(at, feature, rule),
    ];
    checks.into_iter().collect()
}

/// Keeps the finding that a key says something else than `expected`, unless nothing is expected.
fn expect(at: &Section<'_>, key: &str, expected: Option<String>) -> Option<()> {
    let Some(expected) = expected else {
        return Some(());
    };
    at.require(key, &expected)?.refuse(&expected)
}

fn source(at: &Section<'_>, feature: &WindowFeature) -> Option<()> {
    let sources = event_sources(feature.event);
    let found = feature.aggregate.source();
    let is_broken = found.is_some_and(|source| !sources.contains(&source));
    let words: Vec<&str> = sources.iter().map(|field| field.name()).collect();
    let expected = format!("{} with event = \"{}\"", one_of(&words), feature.event.name());
    expect(at, "source", is_broken.then_some(expected))
}

fn entity(at: &Section<'_>, feature: &WindowFeature) -> Option<()> {
    let has_entity = matches!(feature.entity, EntityKey::One(Entity::Customer | Entity::Account));
    let is_broken = feature.event == EventKind::Account && !has_entity;
    let expected = "customer or account with event = \"account\"";
    expect(at, "entity", is_broken.then(|| expected.to_owned()))
}

fn event(at: &Section<'_>, feature: &WindowFeature) -> Option<()> {
    let is_broken = feature.aggregate.name() == "z_score" && feature.event != EventKind::Transaction;
    let expected = "transaction with aggregate = \"z_score\"";
    expect(at, "event", is_broken.then(|| expected.to_owned()))
}

fn window(at: &Section<'_>, feature: &WindowFeature, rule: &Rule) -> Option<()> {
    let expected = match (rule.windows, feature.window) {
        (Windows::Any, _) | (_, Window::Sliding(_)) => None,
        (Windows::SlidingOrForever, Window::Forever) => None,
        (Windows::SlidingOrForever, _) => Some("a duration or \"forever\""),
        (Windows::Sliding, _) => Some("a duration"),
    };
    let expected = expected.map(|expected| format!("{expected} with aggregate = \"{}\"", rule.name));
    expect(at, "window", expected)
}

fn delay(at: &Section<'_>, feature: &WindowFeature, rule: &Rule) -> Option<()> {
    let is_decayed = rule.windows == Windows::SlidingOrForever;
    let is_broken = is_decayed && feature.window == Window::Forever && feature.delay_ns != 0;
    let expected = format!("none with aggregate = \"{}\" and window = \"forever\"", rule.name);
    expect(at, "delay", is_broken.then_some(expected))
}

fn precision(at: &Section<'_>, feature: &WindowFeature, rule: &Rule) -> Option<()> {
    let expected = match feature.precision {
        Precision::Exact => None,
        Precision::Bucketed(bucket_ns) => bucketed(feature, rule, bucket_ns),
    };
    expect(at, "precision", expected)
}

/// What is expected of a bucketed feature that cannot be computed.
fn bucketed(feature: &WindowFeature, rule: &Rule, bucket_ns: i64) -> Option<String> {
    let exact = |with: &str| Some(format!("\"exact\" with {with}"));
    if !rule.is_bucketed {
        return exact(&format!("aggregate = \"{}\"", rule.name));
    }
    if feature.aggregate.source() == Some(Field::Fraud) {
        return exact("source = \"fraud\"");
    }
    if !feature.includes_current {
        return exact("includes_current = false");
    }
    match feature.window {
        Window::Forever => None,
        Window::Last(events) => exact(&format!("window = {{ last = {events} }}")),
        Window::Sliding(length_ns) | Window::Tumbling(length_ns) if bucket_ns > length_ns => {
            Some(format!("buckets of at most \"{}\", the window", short(length_ns)))
        }
        Window::Sliding(length_ns) | Window::Tumbling(length_ns) => {
            let kept_ns = length_ns + feature.delay_ns;
            let few = format!(
                "at most {BUCKETS_MAX} buckets in \"{}\", the window and its delay",
                short(kept_ns)
            );
            (kept_ns / bucket_ns > BUCKETS_MAX).then_some(few)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::set::canonical::slot_lines;
    use crate::set::{Aggregate, DAY_NS, Feature, FeatureKind, FeatureSet, Filter};

    const HOUR_NS: i64 = DAY_NS / 24;

    /// Every aggregate of every field.
    fn aggregates() -> Vec<Aggregate> {
        let of_field = |source: Field| {
            [
                Aggregate::Sum(source),
                Aggregate::Mean(source),
                Aggregate::Variance(source),
                Aggregate::StandardDeviation(source),
                Aggregate::Min(source),
                Aggregate::Max(source),
                Aggregate::First(source),
                Aggregate::Last(source),
                Aggregate::Distinct(source),
                Aggregate::DecayedSum {
                    source,
                    half_life_ns: HOUR_NS,
                },
                Aggregate::DecayedMean {
                    source,
                    half_life_ns: 1,
                },
                Aggregate::ZScore(source),
            ]
        };
        let of_none = [
            Aggregate::Count,
            Aggregate::TimeSinceLast,
            Aggregate::Rate { per_ns: HOUR_NS },
        ];
        let fields = names::FIELDS.iter().map(|(_, field)| *field);
        of_none.into_iter().chain(fields.flat_map(of_field)).collect()
    }

    /// Every choice of the rest.
    fn surroundings() -> Vec<WindowFeature> {
        let day = DAY_NS;
        let windows = [
            Window::Sliding(day),
            Window::Tumbling(day),
            Window::Last(10),
            Window::Forever,
        ];
        let entities = [
            EntityKey::One(Entity::Account),
            EntityKey::Pair(Entity::Customer, Entity::Device),
        ];
        // One bit for each choice of two, the rest for the choices of more.
        let choice = |index: usize| WindowFeature {
            aggregate: Aggregate::Count,
            filter: Filter::default(),
            includes_current: index & 1 == 0,
            precision: [Precision::Exact, Precision::Bucketed(HOUR_NS)][index >> 1 & 1],
            delay_ns: [0, 7 * day][index >> 2 & 1],
            entity: entities[index >> 3 & 1],
            window: windows[index >> 4 & 3],
            event: names::EVENTS[index >> 6].1,
        };
        (0..names::EVENTS.len() << 6).map(choice).collect()
    }

    /// The keys of a feature, as a person would write them.
    fn written(feature: &WindowFeature) -> String {
        let mut keys = vec![
            format!("aggregate = \"{}\"", feature.aggregate.name()),
            format!("event = \"{}\"", feature.event.name()),
            format!("delay = \"{}\"", short(feature.delay_ns)),
        ];
        keys.extend(
            feature
                .aggregate
                .source()
                .map(|source| format!("source = \"{}\"", source.name())),
        );
        match feature.aggregate {
            Aggregate::DecayedSum { half_life_ns, .. } | Aggregate::DecayedMean { half_life_ns, .. } => {
                keys.push(format!("half_life = \"{}\"", short(half_life_ns)));
            }
            Aggregate::Rate { per_ns } => keys.push(format!("per = \"{}\"", short(per_ns))),
            _ => {}
        }
        keys.push(match feature.entity {
            EntityKey::One(entity) => format!("entity = \"{}\"", entity.name()),
            EntityKey::Pair(one, other) => format!("entity = [\"{}\", \"{}\"]", other.name(), one.name()),
        });
        keys.push(match feature.window {
            Window::Sliding(length_ns) => format!("window = \"{}\"", short(length_ns)),
            Window::Tumbling(length_ns) => format!("window.tumbling = \"{}\"", short(length_ns)),
            Window::Last(events) => format!("window.last = {events}"),
            Window::Forever => "window = \"forever\"".to_owned(),
        });
        if let Precision::Bucketed(bucket_ns) = feature.precision {
            keys.push(format!("precision.bucketed = \"{}\"", short(bucket_ns)));
        }
        if feature.event == EventKind::Transaction {
            keys.push(format!("includes_current = {}", feature.includes_current));
        }
        keys.join("\n")
    }

    /// What can be computed, said once more: without tables, one aggregate after the other.
    fn is_computable(feature: &WindowFeature) -> bool {
        let (event, window) = (feature.event, feature.window);
        let is_number = |field| field == Field::AmountMinor;
        let is_value = |field| !matches!(field, Field::Fraud | Field::Id(_));
        let is_event_field = |field| match event {
            EventKind::Transaction => true,
            EventKind::Label => field == Field::AmountMinor,
            EventKind::Account => matches!(field, Field::AmountMinor | Field::Currency),
        };
        let is_account = event != EventKind::Account || feature.entity == EntityKey::One(Entity::Account);
        let is_exact = feature.precision == Precision::Exact;
        let is_bucketed = is_exact || (feature.includes_current && !matches!(window, Window::Last(_)));
        let is_decaying = match window {
            Window::Sliding(_) => is_exact,
            Window::Forever => is_exact && feature.delay_ns == 0,
            _ => false,
        };
        let is_aggregate = match feature.aggregate {
            Aggregate::Count => is_bucketed,
            Aggregate::Sum(Field::Fraud) | Aggregate::Mean(Field::Fraud) => is_exact,
            Aggregate::Sum(field)
            | Aggregate::Mean(field)
            | Aggregate::Variance(field)
            | Aggregate::StandardDeviation(field)
            | Aggregate::Min(field)
            | Aggregate::Max(field) => is_number(field) && is_bucketed,
            Aggregate::First(field) | Aggregate::Last(field) => is_value(field) && is_exact,
            Aggregate::TimeSinceLast => is_exact,
            Aggregate::Distinct(field) => !matches!(field, Field::AmountMinor | Field::Fraud) && is_bucketed,
            Aggregate::DecayedSum { source, .. } | Aggregate::DecayedMean { source, .. } => {
                is_number(source) && is_decaying
            }
            Aggregate::Rate { .. } => matches!(window, Window::Sliding(_)) && is_bucketed,
            Aggregate::ZScore(field) => is_number(field) && is_exact && event == EventKind::Transaction,
        };
        is_aggregate && is_account && feature.aggregate.source().is_none_or(is_event_field)
    }

    /// Reads a feature that was written, and compares. Returns its meaning and its text if it is accepted.
    #[track_caller]
    fn check(mut feature: WindowFeature) -> Option<(String, String)> {
        if feature.event != EventKind::Transaction {
            feature.includes_current = rule_of(feature.aggregate.name()).unwrap().includes_current;
        }
        let keys = written(&feature);
        let text = format!("name = \"s\"\nversion = 1\n[[feature]]\nname = \"a\"\nmissing = -1.5\n{keys}\n");
        let read = FeatureSet::parse(&text);
        assert_eq!(read.is_ok(), is_computable(&feature), "{keys}\n{read:?}");
        let set = read.ok()?;
        let expected = Feature {
            name: "a".to_owned(),
            description: String::new(),
            kind: FeatureKind::Window(feature),
            missing: -1.5,
        };
        assert_eq!(set.features, [expected], "{keys}");
        slot_lines(&set).pop().map(|line| (line, keys))
    }

    #[test]
    fn every_combination_is_read_as_written_or_refused_as_not_computable() {
        let surroundings = surroundings();
        let mut keys_of: BTreeMap<String, String> = BTreeMap::new();
        for aggregate in aggregates() {
            for surrounding in surroundings.iter().cloned() {
                let Some((line, keys)) = check(WindowFeature {
                    aggregate,
                    ..surrounding
                }) else {
                    continue;
                };
                let other = keys_of.entry(line).or_insert_with(|| keys.clone());
                assert_eq!(*other, keys, "two features of one meaning");
            }
        }
        assert!(keys_of.len() > 500, "{}", keys_of.len());
    }
}
