//! The configuration as a command gets it.

use std::io::IsTerminal;

use pinion_node::{Config, Sources};

use crate::args::ConfigArguments;
use crate::exit::Failure;

/// Reads file, environment and flags.
///
/// # Errors
/// [`Failure::Configuration`] with every finding.
pub fn load(arguments: &ConfigArguments) -> Result<Config, Failure> {
    let sources = Sources::from_process(arguments.config.as_deref(), &arguments.set);
    let colours = std::io::stderr().is_terminal();
    Config::load(&sources).map_err(|findings| {
        Failure::Configuration(findings.iter().map(|finding| finding.render(colours)).collect())
    })
}
