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
        fraud(at, feature),
        z_score(at, feature),
        window(at, feature, rule),
        buckets(at, feature, rule),
    ];
    checks.into_iter().collect()
}

/// Keeps a finding if `is_broken`.
fn refuse_if(is_broken: bool, at: &Section<'_>, key: &str, wrong: impl FnOnce() -> String) -> Option<()> {
    if is_broken {
        at.refuse(key, &wrong());
        return None;
    }
    Some(())
}

fn source(at: &Section<'_>, feature: &WindowFeature) -> Option<()> {
    let Some(source) = feature.aggregate.source() else {
        return Some(());
    };
    let expected = event_sources(feature.event);
    refuse_if(!expected.contains(&source), at, "source", || {
        let expected: Vec<&str> = expected.iter().map(|field| field.name()).collect();
        let (found, event) = (source.name(), feature.event.name());
        format!(
            "is \"{found}\", expected {} with event = \"{event}\"",
            one_of(&expected)
        )
    })
}

fn entity(at: &Section<'_>, feature: &WindowFeature) -> Option<()> {
    let has_entity = matches!(feature.entity, EntityKey::One(Entity::Customer | Entity::Account));
    let is_broken = feature.event == EventKind::Account && !has_entity;
    refuse_if(is_broken, at, "entity", || {
        let found = feature.entity.shown();
        format!("is {found}, expected \"customer\" or \"account\" with event = \"account\"")
    })
}

fn fraud(at: &Section<'_>, feature: &WindowFeature) -> Option<()> {
    let is_fraud = feature.aggregate.source() == Some(Field::Fraud);
    refuse_if(
        is_fraud && feature.precision != Precision::Exact,
        at,
        "precision",
        || "is bucketed, expected \"exact\" with source = \"fraud\"".to_owned(),
    )
}

fn z_score(at: &Section<'_>, feature: &WindowFeature) -> Option<()> {
    let is_broken = feature.aggregate.name() == "z_score" && feature.event != EventKind::Transaction;
    refuse_if(is_broken, at, "event", || {
        let found = feature.event.name();
        format!("is \"{found}\", expected \"transaction\" with aggregate = \"z_score\"")
    })
}

fn window(at: &Section<'_>, feature: &WindowFeature, rule: &Rule) -> Option<()> {
    let expected = match (rule.windows, feature.window) {
        (Windows::Any, _) | (_, Window::Sliding(_)) => None,
        (Windows::SlidingOrForever, Window::Forever) => None,
        (Windows::SlidingOrForever, _) => Some("a duration or \"forever\""),
        (Windows::Sliding, _) => Some("a duration"),
    };
    if let Some(expected) = expected {
        let (found, name) = (feature.window.shown(), rule.name);
        at.refuse(
            "window",
            &format!("is {found}, expected {expected} with aggregate = \"{name}\""),
        );
        return None;
    }
    let is_decayed = rule.windows == Windows::SlidingOrForever;
    let is_broken = is_decayed && feature.window == Window::Forever && feature.delay_ns != 0;
    refuse_if(is_broken, at, "delay", || {
        let (found, name) = (short(feature.delay_ns), rule.name);
        format!("is \"{found}\", expected none with aggregate = \"{name}\" and window = \"forever\"")
    })
}

fn buckets(at: &Section<'_>, feature: &WindowFeature, rule: &Rule) -> Option<()> {
    let Precision::Bucketed(bucket_ns) = feature.precision else {
        return Some(());
    };
    let exact = "is bucketed, expected \"exact\" with";
    refuse_if(!rule.is_bucketed, at, "precision", || {
        format!("{exact} aggregate = \"{}\"", rule.name)
    })?;
    refuse_if(!feature.includes_current, at, "precision", || {
        format!("{exact} includes_current = false")
    })?;
    let length_ns = match feature.window {
        Window::Last(_) => i64::MIN,
        Window::Forever => i64::MAX,
        Window::Sliding(length_ns) | Window::Tumbling(length_ns) => length_ns,
    };
    refuse_if(length_ns == i64::MIN, at, "precision", || {
        format!("{exact} window = {}", feature.window.shown())
    })?;
    refuse_if(bucket_ns > length_ns, at, "precision", || {
        let (found, most) = (short(bucket_ns), short(length_ns));
        format!("is buckets of \"{found}\", expected buckets no longer than the window, \"{most}\"")
    })
}

impl EntityKey {
    /// As in a file.
    pub(in crate::set) fn shown(self) -> String {
        match self {
            Self::One(entity) => format!("\"{}\"", entity.name()),
            Self::Pair(one, other) => format!("[\"{}\", \"{}\"]", one.name(), other.name()),
        }
    }
}

impl Window {
    /// As in a file.
    pub(in crate::set) fn shown(self) -> String {
        match self {
            Self::Sliding(length_ns) => format!("\"{}\"", short(length_ns)),
            Self::Tumbling(length_ns) => format!("{{ tumbling = \"{}\" }}", short(length_ns)),
            Self::Last(events) => format!("{{ last = {events} }}"),
            Self::Forever => "\"forever\"".to_owned(),
        }
    }
}
