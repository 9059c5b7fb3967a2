//! The harness of the micro-benches: interleaved rounds, medians, ratios to a named rival.
//!
//! ```text
//!   round 1: case a, case b, case c     round 2: case a, case b, case c     …     median per case
//! ```
//!
//! Cases take turns within each round, so that what the machine does meanwhile falls on all of them alike.
//! Without `--bench`, which `cargo bench` passes, and with `--smoke` or `--test` each case runs once: that it
//! works is then the claim, and the figures say nothing.

use std::time::{Duration, Instant};

use serde::Serialize;

/// One line of a bench's results.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// The bench.
    pub bench: String,
    /// The case.
    pub case: String,
    /// Median over the rounds. Unit: ns per operation.
    pub median_ns: f64,
    /// Best round. Unit: ns per operation.
    pub min_ns: f64,
    /// Median over that of the rival, which is the first case.
    pub ratio_to_first: f64,
}

/// A case's name, operations per call, and a call, which says how long they took.
type Entry<'a> = (String, u64, Box<dyn FnMut() -> Duration + 'a>);

/// A bench under way.
pub struct Bench<'a> {
    name: String,
    smoke: bool,
    cases: Vec<Entry<'a>>,
}

impl<'a> Bench<'a> {
    /// A bench with no cases yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            smoke: is_smoke(),
            cases: Vec::new(),
        }
    }

    /// Adds a case; `run` does `operations` operations each time it is called. The first case is the rival
    /// that the others are compared with.
    pub fn case(&mut self, case: &str, operations: u64, mut run: impl FnMut() + 'a) {
        self.timed_case(case, operations, move || {
            let started = Instant::now();
            run();
            started.elapsed()
        });
    }

    /// As [`Self::case`], but `run` says itself how long its operations took, so that what it needs for them
    /// can be made ready outside of the time.
    pub fn timed_case(&mut self, case: &str, operations: u64, run: impl FnMut() -> Duration + 'a) {
        self.cases.push((case.to_owned(), operations, Box::new(run)));
    }

    /// Runs the rounds and prints one JSON line per case on stdout.
    pub fn finish(mut self, rounds: usize) -> Vec<Case> {
        let rounds = if self.smoke { 1 } else { rounds };
        let mut times = vec![Vec::with_capacity(rounds); self.cases.len()];
        for round in 0..=rounds {
            for (index, (_, operations, run)) in self.cases.iter_mut().enumerate() {
                let ns = run().as_nanos() as f64 / *operations as f64;
                if round > 0 || self.smoke {
                    times[index].push(ns);
                }
            }
            if self.smoke {
                break;
            }
        }
        let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
        let results = self.cases.iter().enumerate().map(|(index, (case, _, _))| Case {
            bench: self.name.clone(),
            case: case.clone(),
            median_ns: medians[index],
            min_ns: times[index].first().copied().unwrap_or_default(),
            ratio_to_first: medians[index] / medians[0],
        });
        let results: Vec<Case> = results.collect();
        for case in &results {
            println!(
                "{}",
                serde_json::to_string(case).expect("numbers and text serialise")
            );
        }
        results
    }
}

/// Whether this run only shows that the cases work: make them small then.
pub fn is_smoke() -> bool {
    let mut arguments = std::env::args().skip(1);
    let has_bench = std::env::args().any(|argument| argument == "--bench");
    !has_bench || arguments.any(|argument| argument == "--smoke" || argument == "--test")
}

/// Sorts and takes the middle.
fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_take_turns_and_are_compared_with_the_first() {
        let order = std::cell::RefCell::new(Vec::new());
        let mut bench = Bench {
            name: "toy".to_owned(),
            smoke: false,
            cases: Vec::new(),
        };
        bench.case("a", 1, || order.borrow_mut().push('a'));
        bench.case("b", 1, || order.borrow_mut().push('b'));
        let results = bench.finish(2);
        assert_eq!(results[0].ratio_to_first, 1.0);
        drop(results);
        assert_eq!(order.into_inner(), ['a', 'b', 'a', 'b', 'a', 'b']);
    }
}
