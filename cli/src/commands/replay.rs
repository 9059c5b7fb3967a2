//! `pinion replay`: a journal through the same topology again.

use std::path::Path;

use pinion_journal::Tail;
use pinion_node::Config;
use pinion_replay::difference::Difference;
use pinion_replay::session::{Progress as Step, replay_to_decisions};
use pinion_replay::verify::{LaneVerdict, Verdict, verify};
use serde_json::{Value, json};

use crate::args::{Output, ReplayArguments};
use crate::commands::run::{account_rows, accounts_json};
use crate::configuration;
use crate::exit::{Ended, Failure};
use crate::frames::hash_text;
use crate::out::{Out, grouped, table};
use crate::progress::Progress;

/// Replays it.
///
/// # Errors
/// The journal is corrupt or empty, or a stage of the configuration cannot be built.
pub fn run(arguments: &ReplayArguments, output: Output) -> Result<Ended, Failure> {
    let (config, _) = configuration::load_with_set(&arguments.configuration)?;
    let journal = arguments.journal.clone().unwrap_or_else(|| config.journal().dir);
    let mut progress = Progress::new("replay", None);
    let step = |step: Step| {
        progress.set_total(step.inputs);
        progress.set(step.done);
    };
    if arguments.verify {
        let verdict = verify(&config, &journal, step)?;
        progress.finish();
        return tell_verdict(&verdict, output);
    }
    let outcome = decide_again(&config, &journal, step, output);
    progress.finish();
    outcome
}

fn decide_again(
    config: &Config,
    journal: &Path,
    step: impl FnMut(Step),
    output: Output,
) -> Result<Ended, Failure> {
    let replayed = replay_to_decisions(config, journal, |_| (), step)?;
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&json!({
            "inputs": replayed.inputs,
            "inputs_refused": replayed.inputs_refused,
            "accounts": accounts_json(&replayed.accounts),
            "seconds": replayed.elapsed.as_secs_f64(),
            "events_per_second": replayed.events_per_second(),
        }))?,
        Output::Text => {
            for line in table(&account_rows(&replayed.accounts)) {
                out.line(line)?;
            }
            out.line(speed(replayed.inputs, replayed.elapsed.as_secs_f64()))?;
        }
    }
    out.flush()?;
    Ok(Ended::Well)
}

fn speed(inputs: u64, seconds: f64) -> String {
    let per_second = inputs as f64 / seconds.max(1e-9);
    format!(
        "{} inputs in {seconds:.1} s, {}/s",
        grouped(inputs),
        grouped(per_second as u64)
    )
}

fn tell_verdict(verdict: &Verdict, output: Output) -> Result<Ended, Failure> {
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&verdict_json(verdict))?,
        Output::Text => verdict_text(&mut out, verdict)?,
    }
    out.flush()?;
    Ok(if verdict.is_identical() {
        Ended::Well
    } else {
        Ended::WithFindings
    })
}

fn verdict_json(verdict: &Verdict) -> Value {
    let lane = |lane: &LaneVerdict| {
        json!({
            "inputs": lane.inputs,
            "compared": lane.compared,
            "different": lane.different,
            "undecided": lane.undecided,
            "decision_hash": hash_text(lane.decision_hash),
        })
    };
    let torn = match verdict.tail {
        Tail::Clean => Value::Null,
        Tail::Torn(tear) => {
            json!({ "position": tear.position, "len": tear.len, "entries_after": tear.entries_after })
        }
    };
    json!({
        "is_identical": verdict.is_identical(),
        "inputs": verdict.inputs,
        "market": lane(&verdict.market),
        "payments": lane(&verdict.payments),
        "decision_hash": hash_text(verdict.decision_hash()),
        "first_difference": verdict.first_difference,
        "is_closed": verdict.is_closed,
        "torn": torn,
        "seconds": verdict.elapsed.as_secs_f64(),
        "events_per_second": verdict.events_per_second(),
    })
}

fn verdict_text(out: &mut Out, verdict: &Verdict) -> Result<(), Failure> {
    if let Some(difference @ Difference::Configuration { .. }) = &verdict.first_difference {
        return out.line(format!("nothing was replayed: {difference}"));
    }
    let (market, payments) = (&verdict.market, &verdict.payments);
    let row =
        |name: &str, value: fn(&LaneVerdict) -> String| vec![name.to_owned(), value(market), value(payments)];
    let rows = [
        ["", "market", "payments"].map(str::to_owned).to_vec(),
        row("inputs", |lane| grouped(lane.inputs)),
        row("decisions compared", |lane| grouped(lane.compared)),
        row("different, missing, extra", |lane| grouped(lane.different)),
        row("undecided", |lane| grouped(lane.undecided)),
        row("decision hash", |lane| hash_text(lane.decision_hash)),
    ];
    for line in table(&rows) {
        out.line(line)?;
    }
    out.line(speed(verdict.inputs, verdict.elapsed.as_secs_f64()))?;
    tell_end(out, verdict)?;
    match &verdict.first_difference {
        None => out.line("every decision is the recorded one, byte for byte"),
        Some(difference) => out.line(format!("first difference: {difference}")),
    }
}

/// How the journal ends, if not by an orderly close.
fn tell_end(out: &mut Out, verdict: &Verdict) -> Result<(), Failure> {
    if let Tail::Torn(tear) = verdict.tail {
        out.line(format!(
            "torn tail: {} bytes behind position {} were never durable and were left out",
            grouped(tear.len),
            tear.position
        ))?;
    }
    if verdict.is_closed {
        return Ok(());
    }
    out.line(format!(
        "the journal was not closed in order: {} decisions at its end were not recorded",
        grouped(verdict.undecided())
    ))
}
