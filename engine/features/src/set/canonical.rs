//! What a set means, as text: one line per slot, and the hash of these lines.
//!
//! ```text
//!   FeatureSet ──slot_lines──▶ "customer_count_1d = count of transaction by customer …" ──BLAKE3──▶ hash
//! ```
//!
//! A line is `SLOT = MEANING`. Lengths of time are in ns, a missing value is the bits of its `f32`, the values
//! of an enum are their numbers, lists are sorted. The meanings:
//!
//! ```text
//!   raw(FIELD)  log(FIELD)  is_night(HOUR_MAX)  is_weekend
//!   hour.sin  hour.cos  weekday.sin  weekday.cos  one_hot(FIELD).VALUE
//!   AGGREGATE[(FIELD)] [half_life=NS] [per=NS] event=KIND entity=ENTITY[+ENTITY] filter=FILTER
//!       window=sliding:NS|tumbling:NS|last:EVENTS|forever delay=NS precision=exact|bucketed:NS
//!       [current=true|false] missing=BITS          (current: windows over transactions only)
//!   ratio({MEANING} / {MEANING}) missing=BITS      (a ratio in a ratio: its BLAKE3 hash)
//!   FILTER: none, or FIELD:in:NUMBER,NUMBER… or FIELD:between:NUMBER,NUMBER, joined by &
//! ```
//!
//! The set's name and version, descriptions and the sizes of tables are not part of it. So a set that begins
//! with the features of another has the hash of the other over the first slots, and a model trained on the
//! other can be served from it: [`hash_of_first`].
//!
//! Invariant: equal lines, equal numbers in the slot, for the same records.

use super::{
    Aggregate, Condition, EntityKey, EventKind, Feature, FeatureKind, FeatureSet, Filter, Precision, Test,
    Transform, Window, WindowFeature,
};

/// The line of every slot, in order, without line ends.
pub fn slot_lines(set: &FeatureSet) -> Vec<String> {
    let mut lines = Vec::new();
    let mut parts: Vec<String> = Vec::new();
    for feature in &set.features {
        let meanings = meanings(feature, &parts);
        let slots = feature.slot_names().into_iter().zip(&meanings);
        lines.extend(slots.map(|(slot, meaning)| format!("{slot} = {meaning}")));
        parts.push(part(feature, &meanings));
    }
    lines
}

/// Stable number of the set: the first eight bytes, little endian, of the BLAKE3 hash of its lines, each with
/// a line feed.
///
/// Cost: formats and hashes a few KiB: at start only.
pub fn hash(set: &FeatureSet) -> u64 {
    hash_of_lines(&slot_lines(set))
}

/// The hash of a set that has only the first `slots` slots; `None` if there are fewer.
pub fn hash_of_first(set: &FeatureSet, slots: usize) -> Option<u64> {
    slot_lines(set).get(..slots).map(hash_of_lines)
}

fn hash_of_lines(lines: &[String]) -> u64 {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    pinion_runtime::hash::short(text.as_bytes())
}

/// The meaning of every slot of a feature, given those before it as parts of a ratio.
fn meanings(feature: &Feature, parts: &[String]) -> Vec<String> {
    let missing = feature.missing.to_bits();
    match &feature.kind {
        FeatureKind::Current(transform) => transform_meanings(transform),
        FeatureKind::Window(window) => vec![format!("{} missing={missing:08x}", window_meaning(window))],
        FeatureKind::Ratio {
            numerator,
            denominator,
        } => {
            let (above, below) = (&parts[*numerator], &parts[*denominator]);
            vec![format!("ratio({{{above}}} / {{{below}}}) missing={missing:08x}")]
        }
    }
}

/// The meaning of a feature as a part of a ratio. That of a ratio is hashed, so that a line's length does not
/// double with every ratio of ratios.
fn part(feature: &Feature, meanings: &[String]) -> String {
    let meaning = meanings.join(" ");
    match feature.kind {
        FeatureKind::Ratio { .. } => blake3::hash(meaning.as_bytes()).to_hex().to_string(),
        _ => meaning,
    }
}

fn transform_meanings(transform: &Transform) -> Vec<String> {
    match transform {
        Transform::Raw(field) => vec![format!("raw({})", field.name())],
        Transform::Log(field) => vec![format!("log({})", field.name())],
        Transform::Hour => vec!["hour.sin".to_owned(), "hour.cos".to_owned()],
        Transform::Weekday => vec!["weekday.sin".to_owned(), "weekday.cos".to_owned()],
        Transform::IsNight { hour_max } => vec![format!("is_night({hour_max})")],
        Transform::IsWeekend => vec!["is_weekend".to_owned()],
        Transform::OneHot(field) => {
            let values = field.value_names().into_iter();
            values
                .map(|value| format!("one_hot({}).{value}", field.name()))
                .collect()
        }
    }
}

fn window_meaning(feature: &WindowFeature) -> String {
    let mut words = vec![
        aggregate(&feature.aggregate),
        format!("event={}", feature.event.name()),
        format!("entity={}", entity(feature.entity)),
        format!("filter={}", filter(&feature.filter)),
        format!("window={}", window(feature.window)),
        format!("delay={}", feature.delay_ns),
        format!("precision={}", precision(feature.precision)),
    ];
    if feature.event == EventKind::Transaction {
        words.push(format!("current={}", feature.includes_current));
    }
    words.join(" ")
}

fn aggregate(aggregate: &Aggregate) -> String {
    let name = aggregate.name();
    let source = aggregate.source().map(|field| format!("({})", field.name()));
    let parameter = match aggregate {
        Aggregate::DecayedSum { half_life_ns, .. } | Aggregate::DecayedMean { half_life_ns, .. } => {
            format!(" half_life={half_life_ns}")
        }
        Aggregate::Rate { per_ns } => format!(" per={per_ns}"),
        _ => String::new(),
    };
    format!("{name}{}{parameter}", source.unwrap_or_default())
}

fn entity(key: EntityKey) -> String {
    match key {
        EntityKey::One(entity) => entity.name().to_owned(),
        EntityKey::Pair(one, other) => format!("{}+{}", one.name(), other.name()),
    }
}

fn filter(filter: &Filter) -> String {
    if filter.conditions.is_empty() {
        return "none".to_owned();
    }
    let conditions: Vec<String> = filter.conditions.iter().map(condition).collect();
    conditions.join("&")
}

fn condition(condition: &Condition) -> String {
    let field = condition.field.name();
    match &condition.test {
        Test::AnyOf(values) => {
            let values: Vec<String> = values.iter().map(i64::to_string).collect();
            format!("{field}:in:{}", values.join(","))
        }
        Test::Between(low, high) => format!("{field}:between:{low},{high}"),
    }
}

fn window(window: Window) -> String {
    match window {
        Window::Sliding(length_ns) => format!("sliding:{length_ns}"),
        Window::Tumbling(length_ns) => format!("tumbling:{length_ns}"),
        Window::Last(events) => format!("last:{events}"),
        Window::Forever => "forever".to_owned(),
    }
}

fn precision(precision: Precision) -> String {
    match precision {
        Precision::Exact => "exact".to_owned(),
        Precision::Bucketed(bucket_ns) => format!("bucketed:{bucket_ns}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYMENTS_V1: &str = include_str!("../../../../features/payments-v1.toml");

    fn payments_v1() -> FeatureSet {
        FeatureSet::parse(PAYMENTS_V1).unwrap()
    }

    /// A set of one feature with these keys.
    fn set_of(keys: &str) -> FeatureSet {
        let text = format!("name = \"s\"\nversion = 1\n[[feature]]\nname = \"a\"\n{keys}\n");
        FeatureSet::parse(&text).expect(keys)
    }

    #[track_caller]
    fn check(keys: &str, expected: &[&str]) {
        assert_eq!(slot_lines(&set_of(keys)), expected);
    }

    const COUNT: &str = "aggregate = \"count\"\nentity = \"card\"\nwindow = \"1m\"\n";

    /// A model is refused when this changes: change it knowingly.
    #[test]
    fn golden_hash_of_payments_v1() {
        assert_eq!(format!("{:016x}", hash(&payments_v1())), "1b20c8212e45f606");
    }

    #[test]
    fn golden_lines() {
        check("transform = \"is_night\"\nhour_max = 6", &["a = is_night(6)"]);
        check("transform = \"hour\"", &["a_sin = hour.sin", "a_cos = hour.cos"]);
        check(
            "transform = \"one_hot\"\nsource = \"outcome\"",
            &[
                "a_unknown = one_hot(outcome).unknown",
                "a_approved = one_hot(outcome).approved",
                "a_declined = one_hot(outcome).declined",
            ],
        );
        check(
            COUNT,
            &[
                "a = count event=transaction entity=card filter=none window=sliding:60000000000 delay=0 \
                 precision=exact current=true missing=00000000",
            ],
        );
        check(
            "aggregate = \"decayed_sum\"\nsource = \"amount_minor\"\nhalf_life = \"1us\"\nwindow = \"forever\"
             entity = [\"terminal\", \"customer\"]\nevent = \"label\"\nmissing = -1
             filter = { verdict = [\"fraud\", \"genuine\"], amount_minor = { min = 5, max = 9 } }",
            &[
                "a = decayed_sum(amount_minor) half_life=1000 event=label entity=customer+terminal \
                 filter=amount_minor:between:5,9&verdict:in:1,2 window=forever delay=0 precision=exact \
                 missing=bf800000",
            ],
        );
    }

    #[test]
    fn name_version_and_descriptions_of_a_set_are_not_its_meaning() {
        let mut set = payments_v1();
        let expected = hash(&set);
        set.name = "other".to_owned();
        set.version = 9;
        set.description = "words".to_owned();
        set.features[3].description = "words".to_owned();
        assert_eq!(hash(&set), expected);
        set.features[3].missing = 1.0;
        assert_ne!(hash(&set), expected);
    }

    #[test]
    fn every_key_is_a_part_of_the_meaning() {
        let mut hashes = vec![hash(&set_of(COUNT))];
        for (key, other) in [
            ("\"count\"", "\"rate\"\nper = \"1h\""),
            ("\"count\"", "\"rate\"\nper = \"2h\""),
            ("card", "device"),
            ("\"1m\"", "\"2m\""),
            ("\"1m\"", "{ tumbling = \"1m\" }"),
            ("\"1m\"", "{ last = 5 }"),
            ("\"1m\"", "\"1m\"\ndelay = \"1m\""),
            ("\"1m\"", "\"1m\"\nevent = \"label\""),
            ("\"1m\"", "\"1m\"\nmissing = 1"),
            ("\"1m\"", "\"1m\"\nincludes_current = false"),
            ("\"1m\"", "\"1m\"\nprecision = { bucketed = \"1s\" }"),
            ("\"1m\"", "\"1m\"\nfilter = { outcome = \"declined\" }"),
            ("\"1m\"", "\"1m\"\nfilter = { outcome = \"approved\" }"),
        ] {
            let changed = hash(&set_of(&COUNT.replace(key, other)));
            assert!(!hashes.contains(&changed), "{other}");
            hashes.push(changed);
        }
    }

    #[test]
    fn set_that_begins_with_another_has_its_hash_over_the_first_slots() {
        let (mut shorter, longer) = (payments_v1(), payments_v1());
        shorter.features.truncate(4);
        assert_eq!(hash_of_first(&longer, 4), Some(hash(&shorter)));
        assert_eq!(hash_of_first(&longer, 15), Some(hash(&longer)));
        assert_eq!(hash_of_first(&longer, 16), None);
    }

    /// Each ratio is of the one before it, twice.
    #[test]
    fn ratio_of_ratios_has_a_short_line() {
        let ratio = |index: usize| {
            let before = index - 1;
            format!("[[feature]]\nname = \"r{index}\"\nratio = [\"r{before}\", \"r{before}\"]\n")
        };
        let first = "name = \"s\"\nversion = 1\n[[feature]]\nname = \"r0\"\ntransform = \"is_weekend\"\n";
        let text = first.to_owned() + &(1..64).map(ratio).collect::<String>();
        let lines = slot_lines(&FeatureSet::parse(&text).unwrap());
        assert_eq!(
            lines[1],
            "r1 = ratio({is_weekend} / {is_weekend}) missing=00000000"
        );
        assert!(lines.iter().all(|line| line.len() < 200), "{lines:?}");
    }
}
