//! The project's own tasks: `cargo xtask <task>`.
//!
//! Start at [`setup`], which every build needs; [`codegen`], [`layers`] and [`tidy`] each hold one rule of the
//! house, and [`ci`] runs them all. It imports no package of the project, so that it builds when they do not.

mod codegen;
mod layers;
mod setup;
mod workspace;

use std::process::ExitCode;

use workspace::{Result, Workspace, failure, say};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match Workspace::locate().and_then(|workspace| task(&workspace, &arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn task(workspace: &Workspace, arguments: &[&str]) -> Result {
    match arguments {
        ["setup"] => setup::setup(workspace),
        ["layers"] => layers::layers(workspace),
        ["codegen"] => codegen::codegen(workspace, false),
        ["codegen", "--check"] => codegen::codegen(workspace, true),
        _ => Err(failure!("no such task")),
    }
}
