//! Encoder and search as one graph on a device, beside our own path on the CPU, PyTorch, and the machine's floor.
//!
//! ```text
//!   for each bank:  native ─ graph on the CPU ─ graph on the GPU ─ PyTorch     turns within each round, for each batch
//!                      └ the oracle: what a graph finds is compared with it
//! ```
//!
//! Start at [`run`]. `cases` draws what is searched; `subject` is what is timed; `torch` the rival's process; `report` the
//! table and the line of results.
//!
//! Invariant: all subjects of a batch take the same vectors and search the same rows for as many neighbours, from feature
//! vectors in the CPU's memory to neighbours in the CPU's memory.

mod cases;
mod report;
mod subject;
mod torch;

use std::path::Path;
use std::time::{Duration, Instant};

use pinion_score::ScoreError;
use pinion_score::device::bench::measure;
use pinion_score::device::{Device, DeviceBank, Libraries, Sizes};
use pinion_score::manifest::{ModelFolder, locate};

use crate::fingerprint::Fingerprint;
use cases::Cases;
use report::Found;
pub use report::{DeviceReport, Floor, Line, TOLERANCE, Written};
use subject::{Graph, Native, Subject};
use torch::Torch;

/// Runs of a subject at least and at most, and how long they may take in all.
const RUNS: std::ops::RangeInclusive<usize> = 7..=1_000;
const LONG: Duration = Duration::from_secs(2);

/// Rows that are written one by one.
const WRITES: usize = 200;

/// What to measure.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// Folder of the model, found as `score.model` is.
    pub model: String,
    /// Where the graph runs, beside the CPU.
    pub device: Device,
    /// Where the libraries are.
    pub libraries: Libraries,
    /// Vectors of a run.
    pub batches: Vec<usize>,
    /// Rows of the bank.
    pub rows: Vec<u32>,
    /// Rows that a graph proposes for each vector.
    pub proposals: usize,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Model, library or device.
    #[error("{0}")]
    Score(#[from] ScoreError),
    /// The device failed in the middle.
    #[error("the device failed with a batch of {batch} and {rows} rows")]
    Failed {
        /// Vectors of the run.
        batch: usize,
        /// Rows of the bank.
        rows: u32,
    },
}

/// Measures, and calls `progress` with what is next.
///
/// # Errors
/// [`DeviceError`]. PyTorch that is missing is none: its lines are.
pub fn run(options: &DeviceOptions, mut progress: impl FnMut(&str)) -> Result<DeviceReport, DeviceError> {
    let model = ModelFolder::open(&locate(Path::new(&options.model))?)?;
    progress("the device's limits");
    let floors = floors(options)?;
    let mut report = DeviceReport::new(Fingerprint::read(), &model, options.proposals, floors);
    let batch_max = options.batches.iter().copied().max().unwrap_or(1);
    for &rows in &options.rows {
        progress(&format!("{rows} rows: drawing them"));
        let mut cases = Cases::new(&model, rows, batch_max)?;
        let mut torch = match Torch::start(&model, &mut cases, options.device) {
            Ok(torch) => Some(torch),
            Err(reason) => {
                progress(&format!("PyTorch is left out: {reason}"));
                report.left_out.push(format!("PyTorch: {reason}"));
                None
            }
        };
        for &batch in &options.batches {
            progress(&format!("{rows} rows, batches of {batch}"));
            let mut graphs = graphs(options, &model, &cases, batch)?;
            let timed = compare(&mut cases, &mut graphs, torch.as_mut(), batch)?;
            for (found, times) in timed {
                report.lines.push(Line::new(found, times, &report.floors));
            }
            if batch == batch_max {
                for graph in &mut graphs {
                    report.written.push(write(graph, &mut cases)?);
                }
            }
        }
    }
    Ok(report)
}

/// The CPU's limits, and the device's where it is another. The device is first: the CPU's graph runs on whichever build of
/// the library is loaded.
fn floors(options: &DeviceOptions) -> Result<Vec<Floor>, DeviceError> {
    let mut floors = Vec::new();
    for device in devices(options.device).rev() {
        let mut limits = measure(device, &options.libraries, 1)?;
        if device == Device::Cpu {
            limits.bytes_per_s = limits.bytes_per_s.max(cases::bytes_read_per_s());
        }
        floors.push(Floor::new(&device.to_string(), &limits));
    }
    floors.reverse();
    Ok(floors)
}

/// The CPU, and the device that was asked for if it is another.
fn devices(device: Device) -> impl DoubleEndedIterator<Item = Device> {
    let other = (device != Device::Cpu).then_some(device);
    [Device::Cpu].into_iter().chain(other)
}

fn graphs(
    options: &DeviceOptions,
    model: &ModelFolder,
    cases: &Cases,
    batch: usize,
) -> Result<Vec<Graph>, DeviceError> {
    let sizes = Sizes {
        rows_max: cases.rows(),
        batch,
        proposals: options.proposals,
        threads: 1,
    };
    let open = |device| {
        let mut bank = DeviceBank::open(device, &options.libraries, model, &sizes)?;
        bank.load(cases.bank()).map_err(|_| cases.failed(batch))?;
        Ok(Graph::new(device, bank))
    };
    devices(options.device).map(open).collect()
}

/// Has all subjects take turns until they had time enough.
fn compare(
    cases: &mut Cases,
    graphs: &mut [Graph],
    mut torch: Option<&mut Torch>,
    batch: usize,
) -> Result<Vec<(Found, Vec<Duration>)>, DeviceError> {
    let mut native = Native::new(cases);
    let mut subjects: Vec<&mut dyn Subject> = vec![&mut native];
    subjects.extend(graphs.iter_mut().map(|graph| graph as &mut dyn Subject));
    if let Some(torch) = &mut torch {
        subjects.push(*torch);
    }
    let mut times = vec![Vec::new(); subjects.len()];
    let started = Instant::now();
    let enough = LONG * subjects.len() as u32;
    for round in 0..=*RUNS.end() {
        if round > *RUNS.start() && started.elapsed() > enough {
            break;
        }
        for (subject, times) in subjects.iter_mut().zip(&mut times) {
            let taken = subject
                .run(cases, batch, round)
                .ok_or_else(|| cases.failed(batch))?;
            // The first round warms up.
            if round > 0 {
                times.push(taken);
            }
        }
    }
    let lines = subjects.iter_mut().zip(times);
    Ok(lines
        .map(|(subject, times)| (subject.found(cases, batch), times))
        .collect())
}

/// Writes rows one by one, as labels come.
fn write(graph: &mut Graph, cases: &mut Cases) -> Result<Written, DeviceError> {
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let row = cases.replace_one();
        times.push(graph.write(row, cases).ok_or_else(|| cases.failed(1))?);
    }
    Ok(Written::new(graph.name(), cases.rows(), graph.rows_len(), times))
}
