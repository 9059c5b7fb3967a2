//! `pinion export`: training sets, computed by the code that serves.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use pinion_features::{FeatureSet, FeaturesConfig};
use pinion_node::Config;
use pinion_replay::export::payments::{EventPayments, JournalPayments, Payments};
use pinion_replay::export::target::{Place, Target};
use pinion_replay::export::{self, ExportError, ExportSummary, Progress as Step, Request};
use pinion_replay::import::{Format, ImportOptions};
use serde_json::json;

use crate::args::{ConfigArguments, ExportCommand, ExportFeaturesArguments, Output};
use crate::exit::{Ended, Failure};
use crate::frames::hash_text;
use crate::out::{Out, grouped};
use crate::progress::Progress;
use crate::{configuration, events};

/// Writes what is asked for.
///
/// # Errors
/// The source cannot be read or is damaged, or the output cannot be written.
pub fn run(command: &ExportCommand, output: Output) -> Result<Ended, Failure> {
    let ExportCommand::Features(arguments) = command;
    features(arguments, output)
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

fn features(arguments: &ExportFeaturesArguments, output: Output) -> Result<Ended, Failure> {
    if let (Some(from), Some(to)) = (arguments.from, arguments.to)
        && from >= to
    {
        return Err(Failure::could_not(
            "--from is not before --to, which is the day after the last one",
        ));
    }
    let config = config_of(arguments)?;
    let place = Place::of(&arguments.out);
    let request = Request {
        features: config.features.clone(),
        from_ns: arguments.from.unwrap_or(i64::MIN),
        to_ns: arguments.to.unwrap_or(i64::MAX),
        label_days: arguments.label_days,
        spill: place.folder().to_path_buf(),
        ..Request::of(set_of(arguments.set.as_deref(), &config.features)?)
    };
    let summary = match &arguments.source {
        Some(source) => export_file(&request, source, &config, place)?,
        None => export_journal(&request, arguments, &config, place)?,
    };
    tell(&request, &summary, &arguments.out, output)?;
    Ok(Ended::Well)
}

fn config_of(arguments: &ExportFeaturesArguments) -> Result<Config, Failure> {
    let dir = arguments.dir.iter();
    configuration::load(&ConfigArguments {
        config: arguments.config.clone(),
        set: dir.map(|dir| format!("engine.dir={}", dir.display())).collect(),
    })
}

/// The set by its name or file.
fn set_of(name: Option<&str>, config: &FeaturesConfig) -> Result<FeatureSet, Failure> {
    let set = match name {
        None => config.set.clone(),
        Some(file) if file.contains('/') || file.ends_with(".toml") => PathBuf::from(file),
        Some(name) => Path::new("features").join(format!("{name}.toml")),
    };
    let config = FeaturesConfig {
        set,
        ..config.clone()
    };
    config.load_set().map_err(Failure::could_not)
}

fn export_file(
    request: &Request,
    source: &str,
    config: &Config,
    place: Place,
) -> Result<ExportSummary, Failure> {
    let open = || events::open(source, Format::Auto, &ImportOptions::default(), events::SEED);
    let mut payments = EventPayments::new(open()?, open()?, &config.ingest).map_err(refused)?;
    watched(request, &mut payments, place)
}

fn export_journal(
    request: &Request,
    arguments: &ExportFeaturesArguments,
    config: &Config,
    place: Place,
) -> Result<ExportSummary, Failure> {
    let dir = arguments.journal.clone().unwrap_or_else(|| config.journal().dir);
    let mut payments = JournalPayments::open(&dir, &config.ingest).map_err(refused)?;
    let since = export::since_of(&dir, &request.set).map_err(Failure::could_not)?;
    if let Some(since) = since {
        eprintln!("note: {}", export::words_of(since));
    }
    let request = &Request {
        since,
        ..request.clone()
    };
    let summary = watched(request, &mut payments, place)?;
    warn_of_other_configuration(config.decision_hash(), payments.config_hashes());
    Ok(summary)
}

/// Tables of another size may have forgotten other names.
fn warn_of_other_configuration(expected: u64, found: &[u64]) {
    for hash in found.iter().filter(|hash| **hash != expected) {
        eprintln!(
            "warning: the journal was written under configuration {}, the export is under {}: where a table was \
             full, vectors differ from those served",
            hash_text(*hash),
            hash_text(expected)
        );
    }
}

fn watched(request: &Request, payments: &mut dyn Payments, place: Place) -> Result<ExportSummary, Failure> {
    let mut progress = Progress::new("export", None);
    let step = |step: Step| {
        if let Some(total) = step.total {
            progress.set_total(total);
        }
        progress.set(step.done);
    };
    let summary = export::export(request, payments, Target::Place(place), step).map_err(refused)?;
    progress.finish();
    Ok(summary)
}

fn refused(error: ExportError) -> Failure {
    match error {
        ExportError::Import(error) => error.into(),
        error if error.is_corruption() => Failure::Corrupt(error.to_string()),
        error => Failure::could_not(error),
    }
}

fn tell(request: &Request, summary: &ExportSummary, path: &Path, output: Output) -> Result<(), Failure> {
    let mut out = Out::new();
    let path = path.display().to_string();
    match output {
        Output::Json => out.json(&json!({
            "path": path,
            "transactions": summary.transactions,
            "days": summary.days,
            "frauds": summary.frauds,
            "labelled": summary.labelled,
            "labels": summary.labels,
            "labels_late": summary.labels_late,
            "labels_unmatched": summary.labels_unmatched,
            "erased": summary.erased,
            "events": summary.events,
            "refused": summary.refused,
            "merged_events": summary.usage.merged_events,
            "unkept_events": summary.usage.unkept_events,
        }))?,
        Output::Text => out.line(format!(
            "{path}: {} transactions, {} of them frauds",
            grouped(summary.transactions),
            grouped(summary.frauds)
        ))?,
    }
    out.flush()?;
    tell_left(request, summary);
    Ok(())
}

/// What the rows do not say.
fn tell_left(request: &Request, summary: &ExportSummary) {
    let late = format!(
        "labels came more than {} days after their transaction: left out",
        request.label_days
    );
    let notes = [
        (summary.labels_late, late.as_str()),
        (
            summary.labels_unmatched,
            "labels are of no transaction before them: left out",
        ),
        (summary.erased, "transactions were erased: left out"),
        (
            summary.refused,
            "payment events are not taken by ingest: left out",
        ),
        (
            summary.usage.merged_events + summary.usage.unkept_events,
            "events were merged or not kept for want of room in [features]: their windows are not exact",
        ),
    ];
    for (count, what) in notes.into_iter().filter(|(count, _)| *count > 0) {
        eprintln!("note: {} {what}", grouped(count));
    }
}
