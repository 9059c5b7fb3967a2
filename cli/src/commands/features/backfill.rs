//! `pinion features backfill`: another set from the journal, while the one in force serves.
//!
//! ```text
//!   file ─▶ checked here ─▶ its path to the engine ─▶ progress … ─▶ in force from sequence n on
//! ```

use std::path::Path;

use pinion_node::admin::{Answer, Backfilled, Request, SetName};

use super::{SetFile, Shown, config_of, connect, open, unanswered};
use crate::args::{FeatureSetArguments, FeaturesBackfillArguments, Output};
use crate::exit::{Ended, Failure};
use crate::out::{Out, grouped, span};

/// Has it computed and put in force.
///
/// # Errors
/// The set is refused, here or by the engine; no engine answers.
pub fn run(arguments: &FeaturesBackfillArguments, output: Output) -> Result<Ended, Failure> {
    let set = FeatureSetArguments {
        configuration: arguments.engine.configuration.clone(),
        file: arguments.file.clone(),
    };
    // A wrong set is told with its places before the engine is asked.
    let (_, SetFile { path, .. }) = open(&set)?;
    let mut client = connect(&config_of(&arguments.engine)?)?;
    let request = Request::FeaturesBackfill {
        set: path.canonicalize().map_err(Failure::could_not)?,
        from: arguments.from.clone(),
    };
    let mut shown = Shown::by(words);
    let answer = client.ask(&request, |step| shown.step(step));
    shown.end();
    let Answer::Backfilled(done) = answer.map_err(unanswered)? else {
        return Err(Failure::could_not("the engine answered another question"));
    };
    tell(&done, &path, output)?;
    Ok(Ended::Well)
}

fn tell(done: &Backfilled, path: &Path, output: Output) -> Result<(), Failure> {
    let mut out = Out::new();
    match output {
        Output::Json => out.json(done)?,
        Output::Text => lines(done).iter().try_for_each(|line| out.line(line))?,
    }
    out.flush()?;
    let path = path.display();
    eprintln!("to keep it after a restart, have features.set = \"{path}\" in the configuration");
    Ok(())
}

fn lines(done: &Backfilled) -> [String; 2] {
    let name = |set: &SetName| format!("{} version {} (hash {})", set.name, set.version, set.hash);
    [
        format!(
            "computed from {} payments of the journal in {}",
            grouped(done.payments),
            span(
                i64::try_from(done.took_ms)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(1_000_000)
            )
        ),
        format!(
            "swapped at sequence {}: {}, before {}",
            grouped(done.first_sequence),
            name(&done.set),
            name(&done.former)
        ),
    ]
}

/// What an engine does in a phase.
fn words(phase: &str) -> &'static str {
    match phase {
        "journal" => "backfill: reading the journal",
        "copy" => "backfill: copying the state",
        "catch up" => "backfill: catching up",
        "swap" => "backfill: swapping",
        _ => "backfill",
    }
}
