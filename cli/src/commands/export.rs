//! `pinion export`: training data, computed by the code that serves.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use pinion_replay::export::{self, ExportError, ExportSummary};
use pinion_replay::import::{EventSource, Format, ImportError, ImportOptions, SourceEvent, Tally};
use serde_json::json;

use crate::args::{ExportCommand, Output};
use crate::events;
use crate::exit::{Ended, Failure};
use crate::out::{Out, grouped};
use crate::progress::Progress;

/// Writes the file.
///
/// # Errors
/// The source cannot be read, or the file cannot be written.
pub fn run(command: &ExportCommand, output: Output) -> Result<Ended, Failure> {
    let ExportCommand::Features { source, out: path } = command;
    let source = events::open(source, Format::Auto, &ImportOptions::default(), events::SEED)?;
    let file = create(path)?;
    let progress = Progress::new("export", source.len_hint());
    let mut watched = Watched { source, progress };
    let summary = export::features(&mut watched, file).map_err(refused)?;
    watched.progress.finish();
    tell(&summary, path, output)?;
    Ok(Ended::Well)
}

/// Makes a file to be written.
///
/// # Errors
/// It cannot be made.
pub fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file =
        File::create(path).map_err(|error| Failure::could_not(format!("{}: {error}", path.display())))?;
    Ok(BufWriter::new(file))
}

fn refused(error: ExportError) -> Failure {
    match error {
        ExportError::Import(error) => error.into(),
        error => Failure::could_not(error),
    }
}

fn tell(summary: &ExportSummary, path: &Path, output: Output) -> Result<(), Failure> {
    let mut out = Out::new();
    let path = path.display().to_string();
    match output {
        Output::Json => out.json(&json!({
            "path": path,
            "transactions": summary.transactions,
            "frauds": summary.frauds,
            "labels": summary.labels,
            "labels_unmatched": summary.labels_unmatched,
        }))?,
        Output::Text => out.line(format!(
            "{path}: {} transactions, {} of them frauds",
            grouped(summary.transactions),
            grouped(summary.frauds)
        ))?,
    }
    out.flush()
}

/// A source that shows how far it has come.
struct Watched {
    source: Box<dyn EventSource>,
    progress: Progress,
}

impl EventSource for Watched {
    fn next(&mut self) -> Result<Option<SourceEvent>, ImportError> {
        self.progress.set(self.source.tally().events);
        self.source.next()
    }

    fn len_hint(&self) -> Option<u64> {
        self.source.len_hint()
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn tally(&self) -> Tally {
        self.source.tally()
    }
}
