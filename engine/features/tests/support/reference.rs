//! Every feature computed by looking at all events again.
//!
//! ```text
//!   PaymentRecord ──▶ forget ──▶ read (current left out) ──▶ keep ──▶ read (current counted) ──▶ Vec<Expected>
//!                                         └── streams: plain lists in order of arrival, kept for ever ──┘
//! ```
//!
//! Invariant: nothing is computed from an earlier result, but the newest time so far; what is slow here is obvious here.

use std::collections::BTreeMap;
use std::ops::Range;

use pinion_features::set::{
    Aggregate, Condition, DAY_NS, Entity, EntityKey, EventKind, Feature, FeatureKind, FeatureSet, Field,
    Filter, FilterField, Precision, SECOND_NS, Test, Transform, Window, WindowFeature,
};
use pinion_schemas::ids::DENSE_ID_NONE;
use pinion_schemas::records::{PaymentRecord, fresh, payment_kind};

/// Amounts count up to this far from 0. Unit: minor currency units.
pub(crate) const AMOUNT_MINOR_MAX: i64 = (1 << 47) - 1;

/// The verdict that says fraud.
pub(crate) const FRAUD: u8 = 2;

/// The verdict that is none: it says nothing of the transaction.
const ERASED: u8 = 3;

/// How far a decayed sum may be from the reference, as a share of what its terms add up to without their signs.
const DECAY_TOLERANCE: f64 = 1e-9;

/// How far a distinct count from a sketch may be off: four standard errors of 256 registers.
const SKETCH_TOLERANCE: f64 = 4.0 * 0.065;

/// Every entity, at the index of its number.
pub(crate) const ENTITIES: [Entity; 6] = [
    Entity::Customer,
    Entity::Terminal,
    Entity::Card,
    Entity::Merchant,
    Entity::Device,
    Entity::Account,
];

/// The bit of each entity in [`PaymentRecord::fresh`].
const FRESH_BITS: [u8; 6] = [
    fresh::CUSTOMER,
    fresh::TERMINAL,
    fresh::CARD,
    fresh::MERCHANT,
    fresh::DEVICE,
    fresh::ACCOUNT,
];

/// What is promised of one place of the vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Expected {
    /// These bits.
    Exactly(f32),
    /// Something from the first to the second, or the third.
    Between(f32, f32, Option<f32>),
    /// The quotient of two other places of the same vector, or this where the second is 0.
    Quotient(usize, usize, f32),
}

impl Expected {
    /// Whether place `slot` of `vector` keeps the promise.
    pub(crate) fn admits(&self, vector: &[f32], slot: usize) -> bool {
        let found = vector[slot];
        match *self {
            Self::Exactly(value) => found.to_bits() == value.to_bits(),
            Self::Between(low, high, other) => {
                (low..=high).contains(&found) || other.is_some_and(|other| other == found)
            }
            Self::Quotient(above, below, missing) => {
                found.to_bits() == quotient(vector[above], vector[below], missing).to_bits()
            }
        }
    }

    /// The value where bits are promised, else the middle of what is admitted.
    pub(crate) fn value(&self) -> f32 {
        match *self {
            Self::Exactly(value) => value,
            Self::Between(low, high, _) => ((f64::from(low) + f64::from(high)) / 2.0) as f32,
            Self::Quotient(..) => f32::NAN,
        }
    }

    fn near(value: f64, tolerance: f64) -> Self {
        Self::Between((value - tolerance) as f32, (value + tolerance) as f32, None)
    }
}

/// An event of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// As it came.
    pub(crate) payment: PaymentRecord,
    /// Its effective time. Unit: ns since the Unix epoch.
    pub(crate) time_ns: i64,
    /// Whether the last label that named it said fraud.
    pub(crate) is_fraud: bool,
}

/// The ids that name one entity; [`DENSE_ID_NONE`] in the second place if it is not a pair.
type Key = [u32; 2];

/// The events that one or more features are over, entity by entity, in order of arrival.
#[derive(Debug)]
struct Stream {
    entity: EntityKey,
    event: EventKind,
    filter: Filter,
    entries: BTreeMap<Key, Vec<Entry>>,
    newest_ns: BTreeMap<Key, i64>,
}

/// The features of a set, computed by hand.
#[derive(Debug)]
pub(crate) struct Reference {
    features: Vec<Feature>,
    lateness_ns: i64,
    entities_max: [u32; 6],
    streams: Vec<Stream>,
}

impl Reference {
    /// For the features of `set`; events are placed where they belong up to `lateness_ns` behind the newest.
    pub(crate) fn new(set: &FeatureSet, lateness_ns: i64) -> Self {
        let mut streams: Vec<Stream> = Vec::new();
        for window in set.features.iter().filter_map(window_of) {
            if !streams.iter().any(|stream| stream.is_of(window)) {
                streams.push(Stream {
                    entity: window.entity,
                    event: window.event,
                    filter: window.filter.clone(),
                    entries: BTreeMap::new(),
                    newest_ns: BTreeMap::new(),
                });
            }
        }
        Self {
            features: set.features.clone(),
            lateness_ns,
            entities_max: [DENSE_ID_NONE; 6],
            streams,
        }
    }

    /// The same with entities held up to these dense ids, in the order of [`ENTITIES`].
    pub(crate) fn with_entities_max(mut self, entities_max: [u32; 6]) -> Self {
        self.entities_max = entities_max;
        self
    }

    /// Takes one event and says what its vector must be.
    pub(crate) fn apply(&mut self, payment: &PaymentRecord) -> Vec<Expected> {
        if payment.origin.kind != payment_kind::TRANSACTION {
            self.absorb(payment);
            let slots = self.features.iter().map(Feature::slot_count).sum();
            return vec![Expected::Exactly(0.0); slots];
        }
        self.forget_fresh(payment);
        let without_current = self.windows(payment, false);
        self.keep(payment);
        let with_current = self.windows(payment, true);
        self.vector(payment, &without_current, &with_current)
    }

    /// Takes one event without computing anything.
    pub(crate) fn absorb(&mut self, payment: &PaymentRecord) {
        self.forget_fresh(payment);
        self.keep(payment);
    }

    /// The events that feature `index` is over, whatever their time, as they stand now for a transaction that has
    /// been taken: by time, those of one time by arrival. Beside them the places from which and up to which the
    /// window holds them. `None` if the entity is absent.
    pub(crate) fn run(&self, index: usize, payment: &PaymentRecord) -> Option<(Vec<&Entry>, Range<usize>)> {
        let window = window_of(&self.features[index])?;
        let (stream, key) = self.stream(window, payment)?;
        let mut entries: Vec<&Entry> = stream.entries(key).iter().collect();
        entries.sort_by_key(|entry| entry.time_ns);
        let end_ns = stream
            .evaluation_ns(key, payment, self.lateness_ns)
            .saturating_sub(window.delay_ns);
        let is_in = |entry: &&Entry| is_inside(window, entry.time_ns, end_ns);
        let first = entries.iter().position(is_in).unwrap_or(0);
        let count = entries.iter().copied().filter(is_in).count();
        Some((entries, first..first + count))
    }

    /// What feature `index` is over these entries.
    pub(crate) fn over(&self, index: usize, entries: &[&Entry], payment: &PaymentRecord) -> Expected {
        let feature = &self.features[index];
        let window = window_of(feature).expect("a feature over a window");
        aggregate(feature, window, entries, payment.origin.event_ns, payment)
    }

    fn forget_fresh(&mut self, payment: &PaymentRecord) {
        for entity in ENTITIES {
            if payment.fresh & FRESH_BITS[entity as usize] != 0 {
                let id = id_of(payment, entity);
                self.streams
                    .iter_mut()
                    .for_each(|stream| stream.forget(entity, id));
            }
        }
    }

    fn keep(&mut self, payment: &PaymentRecord) {
        let (lateness_ns, entities_max) = (self.lateness_ns, self.entities_max);
        for stream in &mut self.streams {
            let Some(key) = key_of(stream.entity, payment, &entities_max) else {
                continue;
            };
            if payment.origin.kind == payment_kind::LABEL {
                stream.label(key, payment);
            }
            if stream.holds(payment) {
                stream.insert(key, payment, lateness_ns);
            }
        }
    }

    /// The window features that include the current transaction, or those that do not, on the events kept so
    /// far; `None` for the other features and for an absent entity.
    ///
    /// The evaluation time is the same before and after the transaction was kept: see [`Stream::effective_ns`].
    fn windows(&self, payment: &PaymentRecord, includes_current: bool) -> Vec<Option<Expected>> {
        let compute = |feature: &Feature| {
            let window = window_of(feature).filter(|window| window.includes_current == includes_current)?;
            let (stream, key) = self.stream(window, payment)?;
            let now_ns = stream.evaluation_ns(key, payment, self.lateness_ns);
            let entries = stream.window(key, window, now_ns);
            Some(aggregate(feature, window, &entries, now_ns, payment))
        };
        self.features.iter().map(compute).collect()
    }

    fn stream(&self, window: &WindowFeature, payment: &PaymentRecord) -> Option<(&Stream, Key)> {
        let key = key_of(window.entity, payment, &self.entities_max)?;
        let stream = self.streams.iter().find(|stream| stream.is_of(window))?;
        Some((stream, key))
    }

    fn vector(
        &self,
        payment: &PaymentRecord,
        without_current: &[Option<Expected>],
        with_current: &[Option<Expected>],
    ) -> Vec<Expected> {
        let mut vector = Vec::new();
        let mut first_slots = Vec::new();
        for (index, feature) in self.features.iter().enumerate() {
            first_slots.push(vector.len());
            match &feature.kind {
                FeatureKind::Current(transform) => {
                    vector.extend(transformed(transform, feature.slot_count(), payment));
                }
                FeatureKind::Window(window) => {
                    let computed = if window.includes_current {
                        with_current[index]
                    } else {
                        without_current[index]
                    };
                    vector.push(computed.unwrap_or(Expected::Exactly(feature.missing)));
                }
                FeatureKind::Ratio {
                    numerator,
                    denominator,
                } => {
                    let (above, below) = (first_slots[*numerator], first_slots[*denominator]);
                    vector.push(ratio(&vector, above, below, feature.missing));
                }
            }
        }
        vector
    }
}

impl Stream {
    fn is_of(&self, window: &WindowFeature) -> bool {
        (self.entity, self.event, &self.filter) == (window.entity, window.event, &window.filter)
    }

    /// Whether `payment` is one of its events.
    fn holds(&self, payment: &PaymentRecord) -> bool {
        let kind = match self.event {
            EventKind::Transaction => payment_kind::TRANSACTION,
            EventKind::Label => payment_kind::LABEL,
            EventKind::Account => payment_kind::ACCOUNT,
        };
        payment.origin.kind == kind && passes(&self.filter, payment)
    }

    fn entries(&self, key: Key) -> &[Entry] {
        self.entries.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The time at which an event of `event_ns` counts: its own, or that of the newest if it is too late.
    ///
    /// An event that was kept at its own time is at most as late after it was kept as before; one that was too
    /// late was kept at the newest's time and leaves the newest where it was. So the answer is the same before
    /// and after.
    fn effective_ns(&self, key: Key, event_ns: i64, lateness_ns: i64) -> i64 {
        match self.newest_ns.get(&key) {
            Some(&newest_ns) if event_ns < newest_ns.saturating_sub(lateness_ns) => newest_ns,
            _ => event_ns,
        }
    }

    fn evaluation_ns(&self, key: Key, payment: &PaymentRecord, lateness_ns: i64) -> i64 {
        self.effective_ns(key, payment.origin.event_ns, lateness_ns)
    }

    fn insert(&mut self, key: Key, payment: &PaymentRecord, lateness_ns: i64) {
        let time_ns = self.effective_ns(key, payment.origin.event_ns, lateness_ns);
        let entry = Entry {
            payment: *payment,
            time_ns,
            is_fraud: false,
        };
        self.entries.entry(key).or_default().push(entry);
        let newest_ns = self.newest_ns.entry(key).or_insert(time_ns);
        *newest_ns = time_ns.max(*newest_ns);
    }

    fn label(&mut self, key: Key, label: &PaymentRecord) {
        if label.verdict == ERASED {
            return;
        }
        for entry in self.entries.get_mut(&key).into_iter().flatten() {
            // One that came too late stands at its arrival, and is still known by its own time.
            if entry.payment.origin.event_ns == label.transaction_ns
                && entry.payment.transaction_id == label.transaction_id
            {
                entry.is_fraud = label.verdict == FRAUD;
            }
        }
    }

    fn forget(&mut self, entity: Entity, id: u32) {
        let place = match self.entity {
            EntityKey::One(one) => (one == entity).then_some(0),
            EntityKey::Pair(first, second) => [first, second].iter().position(|&of| of == entity),
        };
        if let Some(place) = place {
            self.entries.retain(|key, _| key[place] != id);
            self.newest_ns.retain(|key, _| key[place] != id);
        }
    }

    fn window(&self, key: Key, window: &WindowFeature, now_ns: i64) -> Vec<&Entry> {
        let end_ns = now_ns.saturating_sub(window.delay_ns);
        let mut inside: Vec<&Entry> = self
            .entries(key)
            .iter()
            .filter(|entry| is_inside(window, entry.time_ns, end_ns))
            .collect();
        inside.sort_by_key(|entry| entry.time_ns);
        if let Window::Last(count) = window.window {
            let surplus = inside.len().saturating_sub(count as usize);
            inside.drain(..surplus);
        }
        inside
    }
}

/// Whether an entry at `time_ns` is in the window that ends at `end_ns`.
fn is_inside(window: &WindowFeature, time_ns: i64, end_ns: i64) -> bool {
    match window.precision {
        Precision::Exact => {
            let is_begun = match window.window {
                Window::Sliding(length) => time_ns > end_ns.saturating_sub(length),
                Window::Tumbling(length) => time_ns >= floor_to(end_ns, length),
                Window::Last(_) | Window::Forever => true,
            };
            is_begun && time_ns <= end_ns
        }
        Precision::Bucketed(bucket_ns) => {
            let first_ns = floor_to(time_ns, bucket_ns);
            let last_ns = first_ns.saturating_add(bucket_ns - 1);
            let is_begun = match window.window {
                Window::Sliding(length) => last_ns > end_ns.saturating_sub(length),
                Window::Tumbling(length) => last_ns >= floor_to(end_ns, length),
                Window::Last(_) | Window::Forever => true,
            };
            let is_over = if window.delay_ns == 0 {
                first_ns <= end_ns
            } else {
                last_ns <= end_ns
            };
            is_begun && is_over
        }
    }
}

/// The greatest multiple of `length` up to `time_ns`.
fn floor_to(time_ns: i64, length: i64) -> i64 {
    time_ns.saturating_sub(time_ns.rem_euclid(length))
}

fn window_of(feature: &Feature) -> Option<&WindowFeature> {
    match &feature.kind {
        FeatureKind::Window(window) => Some(window),
        _ => None,
    }
}

fn id_of(payment: &PaymentRecord, entity: Entity) -> u32 {
    match entity {
        Entity::Customer => payment.customer,
        Entity::Terminal => payment.terminal,
        Entity::Card => payment.card,
        Entity::Merchant => payment.merchant,
        Entity::Device => payment.device,
        Entity::Account => payment.account,
    }
}

/// The entity that `payment` names, or `None` if it is absent.
fn key_of(key: EntityKey, payment: &PaymentRecord, entities_max: &[u32; 6]) -> Option<Key> {
    let present = |entity: Entity| {
        let id = id_of(payment, entity);
        (id < entities_max[entity as usize]).then_some(id)
    };
    match key {
        EntityKey::One(one) => Some([present(one)?, DENSE_ID_NONE]),
        EntityKey::Pair(first, second) => Some([present(first)?, present(second)?]),
    }
}

fn passes(filter: &Filter, payment: &PaymentRecord) -> bool {
    filter.conditions.iter().all(|Condition { field, test }| {
        let value = match field {
            FilterField::Field(field) => number_of(*field, payment),
            FilterField::Verdict => i64::from(payment.verdict),
            FilterField::LabelSource | FilterField::Change => i64::from(payment.detail),
        };
        match test {
            Test::AnyOf(values) => values.contains(&value),
            Test::Between(low, high) => (*low..=*high).contains(&value),
        }
    })
}

/// A field as it came.
fn number_of(field: Field, payment: &PaymentRecord) -> i64 {
    match field {
        Field::AmountMinor => payment.amount_minor,
        Field::Currency => i64::from(payment.currency),
        Field::MerchantCategory => i64::from(payment.merchant_category),
        Field::Channel => i64::from(payment.channel),
        Field::Outcome => i64::from(payment.outcome),
        Field::Id(entity) => i64::from(id_of(payment, entity)),
        Field::Fraud => unreachable!("not a field of the event"),
    }
}

/// A field as it counts in a window.
fn counted(field: Field, entry: &Entry) -> i64 {
    match field {
        Field::Fraud => i64::from(entry.is_fraud),
        Field::AmountMinor => held(entry.payment.amount_minor),
        _ => number_of(field, &entry.payment),
    }
}

fn held(amount_minor: i64) -> i64 {
    amount_minor.clamp(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX)
}

fn aggregate(
    feature: &Feature,
    window: &WindowFeature,
    entries: &[&Entry],
    now_ns: i64,
    payment: &PaymentRecord,
) -> Expected {
    let values = |field: Field| -> Vec<i64> { entries.iter().map(|entry| counted(field, entry)).collect() };
    let number = entries.len() as f64;
    let value = match window.aggregate {
        Aggregate::Count => Some(number),
        Aggregate::Sum(field) => Some(total(&values(field)) as f64),
        Aggregate::Mean(field) => mean(&values(field)),
        Aggregate::Variance(field) => variance(&values(field)),
        Aggregate::StandardDeviation(field) => variance(&values(field)).map(f64::sqrt),
        Aggregate::Min(field) => values(field).iter().min().map(|&least| least as f64),
        Aggregate::Max(field) => values(field).iter().max().map(|&greatest| greatest as f64),
        Aggregate::First(field) => values(field).first().map(|&earliest| earliest as f64),
        Aggregate::Last(field) => values(field).last().map(|&latest| latest as f64),
        Aggregate::TimeSinceLast => entries
            .last()
            .map(|entry| now_ns.saturating_sub(entry.time_ns) as f64 / 1e9),
        Aggregate::Rate { per_ns } => Some(number / (length_of(window.window) as f64 / per_ns as f64)),
        Aggregate::ZScore(field) => z_score(held(number_of(field, payment)), &values(field)),
        Aggregate::Distinct(field) => return distinct(&values(field), field, window.precision),
        Aggregate::DecayedSum { source, half_life_ns } => {
            return decayed_sum(&values(source), entries, now_ns, half_life_ns);
        }
        Aggregate::DecayedMean { source, half_life_ns } => {
            return decayed_mean(&values(source), entries, now_ns, half_life_ns, feature.missing);
        }
    };
    Expected::Exactly(value.map_or(feature.missing, |value| value as f32))
}

fn length_of(window: Window) -> i64 {
    match window {
        Window::Sliding(length) => length,
        _ => unreachable!("a rate has a sliding window"),
    }
}

fn total(values: &[i64]) -> i128 {
    values.iter().map(|&value| i128::from(value)).sum()
}

fn mean(values: &[i64]) -> Option<f64> {
    (!values.is_empty()).then(|| total(values) as f64 / values.len() as f64)
}

/// Of the population: S / n − d², S and d about the mean rounded down.
fn variance(values: &[i64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let number = values.len() as i128;
    let middle = total(values).div_euclid(number);
    let squares: i128 = values
        .iter()
        .map(|&value| (i128::from(value) - middle).pow(2))
        .sum();
    let offset = (total(values) - number * middle) as f64 / number as f64;
    Some((squares as f64 / number as f64 - offset * offset).max(0.0))
}

fn z_score(current: i64, values: &[i64]) -> Option<f64> {
    let deviation = variance(values)?.sqrt();
    (deviation != 0.0).then(|| (current as f64 - mean(values).unwrap_or_default()) / deviation)
}

fn distinct(values: &[i64], field: Field, precision: Precision) -> Expected {
    let mut different: Vec<i64> = values.to_vec();
    if matches!(field, Field::Id(_)) {
        different.retain(|&id| id != i64::from(DENSE_ID_NONE));
    }
    different.sort_unstable();
    different.dedup();
    let number = different.len() as f64;
    match precision {
        Precision::Exact => Expected::Exactly(number as f32),
        Precision::Bucketed(_) if different.is_empty() => Expected::Exactly(0.0),
        Precision::Bucketed(_) => Expected::near(number, SKETCH_TOLERANCE * number + 1.0),
    }
}

/// 2^(−age / half-life) of each entry.
fn weights(entries: &[&Entry], now_ns: i64, half_life_ns: i64) -> Vec<f64> {
    let age = |entry: &Entry| (i128::from(now_ns) - i128::from(entry.time_ns)) as f64;
    entries
        .iter()
        .map(|entry| (-age(entry) / half_life_ns as f64).exp2())
        .collect()
}

fn decayed_sum(values: &[i64], entries: &[&Entry], now_ns: i64, half_life_ns: i64) -> Expected {
    let weights = weights(entries, now_ns, half_life_ns);
    let terms = || {
        values
            .iter()
            .zip(&weights)
            .map(|(&value, weight)| value as f64 * weight)
    };
    let scale: f64 = terms().map(f64::abs).sum();
    Expected::near(terms().sum(), DECAY_TOLERANCE * scale + f64::MIN_POSITIVE)
}

/// The weights are taken from the latest entry on: the quotient is the same, and its parts are never both 0. An
/// engine that divides two numbers that have faded to 0 has nothing to compute from.
fn decayed_mean(
    values: &[i64],
    entries: &[&Entry],
    now_ns: i64,
    half_life_ns: i64,
    missing: f32,
) -> Expected {
    let Some(latest) = entries.last() else {
        return Expected::Exactly(missing);
    };
    let has_faded = weights(entries, now_ns, half_life_ns).iter().sum::<f64>() < 1e-290;
    let weights = weights(entries, latest.time_ns, half_life_ns);
    let terms = || {
        values
            .iter()
            .zip(&weights)
            .map(|(&value, weight)| value as f64 * weight)
    };
    let (scale, weight) = (terms().map(f64::abs).sum::<f64>(), weights.iter().sum::<f64>());
    match Expected::near(terms().sum::<f64>() / weight, DECAY_TOLERANCE * scale / weight) {
        Expected::Between(low, high, _) if has_faded => Expected::Between(low, high, Some(missing)),
        other => other,
    }
}

/// Missing where the denominator is 0, or so near that the quotient has no bound.
fn quotient(above: f32, below: f32, missing: f32) -> f32 {
    let quotient = above / below;
    if quotient.is_finite() { quotient } else { missing }
}

fn ratio(vector: &[Expected], above: usize, below: usize, missing: f32) -> Expected {
    match (vector[above], vector[below]) {
        (Expected::Exactly(numerator), Expected::Exactly(denominator)) => {
            Expected::Exactly(quotient(numerator, denominator, missing))
        }
        _ => Expected::Quotient(above, below, missing),
    }
}

/// A transform of the current transaction; logarithm, sine and cosine up to the last bit of an `f32`.
fn transformed(transform: &Transform, slot_count: usize, payment: &PaymentRecord) -> Vec<Expected> {
    let time_ns = i128::from(payment.origin.event_ns);
    let since_monday_ns = (time_ns + 3 * i128::from(DAY_NS)).rem_euclid(7 * i128::from(DAY_NS));
    let of_day_ns = time_ns.rem_euclid(i128::from(DAY_NS));
    let is = |truth: bool| vec![Expected::Exactly(f32::from(truth))];
    match *transform {
        Transform::Raw(field) => vec![Expected::Exactly(number_of(field, payment) as f64 as f32)],
        Transform::Log(field) => {
            let value = number_of(field, payment) as f64;
            let log = value.signum() * value.abs().ln_1p();
            vec![Expected::near(
                if value == 0.0 { 0.0 } else { log },
                1e-12 * log.abs(),
            )]
        }
        Transform::Hour => cyclic(of_day_ns as f64 / DAY_NS as f64),
        Transform::Weekday => cyclic(since_monday_ns as f64 / (7 * DAY_NS) as f64),
        Transform::IsNight { hour_max } => {
            is(of_day_ns < i128::from(3600 * SECOND_NS) * (i128::from(hour_max) + 1))
        }
        Transform::IsWeekend => is(since_monday_ns >= 5 * i128::from(DAY_NS)),
        Transform::OneHot(field) => (0..slot_count)
            .map(|value| Expected::Exactly(f32::from(number_of(field, payment) == value as i64)))
            .collect(),
    }
}

fn cyclic(turn: f64) -> Vec<Expected> {
    let (sine, cosine) = (std::f64::consts::TAU * turn).sin_cos();
    vec![Expected::near(sine, 1e-12), Expected::near(cosine, 1e-12)]
}
