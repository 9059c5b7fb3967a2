//! One small day of both lanes, a configuration that decides it, and the two ways of deciding it live.
#![allow(dead_code, unreachable_pub)] // Each test file is a program of its own and uses a part of this one.

pub mod cut;
pub mod live;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use pinion_node::{Config, Sources};
use pinion_replay::generate::{MarketConfig, MarketGenerator, PaymentsConfig, PaymentsGenerator};
use pinion_replay::import::EventSource;
use pinion_replay::import::source::SourceEvent;
use pinion_replay::session::{Replayed, replay_to_decisions};
use pinion_schemas::encode::{Encoder, Stamp};
use pinion_schemas::records::DecisionRecord;
use pinion_schemas::wire::Lane;

/// The committed journal, model and decisions.
pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The committed configuration: small tables, the golden model, and code of our own for the encoder, so that the
/// bits of a score are the same on every machine.
pub fn config(folder: &Path) -> Config {
    let engine = format!("engine.dir={}", folder.display());
    let model = format!("score.model={}", golden().join("model").display());
    let set = golden().join("../../../features/payments-v1.toml");
    let set = format!("features.set={}", set.display());
    let sources = Sources {
        file: Some(golden().join("pinion.toml")),
        flags: vec![engine, model, set],
        ..Sources::default()
    };
    Config::load(&sources).unwrap_or_else(|findings| panic!("{}", findings[0]))
}

/// What is sent on either stream, and how much of it an engine accepts.
#[derive(Clone, Debug)]
pub struct Day {
    pub market: Vec<Vec<u8>>,
    pub payments: Vec<Vec<u8>>,
    pub accepted: u64,
    pub duplicates: u64,
    pub rejected: u64,
}

/// A made day: orders and trades of four instruments; payments, frauds, labels and account updates of more
/// customers than the tables hold, so that some are forgotten; and among them what must be refused.
pub fn day() -> Day {
    let market = MarketConfig {
        seed: 7,
        instruments: 4,
        events: 1_700,
        ..MarketConfig::default()
    };
    let payments = PaymentsConfig {
        seed: 7,
        customers: 80,
        terminals: 60,
        radius: 30.0,
        days: 10,
        terminals_compromised_per_day: 1,
        customers_compromised_per_day: 2,
        account_updates_per_day: 0.03,
        ..PaymentsConfig::default()
    };
    let market = events(MarketGenerator::new(market).unwrap());
    let payments = events(PaymentsGenerator::new(payments).unwrap());
    let accepted = (market.len() + payments.len()) as u64;
    let mut day = Day {
        market: Vec::new(),
        payments: Vec::new(),
        accepted,
        duplicates: 0,
        rejected: 0,
    };
    day.market = day.frames(&market);
    day.payments = day.frames(&payments);
    day
}

fn events(mut source: impl EventSource) -> Vec<SourceEvent> {
    std::iter::from_fn(|| source.next().unwrap()).collect()
}

impl Day {
    /// The frames of one publisher; now and then one comes twice, or something that is no frame comes.
    fn frames(&mut self, events: &[SourceEvent]) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new();
        let mut frames = Vec::new();
        for (sequence, SourceEvent { event, flags }) in (1..).zip(events) {
            let stamp = Stamp {
                publisher_id: 7,
                session: 1,
                sequence,
                flags: *flags,
            };
            let frame = encoder.encode(&stamp, event).to_vec();
            let bad = match sequence % 400 {
                50 => Some(b"this is not a frame".to_vec()),
                150 => Some(frame[..frame.len() / 2].to_vec()),
                250 => Some(vec![0; 5_000]),
                _ => None,
            };
            self.rejected += u64::from(bad.is_some());
            frames.extend(bad);
            if sequence % 400 == 350 {
                self.duplicates += 1;
                frames.push(frame.clone());
            }
            frames.push(frame);
        }
        frames
    }
}

/// Every decision with an action, in the order of the replay, and what the replay did.
pub fn decisions(config: &Config, journal: &Path) -> (Vec<DecisionRecord>, Replayed) {
    let mut records = Vec::new();
    let replayed = replay_to_decisions(config, journal, |record| records.push(*record), |_| ()).unwrap();
    (records, replayed)
}

/// The decisions of one lane.
pub fn of_lane(records: &[DecisionRecord], lane: Lane) -> Vec<DecisionRecord> {
    records
        .iter()
        .copied()
        .filter(|record| record.lane == lane.0)
        .collect()
}

/// Puts the committed journal into `dir`.
pub fn unpack(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    for path in files(&golden().join("journal"), "gz") {
        let mut bytes = Vec::new();
        GzDecoder::new(fs::File::open(&path).unwrap())
            .read_to_end(&mut bytes)
            .unwrap();
        fs::write(dir.join(path.file_stem().unwrap()), bytes).unwrap();
    }
}

/// Makes the journal in `dir` the committed one.
pub fn pack(dir: &Path) {
    let to = golden().join("journal");
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(&to).unwrap();
    for path in files(dir, "segment") {
        let name = format!("{}.gz", path.file_name().unwrap().to_str().unwrap());
        let mut out = GzEncoder::new(fs::File::create(to.join(name)).unwrap(), Compression::best());
        out.write_all(&fs::read(path).unwrap()).unwrap();
        out.finish().unwrap();
    }
}

/// The files of `dir` with an extension, in the order of their names.
pub fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|item| item.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}

/// A folder with the committed journal in it, and the configuration that wrote it.
pub struct Golden {
    pub config: Config,
    pub journal: PathBuf,
    _folder: tempfile::TempDir,
}

impl Golden {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let journal = config.journal().dir;
        unpack(&journal);
        Self {
            config,
            journal,
            _folder: folder,
        }
    }
}
