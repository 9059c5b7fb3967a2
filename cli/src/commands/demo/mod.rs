//! `pinion demo`: everything at work, on real components, in less than a minute.
//!
//! ```text
//!   [days] made ─▶ two `pinion publish` processes ─▶ Aeron ─▶ engine on its cores ─▶ Aeron ─▶ [watch]
//!                                                                │                            live view
//!                                                             journal ─▶ verified ─▶ [summary]
//! ```
//!
//! Invariant: nothing is shown that was not measured in this run.

mod days;
mod summary;
mod watch;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pinion_node::{Config, Engine, NodeError, Summary, conduct};
use pinion_publish::WhenUnheard;
use pinion_runtime::cores::Plan;
use pinion_runtime::counters::Counters;
use pinion_runtime::shutdown::Signal;
use pinion_strategy::config::Parameter;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::args::{DemoArguments, Output};
use crate::commands::run::plan_lines;
use crate::exit::{Ended, Failure};
use crate::out::grouped;
use crate::{configuration, connection, signals};

use days::Days;
use watch::{Scene, Watch};

/// How long both days are played.
const PLAYED: Duration = Duration::from_secs(18);

/// Runs it.
///
/// # Errors
/// A component could not be started or failed, or an event was lost.
pub fn run(arguments: &DemoArguments, output: Output) -> Result<Ended, Failure> {
    let started = Instant::now();
    let folder = Folder::new(arguments.keep.as_deref())?;
    let (config, _) = configuration::load_with_set(&arguments.configuration)?;
    let config = demo_config(config, &folder.path);
    folder.keep(&config)?;
    eprintln!(
        "[1/4] making a payments day and a market day in {}",
        folder.path.display()
    );
    let days = Days::make(arguments, &folder.path)?;
    eprintln!(
        "      {} payment events with {} frauds among them, {} market events",
        grouped(days.payment_events),
        grouped(days.truth.frauds()),
        grouped(days.market_events)
    );
    eprintln!("[2/4] starting an engine: journal, media driver, agents on their cores");
    let signal = signals::watch()?;
    let engine = Engine::start(&config)?;
    plan_lines(engine.plan())
        .iter()
        .for_each(|line| eprintln!("      {line}"));
    keep_off_spinning_cores(engine.plan());
    let running = Running::new(engine, signal.clone());
    eprintln!(
        "[3/4] publishing both days over Aeron from two processes, in {} s",
        PLAYED.as_secs()
    );
    let publishers = publishers(&config, &days)?;
    let scene = Scene {
        config: &config,
        counters: &running.counters,
        signal: &signal,
        truth: &days.truth,
        publishers,
        market_events: days.market_events,
        payment_events: days.payment_events,
    };
    let seen = connection::with(&config, Watch(scene));
    let stopped = running.stop();
    let (seen, engine) = (seen?, stopped?);
    eprintln!("[4/4] verifying the journal: every input again through the same stages");
    let verdict = pinion_replay::verify::verify(&config, &config.journal().dir, |_| {})?;
    let report = summary::Report {
        seen,
        engine,
        verdict,
        days: &days,
        took: started.elapsed(),
    };
    report.tell(output, folder.kept.then_some(folder.path.as_path()))?;
    report.judge()
}

/// Lets this thread, and what it starts from now on, run only where no agent spins: the listener and the
/// publishers would else take turns of milliseconds away from the hot path. Without such a core, or without the
/// permission, they run anywhere.
fn keep_off_spinning_cores(plan: &Plan) {
    let mut cores = CpuSet::new();
    plan.quiet_cores.iter().for_each(|&core| cores.set(core));
    if !plan.quiet_cores.is_empty() {
        let _ = sched_setaffinity(None, &cores);
    }
}

/// The engine's configuration: everything in the demo's folder, a bus that no other engine has, decisions that
/// wait for the listener, and a market module that speaks up sooner than by default, since a generated market
/// leans less than a real one.
fn demo_config(mut config: Config, folder: &Path) -> Config {
    config.engine.dir = folder.join("data");
    config.bus.node = format!("demo-{}", std::process::id());
    config.publish.when_unheard = WhenUnheard::Wait;
    let parameters = &mut config.strategy.market.parameters;
    if config.strategy.market.module == "book-imbalance" && parameters.is_empty() {
        parameters.insert("enter_at".to_owned(), Parameter::Float(0.2));
        parameters.insert("release_at".to_owned(), Parameter::Float(0.05));
    }
    config
}

/// The configuration in a folder that is kept.
const CONFIG_FILE: &str = "pinion.toml";

/// The demo's folder; removed at the end unless it is to be kept.
struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    fn new(keep: Option<&Path>) -> Result<Self, Failure> {
        let path = match keep {
            Some(path) => path.to_path_buf(),
            None => std::env::temp_dir().join(format!("pinion-demo-{}", std::process::id())),
        };
        if path.join("data").exists() {
            let path = path.display();
            return Err(Failure::could_not(format!(
                "{path} holds an earlier demo, expected a new folder"
            )));
        }
        std::fs::create_dir_all(&path)
            .map_err(|error| Failure::could_not(format!("{}: {error}", path.display())))?;
        Ok(Self {
            path,
            kept: keep.is_some(),
        })
    }
}

impl Folder {
    /// Leaves the configuration in a folder that is kept: what is in the journal was decided under it.
    fn keep(&self, config: &Config) -> Result<(), Failure> {
        if !self.kept {
            return Ok(());
        }
        let text = toml::to_string(config).expect("every configuration struct serialises");
        let path = self.path.join(CONFIG_FILE);
        std::fs::write(&path, format!("# The demo's configuration.\n\n{text}"))
            .map_err(|error| Failure::could_not(format!("{}: {error}", path.display())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// An engine with its control plane on a thread of its own.
struct Running {
    counters: Counters,
    signal: Signal,
    conductor: std::thread::JoinHandle<Result<Summary, NodeError>>,
}

impl Running {
    fn new(engine: Engine, signal: Signal) -> Self {
        let (counters, for_conductor) = (engine.counters().clone(), signal.clone());
        let conductor = std::thread::spawn(move || conduct(engine, &for_conductor));
        Self {
            counters,
            signal,
            conductor,
        }
    }

    fn stop(self) -> Result<Summary, Failure> {
        self.signal.set();
        match self.conductor.join() {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Failure::could_not("the control plane panicked")),
        }
    }
}

/// One process per lane, paced so that both days end together.
fn publishers(config: &Config, days: &Days) -> Result<Vec<Child>, Failure> {
    let program = std::env::current_exe().map_err(Failure::could_not)?;
    let start = |file: &Path, events: u64, publisher_id: u32| {
        let rate = events as f64 / PLAYED.as_secs_f64();
        Command::new(&program)
            .arg("publish")
            .arg(file)
            .args([
                "--rate",
                &format!("{rate:.0}"),
                "--publisher-id",
                &publisher_id.to_string(),
            ])
            .args(["--set", &format!("bus.node={}", config.bus.node)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Failure::could_not)
    };
    Ok(vec![
        start(&days.payments, days.payment_events, 1)?,
        start(&days.market, days.market_events, 2)?,
    ])
}
