//! A label over the bus, and the next payment of its kind right behind it: over real Aeron, 10,000 times.
//!
//! ```text
//!   A, label of A, B ─▶ engine ─▶ scores of A and B, compared with those of one thread that takes the journal in order
//! ```
//!
//! A and B have the same features and nothing stands between them but the label: had the engine missed it, B's score
//! would be A's, to the last bit.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinion_journal::Reader;
use pinion_node::bus::{AeronC, Connect};
use pinion_node::feature_sets::InForce;
use pinion_node::{Config, Engine, Replica};
use pinion_publish::WhenUnheard;
use pinion_schemas::encode::{Encoder, Event, LabelEvent, Stamp, TransactionEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{Channel, Frame, LabelSource, Limits, Verdict, read};
use pinion_transport::{Bus, Offer, Publication, Subscription};

const ROUNDS: u64 = 10_000;

/// How long one decision may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Half past a minute past three, so that no feature of the time of day changes within a round.
const START_NS: i64 = 1_522_540_800_000_000_000 + 3 * 3_600_000_000_000 + 30_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

fn config(folder: &Path) -> Config {
    let mut config = Config::default();
    config.engine.dir = folder.join("data");
    config.bus.node = format!("test-labels-{}", std::process::id());
    config.bus.term_length = 1 << 20;
    // A model that draws every case.
    let in_repository = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    config.score.model = in_repository("models/fraud-v1").display().to_string();
    config.features.set = in_repository("features/payments-v1.toml");
    for table in [&mut config.ingest.customers, &mut config.ingest.terminals] {
        table.ids_max = 32_768;
    }
    config.journal.segment_len = 4 << 20;
    config.publish.when_unheard = WhenUnheard::Wait;
    config
}

/// Half of a round's pair: of a customer and a terminal that nothing is known of.
fn transaction(round: u64, half: &str) -> TransactionEvent {
    TransactionEvent {
        event_ns: START_NS + round as i64 * MINUTE_NS,
        amount_minor: 100 + (round.wrapping_mul(7_919) % 60_000) as i64,
        currency: 978,
        channel: Channel::CardPresent,
        transaction_id: Id::new(&format!("{half}-{round}")).unwrap(),
        customer: Id::new(&format!("customer-{half}-{round}")).unwrap(),
        terminal: Id::new(&format!("terminal-{half}-{round}")).unwrap(),
        ..TransactionEvent::default()
    }
}

fn label(of: &TransactionEvent, verdict: Verdict) -> Event {
    Event::Label(LabelEvent {
        event_ns: of.event_ns,
        transaction_ns: of.event_ns,
        amount_minor: of.amount_minor,
        verdict,
        source: LabelSource::Analyst,
        transaction_id: of.transaction_id,
        customer: of.customer,
        terminal: of.terminal,
        ..LabelEvent::default()
    })
}

/// A publisher of payments that listens to decisions.
struct Gateway<B: Bus> {
    bus: B,
    payments: B::Publication,
    decisions: B::Subscription,
    encoder: Encoder,
    sent: u64,
    /// By sequence.
    scores: HashMap<u64, f32>,
    started: Instant,
}

impl<B: Bus> Gateway<B> {
    fn new(config: &Config, mut bus: B) -> Self {
        Self {
            payments: bus.add_publication(&config.bus.payments).unwrap(),
            decisions: bus.add_subscription(&config.bus.decisions).unwrap(),
            bus,
            encoder: Encoder::new(),
            sent: 0,
            scores: HashMap::new(),
            started: Instant::now(),
        }
    }

    fn wait_until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain after {} events",
                self.sent
            );
            self.bus.do_work(self.started.elapsed().as_nanos() as i64);
        }
    }

    fn send(&mut self, event: &Event) {
        self.sent += 1;
        let stamp = Stamp {
            publisher_id: 9,
            session: 1,
            sequence: self.sent,
            flags: 0,
        };
        let frame = self.encoder.encode(&stamp, event).to_vec();
        self.wait_until(|gateway| {
            gateway.listen();
            matches!(gateway.payments.offer(&frame), Offer::Accepted(_))
        });
    }

    /// Takes what was decided.
    fn listen(&mut self) {
        let scores = &mut self.scores;
        self.decisions.poll(64, |bytes| {
            let Ok(Frame::Decision(decision)) = read(bytes, &Limits::default()) else {
                panic!("expected a decision")
            };
            let hot = decision.hot();
            scores.insert(hot.sequence(), hot.score());
        });
    }
}

/// The score of each payment by its sequence, by the engine's own code on one thread.
fn in_order(config: &Config) -> HashMap<u64, f32> {
    let set = Arc::new(config.features.load_set().unwrap());
    let mut replica = Replica::with_cases(config, &[InForce::always(set)]).unwrap();
    let mut inputs = Reader::open(&config.journal().dir).unwrap();
    let mut scores = HashMap::new();
    for sequence in 1..=3 * ROUNDS {
        replica.run(&mut inputs, sequence, usize::MAX, |_, _| ()).unwrap();
        scores.insert(sequence, replica.score().score);
    }
    scores
}

#[test]
fn label_is_in_force_for_the_next_payment() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let engine = Engine::start(&config).unwrap();
    let bus = AeronC(config.bus.clone()).connect().unwrap();
    let mut gateway = Gateway::new(&config, bus);
    gateway.wait_until(|gateway| gateway.payments.is_connected() && gateway.decisions.is_connected());
    for round in 0..ROUNDS {
        let first = transaction(round, "a");
        // By turns, so that cases of both kinds stand everywhere and each one more tells.
        let verdict = if round % 2 == 0 {
            Verdict::Fraud
        } else {
            Verdict::Genuine
        };
        gateway.send(&Event::Transaction(first.clone()));
        gateway.send(&label(&first, verdict));
        gateway.send(&Event::Transaction(transaction(round, "b")));
    }
    gateway.wait_until(|gateway| {
        gateway.listen();
        gateway.scores.len() as u64 >= 2 * ROUNDS
    });
    let counters = engine.counters().clone();
    let count = |name: &str| counters.value(name).unwrap_or_default();
    engine.stop().unwrap();
    assert_eq!(count("score.labels_admitted"), ROUNDS);
    let (published, expected) = (&gateway.scores, in_order(&config));
    let (mut stale, mut moved) = (0, 0);
    for round in 0..ROUNDS {
        let (a, b) = (3 * round + 1, 3 * round + 3);
        assert_eq!(published[&a].to_bits(), expected[&a].to_bits(), "round {round}");
        stale += u32::from(published[&b].to_bits() != expected[&b].to_bits());
        moved += u32::from(expected[&b].to_bits() != expected[&a].to_bits());
    }
    assert_eq!(stale, 0, "of {ROUNDS}");
    println!("a label moved {moved} of {ROUNDS} scores, and none was stale");
    assert!(
        u64::from(moved) > ROUNDS * 9 / 10,
        "only {moved} labels make a difference"
    );
}
