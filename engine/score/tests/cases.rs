//! What a label does to the scores after it.

use std::path::Path;

use pinion_runtime::state::{State, digest};
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use pinion_schemas::records::{
    FEATURES_MAX, FeatureRecord, PaymentRecord, Score, decision_flag, fresh, payment_kind,
};
use pinion_schemas::wire::Verdict;
use pinion_score::cases::LabelTally;
use pinion_score::config::{Backend, ScoreConfig};
use pinion_score::manifest::ModelFolder;
use pinion_score::{ScoreError, Scorer};
use proptest::prelude::*;

const DAY_NS: i64 = 86_400_000_000_000;

fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v1")
}

fn config() -> ScoreConfig {
    ScoreConfig {
        model: shipped().display().to_string(),
        backend: Backend::Native,
        waiting_max: 64,
        histories_max: 8,
        genuine_after_s: 0,
        ..ScoreConfig::default()
    }
}

fn load(config: &ScoreConfig) -> Scorer {
    let hash = ModelFolder::open(&shipped()).unwrap().feature_set_hash;
    Scorer::load(config, |_| Some(hash)).unwrap()
}

fn id(number: u32) -> Id {
    Id::new(&format!("payment-{number}")).unwrap()
}

fn payment(kind: u8, number: u32) -> PaymentRecord {
    let mut payment = PaymentRecord {
        transaction_id: id(number),
        customer: number % 7,
        terminal: DENSE_ID_NONE,
        // Now and then the customer's number was another's before.
        fresh: if number.is_multiple_of(17) {
            fresh::CUSTOMER
        } else {
            0
        },
        ..PaymentRecord::default()
    };
    payment.origin.kind = kind;
    payment.origin.event_ns = i64::from(number) * DAY_NS;
    payment
}

/// A vector of the model's features; of another `number` quite another one.
fn vector(number: u32) -> [f32; FEATURES_MAX] {
    let mut vector = [0.0; FEATURES_MAX];
    for (place, value) in (1_u32..).zip(&mut vector[..15]) {
        *value = (number.wrapping_mul(2_654_435_761).rotate_left(place) % 1_000) as f32 * 0.05;
    }
    vector
}

fn transact(scorer: &mut Scorer, number: u32) -> Score {
    scorer.apply(&payment(payment_kind::TRANSACTION, number), &vector(number))
}

fn label(scorer: &mut Scorer, number: u32, verdict: Verdict) {
    let mut label = payment(payment_kind::LABEL, number);
    label.verdict = verdict.0;
    scorer.apply(&label, &[0.0; FEATURES_MAX]);
}

/// The nearest case of a vector: its id, whether it is a fraud, and its similarity.
fn nearest(scorer: &mut Scorer, number: u32) -> (Id, bool, f32) {
    let score = scorer.score(&vector(number));
    let near = scorer.cases(&score).next().unwrap();
    (near.name, near.is_fraud, near.similarity)
}

#[test]
fn label_is_seen_by_the_next_transaction() {
    let mut scorer = load(&config());
    for number in 0..200 {
        let before = transact(&mut scorer, number);
        assert_ne!(nearest(&mut scorer, number).0, id(number), "it has no label yet");
        // The label says what the score does not, so that it must move.
        let is_fraud = before.fraud_share <= 0.5;
        let verdict = if is_fraud {
            Verdict::Fraud
        } else {
            Verdict::Genuine
        };
        label(&mut scorer, number, verdict);
        let (name, is_labelled_fraud, similarity) = nearest(&mut scorer, number);
        assert_eq!((name, is_labelled_fraud), (id(number), is_fraud));
        assert!(similarity > 0.999_99, "{similarity}");
        let after = scorer.score(&vector(number));
        assert_eq!(after.fraud_share > before.fraud_share, is_fraud, "{number}");
        assert_ne!(
            after.fraud_share.to_bits(),
            before.fraud_share.to_bits(),
            "{number}"
        );
    }
    assert_eq!(scorer.labels().admitted, 200);
    assert_eq!(scorer.labels().waiting, 0);
}

#[test]
fn reversed_label_turns_the_case_and_erasure_takes_it_away() {
    let mut scorer = load(&config());
    let rows = scorer.bank().len();
    transact(&mut scorer, 1);
    label(&mut scorer, 1, Verdict::Fraud);
    label(&mut scorer, 1, Verdict::Fraud);
    let bank = scorer.bank();
    assert!(bank.is_fraud(bank.find(&id(1)).unwrap()) && bank.len() == rows + 1);
    label(&mut scorer, 1, Verdict::Genuine);
    let bank = scorer.bank();
    assert!(!bank.is_fraud(bank.find(&id(1)).unwrap()) && bank.len() == rows + 1);
    label(&mut scorer, 1, Verdict::Erased);
    assert_eq!((scorer.bank().find(&id(1)), scorer.bank().len()), (None, rows));
    label(&mut scorer, 1, Verdict::Fraud);
    assert_eq!(
        scorer.labels(),
        LabelTally {
            admitted: 2,
            reversed: 1,
            repeated: 1,
            unmatched: 1,
            erased: 1,
            ..LabelTally::default()
        }
    );
}

#[test]
fn erased_transaction_leaves_no_byte() {
    let mut scorer = load(&config());
    // Takes a row of the bank and gives it back, so that only the erased transaction could differ.
    transact(&mut scorer, 2);
    label(&mut scorer, 2, Verdict::Fraud);
    label(&mut scorer, 2, Verdict::Erased);
    transact(&mut scorer, 1);
    label(&mut scorer, 1, Verdict::Fraud);
    let (name, embedding) = (id(1), embedding_of(&scorer, 1));
    assert!(holds(&scorer, name.as_str().as_bytes()) && holds(&scorer, &embedding));
    label(&mut scorer, 1, Verdict::Erased);
    assert!(!holds(&scorer, name.as_str().as_bytes()) && !holds(&scorer, &embedding));
}

fn embedding_of(scorer: &Scorer, number: u32) -> Vec<u8> {
    let bank = scorer.bank();
    let mut embedding = vec![0.0; bank.dimensions()];
    bank.embedding(bank.find(&id(number)).unwrap(), &mut embedding);
    embedding.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn holds(scorer: &Scorer, wanted: &[u8]) -> bool {
    let regions = scorer.regions();
    regions
        .iter()
        .any(|region| region.bytes.windows(wanted.len()).any(|bytes| bytes == wanted))
}

#[test]
fn case_of_the_model_is_corrected_by_its_id() {
    let mut scorer = load(&config());
    let bank = scorer.bank();
    let row = (0..bank.len() as u32)
        .find(|&row| !bank.is_fraud(row) && bank.weight(row) > 1.0)
        .unwrap();
    let name = bank.name(row);
    let mut label = payment(payment_kind::LABEL, 0);
    (label.transaction_id, label.verdict) = (name, Verdict::Fraud.0);
    scorer.apply(&label, &[0.0; FEATURES_MAX]);
    assert!(scorer.bank().is_fraud(row), "it keeps its row");
    assert_eq!(scorer.bank().weight(row), 1.0, "it stands for itself alone");
    label.verdict = Verdict::Erased.0;
    scorer.apply(&label, &[0.0; FEATURES_MAX]);
    assert_eq!(scorer.bank().find(&name), None);
}

#[test]
fn transactions_beyond_the_limit_are_forgotten_and_counted() {
    let mut scorer = load(&config());
    for number in 0..100 {
        transact(&mut scorer, number);
    }
    label(&mut scorer, 35, Verdict::Fraud);
    label(&mut scorer, 36, Verdict::Fraud);
    let tally = scorer.labels();
    assert_eq!((tally.forgotten, tally.waiting), (36, 63));
    assert_eq!((tally.unmatched, tally.admitted), (1, 1));
}

#[test]
fn transaction_without_a_label_counts_as_genuine_in_time() {
    let mut scorer = load(&ScoreConfig {
        genuine_after_s: 5 * 86_400,
        ..config()
    });
    transact(&mut scorer, 1);
    transact(&mut scorer, 2);
    label(&mut scorer, 2, Verdict::Fraud);
    transact(&mut scorer, 5);
    assert_eq!((scorer.labels().presumed, scorer.labels().waiting), (0, 2));
    transact(&mut scorer, 6);
    let bank = scorer.bank();
    assert!(!bank.is_fraud(bank.find(&id(1)).unwrap()));
    transact(&mut scorer, 9);
    let bank = scorer.bank();
    assert!(bank.is_fraud(bank.find(&id(2)).unwrap()), "it had a label");
    assert_eq!((scorer.labels().presumed, scorer.labels().waiting), (1, 3));
    label(&mut scorer, 1, Verdict::Fraud);
    let bank = scorer.bank();
    assert!(
        bank.is_fraud(bank.find(&id(1)).unwrap()),
        "a later label takes it back"
    );
    assert_eq!(scorer.labels().reversed, 1);
    // Many that are due at once are taken a few at a time.
    for number in 20..40 {
        transact(&mut scorer, number);
    }
    let before = scorer.labels().presumed;
    transact(&mut scorer, 200);
    assert_eq!(scorer.labels().presumed, before + 4);
}

#[test]
fn frozen_bank_is_only_corrected() {
    let mut scorer = load(&ScoreConfig {
        waiting_max: 0,
        ..config()
    });
    let before = scorer.bank().len();
    transact(&mut scorer, 1);
    label(&mut scorer, 1, Verdict::Fraud);
    assert_eq!((scorer.bank().len(), scorer.labels().unmatched), (before, 1));
    assert_eq!(scorer.labels().waiting, 0);
}

#[test]
fn degraded_transaction_is_not_learnt_from() {
    let mut scorer = load(&config());
    let mut broken = vector(1);
    broken[3] = f32::NAN;
    scorer.apply(&payment(payment_kind::TRANSACTION, 1), &broken);
    label(&mut scorer, 1, Verdict::Fraud);
    assert_eq!((scorer.labels().unmatched, scorer.labels().admitted), (1, 0));
}

#[test]
fn shed_transaction_is_neither_scored_nor_learnt_from_and_keeps_time() {
    let flags = decision_flag::SHED | decision_flag::DEGRADED;
    let mut config = config();
    config.bank.age_s_max = 10 * 86_400;
    let mut scorer = load(&config);
    transact(&mut scorer, 3);
    label(&mut scorer, 3, Verdict::Fraud);
    let mut shed = payment(payment_kind::TRANSACTION, 14);
    shed.origin.flags = flags;
    let score = scorer.apply(&shed, &vector(14));
    let expected = Score {
        model_hash: scorer.model_hash(),
        flags,
        ..Score::default()
    };
    assert_eq!(score, expected);
    assert_eq!(scorer.bank().find(&id(3)), None, "it is eleven days old");
    label(&mut scorer, 14, Verdict::Fraud);
    assert_eq!((scorer.labels().unmatched, scorer.labels().admitted), (1, 1));
}

#[test]
fn one_entity_and_age_are_limited() {
    let mut config = config();
    config.bank.entity_rows_max = 2;
    let mut scorer = load(&config);
    for number in [0, 7, 14, 1] {
        transact(&mut scorer, number);
        label(&mut scorer, number, Verdict::Fraud);
    }
    assert_eq!(scorer.bank().tally().evicted_entity, 1);
    let there = [0, 7, 14, 1].map(|number| scorer.bank().find(&id(number)).is_some());
    assert_eq!(there, [false, true, true, true]);

    config.bank.age_s_max = 10 * 86_400;
    let mut scorer = load(&config);
    let rows = scorer.bank().len();
    transact(&mut scorer, 3);
    label(&mut scorer, 3, Verdict::Fraud);
    transact(&mut scorer, 13);
    assert!(scorer.bank().find(&id(3)).is_some());
    transact(&mut scorer, 14);
    assert_eq!(scorer.bank().find(&id(3)), None);
    assert_eq!(
        scorer.bank().len(),
        rows,
        "the model says nothing of the age of its cases"
    );
}

/// The shipped model with something more in its manifest's table of the bank.
fn with_bank_keys(keys: &str) -> (tempfile::TempDir, ScoreConfig) {
    let directory = tempfile::tempdir().unwrap();
    for file in ["encoder.onnx", "bank.bin"] {
        std::fs::copy(shipped().join(file), directory.path().join(file)).unwrap();
    }
    let manifest = std::fs::read_to_string(shipped().join("manifest.toml")).unwrap();
    let manifest = manifest.replacen("[calibration]", &format!("{keys}\n[calibration]"), 1);
    std::fs::write(directory.path().join("manifest.toml"), manifest).unwrap();
    let config = ScoreConfig {
        model: directory.path().display().to_string(),
        waiting_max: 20_000,
        ..config()
    };
    (directory, config)
}

#[test]
fn sums_over_drawn_cases_are_sums_over_all() {
    let (_directory, mut config) =
        with_bank_keys("[bank.admission]\nfraud_factor = 0.5\ngenuine_factor = 0.9");
    config.bank.entity_rows_max = 0;
    let mut scorer = load(&config);
    let rows = scorer.bank().len() as u32;
    for number in 0..6_000 {
        transact(&mut scorer, number);
        label(
            &mut scorer,
            number,
            if number % 3 == 0 {
                Verdict::Fraud
            } else {
                Verdict::Genuine
            },
        );
    }
    let tally = scorer.labels();
    assert_eq!(tally.admitted + tally.passed_over, 6_000);
    assert!(tally.passed_over > 2_000, "{tally:?}");
    let bank = scorer.bank();
    let mut sums = [0.0_f64; 2];
    for row in rows..bank.len() as u32 {
        sums[usize::from(bank.is_fraud(row))] += f64::from(bank.weight(row));
    }
    let [genuine, fraud] = sums;
    assert!((fraud - 2_000.0).abs() < 200.0, "{fraud}");
    assert!((genuine - 4_000.0).abs() < 800.0, "{genuine}");
}

#[test]
fn cases_of_the_model_age_from_the_day_that_it_says() {
    let (_directory, mut config) = with_bank_keys("as_of_ns = 864000000000000");
    config.bank.age_s_max = 5 * 86_400;
    let mut scorer = load(&config);
    let rows = scorer.bank().len();
    transact(&mut scorer, 15);
    assert_eq!(scorer.bank().len(), rows);
    transact(&mut scorer, 16);
    assert_eq!(
        scorer.bank().len(),
        rows - 4,
        "a few at each event, so that none waits for all"
    );
    assert_eq!(scorer.bank().tally().evicted_age, 4);
}

#[test]
fn bank_that_does_not_fit_is_refused_by_key() {
    let mut config = config();
    config.bank.rows_max = 4_000;
    let hash = ModelFolder::open(&shipped()).unwrap().feature_set_hash;
    let error = Scorer::load(&config, |_| Some(hash)).err().unwrap();
    assert!(matches!(error, ScoreError::Malformed { .. }));
    let expected = "4947 rows, expected at most 4000 as score.bank.rows_max says";
    assert!(error.to_string().ends_with(expected), "{error}");
}

/// What may happen to a transaction.
#[derive(Clone, Copy, Debug)]
enum Step {
    Transact(u32),
    Label(u32, Verdict),
}

fn step() -> impl Strategy<Value = Step> {
    let verdicts = [Verdict::Genuine, Verdict::Fraud, Verdict::Erased, Verdict::None];
    prop_oneof![
        (0_u32..40).prop_map(Step::Transact),
        ((0_u32..40), prop::sample::select(verdicts.to_vec()))
            .prop_map(|(number, verdict)| Step::Label(number, verdict)),
    ]
}

/// As the stage gets it; every seventh vector is broken, every fifth transaction was shed.
fn record(step: Step) -> FeatureRecord {
    let mut record = sound_record(step);
    if let Step::Transact(number) = step {
        if number.is_multiple_of(7) {
            record.features[2] = f32::NAN;
        }
        if number.is_multiple_of(5) {
            record.payment.origin.flags = decision_flag::SHED | decision_flag::DEGRADED;
        }
    }
    record
}

fn sound_record(step: Step) -> FeatureRecord {
    match step {
        Step::Transact(number) => FeatureRecord {
            payment: payment(payment_kind::TRANSACTION, number),
            features: vector(number),
        },
        Step::Label(number, verdict) => {
            let mut payment = payment(payment_kind::LABEL, number);
            payment.verdict = verdict.0;
            FeatureRecord {
                payment,
                ..FeatureRecord::default()
            }
        }
    }
}

fn take(scorer: &mut Scorer, step: Step) -> Score {
    match step {
        Step::Transact(number) => transact(scorer, number),
        Step::Label(number, verdict) => {
            label(scorer, number, verdict);
            Score::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn prop_scorer_that_goes_on_from_a_copy_says_the_same(
        before in prop::collection::vec(step(), 0..120),
        after in prop::collection::vec(step(), 0..60),
    ) {
        let config = ScoreConfig { waiting_max: 20, genuine_after_s: 4 * 86_400, ..config() };
        let mut first = load(&config);
        for &step in &before {
            take(&mut first, step);
        }
        let mut second = load(&config);
        second.clear();
        for (from, to) in first.regions().into_iter().zip(second.regions_mut()) {
            to.bytes.copy_from_slice(from.bytes);
        }
        // The third only follows.
        let mut third = load(&config);
        third.clear();
        for (from, to) in first.regions().into_iter().zip(third.regions_mut()) {
            to.bytes.copy_from_slice(from.bytes);
        }
        for record in after.iter().copied().map(sound_record) {
            third.follow(&record.payment, &record.features);
        }
        // The fourth goes by what a fifth, that takes batches, found.
        let [mut fourth, mut fifth] = [(); 2].map(|()| load(&config));
        for other in [&mut fourth, &mut fifth] {
            other.clear();
            for (from, to) in first.regions().into_iter().zip(other.regions_mut()) {
                to.bytes.copy_from_slice(from.bytes);
            }
        }
        let records: Vec<FeatureRecord> = after.iter().copied().map(record).collect();
        for batch in records.chunks(7) {
            fifth.apply_all(batch, |_, _| ());
            let mut findings = fifth.findings(batch);
            for record in batch {
                let origin = &record.payment.origin;
                if origin.kind == payment_kind::TRANSACTION && origin.flags & decision_flag::SHED == 0 {
                    fourth.adopt(&record.payment, &record.features, &findings.next().unwrap());
                } else {
                    fourth.follow(&record.payment, &record.features);
                }
            }
        }
        prop_assert_eq!(digest(&fourth), digest(&fifth));
        for &step in &after {
            let (one, other) = (take(&mut first, step), take(&mut second, step));
            prop_assert_eq!(one.score.to_bits(), other.score.to_bits());
            prop_assert_eq!(one, other);
        }
        prop_assert_eq!(digest(&first), digest(&second));
        prop_assert_eq!(digest(&first), digest(&third));
        prop_assert_eq!(first.labels(), second.labels());
    }

    #[test]
    fn prop_score_is_the_same_in_every_batch(
        steps in prop::collection::vec(step(), 1..100),
        cuts in prop::collection::vec(1_usize..=32, 1..40),
        model in 0_usize..3,
    ) {
        let (name, backend) = [
            ("fraud-v1", Backend::Native),
            ("fraud-v2", Backend::Native),
            ("fraud-v2", Backend::Onnx),
        ][model];
        let model = shipped().with_file_name(name);
        let config = ScoreConfig { model: model.display().to_string(), backend, ..config() };
        let hash = ModelFolder::open(&model).unwrap().feature_set_hash;
        let [mut alone, mut together] = [(); 2].map(|()| Scorer::load(&config, |_| Some(hash)).unwrap());
        let records: Vec<FeatureRecord> = steps.into_iter().map(record).collect();
        let expected: Vec<Score> =
            records.iter().map(|record| alone.apply(&record.payment, &record.features)).collect();
        let mut found = Vec::new();
        let (mut rest, mut cuts) = (&records[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(cuts.next().unwrap()));
            together.apply_all(batch, |_, score| found.push(score));
            rest = later;
        }
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert_eq!(found.score.to_bits(), expected.score.to_bits());
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(digest(&alone), digest(&together));
    }

    #[test]
    fn prop_counts_add_up(steps in prop::collection::vec(step(), 0..200)) {
        let mut scorer = load(&ScoreConfig { waiting_max: 10, ..config() });
        let model_rows = scorer.bank().len();
        let (mut labels, mut transactions) = (0, 0);
        for &step in &steps {
            take(&mut scorer, step);
            match step {
                Step::Label(_, Verdict::None) => {}
                Step::Label(..) => labels += 1,
                Step::Transact(_) => transactions += 1,
            }
        }
        let tally = scorer.labels();
        // A reversed label of a transaction that waits is counted as drawn again, too.
        let seen = tally.admitted + tally.passed_over + tally.repeated + tally.unmatched + tally.erased;
        prop_assert!((labels..=labels + tally.reversed).contains(&(seen + tally.reversed)));
        prop_assert!(tally.waiting <= 10 && tally.forgotten + tally.waiting <= transactions);
        prop_assert!(scorer.bank().len() >= model_rows);
    }
}
