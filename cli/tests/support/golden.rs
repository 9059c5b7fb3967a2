//! The journal that is committed with the replays' tests.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;

use super::{Room, root};

/// The committed journal, unpacked into the room; gives its first segment.
pub(crate) fn unpack(room: &Room) -> PathBuf {
    fs::create_dir(room.path("journal")).unwrap();
    for item in fs::read_dir(golden().join("journal")).unwrap() {
        let path = item.unwrap().path();
        let mut bytes = Vec::new();
        GzDecoder::new(File::open(&path).unwrap())
            .read_to_end(&mut bytes)
            .unwrap();
        fs::write(room.path("journal").join(path.file_stem().unwrap()), bytes).unwrap();
    }
    room.path("journal/0000000000000001.segment")
}

fn golden() -> PathBuf {
    root().join("replay/tests/golden")
}

/// The words that run `command` on the room's journal under the golden configuration, and `more`.
pub(crate) fn on_journal(command: &str, more: &[&str]) -> Vec<String> {
    let model = format!("score.model={}", golden().join("model").display());
    let config = golden().join("pinion.toml").display().to_string();
    let set = format!(
        "features.set={}",
        root().join("features/payments-v1.toml").display()
    );
    let place = [
        "--journal",
        "journal",
        "--config",
        &config,
        "--set",
        &model,
        "--set",
        &set,
    ];
    let words = command.split(' ').chain(place).chain(more.iter().copied());
    words.map(str::to_owned).collect()
}
