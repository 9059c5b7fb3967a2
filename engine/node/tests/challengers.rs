//! Challengers beside a running engine: what they note is what the engine's own code says on one thread, each
//! transaction once, whatever happened to engine and file in between; and one that is broken is refused at the start.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinion_journal::Reader;
use pinion_node::bus::InProcess;
use pinion_node::challengers::file::ScoreReader;
use pinion_node::challengers::{self, name_of};
use pinion_node::config::challengers::ChallengerConfig;
use pinion_node::feature_sets::InForce;
use pinion_node::{Config, Engine, Replica};
use pinion_schemas::records::payment_kind;
use pinion_transport::in_process::InProcessBus;
use support::*;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

fn model(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(path).display().to_string()
}

fn challenger(name: &str, model: String) -> ChallengerConfig {
    ChallengerConfig {
        name: name.to_owned(),
        model,
        set: None,
        backend: None,
    }
}

/// The champion's own model, another one, and the champion's with another set.
fn challenged(folder: &Path) -> Config {
    let mut config = config(folder);
    config.challengers.models = vec![
        challenger("same", model("models/fraud-v1")),
        challenger("other", model("replay/tests/golden/model")),
        ChallengerConfig {
            set: Some(set_path("payments-attempts")),
            ..challenger("set", model("models/fraud-v1"))
        },
    ];
    config
}

fn files(config: &Config) -> Vec<PathBuf> {
    let dir = config.journal().dir.join(challengers::DIR_NAME);
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|item| item.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// Sequence and score of every record of the challenger's file.
fn noted(config: &Config, name: &str) -> Vec<(u64, u32)> {
    let paths = files(config);
    let mut own = paths.iter().filter(|path| name_of(path) == Some(name));
    let (path, more) = (own.next().unwrap(), own.next());
    assert_eq!(more, None);
    let mut reader = ScoreReader::open(path).unwrap().unwrap();
    let mut found = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        assert_eq!(record.model_hash, reader.heading().model_hash);
        found.push((record.sequence, record.score.to_bits()));
    }
    found
}

/// The same by the engine's own code on one thread, had the challenger been the champion.
fn expected(config: &Config, challenger: &ChallengerConfig) -> Vec<(u64, u32)> {
    let config = challengers::config_of(config, challenger);
    let set = Arc::new(config.features.load_set().unwrap());
    let mut replica = Replica::with_cases(&config, &[InForce::always(set)]).unwrap();
    let mut inputs = Reader::open(&config.journal().dir).unwrap();
    let mut found = Vec::new();
    replica
        .run_scored(&mut inputs, u64::MAX, usize::MAX, |payment, _, score| {
            if payment.origin.kind == payment_kind::TRANSACTION {
                found.push((payment.origin.sequence, score.score.to_bits()));
            }
        })
        .unwrap();
    found
}

/// Waits until each challenger is as far as the engine.
fn catch_up(light: &Light) {
    let counters = light.engine.counters();
    let transactions = counters.value("score.scored").unwrap();
    for ChallengerConfig { name, .. } in &light.config.challengers.models {
        wait_for(|| counters.value(&format!("challenger.{name}.scored")) >= Some(transactions));
        wait_for(|| counters.value(&format!("challenger.{name}.lag")) == Some(0));
    }
}

#[track_caller]
fn check_noted(config: &Config) {
    for challenger in &config.challengers.models {
        let expected = expected(config, challenger);
        assert!(expected.len() > 100);
        assert_eq!(noted(config, &challenger.name), expected, "{}", challenger.name);
    }
}

#[test]
fn every_transaction_is_noted_once_across_stops_and_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let config = challenged(folder.path());
    let mut light = Light::start(&config);
    light.run(700);
    catch_up(&light);
    light.stop();
    check_noted(&config);
    let same = noted(&config, "same");
    assert_ne!(same, noted(&config, "other"), "two models");

    let mut light = Light::start(&config);
    light.run(1_200);
    let crashed = tempfile::tempdir().unwrap();
    // As if the power had gone, with the files torn anywhere.
    copy_folder(folder.path(), crashed.path());
    light.stop();
    let crashed = challenged(crashed.path());
    for (path, cut) in files(&crashed).iter().zip([7, 500, 30_000]) {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len().saturating_sub(cut)]).unwrap();
    }
    let mut light = Light::start(&crashed);
    light.run(1_500);
    catch_up(&light);
    let counters = light.engine.counters().clone();
    light.stop();
    check_noted(&crashed);
    assert_eq!(noted(&crashed, "same")[..same.len()], same);
    assert_eq!(counters.value("challenger.same.rewritten"), Some(0));
}

#[test]
fn challengers_change_no_decision() {
    let (alone, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let hashes = [config(alone.path()), challenged(beside.path())].map(|config| {
        let mut light = Light::start(&config);
        light.run(600);
        (light.stop(), config.decision_hash())
    });
    assert_eq!(hashes[0], hashes[1]);
}

#[track_caller]
fn check_refused(change: impl FnOnce(&Path, &mut ChallengerConfig), expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    let copy = folder.path().join("model");
    copy_folder(Path::new(&model("models/fraud-v1")), &copy);
    let mut broken = challenger("broken", copy.display().to_string());
    change(&copy, &mut broken);
    config.challengers.models = vec![challenger("sound", model("models/fraud-v1")), broken];
    let started = Engine::start_on(&config, &probe(), InProcess(InProcessBus::new()));
    let error = started.err().expect("it is refused").to_string();
    assert!(error.starts_with("challengers.models: \"broken\": "), "{error}");
    assert!(error.contains(expected), "{error}");
}

fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn broken_challenger_is_refused_by_its_name() {
    check_refused(
        |_, challenger| challenger.model = "models/none".to_owned(),
        "model is \"models/none\", expected a folder with manifest.toml at one of: ",
    );
    check_refused(
        |_, challenger| challenger.set = Some("features/none.toml".into()),
        "set: ",
    );
    check_refused(
        |_, challenger| challenger.set = Some(set_path("payments-v2")),
        "was trained on 15 features with hash 1b20c8212e45f606, expected ",
    );
    check_refused(
        |model, _| {
            edit(
                &model.join("manifest.toml"),
                "1b20c8212e45f606",
                "1b20c8212e45f607",
            )
        },
        "was trained on 15 features with hash 1b20c8212e45f607, expected 1b20c8212e45f606",
    );
    check_refused(
        |model, _| {
            rewrite(&model.join("bank.bin"), |bytes| {
                bytes.truncate(100);
            });
        },
        "has the SHA-256 hash",
    );
}

/// The encoder with `byte` in the place of some of its weights, and the manifest with its hash.
fn fill_weights(model: &Path, byte: u8) {
    let (path, manifest) = (model.join("encoder.onnx"), model.join("manifest.toml"));
    let sha256 = |path: &Path| pinion_score::library::sha256(&std::fs::read(path).unwrap());
    let before = sha256(&path);
    rewrite(&path, |bytes| {
        let half = bytes.len() / 2;
        bytes[half..half + 512].fill(byte);
    });
    edit(&manifest, &before, &sha256(&path));
}

#[test]
fn weights_that_are_not_finite_or_give_what_is_not_are_refused() {
    // Each byte gives floats that do not depend on where they begin: no numbers, and 8e37.
    check_refused(
        |model, _| fill_weights(model, 0xFF),
        "has a value that is not finite",
    );
    check_refused(
        |model, _| fill_weights(model, 0x7E),
        "encoder.onnx: the embedding of a test vector has length NaN, expected 1",
    );
}
