//! A replica that was copied goes on as the one that it was copied from; one that follows an engine stops where
//! decisions are not recorded yet.

mod support;

use std::sync::Arc;

use pinion_journal::{Identity, JournalAgent, Reader, recover};
use pinion_node::feature_sets::InForce;
use pinion_node::replica::{Followed, Follower, copy_into_fresh};
use pinion_node::{Config, Replica};
use pinion_publish::DecisionMark;
use pinion_runtime::agent::Agent as _;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::latest::{Latest, latest};
use pinion_runtime::pace::Pace;
use pinion_runtime::ring::{EntryProducer, entry_ring};
use pinion_runtime::state::State as _;
use pinion_schemas::encode::Encoder;
use pinion_schemas::records::{DecisionRecord, EntryHeader, entry_kind};
use pinion_schemas::wire::Lane;
use support::*;
use zerocopy::IntoBytes as _;

/// Regions whose bytes differ, by name and number.
fn differing(first: &Replica, second: &Replica) -> Vec<(&'static str, u32)> {
    let pairs = first.regions().into_iter().zip(second.regions());
    pairs
        .filter(|(first, second)| first.bytes != second.bytes)
        .map(|(region, _)| (region.name, region.index))
        .collect()
}

#[test]
fn copied_replica_goes_on_as_the_one_it_was_copied_from() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let mut light = Light::start(&config);
    light.run(2_200);
    light.stop();
    let set = Arc::new(config.features.load_set().unwrap());
    let dir = config.journal().dir;
    let mut whole = Replica::with_cases(&config, &[InForce::always(set.clone())]).unwrap();
    let mut inputs = Reader::open(&dir).unwrap();
    for step in 1..=11 {
        whole.run(&mut inputs, step * 200, usize::MAX, |_, _| ()).unwrap();
        let mut copied = Replica::with_cases(&config, &[InForce::always(set.clone())]).unwrap();
        copy_into_fresh(&whole, &mut copied, Pace::NONE);
        copied.resume_at(whole.place());
        assert_eq!(differing(&whole, &copied), [], "copied at {}", step * 200);
        let mut rest = Reader::open_at(&dir, copied.place().position).unwrap().unwrap();
        copied.run(&mut rest, u64::MAX, usize::MAX, |_, _| ()).unwrap();
        let mut expected = Replica::with_cases(&config, &[InForce::always(set.clone())]).unwrap();
        let mut all = Reader::open(&dir).unwrap();
        expected.run(&mut all, u64::MAX, usize::MAX, |_, _| ()).unwrap();
        assert_eq!(
            differing(&expected, &copied),
            [],
            "copied at {}, at the end",
            step * 200
        );
        assert_eq!(expected.digest(), copied.digest());
    }
}

/// A journal that is written entry by entry, and a follower of it.
struct Written {
    inputs: EntryProducer,
    journal: JournalAgent,
    progress: Latest<3>,
    follower: Follower,
}

impl Written {
    fn start(config: &Config) -> Self {
        std::fs::create_dir_all(&config.engine.dir).unwrap();
        let (counters, faults) = (Counters::in_memory(64), ErrorLog::in_memory());
        let (inputs, end) = entry_ring(1 << 10);
        let identity = Identity {
            config_hash: 1,
            build: "test".to_owned(),
            started_ns: 1,
        };
        let section = config.journal();
        let recovery = recover(&section).unwrap();
        let journal = JournalAgent::new(&section, recovery, vec![end], &identity, &counters, &faults);
        let journal = journal.unwrap();
        let (progress, seen) = latest(DecisionMark::default().words());
        let followed = Arc::new(Followed {
            dir: section.dir,
            journal: journal.position(),
            fsync: section.fsync,
            progress: seen,
        });
        let set = Arc::new(config.features.load_set().unwrap());
        let replica = Replica::with_cases(config, &[InForce::always(set)]).unwrap();
        let follower = Follower::new(replica, DecisionMark::default(), followed);
        Self {
            inputs,
            journal,
            progress,
            follower: follower.unwrap().unwrap(),
        }
    }

    fn write(&mut self, kind: u8, number: u64, payload: &[u8]) {
        let header = EntryHeader {
            input_index: number,
            sequence: number,
            stamp_ns: 1,
            kind,
            lane: Lane::Payment.0,
            ..EntryHeader::default()
        };
        assert!(self.inputs.try_write(&header, payload));
        let position = self.journal.position();
        wait_for(|| {
            self.journal.do_work(1);
            self.journal.is_drained() && position.durable_position() == position.written_position()
        });
    }

    fn input(&mut self, number: u64) {
        let frame = Encoder::new().encode(&stamp(number), &payment(number)).to_vec();
        self.write(entry_kind::INPUT, number, &frame);
    }

    fn decision(&mut self, number: u64) {
        self.write(entry_kind::DECISION, number, DecisionRecord::default().as_bytes());
    }

    /// Publish says how far it came. Returns where the follower gets to, and whether that may be written.
    fn decided(&mut self, sequence: u64, answered_sequence: u64) -> (u64, bool) {
        let mark = DecisionMark {
            sequence,
            answered_sequence,
            ..DecisionMark::default()
        };
        self.progress.set(mark.words());
        self.follow()
    }

    fn follow(&mut self) -> (u64, bool) {
        for _ in 0..4 {
            self.follower.turn(1_000, || false).unwrap();
        }
        (
            self.follower.replica().place().sequence,
            self.follower.mark().is_some(),
        )
    }
}

#[test]
fn follower_waits_for_recorded_decisions_and_passes_what_needs_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut written = Written::start(&config(folder.path()));
    (1..=9).for_each(|number| written.input(number));
    assert_eq!(written.follow(), (0, true), "nothing is decided");
    written.decision(1);
    written.decision(2);
    assert_eq!(written.decided(2, 2), (2, true));
    assert_eq!(
        written.decided(3, 3),
        (2, false),
        "the third decision is not in the journal yet"
    );
    written.decision(3);
    assert_eq!(written.follow(), (3, true));
    (4..=8).for_each(|number| written.decision(number));
    assert_eq!(written.decided(9, 8), (9, true), "the ninth is a label");
    assert_eq!(
        written.decided(10, 10),
        (9, false),
        "the tenth is not written yet"
    );
    written.input(10);
    written.decision(10);
    assert_eq!(written.follow(), (10, true));
}
