//! Drift of the champion's inputs and of its scores, counted while the engine runs.
//!
//! ```text
//!   replica's vectors, scores ─▶ the first N: reference, unless the model brings one ─▶ bins
//!                             └▶ then window after window: counts ── full ──▶ index of each input ─▶ counters
//! ```
//!
//! The snapshotter's replica sees every vector, so nothing of this is on the hot path.
//!
//! Invariant: all memory is taken at the start, and the indices are a function of the transactions in their order.

use pinion_runtime::counters::{Counter, Counters as Registry};
use pinion_runtime::pace::Pace;
use pinion_score::manifest::{Distribution, Manifest};

use super::{Bins, Counts};
use crate::config::drift::DriftConfig;

/// Counters hold whole numbers: an index of 0.1 is 100.
const SCALE: f64 = 1000.0;

/// Of a reference that is told in shares, so many values are taken.
const TOLD_VALUES: f64 = 1e6;

/// What is known of one input.
struct Input {
    bins: Bins,
    expected: Counts,
    window: Counts,
    /// Values of the first transactions, while they are collected.
    first: Vec<f32>,
    shown: Counter,
}

impl Input {
    fn new(shown: Counter, told: Option<&Distribution>, first_max: usize) -> Self {
        let mut input = Self {
            bins: Bins::default(),
            expected: Counts::default(),
            window: Counts::default(),
            first: Vec::with_capacity(if told.is_some() { 0 } else { first_max }),
            shown,
        };
        // The manifest was checked when it was read.
        if let Some(told) = told
            && let Some(bins) = Bins::with_edges(&told.edges)
        {
            input.bins = bins;
            for (count, share) in input.expected.iter_mut().zip(&told.shares) {
                *count = (share * TOLD_VALUES) as u32;
            }
        }
        input
    }

    fn learn(&mut self, rest: impl FnMut()) {
        self.bins = Bins::of(&mut self.first, rest);
        self.expected = self.bins.counts_of(self.first.iter().copied());
        self.first.clear();
    }

    fn end_window(&mut self) {
        let index = self.bins.stability_index(&self.expected, &self.window);
        self.shown.set((index * SCALE).round() as u64);
        self.window = Counts::default();
    }
}

/// Takes what the replica computes.
pub(crate) struct Watch {
    /// The model's features, then its score.
    inputs: Vec<Input>,
    features: usize,
    has_reference: bool,
    taken: usize,
    first_max: usize,
    window_max: usize,
    windows: Counter,
}

impl Watch {
    /// Over the inputs of the model in force. `has_scores`: they are computed. `None`: drift is not counted.
    pub(crate) fn new(
        config: &DriftConfig,
        manifest: &Manifest,
        has_scores: bool,
        counters: &Registry,
    ) -> Option<Self> {
        let (first_max, window_max) = (config.reference_transactions, config.window_transactions);
        if window_max == 0 {
            return None;
        }
        let told = manifest.reference.as_ref();
        let input = |label: String, told: Option<&Distribution>| {
            Input::new(counters.counter(&label), told, first_max as usize)
        };
        let mut inputs: Vec<Input> = manifest
            .features
            .iter()
            .map(|name| {
                let told = told.and_then(|told| told.features.get(name));
                input(format!("drift.feature.{name}"), told)
            })
            .collect();
        if has_scores {
            inputs.push(input("drift.score".to_owned(), told.map(|told| &told.score)));
        }
        Some(Self {
            inputs,
            features: manifest.features.len(),
            has_reference: told.is_some(),
            taken: 0,
            first_max: first_max as usize,
            window_max: window_max as usize,
            windows: counters.counter("drift.windows"),
        })
    }

    /// Takes a transaction's vector and score. Cost: about 5 ns for each input, 0.2 µs more for each at the end of a
    /// window; once, at the end of the reference, about 50 µs for each decile of each, with a rest after each.
    pub(crate) fn take(&mut self, vector: &[f32], score: f32) {
        // The first inputs of the vector are the model's; behind its features stands the score, if there is one.
        let values = vector[..self.features].iter().copied().chain([score]);
        let inputs = self.inputs.iter_mut().zip(values);
        self.taken += 1;
        if self.has_reference {
            inputs.for_each(|(input, value)| input.window[input.bins.place(value)] += 1);
            if self.taken == self.window_max {
                self.inputs.iter_mut().for_each(Input::end_window);
                self.windows.increment();
                self.taken = 0;
            }
        } else {
            inputs.for_each(|(input, value)| input.first.push(value));
            if self.taken == self.first_max {
                let mut pace = Pace::GENTLE;
                for input in &mut self.inputs {
                    input.learn(|| pace.step());
                }
                (self.has_reference, self.taken) = (true, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pinion_score::manifest::Reference;

    use super::*;

    fn manifest(reference: Option<Reference>) -> Manifest {
        let text = r#"
            name = "m"
            version = 1
            trained_on = "never"
            features = ["still", "moved"]
            feature_set_hash = "0"
            encoder = { file = "e", sha256 = "0", input = "i", output = "o", dimensions = 1 }
            bank = { file = "b", sha256 = "0", rows = 8, neighbours = 8, temperature = 1.0 }
            calibration = { slope = 1.0, intercept = 0.0 }
        "#;
        Manifest {
            reference,
            ..toml::from_str(text).unwrap()
        }
    }

    const CONFIG: DriftConfig = DriftConfig {
        reference_transactions: 1_000,
        window_transactions: 500,
    };

    /// Values from 0 to 99; the second feature is higher by `moved_by`.
    fn take(watch: &mut Watch, transactions: usize, moved_by: f32) {
        for number in 0..transactions {
            let value = (number * 37 % 100) as f32;
            watch.take(&[value, value + moved_by, f32::NAN], value / 100.0);
        }
    }

    fn shown(counters: &Registry) -> [Option<u64>; 4] {
        ["windows", "feature.still", "feature.moved", "score"]
            .map(|name| counters.value(&format!("drift.{name}")))
    }

    #[test]
    fn first_transactions_are_the_reference_and_each_window_is_told() {
        let counters = Registry::in_memory(16);
        let mut watch = Watch::new(&CONFIG, &manifest(None), true, &counters).unwrap();
        take(&mut watch, 1_499, 0.0);
        assert_eq!(shown(&counters), [Some(0); 4], "no window is full");
        take(&mut watch, 1, 0.0);
        assert_eq!(shown(&counters)[0], Some(1));
        assert!(shown(&counters)[1..].iter().all(|&index| index < Some(10)));
        take(&mut watch, 500, 50.0);
        let [windows, still, moved, score] = shown(&counters);
        assert_eq!(windows, Some(2));
        assert!(still < Some(10) && moved > Some(1_000) && score < Some(10));
        take(&mut watch, 500, 0.0);
        assert!(shown(&counters)[2] < Some(10), "a window forgets the one before");
    }

    #[test]
    fn reference_of_the_model_is_in_force_at_once() {
        let fair = || Distribution {
            edges: vec![24.0, 49.0, 74.0],
            shares: vec![0.25; 4],
        };
        let scores = Distribution {
            edges: vec![0.24, 0.49, 0.74],
            shares: vec![0.25; 4],
        };
        let names = ["still", "moved"].map(|name| (name.to_owned(), fair()));
        let reference = Reference {
            features: BTreeMap::from(names),
            score: scores,
        };
        let counters = Registry::in_memory(16);
        let mut watch = Watch::new(&CONFIG, &manifest(Some(reference)), true, &counters).unwrap();
        take(&mut watch, 500, 50.0);
        let [windows, still, moved, score] = shown(&counters);
        assert_eq!(windows, Some(1));
        assert!(still < Some(10) && moved > Some(1_000) && score < Some(10));
    }

    #[test]
    fn without_scores_or_windows_there_are_no_such_counters() {
        let counters = Registry::in_memory(16);
        let mut watch = Watch::new(&CONFIG, &manifest(None), false, &counters).unwrap();
        take(&mut watch, 1_500, 0.0);
        assert_eq!((shown(&counters)[0], shown(&counters)[3]), (Some(1), None));
        let off = DriftConfig {
            window_transactions: 0,
            ..CONFIG
        };
        assert!(Watch::new(&off, &manifest(None), true, &counters).is_none());
    }
}
