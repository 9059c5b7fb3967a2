//! The power goes away: what was synced is there, of what was written since any part may be missing.
//!
//! A disk of the test's own keeps a copy of sled's log at every sync. Between two copies lies all that a loss of
//! power may drop, keep or tear. `PINION_KILLS` is the number of losses, 40 if it is not set.

mod support;

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use pinion_checkpoint::disk::{Disk, RealDisk};
use pinion_checkpoint::{Backend, CheckpointConfig, CheckpointError, StoreError, Writer};
use support::*;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

/// What was made durable, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Synced {
    /// A file, and whether the directory had a `snapshot-a.bin` then.
    File(PathBuf, bool),
    Directory(PathBuf, bool),
}

/// Keeps what sled's log held at each sync; fails when told to.
#[derive(Default)]
struct Recorder {
    root: PathBuf,
    images: Mutex<Vec<Vec<u8>>>,
    events: Mutex<Vec<Synced>>,
    fails: AtomicBool,
}

impl Recorder {
    fn over(dir: &Path) -> Arc<Self> {
        Arc::new(Self {
            root: dir.to_owned(),
            ..Self::default()
        })
    }

    fn note(&self, event: impl FnOnce(PathBuf, bool) -> Synced, path: &Path) {
        let has_snapshot = self.root.join("snapshot-a.bin").exists();
        let path = path.strip_prefix(&self.root).unwrap().to_owned();
        self.events.lock().unwrap().push(event(path, has_snapshot));
    }

    fn images(&self) -> Vec<Vec<u8>> {
        self.images.lock().unwrap().clone()
    }
}

impl Disk for Recorder {
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(io::Error::other("no platter"));
        }
        self.note(Synced::File, path);
        if path.ends_with("sled/db") {
            self.images.lock().unwrap().push(fs::read(path)?);
        }
        RealDisk.sync_file(file, path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.note(Synced::Directory, path);
        RealDisk.sync_directory(path)
    }
}

/// A store of sled in `dir` whose log is `log`; its other files are what they were or not there.
fn check_image(log: &[u8], settings: Option<&[u8]>, what: &str) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sled")).unwrap();
    fs::write(dir.path().join("sled/db"), log).unwrap();
    if let Some(settings) = settings {
        fs::write(dir.path().join("sled/conf"), settings).unwrap();
    }
    let (sequence, outcome) = check_whole(&config(dir.path(), Backend::Sled), what);
    assert_eq!(outcome.refused, [], "{what}");
    sequence
}

/// What a disk may hold when the power goes between two syncs: of each block the old bytes, the new ones, or some
/// sectors of each.
fn mixture(old: &[u8], new: &[u8], seed: u64) -> Vec<u8> {
    const BLOCK: usize = 4096;
    const SECTOR: usize = 512;
    let len = if mix(seed).is_multiple_of(3) {
        old.len()
    } else {
        new.len()
    };
    let mut image = old.to_vec();
    image.resize(len, 0);
    // From almost nothing written to almost all.
    let share = mix(seed ^ 1) % 100;
    for start in (0..len.min(new.len())).step_by(BLOCK) {
        let draw = mix((seed << 20) | (start / BLOCK) as u64);
        let end = len.min(new.len()).min(start + BLOCK);
        let torn = start + (draw >> 40) as usize % 8 * SECTOR;
        let kept = match draw % 100 {
            part if part < share => start..end,
            part if part == share => start..end.min(torn),
            _ => continue,
        };
        image[kept.clone()].copy_from_slice(&new[kept]);
    }
    image
}

#[test]
fn power_loss_leaves_the_last_checkpoint_or_the_next() {
    const LAST: u64 = 60;
    let losses: u64 = env::var("PINION_KILLS").map_or(40, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::over(dir.path());
    let config = config(dir.path(), Backend::Sled);
    let mut writer = Writer::with_disk(&config, &identity(), recorder.clone());
    let mut model = Model::new();
    while model.sequence < LAST {
        model.step();
        write(&mut writer, &model);
        let synced = recorder.images.lock().unwrap().len() as u64;
        assert_eq!(synced, model.sequence, "acknowledged before it was synced");
    }
    let images = recorder.images();
    let settings = fs::read(dir.path().join("sled/conf")).unwrap();
    let mut kept = 0;
    for loss in 0..losses {
        let next = 1 + mix(loss) as usize % (images.len() - 1);
        let image = mixture(&images[next - 1], &images[next], loss);
        let settings = Some(settings.as_slice()).filter(|_| loss % 2 == 0);
        let sequence = check_image(&image, settings, &format!("loss {loss} after {next}"));
        let range = next as u64..=next as u64 + 1;
        assert!(
            range.contains(&sequence),
            "loss {loss}: {sequence}, expected one of {range:?}"
        );
        kept += u64::from(sequence == next as u64);
    }
    println!("{losses} losses of power, {kept} of them left the checkpoint before");
}

#[test]
fn synced_log_holds_the_checkpoint_that_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::over(dir.path());
    let config = config(dir.path(), Backend::Sled);
    let mut writer = Writer::with_disk(&config, &identity(), recorder.clone());
    for sequence in 1..=8 {
        write(&mut writer, &Model::at(sequence));
    }
    for (image, sequence) in recorder.images().iter().zip(1..) {
        assert_eq!(check_image(image, None, "as synced"), sequence);
    }
}

#[test]
fn log_then_names_are_synced() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::over(dir.path());
    let mut config = config(dir.path(), Backend::Sled);
    config.snapshot_every = 1000;
    let mut writer = Writer::with_disk(&config, &identity(), recorder.clone());
    write(&mut writer, &Model::at(1));
    write(&mut writer, &Model::at(2));
    let file = |path: &str, has_snapshot| Synced::File(PathBuf::from(path), has_snapshot);
    let directory = |path: &str, has_snapshot| Synced::Directory(PathBuf::from(path), has_snapshot);
    let expected = [
        // The first snapshot: its bytes before its name, then the name.
        file("snapshot-a.bin.partial", false),
        directory("", true),
        file("sled/db", true),
        file("sled/conf", true),
        directory("sled", true),
        directory("", true),
        file("sled/db", true),
        directory("sled", true),
    ];
    assert_eq!(*recorder.events.lock().unwrap(), expected);
}

/// A writer over a disk that fails its second checkpoint.
fn failing(config: &CheckpointConfig, recorder: &Arc<Recorder>) -> (Writer, CheckpointError) {
    let mut writer = Writer::with_disk(config, &identity(), recorder.clone());
    write(&mut writer, &Model::at(1));
    recorder.fails.store(true, Ordering::Relaxed);
    let error = writer.write(&Model::at(2), mark(2)).unwrap_err();
    recorder.fails.store(false, Ordering::Relaxed);
    (writer, error)
}

#[test]
fn failed_sync_is_never_believed_again() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::over(dir.path());
    let config = config(dir.path(), Backend::Sled);
    let (mut writer, error) = failing(&config, &recorder);
    assert!(
        matches!(error, CheckpointError::Store(StoreError::Sync { .. })),
        "{error}"
    );
    assert!(dir.path().join("sled.quarantined-1").is_dir());
    let written = write(&mut writer, &Model::at(3));
    assert_eq!(written.pages, written.manifest.pages, "all of it anew");
    drop(writer);
    assert_eq!(check_whole(&config, "after a failed sync").0, 3);
}

#[test]
fn failed_snapshot_leaves_the_checkpoint_and_the_old_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), Backend::Redb);
    config.snapshot_every = 1;
    let recorder = Recorder::over(dir.path());
    let mut writer = Writer::with_disk(&config, &identity(), recorder.clone());
    write(&mut writer, &Model::at(1));
    recorder.fails.store(true, Ordering::Relaxed);
    let written = write(&mut writer, &Model::at(2));
    let message = written.snapshot.unwrap().unwrap_err().to_string();
    assert!(
        message.contains("snapshot-b.bin.partial: could not write the snapshot"),
        "{message}"
    );
    drop(writer);
    assert_eq!(check_whole(&config, "the store").0, 2);
    fs::remove_dir_all(dir.path().join("redb")).unwrap();
    assert_eq!(check_whole(&config, "the snapshot before").0, 1);
}
