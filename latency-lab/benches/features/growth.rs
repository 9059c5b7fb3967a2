//! The longest single step: one event while rings grow, give up what expired, merge, take late events and labels.
//!
//! An agent shall not be held up for longer than a duty cycle's budget of 50 µs. Each event is timed by itself.
//! The machine interrupts a thread hundreds of times a second for 10 µs and more, so the same events are run
//! several times and the best time of each event counts: what is left is the store's own. The worst raw time
//! stands beside it.
//!
//! Invariant: nothing is asserted about time; what is counted is that the steps were taken.

use pinion_features::set::{DAY_NS, SECOND_NS};
use pinion_features::{FeatureSet, FeatureStore, FeaturesConfig, PairsConfig, TimelinesConfig, Usage};
use pinion_latency_lab::bench::is_smoke;
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};

use crate::label;
use crate::traffic::Traffic;

/// Times that the same events are run.
const RUNS: usize = 7;

/// Seconds between two events of the one customer.
const STEP_NS: i64 = SECOND_NS;

/// A run of events, the timed ones at its end.
struct Script {
    name: &'static str,
    /// Before the timed ones, as multiples of events_max.
    filled: usize,
    make: fn(&mut Vec<PaymentRecord>, usize),
}

const SCRIPTS: [Script; 5] = [
    Script {
        name: "grow, then merge",
        filled: 0,
        make: |events, events_max| more(events, 3 * events_max),
    },
    Script {
        name: "the ring is full and all of it expires",
        filled: 1,
        make: |events, _| {
            let mut last = events[events.len() - 1];
            last.origin.event_ns += 400 * DAY_NS;
            events.extend([last; 16]);
        },
    },
    Script {
        name: "steady, full",
        filled: 2,
        make: |events, _| more(events, 1_000),
    },
    Script {
        name: "late, before half of a ring",
        filled: 2,
        make: |events, events_max| {
            let mut late = events[events.len() - events_max / 2];
            for _ in 0..256 {
                late.origin.event_ns -= 1;
                events.push(late);
            }
        },
    },
    Script {
        name: "label of the oldest",
        filled: 1,
        make: |events, events_max| {
            let oldest = events.len() - events_max + 8;
            let labels: Vec<PaymentRecord> = events[oldest..oldest + 256.min(events_max / 2)]
                .iter()
                .map(label)
                .collect();
            events.extend(labels);
        },
    },
];

/// Prints a line per script, feature set and events_max.
pub(crate) fn longest_steps() {
    let attempts = include_str!("../../../features/payments-attempts.toml");
    let attempts = FeatureSet::parse(attempts);
    let attempts = attempts.expect("a set that ships is right");
    // The second reads some slots by a pass over all events of the entity: its steps are as long as its rings.
    let sets = [
        (FeatureSet::payments_v1(), [1_024, 16_384]),
        (attempts, [256, 1_024]),
    ];
    for (set, sizes) in &sets {
        for events_max in sizes.iter().take(if is_smoke() { 1 } else { 2 }) {
            for script in &SCRIPTS {
                script.measure(set, if is_smoke() { 64 } else { *events_max });
            }
        }
    }
}

impl Script {
    fn measure(&self, set: &FeatureSet, events_max: u32) {
        let mut events = Vec::new();
        more(&mut events, self.filled * events_max as usize);
        let first_timed = events.len();
        (self.make)(&mut events, events_max as usize);
        let mut best_ns = vec![u64::MAX; events.len() - first_timed];
        let mut raw_max_ns = 0;
        let mut usage = Usage::default();
        for _ in 0..if is_smoke() { 1 } else { RUNS } {
            let mut store = store(set, events_max);
            let mut vector = [0.0; FEATURES_MAX];
            let (before, timed) = events.split_at(first_timed);
            before.iter().for_each(|event| store.apply(event, &mut vector));
            let clock = quanta::Clock::new();
            for (event, best_ns) in timed.iter().zip(&mut best_ns) {
                let started = clock.raw();
                store.apply(event, &mut vector);
                let took_ns = clock.delta_as_nanos(started, clock.raw());
                *best_ns = took_ns.min(*best_ns);
                raw_max_ns = raw_max_ns.max(took_ns);
            }
            usage = store.usage();
        }
        best_ns.sort_unstable();
        let at = |share: f64| best_ns[((best_ns.len() - 1) as f64 * share) as usize];
        let line = serde_json::json!({
            "bench": "features/longest_step",
            "set": set.name,
            "events_max": events_max,
            "case": self.name,
            "events": best_ns.len(),
            "p50_ns": at(0.5),
            "p99_ns": at(0.99),
            "max_ns": at(1.0),
            "raw_max_ns": raw_max_ns,
            "merged_events": usage.merged_events,
        });
        println!("{line}");
    }
}

/// A store with room for a few entities, all of its memory there.
fn store(set: &FeatureSet, events_max: u32) -> FeatureStore {
    let table = TimelinesConfig {
        entities_max: 16,
        events_max,
        pool_events_max: 4 * events_max,
    };
    let config = FeaturesConfig {
        customers: table.clone(),
        terminals: table.clone(),
        cards: table.clone(),
        devices: table.clone(),
        pairs: PairsConfig {
            entities_max: 16,
            events_max,
            pool_events_max: 4 * events_max,
            ..PairsConfig::default()
        },
        ..FeaturesConfig::default()
    };
    let mut store = FeatureStore::new(&config, set).expect("the sizes are in range");
    store.prefault();
    store
}

/// Appends transactions of one customer at one terminal, a second apart.
fn more(events: &mut Vec<PaymentRecord>, count: usize) {
    let mut traffic = Traffic {
        entities: 1,
        step_ns: STEP_NS,
        next: events.len() as u64,
    };
    events.extend((0..count).map(|_| {
        let mut payment = traffic.event();
        payment.outcome = 2;
        payment.origin.kind = payment_kind::TRANSACTION;
        payment
    }));
}
