//! The state of the feature store and the vectors read from it.
//!
//! ```text
//!   Transaction ─▶ customers: insert, three windows ending at T       ─┐
//!               ─▶ terminals: insert, three windows ending at T − 7 d ─┴▶ vector
//!   Label       ─▶ terminals: the transaction it speaks of becomes fraud, or is fraud no longer
//! ```
//!
//! **Labels.** A label counts at the time of its *transaction*, not of its arrival. Windows end seven days
//! before `T`, so a label that comes within seven days of its transaction is in every window that holds the
//! transaction; a later one is in the windows read after it came. A transaction without a label counts as
//! genuine. The last label wins: `Genuine` after `Fraud` takes the fraud back, a repeated one changes
//! nothing. A label whose transaction is not held (unknown, or older than the windows) is counted and left.
//! The transaction is found by its time and 32 bits of its id's hash.
//!
//! **Order.** Events of one time stand in the order of arrival. A window counts what had arrived.
//!
//! Invariant: exact while no counter of [`Tally`] beside `labels_repeated` and `late_events` has grown.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, fresh, payment_kind};
use pinion_schemas::wire::Verdict;

use crate::config::{EVENTS_MAX, FeaturesConfig};
use crate::spec::{
    AMOUNT_INDEX, CUSTOMER_INDEX, DAY_NS, LABEL_DELAY_DAYS, NIGHT_HOUR_MAX, NIGHT_INDEX, SECOND_NS,
    TERMINAL_INDEX, WEEKEND_INDEX, WINDOW_DAYS,
};
use crate::timelines::{Entry, Timelines, upper_bound};

/// Amounts count as no larger than this, either way: 1.4 trillion in a currency with cents.
pub const AMOUNT_MINOR_MAX: i64 = (1 << 47) - 1;

const _: () = assert!(
    AMOUNT_MINOR_MAX.checked_mul(EVENTS_MAX as i64).is_some(),
    "a window's sum fits an i64"
);

/// Terminal windows end this long before the transaction.
const DELAY_NS: i64 = LABEL_DELAY_DAYS * DAY_NS;

/// How far back the windows reach.
const CUSTOMER_REACH_NS: i64 = WINDOW_DAYS[2] * DAY_NS;
const TERMINAL_REACH_NS: i64 = DELAY_NS + CUSTOMER_REACH_NS;

/// Fixed, so that a replay finds the same transactions.
const TAG_SEED: u64 = 0x5049_4E49_4F4E_0002;

/// What was out of the ordinary, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Transactions older than the newest of their customer or terminal, within the lateness: exact.
    pub late_events: u64,
    /// Transactions later than the lateness: their windows are over what was still held, and those older
    /// than everything that may be held were not kept.
    pub too_late_events: u64,
    /// Transactions whose customer or terminal has no row (absent, or a dense id past entities_max): its
    /// windows hold this transaction alone, or none.
    pub unknown_entities: u64,
    /// Transactions that could not be kept because the pool was used up.
    pub unkept_events: u64,
    /// Amounts held to [`AMOUNT_MINOR_MAX`].
    pub clamped_amounts: u64,
    /// Labels that made a transaction fraud, or took it back.
    pub labels_applied: u64,
    /// Labels that said what was known.
    pub labels_repeated: u64,
    /// Labels whose transaction is not held.
    pub labels_unmatched: u64,
}

/// Whether a transaction is late for its entity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lateness {
    Timely,
    Late,
    TooLate,
}

/// A transaction's place in the timeline of its entity.
#[derive(Clone, Copy)]
struct Placed {
    /// Index among the events held, if it is held.
    index: Option<usize>,
    lateness: Lateness,
}

/// What is known of customers and terminals.
pub struct FeatureStore {
    /// Totals are sums of amounts, wrapping.
    customers: Timelines,
    /// Totals are counts of frauds in the lower half, and the transaction's tag in the upper.
    terminals: Timelines,
    lateness_ns_max: i64,
    tags: FixedState,
    tally: Tally,
}

impl FeatureStore {
    /// A store that knows nothing.
    ///
    /// Cost: takes and writes all memory, [`FeaturesConfig::memory_len`] bytes.
    pub fn new(config: &FeaturesConfig) -> Self {
        let timelines = |config: &crate::config::TimelinesConfig| {
            Timelines::new(config.entities_max, config.events_max, config.pool_events_max)
        };
        Self {
            customers: timelines(&config.customers),
            terminals: timelines(&config.terminals),
            lateness_ns_max: i64::from(config.lateness_s_max) * SECOND_NS,
            tags: FixedState::with_seed(TAG_SEED),
            tally: Tally::default(),
        }
    }

    /// Adds one event and writes its vector: a transaction's features in the order of
    /// [`crate::spec::FEATURES`], zeros for any other event.
    ///
    /// Cost: no heap call; per entity up to four binary searches over its events.
    pub fn apply(&mut self, payment: &PaymentRecord, vector: &mut [f32; FEATURES_MAX]) {
        *vector = [0.0; FEATURES_MAX];
        self.forget_reused(payment);
        match payment.origin.kind {
            payment_kind::TRANSACTION => self.add_transaction(payment, vector),
            payment_kind::LABEL => self.add_label(payment),
            _ => {}
        }
    }

    /// What was out of the ordinary so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The customers' events.
    pub fn customers(&self) -> &Timelines {
        &self.customers
    }

    /// The terminals' events.
    pub fn terminals(&self) -> &Timelines {
        &self.terminals
    }

    /// Forgets what is known under dense ids that were given anew with this event.
    fn forget_reused(&mut self, payment: &PaymentRecord) {
        if payment.fresh & fresh::CUSTOMER != 0 && self.customers.has_row(payment.customer) {
            self.customers.forget(payment.customer);
        }
        if payment.fresh & fresh::TERMINAL != 0 && self.terminals.has_row(payment.terminal) {
            self.terminals.forget(payment.terminal);
        }
    }

    fn add_transaction(&mut self, payment: &PaymentRecord, vector: &mut [f32; FEATURES_MAX]) {
        let time_ns = payment.origin.event_ns;
        vector[AMOUNT_INDEX] = payment.amount_minor as f32;
        vector[WEEKEND_INDEX] = f32::from(is_weekend(time_ns));
        vector[NIGHT_INDEX] = f32::from(is_night(time_ns));
        let lateness = self
            .add_to_customer(payment, &mut vector[CUSTOMER_INDEX..TERMINAL_INDEX])
            .max(self.add_to_terminal(payment, &mut vector[TERMINAL_INDEX..]));
        self.tally.late_events += u64::from(lateness == Lateness::Late);
        self.tally.too_late_events += u64::from(lateness == Lateness::TooLate);
    }

    fn add_to_customer(&mut self, payment: &PaymentRecord, windows: &mut [f32]) -> Lateness {
        let (customer, time_ns) = (payment.customer, payment.origin.event_ns);
        let amount = self.clamp(payment.amount_minor);
        let placed = self.place(Kind::Customer, customer, time_ns);
        let mut own = (1, amount);
        if let Some(index) = placed.index {
            self.customers.add_from(customer, index, amount as u64);
            own = (0, 0);
        }
        for (window, days) in windows.chunks_exact_mut(2).zip(WINDOW_DAYS) {
            let (count, sum) = window_of(&self.customers, customer, time_ns, 0, days * DAY_NS);
            let (count, sum) = (count + own.0, sum as i64 + own.1);
            window[0] = count as f32;
            window[1] = (sum as f64 / count as f64) as f32;
        }
        placed.lateness
    }

    fn add_to_terminal(&mut self, payment: &PaymentRecord, windows: &mut [f32]) -> Lateness {
        let (terminal, time_ns) = (payment.terminal, payment.origin.event_ns);
        let placed = self.place(Kind::Terminal, terminal, time_ns);
        if let Some(index) = placed.index {
            let tag = self.tag(payment);
            let entry = self.terminals.entry_mut(terminal, index);
            entry.total = u64::from(entry.total as u32) | tag << 32;
        }
        for (window, days) in windows.chunks_exact_mut(2).zip(WINDOW_DAYS) {
            let (count, frauds) = window_of(&self.terminals, terminal, time_ns, DELAY_NS, days * DAY_NS);
            let frauds = frauds as u32;
            window[0] = count as f32;
            window[1] = if count == 0 {
                0.0
            } else {
                (f64::from(frauds) / count as f64) as f32
            };
        }
        placed.lateness
    }

    /// Puts a transaction into the timeline of its entity, if it may be kept.
    fn place(&mut self, kind: Kind, entity: u32, time_ns: i64) -> Placed {
        let (timelines, reach_ns) = match kind {
            Kind::Customer => (&mut self.customers, CUSTOMER_REACH_NS),
            Kind::Terminal => (&mut self.terminals, TERMINAL_REACH_NS),
        };
        if !timelines.has_row(entity) {
            self.tally.unknown_entities += 1;
            return Placed {
                index: None,
                lateness: Lateness::Timely,
            };
        }
        let newest_ns = timelines
            .held(entity)
            .last()
            .map_or(time_ns, |last| last.time_ns.max(time_ns));
        let exact_ns = newest_ns.saturating_sub(self.lateness_ns_max);
        let expired_ns = exact_ns.saturating_sub(reach_ns);
        let lateness = match time_ns {
            _ if time_ns == newest_ns => Lateness::Timely,
            _ if time_ns >= exact_ns => Lateness::Late,
            _ => Lateness::TooLate,
        };
        if lateness == Lateness::TooLate && time_ns <= expired_ns {
            return Placed {
                index: None,
                lateness,
            };
        }
        let index = timelines.insert(entity, time_ns, expired_ns);
        self.tally.unkept_events += u64::from(index.is_none());
        Placed { index, lateness }
    }

    fn add_label(&mut self, label: &PaymentRecord) {
        let Some((index, was_fraud)) = self.find_labelled(label) else {
            self.tally.labels_unmatched += 1;
            return;
        };
        let is_fraud = label.verdict == Verdict::Fraud.0;
        if is_fraud == was_fraud {
            self.tally.labels_repeated += 1;
            return;
        }
        self.tally.labels_applied += 1;
        let delta = if is_fraud { 1 } else { 1_u64.wrapping_neg() };
        self.terminals.add_from(label.terminal, index, delta);
    }

    /// The transaction that a label speaks of, and whether it is fraud so far.
    fn find_labelled(&self, label: &PaymentRecord) -> Option<(usize, bool)> {
        let (terminal, time_ns) = (label.terminal, label.transaction_ns);
        if !self.terminals.has_row(terminal) {
            return None;
        }
        let held = self.terminals.held(terminal);
        let tag = self.tag(label);
        let first = held.partition_point(|entry| entry.time_ns < time_ns);
        let of_that_time = held[first..].iter().take_while(|entry| entry.time_ns == time_ns);
        let index = first
            + of_that_time
                .into_iter()
                .position(|entry| entry.total >> 32 == tag)?;
        let frauds_before = self.terminals.total_before(terminal, index) as u32;
        Some((index, held[index].total as u32 != frauds_before))
    }

    /// 32 bits that tell the transactions of one terminal and time apart.
    fn tag(&self, payment: &PaymentRecord) -> u64 {
        self.tags.hash_one(payment.transaction_id) >> 32
    }

    fn clamp(&mut self, amount_minor: i64) -> i64 {
        let amount = amount_minor.clamp(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX);
        self.tally.clamped_amounts += u64::from(amount != amount_minor);
        amount
    }
}

/// Which timelines.
#[derive(Clone, Copy)]
enum Kind {
    Customer,
    Terminal,
}

/// Events in `(time − delay − len, time − delay]` and the difference of their totals; none for an entity
/// without a row.
fn window_of(timelines: &Timelines, entity: u32, time_ns: i64, delay_ns: i64, len_ns: i64) -> (usize, u64) {
    if !timelines.has_row(entity) {
        return (0, 0);
    }
    let held = timelines.held(entity);
    let end = count_until(held, time_ns.checked_sub(delay_ns));
    let start = count_until(&held[..end], time_ns.checked_sub(delay_ns + len_ns));
    let total = timelines
        .total_before(entity, end)
        .wrapping_sub(timelines.total_before(entity, start));
    (end - start, total)
}

/// How many happened at `time_ns` or before; none did before the beginning of time.
fn count_until(held: &[Entry], time_ns: Option<i64>) -> usize {
    time_ns.map_or(0, |time_ns| upper_bound(held, time_ns))
}

/// Saturday or Sunday. The epoch was a Thursday.
fn is_weekend(time_ns: i64) -> bool {
    (time_ns.div_euclid(DAY_NS) + 3).rem_euclid(7) >= 5
}

fn is_night(time_ns: i64) -> bool {
    time_ns.rem_euclid(DAY_NS) / (3600 * SECOND_NS) <= NIGHT_HOUR_MAX
}

#[cfg(test)]
mod tests {
    use pinion_schemas::ids::Id;

    use super::*;

    const T0: i64 = 1_522_540_800 * SECOND_NS; // 2018-04-01, a Sunday

    fn store() -> FeatureStore {
        let small = || crate::config::TimelinesConfig {
            entities_max: 4,
            events_max: 64,
            pool_events_max: 256,
        };
        FeatureStore::new(&FeaturesConfig {
            customers: small(),
            terminals: small(),
            ..FeaturesConfig::default()
        })
    }

    fn transaction(name: &str, time_ns: i64, amount_minor: i64) -> PaymentRecord {
        let mut payment = PaymentRecord::default();
        payment.origin.kind = payment_kind::TRANSACTION;
        payment.origin.event_ns = time_ns;
        payment.amount_minor = amount_minor;
        payment.transaction_id = Id::new(name).unwrap();
        payment
    }

    fn label(transaction: &PaymentRecord, verdict: Verdict) -> PaymentRecord {
        let mut label = *transaction;
        label.origin.kind = payment_kind::LABEL;
        label.transaction_ns = transaction.origin.event_ns;
        label.verdict = verdict.0;
        label
    }

    fn feature(store: &mut FeatureStore, payment: &PaymentRecord, name: &str) -> f32 {
        let mut vector = [f32::NAN; FEATURES_MAX];
        store.apply(payment, &mut vector);
        vector[crate::spec::FEATURES
            .iter()
            .position(|feature| feature.name == name)
            .unwrap()]
    }

    /// The fraud share at the terminal eight days after, given labels of one fraud among two transactions.
    #[track_caller]
    fn check_labels(verdicts: &[Verdict], expected: f32) {
        let mut store = store();
        let (first, second) = (transaction("a", T0, 100), transaction("b", T0, 100));
        for event in [&first, &second] {
            feature(&mut store, event, "amount_minor");
        }
        for verdict in verdicts {
            assert_eq!(
                feature(&mut store, &label(&second, *verdict), "amount_minor"),
                0.0
            );
        }
        let later = transaction("c", T0 + 7 * DAY_NS, 100);
        assert_eq!(feature(&mut store, &later, "terminal_fraud_share_1d"), expected);
    }

    #[test]
    fn last_label_wins_and_a_repeated_one_changes_nothing() {
        check_labels(&[], 0.0);
        check_labels(&[Verdict::Genuine], 0.0);
        check_labels(&[Verdict::Fraud], 0.5);
        check_labels(&[Verdict::Fraud, Verdict::Fraud], 0.5);
        check_labels(&[Verdict::Fraud, Verdict::Genuine], 0.0);
        check_labels(&[Verdict::Fraud, Verdict::Genuine, Verdict::Fraud], 0.5);
    }

    #[test]
    fn label_of_unknown_transaction_is_counted() {
        let mut store = store();
        let payment = transaction("a", T0, 100);
        feature(&mut store, &label(&payment, Verdict::Fraud), "amount_minor");
        assert_eq!(store.tally().labels_unmatched, 1);
    }

    #[test]
    fn window_is_open_at_its_start_and_closed_at_its_end() {
        let mut store = store();
        feature(&mut store, &transaction("a", T0, 300), "amount_minor");
        let inside = transaction("b", T0 + DAY_NS - 1, 100);
        assert_eq!(feature(&mut store, &inside, "customer_mean_minor_1d"), 200.0);
        let outside = transaction("c", T0 + DAY_NS, 100);
        assert_eq!(feature(&mut store, &outside, "customer_count_1d"), 2.0);
    }

    #[test]
    fn fresh_customer_starts_from_nothing() {
        let mut store = store();
        feature(&mut store, &transaction("a", T0, 300), "amount_minor");
        let mut other = transaction("b", T0 + 1, 100);
        other.fresh = fresh::CUSTOMER;
        assert_eq!(feature(&mut store, &other, "customer_count_30d"), 1.0);
    }

    #[test]
    fn late_event_counts_what_happened_before_it() {
        let mut store = store();
        feature(&mut store, &transaction("a", T0, 100), "amount_minor");
        feature(
            &mut store,
            &transaction("c", T0 + 2 * SECOND_NS, 100),
            "amount_minor",
        );
        let late = transaction("b", T0 + SECOND_NS, 100);
        assert_eq!(feature(&mut store, &late, "customer_count_1d"), 2.0);
        assert_eq!(store.tally().late_events, 1);
        let next = transaction("d", T0 + 3 * SECOND_NS, 100);
        assert_eq!(feature(&mut store, &next, "customer_count_1d"), 4.0);
    }

    #[test]
    fn event_older_than_everything_kept_counts_itself() {
        let mut store = store();
        feature(&mut store, &transaction("a", T0, 100), "amount_minor");
        let old = transaction("b", T0 - 40 * DAY_NS, 700);
        assert_eq!(feature(&mut store, &old, "customer_mean_minor_30d"), 700.0);
        assert_eq!(store.tally().too_late_events, 1);
        assert_eq!(store.customers().held(0).len(), 1);
    }

    #[test]
    fn dense_id_past_the_table_is_counted_and_answered_alone() {
        let mut store = store();
        let mut payment = transaction("a", T0, 100);
        payment.customer = pinion_schemas::ids::DENSE_ID_NONE;
        assert_eq!(feature(&mut store, &payment, "customer_count_7d"), 1.0);
        assert_eq!(store.tally().unknown_entities, 1);
    }

    #[test]
    fn any_time_and_amount_gives_a_finite_vector() {
        let mut store = store();
        for (index, time_ns) in [i64::MIN, i64::MAX, 0, -1, i64::MIN, i64::MAX]
            .into_iter()
            .enumerate()
        {
            let mut vector = [f32::NAN; FEATURES_MAX];
            let amount = if index % 2 == 0 { i64::MAX } else { i64::MIN };
            store.apply(&transaction("a", time_ns, amount), &mut vector);
            assert!(vector.iter().all(|value| value.is_finite()), "{vector:?}");
        }
    }

    #[test]
    fn weekend_and_night_are_those_of_utc() {
        let hour_ns = 3600 * SECOND_NS;
        assert!(is_weekend(T0));
        assert!(!is_weekend(T0 + DAY_NS));
        assert!(is_weekend(T0 + 6 * DAY_NS));
        assert!(is_night(T0 + 7 * hour_ns - 1));
        assert!(!is_night(T0 + 7 * hour_ns));
        assert!(is_night(-DAY_NS), "before the epoch");
    }
}
