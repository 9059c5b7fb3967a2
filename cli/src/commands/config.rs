//! `pinion config`: the reference, or what is in force.

use pinion_node::config::reference;

use crate::args::{ConfigCommand, Output};
use crate::configuration;
use crate::exit::{Ended, Failure};
use crate::out::Out;

/// Prints it. The reference is TOML in either form, since its comments are what it is for.
///
/// # Errors
/// The configuration is refused.
pub fn run(command: &ConfigCommand, output: Output) -> Result<Ended, Failure> {
    let mut out = Out::new();
    match command {
        ConfigCommand::Reference => out.line(reference::text().trim_end())?,
        ConfigCommand::Show(arguments) => {
            let config = configuration::load(arguments)?;
            match output {
                Output::Json => out.json(&config)?,
                Output::Text => out.line(toml::to_string(&config).map_err(Failure::could_not)?.trim_end())?,
            }
        }
    }
    out.flush()?;
    Ok(Ended::Well)
}
