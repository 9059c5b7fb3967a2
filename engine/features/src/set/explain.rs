//! Says in words what a feature is, and lists those of a set.
//!
//! ```text
//!   Feature ─▶ what it is · over which interval · unit · missing value · precision · cost · late events
//! ```
//!
//! Start at [`feature`] and [`list`]; [`nearest`] helps with a misspelt name. The words are for people who judge
//! fraud, not for programs: they may change at any time. What programs compare is [`super::canonical`].
//!
//! Invariant: a sentence is a function of the set alone; what the configuration bounds is named by its key.

use super::duration::{each, short, words};
use super::names::{self, Names};
use super::{
    Aggregate, Condition, Entity, EntityKey, EventKind, Feature, FeatureKind, FeatureSet, Field, Filter,
    FilterField, Precision, Test, Transform, Window, WindowFeature,
};

/// What a feature is, in sentences, one line each; `None` if the set has no feature or slot of the name.
pub fn feature(set: &FeatureSet, name: &str) -> Option<String> {
    let has_name =
        |feature: &&Feature| feature.name == name || feature.slot_names().iter().any(|slot| slot == name);
    let feature = set.features.iter().find(has_name)?;
    let mut lines = vec![headline(feature), place(set, feature)];
    lines.extend(match &feature.kind {
        FeatureKind::Current(transform) => transform_lines(transform),
        FeatureKind::Window(window) => window_lines(window, feature.missing),
        FeatureKind::Ratio {
            numerator,
            denominator,
        } => {
            let (above, below) = (&set.features[*numerator].name, &set.features[*denominator].name);
            ratio_lines(above, below, feature.missing)
        }
    });
    Some(lines.iter().map(|line| format!("{line}\n")).collect())
}

/// The name of the feature or slot that is nearest to a misspelt one, if one is near.
pub fn nearest(set: &FeatureSet, name: &str) -> Option<String> {
    let features = set.features.iter().map(|feature| feature.name.clone());
    let known: Vec<String> = features.chain(set.slot_names()).collect();
    names::nearest(name, known.iter().map(String::as_str)).map(str::to_owned)
}

/// The unit of a feature's value; empty if it has none.
pub fn unit_of(feature: &Feature) -> String {
    match &feature.kind {
        FeatureKind::Current(Transform::Raw(field)) => unit(*field).to_owned(),
        FeatureKind::Current(_) | FeatureKind::Ratio { .. } => String::new(),
        FeatureKind::Window(window) => aggregate_unit(window),
    }
}

/// What a stream holds: the events of which entity, which of them, and how exactly.
pub(crate) fn stream(
    (key, event): (EntityKey, EventKind),
    filtered: &Filter,
    distinct: Option<Field>,
    precision: Precision,
) -> String {
    let (events, entity, filter) = (many(event), entity(key), filter(filtered));
    let distinct = distinct.map_or_else(String::new, |field| format!(", by different {}", plural(field)));
    let precision = match precision {
        Precision::Exact => "exact".to_owned(),
        Precision::Bucketed(bucket_ns) => format!("in buckets of {}", words(bucket_ns)),
    };
    format!("{events} of each {entity}{filter}{distinct}, {precision}")
}

/// What a table of pairs holds.
pub(crate) fn pairs(key: EntityKey) -> String {
    format!("table of each {}", entity(key))
}

/// The set as a table, one line per slot: slot, name, entity, aggregate of source, window, delay, precision.
pub fn list(set: &FeatureSet) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for feature in &set.features {
        for name in feature.slot_names() {
            let [entity, aggregate, window, delay, precision] = columns(set, feature);
            let slot = (rows.len() - 1).to_string();
            rows.push([slot, name, entity, aggregate, window, delay, precision]);
        }
    }
    let widths: [usize; 7] = std::array::from_fn(|column| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    });
    rows.iter().map(|row| aligned(row, &widths)).collect()
}

const HEADER: [&str; 7] = [
    "slot",
    "name",
    "entity",
    "aggregate",
    "window",
    "delay",
    "precision",
];

/// One line; numbers of slots end below each other, words begin so.
fn aligned(row: &[String; 7], widths: &[usize; 7]) -> String {
    let cells = row.iter().zip(widths).enumerate();
    let cells: Vec<String> = cells
        .map(|(column, (cell, width))| match column {
            0 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        })
        .collect();
    format!("{}\n", cells.join("  ").trim_end())
}

/// Entity, aggregate, window, delay and precision of a feature.
fn columns(set: &FeatureSet, feature: &Feature) -> [String; 5] {
    let none = || "-".to_owned();
    match &feature.kind {
        FeatureKind::Current(transform) => [none(), transform_name(transform), none(), none(), none()],
        FeatureKind::Ratio {
            numerator,
            denominator,
        } => {
            let (above, below) = (&set.features[*numerator].name, &set.features[*denominator].name);
            [none(), format!("{above} / {below}"), none(), none(), none()]
        }
        FeatureKind::Window(window) => [
            match window.entity {
                EntityKey::One(entity) => entity.name().to_owned(),
                EntityKey::Pair(one, other) => format!("{} + {}", one.name(), other.name()),
            },
            aggregate_name(window),
            match window.window {
                Window::Sliding(length_ns) => short(length_ns),
                Window::Tumbling(length_ns) => format!("each {}", short(length_ns)),
                Window::Last(events) => format!("last {events}"),
                Window::Forever => "forever".to_owned(),
            },
            if window.delay_ns == 0 {
                none()
            } else {
                short(window.delay_ns)
            },
            match window.precision {
                Precision::Exact => "exact".to_owned(),
                Precision::Bucketed(bucket_ns) => short(bucket_ns),
            },
        ],
    }
}

fn transform_name(transform: &Transform) -> String {
    match transform {
        Transform::Raw(field) => format!("raw {}", field.name()),
        Transform::Log(field) => format!("log {}", field.name()),
        Transform::OneHot(field) => format!("one_hot {}", field.name()),
        Transform::Hour => "hour".to_owned(),
        Transform::Weekday => "weekday".to_owned(),
        Transform::IsNight { hour_max } => format!("is_night to {hour_max}"),
        Transform::IsWeekend => "is_weekend".to_owned(),
    }
}

/// The aggregate, of what, and whether some events are left out.
fn aggregate_name(feature: &WindowFeature) -> String {
    let of = match feature.aggregate.source() {
        Some(source) => source.name(),
        None => many(feature.event),
    };
    let (from, filter) = match feature.event {
        EventKind::Transaction => ("", filter(&feature.filter)),
        _ if feature.aggregate.source().is_none() => ("", filter(&feature.filter)),
        EventKind::Label => (" of labels", filter(&feature.filter)),
        EventKind::Account => (" of account updates", filter(&feature.filter)),
    };
    format!("{} of {of}{from}{filter}", feature.aggregate.name())
}

fn headline(feature: &Feature) -> String {
    if feature.description.is_empty() {
        return feature.name.clone();
    }
    format!("{}: {}", feature.name, feature.description)
}

/// Where it stands in the vector.
fn place(set: &FeatureSet, feature: &Feature) -> String {
    let before = set.features.iter().take_while(|other| other.name != feature.name);
    let first: usize = before.map(Feature::slot_count).sum();
    let (slots, of) = (
        feature.slot_names(),
        format!("{}, version {}", set.name, set.version),
    );
    match slots.len() {
        1 => format!("Place: slot {first} of {of}."),
        count => format!(
            "Place: slots {first} to {} of {of}: {}.",
            first + count - 1,
            slots.join(", ")
        ),
    }
}

fn transform_lines(transform: &Transform) -> Vec<String> {
    let what = match transform {
        Transform::Raw(field) => format!(
            "The {} of the current transaction. Unit: {}.",
            noun(*field),
            unit(*field)
        ),
        Transform::Log(field) => {
            format!(
                "sign(x) · ln(1 + |x|), x being the {} of the current transaction. No unit.",
                noun(*field)
            )
        }
        Transform::Hour => {
            "Sine and cosine of the time of day of the current transaction, UTC: 23:59 is next to \
                            00:00. From −1 to 1."
                .to_owned()
        }
        Transform::Weekday => {
            "Sine and cosine of the time of the week of the current transaction, from Monday, \
                               UTC: Sunday night is next to Monday morning. From −1 to 1."
                .to_owned()
        }
        Transform::IsNight { hour_max } => {
            format!("1 if the current transaction is between 00:00 and {hour_max:02}:59 UTC, else 0.")
        }
        Transform::IsWeekend => {
            "1 if the current transaction is on a Saturday or Sunday, UTC, else 0.".to_owned()
        }
        Transform::OneHot(field) => {
            format!(
                "1 in the slot of the current transaction's {}, 0 in the others.",
                noun(*field)
            )
        }
    };
    let rest = [
        "Missing: never.",
        "Precision: exact.",
        "Cost: nothing is kept, nothing is looked up.",
    ];
    [what].into_iter().chain(rest.map(str::to_owned)).collect()
}

fn ratio_lines(above: &str, below: &str, missing: f32) -> Vec<String> {
    vec![
        format!("{above} divided by {below}, as they stand in the vector."),
        format!("Missing: {missing} if {below} is 0."),
        "Precision and late events: those of the two.".to_owned(),
        "Cost: one division; nothing more is kept.".to_owned(),
    ]
}

fn window_lines(feature: &WindowFeature, missing: f32) -> Vec<String> {
    let lines = [
        Some(format!("{}. Unit: {}.", what(feature), aggregate_unit(feature))),
        Some(format!("Interval: {}.", interval(feature))),
        current(feature),
        fraud(feature),
        Some(format!("Missing: {}.", when_missing(feature, missing))),
        Some(format!("Precision: {}.", precision(feature))),
        Some(format!("Cost: {}; {}.", time_cost(feature), memory_cost(feature))),
        Some(LATE.to_owned()),
    ];
    lines.into_iter().flatten().collect()
}

const LATE: &str = "Late events: one that is late by up to features.lateness_s_max counts at its own time from then \
                    on; a later one counts as of its arrival. Both are counted.";

/// What is computed, of whom.
fn what(feature: &WindowFeature) -> String {
    let events = events(feature);
    match feature.aggregate {
        Aggregate::Count => format!("The number of {events}"),
        Aggregate::Sum(Field::Fraud) => format!("The number of {events} that are known to be fraud"),
        Aggregate::Mean(Field::Fraud) => format!("The share of the {events} that is known to be fraud"),
        Aggregate::Sum(field) => format!("The sum of the {} of the {events}", plural(field)),
        Aggregate::Mean(field) => format!("The mean {} of the {events}", noun(field)),
        Aggregate::Variance(field) => format!("The variance of the {} of the {events}", plural(field)),
        Aggregate::StandardDeviation(field) => {
            format!("The standard deviation of the {} of the {events}", plural(field))
        }
        Aggregate::Min(field) => format!("The least {} of the {events}", noun(field)),
        Aggregate::Max(field) => format!("The greatest {} of the {events}", noun(field)),
        Aggregate::First(field) => format!("The {} of the earliest of the {events}", noun(field)),
        Aggregate::Last(field) => format!("The {} of the latest of the {events}", noun(field)),
        Aggregate::TimeSinceLast => format!("The time from the latest of the {events} to now"),
        Aggregate::Distinct(field) => format!("The number of different {} of the {events}", plural(field)),
        Aggregate::DecayedSum { source, half_life_ns } => {
            let decay = decay(half_life_ns);
            format!(
                "The sum of the {} of the {events}, in which {decay}",
                plural(source)
            )
        }
        Aggregate::DecayedMean { source, half_life_ns } => {
            let decay = decay(half_life_ns);
            format!("The mean {} of the {events}, in which {decay}", noun(source))
        }
        Aggregate::Rate { per_ns } => format!("The number of {events} per {}", each(per_ns)),
        Aggregate::ZScore(field) => {
            let noun = noun(field);
            format!(
                "How unusual the {noun} of the current transaction is among the {events}: its distance from their mean {noun}, in their standard deviations"
            )
        }
    }
}

fn decay(half_life_ns: i64) -> String {
    let half_life = words(half_life_ns);
    format!("what is {half_life} old counts half, what is twice as old a quarter, and so on")
}

/// The events that are looked at.
fn events(feature: &WindowFeature) -> String {
    let events = many(feature.event);
    let (entity, filter) = (entity(feature.entity), filter(&feature.filter));
    format!("{events} of the same {entity}{filter}")
}

fn many(event: EventKind) -> &'static str {
    match event {
        EventKind::Transaction => "transactions",
        EventKind::Label => "labels",
        EventKind::Account => "account updates",
    }
}

fn entity(key: EntityKey) -> String {
    match key {
        EntityKey::One(entity) => entity.name().to_owned(),
        EntityKey::Pair(one, other) => format!("pair of {} and {}", one.name(), other.name()),
    }
}

fn filter(filter: &Filter) -> String {
    if filter.conditions.is_empty() {
        return String::new();
    }
    format!(" whose {}", conditions(filter))
}

fn conditions(filter: &Filter) -> String {
    let conditions: Vec<String> = filter.conditions.iter().map(condition).collect();
    conditions.join(" and ")
}

fn condition(condition: &Condition) -> String {
    let (field, names) = (condition.field, condition.field.values());
    let noun = match field {
        FilterField::Field(field) => noun(field),
        FilterField::Verdict => "verdict",
        FilterField::LabelSource => "source",
        FilterField::Change => "change",
    };
    match &condition.test {
        Test::AnyOf(values) => {
            let values: Vec<String> = values.iter().map(|value| value_name(names, *value)).collect();
            format!("{noun} is {}", values.join(" or "))
        }
        Test::Between(i64::MIN, high) => format!("{noun} is at most {high}"),
        Test::Between(low, i64::MAX) => format!("{noun} is at least {low}"),
        Test::Between(low, high) => format!("{noun} is from {low} to {high}"),
    }
}

fn value_name(names: Option<&Names<i64>>, value: i64) -> String {
    let named = names.into_iter().flatten().find(|(_, number)| *number == value);
    named.map_or_else(|| value.to_string(), |(name, _)| (*name).to_owned())
}

fn noun(field: Field) -> &'static str {
    match field {
        Field::AmountMinor => "amount",
        Field::MerchantCategory => "merchant category",
        other => other.name(),
    }
}

fn plural(field: Field) -> &'static str {
    match field {
        Field::AmountMinor => "amounts",
        Field::Fraud => "frauds",
        Field::Currency => "currencies",
        Field::MerchantCategory => "merchant categories",
        Field::Channel => "channels",
        Field::Outcome => "outcomes",
        Field::Id(Entity::Customer) => "customers",
        Field::Id(Entity::Terminal) => "terminals",
        Field::Id(Entity::Card) => "cards",
        Field::Id(Entity::Merchant) => "merchants",
        Field::Id(Entity::Device) => "devices",
        Field::Id(Entity::Account) => "accounts",
    }
}

fn unit(field: Field) -> &'static str {
    match field {
        Field::AmountMinor => "minor units of the currency",
        Field::Currency => "ISO 4217 number",
        Field::MerchantCategory => "ISO 18245 code",
        _ => "number of the value",
    }
}

fn aggregate_unit(feature: &WindowFeature) -> String {
    match feature.aggregate {
        Aggregate::Sum(Field::Fraud) | Aggregate::Count => many(feature.event).to_owned(),
        Aggregate::Mean(Field::Fraud) => "share, 0 to 1".to_owned(),
        Aggregate::Variance(field) => format!("square of {}", unit(field)),
        Aggregate::TimeSinceLast => "seconds".to_owned(),
        Aggregate::Distinct(field) => plural(field).to_owned(),
        Aggregate::Rate { per_ns } => format!("{} per {}", many(feature.event), each(per_ns)),
        Aggregate::ZScore(_) => "standard deviations".to_owned(),
        other => other.source().map_or("", unit).to_owned(),
    }
}

/// Over which time or number, exactly.
fn interval(feature: &WindowFeature) -> String {
    let delay_ns = feature.delay_ns;
    let end = before(delay_ns);
    let now = "T being the time of the current transaction";
    match feature.window {
        Window::Sliding(length_ns) => {
            let start = before(delay_ns + length_ns);
            format!("({start}, {end}], {now}: after {start}, up to and including {end}")
        }
        Window::Tumbling(length_ns) => {
            let length = words(length_ns);
            format!(
                "[start of the period, {end}], {now}; periods of {length} follow each other from 1970-01-01 00:00 UTC, and {end} lies in the one that is meant"
            )
        }
        Window::Last(events) => {
            format!("the last {events} of them at or before {end}, {now}")
        }
        Window::Forever => format!("(−∞, {end}], {now}"),
    }
}

/// `T`, or a time before it: `T − 7 d`.
fn before(delay_ns: i64) -> String {
    if delay_ns == 0 {
        return "T".to_owned();
    }
    let short = short(delay_ns);
    let unit = short
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(short.len());
    let (number, unit) = short.split_at(unit);
    let unit = if unit == "m" { "min" } else { unit };
    format!("T − {number} {unit}")
}

/// Whether the current transaction counts, where it could.
fn current(feature: &WindowFeature) -> Option<String> {
    if feature.event != EventKind::Transaction {
        return None;
    }
    let is_filtered = !feature.filter.conditions.is_empty();
    Some(match (feature.delay_ns, feature.includes_current) {
        (0, true) if is_filtered => {
            format!(
                "Current transaction: counts if its {}.",
                conditions(&feature.filter)
            )
        }
        (0, true) => "Current transaction: counts.".to_owned(),
        (0, false) => {
            "Current transaction: does not count; those of the same time that came before it do.".to_owned()
        }
        _ => "Current transaction: lies after the interval.".to_owned(),
    })
}

/// What labels do to the feature.
fn fraud(feature: &WindowFeature) -> Option<String> {
    let is_fraud = feature.aggregate.source() == Some(Field::Fraud);
    is_fraud.then(|| {
        "Labels: fraud counts at the time of the transaction, from the moment its label came; the newest label of a \
         transaction wins, one without a label counts as genuine."
            .to_owned()
    })
}

fn when_missing(feature: &WindowFeature, missing: f32) -> String {
    let absent = match feature.entity {
        EntityKey::One(entity) => format!("the transaction names no {}", entity.name()),
        EntityKey::Pair(one, other) => {
            format!(
                "the transaction does not name both {} and {}",
                one.name(),
                other.name()
            )
        }
    };
    match feature.aggregate {
        Aggregate::Count
        | Aggregate::Sum(_)
        | Aggregate::Distinct(_)
        | Aggregate::DecayedSum { .. }
        | Aggregate::Rate { .. } => format!("{missing} if {absent}; with nothing in the interval it is 0"),
        Aggregate::ZScore(field) => {
            let plural = plural(field);
            format!("{missing} if {absent}, nothing is in the interval, or the {plural} in it are all equal")
        }
        _ => format!("{missing} if {absent} or nothing is in the interval"),
    }
}

fn precision(feature: &WindowFeature) -> String {
    let is_distinct = matches!(feature.aggregate, Aggregate::Distinct(_));
    let exact = match feature.precision {
        Precision::Exact => exact(feature),
        Precision::Bucketed(bucket_ns) => bucketed(feature, bucket_ns),
    };
    let sketch = if is_distinct { DISTINCT } else { "" };
    format!("{exact}{sketch}")
}

const DISTINCT: &str = "; the number of values is exact up to 16384 of them (64 in a bucket, and while nothing is \
                        merged), beyond that it is an estimate by HyperLogLog with a standard error of 6.5 %";

fn exact(feature: &WindowFeature) -> String {
    let entity = entity(feature.entity);
    match feature.window {
        Window::Forever => "exact; worst error in time 0".to_owned(),
        _ => format!(
            "exact; worst error in time 0 while one {entity} has no more than events_max events to keep; beyond \
             that the oldest are merged, counted"
        ),
    }
}

fn bucketed(feature: &WindowFeature, bucket_ns: i64) -> String {
    let bucket = words(bucket_ns);
    let start = feature.window != Window::Forever;
    let end = feature.delay_ns > 0;
    let early = match (start, end) {
        (true, true) => "the interval starts and ends",
        (true, false) => "the interval starts",
        (false, true) => "the interval ends",
        (false, false) => return format!("buckets of {bucket}; worst error in time 0"),
    };
    format!(
        "buckets of {bucket}: {early} less than {bucket} earlier than said, which is the worst error in time; nothing is used early"
    )
}

/// What reading takes.
fn time_cost(feature: &WindowFeature) -> &'static str {
    match (feature.aggregate, feature.window) {
        (Aggregate::DecayedSum { .. } | Aggregate::DecayedMean { .. }, Window::Forever) => CONSTANT,
        (
            Aggregate::Min(_)
            | Aggregate::Max(_)
            | Aggregate::Distinct(_)
            | Aggregate::DecayedSum { .. }
            | Aggregate::DecayedMean { .. },
            _,
        ) => "reading passes over what is kept of the interval",
        _ => CONSTANT,
    }
}

const CONSTANT: &str = "reading takes the same time however much happened";

/// What is kept.
fn memory_cost(feature: &WindowFeature) -> String {
    let (events, entity) = (many(feature.event), entity(feature.entity));
    let kept = match (feature.precision, feature.window) {
        (Precision::Bucketed(bucket_ns), Window::Sliding(length_ns) | Window::Tumbling(length_ns)) => {
            let buckets = (feature.delay_ns + length_ns - 1) / bucket_ns + 2;
            return format!("at most {buckets} buckets are kept of one {entity}, and those of the lateness");
        }
        (Precision::Bucketed(_), _) => {
            return format!("one row of totals and the newest buckets are kept of one {entity}");
        }
        (_, Window::Sliding(length_ns) | Window::Tumbling(length_ns)) => {
            let kept = words(feature.delay_ns + length_ns);
            format!("the {events} of {kept} and of features.lateness_s_max more")
        }
        (_, Window::Last(number)) => format!("the last {number} {events}"),
        (_, Window::Forever) => return format!("totals are kept of one {entity}, and the newest {events}"),
    };
    format!("{kept} are kept of one {entity}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a feature, without its name and place.
    fn said(keys: &str) -> String {
        let text = format!("name = \"s\"\nversion = 1\n[[feature]]\nname = \"a\"\n{keys}\n");
        let set = FeatureSet::parse(&text).expect(keys);
        let said = feature(&set, "a").unwrap();
        said.lines().skip(2).map(|line| format!("{line}\n")).collect()
    }

    /// That each part is said, in this order.
    #[track_caller]
    fn check(keys: &str, expected: &[&str]) {
        let said = said(keys);
        let mut rest = said.as_str();
        for part in expected {
            let at = rest.find(part);
            let at = at.unwrap_or_else(|| panic!("expected {part:?} in:\n{said}"));
            rest = &rest[at + part.len()..];
        }
    }

    #[test]
    fn golden_words_of_a_delayed_share() {
        let keys = "entity = \"terminal\"\nsource = \"fraud\"\naggregate = \"mean\"\nwindow = \"30d\"\ndelay = \"7d\"";
        let expected = "\
The share of the transactions of the same terminal that is known to be fraud. Unit: share, 0 to 1.
Interval: (T − 37 d, T − 7 d], T being the time of the current transaction: after T − 37 d, up to and including T − 7 d.
Current transaction: lies after the interval.
Labels: fraud counts at the time of the transaction, from the moment its label came; the newest label of a transaction wins, one without a label counts as genuine.
Missing: 0 if the transaction names no terminal or nothing is in the interval.
Precision: exact; worst error in time 0 while one terminal has no more than events_max events to keep; beyond that the oldest are merged, counted.
Cost: reading takes the same time however much happened; the transactions of 37 days and of features.lateness_s_max more are kept of one terminal.
Late events: one that is late by up to features.lateness_s_max counts at its own time from then on; a later one counts as of its arrival. Both are counted.
";
        assert_eq!(said(keys), expected);
    }

    #[test]
    fn filter_and_buckets_are_said() {
        check(
            "entity = [\"card\", \"device\"]\naggregate = \"count\"\nwindow = \"10m\"\ndelay = \"1h\"
             precision = { bucketed = \"1m\" }
             filter = { outcome = \"declined\", amount_minor = { max = 100 }, currency = [978, 840] }",
            &[
                "The number of transactions of the same pair of card and device whose amount is at most 100 and \
                 currency is 840 or 978 and outcome is declined. Unit: transactions.",
                "(T − 70 min, T − 1 h]",
                "Missing: 0 if the transaction does not name both card and device; with nothing in the interval it is 0.",
                "buckets of 1 minute: the interval starts and ends less than 1 minute earlier than said",
                "at most 71 buckets are kept of one pair of card and device",
            ],
        );
    }

    #[test]
    fn every_kind_of_window_has_its_interval() {
        let count = |window: &str| format!("entity = \"card\"\naggregate = \"count\"\nwindow = {window}");
        check(&count("\"36h\""), &["Interval: (T − 36 h, T], "]);
        check(
            &count("\"forever\""),
            &["Interval: (−∞, T], ", "totals are kept of one card"],
        );
        check(
            &count("{ last = 5 }"),
            &["Interval: the last 5 of them at or before T, "],
        );
        check(
            &count("{ tumbling = \"1d\" }"),
            &[
                "Interval: [start of the period, T], ",
                "periods of 1 day follow each other from 1970-01-01 00:00 UTC",
            ],
        );
        check(&count("\"1d\"\nincludes_current = false"), &["does not count"]);
        check(
            &count("\"1d\"\nfilter = { channel = \"atm\" }"),
            &[
                "whose channel is atm.",
                "Current transaction: counts if its channel is atm.",
            ],
        );
    }

    #[test]
    fn every_aggregate_and_transform_is_said() {
        for (aggregate, expected) in [
            (
                "sum",
                "The sum of the amounts of the transactions of the same card. Unit: minor units",
            ),
            ("mean", "The mean amount of the transactions of"),
            ("variance", "The variance of the amounts of"),
            ("standard_deviation", "The standard deviation of the amounts of"),
            ("min", "The least amount of"),
            ("max", "The greatest amount of"),
            ("first", "The amount of the earliest of the transactions of"),
            ("last", "The amount of the latest of the transactions of"),
            (
                "z_score",
                "How unusual the amount of the current transaction is among the transactions of",
            ),
            (
                "decayed_sum\"\nhalf_life = \"1h",
                "in which what is 1 hour old counts half",
            ),
            (
                "decayed_mean\"\nhalf_life = \"2d",
                "in which what is 2 days old counts half",
            ),
        ] {
            let keys = format!(
                "entity = \"card\"\nsource = \"amount_minor\"\nwindow = \"1d\"\naggregate = \"{aggregate}\""
            );
            check(&keys, &[expected]);
        }
        let of_none =
            |aggregate: &str| format!("entity = \"card\"\nwindow = \"1d\"\naggregate = \"{aggregate}\"");
        check(
            &of_none("time_since_last"),
            &["The time from the latest of", "Unit: seconds."],
        );
        check(
            &of_none("rate\"\nper = \"1m"),
            &["per minute. Unit: transactions per minute."],
        );
        check(
            &of_none("distinct\"\nsource = \"device"),
            &["The number of different devices of", "HyperLogLog", "6.5 %"],
        );
        for (transform, expected) in [
            (
                "raw\"\nsource = \"amount_minor",
                "The amount of the current transaction.",
            ),
            ("log\"\nsource = \"amount_minor", "x being the amount of"),
            ("hour", "Sine and cosine of the time of day"),
            ("weekday", "Sine and cosine of the time of the week"),
            ("is_weekend", "on a Saturday or Sunday"),
            ("is_night\"\nhour_max = \"6", "between 00:00 and 06:59 UTC"),
            (
                "one_hot\"\nsource = \"channel",
                "1 in the slot of the current transaction's channel",
            ),
        ] {
            check(
                &format!("transform = \"{transform}\"").replace("\"6\"", "6"),
                &[expected, "nothing is kept"],
            );
        }
    }

    const SMALL: &str = "
        name = \"small\"
        version = 3
        [[feature]]
        name = \"amount\"
        description = \"What is paid\"
        transform = \"raw\"
        source = \"amount_minor\"
        [[feature]]
        name = \"time\"
        transform = \"hour\"
        [[feature]]
        name = \"mean\"
        entity = [\"customer\", \"card\"]
        aggregate = \"mean\"
        source = \"amount_minor\"
        window = { tumbling = \"1d\" }
        delay = \"90m\"
        precision = { bucketed = \"10m\" }
        [[feature]]
        name = \"to_mean\"
        ratio = [\"amount\", \"mean\"]
        [[feature]]
        name = \"limits\"
        entity = \"account\"
        event = \"account\"
        aggregate = \"max\"
        source = \"amount_minor\"
        filter = { change = \"limit_changed\" }
        window = { last = 5 }
    ";

    #[test]
    fn golden_list() {
        let expected = "\
slot  name      entity           aggregate                                                             window   delay  precision
   0  amount    -                raw amount_minor                                                      -        -      -
   1  time_sin  -                hour                                                                  -        -      -
   2  time_cos  -                hour                                                                  -        -      -
   3  mean      customer + card  mean of amount_minor                                                  each 1d  90m    10m
   4  to_mean   -                amount / mean                                                         -        -      -
   5  limits    account          max of amount_minor of account updates whose change is limit_changed  last 5   -      exact
";
        assert_eq!(list(&FeatureSet::parse(SMALL).unwrap()), expected);
    }

    #[test]
    fn feature_is_found_by_its_name_or_a_slot_and_a_misspelt_one_is_suggested() {
        let set = FeatureSet::parse(SMALL).unwrap();
        let amount = feature(&set, "amount").unwrap();
        assert!(
            amount.starts_with("amount: What is paid\nPlace: slot 0 of small, version 3.\n"),
            "{amount}"
        );
        let time = feature(&set, "time_cos").unwrap();
        assert!(
            time.starts_with("time\nPlace: slots 1 to 2 of small, version 3: time_sin, time_cos.\n"),
            "{time}"
        );
        let ratio = feature(&set, "to_mean").unwrap();
        assert!(ratio.contains("amount divided by mean"), "{ratio}");
        assert_eq!(feature(&set, "amuont"), None);
        assert_eq!(nearest(&set, "amuont").as_deref(), Some("amount"));
        assert_eq!(nearest(&set, "time_sine").as_deref(), Some("time_sin"));
        assert_eq!(nearest(&set, "weather_of_today"), None);
    }
}
