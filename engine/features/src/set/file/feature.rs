//! Reads one `[[feature]]`.
//!
//! ```text
//!   which of transform, aggregate, ratio ─▶ the keys it takes ─▶ their values ─▶ what goes together
//! ```
//!
//! Start at [`read`]. Invariant: every key is read, known and meaningful, or there is a finding.

use super::source::{Found, Section, one_of};
use super::{filter, rules};
use crate::set::{
    Aggregate, Entity, EntityKey, EventKind, Feature, FeatureKind, Field, Filter, LAST_EVENTS_MAX, Precision,
    Transform, Window, WindowFeature, names,
};

/// The keys of a feature.
pub(in crate::set) const KEYS: [&str; 17] = [
    "name",
    "description",
    "transform",
    "aggregate",
    "ratio",
    "source",
    "hour_max",
    "entity",
    "event",
    "filter",
    "window",
    "delay",
    "precision",
    "includes_current",
    "half_life",
    "per",
    "missing",
];

/// The keys that say what a feature is; it has one of them.
const KINDS: [&str; 3] = ["transform", "aggregate", "ratio"];

/// The keys of a feature over a window.
pub(in crate::set) const WINDOW_KEYS: [&str; 9] = [
    "entity",
    "event",
    "filter",
    "window",
    "delay",
    "precision",
    "includes_current",
    "half_life",
    "per",
];

/// The transforms.
pub(in crate::set) const TRANSFORMS: &names::Names<()> = &[
    ("raw", ()),
    ("log", ()),
    ("hour", ()),
    ("weekday", ()),
    ("is_night", ()),
    ("is_weekend", ()),
    ("one_hot", ()),
];

/// The fields that are numbers of the current transaction.
const CURRENT_FIELDS: [Field; 5] = [
    Field::AmountMinor,
    Field::Currency,
    Field::MerchantCategory,
    Field::Channel,
    Field::Outcome,
];

/// What stands before a feature in the file: the names of all, and the features as far as they could be read.
pub(super) struct Others<'a> {
    /// The name of every feature of the file, by position.
    pub(super) names: &'a [Option<String>],
    /// The features before this one.
    pub(super) earlier: &'a [Option<Feature>],
}

/// Reads one feature.
pub(super) fn read(at: &Section<'_>, others: &Others<'_>) -> Option<Feature> {
    let is_unknown = at.refuse_unknown(&KEYS);
    let name = at
        .require("name", NAME)
        .and_then(|found| found.text(NAME).filter(|_| snake_case(&found)));
    let description = at.optional("description", "", |found| found.text("text"));
    let kind = kind(at, others, is_unknown);
    let missing = at.optional("missing", 0.0, |found| found.number());
    (!is_unknown).then_some(())?;
    Some(Feature {
        name: name?.to_owned(),
        description: description?.to_owned(),
        kind: kind?,
        missing: missing?,
    })
}

const NAME: &str = "lower-case words joined by underscores";

fn snake_case(found: &Found<'_>) -> bool {
    let is_word = |word: &str| {
        let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !word.is_empty() && word.bytes().all(is_lower)
    };
    let text = found.text(NAME).unwrap_or_default();
    let is_name = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.split('_').all(is_word);
    is_name || found.refuse::<()>(NAME).is_some()
}

fn kind(at: &Section<'_>, others: &Others<'_>, is_unknown: bool) -> Option<FeatureKind> {
    let kinds: Vec<&str> = KINDS.into_iter().filter(|key| at.has(key)).collect();
    match kinds[..] {
        ["transform"] => transform(at).map(FeatureKind::Current),
        ["aggregate"] => window_feature(at).map(FeatureKind::Window),
        ["ratio"] => ratio(at, others),
        // A misspelt key is probably the one that is missing.
        [] if is_unknown => None,
        [] => {
            at.refuse(
                "transform",
                "is missing, expected one of transform, aggregate, ratio",
            );
            None
        }
        _ => {
            let message = format!("stands beside {}, expected one of them", kinds[0]);
            at.refuse(kinds[1], &message);
            None
        }
    }
}

fn transform(at: &Section<'_>) -> Option<Transform> {
    at.refuse_meaningless(&WINDOW_KEYS, "a transform");
    at.refuse_meaningless(&["missing"], "a transform");
    let found = at.find("transform")?;
    found.word(TRANSFORMS)?;
    let name = found.text("")?;
    let of = format!("transform = \"{name}\"");
    if name != "is_night" {
        at.refuse_meaningless(&["hour_max"], &of);
    }
    if !matches!(name, "raw" | "log" | "one_hot") {
        at.refuse_meaningless(&["source"], &of);
    }
    match name {
        "raw" => source(at, &CURRENT_FIELDS, &of).map(Transform::Raw),
        "log" => source(at, &CURRENT_FIELDS, &of).map(Transform::Log),
        "one_hot" => source(at, &[Field::Channel, Field::Outcome], &of).map(Transform::OneHot),
        "hour" => Some(Transform::Hour),
        "weekday" => Some(Transform::Weekday),
        "is_weekend" => Some(Transform::IsWeekend),
        _ => {
            let hour_max = at
                .require("hour_max", "a whole number, 0 to 23")?
                .integer(0..=23)?;
            Some(Transform::IsNight {
                hour_max: hour_max as u8,
            })
        }
    }
}

/// The source, one of `fields` as is due with `of`.
fn source(at: &Section<'_>, fields: &[Field], of: &str) -> Option<Field> {
    let names: Vec<(&str, Field)> = fields.iter().map(|field| (field.name(), *field)).collect();
    let expected = format!("{} with {of}", one_of(&names::words(&names)));
    at.require("source", &expected)?.word_with(&names, &expected)
}

fn window_feature(at: &Section<'_>) -> Option<WindowFeature> {
    at.refuse_meaningless(&["hour_max"], "an aggregate");
    let aggregate = aggregate(at);
    let entity = at.require("entity", ENTITY).and_then(|found| entity(&found));
    let event = at.optional("event", EventKind::Transaction, |found| found.word(names::EVENTS));
    let filter = match event {
        Some(event) => at.optional("filter", Filter::default(), |found| filter::read(&found, event)),
        None => None,
    };
    let window = at.require("window", WINDOW).and_then(|found| window(&found));
    let delay_ns = at.optional("delay", 0, |found| found.duration(0));
    let precision = at.optional("precision", Precision::Exact, |found| precision(&found));
    let includes_current = includes_current(at, event);
    let feature = WindowFeature {
        aggregate: aggregate?,
        entity: entity?,
        event: event?,
        filter: filter?,
        window: window?,
        delay_ns: delay_ns?,
        precision: precision?,
        includes_current: includes_current?,
    };
    rules::refuse_combinations(at, &feature).map(|()| feature)
}

fn aggregate(at: &Section<'_>) -> Option<Aggregate> {
    let rules: Vec<(&str, &rules::Rule)> = rules::RULES.iter().map(|rule| (rule.name, rule)).collect();
    let rule = at.find("aggregate")?.word(&rules)?;
    let of = format!("aggregate = \"{}\"", rule.name);
    for parameter in ["half_life", "per"] {
        if rule.parameter != Some(parameter) {
            at.refuse_meaningless(&[parameter], &of);
        }
    }
    if rule.sources.is_empty() {
        at.refuse_meaningless(&["source"], &of);
        return match rule.name {
            "count" => Some(Aggregate::Count),
            "time_since_last" => Some(Aggregate::TimeSinceLast),
            _ => parameter(at, "per").map(|per_ns| Aggregate::Rate { per_ns }),
        };
    }
    let source = source(at, rule.sources, &of);
    let half_life_ns = rule.parameter.map(|key| parameter(at, key));
    of_source(rule.name, source?, half_life_ns.unwrap_or(Some(0))?)
}

fn of_source(name: &str, source: Field, half_life_ns: i64) -> Option<Aggregate> {
    let aggregate = match name {
        "sum" => Aggregate::Sum(source),
        "mean" => Aggregate::Mean(source),
        "variance" => Aggregate::Variance(source),
        "standard_deviation" => Aggregate::StandardDeviation(source),
        "min" => Aggregate::Min(source),
        "max" => Aggregate::Max(source),
        "first" => Aggregate::First(source),
        "last" => Aggregate::Last(source),
        "distinct" => Aggregate::Distinct(source),
        "decayed_sum" => Aggregate::DecayedSum { source, half_life_ns },
        "decayed_mean" => Aggregate::DecayedMean { source, half_life_ns },
        _ => Aggregate::ZScore(source),
    };
    Some(aggregate)
}

fn parameter(at: &Section<'_>, key: &str) -> Option<i64> {
    at.require(key, "a duration, such as \"1h\"")?.duration(1)
}

const ENTITY: &str = "an id field or a list of two";

fn entity(found: &Found<'_>) -> Option<EntityKey> {
    let Some(list) = found.list() else {
        return found.word(names::ENTITIES).map(EntityKey::One);
    };
    if list.len() != 2 {
        return found.refuse(ENTITY);
    }
    let pair: Vec<Option<Entity>> = list.iter().map(|found| found.word(names::ENTITIES)).collect();
    let (one, other) = (pair[0]?, pair[1]?);
    if one == other {
        return found.refuse("two different id fields");
    }
    Some(EntityKey::Pair(one.min(other), one.max(other)))
}

const WINDOW: &str = "a duration, \"forever\", { tumbling = \"1d\" } or { last = 100 }";

fn window(found: &Found<'_>) -> Option<Window> {
    let Some(section) = found.section() else {
        return match found.text(WINDOW)? {
            "forever" => Some(Window::Forever),
            text if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                found.refuse_word(WINDOW, text, &["forever"])
            }
            _ => found.duration(1).map(Window::Sliding),
        };
    };
    let is_unknown = section.refuse_unknown(&["tumbling", "last"]);
    match (section.find("tumbling"), section.find("last")) {
        _ if is_unknown => None,
        (Some(tumbling), None) => tumbling.duration(1).map(Window::Tumbling),
        (None, Some(last)) => {
            let events = last.integer(1..=i64::from(LAST_EVENTS_MAX))?;
            Some(Window::Last(events as u32))
        }
        _ => found.refuse(WINDOW),
    }
}

const PRECISION: &str = "\"exact\" or { bucketed = \"1m\" }";

fn precision(found: &Found<'_>) -> Option<Precision> {
    let Some(section) = found.section() else {
        return match found.text(PRECISION)? {
            "exact" => Some(Precision::Exact),
            text => found.refuse_word(PRECISION, text, &["exact"]),
        };
    };
    if section.refuse_unknown(&["bucketed"]) {
        return None;
    }
    match section.find("bucketed") {
        Some(bucketed) => bucketed.duration(1).map(Precision::Bucketed),
        None => found.refuse(PRECISION),
    }
}

fn includes_current(at: &Section<'_>, event: Option<EventKind>) -> Option<bool> {
    if let Some(event @ (EventKind::Label | EventKind::Account)) = event {
        at.refuse_meaningless(&["includes_current"], &format!("event = \"{}\"", event.name()));
    }
    let aggregate = at.find("aggregate").and_then(|found| found.as_text());
    let rule = aggregate.and_then(rules::rule_of);
    let default = rule.is_none_or(|rule| rule.includes_current);
    at.optional("includes_current", default, |found| found.boolean())
}

const RATIO: &str = "a list of two features before this one";

fn ratio(at: &Section<'_>, others: &Others<'_>) -> Option<FeatureKind> {
    at.refuse_meaningless(&WINDOW_KEYS, "a ratio");
    at.refuse_meaningless(&["source", "hour_max"], "a ratio");
    let found = at.find("ratio")?;
    let parts = found.list().filter(|parts| parts.len() == 2);
    let Some(parts) = parts else {
        return found.refuse(RATIO);
    };
    let read: Vec<Option<usize>> = parts.iter().map(|part| ratio_part(part, others)).collect();
    Some(FeatureKind::Ratio {
        numerator: read[0]?,
        denominator: read[1]?,
    })
}

fn ratio_part(found: &Found<'_>, others: &Others<'_>) -> Option<usize> {
    let name = found.text("the name of a feature before this one")?;
    let named = |names: &[Option<String>]| names.iter().position(|other| other.as_deref() == Some(name));
    let (earlier, later) = others.names.split_at(others.earlier.len());
    let Some(index) = named(earlier) else {
        if named(later).is_some() {
            return found.refuse("a feature before this one");
        }
        let known: Vec<&str> = earlier.iter().flatten().map(String::as_str).collect();
        return found.refuse_word("the name of a feature before this one", name, &known);
    };
    // A feature that could not be read has findings of its own.
    let feature = others.earlier[index].as_ref()?;
    match feature.slot_count() {
        1 => Some(index),
        slots => found.refuse(&format!("a feature of one slot, it has {slots}")),
    }
}
