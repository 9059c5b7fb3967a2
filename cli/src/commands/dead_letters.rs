//! `pinion dead-letters`: the frames that were refused, oldest first.

use pinion_ingest::error::DeadLettersError;
use pinion_ingest::{DeadLetter, read_dead_letters};
use pinion_replay::import::time::format_time;
use pinion_schemas::wire::{Lane, RejectReason};
use serde_json::json;

use crate::args::{FolderArguments, Output};
use crate::configuration;
use crate::exit::{Ended, Failure};
use crate::frames::{lane_name, reject_reason_name};
use crate::out::Out;

/// Bytes of a frame that a line for people shows.
const SHOWN_LEN: usize = 32;

/// Prints them.
///
/// # Errors
/// There is no such file, or it is none of an engine.
pub fn run(arguments: &FolderArguments, output: Output) -> Result<Ended, Failure> {
    let config = configuration::load(&arguments.configuration)?;
    let letters = read_dead_letters(&config.dead_letters().path).map_err(refused)?;
    let mut out = Out::new();
    for letter in &letters {
        match output {
            Output::Json => out.json(&json_of(letter))?,
            Output::Text => out.line(text_of(letter))?,
        }
    }
    out.flush()?;
    if letters.is_empty() {
        eprintln!("no frame was refused");
    }
    Ok(Ended::Well)
}

fn refused(error: DeadLettersError) -> Failure {
    match error {
        DeadLettersError::Io { .. } => Failure::could_not(error),
        _ => Failure::Corrupt(error.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json_of(letter: &DeadLetter) -> serde_json::Value {
    let reject = &letter.reject;
    json!({
        "index": letter.index,
        "ingest_ns": reject.ingest_ns,
        "lane": lane_name(Lane(reject.lane)),
        "reason": reject_reason_name(RejectReason(reject.reason)),
        "found": reject.found,
        "expected": reject.expected,
        "input": {
            "publisher_id": reject.input_publisher_id,
            "session": reject.input_session,
            "sequence": reject.input_sequence,
        },
        "frame_len": reject.frame_len,
        "frame_start": hex(&letter.frame_start),
    })
}

fn text_of(letter: &DeadLetter) -> String {
    let reject = &letter.reject;
    let shown = &letter.frame_start[..letter.frame_start.len().min(SHOWN_LEN)];
    format!(
        "{:>8} {:<30} {:<8} {:<15} found {}, expected {}; publisher {} session {} sequence {}, {} bytes: {}",
        letter.index,
        format_time(reject.ingest_ns),
        lane_name(Lane(reject.lane)),
        reject_reason_name(RejectReason(reject.reason)),
        reject.found,
        reject.expected,
        reject.input_publisher_id,
        reject.input_session,
        reject.input_sequence,
        reject.frame_len,
        hex(shown),
    )
}
