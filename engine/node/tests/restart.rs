//! A restart at a checkpoint comes to the same state, hash and decisions as a run of the whole journal; and a
//! checkpoint that cannot be used costs time alone.

mod support;

use std::path::Path;

use pinion_node::Config;
use pinion_node::admin::{Answer, Request};
use support::*;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

/// Runs payments up to `to` and stops. Returns the digest and the decision hash.
fn run(config: &Config, to: u64) -> (String, u64) {
    let mut light = Light::start(config);
    light.run(to);
    let digest = light.digest_at(to).digest;
    (digest, light.stop())
}

/// As [`run`], of a start that must have begun at a checkpoint of `sequence`, or at none.
#[track_caller]
fn run_from(config: &Config, sequence: Option<u64>, to: u64) -> (String, u64) {
    let mut light = Light::start(config);
    let recovered = light.engine.recovered().clone();
    let restored = recovered.restored.as_ref().map(|restored| restored.sequence);
    assert_eq!(restored, sequence, "{recovered}");
    assert_eq!(
        light.engine.accounts().payments.restored,
        sequence.unwrap_or_default()
    );
    light.run(to);
    let digest = light.digest_at(to).digest;
    (digest, light.stop())
}

fn checkpoints(folder: &Path) -> std::path::PathBuf {
    folder.join("data/checkpoint")
}

#[test]
fn restart_at_a_checkpoint_goes_on_as_a_run_of_the_whole_journal() {
    let (folder, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config(folder.path());
    run(&config, 1_500);
    let at_checkpoint = run_from(&config, Some(1_500), 2_200);
    copy_folder(folder.path(), whole.path());
    std::fs::remove_dir_all(checkpoints(whole.path())).unwrap();
    let whole_config = support::config(whole.path());
    assert_eq!(run_from(&whole_config, None, 2_200), at_checkpoint);
    // From here on the journals are two, with stamps of their own in the state.
    assert_eq!(
        run_from(&config, Some(2_200), 2_500).1,
        run(&whole_config, 2_500).1
    );
}

#[test]
fn checkpoint_in_mid_stream_is_followed_by_the_journals_tail() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let mut light = Light::start(&config);
    light.run(600);
    assert_eq!(light.checkpoint().sequence, 600);
    light.run(1_000);
    let digest = light.digest_at(1_000).digest;
    let copy = tempfile::tempdir().unwrap();
    // As if the power had gone: no last checkpoint, no orderly close.
    copy_folder(folder.path(), copy.path());
    let hash = light.stop();
    let light = Light::start(&support::config(copy.path()));
    let recovered = light.engine.recovered().clone();
    assert_eq!(
        recovered.restored.as_ref().map(|restored| restored.sequence),
        Some(600)
    );
    assert_eq!(recovered.run, recovered.inputs - 600);
    assert_eq!((light.digest_at(1_000).digest, light.stop()), (digest, hash));
}

#[test]
fn torn_foreign_or_missing_checkpoints_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let expected = run(&config(folder.path()), 700);
    let damages: [Damage; 4] = [
        ("missing", |dir| std::fs::remove_dir_all(dir).unwrap()),
        ("empty", |dir| {
            std::fs::remove_dir_all(dir).unwrap();
            std::fs::create_dir(dir).unwrap();
        }),
        ("torn", |dir| {
            each_file(dir, |bytes| bytes.truncate(bytes.len() / 2))
        }),
        ("foreign", |dir| each_file(dir, |bytes| bytes.fill(0x5A))),
    ];
    for (name, damage) in damages {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        damage(&checkpoints(copy.path()));
        let config = config(copy.path());
        assert_eq!(run_from(&config, None, 700), expected, "{name}");
        assert_eq!(
            run_from(&config, Some(700), 700),
            expected,
            "{name}, the next start"
        );
    }
}

/// Something that may happen to the folder of checkpoints, with its name.
type Damage = (&'static str, fn(&Path));

fn each_file(dir: &Path, change: fn(&mut Vec<u8>)) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, change);
        } else {
            let mut bytes = std::fs::read(&path).unwrap();
            change(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn checkpoint_ahead_of_the_journal_is_refused() {
    let (folder, earlier) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config(folder.path());
    let expected = run(&config, 300);
    copy_folder(folder.path(), earlier.path());
    run(&config, 400);
    std::fs::remove_dir_all(checkpoints(earlier.path())).unwrap();
    copy_folder(&checkpoints(folder.path()), &checkpoints(earlier.path()));
    // Plain snapshots are tried, too; the first one is of payment 300.
    std::fs::remove_file(checkpoints(earlier.path()).join("snapshot-a.bin")).unwrap();
    let earlier_config = support::config(earlier.path());
    assert_eq!(run_from(&earlier_config, None, 300), expected);
}

#[test]
fn checkpoint_of_another_set_or_layout_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path());
    let (_, hash) = run(&first, 300);
    let mut other_layout = first.clone();
    other_layout.ingest.customers.ids_max /= 2;
    run_from(&other_layout, None, 300);
    let mut other_set = first.clone();
    other_set.features.set = set_path("payments-attempts");
    let (digest, _) = run_from(&other_set, None, 300);
    assert_eq!(run_from(&other_set, Some(300), 300).0, digest);
    let (_, again) = run_from(&first, Some(300), 300);
    assert_eq!(again, hash, "the first set's plain snapshot is still there");
}

#[test]
fn checkpoints_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.checkpoint.enabled = false;
    let expected = run(&config, 200);
    assert!(!checkpoints(folder.path()).exists());
    assert_eq!(run_from(&config, None, 200), expected);
    let light = Light::start(&config);
    let refused = light.try_ask(&Request::Checkpoint).unwrap_err();
    assert_eq!(refused, "checkpoint.enabled is false, expected true");
    let Answer::Status(status) = light.ask(&Request::Status) else {
        panic!("expected a status")
    };
    assert_eq!(status.checkpoint_sequence, None);
    light.stop();
}

#[test]
fn checkpoint_that_cannot_be_written_is_counted_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    std::fs::create_dir_all(&config.engine.dir).unwrap();
    std::fs::write(checkpoints(folder.path()), "a file in the place of the folder").unwrap();
    let mut light = Light::start(&config);
    light.run(100);
    let said = light.try_ask(&Request::Checkpoint).unwrap_err();
    assert!(said.contains("checkpoint"), "{said}");
    assert_eq!(light.engine.counters().value("checkpoint.failures"), Some(1));
    assert_eq!(light.engine.checkpoints().unwrap().failure, Some(said));
    light.run(200);
    light.stop();
    run_from(&config, None, 300);
}
