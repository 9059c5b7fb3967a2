//! The feature store beside the cache misses that it must take, a hash map of deques, and Redis: one update and
//! the read of the whole payments-v1 vector.
//!
//! ```text
//!   worlds       1,000 entities, hot · 1 M at random · 5 M at random
//!   one by one   an event begins when the vector before it is whole: what one event waits
//!   in batches   of 64, rows asked for 8 events ahead and entries 4, as the agent does
//! ```
//!
//! All cases of a line-up take turns within each round, on tables that were filled before. The floor, first in
//! each, touches the row of each entity, at each edge of a window the entry that leaves it and the one behind,
//! which a cursor moves by one per event in the mean, and the place of the new entry.
//!
//! Invariant: every case has had the same events; before anything is timed, all give the same vectors.

#[path = "features/growth.rs"]
mod growth;
#[path = "features/redis.rs"]
mod redis;
#[path = "features/subjects.rs"]
mod subjects;
#[path = "features/traffic.rs"]
mod traffic;

use std::hint::black_box;
use std::time::Instant;

use pinion_latency_lab::bench::{Bench, is_smoke};
use pinion_latency_lab::fingerprint::Fingerprint;
use pinion_latency_lab::floor::core_round_trip;
use pinion_schemas::records::{PaymentRecord, payment_kind};
use pinion_schemas::wire::Verdict;

use redis::Redis;
use subjects::{Floor, Obvious, SLOTS, Store, Subject};
use traffic::Traffic;

/// As the agent: events of a batch, and how far ahead it asks for their lines.
const BATCH: usize = 64;
const ROWS_AHEAD: usize = 8;
const ENTRIES_AHEAD: usize = 4;

/// How many entities, how much history, how long.
#[derive(Clone, Copy)]
struct World {
    name: &'static str,
    entities: u32,
    events_each: u32,
    /// Events before the time of each round, and in it.
    warm: usize,
    timed: usize,
    rounds: usize,
    has_redis: bool,
}

const WORLDS: [World; 3] = [
    World {
        name: "1_000_hot",
        entities: 1_000,
        events_each: 40,
        warm: 4_096,
        timed: 1_024,
        rounds: 101,
        has_redis: true,
    },
    World {
        name: "1_000_000_random",
        entities: 1_000_000,
        events_each: 22,
        warm: 64,
        timed: 2_048,
        rounds: 101,
        has_redis: false,
    },
    World {
        name: "5_000_000_random",
        entities: 5_000_000,
        events_each: 6,
        warm: 64,
        timed: 2_048,
        rounds: 101,
        has_redis: false,
    },
];

fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let is_wanted = |name: &str| {
        wanted
            .as_ref()
            .is_none_or(|wanted| name.contains(wanted.as_str()))
    };
    print_environment();
    all_give_the_same_vectors();
    for world in WORLDS {
        if is_wanted(world.name) {
            line_up(if is_smoke() { world.smallest() } else { world });
        }
    }
    if is_wanted("longest_step") {
        growth::longest_steps();
    }
    print_environment();
}

impl World {
    fn smallest(self) -> Self {
        Self {
            entities: 100,
            events_each: self.events_each.min(12),
            warm: 64,
            timed: 256,
            ..self
        }
    }
}

/// The machine, and how near its cores are at the moment.
fn print_environment() {
    let cores: Vec<usize> = (0..Fingerprint::read().cores).collect();
    let line = serde_json::json!({
        "environment": Fingerprint::read(),
        "core_round_trip": core_round_trip(&cores),
    });
    println!("{line}");
}

fn redis() -> Option<Redis> {
    let started = Redis::start();
    started
        .map_err(|error| eprintln!("redis is left out: {error}"))
        .ok()
}

/// Holds the rivals to the store, with labels where they have them.
fn all_give_the_same_vectors() {
    let (mut store, mut obvious, mut redis) = (Store::new(20, 48), Obvious::default(), redis());
    let mut traffic = Traffic::new(20, 40);
    for index in 0..4_000 {
        let payment = traffic.event();
        store.apply(&payment);
        obvious.apply(&payment);
        assert_eq!(store.vector[SLOTS], obvious.vector[SLOTS], "event {index}");
        if index < 1_000 {
            if let Some(redis) = &mut redis {
                redis.apply(&payment);
                assert_eq!(store.vector[SLOTS], redis.vector[SLOTS], "event {index}");
            }
        } else if index % 7 == 0 {
            store.apply(&label(&payment));
            obvious.label(payment.terminal, payment.origin.event_ns);
        }
    }
}

/// The label that says that a transaction was fraud.
fn label(transaction: &PaymentRecord) -> PaymentRecord {
    let mut label = PaymentRecord {
        transaction_ns: transaction.origin.event_ns,
        verdict: Verdict::Fraud.0,
        amount_minor: 0,
        ..*transaction
    };
    label.origin.kind = payment_kind::LABEL;
    label
}

/// Fills the tables, then times all cases in turns, one by one and in batches.
fn line_up(world: World) {
    let World {
        entities,
        events_each,
        ..
    } = world;
    let mut traffic = Traffic::new(entities, events_each);
    let (mut store, mut obvious) = (Store::new(entities, events_each), Obvious::default());
    let mut floor = Floor::new(entities, events_each);
    let mut redis = world.has_redis.then(redis).flatten();
    // Half as long again as a ring reaches: what expires does so by now.
    let history = u64::from(entities) * u64::from(events_each) * 3 / 2;
    for _ in 0..history {
        let payment = traffic.event();
        store.apply(&payment);
        obvious.apply(&payment);
        if let Some(redis) = &mut redis {
            redis.apply(&payment);
        }
    }
    for way in [Way::OneByOne, Way::InBatches] {
        let mut bench = Bench::new(format!("features/{}/{}", world.name, way.name()));
        add(
            &mut bench,
            "floor: its cache misses",
            &mut floor,
            world,
            traffic,
            way,
        );
        add(&mut bench, "pinion", &mut store, world, traffic, way);
        add(
            &mut bench,
            "hash map of deques",
            &mut obvious,
            world,
            traffic,
            way,
        );
        if let (Some(redis), Way::OneByOne) = (&mut redis, way) {
            let world = World {
                warm: world.warm / 16,
                timed: world.timed / 16,
                ..world
            };
            add(&mut bench, "redis, a round trip each", redis, world, traffic, way);
        }
        bench.finish(world.rounds);
        let rounds = if is_smoke() { 1 } else { 1 + world.rounds };
        traffic.next += (rounds * (world.warm + world.timed)) as u64;
    }
    let payment = traffic.event();
    store.apply(&payment);
    obvious.apply(&payment);
    assert_eq!(store.vector[SLOTS], obvious.vector[SLOTS], "after the rounds");
    store.check_whole();
}

/// How a subject is given a round's events.
#[derive(Clone, Copy)]
enum Way {
    OneByOne,
    InBatches,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::OneByOne => "one_by_one",
            Self::InBatches => "in_batches",
        }
    }

    fn run(self, subject: &mut impl Subject, events: &[PaymentRecord]) {
        match self {
            Self::OneByOne => one_by_one(subject, events),
            Self::InBatches => events.chunks(BATCH).for_each(|batch| in_batch(subject, batch)),
        }
    }
}

fn add<'a>(
    bench: &mut Bench<'a>,
    name: &str,
    subject: &'a mut impl Subject,
    world: World,
    mut traffic: Traffic,
    way: Way,
) {
    let mut warm = vec![PaymentRecord::default(); world.warm];
    let mut timed = vec![PaymentRecord::default(); world.timed];
    bench.timed_case(name, world.timed as u64, move || {
        for event in warm.iter_mut().chain(&mut timed) {
            *event = traffic.event();
        }
        way.run(subject, &warm);
        let started = Instant::now();
        way.run(subject, &timed);
        started.elapsed()
    });
}

/// Which event is next depends, for all that the processor knows, on everything that was read for the last.
fn one_by_one(subject: &mut impl Subject, events: &[PaymentRecord]) {
    let none = black_box(0);
    let mut offset = 0;
    for index in 0..events.len() {
        let payment = &events[index + offset];
        subject.prefetch_rows(payment);
        subject.prefetch_entries(payment);
        offset = subject.apply(payment) as usize & none;
    }
    black_box(offset);
}

fn in_batch(subject: &mut impl Subject, events: &[PaymentRecord]) {
    for payment in events.iter().take(ROWS_AHEAD) {
        subject.prefetch_rows(payment);
    }
    for payment in events.iter().take(ENTRIES_AHEAD) {
        subject.prefetch_entries(payment);
    }
    for (index, payment) in events.iter().enumerate() {
        if let Some(payment) = events.get(index + ROWS_AHEAD) {
            subject.prefetch_rows(payment);
        }
        if let Some(payment) = events.get(index + ENTRIES_AHEAD) {
            subject.prefetch_entries(payment);
        }
        black_box(subject.apply(payment));
    }
}
