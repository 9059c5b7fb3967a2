//! A disk that takes no more: the write is an error that says so, the last checkpoint stays whole, and with room
//! there is a next one.
//!
//! Stood in for by the limit on a file's size, which the shell sets and which needs no privileges.

mod support;

use std::env;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pinion_checkpoint::disk::{Disk, RealDisk};
use pinion_checkpoint::{Backend, CheckpointError, StoreError, Writer};
use pinion_runtime::state::State as _;
use support::*;

const DIR_KEY: &str = "PINION_TEST_CHECKPOINT_DIR";

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

/// Runs the test named `test` again, in a process whose files end at `len_max` bytes, over `dir`.
fn run_limited(test: &str, dir: &Path, len_max: u64) {
    // Blocks of 512 bytes; a write beyond them is an error and no signal.
    let script = "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"";
    let status = Command::new("sh")
        .args(["-c", script, "limited", &(len_max / 512).to_string()])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIR_KEY, dir)
        .status()
        .unwrap();
    assert!(status.success());
}

/// A checkpoint that was there before, then ones of noise until the disk is full, then some more.
fn write_until_full(dir: &Path, backend: Backend) {
    let config = config(dir, backend);
    let mut writer = Writer::new(&config, &identity());
    let mut errors = 0;
    for round in 1..=400 {
        let mut model = Model::at(5);
        for region in model.regions_mut() {
            fill(region.bytes, round * 1_000_003);
        }
        match writer.write(&model, mark(100)) {
            // A store that no longer opened was begun anew, which made room.
            Ok(_) if errors > 0 => return,
            Ok(_) => {}
            Err(CheckpointError::Store(error)) => {
                let message = error.to_string();
                assert!(matches!(error, StoreError::Io { .. }), "{message}");
                assert!(
                    message.contains(backend.name()) && message.contains("could not"),
                    "{message}"
                );
                errors += 1;
            }
            Err(error) => panic!("{error}"),
        }
        if errors == 3 {
            return;
        }
    }
    panic!("the disk was never full");
}

fn check_full(test: &str, backend: Backend) {
    if let Some(dir) = env::var_os(DIR_KEY) {
        write_until_full(Path::new(&dir), backend);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), backend);
    write(&mut Writer::new(&config, &identity()), &Model::at(5));
    let len = std::fs::metadata(dir.path().join(main_file(backend)))
        .unwrap()
        .len();
    run_limited(test, dir.path(), len + (256 << 10));

    let (model, outcome) = restore(&config, NO_LIMITS);
    assert_eq!((model.sequence, outcome.refused.len()), (5, 0), "{outcome:?}");
    assert!(model == Model::at(5));
    write(&mut Writer::new(&config, &identity()), &Model::at(6));
    assert_eq!(check_whole(&config, "with room again").0, 6);
}

#[test]
fn full_disk_under_sled_is_an_error_and_loses_nothing() {
    check_full(
        "full_disk_under_sled_is_an_error_and_loses_nothing",
        Backend::Sled,
    );
}

#[test]
fn full_disk_under_redb_is_an_error_and_loses_nothing() {
    check_full(
        "full_disk_under_redb_is_an_error_and_loses_nothing",
        Backend::Redb,
    );
}

/// A disk that has no room and whose store holds half of something.
struct Full;

impl Disk for Full {
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        RealDisk.sync_file(file, path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_directory(path)
    }

    fn has_room(&self, _path: &Path) -> bool {
        false
    }
}

/// A store that a full disk has left unreadable is removed, not kept, and the next checkpoint is whole.
fn check_no_damage(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), backend);
    write(&mut Writer::new(&config, &identity()), &Model::at(5));
    let path = dir.path().join(main_file(backend));
    let len = std::fs::metadata(&path).unwrap().len() as usize;
    std::fs::write(&path, vec![0xA5; len]).unwrap();
    write(
        &mut Writer::with_disk(&config, &identity(), Arc::new(Full)),
        &Model::at(6),
    );
    let is_kept = |name: &str| name.contains(".quarantined-");
    let entries = std::fs::read_dir(dir.path()).unwrap();
    let names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|name| is_kept(name)), "{names:?}");
    assert_eq!(check_whole(&config, "begun anew").0, 6);
}

#[test]
fn store_that_a_full_disk_left_unreadable_is_removed_and_not_kept() {
    BACKENDS.into_iter().for_each(check_no_damage);
}
