//! `pinion model swap`: another model, or the same one with its bank made anew, while the engine runs.
//!
//! ```text
//!   folder ─▶ its path to the engine ─▶ progress … ─▶ in force from sequence n on
//! ```

use std::path::PathBuf;

use pinion_node::admin::{Answer, ModelName, Request, Swapped};
use pinion_score::manifest::locate;

use super::features::{Shown, config_of, connect, unanswered};
use crate::args::{ModelSwapArguments, Output};
use crate::exit::{Ended, Failure};
use crate::out::{Out, grouped, span};

/// Has it brought up and put in force.
///
/// # Errors
/// The model is refused by the engine, or no engine answers.
pub fn run(arguments: &ModelSwapArguments, output: Output) -> Result<Ended, Failure> {
    let config = config_of(&arguments.engine)?;
    let configured = || PathBuf::from(&config.score.model);
    let folder = arguments.folder.clone().unwrap_or_else(configured);
    // The engine may run in another folder.
    let folder = locate(&folder).map_err(Failure::could_not)?;
    let model = folder.canonicalize().unwrap_or(folder);
    let mut client = connect(&config)?;
    let mut shown = Shown::by(words);
    let answer = client.ask(&Request::ModelSwap { model }, |step| shown.step(step));
    shown.end();
    let Answer::Swapped(done) = answer.map_err(unanswered)? else {
        return Err(Failure::could_not("the engine answered another question"));
    };
    tell(&done, output)?;
    let configured = locate(&configured())
        .ok()
        .and_then(|folder| folder.canonicalize().ok());
    if configured.as_ref() != Some(&done.model.folder) {
        let folder = done.model.folder.display();
        eprintln!("it goes on after a restart; to have the configuration say so: score.model = \"{folder}\"");
    }
    Ok(Ended::Well)
}

fn tell(done: &Swapped, output: Output) -> Result<(), Failure> {
    let mut out = Out::new();
    match output {
        Output::Json => out.json(done)?,
        Output::Text => lines(done).iter().try_for_each(|line| out.line(line))?,
    }
    out.flush()
}

fn lines(done: &Swapped) -> [String; 2] {
    let name = |model: &ModelName| format!("{} version {} (hash {})", model.name, model.version, model.hash);
    let took_ns = i64::try_from(done.took_ms).unwrap_or(i64::MAX);
    [
        format!(
            "brought up from the journal to {} cases in {}",
            grouped(done.cases),
            span(took_ns.saturating_mul(1_000_000))
        ),
        format!(
            "swapped at sequence {}: {}, before {}",
            grouped(done.first_sequence),
            name(&done.model),
            name(&done.former)
        ),
    ]
}

/// What an engine does in a phase.
fn words(phase: &str) -> &'static str {
    match phase {
        "load" => "model swap: loading the model",
        "journal" => "model swap: reading the journal",
        "cluster" => "model swap: laying out the bank",
        "copy" => "model swap: copying the cases",
        "catch up" => "model swap: catching up",
        "swap" => "model swap: swapping",
        _ => "model swap",
    }
}
