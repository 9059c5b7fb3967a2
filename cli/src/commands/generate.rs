//! `pinion generate`: made days as files.

use std::path::Path;

use pinion_replay::import::EventSource as _;
use pinion_replay::import::market_csv::MarketWriter;
use pinion_replay::import::payments_csv::PaymentsWriter;
use serde_json::json;

use crate::args::{GenerateCommand, Output};
use crate::commands::export::create;
use crate::events;
use crate::exit::{Ended, Failure};
use crate::out::{Out, grouped};
use crate::progress::Progress;

/// Writes the file.
///
/// # Errors
/// A number is out of its range, or the file cannot be written.
pub fn run(command: &GenerateCommand, output: Output) -> Result<Ended, Failure> {
    let (path, events) = match command {
        GenerateCommand::Payments {
            out,
            customers,
            days,
            seed,
        } => (out, payments(out, *customers, *days, *seed)?),
        GenerateCommand::Market {
            out,
            events,
            instruments,
            seed,
        } => (out, market(out, *events, *instruments, *seed)?),
    };
    let len = std::fs::metadata(path).map_err(Failure::could_not)?.len();
    let path = path.display().to_string();
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&json!({ "path": path, "events": events, "len": len }))?,
        Output::Text => out.line(format!(
            "{path}: {} events, {} bytes",
            grouped(events),
            grouped(len)
        ))?,
    }
    out.flush()?;
    Ok(Ended::Well)
}

fn payments(path: &Path, customers: u32, days: u32, seed: u64) -> Result<u64, Failure> {
    let mut generator = events::payments(customers, days, seed)?;
    let mut writer = PaymentsWriter::new(create(path)?).map_err(Failure::could_not)?;
    let mut progress = Progress::new("generate", generator.len_hint());
    while let Some(payment) = generator.next_payment() {
        writer
            .write(&payment.event, payment.scenario)
            .map_err(Failure::could_not)?;
        progress.set(generator.tally().events);
    }
    progress.finish();
    finish(writer.finish())?;
    Ok(generator.tally().events)
}

fn market(path: &Path, events: u64, instruments: u32, seed: u64) -> Result<u64, Failure> {
    let mut generator = events::market(events, instruments, seed)?;
    let mut writer = MarketWriter::new(create(path)?).map_err(Failure::could_not)?;
    let mut progress = Progress::new("generate", generator.len_hint());
    while let Some(event) = generator.next_event() {
        writer.write(&event).map_err(Failure::could_not)?;
        progress.set(generator.tally().events);
    }
    progress.finish();
    finish(writer.finish())?;
    Ok(generator.tally().events)
}

/// What is still buffered may be what the disk has no room for.
fn finish(file: std::io::Result<std::io::BufWriter<std::fs::File>>) -> Result<(), Failure> {
    let file = file.map_err(Failure::could_not)?;
    file.into_inner().map(drop).map_err(Failure::could_not)
}
