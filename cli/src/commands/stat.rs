//! `pinion stat`: the counters of an engine and what went wrong in it, running or stopped.

use std::path::Path;

use pinion_node::Accounts;
use pinion_replay::contest::drift_words;
use pinion_replay::import::time::format_time;
use pinion_runtime::counters::Reader;
use pinion_runtime::faults::{DistinctFault, ErrorLogReader};
use serde_json::json;

use crate::args::{FolderArguments, Output};
use crate::commands::run::account_rows;
use crate::configuration;
use crate::exit::{Ended, Failure};
use crate::frames::hash_text;
use crate::out::{Out, span, table};

/// A heartbeat older than this says that the engine hangs. Unit: ns. The longest interval of the conductor is
/// a minute.
const SILENT_AFTER_NS: i64 = 60_000_000_000;

/// Prints them.
///
/// # Errors
/// No engine has ever run in the folder, or its files are of another version.
pub fn run(arguments: &FolderArguments, output: Output) -> Result<Ended, Failure> {
    let config = configuration::load(&arguments.configuration)?;
    let reader = Reader::open(config.engine.counters_path()).map_err(Failure::could_not)?;
    let faults =
        ErrorLogReader::open(config.engine.error_log_path()).map_or_else(|_| Vec::new(), |log| log.list());
    let engine = EngineState::of(&reader);
    let counters = reader.list();
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&json_of(&engine, &counters, &faults))?,
        Output::Text => text(&mut out, &engine, &counters, &faults)?,
    }
    out.flush()?;
    Ok(Ended::Well)
}

/// The process behind the file.
struct EngineState {
    pid: u32,
    created_ns: i64,
    heartbeat_age_ns: Option<i64>,
    state: &'static str,
}

impl EngineState {
    fn of(reader: &Reader) -> Self {
        let now_ns = pinion_runtime::clock::Clock::system().now_ns();
        let heartbeat_ns = reader.heartbeat_ns();
        let heartbeat_age_ns = (heartbeat_ns > 0).then(|| (now_ns - heartbeat_ns).max(0));
        let lives = Path::new("/proc").join(reader.pid().to_string()).exists();
        let state = match heartbeat_age_ns {
            _ if !lives => "stopped",
            None => "starting",
            Some(age_ns) if age_ns > SILENT_AFTER_NS => "silent",
            Some(_) => "running",
        };
        Self {
            pid: reader.pid(),
            created_ns: reader.created_ns(),
            heartbeat_age_ns,
            state,
        }
    }
}

fn json_of(engine: &EngineState, counters: &[(String, u64)], faults: &[DistinctFault]) -> serde_json::Value {
    let counters: serde_json::Map<_, _> = counters
        .iter()
        .map(|(label, value)| (label.clone(), json!(value)))
        .collect();
    let fault = |fault: &DistinctFault| {
        json!({
            "name": fault.name,
            "count": fault.count,
            "first_ns": fault.first_ns,
            "last_ns": fault.last_ns,
            "detail": fault.detail,
        })
    };
    json!({
        "state": engine.state,
        "pid": engine.pid,
        "created_ns": engine.created_ns,
        "heartbeat_age_ms": engine.heartbeat_age_ns.map(|age_ns| age_ns / 1_000_000),
        "counters": counters,
        "faults": faults.iter().map(fault).collect::<Vec<_>>(),
    })
}

/// A counter for people: what its name says is a time, a hash or a stability index is shown as one.
fn shown(label: &str, value: u64) -> String {
    match label.rsplit(['.', '_']).next() {
        _ if label.starts_with("drift.feature.") || label == "drift.score" => drift(value),
        Some("hash") => hash_text(value),
        Some("ns") if label.ends_with("watermark_ns") && value > 0 => format_time(value as i64),
        Some("s") if label.ends_with("age_s") => span(value.saturating_mul(1_000_000_000) as i64),
        _ => value.to_string(),
    }
}

/// A population stability index in thousandths, and what it means.
fn drift(thousandths: u64) -> String {
    let index = thousandths as f64 / 1000.0;
    match drift_words(index) {
        "none" => format!("{index:.3}"),
        word => format!("{word} {index:.3}"),
    }
}

fn text(
    out: &mut Out,
    engine: &EngineState,
    counters: &[(String, u64)],
    faults: &[DistinctFault],
) -> Result<(), Failure> {
    let age = engine
        .heartbeat_age_ns
        .map(|age_ns| format!(", last heartbeat {:.1} s ago", age_ns as f64 / 1e9));
    let since = format_time(engine.created_ns);
    out.line(format!(
        "{}: process {} since {since}{}",
        engine.state,
        engine.pid,
        age.unwrap_or_default()
    ))?;
    out.line("")?;
    for line in table(&account_rows(&Accounts::of(counters))) {
        out.line(line)?;
    }
    out.line("")?;
    let rows = counters
        .iter()
        .map(|(label, value)| vec![label.clone(), shown(label, *value)]);
    for line in table(&rows.collect::<Vec<_>>()) {
        out.line(line)?;
    }
    if !faults.is_empty() {
        out.line("")?;
    }
    for fault in faults {
        let (first, last) = (format_time(fault.first_ns), format_time(fault.last_ns));
        out.line(format!(
            "{}: {} times from {first} to {last}, last detail {}",
            fault.name, fault.count, fault.detail
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_hashes_are_shown_as_such() {
        let cases = [
            (
                "features.watermark_ns",
                1_522_540_831_000_000_000,
                "2018-04-01T00:00:31Z",
            ),
            ("features.watermark_ns", 0, "0"),
            ("features.set_hash", 0x1b20_c821_2e45_f606, "1b20c8212e45f606"),
            ("checkpoint.age_s", 200, "3 min 20 s"),
            ("clock.behind_ns", 7, "7"),
            ("ingest.market.accepted", 12, "12"),
            ("drift.windows", 12, "12"),
            ("drift.feature.amount_minor", 99, "0.099"),
            ("drift.feature.age_s", 100, "slight 0.100"),
            ("drift.score", 1_250, "large 1.250"),
        ];
        for (label, value, expected) in cases {
            assert_eq!(shown(label, value), expected, "{label}");
        }
    }
}
