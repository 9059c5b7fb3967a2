//! What the stage does with time: it lets a batch fill, and shows how it keeps up. No score depends on it.

use std::path::Path;

use pinion_runtime::agent::Agent;
use pinion_runtime::counters::Counters;
use pinion_runtime::latest::{Seen, latest};
use pinion_runtime::ring::{Consumer, Producer, ring};
use pinion_schemas::records::{FeatureRecord, ScoredRecord, decision_flag, payment_kind};
use pinion_score::manifest::ModelFolder;
use pinion_score::{Backend, ScoreAgent, ScoreConfig, Scorer};

const WAIT_NS: i64 = 50_000;

struct Rig {
    feed: Producer<FeatureRecord>,
    agent: ScoreAgent,
    drain: Consumer<ScoredRecord>,
    pressure: Seen<2>,
    counters: Counters,
}

impl Rig {
    fn new(batch_wait_us: u32) -> Self {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v1");
        let hash = ModelFolder::open(&model).unwrap().feature_set_hash;
        let config = ScoreConfig {
            model: model.display().to_string(),
            backend: Backend::Native,
            waiting_max: 100,
            batch_max: 4,
            batch_wait_us,
            ..ScoreConfig::default()
        };
        let (feed, input) = ring(64);
        let (output, drain) = ring(64);
        let counters = Counters::in_memory(32);
        let scorer = Scorer::load(&config, |_| Some(hash)).unwrap();
        let (show, pressure) = latest([0; 2]);
        let agent = ScoreAgent::new(&config, scorer, input, output, &counters).unwrap();
        Self {
            feed,
            agent: agent.with_pressure(Some(show)),
            drain,
            pressure,
            counters,
        }
    }

    /// Accepted at `ingest_ns`.
    fn push(&mut self, ingest_ns: i64, flags: u8) {
        let mut record = FeatureRecord::default();
        record.payment.origin.kind = payment_kind::TRANSACTION;
        (record.payment.origin.ingest_ns, record.payment.origin.flags) = (ingest_ns, flags);
        assert!(self.feed.try_push(&record));
    }

    /// Events that come out of a duty cycle at `now_ns`.
    fn cycle(&mut self, now_ns: i64) -> usize {
        let work_count = self.agent.do_work(now_ns);
        let drained = std::iter::from_fn(|| self.drain.try_pop()).count();
        assert_eq!(work_count, drained);
        drained
    }
}

#[test]
fn batch_closes_by_its_size_or_its_deadline_and_one_alone_does_not_wait() {
    let mut rig = Rig::new(50);
    rig.push(1_000, 0);
    assert_eq!(rig.cycle(1_000), 1, "alone");
    for ingest_ns in [2_000, 3_000] {
        rig.push(ingest_ns, 0);
    }
    assert_eq!(rig.cycle(3_000), 0);
    assert_eq!(rig.cycle(2_000 + WAIT_NS - 1), 0);
    assert!(!rig.agent.is_drained());
    assert_eq!(rig.cycle(2_000 + WAIT_NS), 2, "the first is due");
    for _ in 0..3 {
        rig.push(100_000, 0);
    }
    assert_eq!(rig.cycle(100_000), 0);
    rig.push(100_000, 0);
    assert_eq!(rig.cycle(100_000), 4, "full");
}

#[test]
fn without_a_wait_what_is_there_is_scored() {
    let mut rig = Rig::new(0);
    for _ in 0..3 {
        rig.push(1_000, 0);
    }
    assert_eq!(rig.cycle(1_000), 3);
}

#[test]
fn pressure_is_the_time_from_one_busy_cycle_to_the_next_per_scored_payment() {
    let mut rig = Rig::new(0);
    let shed = decision_flag::SHED | decision_flag::DEGRADED;
    for flags in [0, shed, 0, shed] {
        rig.push(1_000, flags);
    }
    assert_eq!(rig.cycle(1_000), 4);
    assert_eq!(rig.pressure.get(), [2, 0]);
    rig.push(1_000, 0);
    rig.cycle(41_000);
    assert_eq!(rig.pressure.get(), [3, 20_000], "two in 40 µs");
    rig.push(1_000, 0);
    rig.cycle(1_041_000);
    let smoothed = (20_000 * 15 + 80_000) / 16;
    assert_eq!(
        rig.pressure.get(),
        [4, smoothed],
        "a millisecond counts as four times the average"
    );
    assert_eq!(rig.cycle(1_061_000), 0);
    rig.push(1_000, 0);
    rig.cycle(9_000_000);
    let smoothed = (smoothed * 15 + 20_000_u64).div_ceil(16);
    assert_eq!(rig.pressure.get(), [5, smoothed], "idle time is nobody's");
    let counted = ["scored", "shed", "degraded"].map(|name| rig.counters.value(&format!("score.{name}")));
    assert_eq!(counted, [Some(5), Some(2), Some(0)]);
}
