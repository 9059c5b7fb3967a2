//! An engine that is killed at random moments while it runs under load and writes checkpoints: after each restart
//! its state is that of a run without interruption, up to the same payment.
//!
//! `PINION_KILLS` is the number of kills, 40 if it is not set.

mod support;

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinion_journal::Reader;
use pinion_node::admin::{Client, Request};
use pinion_node::feature_sets::InForce;
use pinion_node::{Config, Replica};
use support::*;

const DIR_KEY: &str = "PINION_TEST_NODE_DIR";
const TEST: &str = "killed_engine_comes_back_to_the_state_of_a_run_without_interruption";

/// Time from one checkpoint to the next.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(20);

/// Payments that a life may run at most: the load has no end.
const PAYMENTS_MAX: u64 = 1 << 40;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

fn kills() -> u64 {
    std::env::var("PINION_KILLS").map_or(40, |text| text.parse().unwrap())
}

/// Starts, tells where it stands, then runs under load with checkpoints until it is killed.
fn live(folder: &Path) {
    let config = config(folder);
    let mut light = Light::start(&config);
    let sequence = light.feeder.sent[0];
    let restored = light.engine.recovered().restored.clone();
    println!(
        "\nstands {sequence} {} {}",
        restored.map_or(0, |restored| restored.sequence),
        light.digest_at(sequence).digest
    );
    std::thread::spawn(move || checkpoint_for_ever(&config));
    light.feeder.feed(PAYMENTS_MAX);
}

fn checkpoint_for_ever(config: &Config) {
    let mut client = Client::connect(&config.engine.dir).unwrap();
    loop {
        client.ask(&Request::Checkpoint, |_| ()).unwrap();
        std::thread::sleep(CHECKPOINT_INTERVAL);
    }
}

/// A life, until it is killed.
struct Life {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What a life says of itself at its start.
struct Stand {
    sequence: u64,
    restored: u64,
    digest: String,
}

impl Life {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(DIR_KEY, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// Waits until it stands.
    fn stand(&mut self) -> Stand {
        let line = self.lines.by_ref().map_while(Result::ok).find_map(|line| {
            let words = line.strip_prefix("stands ")?;
            Some(words.to_owned())
        });
        let line = line.expect("a life comes to stand");
        let words: Vec<&str> = line.split(' ').collect();
        Stand {
            sequence: words[0].parse().unwrap(),
            restored: words[1].parse().unwrap(),
            digest: words[2].to_owned(),
        }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        assert!(!self.process.wait().unwrap().success());
    }
}

/// A replica that is never interrupted, up to payment `sequence`.
fn run_on(replica: &mut Replica, inputs: &mut Reader, sequence: u64) -> String {
    replica.run(inputs, sequence, usize::MAX, |_, _| ()).unwrap();
    assert_eq!(replica.place().sequence, sequence);
    replica
        .digest()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn killed_engine_comes_back_to_the_state_of_a_run_without_interruption() {
    if let Some(folder) = std::env::var_os(DIR_KEY) {
        return live(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let set = Arc::new(config.features.load_set().unwrap());
    let mut whole = Replica::with_cases(&config, &[InForce::always(set)]).unwrap();
    let mut inputs = None;
    let (mut from_checkpoint, mut at_start, mut tail) = (0, 0, 0);
    let began = Instant::now();
    for kill in 0..kills() {
        let mut life = Life::start(folder.path());
        // Every fourth is killed wherever its start may be.
        if kill % 4 == 3 {
            std::thread::sleep(Duration::from_micros(mix(kill) % 400_000));
            at_start += 1;
            life.kill();
            continue;
        }
        let stand = life.stand();
        let inputs = inputs.get_or_insert_with(|| Reader::open(&config.journal().dir).unwrap());
        assert_eq!(
            run_on(&mut whole, inputs, stand.sequence),
            stand.digest,
            "kill {kill}"
        );
        from_checkpoint += u64::from(stand.restored > 0);
        tail += stand.sequence - stand.restored;
        std::thread::sleep(Duration::from_micros(mix(kill) % 250_000));
        life.kill();
    }
    let mut light = Light::start(&config);
    let sequence = light.feeder.sent[0];
    let inputs = inputs.as_mut().unwrap();
    assert_eq!(
        light.digest_at(sequence).digest,
        run_on(&mut whole, inputs, sequence)
    );
    light.run(sequence + 100);
    let hash = light.stop();
    println!(
        "{} kills ({at_start} of them during a start) in {:.0} s: {from_checkpoint} lives began at a checkpoint, \
         {tail} payments were run again, {sequence} payments in all",
        kills(),
        began.elapsed().as_secs_f64()
    );
    assert!(from_checkpoint > 0, "a life began at a checkpoint");
    std::fs::remove_dir_all(config.checkpoint().dir).unwrap();
    let light = Light::start(&config);
    assert_eq!(light.engine.recovered().restored, None);
    assert_eq!(
        light.stop(),
        hash,
        "the live lane decided as in a run of the whole journal"
    );
}
