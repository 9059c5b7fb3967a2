//! Another model takes over while payments flow: up to a payment everything is as if the former one had run all along,
//! behind it as if the new one had; after a restart, too, and whichever way the journal is taken again.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pinion_journal::Reader;
use pinion_node::admin::{Answer, Client, Request, Swapped};
use pinion_node::bus::InProcess;
use pinion_node::feature_sets::InForce;
use pinion_node::models::{FILE_NAME, Known, ModelLog, Scoring, Step};
use pinion_node::{Config, Engine, History, Replica};
use pinion_schemas::records::{DecisionRecord, decision_flag};
use pinion_schemas::wire::Lane;
use pinion_transport::in_process::InProcessBus;
use support::*;
use zerocopy::FromBytes as _;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

/// The shipped model with other words in its manifest.
fn model(folder: &Path, name: &str, words: &[(&str, &str)]) -> PathBuf {
    let target = folder.join(name);
    copy_folder(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v1"),
        &target,
    );
    let path = target.join("manifest.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in words {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    std::fs::write(path, text).unwrap();
    target
}

/// One that votes otherwise.
fn other(folder: &Path) -> PathBuf {
    let words = [
        ("version = 1", "version = 2"),
        ("temperature = 0.0341794", "temperature = 0.2"),
        ("neighbours = 64", "neighbours = 24"),
        ("slope = 0.963645", "slope = 1.4"),
    ];
    model(folder, "other", &words)
}

fn with_model(config: &Config, model: &Path) -> Config {
    let mut config = config.clone();
    config.score.model = model.display().to_string();
    config
}

/// Swaps while payments flow; some are left for the new model.
fn swap(light: &mut Light, model: &Path) -> Swapped {
    let request = Request::ModelSwap {
        model: model.to_owned(),
    };
    let dir = light.config.engine.dir.clone();
    let asked = std::thread::spawn(move || Client::connect(&dir).unwrap().ask(&request, |_| ()));
    while !asked.is_finished() {
        let to = light.feeder.sent[0] + 5;
        light.run(to);
    }
    let to = light.feeder.sent[0] + 300;
    light.run(to);
    match asked.join().unwrap().unwrap() {
        Answer::Swapped(swapped) => swapped,
        other => panic!("{other:?}"),
    }
}

fn refused(light: &Light, request: &Request) -> String {
    light.try_ask(request).unwrap_err()
}

/// A replica that ran one model from the start on, and the score of each transaction.
fn replica(config: &Config, to: u64) -> (Replica, Vec<(u64, u32)>) {
    let set = Arc::new(config.features.load_set().unwrap());
    let mut replica = Replica::with_cases(config, &[InForce::always(set)]).unwrap();
    let mut inputs = Reader::open(&config.journal().dir).unwrap();
    let mut scores = Vec::new();
    replica
        .run_scored(&mut inputs, to, usize::MAX, |payment, _, score| {
            if payment.origin.kind == pinion_schemas::records::payment_kind::TRANSACTION {
                scores.push((payment.origin.sequence, score.score.to_bits()));
            }
        })
        .unwrap();
    (replica, scores)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The recorded decisions of the payments lane.
fn decisions(config: &Config) -> Vec<DecisionRecord> {
    let mut reader = Reader::open(&config.journal().dir).unwrap();
    let mut decisions = Vec::new();
    while let Some(entry) = reader.next_decision().unwrap() {
        if entry.header.lane == Lane::Payment.0 {
            decisions.push(DecisionRecord::read_from_bytes(entry.payload).unwrap());
        }
    }
    decisions
}

/// Every recorded score is that of the model that was in force, had it run from the first payment on.
fn check_scores(config: &Config, scored_by: &[(u64, &Path)], to: u64) {
    let runs: Vec<_> = scored_by
        .iter()
        .map(|(_, model)| {
            let config = with_model(config, model);
            let hash = Known::find(&config.score.model).unwrap().hash;
            (hash, replica(&config, to).1)
        })
        .collect();
    let decisions = decisions(config);
    assert_eq!(decisions.len(), runs[0].1.len(), "each transaction is decided");
    let (mut last, mut differ) = (0, 0);
    for (row, decision) in decisions.iter().enumerate() {
        let which = scored_by
            .iter()
            .rposition(|(behind, _)| *behind < decision.sequence);
        let (hash, scores) = &runs[which.unwrap()];
        assert_eq!(decision.sequence, scores[row].0);
        assert_eq!(decision.model_hash, *hash, "payment {}", decision.sequence);
        assert_eq!(
            decision.score.to_bits(),
            scores[row].1,
            "payment {}",
            decision.sequence
        );
        let is_odd = decision.run_flags & decision_flag::EXCHANGED != 0;
        assert_eq!(is_odd, which.unwrap() % 2 == 1, "payment {}", decision.sequence);
        last = last.max(which.unwrap());
        differ += usize::from(runs.iter().any(|(_, other)| other[row].1 != scores[row].1));
    }
    assert_eq!(last, scored_by.len() - 1, "the last model scored some");
    let hashes = runs
        .iter()
        .map(|(hash, _)| hash)
        .collect::<std::collections::HashSet<_>>();
    assert!(
        hashes.len() == 1 || differ > decisions.len() / 2,
        "the models differ"
    );
}

/// What a start over a copy of the engine's folder comes to: digest and decision hash at payment `to`.
fn restarted(config: &Config, folder: &Path, keeps_checkpoint: bool, to: u64) -> (String, u64) {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&folder.join("data"), &copy.path().join("data"));
    let mut config = config.clone();
    config.engine.dir = copy.path().join("data");
    if !keeps_checkpoint {
        std::fs::remove_dir_all(config.checkpoint().dir).unwrap();
    }
    let light = Light::start(&config);
    let restored = light.engine.recovered().restored.clone();
    assert_eq!(restored.is_some(), keeps_checkpoint, "{restored:?}");
    let digest = light.digest_at(to).digest;
    (digest, light.stop())
}

fn steps(config: &Config) -> Vec<Step> {
    let log = ModelLog::of_journal(&config.journal().dir).unwrap().unwrap();
    log.changes().iter().map(|change| change.step).collect()
}

#[test]
fn scores_behind_a_swap_are_those_of_an_engine_that_ran_the_model_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path());
    let (a, b) = (PathBuf::from(&first.score.model), other(folder.path()));
    let mut light = Light::start(&first);
    light.run(2_000);
    let swapped = swap(&mut light, &b);
    assert_eq!((swapped.model.version, swapped.former.version), (2, 1));
    assert!(
        swapped.first_sequence > 2_000 && swapped.cases > 4_000,
        "{swapped:?}"
    );
    let to = light.feeder.sent[0];
    let digest = light.digest_at(to).digest;
    let (of_other, _) = replica(&with_model(&first, &b), to);
    assert_eq!(digest, hex(&of_other.digest()), "the replica is the new model's");
    let counters = light.engine.counters().clone();
    assert_eq!(counters.value("score.swaps"), Some(1));
    assert_eq!(
        counters.value("score.model_hash"),
        Some(Known::find(&b.display().to_string()).unwrap().hash)
    );
    let hash = light.stop();
    check_scores(&first, &[(0, &a), (swapped.first_sequence - 1, &b)], to);
    assert_eq!(steps(&first), [Step::Began, Step::Prepared, Step::Done]);
    // Under the configuration of before as under that of the new model, with and without a checkpoint.
    for config in [&first, &with_model(&first, &b)] {
        for keeps_checkpoint in [true, false] {
            let found = restarted(config, folder.path(), keeps_checkpoint, to);
            assert_eq!(found, (digest.clone(), hash), "{keeps_checkpoint}");
        }
    }
    let deployed = {
        let mut config = first.clone();
        config.engine.keeps_swapped_model = false;
        restarted(&config, folder.path(), false, to)
    };
    let (of_first, _) = replica(&first, to);
    assert_eq!(deployed.0, hex(&of_first.digest()));
    assert_ne!(deployed.1, hash, "as if the former one had never been replaced");
}

#[test]
fn restart_goes_on_where_the_swap_left_it_and_a_change_of_the_configuration_deploys() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path());
    let b = other(folder.path());
    let mut light = Light::start(&first);
    light.run(500);
    let swapped = swap(&mut light, &b);
    light.stop();
    // The former configuration: what was swapped in goes on.
    let mut light = Light::start(&first);
    let to = light.feeder.sent[0] + 200;
    light.run(to);
    light.stop();
    let a = PathBuf::from(&first.score.model);
    check_scores(&first, &[(0, &a), (swapped.first_sequence - 1, &b)], to);
    // The configuration says the same: noted, so that the way back is a deployment.
    Light::start(&with_model(&first, &b)).stop();
    let mut light = Light::start(&first);
    assert_eq!(light.engine.recovered().restored, None);
    light.run(to + 200);
    let digest = light.digest_at(to + 200).digest;
    light.stop();
    assert_eq!(digest, hex(&replica(&first, to + 200).0.digest()));
    let last = decisions(&first).pop().unwrap();
    assert_eq!(last.model_hash, Known::find(&first.score.model).unwrap().hash);
    use Step::{Began, Configured, Done, Prepared};
    assert_eq!(steps(&first), [Began, Prepared, Done, Configured, Began]);
    // A third model.
    let third = model(folder.path(), "third", &[("version = 1", "version = 3")]);
    Light::start(&with_model(&first, &third)).stop();
    assert_eq!(steps(&first).last(), Some(&Began));
}

#[test]
fn models_are_swapped_again_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path());
    let (a, b) = (PathBuf::from(&first.score.model), other(folder.path()));
    let mut light = Light::start(&first);
    light.run(400);
    let one = swap(&mut light, &b).first_sequence - 1;
    let two = swap(&mut light, &a).first_sequence - 1;
    let three = swap(&mut light, &b).first_sequence - 1;
    let to = light.feeder.sent[0];
    let (digest, hash) = (light.digest_at(to).digest, light.stop());
    check_scores(&first, &[(0, &a), (one, &b), (two, &a), (three, &b)], to);
    for keeps_checkpoint in [true, false] {
        let found = restarted(&first, folder.path(), keeps_checkpoint, to);
        assert_eq!(found, (digest.clone(), hash), "{keeps_checkpoint}");
    }
}

#[test]
fn checkpoints_go_on_during_a_swap_and_hold_the_model_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path());
    let b = other(folder.path());
    let mut light = Light::start(&first);
    light.run(1_000);
    let ends = Arc::new(AtomicBool::new(false));
    let (dir, until) = (first.engine.dir.clone(), ends.clone());
    let writer = std::thread::spawn(move || {
        let mut client = Client::connect(&dir).unwrap();
        let mut written = 0;
        while !until.load(Ordering::Acquire) {
            // While the models change places there is none.
            written += usize::from(client.ask(&Request::Checkpoint, |_| ()).is_ok());
        }
        written
    });
    swap(&mut light, &b);
    ends.store(true, Ordering::Release);
    assert!(writer.join().unwrap() > 0);
    let written = light.checkpoint().sequence;
    light.run(written + 50);
    let digest = light.digest_at(written + 50).digest;
    let copy = tempfile::tempdir().unwrap();
    // As if the power had gone: no last checkpoint, no orderly close.
    copy_folder(folder.path(), copy.path());
    let hash = light.stop();
    let light = Light::start(&config(copy.path()));
    let restored = light.engine.recovered().restored.clone().unwrap();
    assert_eq!(restored.sequence, written);
    assert_eq!(
        (light.digest_at(written + 50).digest, light.stop()),
        (digest, hash)
    );
}

#[test]
fn refused_model_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path());
    let mut light = Light::start(&first);
    light.run(300);
    let foreign = model(
        folder.path(),
        "foreign",
        &[(
            "feature_set_hash = \"1b20c8212e45f606\"",
            "feature_set_hash = \"1b20c8212e45f607\"",
        )],
    );
    let torn = model(folder.path(), "torn", &[]);
    let encoder = std::fs::read(torn.join("encoder.onnx")).unwrap();
    std::fs::write(torn.join("encoder.onnx"), &encoder[..encoder.len() / 2]).unwrap();
    for path in [folder.path().join("none"), foreign, torn] {
        let said = refused(&light, &Request::ModelSwap { model: path.clone() });
        let mut started = with_model(&first, &path);
        started.engine.dir = folder.path().join("another");
        let bus = InProcess(InProcessBus::new());
        let at_start = Engine::start_on(&started, &probe(), bus).err().unwrap();
        assert_eq!(said, at_start.to_string());
    }
    let digest = light.digest_at(300).digest;
    assert_eq!(digest, hex(&replica(&first, 300).0.digest()));
    assert_eq!(steps(&first), [Step::Began]);
    // It is as able to swap as before.
    let b = other(folder.path());
    let behind = swap(&mut light, &b).first_sequence - 1;
    let to = light.feeder.sent[0];
    light.stop();
    let a = PathBuf::from(&first.score.model);
    check_scores(&first, &[(0, &a), (behind, &b)], to);
}

#[test]
fn former_model_that_is_gone_is_named_with_its_payments() {
    let folder = tempfile::tempdir().unwrap();
    let b = other(folder.path());
    let first = with_model(&config(folder.path()), &model(folder.path(), "former", &[]));
    let mut light = Light::start(&first);
    light.run(300);
    let behind = swap(&mut light, &b).first_sequence - 1;
    light.stop();
    let second = with_model(&first, &b);
    std::fs::remove_dir_all(&first.score.model).unwrap();
    // A checkpoint makes it superfluous.
    Light::start(&second).stop();
    std::fs::remove_dir_all(second.checkpoint().dir).unwrap();
    let bus = InProcess(InProcessBus::new());
    let said = Engine::start_on(&second, &probe(), bus)
        .err()
        .unwrap()
        .to_string();
    let expected = format!(
        "{}: no manifest.toml, expected the model fraud-v1 version 1 (hash {:016x}), which scores the journal's payments \
         1 to {behind} (models.jsonl)",
        folder.path().canonicalize().unwrap().join("former").display(),
        Known::find(&config(folder.path()).score.model).unwrap().hash
    );
    assert_eq!(said, expected);
}

#[test]
fn bank_in_cells_is_laid_out_anew_by_a_swap_to_the_model_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = config(folder.path());
    let bank = &mut first.score.bank;
    (bank.approximate_from_rows, bank.cells, bank.probes) = (1_000, 32, 2);
    (bank.recall_every, bank.recall_floor_permille) = (8, 0);
    let a = PathBuf::from(&first.score.model);
    let mut light = Light::start(&first);
    light.run(1_500);
    let swapped = swap(&mut light, &a);
    assert_eq!(swapped.model, swapped.former);
    let to = light.feeder.sent[0];
    let (digest, hash) = (light.digest_at(to).digest, light.stop());
    let (whole, scores) = replica(&first, to);
    assert_ne!(digest, hex(&whole.digest()), "the bank is another one");
    let log = ModelLog::of_journal(&first.journal().dir).unwrap().unwrap();
    let scorings = log.in_force(u64::MAX).unwrap();
    assert!(scorings[1].clustered_behind.is_some_and(|behind| behind >= 1_000));
    let found = decisions(&first);
    let behind = swapped.first_sequence - 1;
    let is_as_without = |decision: &&DecisionRecord| {
        let row = scores.binary_search_by_key(&decision.sequence, |(sequence, _)| *sequence);
        scores[row.unwrap()].1 == decision.score.to_bits()
    };
    let before = || found.iter().filter(|decision| decision.sequence <= behind);
    assert!(before().all(|decision| is_as_without(&decision)));
    for keeps_checkpoint in [true, false] {
        let found = restarted(&first, folder.path(), keeps_checkpoint, to);
        assert_eq!(found, (digest.clone(), hash), "{keeps_checkpoint}");
    }
    check_settled(&first.journal().dir, &scorings);
}

/// A log that ends before the swap was noted as done is brought to the same by the recorded decisions.
fn check_settled(dir: &Path, scorings: &[Scoring]) {
    let path = dir.join(FILE_NAME);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(&path, lines[..2].concat() + &lines[2][..40]).unwrap();
    let mut log = ModelLog::of_journal(dir).unwrap().unwrap();
    let open = log.in_force(u64::MAX).unwrap();
    log.settle((u64::MAX, u64::MAX), 1).unwrap();
    assert_eq!(log.newest().unwrap().step, Step::Done);
    assert_eq!(log.in_force(u64::MAX).unwrap(), open);
    // Labels have no recorded decision: up to a few payments later, of which none was scored.
    let (found, expected) = (&open[1], &scorings[1]);
    assert!((expected.sequence..expected.sequence + 4).contains(&found.sequence));
    assert_eq!(
        (&found.model, found.clustered_behind),
        (&expected.model, expected.clustered_behind)
    );
}

#[test]
fn model_that_was_prepared_and_decided_nothing_is_dropped_and_a_cut_journal_moves_the_swap() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path());
    let b = other(folder.path());
    let mut light = Light::start(&first);
    light.run(200);
    light.stop();
    let dir = first.journal().dir;
    let mut log = ModelLog::of_journal(&dir).unwrap().unwrap();
    let configured = Known::find(&first.score.model).unwrap();
    let known = Known::find(&b.display().to_string()).unwrap();
    let prepared = Scoring {
        sequence: 150,
        ..Scoring::always(known)
    };
    log.note(Step::Prepared, &prepared, configured.hash, 1).unwrap();
    Light::start(&first).stop();
    assert_eq!(steps(&first), [Step::Began, Step::Prepared, Step::Dropped]);
    // The log says that it took over at a place that the journal does not reach any more.
    let mut log = ModelLog::of_journal(&dir).unwrap().unwrap();
    let done = Scoring {
        sequence: 260,
        ..prepared
    };
    log.note(Step::Done, &done, configured.hash, 1).unwrap();
    let mut light = Light::start(&first);
    light.run(300);
    light.stop();
    assert_eq!(steps(&first)[3..], [Step::Done, Step::Cut]);
    let scored: Vec<_> = decisions(&first);
    let is_new = |decision: &&DecisionRecord| decision.model_hash == done.model.hash;
    assert!(
        scored
            .iter()
            .filter(is_new)
            .all(|decision| decision.sequence > 200)
    );
    assert!(scored.iter().filter(is_new).count() > 50);
}

#[test]
fn models_and_feature_sets_are_swapped_in_either_order() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path());
    let (a, b) = (PathBuf::from(&first.score.model), other(folder.path()));
    let backfill = |light: &mut Light, set: &str| {
        let request = Request::FeaturesBackfill {
            set: set_path(set),
            from: None,
        };
        let dir = light.config.engine.dir.clone();
        let asked = std::thread::spawn(move || Client::connect(&dir).unwrap().ask(&request, |_| ()));
        while !asked.is_finished() {
            let to = light.feeder.sent[0] + 5;
            light.run(to);
        }
        assert!(matches!(asked.join().unwrap().unwrap(), Answer::Backfilled(_)));
        let to = light.feeder.sent[0] + 100;
        light.run(to);
    };
    let mut light = Light::start(&first);
    light.run(500);
    let one = swap(&mut light, &b).first_sequence - 1;
    backfill(&mut light, "payments-attempts");
    let two = swap(&mut light, &a).first_sequence - 1;
    let to = light.feeder.sent[0];
    let (digest, hash) = (light.digest_at(to).digest, light.stop());
    let sets = History::of_journal(&first.journal().dir).unwrap().unwrap();
    assert_eq!(sets.in_force(u64::MAX).unwrap().len(), 2);
    let mut config = first.clone();
    config.features.set = set_path("payments-attempts");
    for keeps_checkpoint in [true, false] {
        let found = restarted(&config, folder.path(), keeps_checkpoint, to);
        assert_eq!(found, (digest.clone(), hash), "{keeps_checkpoint}");
    }
    // The first features of both sets are the same, and the models read no others.
    check_scores(&first, &[(0, &a), (one, &b), (two, &a)], to);
}

#[test]
fn one_exchange_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path());
    let mut light = Light::start(&first);
    light.run(2_000);
    let b = other(folder.path());
    let request = Request::ModelSwap { model: b.clone() };
    let (dir, again) = (first.engine.dir.clone(), request.clone());
    let (told, begun) = std::sync::mpsc::channel();
    let asked = std::thread::spawn(move || {
        // The test hears the first of them.
        let told = |_: &pinion_node::admin::Progress| told.send(()).unwrap_or_default();
        Client::connect(&dir).unwrap().ask(&request, told)
    });
    begun.recv().unwrap();
    let said = refused(&light, &again);
    assert_eq!(said, "the exchange of a model is under way, expected none");
    let backfill = Request::FeaturesBackfill {
        set: set_path("payments-attempts"),
        from: None,
    };
    assert_eq!(refused(&light, &backfill), said);
    assert!(matches!(asked.join().unwrap().unwrap(), Answer::Swapped(_)));
    light.stop();
}
