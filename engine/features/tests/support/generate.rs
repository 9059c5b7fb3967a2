//! Random feature sets and random events.
//!
//! ```text
//!   Choice ──▶ a few streams ──▶ features over them, ratios of them, transforms ──▶ FeatureSet
//!   Step ──▶ Step ──▶ … ──▶ laid out on a clock that ties, jumps and runs late ──▶ PaymentRecord
//! ```
//!
//! Lengths, delays, buckets and steps of the clock come from the same few numbers, so that events meet the edges
//! of windows to the nanosecond.
//!
//! Invariant: every window feature made here is one that [`is_valid`] takes.

use pinion_features::set::{
    Aggregate, Condition, DAY_NS, Entity, EntityKey, EventKind, Feature, FeatureKind, FeatureSet, Field,
    Filter, FilterField, Precision, SECOND_NS, Test, Transform, WINDOW_NS_MAX, Window, WindowFeature,
};
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};
use proptest::prelude::*;
use proptest::sample::select;

use super::build::{START_NS, set};
use super::reference::ENTITIES;

/// One hour. Unit: ns.
pub(crate) const HOUR_NS: i64 = 3600 * SECOND_NS;

/// Dense ids in use: below this.
const IDS: u32 = 3;

/// Entities of each kind that the store of a test holds: ids from here on are absent.
pub(crate) const ENTITIES_MAX: u32 = 4;

/// Times that lengths, delays and steps of the clock are made of. Unit: ns.
const SPANS_NS: [i64; 7] = [
    1,
    SECOND_NS,
    10 * SECOND_NS,
    60 * SECOND_NS,
    HOUR_NS,
    DAY_NS,
    7 * DAY_NS,
];

/// What the features of a random set are drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) entities: Vec<EntityKey>,
    pub(crate) events: Vec<EventKind>,
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) windows: Vec<Window>,
    pub(crate) delays_ns: Vec<i64>,
    pub(crate) precisions: Vec<Precision>,
    pub(crate) includes_current: Vec<bool>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            entities: all_entities(),
            events: vec![EventKind::Transaction, EventKind::Label, EventKind::Account],
            aggregates: all_aggregates(),
            windows: all_windows(),
            delays_ns: [&[0, 0, 0], &SPANS_NS[..]].concat(),
            precisions: [1, 7, 10, 3600]
                .map(|seconds| Precision::Bucketed(seconds * SECOND_NS))
                .into_iter()
                .chain([Precision::Exact; 4])
                .collect(),
            includes_current: vec![true, false],
        }
    }
}

/// Single entities as often as pairs.
fn all_entities() -> Vec<EntityKey> {
    let ones = ENTITIES.map(EntityKey::One);
    let mut all = [ones, ones].concat();
    all.extend(pairs());
    all
}

/// Every pair of different entities.
pub(crate) fn pairs() -> Vec<EntityKey> {
    let mut pairs = Vec::new();
    for first in ENTITIES {
        for second in ENTITIES.into_iter().filter(|&second| first < second) {
            pairs.push(EntityKey::Pair(first, second));
        }
    }
    pairs
}

/// Every aggregate of every field that it can be of.
pub(crate) fn all_aggregates() -> Vec<Aggregate> {
    let amount = Field::AmountMinor;
    let mut all = vec![
        Aggregate::Count,
        Aggregate::Sum(amount),
        Aggregate::Sum(Field::Fraud),
        Aggregate::Mean(amount),
        Aggregate::Mean(Field::Fraud),
        Aggregate::Variance(amount),
        Aggregate::StandardDeviation(amount),
        Aggregate::Min(amount),
        Aggregate::Max(amount),
        Aggregate::TimeSinceLast,
        Aggregate::ZScore(amount),
    ];
    all.extend(decayed_aggregates());
    all.extend([SECOND_NS, HOUR_NS].map(|per_ns| Aggregate::Rate { per_ns }));
    for field in [
        amount,
        Field::Currency,
        Field::MerchantCategory,
        Field::Channel,
        Field::Outcome,
    ] {
        all.extend([Aggregate::First(field), Aggregate::Last(field)]);
    }
    all.extend(distinct_aggregates());
    all
}

/// Decayed sums and means.
pub(crate) fn decayed_aggregates() -> Vec<Aggregate> {
    let of = |half_life_ns| {
        let source = Field::AmountMinor;
        let sum = Aggregate::DecayedSum { source, half_life_ns };
        [sum, Aggregate::DecayedMean { source, half_life_ns }]
    };
    [SECOND_NS, HOUR_NS, DAY_NS].into_iter().flat_map(of).collect()
}

/// Distinct counts of every field that has one.
pub(crate) fn distinct_aggregates() -> Vec<Aggregate> {
    let ids = ENTITIES.map(Field::Id);
    let codes = [
        Field::Currency,
        Field::MerchantCategory,
        Field::Channel,
        Field::Outcome,
    ];
    ids.into_iter().chain(codes).map(Aggregate::Distinct).collect()
}

fn all_windows() -> Vec<Window> {
    let lengths = || SPANS_NS.into_iter().chain([7 * SECOND_NS + 1, WINDOW_NS_MAX]);
    let mut all: Vec<Window> = lengths().map(Window::Sliding).collect();
    all.extend(lengths().map(Window::Tumbling));
    all.extend([1, 2, 5, 100].map(Window::Last));
    all.extend([Window::Forever; 3]);
    all
}

/// Whether a feature may stand in a set.
pub(crate) fn is_valid(window: &WindowFeature) -> bool {
    is_source_valid(window) && is_window_valid(window) && is_event_valid(window)
}

fn source_of(aggregate: Aggregate) -> Option<Field> {
    match aggregate {
        Aggregate::Count | Aggregate::TimeSinceLast | Aggregate::Rate { .. } => None,
        Aggregate::Sum(field)
        | Aggregate::Mean(field)
        | Aggregate::Variance(field)
        | Aggregate::StandardDeviation(field)
        | Aggregate::Min(field)
        | Aggregate::Max(field)
        | Aggregate::First(field)
        | Aggregate::Last(field)
        | Aggregate::Distinct(field)
        | Aggregate::ZScore(field)
        | Aggregate::DecayedSum { source: field, .. }
        | Aggregate::DecayedMean { source: field, .. } => Some(field),
    }
}

/// Whether events of this kind have the field.
fn is_source_valid(window: &WindowFeature) -> bool {
    let source = source_of(window.aggregate);
    match window.event {
        EventKind::Transaction => true,
        EventKind::Label => matches!(source, None | Some(Field::AmountMinor)),
        EventKind::Account => matches!(source, None | Some(Field::AmountMinor | Field::Currency)),
    }
}

fn is_window_valid(window: &WindowFeature) -> bool {
    let is_sliding = matches!(window.window, Window::Sliding(_));
    let is_plain_forever = window.window == Window::Forever && window.delay_ns == 0;
    let is_aggregate_valid = match window.aggregate {
        Aggregate::Rate { .. } => is_sliding,
        Aggregate::DecayedSum { .. } | Aggregate::DecayedMean { .. } => is_sliding || is_plain_forever,
        _ => true,
    };
    let is_precision_valid = match (window.precision, window.window) {
        (Precision::Exact, _) => true,
        (Precision::Bucketed(bucket_ns), Window::Sliding(length) | Window::Tumbling(length)) => {
            bucket_ns <= length && is_bucketed_offered(window)
        }
        (Precision::Bucketed(_), Window::Forever) => is_bucketed_offered(window),
        (Precision::Bucketed(_), Window::Last(_)) => false,
    };
    is_aggregate_valid && is_precision_valid
}

fn is_bucketed_offered(window: &WindowFeature) -> bool {
    let is_offered = matches!(
        window.aggregate,
        Aggregate::Count
            | Aggregate::Sum(_)
            | Aggregate::Mean(_)
            | Aggregate::Variance(_)
            | Aggregate::StandardDeviation(_)
            | Aggregate::Min(_)
            | Aggregate::Max(_)
            | Aggregate::Distinct(_)
            | Aggregate::Rate { .. }
    );
    is_offered && source_of(window.aggregate) != Some(Field::Fraud) && window.includes_current
}

fn is_event_valid(window: &WindowFeature) -> bool {
    match window.event {
        EventKind::Transaction => true,
        EventKind::Label => !matches!(window.aggregate, Aggregate::ZScore(_)),
        EventKind::Account => {
            let is_named = |entity| matches!(entity, Entity::Customer | Entity::Account);
            let is_entity_valid = match window.entity {
                EntityKey::One(one) => is_named(one),
                EntityKey::Pair(first, second) => is_named(first) && is_named(second),
            };
            is_entity_valid && !matches!(window.aggregate, Aggregate::ZScore(_))
        }
    }
}

/// Random sets of features drawn from `choice`, with ratios of them and transforms between them.
pub(crate) fn sets(choice: Choice) -> impl Strategy<Value = FeatureSet> {
    let streams = prop::collection::vec(stream(&choice), 1..4);
    let features = prop::collection::vec(candidate(&choice), 4..24);
    let others = prop::collection::vec(other(), 0..6);
    (streams, features, others).prop_filter_map("no feature is valid", |(streams, candidates, others)| {
        let mut kinds: Vec<(FeatureKind, f32)> = Vec::new();
        for candidate in candidates {
            let window = candidate.over(&streams);
            if is_valid(&window) {
                kinds.push((FeatureKind::Window(window), candidate.missing));
            }
        }
        (!kinds.is_empty()).then(|| finish(kinds, others))
    })
}

/// Adds ratios and transforms as far as the vector goes, and names all.
fn finish(mut kinds: Vec<(FeatureKind, f32)>, others: Vec<Other>) -> FeatureSet {
    let windows = kinds.len();
    for other in others {
        let kind = match other {
            Other::Transform(transform) => FeatureKind::Current(transform),
            Other::Ratio(above, below) => FeatureKind::Ratio {
                numerator: above.index(windows),
                denominator: below.index(windows),
            },
        };
        kinds.push((kind, 0.5));
    }
    let named = |(index, (kind, missing)): (usize, (FeatureKind, f32))| Feature {
        name: format!("feature_{index}"),
        description: String::new(),
        kind,
        missing,
    };
    let mut set = set(kinds.into_iter().enumerate().map(named).collect());
    while set.slot_count() > FEATURES_MAX {
        set.features.pop();
    }
    set
}

/// What features can share.
type StreamChoice = (EntityKey, EventKind, Filter, Precision);

fn stream(choice: &Choice) -> impl Strategy<Value = StreamChoice> + use<> {
    let (entities, precisions) = (choice.entities.clone(), choice.precisions.clone());
    (
        select(choice.events.clone()),
        select(entities),
        select(precisions),
    )
        .prop_flat_map(|(event, entity, precision)| {
            filter(event).prop_map(move |filter| (entity, event, filter, precision))
        })
}

fn filter(event: EventKind) -> BoxedStrategy<Filter> {
    let conditions = match event {
        EventKind::Transaction => vec![
            condition(FilterField::Field(Field::AmountMinor), 0..1000),
            condition(FilterField::Field(Field::Currency), 0..4),
            condition(FilterField::Field(Field::MerchantCategory), 0..4),
            condition(FilterField::Field(Field::Channel), 0..5),
            condition(FilterField::Field(Field::Outcome), 0..3),
        ],
        EventKind::Label => vec![
            condition(FilterField::Field(Field::AmountMinor), 0..1000),
            condition(FilterField::Verdict, 0..3),
            condition(FilterField::LabelSource, 0..5),
        ],
        EventKind::Account => vec![
            condition(FilterField::Field(Field::AmountMinor), 0..1000),
            condition(FilterField::Field(Field::Currency), 0..4),
            condition(FilterField::Change, 0..6),
        ],
    };
    let count = conditions.len();
    let chosen = prop::sample::subsequence((0..count).collect::<Vec<_>>(), 1..=2);
    let some = (conditions, chosen).prop_map(|(conditions, chosen)| Filter {
        conditions: chosen
            .into_iter()
            .map(|index| conditions[index].clone())
            .collect(),
    });
    prop_oneof![Just(Filter::default()), some].boxed()
}

fn condition(field: FilterField, values: std::ops::Range<i64>) -> BoxedStrategy<Condition> {
    let any_of = prop::collection::btree_set(values.clone(), 1..3);
    let any_of = any_of.prop_map(|values| Test::AnyOf(values.into_iter().collect()));
    let between = (values.clone(), values).prop_map(|(a, b)| Test::Between(a.min(b), a.max(b)));
    let test = match field {
        FilterField::Field(Field::AmountMinor) => between.boxed(),
        _ => prop_oneof![any_of, between].boxed(),
    };
    test.prop_map(move |test| Condition { field, test }).boxed()
}

/// A feature that still needs a stream and may not be valid over it.
#[derive(Clone, Debug)]
struct Candidate {
    stream: prop::sample::Index,
    aggregate: Aggregate,
    window: Window,
    delay_ns: i64,
    includes_current: bool,
    missing: f32,
}

impl Candidate {
    fn over(&self, streams: &[StreamChoice]) -> WindowFeature {
        let (entity, event, filter, precision) = streams[self.stream.index(streams.len())].clone();
        WindowFeature {
            entity,
            event,
            filter,
            aggregate: self.aggregate,
            window: self.window,
            delay_ns: self.delay_ns,
            precision,
            includes_current: self.includes_current,
        }
    }
}

fn candidate(choice: &Choice) -> impl Strategy<Value = Candidate> + use<> {
    let (stream, missing) = (any::<prop::sample::Index>(), select(vec![0.0_f32, -1.0, 0.25]));
    let (aggregates, windows) = (choice.aggregates.clone(), choice.windows.clone());
    let (delays_ns, includes) = (choice.delays_ns.clone(), choice.includes_current.clone());
    (
        stream,
        select(aggregates),
        select(windows),
        select(delays_ns),
        select(includes),
        missing,
    )
        .prop_map(
            |(stream, aggregate, window, delay_ns, includes_current, missing)| Candidate {
                stream,
                aggregate,
                window,
                delay_ns,
                includes_current,
                missing,
            },
        )
}

/// A feature that is not over a window.
#[derive(Clone, Debug)]
enum Other {
    Transform(Transform),
    Ratio(prop::sample::Index, prop::sample::Index),
}

fn other() -> impl Strategy<Value = Other> {
    let numbers = [
        Field::AmountMinor,
        Field::Currency,
        Field::MerchantCategory,
        Field::Channel,
        Field::Outcome,
    ];
    let mut transforms = vec![
        Transform::Hour,
        Transform::Weekday,
        Transform::IsWeekend,
        Transform::OneHot(Field::Channel),
        Transform::OneHot(Field::Outcome),
    ];
    transforms.extend([0, 6, 23].map(|hour_max| Transform::IsNight { hour_max }));
    transforms.extend(numbers.map(Transform::Raw));
    transforms.extend(numbers.map(Transform::Log));
    let indices = any::<(prop::sample::Index, prop::sample::Index)>();
    prop_oneof![
        select(transforms).prop_map(Other::Transform),
        indices.prop_map(|(above, below)| Other::Ratio(above, below)),
    ]
}

/// When an event is: on from the one before, and then back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    advance_ns: i64,
    late: Late,
}

/// How far behind the clock an event is.
#[derive(Clone, Copy, Debug)]
enum Late {
    No,
    /// A share of the lateness allowed, in thousandths: 1000 is just in time.
    Within(i64),
    /// This, if it is allowed. Unit: ns.
    By(i64),
    /// Later than allowed by this. Unit: ns.
    Beyond(i64),
}

/// What a random sequence is made of.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Of these entities.
    Transaction { moment: Moment, payment: PaymentRecord },
    /// Of the transaction so many steps back, or on.
    Label {
        moment: Moment,
        back: i64,
        label: PaymentRecord,
        flaw: Flaw,
    },
    /// Of its customer and account.
    Account { moment: Moment, payment: PaymentRecord },
}

/// What is wrong with a label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flaw {
    /// Nothing.
    None,
    /// It names another transaction.
    Name,
    /// It names another time.
    Time,
    /// It leaves out the entity with this number.
    Silent(usize),
}

/// How often something happens, in parts of the whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Weight of transactions, of labels, of account updates.
    pub(crate) kinds: [u32; 3],
    /// Weight of events in time, of late ones, of those that are too late.
    pub(crate) lateness: [u32; 3],
    /// One event in so many carries fresh bits.
    pub(crate) fresh_one_in: u32,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            kinds: [12, 3, 1],
            lateness: [12, 3, 1],
            fresh_one_in: 60,
        }
    }
}

/// Random events.
pub(crate) fn steps(habits: Habits, len_max: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(habits), 1..len_max)
}

/// One random event.
pub(crate) fn step(habits: Habits) -> impl Strategy<Value = Step> {
    let moment = move || moment(habits);
    let payment = move || payment(habits);
    let transaction =
        (moment(), payment()).prop_map(|(moment, payment)| Step::Transaction { moment, payment });
    let account = (moment(), payment()).prop_map(|(moment, payment)| Step::Account { moment, payment });
    let flaw = prop_oneof![
        16 => Just(Flaw::None),
        1 => Just(Flaw::Name),
        1 => Just(Flaw::Time),
        4 => (0..6_usize).prop_map(Flaw::Silent),
    ];
    let label = (moment(), -2..25_i64, payment(), flaw).prop_map(|(moment, back, label, flaw)| Step::Label {
        moment,
        back,
        label,
        flaw,
    });
    let [transactions, labels, accounts] = habits.kinds;
    prop_oneof![
        transactions => transaction,
        labels => label,
        accounts => account,
    ]
}

fn moment(habits: Habits) -> impl Strategy<Value = Moment> {
    let near = (select(SPANS_NS.to_vec()), -1..=1_i64).prop_map(|(span, by)| (span + by).max(0));
    let advance_ns = prop_oneof![
        8 => Just(0),
        8 => 0..20 * SECOND_NS,
        4 => (0..20_i64).prop_map(|seconds| seconds * SECOND_NS),
        8 => near,
        4 => 0..HOUR_NS,
        2 => 0..2 * DAY_NS,
        1 => 0..400 * DAY_NS,
    ];
    let [on_time, within, beyond] = habits.lateness;
    let thousandths = prop_oneof![2 => Just(1000), 5 => 0..1000_i64];
    let late = prop_oneof![
        on_time => Just(Late::No),
        within => prop_oneof![3 => thousandths.prop_map(Late::Within), 1 => (1..3_i64).prop_map(Late::By)],
        beyond => select(SPANS_NS.to_vec()).prop_map(Late::Beyond),
    ];
    (advance_ns, late).prop_map(|(advance_ns, late)| Moment { advance_ns, late })
}

fn payment(habits: Habits) -> impl Strategy<Value = PaymentRecord> {
    let id = || prop_oneof![30 => 0..IDS, 2 => Just(DENSE_ID_NONE), 1 => Just(ENTITIES_MAX)];
    let ids = [id(), id(), id(), id(), id(), id()];
    let amount = prop_oneof![
        12 => 0..1000_i64,
        4 => -500..100_000_i64,
        2 => Just(100_i64),
        1 => -(1_i64 << 48)..1 << 48,
        1 => select(vec![i64::MIN, i64::MAX, (1 << 47) - 1, 1 << 47, -(1 << 47), 0]),
    ];
    let codes = (0..4_u16, 0..4_u16, 0..6_u8, 0..4_u8);
    let fresh = prop_oneof![habits.fresh_one_in - 1 => Just(0_u8), 1 => 1..64_u8];
    (ids, amount, codes, fresh, 0..4_u8, 0..6_u8).prop_map(
        |(ids, amount_minor, (currency, merchant_category, channel, outcome), fresh, verdict, detail)| {
            let [customer, terminal, card, merchant, device, account] = ids;
            PaymentRecord {
                amount_minor,
                customer,
                terminal,
                card,
                merchant,
                device,
                account,
                currency,
                merchant_category,
                channel,
                outcome,
                verdict,
                detail,
                fresh,
                ..PaymentRecord::default()
            }
        },
    )
}

/// Lays steps out on a clock that starts at `start_ns`; lateness is `lateness_ns`. Ingest takes no time before
/// 1970, so none is made here unless the clock starts there.
pub(crate) fn events_from(start_ns: i64, steps: &[Step], lateness_ns: i64) -> Vec<PaymentRecord> {
    let mut now_ns = start_ns;
    let timed: Vec<PaymentRecord> = steps
        .iter()
        .enumerate()
        .map(|(index, step)| timed(index, step, &mut now_ns, [start_ns, lateness_ns]))
        .collect();
    let is_transaction = |event: &&PaymentRecord| event.origin.kind == payment_kind::TRANSACTION;
    let transactions: Vec<PaymentRecord> = timed.iter().filter(is_transaction).copied().collect();
    let mut transactions_before = 0;
    let mut events = Vec::new();
    for (event, step) in timed.iter().zip(steps) {
        transactions_before += i64::from(is_transaction(&event));
        let Step::Label { back, flaw, .. } = step else {
            events.push(*event);
            continue;
        };
        let labelled = usize::try_from(transactions_before - 1 - back).ok();
        if let Some(labelled) = labelled.and_then(|index| transactions.get(index)) {
            events.push(label_of(labelled, event, *flaw));
        }
    }
    events
}

/// The same from [`START_NS`] on.
pub(crate) fn events(steps: &[Step], lateness_ns: i64) -> Vec<PaymentRecord> {
    events_from(START_NS, steps, lateness_ns)
}

/// A step as an event of its kind, at its time; a label does not yet know what it is of.
fn timed(index: usize, step: &Step, now_ns: &mut i64, [start_ns, lateness_ns]: [i64; 2]) -> PaymentRecord {
    let (moment, payment, kind) = match step {
        Step::Transaction { moment, payment } => (moment, payment, payment_kind::TRANSACTION),
        Step::Label { moment, label, .. } => (moment, label, payment_kind::LABEL),
        Step::Account { moment, payment } => (moment, payment, payment_kind::ACCOUNT),
    };
    *now_ns = now_ns.saturating_add(moment.advance_ns);
    let behind_ns = match moment.late {
        Late::No => 0,
        Late::Within(thousandths) => (i128::from(lateness_ns) * i128::from(thousandths) / 1000) as i64,
        Late::By(by_ns) => by_ns.min(lateness_ns),
        Late::Beyond(by_ns) => lateness_ns.saturating_add(by_ns),
    };
    let mut event = *payment;
    event.origin.kind = kind;
    event.origin.sequence = index as u64 + 1;
    event.origin.event_ns = now_ns.saturating_sub(behind_ns).max(start_ns.min(0));
    match kind {
        payment_kind::TRANSACTION => {
            (event.verdict, event.detail) = (0, 0);
            event.transaction_id = Id::new(&format!("transaction-{index}")).expect("a name without spaces");
        }
        payment_kind::ACCOUNT => {
            event.verdict = 0;
            (event.terminal, event.card) = (DENSE_ID_NONE, DENSE_ID_NONE);
            (event.merchant, event.device) = (DENSE_ID_NONE, DENSE_ID_NONE);
        }
        _ => event.fresh = 0,
    }
    event
}

fn label_of(labelled: &PaymentRecord, drawn: &PaymentRecord, flaw: Flaw) -> PaymentRecord {
    let mut label = PaymentRecord {
        origin: drawn.origin,
        transaction_ns: labelled.origin.event_ns,
        verdict: drawn.verdict,
        detail: drawn.detail,
        fresh: drawn.fresh,
        ..*labelled
    };
    match flaw {
        Flaw::None => {}
        Flaw::Name => label.transaction_id = Id::new("unknown").expect("a name without spaces"),
        Flaw::Time => label.transaction_ns = label.transaction_ns.wrapping_sub(1),
        Flaw::Silent(entity) => {
            let ids = [
                &mut label.customer,
                &mut label.terminal,
                &mut label.card,
                &mut label.merchant,
                &mut label.device,
                &mut label.account,
            ];
            *ids[entity] = DENSE_ID_NONE;
        }
    }
    label
}
