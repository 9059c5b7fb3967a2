//! A journal whose model was exchanged while payments flowed is verified byte for byte, and each payment is explained by
//! the model that scored it; wherever the engine was killed.
//!
//! `PINION_KILLS` is the number of kills, 12 if it is not set.

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pinion_checkpoint::Probe;
use pinion_node::admin::{Answer, Client, Request, Swapped};
use pinion_node::bus::InProcess;
use pinion_node::models::{Known, ModelLog, Step};
use pinion_node::{Config, Engine};
use pinion_publish::WhenUnheard;
use pinion_replay::difference::Difference;
use pinion_replay::explain::{Wanted, explain};
use pinion_replay::generate::{PaymentsConfig, PaymentsGenerator};
use pinion_replay::import::EventSource as _;
use pinion_replay::verify::verify;
use pinion_schemas::encode::{Encoder, Stamp};
use pinion_score::Backend;
use pinion_transport::config::DriverKind;
use pinion_transport::in_process::{InProcessBus, InProcessPublication};
use pinion_transport::{Bus as _, Offer, Publication as _};
use support::{config, golden};

const PATIENCE: Duration = Duration::from_secs(120);

const DIR_KEY: &str = "PINION_TEST_SWAPPED_DIR";
const KILLED: &str = "engine_that_is_killed_during_swaps_leaves_a_journal_that_is_verified";

#[test]
fn program_can_be_a_probe() {
    let _ = pinion_checkpoint::probe_main();
}

fn probe() -> Probe {
    Probe {
        program: None,
        arguments: ["--exact", "program_can_be_a_probe"].map(Into::into).into(),
    }
}

/// The golden model, and one that votes otherwise.
fn models(folder: &Path) -> [PathBuf; 2] {
    let other = folder.join("other");
    if !other.exists() {
        std::fs::create_dir_all(&other).unwrap();
        for file in ["bank.bin", "encoder.onnx", "manifest.toml"] {
            std::fs::copy(golden().join("model").join(file), other.join(file)).unwrap();
        }
        let path = other.join("manifest.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = text.replacen("temperature = ", "temperature = 1", 1);
        std::fs::write(path, changed).unwrap();
    }
    [golden().join("model"), other]
}

fn config_of(folder: &Path) -> Config {
    let mut config = config(&folder.join("data"));
    config.checkpoint.enabled = false;
    // The bus is of this process; a driver of the default name would be that of another test.
    config.bus.driver = DriverKind::External;
    config.publish.when_unheard = WhenUnheard::Drop;
    config
}

fn with_model(config: &Config, model: &Path) -> Config {
    let mut config = config.clone();
    config.score.model = model.display().to_string();
    config
}

fn frames(days: u32) -> Vec<Vec<u8>> {
    let payments = PaymentsConfig {
        seed: 7,
        customers: 80,
        terminals: 60,
        radius: 30.0,
        days,
        terminals_compromised_per_day: 1,
        customers_compromised_per_day: 2,
        account_updates_per_day: 0.03,
        ..PaymentsConfig::default()
    };
    let mut source = PaymentsGenerator::new(payments).unwrap();
    let mut encoder = Encoder::new();
    let events = std::iter::from_fn(|| source.next().unwrap());
    let encode = |(sequence, event): (u64, pinion_replay::import::source::SourceEvent)| {
        let stamp = Stamp {
            publisher_id: 7,
            session: 1,
            sequence,
            flags: event.flags,
        };
        encoder.encode(&stamp, &event.event).to_vec()
    };
    (1..).zip(events).map(encode).collect()
}

/// An engine over the bus of this process, and the payments that it is sent; those that it has are duplicates.
struct Live {
    engine: Engine,
    payments: InProcessPublication,
    frames: Vec<Vec<u8>>,
    sent: usize,
}

impl Live {
    fn start(config: &Config, frames: &[Vec<u8>]) -> Self {
        let mut bus = InProcessBus::new();
        let engine = Engine::start_on(config, &probe(), InProcess(bus.clone())).unwrap();
        let payments = bus.add_publication(&config.bus.payments).unwrap();
        Self {
            engine,
            payments,
            frames: frames.to_vec(),
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

    /// Swaps while payments flow; at most one in twenty of all.
    fn swap(&mut self, config: &Config, model: &Path) -> Swapped {
        let last = self.sent + self.frames.len() / 20;
        let (dir, model) = (config.engine.dir.clone(), model.to_owned());
        let asked = std::thread::spawn(move || ask(&dir, model));
        while !asked.is_finished() {
            self.run(last.min(self.sent + 1));
            std::thread::sleep(Duration::from_millis(1));
        }
        asked.join().unwrap().unwrap()
    }
}

fn ask(dir: &Path, model: PathBuf) -> Result<Swapped, String> {
    let mut client = Client::connect(dir).map_err(|error| error.to_string())?;
    match client.ask(&Request::ModelSwap { model }, |_| ()) {
        Ok(Answer::Swapped(swapped)) => Ok(swapped),
        other => Err(format!("{other:?}")),
    }
}

/// The journal is verified under each of the models, and the payment's explanation is the recorded score.
fn check(config: &Config, models: &[PathBuf; 2], explained: &[(u64, usize)]) {
    let journal = config.journal().dir;
    for model in models {
        let config = with_model(config, model);
        let verdict = verify(&config, &journal, |_| ()).unwrap();
        assert_eq!(verdict.first_difference, None, "{}", model.display());
        assert!(verdict.payments.compared > 500, "{verdict:?}");
        for &(sequence, which) in explained {
            let explained = explain(&config, &journal, Wanted::Sequence(sequence), |_| ());
            let explained = explained.unwrap().expect("a transaction");
            let hash = Known::find(&models[which].display().to_string()).unwrap().hash;
            assert_eq!(explained.score.model_hash, hash, "payment {sequence}");
            assert_eq!(explained.is_as_recorded(), Some(true), "payment {sequence}");
        }
    }
}

/// The first transaction behind a payment, by its recorded decision.
fn transaction_behind(config: &Config, sequence: u64) -> u64 {
    let journal = pinion_replay::sources::RecordedJournal::open(&config.journal().dir).unwrap();
    let mut decisions = journal.decisions(pinion_schemas::wire::Lane::Payment).unwrap();
    std::iter::from_fn(|| decisions.next_decision().unwrap())
        .map(|decision| decision.sequence)
        .find(|&found| found > sequence)
        .unwrap()
}

#[test]
fn journal_with_swapped_and_deployed_models_is_verified_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (config, models) = (config_of(folder.path()), models(folder.path()));
    let frames = frames(10);
    let mut live = Live::start(&config, &frames);
    live.run(frames.len() / 4);
    let one = live.swap(&config, &models[1]).first_sequence - 1;
    live.run(frames.len() / 2);
    let two = live.swap(&config, &models[0]).first_sequence - 1;
    live.run(frames.len() * 3 / 4);
    let three = live.engine.accounts().payments.decided;
    live.engine.stop().unwrap();
    // A deployment by a restart.
    let mut live = Live::start(&with_model(&config, &models[1]), &frames);
    live.run(frames.len());
    live.engine.stop().unwrap();
    let steps = ModelLog::of_journal(&config.journal().dir).unwrap().unwrap();
    let steps: Vec<Step> = steps.changes().iter().map(|change| change.step).collect();
    use Step::{Began, Done, Prepared};
    assert_eq!(steps, [Began, Prepared, Done, Prepared, Done, Began]);
    let explained = [(0, 0), (one, 1), (two, 0), (three, 1)]
        .map(|(behind, which)| (transaction_behind(&config, behind), which));
    check(&config, &models, &explained);
    // An engine with a GPU would have written the same, and its journal needs none.
    let mut of_gpu = config.clone();
    of_gpu.score.backend = Backend::Cuda;
    check(&of_gpu, &models, &explained);
    // Without the log nothing verifies it, and it is told.
    std::fs::remove_file(config.journal().dir.join("models.jsonl")).unwrap();
    for model in &models {
        let verdict = verify(&with_model(&config, model), &config.journal().dir, |_| ()).unwrap();
        assert!(matches!(
            verdict.first_difference,
            Some(Difference::Fields { .. })
        ));
    }
}

#[test]
fn former_model_that_is_gone_is_named_by_replay_and_explanation() {
    let folder = tempfile::tempdir().unwrap();
    let (config, models) = (config_of(folder.path()), models(folder.path()));
    let frames = frames(5);
    let first = with_model(&config, &models[1]);
    let mut live = Live::start(&first, &frames);
    live.run(frames.len() / 2);
    let last = live.swap(&first, &models[0]).first_sequence - 1;
    live.run(frames.len());
    live.engine.stop().unwrap();
    std::fs::remove_dir_all(&models[1]).unwrap();
    let journal = config.journal().dir;
    let said = verify(&config, &journal, |_| ()).unwrap_err().to_string();
    let explained = explain(
        &config,
        &journal,
        Wanted::Sequence(transaction_behind(&config, 0)),
        |_| (),
    );
    assert_eq!(explained.err().unwrap().to_string(), said);
    let (begin, end) = (
        "other: no manifest.toml, expected the model golden",
        format!("which scores the journal's payments 1 to {last} (models.jsonl)"),
    );
    assert!(said.contains(begin) && said.ends_with(&end), "{said}");
    let later = Wanted::Sequence(transaction_behind(&config, last));
    assert_eq!(
        explain(&config, &journal, later, |_| ())
            .unwrap()
            .unwrap()
            .is_as_recorded(),
        Some(true)
    );
}

/// A life under load with one swap after another, until it is killed.
fn live(folder: &Path) {
    let config = killed_config(folder);
    let mut live = Live::start(&config, &frames(60));
    let dir = config.engine.dir.clone();
    let models = models(folder);
    std::thread::spawn(move || {
        for model in models.iter().cycle() {
            // The model in force may be the same one.
            let _ = ask(&dir, model.clone());
        }
    });
    println!("\nlives");
    live.run(usize::MAX);
    std::thread::sleep(PATIENCE);
}

fn killed_config(folder: &Path) -> Config {
    let mut config = config_of(folder);
    config.checkpoint.enabled = true;
    config.checkpoint.interval_s = 1;
    config
}

/// Numbers that look drawn.
fn draw(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
}

#[test]
fn engine_that_is_killed_during_swaps_leaves_a_journal_that_is_verified() {
    if let Some(folder) = std::env::var_os(DIR_KEY) {
        return live(Path::new(&folder));
    }
    let kills: u64 = std::env::var("PINION_KILLS").map_or(12, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (config, models) = (killed_config(folder.path()), models(folder.path()));
    for kill in 0..kills {
        let mut life = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", KILLED, "--nocapture"])
            .env(DIR_KEY, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Every fourth is killed wherever its start may be.
        if kill % 4 != 3 {
            let lines = BufReader::new(life.stdout.take().unwrap()).lines();
            assert!(lines.map_while(Result::ok).any(|line| line == "lives"));
        }
        std::thread::sleep(Duration::from_micros(draw(kill) % 1_000_000));
        life.kill().unwrap();
        life.wait().unwrap();
    }
    // Whatever was under way is settled; with and without the checkpoint it comes to the same.
    let hash = |keeps_checkpoint: bool| {
        if !keeps_checkpoint {
            std::fs::remove_dir_all(config.checkpoint().dir).unwrap();
        }
        let live = Live::start(&config, &[]);
        live.engine.stop().unwrap().accounts.payments.decision_hash
    };
    assert_eq!(hash(true), hash(false));
    let log = ModelLog::of_journal(&config.journal().dir).unwrap().unwrap();
    let count = |step: Step| log.changes().iter().filter(|change| change.step == step).count();
    let (prepared, done, dropped) = (count(Step::Prepared), count(Step::Done), count(Step::Dropped));
    println!("{kills} kills: {prepared} swaps were prepared, {done} done, {dropped} dropped");
    assert_eq!(prepared, done + dropped, "each is settled");
    assert!(done > 2, "some were done");
    check(&config, &models, &[]);
}
