//! A journal whose feature set was exchanged while payments flowed is verified byte for byte, and its training set is
//! what was served.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use pinion_features::{FeatureSet, Since};
use pinion_node::admin::{Answer, Backfilled, Client, Request};
use pinion_node::bus::InProcess;
use pinion_node::{Config, Engine};
use pinion_publish::WhenUnheard;
use pinion_replay::export;
use pinion_replay::export::payments::JournalPayments;
use pinion_replay::export::target::Target;
use pinion_replay::verify::verify;
use pinion_transport::config::DriverKind;
use pinion_transport::in_process::{InProcessBus, InProcessPublication};
use pinion_transport::{Bus as _, Offer, Publication as _};
use support::{Day, config, day};

const PATIENCE: Duration = Duration::from_secs(60);

fn set_path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../features/{name}.toml"))
}

/// An engine over the bus of this process, and the payments that it is sent.
struct Live {
    engine: Engine,
    payments: InProcessPublication,
    frames: Vec<Vec<u8>>,
    sent: usize,
}

impl Live {
    fn start(config: &Config, day: &Day) -> Self {
        let mut bus = InProcessBus::new();
        let engine = Engine::start_on(config, &Default::default(), InProcess(bus.clone())).unwrap();
        let payments = bus.add_publication(&config.bus.payments).unwrap();
        Self {
            engine,
            payments,
            frames: day.payments.clone(),
            sent: 0,
        }
    }

    /// Sends frames up to number `to` and waits until all is decided.
    fn run(&mut self, to: usize) {
        let started = Instant::now();
        while self.sent < to.min(self.frames.len()) {
            if let Offer::Accepted(_) = self.payments.offer(&self.frames[self.sent]) {
                self.sent += 1;
            } else {
                std::thread::sleep(Duration::from_micros(100));
            }
            assert!(started.elapsed() < PATIENCE, "the engine takes no frame");
        }
        while !self.is_decided() {
            assert!(started.elapsed() < PATIENCE, "{:?}", self.engine.accounts());
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn is_decided(&self) -> bool {
        let lane = self.engine.accounts().payments;
        let seen = lane.accepted + lane.duplicates + lane.rejected;
        seen == self.sent as u64 && lane.inside() == 0
    }

    fn exchange(&mut self, config: &Config, set: &str, from: Option<&str>) -> Backfilled {
        // Some are left for the set to serve.
        let last = self.sent + self.frames.len() / 6;
        let request = Request::FeaturesBackfill {
            set: set_path(set),
            from: from.map(str::to_owned),
        };
        let dir = config.engine.dir.clone();
        let asked = std::thread::spawn(move || Client::connect(&dir).unwrap().ask(&request, |_| ()));
        while !asked.is_finished() {
            self.run(last.min(self.sent + 1));
            std::thread::sleep(Duration::from_millis(1));
        }
        match asked.join().unwrap().unwrap() {
            Answer::Backfilled(backfilled) => backfilled,
            other => panic!("{other:?}"),
        }
    }
}

fn config_of(folder: &Path, set: &str) -> Config {
    let mut config = config(folder);
    config.features.set = set_path(set);
    config.checkpoint.enabled = false;
    // The bus is of this process; a driver of the default name would be that of another test.
    config.bus.driver = DriverKind::External;
    config.publish.when_unheard = WhenUnheard::Drop;
    config
}

/// One set, another, and the first again: the journal is verified under either configuration.
fn check(from: Option<&str>) {
    let (folder, day) = (tempfile::tempdir().unwrap(), day());
    let config = config_of(folder.path(), "payments-v1");
    let mut live = Live::start(&config, &day);
    live.run(day.payments.len() / 3);
    live.exchange(&config, "payments-attempts", from);
    live.run(day.payments.len() * 2 / 3);
    live.exchange(&config, "payments-v1", None);
    live.run(day.payments.len());
    live.engine.stop().unwrap();
    let journal = config.journal().dir;
    for set in ["payments-v1", "payments-attempts"] {
        let verdict = verify(&config_of(folder.path(), set), &journal, |_| ()).unwrap();
        assert_eq!(verdict.first_difference, None, "{set}");
        assert!(verdict.payments.compared > 500, "{verdict:?}");
    }
    let set = FeatureSet::load(&set_path("payments-attempts")).unwrap();
    let since = export::since_of(&journal, &set).unwrap();
    assert_eq!(since.is_some(), from.is_some());
    let first = FeatureSet::load(&set_path("payments-v1")).unwrap();
    assert_eq!(export::since_of(&journal, &first).unwrap(), None);
    check_export(&config, set, since);
    // Without the log nothing verifies it.
    std::fs::remove_file(journal.join("feature-sets.jsonl")).unwrap();
    for set in ["payments-v1", "payments-attempts"] {
        let verdict = verify(&config_of(folder.path(), set), &journal, |_| ()).unwrap();
        assert!(!verdict.is_identical(), "{set}");
    }
}

/// Rows are those of the transactions that count.
fn check_export(config: &Config, set: FeatureSet, since: Option<Since>) {
    let rows = |since| {
        let mut payments = JournalPayments::open(&config.journal().dir, &config.ingest).unwrap();
        let request = export::Request {
            features: config.features.clone(),
            since,
            ..export::Request::of(set.clone())
        };
        let mut out = Vec::new();
        export::export(&request, &mut payments, Target::Csv(&mut out), |_| ()).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let (all, counting) = (rows(None), rows(since));
    let Some(since) = since else {
        assert_eq!(counting, all);
        return;
    };
    let of_time = |row: &str| row.split(',').nth(1).unwrap().parse::<i64>().unwrap();
    assert!(counting.iter().all(|row| of_time(row) >= since.from_ns));
    let later = all.iter().filter(|row| of_time(row) >= since.from_ns);
    assert_eq!(later.count(), counting.len());
    assert!(counting.len() < all.len());
    // The windows of the first ones no longer reach behind the day.
    assert!(counting.iter().any(|row| !all.contains(row)));
}

#[test]
fn journal_with_exchanged_sets_is_verified() {
    check(None);
}

#[test]
fn journal_with_a_set_from_a_day_on_is_verified() {
    check(Some("2018-04-03"));
}
