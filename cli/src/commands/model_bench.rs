//! `pinion model bench`: encoder and search of the whole bank as one graph, on a device, beside the engine's own.
//!
//! Invariant: the tables, or the JSON line, on stdout are the whole report; progress goes to stderr.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use pinion_latency_lab::device::{DeviceOptions, DeviceReport, TOLERANCE};
use pinion_score::device::{Device, Libraries};

use crate::args::{DeviceName, ModelBenchArguments, Output};
use crate::exit::{Ended, Failure};
use crate::out::Out;

/// Measures and prints what came out.
///
/// # Errors
/// Model, library or device cannot be used, the results could not be written, or similarities are out of tolerance.
pub fn run(arguments: &ModelBenchArguments, output: Output) -> Result<Ended, Failure> {
    let report = pinion_latency_lab::device::run(&options(arguments), |step| eprintln!("{step}"))
        .map_err(Failure::could_not)?;
    if let Some(path) = &arguments.json {
        append(path, &report)
            .map_err(|error| Failure::CouldNotRun(format!("{}: {error}", path.display())))?;
    }
    let mut out = Out::new();
    match output {
        Output::Text => out.line(report.to_table().trim_end())?,
        Output::Json => out.line(report.to_json_line())?,
    }
    out.flush()?;
    if report.is_out_of_tolerance() {
        return Err(Failure::ObjectiveMissed(format!(
            "similarities are off by more than {TOLERANCE:e}"
        )));
    }
    Ok(Ended::Well)
}

fn options(arguments: &ModelBenchArguments) -> DeviceOptions {
    DeviceOptions {
        model: arguments.model.clone(),
        device: match arguments.device {
            DeviceName::Cpu => Device::Cpu,
            DeviceName::Cuda => Device::Cuda,
        },
        libraries: Libraries {
            library: arguments.library.clone(),
            cuda: arguments.cuda.clone(),
            provider_sha256: arguments.provider_sha256.clone(),
        },
        batches: arguments.batch.iter().copied().map(usize::from).collect(),
        rows: arguments.rows.clone(),
        proposals: usize::from(arguments.proposals),
    }
}

fn append(path: &Path, report: &DeviceReport) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{}", report.to_json_line())
}
