//! What is timed: our own path, and the graph on a device.
//!
//! Invariant: a run ends with the neighbours of each of its vectors in the CPU's memory.

use std::time::{Duration, Instant};

use pinion_score::bank::Neighbour;
use pinion_score::device::{Device, DeviceBank};

use super::cases::Cases;
use super::report::Found;

/// Something that searches.
pub(crate) trait Subject {
    /// Runs the batch of a round, and says how long it took; none if it failed.
    fn run(&mut self, cases: &mut Cases, batch: usize, round: usize) -> Option<Duration>;

    /// What it found in all rounds so far.
    fn found(&mut self, cases: &mut Cases, batch: usize) -> Found;
}

/// The native encoder and the bank's own search, one vector after the other.
pub(crate) struct Native {
    embedding: Vec<f32>,
    nearest: Vec<Neighbour>,
}

impl Native {
    pub(crate) fn new(cases: &Cases) -> Self {
        Self {
            embedding: vec![0.0; cases.bank().dimensions()],
            nearest: vec![Neighbour::default(); cases.neighbours()],
        }
    }
}

impl Subject for Native {
    fn run(&mut self, cases: &mut Cases, batch: usize, round: usize) -> Option<Duration> {
        let started = Instant::now();
        for index in 0..batch {
            cases.encode(batch, round, index, &mut self.embedding);
            std::hint::black_box(cases.search(&self.embedding, &mut self.nearest));
        }
        Some(started.elapsed())
    }

    fn found(&mut self, cases: &mut Cases, batch: usize) -> Found {
        Found::new("native", "pinion, encoder and bank", cases, batch)
    }
}

/// The graph, and the bank's comparison of what it proposes; where that proves nothing, the bank's own search.
pub(crate) struct Graph {
    device: Device,
    bank: DeviceBank,
    native: Native,
    asked: u64,
    proved: u64,
    similarity_off: f64,
    share_off: f64,
    graph_alone: Vec<Duration>,
}

impl Graph {
    pub(crate) fn new(device: Device, bank: DeviceBank) -> Self {
        Self {
            device,
            native: Native {
                embedding: Vec::new(),
                nearest: Vec::new(),
            },
            bank,
            asked: 0,
            proved: 0,
            similarity_off: 0.0,
            share_off: 0.0,
            graph_alone: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("graph on {}", self.device)
    }

    pub(crate) fn rows_len(&self) -> u64 {
        self.bank.rows_len()
    }

    /// Has a row that changed written, and says how long that took.
    pub(crate) fn write(&mut self, row: u32, cases: &Cases) -> Option<Duration> {
        let started = Instant::now();
        self.bank.note(row);
        self.bank.write_stale(cases.bank()).ok()?;
        Some(started.elapsed())
    }

    /// How far the device's word alone, without the bank's comparison, would be from the oracle.
    fn compare_with_oracle(&mut self, cases: &mut Cases, batch: usize, round: usize) {
        for index in 0..batch {
            let Native { embedding, nearest } = &mut self.native;
            cases.encode(batch, round, index, embedding);
            let count = cases.search(embedding, nearest);
            let share = cases.share(&nearest[..count]);
            let mut proposed: Vec<Neighbour> = self.bank.proposals(index).take(count).collect();
            self.share_off = self.share_off.max((share - cases.share(&proposed)).abs());
            let said: Vec<f32> = proposed.iter().map(|one| one.similarity).collect();
            cases.bank().compare(embedding, &mut proposed);
            for (one, said) in proposed.iter().zip(said) {
                self.similarity_off = self.similarity_off.max(f64::from(one.similarity - said).abs());
            }
        }
    }
}

impl Subject for Graph {
    fn run(&mut self, cases: &mut Cases, batch: usize, round: usize) -> Option<Duration> {
        if self.native.embedding.is_empty() {
            self.native = Native::new(cases);
        }
        let started = Instant::now();
        self.bank.run(cases.batch(batch, round)).ok()?;
        let alone = started.elapsed();
        for index in 0..batch {
            let Native { embedding, nearest } = &mut self.native;
            cases.encode(batch, round, index, embedding);
            let proved = self.bank.nearest(index, embedding, cases.bank(), nearest);
            self.proved += u64::from(proved.is_some());
            std::hint::black_box(proved.unwrap_or_else(|| cases.search(embedding, nearest)));
        }
        let taken = started.elapsed();
        self.asked += batch as u64;
        if round == 0 {
            self.compare_with_oracle(cases, batch, round);
        } else {
            self.graph_alone.push(alone);
        }
        Some(taken)
    }

    fn found(&mut self, cases: &mut Cases, batch: usize) -> Found {
        Found {
            graph_alone: std::mem::take(&mut self.graph_alone),
            proved: Some(self.proved as f64 / self.asked.max(1) as f64),
            similarity_off: Some(self.similarity_off),
            share_off: Some(self.share_off),
            ..Found::new(&self.device.to_string(), &self.name(), cases, batch)
        }
        .saying(self.bank.way())
    }
}
