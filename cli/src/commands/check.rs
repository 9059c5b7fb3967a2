//! `pinion check`: would an engine start here, and what would it take?
//!
//! Every stage is built as the node builds it, on a bus inside this process, and thrown away again; so what is
//! said of model, library, strategies and memory is what a start would find, not an opinion of it.
//!
//! Invariant: nothing is written, no driver is started, no folder of an engine is touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinion_features::{FeatureSet, FeatureStore};
use pinion_ingest::DeadLetters;
use pinion_journal::Gate;
use pinion_node::bus::InProcess;
use pinion_node::challengers;
use pinion_node::feature_sets::InForce;
use pinion_node::models::Lane;
use pinion_node::topology::{self, Stage, Surroundings, Topology};
use pinion_node::{Config, launch};
use pinion_publish::Resume;
use pinion_runtime::agent::Agent;
use pinion_runtime::cores::Plan;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_score::manifest::{self, ModelFolder};
use pinion_transport::config::DriverKind;
use pinion_transport::in_process::InProcessBus;
use serde::Serialize;

use crate::args::{ConfigArguments, Output};
use crate::commands::features::check::{Memory, memory, memory_lines};
use crate::commands::run::plan_lines;
use crate::configuration;
use crate::exit::{Ended, Failure};
use crate::frames::hash_text;
use crate::machine;
use crate::out::Out;

/// Cells for the counters of the stages on trial.
const COUNTERS_MAX: usize = 1024;
/// Terms of a stream's log.
const TERMS: u64 = 3;
/// Streams of an engine with one publisher on each.
const STREAMS: u64 = 3;

const MIB: f64 = 1024.0 * 1024.0;

/// Checks it.
///
/// # Errors
/// The configuration is refused.
pub fn run(arguments: &ConfigArguments, output: Output) -> Result<Ended, Failure> {
    let (config, set) = configuration::load_with_set(arguments)?;
    let mut report = Report {
        config_hash: hash_text(config.decision_hash()),
        ..Report::default()
    };
    report.look_at_cores(&config);
    report.look_at_model(&config);
    report.look_at_features(&config, &set);
    report.look_at_stages(&config, &set);
    report.look_at_challengers(&config, &set);
    report.look_at_space(&config);
    report.look_at_driver(&config);
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&report)?,
        Output::Text => report.text(&mut out)?,
    }
    out.flush()?;
    Ok(if report.findings.is_empty() {
        Ended::Well
    } else {
        Ended::WithFindings
    })
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Report {
    config_hash: String,
    threads: Vec<String>,
    model: Option<Model>,
    feature_set: Option<Features>,
    memory: Vec<StageMemory>,
    space: Vec<Space>,
    findings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Model {
    folder: PathBuf,
    name: String,
    version: u32,
    trained_on: String,
    rows: usize,
    hash: String,
}

/// The feature set, and what its store takes at most. The replica takes as much again.
#[derive(Debug, Serialize)]
struct Features {
    file: PathBuf,
    name: String,
    version: u32,
    slots: usize,
    hash: String,
    memory: Vec<Memory>,
}

/// What a stage takes at start.
#[derive(Debug, Serialize)]
struct StageMemory {
    stage: String,
    mib: f64,
}

/// What a place has and must have.
#[derive(Debug, Serialize)]
struct Space {
    what: &'static str,
    place: PathBuf,
    needed_mib: f64,
    free_mib: f64,
}

impl Report {
    fn find(&mut self, text: impl ToString) {
        self.findings.push(text.to_string());
    }

    fn look_at_cores(&mut self, config: &Config) {
        let plan = match launch::plan(config) {
            Ok(plan) => plan,
            Err(error) => return self.find(error),
        };
        self.threads = plan_lines(&plan);
        if plan.quiet_cores.is_empty() {
            self.find("cores.layout: every core has a spinning thread, expected one core without for the system's own work");
        }
        self.look_at_realtime(&plan);
    }

    fn look_at_realtime(&mut self, plan: &Plan) {
        let Some(priority) = plan
            .groups
            .iter()
            .filter_map(|group| group.realtime_priority)
            .max()
        else {
            return;
        };
        if let Err(reason) = machine::may_run_in_realtime(priority) {
            self.find(format!("cores.realtime_priority is {priority}, but {reason}"));
        }
    }

    fn look_at_model(&mut self, config: &Config) {
        // What is wrong with the model is found again when the stage is built; here it is only described.
        let Ok(folder) = manifest::locate(Path::new(&config.score.model)) else {
            return;
        };
        let Ok(model) = ModelFolder::open(&folder) else {
            return;
        };
        self.model = Some(Model {
            folder,
            name: model.manifest.name,
            version: model.manifest.version,
            trained_on: model.manifest.trained_on,
            rows: model.manifest.bank.rows,
            hash: hash_text(model.hash),
        });
    }

    fn look_at_features(&mut self, config: &Config, set: &FeatureSet) {
        // What does not fit is found again when the stage is built; here it is only described.
        let Ok(store) = FeatureStore::new(&config.features, set) else {
            return;
        };
        self.feature_set = Some(Features {
            file: config.features.locate_set().unwrap_or_default(),
            name: set.name.clone(),
            version: set.version,
            slots: set.slot_count(),
            hash: hash_text(store.set_hash()),
            memory: memory(&store),
        });
    }

    fn look_at_stages(&mut self, config: &Config, set: &FeatureSet) {
        let before = machine::memory_len();
        let topology = match stages_on_trial(config, set) {
            Ok(topology) => topology,
            Err(error) => return self.find(error),
        };
        self.note_memory("rings", before);
        // Kept until the end, so that no stage is given the memory of the one before.
        let mut agents: Vec<Box<dyn Agent>> = Vec::new();
        for Stage { role, build } in topology.stages {
            let before = machine::memory_len();
            match build() {
                Ok(agent) => agents.push(agent),
                Err(error) => self.find(format!("{role}: {error}")),
            }
            self.note_memory(&role.to_string(), before);
        }
    }

    fn look_at_challengers(&mut self, config: &Config, set: &FeatureSet) {
        if config.challengers.models.is_empty() {
            return;
        }
        let before = machine::memory_len();
        match challengers::load(config, &[InForce::always(Arc::new(set.clone()))]) {
            Ok(loaded) => {
                self.note_memory("challengers", before);
                drop(loaded);
            }
            Err(error) => self.find(error),
        }
    }

    fn note_memory(&mut self, stage: &str, before: u64) {
        let taken = machine::memory_len().saturating_sub(before);
        self.memory.push(StageMemory {
            stage: stage.to_owned(),
            mib: taken as f64 / MIB,
        });
    }

    fn look_at_driver(&mut self, config: &Config) {
        let is_external = config.bus.driver == DriverKind::External;
        if is_external && !config.bus.dir.join("cnc.dat").exists() {
            let dir = config.bus.dir.display();
            self.findings.push(format!(
                "bus.dir is {dir}, where no media driver lives; an engine would wait for one"
            ));
        }
    }

    fn look_at_space(&mut self, config: &Config) {
        let journal = config.journal();
        // The segment that is written, and the next one.
        self.note_space("journal", &journal.dir, 2 * u64::from(journal.segment_len));
        if config.bus.driver == DriverKind::Embedded {
            let terms = STREAMS * TERMS * u64::from(config.bus.term_length);
            self.note_space("bus", &config.bus.own_dir(), terms);
        }
    }

    fn note_space(&mut self, what: &'static str, place: &Path, needed: u64) {
        let Some((place, free)) = machine::free_space(place) else {
            return self.find(format!(
                "{what}: {} is in no folder that can be looked at",
                place.display()
            ));
        };
        let space = Space {
            what,
            place,
            needed_mib: needed as f64 / MIB,
            free_mib: free as f64 / MIB,
        };
        if free < needed {
            self.find(format!(
                "{what}: {} has {:.0} MiB free, expected at least {:.0}",
                space.place.display(),
                space.free_mib,
                space.needed_mib
            ));
        }
        self.space.push(space);
    }

    fn text(&self, out: &mut Out) -> Result<(), Failure> {
        out.line(format!("configuration  accepted, hash {}", self.config_hash))?;
        for thread in &self.threads {
            out.line(format!("cores          {thread}"))?;
        }
        if let Some(model) = &self.model {
            let Model {
                folder,
                name,
                version,
                trained_on,
                rows,
                hash,
            } = model;
            let place = folder.display();
            out.line(format!("model          {name} version {version} in {place}: trained on {trained_on}, {rows} rows, hash {hash}"))?;
        }
        if let Some(set) = &self.feature_set {
            let place = set.file.display();
            let Features {
                name,
                version,
                slots,
                hash,
                ..
            } = set;
            out.line(format!(
                "feature set    {name} version {version} in {place}: {slots} slots, hash {hash}"
            ))?;
        }
        let parts = self.feature_set.as_ref().map(|set| memory_lines(&set.memory));
        for StageMemory { stage, mib } in &self.memory {
            out.line(format!("memory         {stage}: {mib:.1} MiB"))?;
            for part in parts.iter().flatten().filter(|_| stage == "features") {
                out.line(format!("memory           {part}"))?;
            }
        }
        for Space {
            what,
            place,
            needed_mib,
            free_mib,
        } in &self.space
        {
            out.line(format!(
                "space          {what}: {needed_mib:.0} MiB of {free_mib:.0} MiB free in {}",
                place.display()
            ))?;
        }
        for finding in &self.findings {
            out.line(format!("finding        {finding}"))?;
        }
        match self.findings.len() {
            0 => out.line("nothing found"),
            count => out.line(format!("found {count}")),
        }
    }
}

/// The node's topology over a bus inside this process.
fn stages_on_trial(config: &Config, set: &FeatureSet) -> std::io::Result<Topology> {
    let surroundings = Surroundings {
        connect: InProcess(InProcessBus::default()),
        recorded: None,
        begin: None,
        set: Arc::new(set.clone()),
        sets: Vec::new(),
        features: None,
        models: Lane::default(),
        scores: None,
        resume: Resume::default(),
        findings: None,
        progress: None,
        gate: Gate::open(),
        dead_letters: DeadLetters::in_memory(&config.ingest.dead_letters)?,
        journals_inputs: true,
        started_ns: 0,
        counters: Counters::in_memory(COUNTERS_MAX),
        faults: ErrorLog::in_memory(),
    };
    Ok(topology::build(config, surroundings))
}
