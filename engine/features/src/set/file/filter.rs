//! Reads the filter of a feature: `filter = { outcome = "declined", amount_minor = { min = 1 } }`.
//!
//! Invariant: equal filters become equal values, however they are written.

use super::rules::event_filter_fields;
use super::source::Found;
use crate::set::{Condition, EventKind, Field, Filter, FilterField, Test};

/// Reads the conditions of a filter over events of one kind.
pub(super) fn read(found: &Found<'_>, event: EventKind) -> Option<Filter> {
    let Some(section) = found.section() else {
        return found.refuse("a table of fields, such as { outcome = \"declined\" }");
    };
    let fields = event_filter_fields(event);
    let words: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let is_unknown = section.refuse_unknown(&words);
    let read: Vec<Option<Condition>> = fields
        .iter()
        .filter_map(|field| section.find(field.name()).map(|found| condition(&found, *field)))
        .collect();
    if read.is_empty() && !is_unknown {
        return found.refuse("at least one field");
    }
    let mut conditions = read.into_iter().collect::<Option<Vec<_>>>()?;
    conditions.sort();
    (!is_unknown).then_some(Filter { conditions })
}

fn condition(found: &Found<'_>, field: FilterField) -> Option<Condition> {
    let test = match field.values() {
        Some(values) => any_of(found, &|found| found.word(values)),
        None => number_test(found, field),
    };
    test.map(|test| Condition { field, test })
}

fn number_test(found: &Found<'_>, field: FilterField) -> Option<Test> {
    let (low, high) = match field {
        FilterField::Field(Field::Currency) => (0, 999),
        FilterField::Field(Field::MerchantCategory) => (0, 9_999),
        _ => (i64::MIN, i64::MAX),
    };
    let Some(section) = found.section() else {
        return any_of(found, &|found| found.integer(low..=high));
    };
    let is_unknown = section.refuse_unknown(&["min", "max"]);
    let min = section.optional("min", low, |found| found.integer(low..=high));
    let max = section.optional("max", high, |found| found.integer(low..=high));
    if is_unknown || !(section.has("min") || section.has("max")) {
        return if is_unknown {
            None
        } else {
            found.refuse("min or max or both")
        };
    }
    let (min, max) = (min?, max?);
    if min > max {
        return found.refuse("min no greater than max");
    }
    Some(Test::Between(min, max))
}

/// One value or a list of them.
fn any_of(found: &Found<'_>, read: &dyn Fn(&Found<'_>) -> Option<i64>) -> Option<Test> {
    let list = found.list().unwrap_or_else(|| vec![found.clone()]);
    if list.is_empty() {
        return found.refuse("at least one value");
    }
    let values: Vec<Option<i64>> = list.iter().map(read).collect();
    let mut values = values.into_iter().collect::<Option<Vec<i64>>>()?;
    values.sort_unstable();
    values.dedup();
    Some(Test::AnyOf(values))
}
