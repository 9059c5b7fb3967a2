//! One day, one hash: on one core and on two, live and replayed, in whatever pieces it arrives, and after a crash.

mod support;

use pinion_journal::Reader;
use pinion_node::Config;
use pinion_replay::verify::verify;
use proptest::prelude::*;
use support::cut::{cut, entries};
use support::live::{ByHand, decide};
use support::{Day, Golden, config, day};

/// The hash of a day decided by hand in one way, which is every way's.
fn hash_by_hand(config: &Config, day: &Day) -> u64 {
    ByHand::new(config, day, 1 << 20, None).finish().decision_hash()
}

#[test]
fn one_core_and_two_cores_live_and_replayed_give_one_hash() {
    let day = day();
    let mut hashes = Vec::new();
    for cores_max in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        config.bus.node = format!("replay-{cores_max}-{}", std::process::id());
        config.bus.term_length = 1 << 20;
        config.cores.cores_max = cores_max;
        let summary = decide(&config, &day);
        let accounts = summary.accounts;
        assert_eq!(accounts.market.decided + accounts.payments.decided, day.accepted);
        assert_eq!(
            accounts.market.rejected + accounts.payments.rejected,
            day.rejected
        );
        assert_eq!(
            accounts.market.duplicates + accounts.payments.duplicates,
            day.duplicates
        );

        let verdict = verify(&config, &config.journal().dir, |_| ()).unwrap();
        println!(
            "{cores_max} cores: {} inputs, {:.0} per second",
            verdict.inputs,
            verdict.events_per_second()
        );
        assert_eq!(
            (&verdict.first_difference, verdict.undecided(), verdict.is_closed),
            (&None, 0, true)
        );
        assert_eq!(verdict.inputs, day.accepted);
        hashes.extend([accounts.decision_hash(), verdict.decision_hash()]);
    }
    let folder = tempfile::tempdir().unwrap();
    hashes.push(hash_by_hand(&config(folder.path()), &day));
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "{hashes:x?}");
}

/// One way to feed a pipeline: how big the rings are, and how much is sent and worked off in each step.
#[derive(Clone, Debug)]
struct Feeding {
    ring_records_max: u32,
    score_batch_max: u32,
    publish_batch_max: u32,
    bus_ring_len: usize,
    steps: Vec<(usize, usize, usize)>,
}

fn feeding() -> impl Strategy<Value = Feeding> {
    let step = (0_usize..200, 0_usize..200, 0_usize..6);
    let sizes = (16_u32..600, 1_u32..64, 1_u32..100, 48_000_usize..400_000);
    (sizes, proptest::collection::vec(step, 0..60)).prop_map(|(sizes, steps)| Feeding {
        ring_records_max: sizes.0,
        score_batch_max: sizes.1,
        publish_batch_max: sizes.2,
        bus_ring_len: sizes.3,
        steps,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prop_interleaving_batches_and_rings_do_not_change_a_decision(feeding in feeding()) {
        let (folder, day) = (tempfile::tempdir().unwrap(), day());
        let mut config = config(folder.path());
        let expected = hash_by_hand(&config, &day);
        config.engine.ring_records_max = feeding.ring_records_max;
        config.score.batch_max = feeding.score_batch_max;
        config.publish.batch_max = feeding.publish_batch_max;
        let mut pipeline = ByHand::new(&config, &day, feeding.bus_ring_len, None);
        for (market, payments, turns) in feeding.steps {
            pipeline.step(market, payments, turns);
        }
        prop_assert_eq!(pipeline.finish().decision_hash(), expected);
    }

    #[test]
    fn prop_batches_of_the_stages_change_nothing(
        batches in proptest::array::uniform4(1_u32..300),
    ) {
        let golden = Golden::new();
        let (expected, _) = support::decisions(&golden.config, &golden.journal);
        let mut config = golden.config.clone();
        config.ingest.batch_max = batches[0];
        config.book.batch_max = batches[1];
        config.features.batch_max = batches[2];
        config.strategy.batch_max = batches[3];
        let (found, _) = support::decisions(&config, &golden.journal);
        for lane in [pinion_schemas::wire::Lane::Market, pinion_schemas::wire::Lane::Payment] {
            let (expected, found) = (support::of_lane(&expected, lane), support::of_lane(&found, lane));
            let is_same = expected.iter().zip(&found).all(|(expected, found)| expected.core() == found.core());
            prop_assert!(is_same && expected.len() == found.len(), "lane {:?}", lane);
        }
    }

    /// A crash anywhere, then a restart, then the publisher sends everything again.
    #[test]
    fn prop_restart_after_a_crash_comes_to_the_same_hash(share in 0.001_f64..1.0) {
        let (golden, day) = (Golden::new(), day());
        let expected = hash_by_hand(&golden.config, &day);
        let kept = 1 + ((entries(&golden.journal).len() - 2) as f64 * share) as usize;
        cut(&golden.journal, kept, 0);
        let recorded = Reader::open(&golden.journal).unwrap();
        let accounts = ByHand::new(&golden.config, &day, 1 << 20, Some(recorded)).finish();
        prop_assert_eq!(accounts.decision_hash(), expected);
        prop_assert_eq!(accounts.market.decided + accounts.payments.decided, day.accepted);
    }
}
