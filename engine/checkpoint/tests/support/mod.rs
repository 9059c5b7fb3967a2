//! A state whose bytes follow from a sequence alone, so that any checkpoint of it can be judged.
#![allow(dead_code, reason = "each test program uses a part")]

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use pinion_checkpoint::{
    Backend, CheckpointConfig, Identity, Limits, Mark, Outcome, Probe, Writer, Written, probe_main,
    restore_by,
};
use pinion_runtime::state::{PAGE_LEN, Region, RegionMut, State, digest};

pub(crate) const BACKENDS: [Backend; 2] = [Backend::Sled, Backend::Redb];

/// Pages of the model's largest region: several segments of sled.
const PAGES: usize = 600;

/// Three regions that change step by step.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) sequence: u64,
    rows: Vec<u8>,
    odd: Vec<u8>,
    counters: Vec<u8>,
}

impl Model {
    /// Before the first event. One region is not all zero then.
    pub(crate) fn new() -> Self {
        Self {
            sequence: 0,
            rows: vec![0; PAGES * PAGE_LEN],
            odd: vec![0; 5 * PAGE_LEN + 777],
            counters: vec![0xEE; 100],
        }
    }

    /// After event number `sequence`.
    pub(crate) fn at(sequence: u64) -> Self {
        let mut model = Self::new();
        while model.sequence < sequence {
            model.step();
        }
        model
    }

    /// The next event: a few bytes here, some pages there, now and then a page becomes zero again.
    pub(crate) fn step(&mut self) {
        self.sequence += 1;
        self.counters[..8].copy_from_slice(&self.sequence.to_le_bytes());
        let place = mix(self.sequence) as usize % self.odd.len();
        self.odd[place] ^= self.sequence as u8;
        for round in 0..1 + mix(self.sequence ^ 77) % 60 {
            let draw = mix(self.sequence << 8 | round);
            let page = draw as usize % PAGES;
            let bytes = &mut self.rows[page * PAGE_LEN..][..PAGE_LEN];
            match draw >> 60 {
                0 => bytes.fill(0),
                1..8 => bytes[(draw >> 32) as usize % PAGE_LEN] = draw as u8,
                _ => fill(bytes, draw),
            }
        }
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        digest(self)
    }
}

impl State for Model {
    fn regions(&self) -> Vec<Region<'_>> {
        let region = |name, index, bytes| Region { name, index, bytes };
        vec![
            region("rows", 0, &self.rows),
            region("rows", 1, &self.odd),
            region("counters", 0, &self.counters),
        ]
    }

    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        let region = |name, index, bytes| RegionMut { name, index, bytes };
        vec![
            region("rows", 0, &mut self.rows),
            region("rows", 1, &mut self.odd),
            region("counters", 0, &mut self.counters),
        ]
    }
}

/// Scatters the bits of `number`.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// Bytes that do not compress, from `seed`.
pub(crate) fn fill(bytes: &mut [u8], seed: u64) {
    for (word, place) in bytes.chunks_mut(8).zip(seed..) {
        word.copy_from_slice(&mix(place).to_le_bytes()[..word.len()]);
    }
}

pub(crate) fn config(dir: &Path, backend: Backend) -> CheckpointConfig {
    let config = CheckpointConfig {
        backend,
        snapshot_every: 0,
        cache_mib: 8,
        open_ms_max: 5000,
        dir: dir.to_owned(),
        ..CheckpointConfig::default()
    };
    config.validate().unwrap();
    config
}

pub(crate) fn identity() -> Identity {
    Identity {
        journal: 11,
        set_hash: 22,
        layout_hash: 33,
        schema: 1,
        build: "test".to_owned(),
    }
}

/// The mark that goes with event number `sequence`.
pub(crate) fn mark(sequence: u64) -> Mark {
    Mark {
        position: sequence * 128,
        input_index: sequence,
        sequence,
        answered_sequence: sequence,
        decision_hash: mix(sequence),
        event_ns: sequence as i64,
        written_ns: 1,
    }
}

/// A journal that ends with event number `sequence`.
pub(crate) fn limits(sequence: u64) -> Limits {
    Limits {
        durable_position: sequence * 128,
        decided_sequence: sequence,
    }
}

pub(crate) const NO_LIMITS: Limits = Limits {
    durable_position: u64::MAX,
    decided_sequence: u64::MAX,
};

/// This test program again, as a probe: each has a test of this name that calls [`be_a_probe`].
pub(crate) fn probe() -> Probe {
    probe_by("program_can_be_a_probe")
}

/// This test program again, running `test` alone.
pub(crate) fn probe_by(test: &str) -> Probe {
    Probe {
        program: None,
        arguments: ["--exact", test, "--nocapture"].map(OsString::from).to_vec(),
    }
}

pub(crate) fn be_a_probe() {
    if probe_main().is_some() {
        std::process::exit(0);
    }
}

pub(crate) fn write(writer: &mut Writer, model: &Model) -> Written {
    writer.write(model, mark(model.sequence)).unwrap()
}

/// Restores into a new model.
pub(crate) fn restore(config: &CheckpointConfig, limits: Limits) -> (Model, Outcome) {
    let mut model = Model::new();
    let outcome = restore_by(&probe(), config, &identity(), limits, &mut model);
    if let Some(restored) = &outcome.restored {
        model.sequence = restored.manifest.mark.sequence;
    }
    (model, outcome)
}

/// What is restored must be the state of its sequence, or nothing was touched. Returns the sequence, 0 for nothing.
#[track_caller]
pub(crate) fn check_whole(config: &CheckpointConfig, what: &str) -> (u64, Outcome) {
    let (model, outcome) = restore(config, NO_LIMITS);
    let expected = Model::at(model.sequence);
    assert!(
        model == expected,
        "{what}: not the state of sequence {}: {outcome:?}",
        model.sequence
    );
    if let Some(restored) = &outcome.restored {
        assert_eq!(restored.manifest.mark, mark(model.sequence), "{what}");
        assert_eq!(restored.manifest.state_hash, expected.digest(), "{what}");
    }
    (model.sequence, outcome)
}

/// The file of a store that holds its pages.
pub(crate) fn main_file(backend: Backend) -> &'static str {
    match backend {
        Backend::Sled => "sled/db",
        Backend::Redb => "redb/pages.redb",
    }
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
