//! The configuration as a command gets it.

use std::io::IsTerminal;
use std::path::Path;

use pinion_features::FeatureSet;
use pinion_features::set::file::SetError;
use pinion_node::{Config, Finding, Sources};

use crate::args::ConfigArguments;
use crate::exit::Failure;

/// Reads file, environment and flags.
///
/// # Errors
/// [`Failure::Configuration`] with every finding.
pub fn load(arguments: &ConfigArguments) -> Result<Config, Failure> {
    Config::load(&sources(arguments)).map_err(refused)
}

/// The same with the feature set that the configuration names: for what builds the stages of an engine.
///
/// # Errors
/// [`Failure::Configuration`] with every finding in either.
pub fn load_with_set(arguments: &ConfigArguments) -> Result<(Config, FeatureSet), Failure> {
    Config::load_with_set(&sources(arguments)).map_err(refused)
}

/// Reads the feature set in a file.
///
/// # Errors
/// [`Failure::Configuration`] with every finding; the file cannot be read.
pub fn load_set(path: &Path) -> Result<FeatureSet, Failure> {
    FeatureSet::load(path).map_err(|error| match error {
        SetError::Read { .. } => Failure::could_not(error),
        SetError::Refused { .. } => refused(Finding::of_set(error)),
    })
}

fn sources(arguments: &ConfigArguments) -> Sources {
    Sources::from_process(arguments.config.as_deref(), &arguments.set)
}

fn refused(findings: Vec<Finding>) -> Failure {
    let colours = std::io::stderr().is_terminal();
    Failure::Configuration(findings.iter().map(|finding| finding.render(colours)).collect())
}
