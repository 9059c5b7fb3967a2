//! `pinion lab`: measures the engine beside its rival and the machine's floors.
//!
//! Invariant: the table, or the JSON line, on stdout is the whole report; progress goes to stderr.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use pinion_latency_lab::{Options, Report};

use crate::args::{LabCommand, Output};
use crate::configuration;
use crate::exit::{Ended, Failure};
use crate::out::Out;

/// Runs the scenarios and prints what came out.
///
/// # Errors
/// The configuration is refused, a scenario could not run, or the results could not be written.
pub fn run(command: &LabCommand, output: Output) -> Result<Ended, Failure> {
    let LabCommand::Run { out: file, .. } = command;
    let report = pinion_latency_lab::run(&options(command)?, |scenario, round, rounds| {
        eprintln!("round {round} of {rounds}: {scenario}");
    })
    .map_err(Failure::could_not)?;
    if let Some(path) = file {
        append(path, &report)?;
    }
    let mut out = Out::new();
    match output {
        Output::Text => out.line(report.to_table().trim_end())?,
        Output::Json => out.line(report.to_json_line())?,
    }
    out.flush()?;
    Ok(Ended::Well)
}

fn options(command: &LabCommand) -> Result<Options, Failure> {
    let LabCommand::Run {
        configuration,
        only,
        rate,
        seconds,
        rounds,
        smoke,
        ..
    } = command;
    let config = configuration::load(configuration)?;
    let options = if *smoke {
        Options::smoke(config)
    } else {
        Options {
            rate: *rate,
            seconds: *seconds,
            rounds: *rounds,
            ..Options::new(config)
        }
    };
    let only = only.clone();
    Ok(Options { only, ..options })
}

fn append(path: &Path, report: &Report) -> Result<(), Failure> {
    let append = || {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{}", report.to_json_line())
    };
    let outcome: std::io::Result<()> = append();
    outcome.map_err(|error| Failure::CouldNotRun(format!("{}: {error}", path.display())))
}
