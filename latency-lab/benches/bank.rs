//! The bank of cases: exact and approximate search, inserts, and the same by FAISS, usearch and hnswlib; the encoder,
//! and the whole scoring stage beside its parts.
//!
//! ```sh
//! cargo bench -p pinion-latency-lab --bench bank                     # all of it, one table; the rivals take minutes
//! cargo bench -p pinion-latency-lab --bench bank -- 100000           # one size
//! cargo bench -p pinion-latency-lab --bench bank -- --exact-only     # without the approximate rivals
//! ```
//!
//! The vectors are clustered and drawn from a seed; the banks that ship with the models are searched, too, and what they
//! have grown to after as many labels as there is room for. The rivals run in one Python process beside this one, on the same
//! vectors, and take turns with our cases; `latency-lab/rivals/requirements.txt` says how to install them. Without
//! them their lines are missing. `PINION_RIVALS_PYTHON` names the interpreter, else it is `python3`.
//!
//! Invariant: all cases of a table search for the same neighbours of the same queries among the same rows.

#[path = "bank/data.rs"]
mod data;
#[path = "bank/rivals.rs"]
mod rivals;
#[path = "bank/scoring.rs"]
mod scoring;
#[path = "bank/shipped.rs"]
mod shipped;
#[path = "bank/table.rs"]
mod table;

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Instant;

use pinion_latency_lab::bench::{Bench, Case as Line, is_smoke};
use pinion_latency_lab::fingerprint::Fingerprint;
use pinion_runtime::state::State;
use pinion_score::bank::{Bank, BankConfig, Neighbour, Precision};

use data::{Clustered, DIMENSIONS, empty, fill, id};
use rivals::{ADDED, Rivals, Task};
use shipped::Shipped;
use table::{Entry, Work};

const QUERIES: usize = 100;
const NEAREST: usize = 10;
/// As many neighbours as a model asks for.
const MANY: usize = 64;
/// Cells that may be scanned, and the recall from which on they are enough; the rivals' script has the same.
const PROBES: [u32; 11] = [1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64];
const RECALL_MIN: f64 = 0.98;
/// Cases that one round inserts.
const INSERTED: usize = 2_000;
/// Vectors that are inserted into a full bank, in turns.
const ADDITIONS: usize = 20_000;
const PRECISIONS: [(&str, Precision); 3] = [
    ("f32", Precision::F32),
    ("f16", Precision::F16),
    ("int8", Precision::Int8),
];
/// Bytes that a search scans of each row: one per value, and its scale and error.
const SCANNED_LEN: usize = DIMENSIONS + 4;

fn main() {
    let asked: Vec<usize> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let sizes = match (is_smoke(), asked.is_empty()) {
        (true, _) => vec![1_000],
        (false, true) => vec![10_000, 100_000, 1_000_000],
        (false, false) => asked,
    };
    print_environment();
    let mut entries = search_shipped();
    for rows in sizes {
        entries.extend(search_and_insert(rows));
        entries.extend(scoring::score(rows));
        print_environment();
    }
    table::print(&entries);
}

/// The machine, and what load it is under.
fn print_environment() {
    println!("{}", serde_json::json!({ "environment": Fingerprint::read() }));
}

/// A bank of `rows` that searches all of them.
fn exact(rows: usize) -> BankConfig {
    BankConfig {
        rows_max: rows as u32,
        ..BankConfig::default()
    }
}

/// A bank of `rows` that searches the nearest cells.
fn approximate(rows: usize) -> BankConfig {
    BankConfig {
        approximate_from_rows: 1,
        ..exact(rows)
    }
}

/// Rounds of a bench: fewer where one takes long.
fn rounds(rows: usize) -> usize {
    if rows > 100_000 { 7 } else { 15 }
}

type Ours = (String, Work, RefCell<Bank>);

/// Our banks, an exact one in f32 first.
fn banks(rows: usize, vectors: &[Vec<f32>], queries: &[Vec<f32>]) -> Vec<Ours> {
    let ids: Vec<_> = (0..rows).map(id).collect();
    let filled = |config: &BankConfig| {
        let mut bank = empty(config, DIMENSIONS);
        fill(&mut bank, &ids, vectors.iter().map(Vec::as_slice), 0);
        bank
    };
    let exact = PRECISIONS.map(|(name, precision)| {
        let config = BankConfig {
            precision,
            ..exact(rows)
        };
        let bank = RefCell::new(filled(&config));
        (format!("pinion exact {name}"), Work::Exact, bank)
    });
    let mut all = Vec::from(exact);
    let config = approximate(rows);
    let mut bank = filled(&config);
    let started = Instant::now();
    let cells = bank.cluster();
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{rows} rows laid out in {cells} cells in {seconds:.2} s");
    let expected = nearest(&all[0].2, queries);
    let (probes, bank) = tuned(&config, bank, &expected, queries);
    let name = format!("pinion cells f32, {probes} of {cells}");
    all.push((name, Work::Approximate, RefCell::new(bank)));
    all
}

/// The bank that scans as few cells as find enough, as the rivals are tuned.
fn tuned(config: &BankConfig, bank: Bank, expected: &[[u32; NEAREST]], queries: &[Vec<f32>]) -> (u32, Bank) {
    for probes in PROBES {
        let config = BankConfig {
            probes,
            ..config.clone()
        };
        let mut other = empty(&config, DIMENSIONS);
        for (from, to) in bank.regions().iter().zip(other.regions_mut()) {
            to.bytes.copy_from_slice(from.bytes);
        }
        let other = RefCell::new(other);
        let recall = recall(expected, &nearest(&other, queries));
        eprintln!("{probes} cells scanned: recall {recall:.4}");
        if recall >= RECALL_MIN || is_smoke() {
            return (probes, other.into_inner());
        }
    }
    (config.probes, bank)
}

fn search_and_insert(rows: usize) -> Vec<Entry> {
    let mut clustered = Clustered::new(7);
    let vectors = clustered.vectors(rows);
    let queries = clustered.vectors(if is_smoke() { 5 } else { QUERIES });
    let additions = clustered.vectors(if is_smoke() { 100 } else { ADDITIONS });
    let banks = banks(rows, &vectors, &queries);
    let found: Vec<Vec<[u32; NEAREST]>> = banks.iter().map(|(_, _, bank)| nearest(bank, &queries)).collect();
    let task = Task {
        vectors: &vectors,
        queries: &queries,
        additions: &additions,
        exact: &found[0],
    };
    let rivals = RefCell::new(Rivals::start(&task));
    drop(vectors);
    let told = rivals.borrow().all.clone();
    let describe = |line: Line| {
        let ours = banks.iter().position(|(name, ..)| line.case.starts_with(name));
        let rival = told.iter().find(|rival| line.case.starts_with(&rival.name));
        let (work, recall) = match (ours, rival) {
            (Some(index), _) => (banks[index].1, Some(recall(&found[0], &found[index]))),
            (_, Some(rival)) if rival.kind == "exact" => (Work::Exact, Some(rival.recall)),
            (_, Some(rival)) => (Work::Approximate, Some(rival.recall)),
            (None, None) => (Work::Exact, None),
        };
        let is_insert = line.bench.contains("insert");
        Entry {
            rows,
            work: if is_insert { Work::Insert } else { work },
            case: line.case.clone(),
            is_rival: rival.is_some(),
            recall: if is_insert { None } else { recall },
            line,
        }
    };
    let mut lines = search(rows, &banks, &rivals, &queries);
    lines.extend(search_top_64(rows, &banks, &rivals, &queries));
    lines.extend(insert(rows, &banks, &rivals, &additions));
    lines.into_iter().map(describe).collect()
}

/// The rows of `fraud-v1` are spread, those of `fraud-v2` lie close together.
fn search_shipped() -> Vec<Entry> {
    let count = if is_smoke() { 5 } else { QUERIES };
    let mut banks = Vec::new();
    for model in ["fraud-v1", "fraud-v2"] {
        banks.push((model.to_owned(), RefCell::new(Shipped::new(model, count))));
        let mut grown = Shipped::new(model, count);
        grown.grow();
        banks.push((format!("{model} grown"), RefCell::new(grown)));
    }
    let mut bench = Bench::new("bank/search_shipped");
    for (name, shipped) in &banks {
        for count in [NEAREST, MANY] {
            let mut nearest = vec![Neighbour::default(); count];
            let name = format!("{name}, top {count}");
            let operations = shipped.borrow().queries.len() as u64;
            bench.case(&name, operations, move || {
                let Shipped { bank, queries } = &mut *shipped.borrow_mut();
                for query in queries.iter() {
                    black_box(bank.search(query, &mut nearest));
                }
            });
        }
    }
    let lines = bench.finish(rounds(0)).into_iter();
    let entry = |line: Line| {
        let bank = banks.iter().rfind(|(name, _)| line.case.starts_with(name));
        Entry {
            rows: bank.map_or(0, |(_, shipped)| shipped.borrow().bank.len()),
            work: Work::Exact,
            case: line.case.clone(),
            is_rival: false,
            recall: Some(1.0),
            line,
        }
    };
    lines.map(entry).collect()
}

fn search(rows: usize, banks: &[Ours], rivals: &RefCell<Rivals>, queries: &[Vec<f32>]) -> Vec<Line> {
    let mut bench = Bench::new(format!("bank/search_{rows}_top_{NEAREST}"));
    for rival in &rivals.borrow().all {
        let name = rival.name.clone();
        bench.timed_case(&rival.name, queries.len() as u64, move || {
            rivals.borrow_mut().search(&name, NEAREST)
        });
    }
    for (name, _, bank) in banks {
        let mut nearest = [Neighbour::default(); NEAREST];
        bench.case(name, queries.len() as u64, move || {
            let mut bank = bank.borrow_mut();
            for query in queries {
                black_box(bank.search(query, &mut nearest));
            }
        });
    }
    let floor = vec![1_u64; rows * SCANNED_LEN / size_of::<u64>()];
    bench.case("reading the scanned bytes", queries.len() as u64, move || {
        for _ in queries {
            black_box(read(&floor));
        }
    });
    bench.finish(rounds(rows))
}

/// As many neighbours as a model asks for; only the exact rival is told to find more than ten.
fn search_top_64(rows: usize, banks: &[Ours], rivals: &RefCell<Rivals>, queries: &[Vec<f32>]) -> Vec<Line> {
    let mut bench = Bench::new(format!("bank/search_{rows}_top_{MANY}"));
    for rival in rivals.borrow().all.iter().filter(|rival| rival.kind == "exact") {
        let name = rival.name.clone();
        bench.timed_case(&format!("{name}, top {MANY}"), queries.len() as u64, move || {
            rivals.borrow_mut().search(&name, MANY)
        });
    }
    for (name, work, bank) in banks {
        if *work == Work::Exact && !name.ends_with("f32") {
            continue;
        }
        let mut nearest = [Neighbour::default(); MANY];
        bench.case(&format!("{name}, top {MANY}"), queries.len() as u64, move || {
            let mut bank = bank.borrow_mut();
            for query in queries {
                black_box(bank.search(query, &mut nearest));
            }
        });
    }
    bench.finish(rounds(rows))
}

/// Into a full bank: the oldest leaves. The rivals' grow.
fn insert(rows: usize, banks: &[Ours], rivals: &RefCell<Rivals>, additions: &[Vec<f32>]) -> Vec<Line> {
    let mut bench = Bench::new(format!("bank/insert_{rows}"));
    for rival in &rivals.borrow().all {
        let name = rival.name.clone();
        bench.timed_case(&rival.name, ADDED as u64, move || rivals.borrow_mut().add(&name));
    }
    let count = INSERTED.min(additions.len());
    for (name, _, bank) in banks {
        let mut first = rows;
        bench.timed_case(name, count as u64, move || {
            let ids: Vec<_> = (first..first + count).map(id).collect();
            let start = (first - rows) % (additions.len() + 1 - count);
            let vectors = additions[start..start + count].iter().map(Vec::as_slice);
            let mut bank = bank.borrow_mut();
            let started = Instant::now();
            fill(&mut bank, &ids, vectors, first);
            first += count;
            started.elapsed()
        });
    }
    bench.finish(rounds(rows))
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

fn nearest(bank: &RefCell<Bank>, queries: &[Vec<f32>]) -> Vec<[u32; NEAREST]> {
    let mut nearest = [Neighbour::default(); NEAREST];
    let search = |query: &Vec<f32>| {
        bank.borrow_mut().search(query, &mut nearest);
        nearest.map(|neighbour| neighbour.row)
    };
    queries.iter().map(search).collect()
}

/// Share of the neighbours that were found.
fn recall(expected: &[[u32; NEAREST]], found: &[[u32; NEAREST]]) -> f64 {
    let hits = |(expected, found): (&[u32; NEAREST], &[u32; NEAREST])| {
        found.iter().filter(|row| expected.contains(row)).count()
    };
    let all: usize = expected.iter().zip(found).map(hits).sum();
    all as f64 / (expected.len() * NEAREST) as f64
}
