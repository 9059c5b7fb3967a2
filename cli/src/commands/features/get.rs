//! `pinion features get`: an entity's values in a running engine, and how fresh they are.
//!
//! Invariant: what is shown was read at one place of the payment lane, the sequence that is told with it.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use pinion_node::admin::{Answer, Client, EntityAnswer, Features, Request};
use pinion_replay::import::time::format_time;

use super::{config_of, connect, standing_words, unanswered};
use crate::args::{EntityName, FeaturesGetArguments, Output};
use crate::exit::{Ended, Failure};
use crate::out::{Out, span, table};
use crate::signals;

/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Prints them.
///
/// # Errors
/// No engine answers.
pub fn run(arguments: &FeaturesGetArguments, output: Output) -> Result<Ended, Failure> {
    let request = request(&arguments.entities, arguments.as_of)?;
    let mut client = connect(&config_of(&arguments.engine)?)?;
    let Some(seconds) = arguments.watch else {
        return show(&mut client, &request, output);
    };
    let signal = signals::watch()?;
    loop {
        if output == Output::Text && io::stdout().is_terminal() {
            print!("{CLEAR}");
        }
        show(&mut client, &request, output)?;
        if signal.wait(Duration::from_secs_f64(seconds)) {
            return Ok(Ended::Well);
        }
    }
}

fn request(entities: &[EntityName], as_of_ns: Option<i64>) -> Result<Request, Failure> {
    let mut entity = BTreeMap::new();
    for EntityName { kind, name } in entities {
        let kind = kind.name();
        if entity.insert(kind.to_owned(), name.clone()).is_some() {
            return Err(Failure::could_not(format!(
                "--entity {kind} is given twice, expected each kind once"
            )));
        }
    }
    Ok(Request::FeaturesGet { entity, as_of_ns })
}

/// Asks once.
fn show(client: &mut Client, request: &Request, output: Output) -> Result<Ended, Failure> {
    let answer = client.ask(request, |_| ()).map_err(unanswered)?;
    let Answer::Features(features) = answer else {
        return Err(Failure::could_not("the engine answered another question"));
    };
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&features)?,
        Output::Text => lines(&features).iter().try_for_each(|line| out.line(line))?,
    }
    out.flush()?;
    let unknown: Vec<&EntityAnswer> = features.entities.iter().filter(|one| !one.is_known).collect();
    let why = match features.replica.lag_events {
        0 => "no event named it, or it made room for a newer one",
        _ => "no event named it, or the replica has not come to it yet",
    };
    for EntityAnswer { kind, name, .. } in &unknown {
        eprintln!("{kind} {name} is not known: {why}");
    }
    Ok(if unknown.is_empty() {
        Ended::Well
    } else {
        Ended::WithFindings
    })
}

fn lines(features: &Features) -> Vec<String> {
    let mut lines: Vec<String> = features
        .entities
        .iter()
        .filter(|one| one.is_known)
        .map(|one| entity_line(one, features.as_of_ns))
        .collect();
    if !lines.is_empty() {
        lines.insert(0, as_of_line(features));
        lines.push(String::new());
        lines.extend(value_lines(features));
        lines.push(String::new());
    }
    let set = &features.set;
    lines.push(format!(
        "set {} version {}, hash {}",
        set.name, set.version, set.hash
    ));
    lines.push(standing_words(&features.replica));
    lines
}

fn entity_line(entity: &EntityAnswer, as_of_ns: i64) -> String {
    let newest = match entity.newest_ns {
        Some(newest_ns) => format!(
            "newest event {}, {}",
            format_time(newest_ns),
            distance(newest_ns, as_of_ns)
        ),
        None => "no event of it is held".to_owned(),
    };
    format!("{} {}: {newest}", entity.kind, entity.name)
}

/// How far an event is from where the windows end.
fn distance(newest_ns: i64, as_of_ns: i64) -> String {
    match newest_ns <= as_of_ns {
        true => format!("{} before", span(as_of_ns.saturating_sub(newest_ns))),
        false => format!("{} after", span(newest_ns.saturating_sub(as_of_ns))),
    }
}

/// Where the windows end, and beside what.
fn as_of_line(features: &Features) -> String {
    let (as_of_ns, newest_ns) = (features.as_of_ns, features.replica.event_ns);
    let beside = match as_of_ns == newest_ns {
        true => "the newest event of all".to_owned(),
        false => format!("the newest event of all is {}", distance(newest_ns, as_of_ns)),
    };
    format!("as of {}: {beside}", format_time(as_of_ns))
}

/// Feature, slot and value to the right of each other, then the unit.
fn value_lines(features: &Features) -> Vec<String> {
    if features.slots.is_empty() {
        let kinds: Vec<&str> = features.entities.iter().map(|one| one.kind.as_str()).collect();
        return vec![format!("the set has no feature over {}", kinds.join(" and "))];
    }
    let heading = ["feature", "slot", "value"].map(str::to_owned).to_vec();
    let row =
        |name: &str, index: usize, value: f32| vec![name.to_owned(), index.to_string(), value.to_string()];
    let slots = features.slots.iter();
    let rows: Vec<_> = [heading]
        .into_iter()
        .chain(slots.map(|slot| row(&slot.name, slot.index, slot.value)))
        .collect();
    let units = ["unit"]
        .into_iter()
        .chain(features.slots.iter().map(|slot| slot.unit.as_str()));
    let lines = table(&rows).into_iter().zip(units);
    lines
        .map(|(line, unit)| format!("{line}  {unit}").trim_end().to_owned())
        .collect()
}
