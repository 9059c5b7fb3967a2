//! `pinion features`: feature sets as files, and their values in a running engine.
//!
//! ```text
//!   a file, or what features.set names ─▶ check, list, explain
//!   control.sock of a running engine ◀══▶ get, backfill, digest
//! ```
//!
//! Invariant: a set that is refused is refused as a configuration is: every finding with its place, exit code 3.

pub(in crate::commands) mod check;
mod explain;
mod list;

mod backfill;
mod digest;
mod get;

mod compare;

use std::io;
use std::path::PathBuf;

use pinion_features::FeatureSet;
use pinion_features::set::schema::json_schema;
use pinion_node::Config;
use pinion_node::admin::{AdminError, Client, Progress as Step, Standing};
use pinion_replay::import::time::format_time;

use crate::args::{EngineArguments, FeatureSetArguments, FeaturesCommand, Output};
use crate::configuration;
use crate::exit::{Ended, Failure};
use crate::out::{Out, grouped, span};
use crate::progress::Progress;

/// Does it.
///
/// # Errors
/// The configuration or the set is refused.
pub fn run(command: &FeaturesCommand, output: Output) -> Result<Ended, Failure> {
    match command {
        FeaturesCommand::Check(arguments) => check::run(arguments, output),
        FeaturesCommand::List(arguments) => list::run(arguments, output),
        FeaturesCommand::Explain { name, set } => explain::run(name, set, output),
        FeaturesCommand::Schema => print_schema(),
        FeaturesCommand::Get(arguments) => get::run(arguments, output),
        FeaturesCommand::Backfill(arguments) => backfill::run(arguments, output),
        FeaturesCommand::Digest(arguments) => digest::run(arguments, output),
        FeaturesCommand::Compare(arguments) => compare::run(arguments, output),
    }
}

/// The schema is JSON in either form.
fn print_schema() -> Result<Ended, Failure> {
    let mut out = Out::new();
    out.line(json_schema().trim_end())?;
    out.flush()?;
    Ok(Ended::Well)
}

/// A set with the file that it was read from.
struct SetFile {
    path: PathBuf,
    set: FeatureSet,
}

/// Reads the configuration, and the set that was asked for.
fn open(arguments: &FeatureSetArguments) -> Result<(Config, SetFile), Failure> {
    if let Some(path) = &arguments.file {
        let config = configuration::load(&arguments.configuration)?;
        let set = configuration::load_set(path)?;
        let path = path.clone();
        return Ok((config, SetFile { path, set }));
    }
    let (config, set) = configuration::load_with_set(&arguments.configuration)?;
    let path = config.features.locate_set().map_err(Failure::could_not)?;
    Ok((config, SetFile { path, set }))
}

/// The configuration with the folder of the engine that was asked for.
pub(in crate::commands) fn config_of(arguments: &EngineArguments) -> Result<Config, Failure> {
    let mut config = configuration::load(&arguments.configuration)?;
    if let Some(dir) = &arguments.dir {
        config.engine.dir.clone_from(dir);
    }
    Ok(config)
}

/// Connects to the engine.
pub(in crate::commands) fn connect(config: &Config) -> Result<Client, Failure> {
    Client::connect(&config.engine.dir).map_err(unanswered)
}

pub(in crate::commands) fn unanswered(error: AdminError) -> Failure {
    match error {
        AdminError::NotRunning { path, source } => {
            let path = path.display();
            Failure::could_not(format!("no engine answers at {path}: {source}"))
        }
        AdminError::Broken { source, .. } if is_gone(source.kind()) => {
            Failure::could_not("the engine went away before it answered")
        }
        _ => Failure::could_not(error),
    }
}

/// Whether the other end of a connection was closed.
fn is_gone(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Where the replica stands, for people.
fn standing_words(standing: &Standing) -> String {
    let newest = match standing.event_ns {
        0 => "no transaction yet".to_owned(),
        event_ns => format!("newest event {}", format_time(event_ns)),
    };
    let behind = match standing.event_ns {
        0 => String::new(),
        _ => format!(" and {} of event time", span(standing.lag_ns)),
    };
    format!(
        "replica at sequence {}, {newest}; behind the engine by {} events{behind}",
        grouped(standing.sequence),
        grouped(standing.lag_events)
    )
}

/// The progress of what is being done now.
pub(in crate::commands) struct Shown {
    words: fn(&str) -> &'static str,
    phase: String,
    progress: Option<Progress>,
}

impl Shown {
    /// By the words for each phase.
    pub(in crate::commands) fn by(words: fn(&str) -> &'static str) -> Self {
        Self {
            words,
            phase: String::new(),
            progress: None,
        }
    }

    pub(in crate::commands) fn step(&mut self, step: &Step) {
        if step.phase != self.phase {
            self.end();
            self.phase.clone_from(&step.phase);
            self.progress = Some(Progress::new((self.words)(&step.phase), Some(step.of)));
        }
        if let Some(progress) = &mut self.progress {
            progress.set_total(step.of);
            progress.set(step.done);
        }
    }

    pub(in crate::commands) fn end(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }
}
