//! The table that people read, and the line of results.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use pinion_score::device::bench::Limits;
use pinion_score::manifest::ModelFolder;
use serde::Serialize;

use super::cases::Cases;
use crate::fingerprint::Fingerprint;

/// The layout of [`DeviceReport`] that this program writes.
const FORMAT: u32 = 1;

/// How far a device's similarities may be from the bank's; beyond, the run failed.
pub const TOLERANCE: f64 = 1e-5;

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceReport {
    /// Layout of this line.
    pub format: u32,
    /// Which bench it is.
    pub bench: String,
    /// Where it ran.
    pub environment: Fingerprint,
    /// The GPU: name, driver, memory, as `nvidia-smi` has them; none on a CPU.
    pub gpu: Option<String>,
    /// Name and version of the model.
    pub model: String,
    /// Values of an embedding.
    pub dimensions: usize,
    /// Neighbours of a vector.
    pub neighbours: usize,
    /// Rows that a graph proposes for each vector.
    pub proposals: usize,
    /// What the devices reach at most.
    pub floors: Vec<Floor>,
    /// What was timed.
    pub lines: Vec<Line>,
    /// Rows written one by one.
    pub written: Vec<Written>,
    /// Rivals that were left out, and why.
    pub left_out: Vec<String>,
}

/// What a device reaches at most, measured in the same run.
#[derive(Clone, Debug, Serialize)]
pub struct Floor {
    /// "cpu", one core of it, or "cuda".
    pub device: String,
    /// Bytes per second: of a CPU the faster of reading and copying 256 MiB, else of copying on the device.
    pub bytes_per_s: f64,
    /// Multiplications and additions per second, of f32, in the product of two large matrices.
    pub operations_per_s: f64,
}

/// A subject's times of one batch and bank.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Vectors of a run.
    pub batch: usize,
    /// Rows of the bank.
    pub rows: u32,
    /// What was timed.
    pub subject: String,
    /// Where it ran: that floor counts.
    pub device: String,
    /// Runs.
    pub runs: usize,
    /// Median of a run. Unit: µs.
    pub p50_us: f64,
    /// 99 % of runs. Unit: µs.
    pub p99_us: f64,
    /// Vectors per second at the median.
    pub vectors_per_s: f64,
    /// Median of the graph's run alone, with its copies: without the comparison by the bank. Unit: µs.
    pub graph_p50_us: Option<f64>,
    /// Share of vectors whose neighbours were proved to be the bank's; the others were searched by the bank.
    pub proved: Option<f64>,
    /// How far similarities were from the bank's at most.
    pub similarity_off: Option<f64>,
    /// How far the share of fraud would have been from the bank's at most, had the device the last word.
    pub share_off: Option<f64>,
    /// What computing the similarities costs at least: reading all rows in f32 once, or multiplying. Unit: µs.
    pub floor_us: f64,
    /// How it ran, in words.
    pub how: String,
}

/// Rows that were written to a device, one at a time.
#[derive(Clone, Debug, Serialize)]
pub struct Written {
    /// What was timed.
    pub subject: String,
    /// Rows of the bank.
    pub rows: u32,
    /// Memory of the device that the rows take. Unit: bytes.
    pub rows_len: u64,
    /// Median. Unit: µs.
    pub p50_us: f64,
    /// 99 %. Unit: µs.
    pub p99_us: f64,
}

/// What a subject found.
pub(crate) struct Found {
    pub(crate) batch: usize,
    pub(crate) rows: u32,
    pub(crate) dimensions: usize,
    pub(crate) device: String,
    pub(crate) subject: String,
    pub(crate) graph_alone: Vec<Duration>,
    pub(crate) proved: Option<f64>,
    pub(crate) similarity_off: Option<f64>,
    pub(crate) share_off: Option<f64>,
    pub(crate) how: String,
}

impl Found {
    pub(crate) fn new(device: &str, subject: &str, cases: &Cases, batch: usize) -> Self {
        Self {
            batch,
            rows: cases.rows(),
            dimensions: cases.bank().dimensions(),
            device: if device == "native" { "cpu" } else { device }.to_owned(),
            subject: subject.to_owned(),
            graph_alone: Vec::new(),
            proved: None,
            similarity_off: None,
            share_off: None,
            how: String::new(),
        }
    }

    pub(crate) fn saying(self, how: String) -> Self {
        Self { how, ..self }
    }
}

impl Floor {
    pub(crate) fn new(device: &str, limits: &Limits) -> Self {
        Self {
            device: device.to_owned(),
            bytes_per_s: limits.bytes_per_s,
            operations_per_s: limits.operations_per_s,
        }
    }

    fn least_us(&self, line: &Found) -> f64 {
        let values = f64::from(line.rows) * line.dimensions as f64;
        let read = values * size_of::<f32>() as f64 / self.bytes_per_s;
        let multiplied = 2.0 * values * line.batch as f64 / self.operations_per_s;
        read.max(multiplied) * 1e6
    }
}

impl Line {
    pub(crate) fn new(found: Found, mut times: Vec<Duration>, floors: &[Floor]) -> Self {
        let [p50_us, p99_us] = percentiles(&mut times);
        let mut graph_alone = found.graph_alone.clone();
        let floor = floors.iter().find(|floor| floor.device == found.device);
        Self {
            runs: times.len(),
            p50_us,
            p99_us,
            vectors_per_s: found.batch as f64 / p50_us * 1e6,
            graph_p50_us: (!graph_alone.is_empty()).then(|| percentiles(&mut graph_alone)[0]),
            floor_us: floor.map_or(0.0, |floor| floor.least_us(&found)),
            batch: found.batch,
            rows: found.rows,
            subject: found.subject,
            device: found.device,
            proved: found.proved,
            similarity_off: found.similarity_off,
            share_off: found.share_off,
            how: found.how,
        }
    }

    fn cells(&self) -> [String; 12] {
        let short = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0e}"));
        [
            self.rows.to_string(),
            self.batch.to_string(),
            self.subject.clone(),
            self.runs.to_string(),
            format!("{:.1}", self.p50_us),
            format!("{:.1}", self.p99_us),
            format!("{:.0}", self.vectors_per_s),
            self.graph_p50_us.map_or("-".to_owned(), |us| format!("{us:.1}")),
            format!("{:.1}", self.floor_us),
            self.proved
                .map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share)),
            short(self.similarity_off),
            short(self.share_off),
        ]
    }
}

impl Written {
    pub(crate) fn new(subject: String, rows: u32, rows_len: u64, mut times: Vec<Duration>) -> Self {
        let [p50_us, p99_us] = percentiles(&mut times);
        Self {
            subject,
            rows,
            rows_len,
            p50_us,
            p99_us,
        }
    }
}

impl DeviceReport {
    pub(crate) fn new(
        environment: Fingerprint,
        model: &ModelFolder,
        proposals: usize,
        floors: Vec<Floor>,
    ) -> Self {
        let manifest = &model.manifest;
        Self {
            format: FORMAT,
            bench: "model".to_owned(),
            environment,
            gpu: gpu(),
            model: format!("{} version {}", manifest.name, manifest.version),
            dimensions: manifest.encoder.dimensions,
            neighbours: manifest.bank.neighbours,
            proposals,
            floors,
            lines: Vec::new(),
            written: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The report as one line of JSON.
    pub fn to_json_line(&self) -> String {
        serde_json::to_string(self).expect("numbers and text serialise")
    }

    /// Whether a device's similarities were further from the bank's than [`TOLERANCE`] allows.
    pub fn is_out_of_tolerance(&self) -> bool {
        self.lines
            .iter()
            .filter_map(|line| line.similarity_off)
            .any(|off| off > TOLERANCE)
    }

    /// The report as tables in Markdown.
    pub fn to_table(&self) -> String {
        let Fingerprint {
            cpu, profile, load, ..
        } = &self.environment;
        let mut text = format!(
            "{}, {} values per embedding, {} neighbours of {} proposals; {cpu}, {profile} build, load {load}\n",
            self.model, self.dimensions, self.neighbours, self.proposals
        );
        if let Some(gpu) = &self.gpu {
            let _ = writeln!(text, "{gpu}");
        }
        for floor in &self.floors {
            let (bytes, operations) = (floor.bytes_per_s / 1e9, floor.operations_per_s / 1e9);
            let _ = writeln!(
                text,
                "{}: {bytes:.1} GB/s, {operations:.1} GFLOP/s in f32",
                floor.device
            );
        }
        text.push_str(
            "\n| rows | batch | subject | runs | p50 µs | p99 µs | vectors/s | graph alone, p50 µs | floor µs | proved | \
             similarities off | share off |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for line in &self.lines {
            let _ = writeln!(text, "| {} |", line.cells().join(" | "));
        }
        text.push_str(
            "\n| rows | one row written to | device memory MB | p50 µs | p99 µs |\n|---|---|---|---|---|\n",
        );
        for written in &self.written {
            let Written {
                subject,
                rows,
                p50_us,
                p99_us,
                ..
            } = written;
            let megabytes = written.rows_len as f64 / 1e6;
            let _ = writeln!(
                text,
                "| {rows} | {subject} | {megabytes:.1} | {p50_us:.1} | {p99_us:.1} |"
            );
        }
        self.words(&mut text);
        text
    }

    fn words(&self, text: &mut String) {
        let mut ways: Vec<String> = Vec::new();
        for line in self.lines.iter().filter(|line| !line.how.is_empty()) {
            let way = format!("{}: {}", line.subject, line.how);
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        text.push('\n');
        for line in ways.iter().chain(
            &self
                .left_out
                .iter()
                .map(|line| format!("left out: {line}"))
                .collect::<Vec<_>>(),
        ) {
            let _ = writeln!(text, "{line}");
        }
    }
}

/// What the driver's own program says, where there is one.
fn gpu() -> Option<String> {
    let query = [
        "--query-gpu=name,driver_version,memory.total",
        "--format=csv,noheader",
    ];
    let output = Command::new("nvidia-smi").args(query).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.lines().next().unwrap_or_default().to_owned())
}

/// Median and 99 %. Unit: µs.
fn percentiles(times: &mut [Duration]) -> [f64; 2] {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (share * times.len() as f64) as usize;
        let time = times.get(index.min(times.len().saturating_sub(1)));
        time.map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    [at(0.5), at(0.99)]
}
