//! Another feature set is computed from the journal and takes over while events flow: from its first vector on it
//! is as if it had run from the start.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pinion_features::set::canonical;
use pinion_features::{FeatureAgent, FeatureCommand, FeatureControl, FeatureRetired, FeatureSet};
use pinion_ingest::ByHand;
use pinion_journal::{Entry, Identity, JournalAgent, Reader, recover};
use pinion_node::admin::{Answer, Backfilled, Client, Request, Server};
use pinion_node::feature_sets::{self, InForce, Step};
use pinion_node::housekeeping::Housekeeping;
use pinion_node::replica::{Followed, Follower, Since, feature_store};
use pinion_node::snapshotter::{Snapshotter, Snapshotting};
use pinion_node::{Config, History, Replica, checkpoints};
use pinion_publish::DecisionMark;
use pinion_runtime::agent::Agent as _;
use pinion_runtime::clock::Clock;
use pinion_runtime::control::{self, ConductorEnd};
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::latest::{Latest, latest};
use pinion_runtime::ring::{Consumer, EntryProducer, Producer, entry_ring, ring};
use pinion_runtime::state::State as _;
use pinion_schemas::encode::Encoder;
use pinion_schemas::records::{
    DecisionRecord, EntryHeader, FEATURES_MAX, FeatureRecord, PaymentRecord, entry_kind, payment_kind,
};
use pinion_schemas::wire::Lane;
use pinion_score::manifest::{ModelFolder, locate};
use support::*;
use zerocopy::IntoBytes as _;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

/// A payment lane up to its vectors, turned by hand, with everything that follows an engine.
struct Rig {
    config: Config,
    encoder: Encoder,
    intake: ByHand,
    inputs: EntryProducer,
    decisions: EntryProducer,
    journal: JournalAgent,
    to_features: Producer<PaymentRecord>,
    features: FeatureAgent,
    from_features: Consumer<FeatureRecord>,
    progress: Latest<3>,
    mark: DecisionMark,
    /// The vector of each payment, with the hash of its set.
    vectors: Vec<(u64, [f32; FEATURES_MAX])>,
    /// What the backfill asks of the agent passes through the test's hands.
    commands: FeatureControl,
    to_agent: ConductorEnd<FeatureCommand, FeatureRetired>,
    /// So many rings come back at once, as if they had run full.
    full_rings: u32,
    _server: Server,
    snapshotter: Snapshotter,
}

fn setting(config: &Config) -> Snapshotting {
    let model = locate(Path::new(&config.score.model)).unwrap();
    let model = ModelFolder::open(&model).unwrap();
    Snapshotting {
        configured_model: model.hash,
        manifest: model.manifest,
        interval: None,
        housekeeping: Housekeeping::default(),
        stop_max: Duration::from_secs(10),
        journal_id: checkpoints::journal_id(config).unwrap().unwrap(),
        copies_max: 1024,
        restored_sequence: None,
    }
}

impl Rig {
    fn start(folder: &Path, full_rings: u32) -> Self {
        let config = config(folder);
        std::fs::create_dir_all(&config.engine.dir).unwrap();
        let (counters, faults) = (Counters::in_memory(256), ErrorLog::in_memory());
        let (inputs, inputs_end) = entry_ring(1 << 12);
        let (decisions, decisions_end) = entry_ring(1 << 12);
        let identity = Identity {
            config_hash: 1,
            build: "test".to_owned(),
            started_ns: 1,
        };
        let (section, ends) = (config.journal(), vec![inputs_end, decisions_end]);
        let recovery = recover(&section).unwrap();
        let journal = JournalAgent::new(&section, recovery, ends, &identity, &counters, &faults).unwrap();
        let set = Arc::new(config.features.load_set().unwrap());
        let (progress, seen) = latest(DecisionMark::default().words());
        let (exchange, commands) = control::channel(4);
        let (models, _) = control::channel(4);
        let followed = Arc::new(Followed {
            dir: section.dir.clone(),
            journal: journal.position(),
            fsync: section.fsync,
            progress: seen,
        });
        let replica = Replica::with_cases(&config, &[InForce::always(set.clone())]).unwrap();
        let follower = Follower::new(replica, DecisionMark::default(), followed)
            .unwrap()
            .unwrap();
        let clock = Clock::system();
        let snapshotter = Snapshotter::spawn(
            &config,
            follower,
            Some((exchange, models)),
            setting(&config),
            (&clock, &counters),
        )
        .unwrap();
        let server = Server::start(&config.engine.dir, &snapshotter).unwrap();
        let (to_features, events) = ring(1024);
        let (to_score, from_features) = ring(1024);
        let store = Box::new(feature_store(&config, &set).unwrap());
        let (to_agent, of_agent) = control::channel(4);
        let (section, control) = (&config.features, Some(of_agent));
        let features = FeatureAgent::new(section, store, 0, control, events, to_score, &counters).unwrap();
        Self {
            encoder: Encoder::new(),
            intake: ByHand::new(&config.ingest).unwrap(),
            config,
            inputs,
            decisions,
            journal,
            to_features,
            features,
            from_features,
            progress,
            mark: DecisionMark::default(),
            vectors: Vec::new(),
            commands,
            to_agent,
            full_rings,
            _server: server,
            snapshotter,
        }
    }

    /// Takes payments up to number `to`, each to the end.
    fn run(&mut self, to: u64) {
        while self.mark.sequence < to {
            self.take(self.mark.sequence + 1);
        }
        self.turn();
    }

    /// One duty cycle of everything.
    fn turn(&mut self) {
        self.pass_commands();
        self.features.do_work(1);
        let vectors = &mut self.vectors;
        self.from_features.read_batch(usize::MAX, |record| {
            vectors.push((record.payment.feature_set_hash, record.features));
        });
        while !self.journal.is_drained() {
            self.journal.do_work(1);
        }
    }

    fn pass_commands(&mut self) {
        match self.commands.next_command() {
            Some(FeatureCommand::Copy(ring)) if self.full_rings > 0 => {
                self.full_rings -= 1;
                assert!(self.commands.retire(FeatureRetired::Copy(ring)).is_ok());
            }
            Some(command) => assert!(self.to_agent.send(command).is_ok()),
            None => {}
        }
        while let Some(retired) = self.to_agent.next_retired() {
            assert!(self.commands.retire(retired).is_ok());
        }
    }

    fn take(&mut self, number: u64) {
        let frame = self.encoder.encode(&stamp(number), &payment(number));
        let header = EntryHeader {
            input_index: number,
            sequence: number,
            stamp_ns: number as i64,
            kind: entry_kind::INPUT,
            lane: Lane::Payment.0,
            ..EntryHeader::default()
        };
        let entry = Entry {
            position: 0,
            header: &header,
            payload: frame,
        };
        let record = self.intake.take(&entry).unwrap();
        assert!(self.inputs.try_write(&header, frame));
        assert!(self.to_features.try_push(&record));
        self.turn();
        if record.origin.kind == payment_kind::TRANSACTION {
            let kind = entry_kind::DECISION;
            let header = EntryHeader { kind, ..header };
            let decision = DecisionRecord::default();
            assert!(self.decisions.try_write(&header, decision.as_bytes()));
            self.mark.answered_sequence = number;
        }
        self.turn();
        self.mark.sequence = number;
        self.progress.set(self.mark.words());
    }

    fn backfill(&self, set: &str, from: Option<&str>) -> JoinHandle<Result<Answer, String>> {
        let dir = self.config.engine.dir.clone();
        let request = Request::FeaturesBackfill {
            set: set_path(set),
            from: from.map(str::to_owned),
        };
        std::thread::spawn(move || {
            let mut client = Client::connect(&dir).unwrap();
            client.ask(&request, |_| ()).map_err(|error| error.to_string())
        })
    }

    /// Takes payments, with a moment between them, until the backfill is through.
    fn run_until_backfilled(&mut self, asked: JoinHandle<Result<Answer, String>>) -> Backfilled {
        let started = Instant::now();
        while !asked.is_finished() {
            self.run(self.mark.sequence + 5);
            for _ in 0..5 {
                self.turn();
                std::thread::sleep(Duration::from_micros(500));
            }
            assert!(started.elapsed() < PATIENCE, "the new set never catches up");
        }
        match asked.join().unwrap().unwrap() {
            Answer::Backfilled(backfilled) => backfilled,
            other => panic!("{other:?}"),
        }
    }

    /// The digest of the replica once it is where the lane is.
    fn digest(&mut self) -> String {
        let sequence = self.mark.sequence;
        let mut digest = String::new();
        wait_for(|| {
            self.turn();
            let mut client = Client::connect(&self.config.engine.dir).unwrap();
            let Ok(Answer::Digest(found)) = client.ask(&Request::FeaturesDigest, |_| ()) else {
                panic!("expected a digest")
            };
            digest = found.digest;
            found.replica.sequence == sequence
        });
        digest
    }

    /// A replica with `set` from the start on, and its vectors up to the payment `sequence`.
    fn replica(
        &self,
        set: &FeatureSet,
        from_ns: Option<i64>,
        sequence: u64,
    ) -> (Replica, Reader, Vec<[f32; FEATURES_MAX]>) {
        let mut replica =
            Replica::with_cases(&self.config, &[InForce::always(Arc::new(set.clone()))]).unwrap();
        replica.set_since(from_ns.map(|from_ns| Since {
            from_ns,
            until_sequence: u64::MAX,
        }));
        let mut inputs = Reader::open(&self.config.journal().dir).unwrap();
        let mut vectors = Vec::new();
        replica
            .run(&mut inputs, sequence, usize::MAX, |_, vector| {
                vectors.push(*vector)
            })
            .unwrap();
        (replica, inputs, vectors)
    }

    /// Digest of what the engine knows after an exchange: names and features of `set`, but cases of `former` up to the
    /// payment `sequence`.
    fn expected_digest(
        &self,
        former: &FeatureSet,
        (set, from_ns): (&FeatureSet, Option<i64>),
        sequence: u64,
    ) -> String {
        let (former, ..) = self.replica(former, None, sequence);
        let (mut replica, mut inputs, _) = self.replica(set, from_ns, sequence);
        let cases = former.scorer().unwrap().regions();
        for region in replica.regions_mut() {
            if let Some(case) = cases.iter().find(|case| case.name == region.name) {
                region.bytes.copy_from_slice(case.bytes);
            }
        }
        replica
            .run(&mut inputs, self.mark.sequence, usize::MAX, |_, _| ())
            .unwrap();
        let digest = replica.digest();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Backfills while payments flow and compares every vector before and after.
fn check(full_rings: u32, from: Option<(&str, i64)>) -> Backfilled {
    let folder = tempfile::tempdir().unwrap();
    let mut lane = Rig::start(folder.path(), full_rings);
    lane.run(2_000);
    let former = lane.config.features.load_set().unwrap();
    let set = FeatureSet::load(&set_path("payments-attempts")).unwrap();
    let asked = lane.backfill("payments-attempts", from.map(|(day, _)| day));
    let backfilled = lane.run_until_backfilled(asked);
    lane.run(lane.mark.sequence + 500);
    let from_ns = from.map(|(_, from_ns)| from_ns);
    let (_, _, of_former) = lane.replica(&former, None, lane.mark.sequence);
    let (_, _, of_set) = lane.replica(&set, from_ns, lane.mark.sequence);
    let hashes = [&former, &set].map(canonical::hash);
    let first = backfilled.first_sequence as usize;
    assert!(first > 2_000 && first < lane.vectors.len(), "{backfilled:?}");
    for (index, (hash, vector)) in lane.vectors.iter().enumerate() {
        let is_new = index + 1 >= first;
        let expected = if is_new { &of_set[index] } else { &of_former[index] };
        assert_eq!(*hash, hashes[usize::from(is_new)], "payment {}", index + 1);
        assert_eq!(vector.as_bytes(), expected.as_bytes(), "payment {}", index + 1);
    }
    let digest = lane.expected_digest(&former, (&set, from_ns), backfilled.first_sequence - 1);
    assert_eq!(
        lane.digest(),
        digest,
        "the replica is the new set's, with the cases that were"
    );
    assert_eq!(backfilled.former.hash, format!("{:016x}", hashes[0]));
    assert_eq!(backfilled.set.hash, format!("{:016x}", hashes[1]));
    lane.snapshotter.finish();
    backfilled
}

#[test]
fn vectors_after_a_swap_are_those_of_an_engine_that_ran_the_set_from_the_start() {
    assert_eq!(check(0, None).retries, 0);
}

#[test]
fn vectors_after_a_swap_from_a_day_on_are_those_of_an_engine_that_began_there() {
    // The first payments are of 2018-04-01, 144 a day: those of seven days do not count.
    let backfilled = check(0, Some(("2018-04-08", 1_523_145_600_000_000_000)));
    let left_out = backfilled.first_sequence - 1 - backfilled.payments;
    assert!((1_000..=1_100).contains(&left_out), "{backfilled:?}");
}

#[test]
fn ring_that_runs_full_costs_an_attempt_and_no_event() {
    // A swap that was under way may still be done: then the new store had everything already. Not each time.
    let is_noticed = |_| check(3, None).retries > 0;
    assert!((0..10).any(is_noticed), "no ring that ran full was ever noticed");
}

#[test]
fn set_can_be_exchanged_again_and_a_set_that_the_model_cannot_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut lane = Rig::start(folder.path(), 0);
    lane.run(300);
    let first = lane.backfill("payments-attempts", None);
    let first = lane.run_until_backfilled(first);
    let second = lane.backfill("payments-v1", None);
    let second = lane.run_until_backfilled(second);
    assert_eq!((first.former, first.set), (second.set, second.former));
    let path = folder.path().join("other.toml");
    let text = std::fs::read_to_string(set_path("payments-v1")).unwrap();
    std::fs::write(&path, text.replacen("window = \"1d\"", "window = \"2d\"", 1)).unwrap();
    let mut client = Client::connect(&lane.config.engine.dir).unwrap();
    let mut refused = |set: &Path, from: Option<&str>| {
        let request = Request::FeaturesBackfill {
            set: set.to_owned(),
            from: from.map(str::to_owned),
        };
        client.ask(&request, |_| ()).unwrap_err().to_string()
    };
    let said = refused(&path, None);
    assert!(
        said.starts_with("slot 3 of payments-v1 version 1 is \"customer_count_1d = "),
        "{said}"
    );
    assert!(said.ends_with("(append features at the end)"), "{said}");
    assert_eq!(
        refused(&set_path("payments-attempts"), Some("soon")),
        "from is \"soon\", expected a day such as \"2026-01-31\""
    );
    assert!(refused(&folder.path().join("none.toml"), None).contains("none.toml"));
    let said = refused(&set_path("payments-attempts"), Some("2018-05-01"));
    let expected = "from is \"2018-05-01\", expected a day up to that of the newest event, 2018-04-";
    assert!(said.starts_with(expected), "{said}");
    assert_eq!(
        refused(Path::new("/dev/zero"), None),
        "cannot read /dev/zero: it is a device, expected a regular file"
    );
}

/// An engine that exchanges its set while payments flow, with or without a day. Returns what it came to.
fn exchange(light: &mut Light, from: Option<&str>) -> Backfilled {
    let request = Request::FeaturesBackfill {
        set: set_path("payments-attempts"),
        from: from.map(str::to_owned),
    };
    let dir = light.config.engine.dir.clone();
    let asked = std::thread::spawn(move || Client::connect(&dir).unwrap().ask(&request, |_| ()));
    while !asked.is_finished() {
        let to = light.feeder.sent[0] + 5;
        light.run(to);
    }
    match asked.join().unwrap().unwrap() {
        Answer::Backfilled(backfilled) => backfilled,
        other => panic!("{other:?}"),
    }
}

/// The digest of a start over a copy of the engine's folder, and how it told what it found.
fn restarted(folder: &Path, set: &str, keeps_checkpoint: bool, to: u64) -> (String, String) {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder, copy.path());
    if !keeps_checkpoint {
        std::fs::remove_dir_all(copy.path().join("data/checkpoint")).unwrap();
    }
    let mut config = config(copy.path());
    config.features.set = set_path(set);
    let light = Light::start(&config);
    assert_eq!(
        light.engine.recovered().restored.is_some(),
        keeps_checkpoint && set == "payments-attempts"
    );
    let told = light.engine.recovered().to_string();
    let digest = light.digest_at(to).digest;
    light.stop();
    (digest, told)
}

/// After an exchange the journal with its log is the truth: without the checkpoint the state is the same.
fn check_restart(from: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let mut light = Light::start(&config(folder.path()));
    light.run(2_000);
    let backfilled = exchange(&mut light, from);
    let to = light.feeder.sent[0] + 300;
    light.run(to);
    let digest = light.digest_at(to).digest;
    light.stop();
    let (with, _) = restarted(folder.path(), "payments-attempts", true, to);
    let (without, told) = restarted(folder.path(), "payments-attempts", false, to);
    assert_eq!([&with, &without], [&digest, &digest], "{told}");
    let is_told = told.contains("leave only their names (feature-sets.jsonl)");
    assert_eq!(is_told, from.is_some(), "{told}");
    assert_ne!(restarted(folder.path(), "payments-v1", true, to).0, digest);
    let dir = config(folder.path()).journal().dir;
    let history = History::of_journal(&dir).unwrap().unwrap();
    let steps: Vec<Step> = history.changes().iter().map(|change| change.step).collect();
    assert_eq!(steps, [Step::Began, Step::Prepared, Step::Done]);
    let done = history.newest().unwrap();
    assert_eq!(done.sequence + 1, backfilled.first_sequence);
    assert_eq!(done.hash, backfilled.set.hash);
    check_settled(&dir, backfilled.first_sequence);
}

/// A log that ends before the exchange was noted as done is brought to the same by the recorded decisions.
fn check_settled(dir: &Path, first_sequence: u64) {
    let path = dir.join(feature_sets::FILE_NAME);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(&path, lines[..2].concat() + &lines[2][..40]).unwrap();
    let mut history = History::of_journal(dir).unwrap().unwrap();
    let sets = history.in_force(u64::MAX).unwrap();
    history.settle(u64::MAX, 1).unwrap();
    let done = history.newest().unwrap();
    // Labels have no recorded decision: up to a few payments later, with the same vectors.
    assert_eq!((sets.len(), done.step), (2, Step::Done));
    assert_eq!(sets[1].sequence, done.sequence);
    assert!((first_sequence..first_sequence + 4).contains(&(done.sequence + 1)));
}

#[test]
fn without_its_checkpoint_an_exchanged_set_comes_to_the_same_state() {
    check_restart(None);
}

#[test]
fn without_its_checkpoint_a_set_from_a_day_on_comes_to_the_same_state() {
    check_restart(Some("2018-04-08"));
}
