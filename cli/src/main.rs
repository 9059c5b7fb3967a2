//! The program `pinion`: everything that people run.
//!
//! ```text
//!   main ─▶ [args] ─▶ commands/<one file each> ─▶ Ended or Failure ─▶ [exit] code
//! ```
//!
//! Invariant: data on stdout, everything else on stderr; every way out has a documented exit code.

#![allow(
    unreachable_pub,
    reason = "in a program `pub` marks what a module offers to the others"
)]

mod args;
mod examples;
mod exit;

mod commands;

mod configuration;
mod connection;
mod events;
mod frames;
mod log;
mod machine;
mod out;
mod pace;
mod progress;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
use exit::{Ended, Failure};

fn main() -> ExitCode {
    if let Some(code) = pinion_checkpoint::probe_main() {
        return code;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    exit::report(log::start().and_then(|()| dispatch(arguments)))
}

fn dispatch(arguments: Arguments) -> Result<Ended, Failure> {
    let output = arguments.output;
    match arguments.command {
        Command::Demo(arguments) => commands::demo::run(&arguments, output),
        Command::Run(arguments) => commands::run::run(&arguments, output),
        Command::Check(arguments) => commands::check::run(&arguments, output),
        Command::Publish(arguments) => commands::publish::run(&arguments, output),
        Command::Listen(arguments) => commands::listen::run(&arguments, output),
        Command::Generate(command) => commands::generate::run(&command, output),
        Command::Export(command) => commands::export::run(&command, output),
        Command::Features(command) => commands::features::run(&command, output),
        Command::Model(command) => commands::model::run(&command, output),
        Command::Replay(arguments) => commands::replay::run(&arguments, output),
        Command::Lab(command) => commands::lab::run(&command, output),
        Command::Stat(arguments) => commands::stat::run(&arguments, output),
        Command::DeadLetters(arguments) => commands::dead_letters::run(&arguments, output),
        Command::Config(command) => commands::config::run(&command, output),
    }
}
