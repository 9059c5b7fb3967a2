//! The bank of cases: exact search at each precision, inserts, and the same searches by FAISS, usearch and hnswlib.
//!
//! The vectors are clustered and drawn from a seed. The rivals run in one Python process beside this one, on the same
//! vectors, and take turns with our cases; `latency-lab/rivals/requirements.txt` says how to install them. Without
//! them their lines are missing. `PINION_RIVALS_PYTHON` names the interpreter, else it is `python3`.
//!
//! `--exact-only` leaves out the approximate rivals, which need minutes to build their graphs over a million rows.
//! They are left out there anyway unless `--approximate` asks for them.
//!
//! Invariant: all cases of a table search for the same neighbours of the same queries among the same rows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use pinion_latency_lab::bench::{Bench, Case as Line, is_smoke};
use pinion_schemas::ids::Id;
use pinion_score::bank::{Bank, BankConfig, Case, Label, Neighbour, Precision};
use serde::Deserialize;

const DIMENSIONS: usize = 64;
const QUERIES: usize = 100;
const CLUSTERS: usize = 1_000;
/// Length of what is added to a cluster's centre, of length 1: cases of a cluster are about 0.73 similar.
const SPREAD: f32 = 0.6;
const NEAREST: usize = 10;
const PRECISIONS: [(&str, Precision); 3] = [
    ("f32", Precision::F32),
    ("f16", Precision::F16),
    ("int8", Precision::Int8),
];
/// Bytes that a search scans of each row: one per value, and its scale and error.
const SCANNED_LEN: usize = DIMENSIONS + 4;
/// Beyond this many rows approximate rivals are built only when asked for.
const APPROXIMATE_ROWS_MAX: usize = 100_000;

fn main() {
    let sizes: &[usize] = if is_smoke() {
        &[1_000]
    } else {
        &[10_000, 100_000, 1_000_000]
    };
    for &rows in sizes {
        search(rows);
    }
    for &rows in &sizes[..sizes.len().min(2)] {
        insert(rows);
    }
}

/// Vectors of length 1 around common centres, the same for a seed.
struct Clustered {
    state: u64,
    centres: Vec<Vec<f32>>,
}

impl Clustered {
    fn new(seed: u64) -> Self {
        let mut clustered = Self {
            state: seed,
            centres: Vec::new(),
        };
        clustered.centres = (0..CLUSTERS)
            .map(|_| unit((0..DIMENSIONS).map(|_| clustered.normal()).collect()))
            .collect();
        clustered
    }

    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut draw = self.state;
        draw = (draw ^ draw >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ draw >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        draw ^ draw >> 31
    }

    /// Mean 0, variance 1, near enough to normal: the sum of four even draws.
    fn normal(&mut self) -> f32 {
        let even = (0..4).map(|_| (self.draw() >> 40) as f32 / (1 << 24) as f32 - 0.5);
        even.sum::<f32>() * 3.0_f32.sqrt()
    }

    fn vector(&mut self) -> Vec<f32> {
        let scale = SPREAD / (DIMENSIONS as f32).sqrt();
        let cluster = self.draw() as usize % CLUSTERS;
        let noise: Vec<f32> = (0..DIMENSIONS).map(|_| scale * self.normal()).collect();
        let centre = &self.centres[cluster];
        unit(
            centre
                .iter()
                .zip(noise)
                .map(|(value, noise)| value + noise)
                .collect(),
        )
    }

    fn vectors(&mut self, count: usize) -> Vec<Vec<f32>> {
        (0..count).map(|_| self.vector()).collect()
    }
}

fn unit(values: Vec<f32>) -> Vec<f32> {
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| value / length).collect()
}

fn empty(rows: usize, precision: Precision) -> Bank {
    let config = BankConfig {
        rows_max: rows as u32,
        precision,
        ..BankConfig::default()
    };
    let mut bank = Bank::new(&config, DIMENSIONS).expect("the sizes are in range");
    bank.prefault();
    bank
}

fn id(row: usize) -> Id {
    Id::new(&format!("{row:08x}-7c1a-4a52-9a0a-0f6f3a1c9d2e")).expect("a valid name")
}

fn case(id: Id, row: usize, embedding: &[f32]) -> Case<'_> {
    Case {
        id,
        entity: 1 + row as u64 / 4,
        label: if row.is_multiple_of(10) {
            Label::Fraud
        } else {
            Label::Genuine
        },
        weight: 1.0,
        event_ns: row as i64,
        embedding,
    }
}

fn fill(bank: &mut Bank, ids: &[Id], vectors: &[Vec<f32>], first: usize) {
    for (row, (&id, vector)) in (first..).zip(ids.iter().zip(vectors)) {
        bank.insert(&case(id, row, vector)).expect("the case is in range");
    }
}

fn search(rows: usize) {
    let mut clustered = Clustered::new(7);
    let vectors = clustered.vectors(rows);
    let queries = clustered.vectors(if is_smoke() { 5 } else { QUERIES });
    let ids: Vec<Id> = (0..rows).map(id).collect();
    let banks = PRECISIONS.map(|(name, precision)| {
        let mut bank = empty(rows, precision);
        fill(&mut bank, &ids, &vectors, 0);
        (name, RefCell::new(bank))
    });
    let recalls: BTreeMap<&str, f64> = banks
        .iter()
        .map(|(name, bank)| (*name, recall(&banks[0].1, bank, &queries)))
        .collect();
    let rivals = RefCell::new(Rivals::start(&vectors, &queries, &banks[0].1));
    drop(vectors);
    let queries_len = queries.len();
    let names: Vec<String> = rivals.borrow().recall.keys().cloned().collect();
    for count in [NEAREST, 64] {
        let mut bench = Bench::new(format!("bank/search_{rows}_top_{count}"));
        for name in names
            .iter()
            .filter(|name| count == NEAREST || *name == "faiss_flat")
        {
            let rivals = &rivals;
            bench.timed_case(name, queries.len() as u64, move || {
                rivals.borrow_mut().round(name, count)
            });
        }
        for (name, bank) in &banks {
            let (bank, queries) = (bank, &queries);
            let mut nearest = vec![Neighbour::default(); count];
            bench.case(&format!("exact_{name}"), queries.len() as u64, move || {
                let mut bank = bank.borrow_mut();
                for query in queries {
                    black_box(bank.search(query, &mut nearest));
                }
            });
        }
        let floor = vec![1_u64; rows * SCANNED_LEN / size_of::<u64>()];
        bench.case("reading_the_scanned_bytes", queries.len() as u64, move || {
            for _ in 0..queries_len {
                black_box(read(&floor));
            }
        });
        let lines = bench.finish(if rows > APPROXIMATE_ROWS_MAX { 5 } else { 15 });
        table(&lines, |case| {
            let ours = case.strip_prefix("exact_").and_then(|name| recalls.get(name));
            ours.or(rivals.borrow().recall.get(case)).copied()
        });
    }
}

/// One pass over as much memory, by the instructions that every machine has: the floor of a scan beyond the caches.
fn read(words: &[u64]) -> u64 {
    let mut sums = [0; 64];
    for words in words.as_chunks::<64>().0 {
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum ^= word;
        }
    }
    sums.iter().fold(0, |all, sum| all ^ sum)
}

/// Share of the neighbours by the first bank that the second one finds.
fn recall(exact: &RefCell<Bank>, bank: &RefCell<Bank>, queries: &[Vec<f32>]) -> f64 {
    let nearest = |bank: &RefCell<Bank>, query: &[f32]| {
        let mut nearest = [Neighbour::default(); NEAREST];
        bank.borrow_mut().search(query, &mut nearest);
        nearest.map(|neighbour| neighbour.row)
    };
    let hits: usize = queries
        .iter()
        .map(|query| {
            let expected = nearest(exact, query);
            nearest(bank, query)
                .iter()
                .filter(|row| expected.contains(row))
                .count()
        })
        .sum();
    hits as f64 / (queries.len() * NEAREST) as f64
}

/// What people read; the lines on stdout are for programs.
fn table(lines: &[Line], recall: impl Fn(&str) -> Option<f64>) {
    let rival = &lines[0].case;
    eprintln!(
        "{:<28} {:>14} {:>12} {:>12} {:>10}",
        lines[0].bench, "median us", "best us", "times", "recall@10"
    );
    for line in lines {
        let recall = recall(&line.case).map_or(String::new(), |recall| format!("{recall:.4}"));
        eprintln!(
            "  {:<26} {:>14.2} {:>12.2} {:>12.3} {recall:>10}",
            line.case,
            line.median_ns / 1e3,
            line.min_ns / 1e3,
            line.ratio_to_first,
        );
    }
    eprintln!("  times: median over that of {rival}\n");
}

fn insert(rows: usize) {
    let vectors = Clustered::new(8).vectors(rows);
    let ids: Vec<Id> = (0..4 * rows).map(id).collect();
    let mut bench = Bench::new(format!("bank/insert_{rows}"));
    for (name, precision) in PRECISIONS {
        let (ids, vectors) = (&ids, &vectors);
        bench.timed_case(&format!("into_empty_{name}"), rows as u64, move || {
            let mut bank = empty(rows, precision);
            timed(|| fill(&mut bank, &ids[..rows], vectors, 0))
        });
        let mut bank = empty(rows, precision);
        fill(&mut bank, &ids[..rows], vectors, 0);
        let mut turn = 0;
        bench.case(&format!("into_full_{name}"), rows as u64, move || {
            turn = (turn + 1) % 4;
            fill(&mut bank, &ids[turn * rows..][..rows], vectors, turn * rows);
        });
    }
    let lines = bench.finish(7);
    table(&lines, |_| None);
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

/// What the process says first.
#[derive(Deserialize)]
struct Hello {
    recall: BTreeMap<String, f64>,
    missing: Vec<String>,
}

/// The process of the rivals; none of them if it cannot be started.
struct Rivals {
    recall: BTreeMap<String, f64>,
    process: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Rivals {
    fn start(vectors: &[Vec<f32>], queries: &[Vec<f32>], exact: &RefCell<Bank>) -> Self {
        let none = Self {
            recall: BTreeMap::new(),
            process: None,
        };
        if is_smoke() {
            eprintln!("FAISS, usearch and hnswlib are left out of a smoke run");
            return none;
        }
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        write(file.path(), vectors, queries, exact).expect("the vectors are written");
        match Self::spawn(file.path(), vectors.len()) {
            Ok(rivals) => rivals,
            Err(reason) => {
                eprintln!("FAISS, usearch and hnswlib are left out: {reason}");
                none
            }
        }
    }

    fn spawn(file: &Path, rows: usize) -> Result<Self, String> {
        let python = std::env::var("PINION_RIVALS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals/bank.py");
        let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
        let is_exact_only = has("--exact-only") || rows > APPROXIMATE_ROWS_MAX && !has("--approximate");
        let mut command = Command::new(&python);
        command
            .arg(script)
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // One thread each, whatever library of linear algebra they bring.
        command
            .env("OMP_NUM_THREADS", "1")
            .env("OPENBLAS_NUM_THREADS", "1");
        if is_exact_only {
            command.arg("--exact-only");
        }
        let mut child = command.spawn().map_err(|error| format!("{python}: {error}"))?;
        let input = child.stdin.take().expect("its input is piped");
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).map_err(|error| error.to_string())?;
        let hello: Hello =
            serde_json::from_str(&line).map_err(|error| format!("{python} said {line:?}: {error}"))?;
        if !hello.missing.is_empty() {
            eprintln!("{python} has no {}: left out", hello.missing.join(", "));
        }
        Ok(Self {
            recall: hello.recall,
            process: Some((child, input, output)),
        })
    }

    fn round(&mut self, name: &str, count: usize) -> Duration {
        let (_, input, output) = self.process.as_mut().expect("a rival has a process");
        writeln!(input, "{name} {count}").expect("the process listens");
        let mut line = String::new();
        output.read_line(&mut line).expect("the process answers");
        Duration::from_nanos(line.trim().parse().expect("a number of ns"))
    }
}

impl Drop for Rivals {
    fn drop(&mut self) {
        if let Some((mut child, input, output)) = self.process.take() {
            drop((input, output));
            let _ = child.wait();
        }
    }
}

/// The file that `latency-lab/rivals/bank.py` reads.
fn write(
    path: &Path,
    vectors: &[Vec<f32>],
    queries: &[Vec<f32>],
    exact: &RefCell<Bank>,
) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for number in [vectors.len(), DIMENSIONS, queries.len(), NEAREST] {
        file.write_all(&(number as u32).to_le_bytes())?;
    }
    for value in vectors.iter().chain(queries).flatten() {
        file.write_all(&value.to_le_bytes())?;
    }
    let mut nearest = [Neighbour::default(); NEAREST];
    for query in queries {
        exact.borrow_mut().search(query, &mut nearest);
        for neighbour in nearest {
            file.write_all(&neighbour.row.to_le_bytes())?;
        }
    }
    file.flush()
}
