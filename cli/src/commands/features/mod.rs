//! `pinion features`: feature sets as files, and their values in a running engine.
//!
//! ```text
//!   a file, or what features.set names ─▶ check, list, explain
//! ```
//!
//! Invariant: a set that is refused is refused as a configuration is: every finding with its place, exit code 3.

pub(in crate::commands) mod check;
mod explain;
mod list;

use std::path::PathBuf;

use pinion_features::FeatureSet;
use pinion_features::set::schema::json_schema;
use pinion_node::Config;

use crate::args::{FeatureSetArguments, FeaturesCommand, Output};
use crate::configuration;
use crate::exit::{Ended, Failure};
use crate::out::Out;

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
