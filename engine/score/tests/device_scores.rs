//! A scorer with a device, here the CPU by the same graph, says to the bit what one without says, whatever happens between
//! two transactions.

use std::path::{Path, PathBuf};

use pinion_runtime::agent::Agent as _;
use pinion_runtime::control::channel;
use pinion_runtime::counters::Counters;
use pinion_runtime::ring::ring;
use pinion_runtime::state::{State, digest};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{FeatureRecord, Score, decision_flag, payment_kind};
use pinion_schemas::wire::Verdict;
use pinion_score::bank::{BankConfig, Case, Label, Precision};
use pinion_score::device::{Device, DeviceBank, Libraries, Searches, Sizes};
use pinion_score::exchange::Swap;
use pinion_score::library;
use pinion_score::manifest::ModelFolder;
use pinion_score::{Backend, Exchanges, ScoreAgent, ScoreCommand, ScoreConfig, ScoreRetired, Scorer};
use proptest::prelude::*;

/// Unit: ns.
const MINUTE_NS: i64 = 60_000_000_000;

/// What is tested: a model, its bank, and how the device is used.
#[derive(Clone, Debug)]
struct Setting {
    model: &'static str,
    bank: BankConfig,
    /// Vectors of a run of the device.
    run: usize,
    proposals: usize,
}

impl Setting {
    /// Rows for a few cases more than the model begins with.
    fn new(model: &'static str) -> Self {
        let rows_max = if model == "fraud-v1" { 4_960 } else { 1_180 };
        Self {
            model,
            bank: BankConfig {
                rows_max,
                ..BankConfig::default()
            },
            run: 32,
            proposals: 1_024,
        }
    }

    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../models")
            .join(self.model)
    }

    fn config(&self) -> ScoreConfig {
        ScoreConfig {
            model: self.folder().display().to_string(),
            backend: Backend::Native,
            waiting_max: 48,
            histories_max: 8,
            genuine_after_s: 3 * 3_600,
            bank: self.bank.clone(),
            ..ScoreConfig::default()
        }
    }

    fn native(&self) -> Scorer {
        let hash = ModelFolder::open(&self.folder()).unwrap().feature_set_hash;
        Scorer::load(&self.config(), |_| Some(hash)).unwrap()
    }

    fn on_device(&self) -> Scorer {
        let sizes = Sizes {
            rows_max: self.bank.rows_max,
            batch: self.run,
            proposals: self.proposals,
            threads: 1,
        };
        let model = ModelFolder::open(&self.folder()).unwrap();
        let device = DeviceBank::open(Device::Cpu, &Libraries::default(), &model, &sizes).unwrap();
        self.native().with_device(device)
    }
}

/// A transaction like the one of the same `like`, and unlike others.
fn transaction(number: u64, like: u64) -> FeatureRecord {
    let mut record = FeatureRecord::default();
    let payment = &mut record.payment;
    payment.origin.kind = payment_kind::TRANSACTION;
    payment.origin.sequence = number;
    payment.origin.event_ns = number as i64 * MINUTE_NS;
    payment.transaction_id = id(number);
    payment.customer = (number % 5) as u32;
    for (place, value) in (1_u32..).zip(record.features.iter_mut().take(32)) {
        *value = ((like as u32).wrapping_mul(2_654_435_761).rotate_left(place) % 1_000) as f32 * 0.05;
    }
    record
}

/// A label of the transaction `of`.
fn label(number: u64, of: u64, verdict: Verdict) -> FeatureRecord {
    let mut record = transaction(number, 0);
    record.payment.origin.kind = payment_kind::LABEL;
    record.payment.transaction_id = id(of);
    record.payment.verdict = verdict.0;
    record
}

fn id(number: u64) -> Id {
    Id::new(&format!("payment-{number}")).unwrap()
}

fn apply_all(scorer: &mut Scorer, records: &[FeatureRecord]) -> Vec<Score> {
    let mut scores = Vec::new();
    scorer.apply_all(records, |_, score| scores.push(score));
    scores
}

/// Scores, with the rows of their neighbours, and the state behind the batch.
#[track_caller]
fn check(device: &mut Scorer, native: &mut Scorer, records: &[FeatureRecord]) {
    let found = apply_all(device, records);
    for (record, found) in records.iter().zip(found) {
        let expected = native.apply(&record.payment, &record.features);
        assert_eq!(found, expected, "sequence {}", record.payment.origin.sequence);
        assert_eq!(
            [found.score.to_bits(), found.fraud_share.to_bits()],
            [expected.score.to_bits(), expected.fraud_share.to_bits()]
        );
    }
    assert_eq!(digest(device), digest(native));
}

/// As a checkpoint, or the engine's start behind one, fills a scorer in.
fn copy(from: &Scorer, to: &mut Scorer) {
    restore(&kept(from), to);
}

fn kept(scorer: &Scorer) -> Vec<Vec<u8>> {
    let regions = scorer.regions().into_iter();
    regions.map(|region| region.bytes.to_vec()).collect()
}

fn restore(kept: &[Vec<u8>], scorer: &mut Scorer) {
    for (from, to) in kept.iter().zip(scorer.regions_mut()) {
        to.bytes.copy_from_slice(from);
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A transaction like others of the number.
    Transaction(u64),
    /// One that was shed.
    Shed,
    /// One that no encoder can read.
    Broken,
    /// A label of the transaction so many before.
    Label(u64, Verdict),
    /// The batch ends.
    Batch,
    /// The batch ends, and a case is inserted by hand.
    Insert(u64),
    /// The batch ends, and both go back to where they were at the last such step.
    Back,
    /// The batch ends, and a scorer that was made on another thread takes over.
    Swap,
    /// The batch ends, and the banks are exchanged for copies.
    Exchange,
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![
        3 => Just(Verdict::Genuine),
        3 => Just(Verdict::Fraud),
        1 => Just(Verdict::Erased),
    ];
    prop_oneof![
        40 => (0_u64..12).prop_map(Step::Transaction),
        1 => Just(Step::Shed),
        1 => Just(Step::Broken),
        30 => (1_u64..40, verdict).prop_map(|(back, verdict)| Step::Label(back, verdict)),
        6 => Just(Step::Batch),
        2 => (0_u64..12).prop_map(Step::Insert),
        1 => Just(Step::Back),
        1 => Just(Step::Swap),
        1 => Just(Step::Exchange),
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    let models = prop_oneof![Just("fraud-v1"), Just("fraud-v2")];
    let precisions = prop_oneof![Just(Precision::F32), Just(Precision::F16), Just(Precision::Int8)];
    let proposals = prop_oneof![Just(1_usize), Just(70), Just(1_024)];
    let (runs, room) = (1_usize..=32, 0_u32..40);
    let limits = (
        prop_oneof![Just(0_u32), Just(2)],
        prop_oneof![Just(0_u64), Just(3_600)],
    );
    (models, precisions, runs, proposals, room, limits).prop_map(
        |(model, precision, run, proposals, room, (entity_rows_max, age_s_max))| {
            let setting = Setting::new(model);
            Setting {
                run,
                proposals,
                bank: BankConfig {
                    rows_max: setting.bank.rows_max - 10 + room,
                    precision,
                    entity_rows_max,
                    age_s_max,
                    ..setting.bank.clone()
                },
                ..setting
            }
        },
    )
}

/// Both scorers, and the batch that waits.
struct Rig {
    setting: Setting,
    device: Scorer,
    native: Scorer,
    batch: Vec<FeatureRecord>,
    /// A state to go back to.
    kept: Vec<Vec<u8>>,
    number: u64,
    searched: u64,
}

impl Rig {
    fn new(setting: &Setting) -> Self {
        let native = setting.native();
        Self {
            device: setting.on_device(),
            kept: kept(&native),
            native,
            setting: setting.clone(),
            batch: Vec::new(),
            number: 0,
            searched: 0,
        }
    }

    fn push(&mut self, make: impl FnOnce(u64) -> FeatureRecord) {
        self.number += 1;
        self.batch.push(make(self.number));
        if self.batch.len() == 32 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        check(&mut self.device, &mut self.native, &self.batch);
        self.batch.clear();
        let searches = self.device.take_searches().unwrap();
        assert_eq!(searches.failed, 0);
        self.searched += searches.proved + searches.left;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Transaction(like) => self.push(|number| transaction(number, like)),
            Step::Shed => self.push(|number| {
                let mut record = transaction(number, 0);
                record.payment.origin.flags |= decision_flag::SHED;
                record
            }),
            Step::Broken => self.push(|number| {
                let mut record = transaction(number, 0);
                record.features[3] = f32::NAN;
                record
            }),
            Step::Label(back, verdict) => {
                self.push(|number| label(number, number.saturating_sub(back), verdict));
            }
            Step::Batch => self.flush(),
            Step::Insert(number) => {
                self.flush();
                insert(&mut self.device, number);
                insert(&mut self.native, number);
            }
            Step::Back => {
                self.flush();
                let before = std::mem::replace(&mut self.kept, kept(&self.native));
                self.device.clear();
                restore(&before, &mut self.device);
                restore(&before, &mut self.native);
            }
            Step::Swap => {
                self.flush();
                let (setting, state) = (self.setting.clone(), kept(&self.native));
                let made = std::thread::spawn(move || {
                    let mut scorer = setting.on_device();
                    restore(&state, &mut scorer);
                    scorer.prepare().unwrap();
                    scorer
                });
                self.device = made.join().unwrap();
            }
            Step::Exchange => {
                self.flush();
                let mut bank = self.native.bank().clone();
                std::mem::swap(self.device.bank_mut(), &mut bank);
            }
        }
    }
}

fn insert(scorer: &mut Scorer, number: u64) {
    let dimensions = scorer.bank().dimensions();
    let mut embedding = vec![0.0; dimensions];
    embedding[number as usize % dimensions] = 1.0;
    let case = Case {
        id: id(1_000_000 + number),
        entity: 0,
        label: Label::Fraud,
        weight: 1.0,
        event_ns: 0,
        embedding: &embedding,
    };
    scorer.bank_mut().insert(&case).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn prop_scores_neighbours_and_state_are_those_of_the_native_back_end(
        setting in setting(),
        steps in proptest::collection::vec(step(), 1..160),
    ) {
        let mut rig = Rig::new(&setting);
        let is_searched = |step: &&Step| matches!(step, Step::Transaction(_));
        let expected = steps.iter().filter(is_searched).count() as u64;
        for step in steps {
            rig.step(step);
        }
        rig.flush();
        prop_assert_eq!(rig.searched, expected);
    }
}

/// Otherwise all of this would be held by the bank alone.
#[test]
fn nearly_all_is_proved_with_proposals_enough() {
    for model in ["fraud-v1", "fraud-v2"] {
        let setting = Setting::new(model);
        let (mut device, mut native) = (setting.on_device(), setting.native());
        let mut searches = Searches::default();
        for batch in 0..20 {
            let records: Vec<FeatureRecord> = (0..32_u64)
                .map(|place| match (32 * batch + place, place % 4) {
                    (number, 3) => label(number, number - 2, Verdict((1 + place % 2) as u8)),
                    (number, _) => transaction(number, number),
                })
                .collect();
            check(&mut device, &mut native, &records);
            let more = device.take_searches().unwrap();
            searches.proved += more.proved;
            searches.left += more.left;
        }
        assert_eq!(searches.proved + searches.left, 480);
        assert!(searches.proved > 470, "{model}: {searches:?}");
        assert!(native.labels().admitted > 5, "{model}: labels made cases");
    }
}

#[test]
fn label_between_two_transactions_of_one_batch_is_seen_by_the_second() {
    let setting = Setting::new("fraud-v1");
    let mut scorer = setting.on_device();
    apply_all(&mut scorer, &[transaction(1, 7)]);
    scorer.take_searches();
    let records = [
        transaction(2, 7),
        label(3, 1, Verdict::Fraud),
        transaction(4, 7),
        label(5, 2, Verdict::Fraud),
        transaction(6, 7),
        label(7, 2, Verdict::Erased),
        transaction(8, 7),
        label(9, 1, Verdict::Erased),
        transaction(10, 7),
    ];
    let mut nearest = Vec::new();
    let scores = apply_all(&mut scorer, &records);
    let mut native = setting.native();
    native.apply(&transaction(1, 7).payment, &transaction(1, 7).features);
    for (record, score) in records.iter().zip(scores) {
        assert_eq!(score, native.apply(&record.payment, &record.features));
        if record.payment.origin.kind == payment_kind::TRANSACTION {
            nearest.push(native.cases(&score).next().unwrap().name);
        }
    }
    // None of it was on the device when the batch ran, and none of it came from a search of the bank.
    let other = nearest[0];
    assert_eq!(nearest, [other, id(1), id(2), id(1), other]);
    assert!(other != id(1) && other != id(2));
    let expected = Searches {
        proved: 5,
        ..Searches::default()
    };
    assert_eq!(scorer.take_searches(), Some(expected));
}

#[test]
fn device_is_filled_anew_where_the_state_was_filled_in() {
    let setting = Setting::new("fraud-v1");
    let (mut device, mut native) = (setting.on_device(), setting.native());
    device.prepare().unwrap();
    check(&mut device, &mut native, &[transaction(1, 1), transaction(2, 2)]);
    let mut other = setting.native();
    other.clear();
    (0..40).for_each(|number| insert(&mut other, number));
    copy(&other, &mut device);
    check(&mut device, &mut other, &[transaction(3, 1), transaction(4, 2)]);
    let searches = device.take_searches().unwrap();
    assert_eq!((searches.proved, searches.left), (4, 0));
    // All the cases that are proposed now are those of the other bank.
    assert_eq!(device.bank().len(), 40);
}

#[test]
fn one_by_one_the_bank_is_searched_and_the_outcome_is_the_same() {
    let setting = Setting::new("fraud-v2");
    let (mut device, mut native) = (setting.on_device(), setting.native());
    for number in 1..20 {
        let record = transaction(number, number);
        let scores = [&mut device, &mut native].map(|scorer| scorer.apply(&record.payment, &record.features));
        assert_eq!(scores[0], scores[1]);
    }
    assert_eq!(device.take_searches(), Some(Searches::default()));
    assert_eq!(native.take_searches(), None);
}

#[test]
#[should_panic(expected = "a device of this model")]
fn device_with_too_little_room_is_refused() {
    let setting = Setting::new("fraud-v2");
    let mut small = setting.clone();
    small.bank.rows_max -= 1;
    let sizes = Sizes {
        rows_max: small.bank.rows_max,
        batch: 1,
        proposals: 64,
        threads: 1,
    };
    let model = ModelFolder::open(&setting.folder()).unwrap();
    let device = DeviceBank::open(Device::Cpu, &Libraries::default(), &model, &sizes).unwrap();
    setting.native().with_device(device);
}

#[test]
fn follower_that_is_to_serve_is_refused_without_a_gpu() {
    let setting = Setting::new("fraud-v2");
    let (mut scorer, mut config) = (setting.native(), setting.config());
    scorer.serve(&config).unwrap();
    let Err(reason) = library::cuda::find(&Libraries::default()) else {
        return; // There is one.
    };
    config.backend = Backend::Cuda;
    let loaded = Scorer::load(&config, |_| {
        Some(ModelFolder::open(&setting.folder()).unwrap().feature_set_hash)
    });
    for error in [scorer.serve(&config).unwrap_err(), loaded.err().unwrap()] {
        assert_eq!(
            error.to_string(),
            format!("score.backend is \"cuda\", expected \"native\", which gives the same scores: {reason}")
        );
    }
}

/// The agent's way: batches as they wait, another model made on another thread, and the counters.
#[test]
fn agent_serves_from_a_device_and_another_takes_over() {
    let (first, second) = (Setting::new("fraud-v1"), Setting::new("fraud-v2"));
    let (mut feed, input) = ring(64);
    let (output, mut drain) = ring(64);
    let (mut conductor, control) = channel(4);
    let counters = Counters::in_memory(64);
    let exchanges = Exchanges {
        control: Some(control),
        ..Exchanges::default()
    };
    let agent = ScoreAgent::new(&first.config(), first.on_device(), input, output, &counters).unwrap();
    let mut agent = agent.with_exchanges(exchanges);
    let (mut former, mut new) = (first.native(), second.native());
    let record = |number: u64| match number % 3 {
        0 => label(number, number - 1, Verdict(1 + (number % 2) as u8)),
        _ => transaction(number, number % 50),
    };
    let (copies, catch_up) = ring(256);
    assert!(conductor.send(ScoreCommand::Copy(copies)).is_ok());
    agent.do_work(0);
    let scorer = std::thread::spawn(move || second.on_device()).join().unwrap();
    let mut swap = Some(Swap {
        scorer,
        next_sequence: 1,
        catch_up,
    });
    for batch in 0..12_u64 {
        if batch == 6 {
            let swap = Box::new(swap.take().unwrap());
            assert!(conductor.send(ScoreCommand::Swap(swap)).is_ok());
            while counters.value("score.swaps") == Some(0) {
                agent.do_work(0);
            }
        }
        let records: Vec<FeatureRecord> = (1..=15).map(|place| record(15 * batch + place)).collect();
        records.iter().for_each(|record| assert!(feed.try_push(record)));
        while agent.do_work(0) > 0 {}
        for record in &records {
            let scores =
                [&mut former, &mut new].map(|scorer| scorer.apply(&record.payment, &record.features));
            let scored = drain.try_pop().unwrap().score;
            let expected = scores[usize::from(batch >= 6)];
            assert_eq!(
                Score {
                    scored_ns: 0,
                    ..scored
                },
                Score {
                    scored_ns: 0,
                    ..expected
                }
            );
        }
    }
    assert!(matches!(
        conductor.next_retired(),
        Some(ScoreRetired::Swap { is_done: true, .. })
    ));
    let counted = ["proved", "left", "failed"].map(|name| counters.value(&format!("score.device_{name}")));
    let [proved, left, failed] = counted.map(Option::unwrap);
    // The new one's share has 60 that it caught up with.
    assert_eq!((counters.value("score.scored"), failed), (Some(120), 0));
    assert_eq!(proved + left, 180);
    assert!(proved > 150, "{proved} proved, {left} left");
    assert_eq!(digest(agent.scorer()), digest(&new));
}
