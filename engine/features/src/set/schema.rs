//! The JSON Schema of a feature set's file, for editors: what a key means, and what may stand there.
//!
//! ```text
//!   tables of words, rules ─▶ json_schema() ─▶ features/feature-set.schema.json ◀─ "#:schema" in a set's file
//! ```
//!
//! Start at [`json_schema`]. An editor that knows the schema (Taplo, Even Better TOML) completes keys and
//! words and shows what is misspelt. The schema holds what can be said of one feature; what [`super::file`]
//! refuses beyond it are durations that are too long, names that are taken and ratios of what is not there.
//!
//! Invariant: the keys and words are those that the parser knows.

use pinion_schemas::records::FEATURES_MAX;
use serde_json::{Map, Value, json};

use super::file::{RULES, TRANSFORMS, WINDOW_KEYS};
use super::names::{self, ENTITIES, EVENTS, FIELDS, FILTER_FIELDS};
use super::{FilterField, LAST_EVENTS_MAX};

/// The schema as text: JSON Schema 2020-12, indented, with a line feed at the end.
pub fn json_schema() -> String {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Feature set of Pinion",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "version", "feature"],
        "properties": set_properties(),
        "$defs": {
            "duration": duration(),
            "entity": { "enum": names::words(ENTITIES) },
            "feature": feature(),
            "filter": filter(),
        },
    });
    format!("{schema:#}\n")
}

fn set_properties() -> Value {
    json!({
        "name": {
            "description": "Name of the set: lower-case words joined by hyphens.",
            "type": "string",
            "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
        },
        "version": {
            "description": "Version of the set, from 1.",
            "type": "integer",
            "minimum": 1,
            "maximum": u32::MAX,
        },
        "description": {
            "description": "What the set is for; not part of its hash.",
            "type": "string",
        },
        "feature": {
            "description": "The features, in the order of their slots in the vector.",
            "type": "array",
            "minItems": 1,
            "maxItems": FEATURES_MAX,
            "items": { "$ref": "#/$defs/feature" },
        },
    })
}

fn duration() -> Value {
    json!({
        "type": "string",
        "pattern": "^[0-9]+(ns|us|ms|s|m|h|d)$",
    })
}

fn duration_of(description: &str) -> Value {
    json!({ "description": description, "$ref": "#/$defs/duration" })
}

fn feature() -> Value {
    let kinds = [
        kind(
            "transform",
            &[],
            &[&["aggregate", "ratio"], &WINDOW_KEYS[..], &["missing"]].concat(),
        ),
        kind(
            "aggregate",
            &["entity", "window"],
            &["transform", "ratio", "hour_max"],
        ),
        kind(
            "ratio",
            &[],
            &[
                &["transform", "aggregate", "source", "hour_max"],
                &WINDOW_KEYS[..],
            ]
            .concat(),
        ),
    ];
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": feature_properties(),
        "oneOf": kinds,
        "allOf": conditions(),
    })
}

/// A feature that has the key `of` and those that come with it, and none of others.
fn kind(of: &str, with: &[&str], without: &[&str]) -> Value {
    let required: Vec<&str> = [of].into_iter().chain(with.iter().copied()).collect();
    let without: Vec<Value> = without.iter().map(|key| json!({ "required": [key] })).collect();
    json!({ "required": required, "not": { "anyOf": without } })
}

fn feature_properties() -> Value {
    let mut properties = json!({
        "name": {
            "description": "Name in manifests and training sets: lower-case words joined by underscores.",
            "type": "string",
            "pattern": "^[a-z][a-z0-9]*(_[a-z0-9]+)*$",
        },
        "description": {
            "description": "What the feature is for; not part of the set's hash.",
            "type": "string",
        },
        "transform": {
            "description": "A feature of the current transaction alone. hour and weekday have two slots, NAME_sin and \
                            NAME_cos; one_hot has one for each value, NAME_VALUE.",
            "enum": names::words(TRANSFORMS),
        },
        "aggregate": {
            "description": "What is computed over the window.",
            "enum": RULES.iter().map(|rule| rule.name).collect::<Vec<_>>(),
        },
        "ratio": {
            "description": "One feature divided by another: the names of two features before this one, each of one slot.",
            "type": "array",
            "items": { "type": "string" },
            "minItems": 2,
            "maxItems": 2,
        },
        "missing": {
            "description": "The value where there is nothing to compute from: no such event, an absent entity, a \
                            denominator or deviation of 0.",
            "type": "number",
            "default": 0,
        },
        "source": {
            "description": "The field that the transform or aggregate is of. fraud: 1 if the transaction is labelled \
                            fraud as far as is known, else 0.",
            "enum": names::words(FIELDS),
        },
        "hour_max": {
            "description": "The last hour of the night, UTC; for is_night.",
            "type": "integer",
            "minimum": 0,
            "maximum": 23,
        },
    });
    merge(&mut properties, window_properties());
    merge(&mut properties, duration_properties());
    properties
}

fn window_properties() -> Value {
    json!({
        "entity": {
            "description": "Whose history: an id field, or two of them together.",
            "anyOf": [
                { "$ref": "#/$defs/entity" },
                {
                    "type": "array",
                    "items": { "$ref": "#/$defs/entity" },
                    "minItems": 2,
                    "maxItems": 2,
                    "uniqueItems": true,
                },
            ],
        },
        "event": {
            "description": "Which events the window is over.",
            "enum": names::words(EVENTS),
            "default": "transaction",
        },
        "filter": {
            "description": "Which of these events count: all conditions hold.",
            "$ref": "#/$defs/filter",
        },
        "window": {
            "description": "Over which time or number: \"10m\" slides with the current event; { tumbling = \"1d\" } \
                            begins with each day, UTC; { last = 100 } is a number of events; \"forever\" is all.",
            "anyOf": [
                { "const": "forever" },
                { "$ref": "#/$defs/duration" },
                closed("tumbling", json!({ "$ref": "#/$defs/duration" })),
                closed("last", json!({ "type": "integer", "minimum": 1, "maximum": LAST_EVENTS_MAX })),
            ],
        },
        "precision": {
            "description": "How much is kept: \"exact\" keeps every event, { bucketed = \"1m\" } one bucket per time, \
                            with an error in time of less than that; window and delay together have at most 16384 buckets.",
            "anyOf": [
                { "const": "exact" },
                closed("bucketed", json!({ "$ref": "#/$defs/duration" })),
            ],
            "default": "exact",
        },
        "includes_current": {
            "description": "Whether the current transaction counts. Default: true, but false for last, time_since_last \
                            and z_score.",
            "type": "boolean",
        },
    })
}

fn duration_properties() -> Value {
    json!({
        "delay": duration_of("The window ends this long before the current transaction: \"7d\" for what is known a \
                              week later. Default: 0s."),
        "half_life": duration_of("After this time an event counts half; for decayed_sum and decayed_mean."),
        "per": duration_of("The unit of time of a rate."),
    })
}

/// A table with this key alone.
fn closed(key: &str, value: Value) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": [key],
        "properties": { key: value },
    })
}

/// What each aggregate needs and takes, and each transform.
fn conditions() -> Vec<Value> {
    let aggregates = RULES.iter().map(|rule| {
        let sources: Vec<&str> = rule.sources.iter().map(|field| field.name()).collect();
        let needs_source = (!sources.is_empty()).then_some("source");
        let required: Vec<&str> = needs_source.into_iter().chain(rule.parameter).collect();
        let all = ["source", "half_life", "per"].into_iter();
        let without: Vec<&str> = all.filter(|key| !required.contains(key)).collect();
        let mut then = kind("aggregate", &required, &without);
        if needs_source.is_some() {
            then["properties"] = json!({ "source": { "enum": sources } });
        }
        condition("aggregate", rule.name, then)
    });
    let transforms = names::words(TRANSFORMS).into_iter().map(|name| {
        let required: &[&str] = match name {
            "raw" | "log" | "one_hot" => &["source"],
            "is_night" => &["hour_max"],
            _ => &[],
        };
        let all = ["source", "hour_max"].into_iter();
        let without: Vec<&str> = all.filter(|key| !required.contains(key)).collect();
        condition("transform", name, kind("transform", required, &without))
    });
    aggregates.chain(transforms).collect()
}

/// What holds if a key has a value.
fn condition(key: &str, value: &str, then: Value) -> Value {
    json!({
        "if": { "required": [key], "properties": { key: { "const": value } } },
        "then": then,
    })
}

fn filter() -> Value {
    let properties = FILTER_FIELDS
        .iter()
        .map(|(name, field)| ((*name).to_owned(), filter_field(*field)));
    json!({
        "type": "object",
        "additionalProperties": false,
        "minProperties": 1,
        "properties": properties.collect::<Map<_, _>>(),
    })
}

fn filter_field(field: FilterField) -> Value {
    let description = match field {
        FilterField::Verdict => "Of labels: what became known.",
        FilterField::LabelSource => "Of labels: who said so.",
        FilterField::Change => "Of account updates: what happened.",
        FilterField::Field(_) => {
            "A value, a list of values, or for numbers { min = 1, max = 5 }, both included."
        }
    };
    let value = match field.values() {
        Some(values) => json!({ "enum": names::words(values) }),
        None => json!({ "type": "integer" }),
    };
    let list = json!({ "type": "array", "minItems": 1, "items": value.clone() });
    let mut tests = vec![value.clone(), list];
    if field.values().is_none() {
        tests.push(json!({
            "type": "object",
            "additionalProperties": false,
            "minProperties": 1,
            "properties": { "min": value.clone(), "max": value },
        }));
    }
    json!({ "description": description, "anyOf": tests })
}

/// Adds the keys of one object to another.
fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::file::{KEYS, SET_KEYS};

    fn schema() -> Value {
        serde_json::from_str(&json_schema()).unwrap()
    }

    /// The keys of the object at a place of the schema are those known to the parser.
    #[track_caller]
    fn check(place: &str, expected: &[&str]) {
        let schema = schema();
        let properties = schema.pointer(place).and_then(Value::as_object).expect(place);
        let mut found: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{place}");
        let is_described = |value: &Value| value["description"].is_string();
        assert!(properties.values().all(is_described), "{place}");
    }

    #[test]
    fn schema_has_the_keys_that_the_parser_knows() {
        check("/properties", &SET_KEYS);
        check("/$defs/feature/properties", &KEYS);
        check("/$defs/filter/properties", &names::words(FILTER_FIELDS));
    }

    #[test]
    fn keys_that_are_forbidden_or_required_are_keys() {
        let schema = schema();
        let all = schema["$defs"]["feature"].to_string();
        let lists = all.split("\"required\":[").skip(1);
        let required = lists.flat_map(|list| list.split(']').next().unwrap_or_default().split(','));
        for key in required.map(|key| key.trim_matches('"')) {
            let is_inner = ["tumbling", "last", "bucketed"].contains(&key);
            assert!(is_inner || KEYS.contains(&key), "{key}");
        }
    }

    #[test]
    fn every_reference_has_its_definition() {
        let text = schema().to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let place = reference.split('"').next().unwrap_or_default();
            assert!(schema().pointer(place).is_some(), "{place}");
        }
    }
}
