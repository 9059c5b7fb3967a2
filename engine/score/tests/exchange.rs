//! Another scorer takes over between two records, and nothing of either is lost.

use std::path::Path;

use pinion_runtime::agent::Agent as _;
use pinion_runtime::control::{ConductorEnd, channel};
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::{Consumer, Producer, ring};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{FeatureRecord, ScoredRecord, payment_kind};
use pinion_score::exchange::Swap;
use pinion_score::manifest::ModelFolder;
use pinion_score::scorer::Finding;
use pinion_score::{
    Backend, Exchanges, ScoreAgent, ScoreCommand, ScoreConfig, ScoreRetired, Scorer, Successor,
};

fn shipped(name: &str) -> Scorer {
    let model = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models")
        .join(name);
    let hash = ModelFolder::open(&model).unwrap().feature_set_hash;
    let config = ScoreConfig {
        model: model.display().to_string(),
        ..config()
    };
    Scorer::load(&config, |_| Some(hash)).unwrap()
}

fn config() -> ScoreConfig {
    ScoreConfig {
        backend: Backend::Native,
        batch_max: 4,
        waiting_max: 100,
        ..ScoreConfig::default()
    }
}

/// Two transactions, then the label of the one before.
fn event(sequence: u64) -> FeatureRecord {
    let mut record = FeatureRecord::default();
    let origin = &mut record.payment.origin;
    origin.sequence = sequence;
    origin.event_ns = sequence as i64 * 1_000_000_000;
    let is_label = sequence.is_multiple_of(3);
    origin.kind = if is_label {
        payment_kind::LABEL
    } else {
        payment_kind::TRANSACTION
    };
    let named = sequence - u64::from(is_label);
    record.payment.transaction_id = Id::new(&format!("t-{named}")).unwrap();
    record.payment.verdict = if is_label { 1 + (sequence % 2) as u8 } else { 0 };
    for (index, value) in record.features.iter_mut().take(32).enumerate().skip(1) {
        *value = ((sequence * 31 + index as u64 * 17) % 97) as f32;
    }
    record
}

fn apply(scorer: &mut Scorer, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        let record = event(sequence);
        scorer.apply(&record.payment, &record.features);
    }
}

struct Rig {
    feed: Producer<FeatureRecord>,
    drain: Consumer<ScoredRecord>,
    found: Consumer<Finding>,
    conductor: ConductorEnd<ScoreCommand, ScoreRetired>,
    agent: ScoreAgent,
    counters: Counters,
    sequence: u64,
}

impl Rig {
    fn new(successors: impl IntoIterator<Item = Successor>) -> Self {
        let (feed, input) = ring(64);
        let (output, drain) = ring(64);
        let (conductor, control) = channel(4);
        let (findings, found) = ring(1024);
        let counters = Counters::in_memory(64);
        let exchanges = Exchanges {
            control: Some(control),
            successors: successors.into_iter().collect(),
            ..Exchanges::default()
        };
        let agent = ScoreAgent::new(&config(), shipped("fraud-v1"), input, output, &counters).unwrap();
        Self {
            feed,
            drain,
            found,
            conductor,
            agent: agent.with_findings(Some(findings)).with_exchanges(exchanges),
            counters,
            sequence: 0,
        }
    }

    fn send(&mut self, command: ScoreCommand) {
        assert!(self.conductor.send(command).is_ok());
    }

    /// Feeds `count` events, `at_once` of them before each duty cycle, and checks each score against a scorer that had
    /// all events.
    fn run(&mut self, (count, at_once): (u64, u64), expected: &mut Scorer) {
        for _ in 0..count / at_once {
            for _ in 0..at_once {
                self.sequence += 1;
                assert!(self.feed.try_push(&event(self.sequence)));
            }
            while self.agent.do_work(0) > 0 {}
            while let Some(scored) = self.drain.try_pop() {
                let record = event(scored.payment.origin.sequence);
                let score = expected.apply(&record.payment, &record.features);
                let sequence = record.payment.origin.sequence;
                assert_eq!(scored.score.model_hash, score.model_hash, "sequence {sequence}");
                assert_eq!(
                    scored.score.score.to_bits(),
                    score.score.to_bits(),
                    "sequence {sequence}"
                );
            }
        }
    }

    fn found(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.found.try_pop())
            .map(|finding| finding.sequence)
            .collect()
    }
}

#[test]
fn new_scorer_scores_from_one_record_to_the_next_with_all_of_the_past() {
    let mut rig = Rig::new([]);
    let mut former = shipped("fraud-v1");
    rig.run((10, 1), &mut former);
    let (copy, catch_up) = ring(64);
    rig.send(ScoreCommand::Copy(copy));
    rig.run((30, 3), &mut former);
    let (mut new, mut whole) = (shipped("fraud-v2"), shipped("fraud-v2"));
    apply(&mut new, 1..=20);
    apply(&mut whole, 1..=40);
    rig.send(ScoreCommand::Swap(Box::new(Swap {
        scorer: new,
        next_sequence: 21,
        catch_up,
    })));
    while rig.counters.value("score.swaps") == Some(0) {
        rig.agent.do_work(0);
    }
    rig.run((30, 3), &mut whole);
    let Some(ScoreRetired::Swap {
        swap,
        is_done: true,
        sequence: 40,
    }) = rig.conductor.next_retired()
    else {
        panic!("expected the former scorer back");
    };
    assert_eq!(swap.scorer.model_hash(), former.model_hash());
    assert!(matches!(
        rig.conductor.next_retired(),
        Some(ScoreRetired::Copy(_))
    ));
    assert_eq!(rig.counters.value("score.copy_overflows"), Some(0));
    assert_eq!(rig.found().len(), 47, "two of three of 70 are transactions");
}

#[test]
fn gap_in_the_ring_refuses_the_swap_and_the_former_scorer_goes_on() {
    let mut rig = Rig::new([]);
    let mut former = shipped("fraud-v1");
    let (copy, catch_up) = ring(8);
    rig.send(ScoreCommand::Copy(copy));
    rig.run((30, 3), &mut former);
    assert_eq!(rig.counters.value("score.copy_overflows"), Some(1));
    assert!(matches!(
        rig.conductor.next_retired(),
        Some(ScoreRetired::Copy(_))
    ));
    rig.send(ScoreCommand::Swap(Box::new(Swap {
        scorer: shipped("fraud-v2"),
        next_sequence: 1,
        catch_up,
    })));
    let mut retired = None;
    while retired.is_none() {
        rig.run((1, 1), &mut former);
        retired = rig.conductor.next_retired();
    }
    let Some(ScoreRetired::Swap { is_done: false, .. }) = retired else {
        panic!("expected it refused");
    };
    assert_eq!(rig.counters.value("score.swaps_refused"), Some(1));
    rig.run((9, 3), &mut former);
}

#[test]
fn successors_take_over_where_they_are_due_even_in_the_middle_of_a_batch() {
    let mut second = shipped("fraud-v2");
    apply(&mut second, 1..=7);
    let mut third = shipped("fraud-v1");
    apply(&mut third, 1..=18);
    let due = [(7, second), (18, third)].map(|(sequence, scorer)| Successor {
        sequence,
        scorer: Box::new(scorer),
    });
    let mut rig = Rig::new(due);
    for sequence in 1..=24 {
        assert!(rig.feed.try_push(&event(sequence)));
    }
    while rig.agent.do_work(0) > 0 {}
    let (mut v1, mut v2) = (shipped("fraud-v1"), shipped("fraud-v2"));
    for sequence in 1..=24 {
        let record = event(sequence);
        let scores = [&mut v1, &mut v2].map(|scorer| scorer.apply(&record.payment, &record.features));
        let expected = scores[usize::from((8..=18).contains(&sequence))];
        let scored = rig.drain.try_pop().unwrap();
        assert_eq!(
            scored.score.model_hash, expected.model_hash,
            "sequence {sequence}"
        );
        assert_eq!(scored.score.score.to_bits(), expected.score.to_bits());
    }
    // A follower has the last one's cases, and nothing to do with what others found.
    assert_eq!(rig.found(), [19, 20, 22, 23]);
}
