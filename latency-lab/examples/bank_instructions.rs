//! Counts the instructions of one search of the banks that the shipped models begin with, under `valgrind
//! --tool=callgrind`.
//!
//! ```sh
//! cargo run --release -p pinion-latency-lab --example bank_instructions
//! ```
//!
//! The rows of `fraud-v1` are spread, those of `fraud-v2` lie close together. valgrind knows no AVX-512: what is
//! counted is what a machine with AVX2 runs.
//!
//! Invariant: a case is the same queries of the same rows every time.

#[path = "instructions/count.rs"]
mod count;
#[path = "../benches/bank/shipped.rs"]
mod shipped;

use std::process::ExitCode;

use pinion_score::bank::{Bank, Neighbour};

use count::Instructions;
use shipped::Shipped;

/// Searches that are counted.
const SEARCHES: usize = 500;

/// Models, and neighbours that are asked for.
const CASES: [&str; 4] = ["fraud-v1/10", "fraud-v1/64", "fraud-v2/10", "fraud-v2/64"];

fn main() -> ExitCode {
    let bench = Instructions {
        bench: "bank/instructions",
        keys: ["model", "neighbours"],
        operations: SEARCHES,
    };
    count::all(&bench, &CASES, |model, count| {
        let Shipped { mut bank, queries } = Shipped::new(model, SEARCHES);
        let mut nearest = vec![Neighbour::default(); count.parse().expect("a count")];
        measured(&mut bank, &queries, &mut nearest);
    })
}

/// What is counted.
#[inline(never)]
fn measured(bank: &mut Bank, queries: &[Vec<f32>], nearest: &mut [Neighbour]) {
    for query in queries {
        std::hint::black_box(bank.search(query, nearest));
    }
}
