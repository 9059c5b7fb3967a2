//! Files that are cut, flipped, gone or something else: what is restored is right, or nothing is.

mod support;

use std::fs;
use std::path::Path;

use pinion_checkpoint::{Backend, CheckpointConfig, Outcome, Reason, Refusal, Source, Writer};
use support::*;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

/// Sequence of the last checkpoint in what [`filled`] makes.
const LAST: u64 = 30;

/// A store with [`LAST`] checkpoints, one per event.
fn filled(backend: Backend, snapshot_every: u32) -> (tempfile::TempDir, CheckpointConfig) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), backend);
    config.snapshot_every = snapshot_every;
    let mut writer = Writer::new(&config, &identity());
    let mut model = Model::new();
    while model.sequence < LAST {
        model.step();
        write(&mut writer, &model);
    }
    (dir, config)
}

/// Damages a copy of `pristine` by `damage`, restores, and has a writer go on; says what was restored.
fn check_damaged(pristine: &CheckpointConfig, what: &str, damage: impl FnOnce(&Path)) -> (u64, Outcome) {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&pristine.dir, dir.path());
    damage(&dir.path().join(main_file(pristine.backend)));
    let config = CheckpointConfig {
        dir: dir.path().to_owned(),
        open_ms_max: 2000,
        ..pristine.clone()
    };
    let (sequence, outcome) = check_whole(&config, what);
    write(&mut Writer::new(&config, &identity()), &Model::at(LAST + 1));
    let (next, _) = check_whole(&config, what);
    assert_eq!(next, LAST + 1, "{what}: the next checkpoint after {outcome:?}");
    (sequence, outcome)
}

/// How the rounds went, for people.
#[derive(Debug, Default)]
struct Tally {
    harmless: u64,
    older: u64,
    refused: u64,
    /// Among the refused.
    silent: u64,
}

impl Tally {
    fn add(&mut self, sequence: u64, outcome: &Outcome) {
        let count = match sequence {
            LAST => &mut self.harmless,
            0 => &mut self.refused,
            _ => &mut self.older,
        };
        *count += 1;
        let is_silent = |refusal: &Refusal| matches!(refusal.reason, Reason::Silent { .. });
        self.silent += outcome.refused.iter().any(is_silent) as u64;
        assert!(sequence != 0 || outcome.restored.is_none());
    }
}

fn cut_anywhere_is_noticed(backend: Backend) {
    let (_dir, config) = filled(backend, 0);
    let len = fs::metadata(config.dir.join(main_file(backend))).unwrap().len();
    let mut tally = Tally::default();
    for round in 0..20 {
        let cut = if round < 8 {
            round * len / 8
        } else {
            mix(round) % len
        };
        let (sequence, outcome) =
            check_damaged(&config, &format!("{backend:?} cut at {cut} of {len}"), |path| {
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(cut).unwrap();
            });
        tally.add(sequence, &outcome);
    }
    println!("{backend:?} cut: {tally:?}");
}

#[test]
fn cut_anywhere_is_never_a_wrong_state() {
    BACKENDS.into_iter().for_each(cut_anywhere_is_noticed);
}

fn flip_anywhere_is_noticed(backend: Backend) {
    let (_dir, config) = filled(backend, 0);
    let mut tally = Tally::default();
    for round in 0..24 {
        let what = format!("{backend:?} flip {round}");
        let (sequence, outcome) = check_damaged(&config, &what, |path| {
            let mut bytes = fs::read(path).unwrap();
            let place = mix(round * 7919) as usize % bytes.len();
            bytes[place] ^= 1 << (round % 8);
            fs::write(path, bytes).unwrap();
        });
        tally.add(sequence, &outcome);
    }
    println!("{backend:?} flipped: {tally:?}");
}

#[test]
fn flipped_bit_is_never_a_wrong_state() {
    BACKENDS.into_iter().for_each(flip_anywhere_is_noticed);
}

#[test]
fn stretch_of_noise_is_never_a_wrong_state() {
    for backend in BACKENDS {
        let (_dir, config) = filled(backend, 0);
        for round in 0..6 {
            check_damaged(&config, &format!("{backend:?} noise {round}"), |path| {
                let mut bytes = fs::read(path).unwrap();
                let start = mix(round * 31) as usize % bytes.len();
                let end = bytes.len().min(start + 5000);
                fill(&mut bytes[start..end], round + 1);
                fs::write(path, bytes).unwrap();
            });
        }
    }
}

#[test]
fn snapshot_takes_over_from_a_damaged_store() {
    for backend in BACKENDS {
        let (_dir, config) = filled(backend, 7);
        let (sequence, outcome) = check_damaged(&config, "noise all over", |path| {
            let len = fs::metadata(path).unwrap().len() as usize;
            let mut bytes = vec![0; len];
            fill(&mut bytes, 1);
            fs::write(path, bytes).unwrap();
        });
        assert_eq!(sequence, 28, "{backend:?}: {outcome:?}");
        assert_eq!(outcome.restored.unwrap().source, Source::Snapshot);
        let moved = outcome
            .refused
            .first()
            .and_then(|refusal| refusal.moved_to.clone());
        // sled takes noise for an empty log, and then there is nothing to move.
        assert!(
            moved.is_some() || backend == Backend::Sled,
            "{:?}",
            outcome.refused
        );
    }
}

#[test]
fn older_snapshot_takes_over_from_a_damaged_newer_one() {
    let (_dir, pristine) = filled(Backend::Sled, 7);
    fs::remove_dir_all(pristine.store_dir_for_test()).unwrap();
    let newest = newest_snapshot(&pristine);
    let bytes = fs::read(&newest).unwrap();
    for round in 0..16 {
        let mut damaged = bytes.clone();
        if round % 2 == 0 {
            damaged.truncate(mix(round) as usize % bytes.len());
        } else {
            let place = mix(round) as usize % bytes.len();
            damaged[place] ^= 0x10;
        }
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&pristine.dir, dir.path());
        fs::write(dir.path().join(newest.file_name().unwrap()), damaged).unwrap();
        let config = CheckpointConfig {
            dir: dir.path().to_owned(),
            ..pristine.clone()
        };
        let (sequence, outcome) = check_whole(&config, &format!("round {round}"));
        assert_eq!(sequence, 21, "{outcome:?}");
        assert!(matches!(outcome.refused[0].reason, Reason::Damaged(_)));
        assert!(outcome.refused[0].moved_to.as_ref().unwrap().is_file());
        assert_eq!(
            check_whole(&config, "again"),
            (
                21,
                Outcome {
                    refused: vec![],
                    ..outcome
                }
            )
        );
    }
}

#[test]
fn deleted_directory_costs_the_checkpoint_and_nothing_else() {
    for backend in BACKENDS {
        let (_dir, config) = filled(backend, 0);
        let mut writer = Writer::new(&config, &identity());
        write(&mut writer, &Model::at(LAST));
        fs::remove_dir_all(&config.dir).unwrap();
        assert_eq!(check_whole(&config, "deleted"), (0, Outcome::default()));
        // The writer still has the deleted files open: it notices, and the next checkpoint is a whole one.
        let error = writer.write(&Model::at(LAST + 1), mark(LAST + 1)).unwrap_err();
        assert!(error.to_string().contains("could not sync"), "{error}");
        write(&mut writer, &Model::at(LAST + 2));
        drop(writer);
        assert_eq!(check_whole(&config, "written anew").0, LAST + 2);
    }
}

fn newest_snapshot(config: &CheckpointConfig) -> std::path::PathBuf {
    let paths = ["snapshot-a.bin", "snapshot-b.bin"].map(|name| config.dir.join(name));
    let time = |path: &std::path::PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    paths.into_iter().max_by_key(time).unwrap()
}

trait StoreDir {
    fn store_dir_for_test(&self) -> std::path::PathBuf;
}

impl StoreDir for CheckpointConfig {
    fn store_dir_for_test(&self) -> std::path::PathBuf {
        self.dir.join(self.backend.name())
    }
}
