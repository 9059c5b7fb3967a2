//! How far the champion's inputs, and its score, have moved from the first days.
//!
//! Invariant: of the first days at most [`SAMPLE_MAX`] values of each input are held. Which, their place alone says, by
//! chance: every second one would meet a rhythm of the data.

use std::collections::BTreeMap;

use pinion_node::drift::{Bins, Counts};
use serde::Serialize;

use super::figures::day_text;

/// Values held of an input's first days.
const SAMPLE_MAX: usize = 65_536;

/// The name under which the score stands among the inputs.
const SCORE: &str = "score";

/// How far an input has moved.
#[derive(Clone, Debug, Serialize)]
pub struct InputDrift {
    /// The feature, or "score".
    pub name: String,
    /// Population stability index of all days behind the first ones; none: there are none.
    pub index: Option<f64>,
    /// Of each of these days.
    pub days: Vec<(String, f64)>,
}

/// Takes inputs day by day.
pub(super) struct Inputs {
    names: Vec<String>,
    /// Days before this are the reference.
    first_day: i64,
    /// By input.
    sample: Vec<Vec<f32>>,
    /// What was drawn for each of those held.
    drawn: Vec<u64>,
    seen: u64,
    /// What is drawn above this is not held.
    limit: u64,
    /// Bins and what is expected in them; empty before the first day behind the reference.
    references: Vec<(Bins, Counts)>,
    /// By day, by input.
    days: BTreeMap<i64, Vec<Counts>>,
}

impl Inputs {
    /// Of features of these names; the reference is `reference_days` from `from_day` on.
    pub(super) fn new(mut names: Vec<String>, from_day: i64, reference_days: u32) -> Self {
        names.push(SCORE.to_owned());
        Self {
            sample: vec![Vec::new(); names.len()],
            names,
            first_day: from_day.saturating_add(reference_days.into()),
            drawn: Vec::new(),
            seen: 0,
            limit: u64::MAX,
            references: Vec::new(),
            days: BTreeMap::new(),
        }
    }

    /// Takes the inputs and the score of a transaction. One of the first days that comes after later ones counts
    /// nowhere.
    pub(super) fn take(&mut self, day: i64, vector: &[f32], score: f32) {
        let values = vector.iter().copied().chain([score]);
        if day >= self.first_day {
            if self.references.is_empty() {
                self.references = references(&mut self.sample);
            }
            let empty = || vec![Counts::default(); self.names.len()];
            let counts = self.days.entry(day).or_insert_with(empty);
            for ((value, (bins, _)), counts) in values.zip(&self.references).zip(counts) {
                counts[bins.place(value)] += 1;
            }
        } else if self.references.is_empty() {
            self.keep(values);
        }
    }

    fn keep(&mut self, values: impl Iterator<Item = f32>) {
        self.seen += 1;
        let drawn = mixed(self.seen);
        if drawn > self.limit {
            return;
        }
        self.drawn.push(drawn);
        self.sample
            .iter_mut()
            .zip(values)
            .for_each(|(kept, value)| kept.push(value));
        if self.drawn.len() == SAMPLE_MAX {
            self.limit /= 2;
            for values in &mut self.sample {
                let mut drawn = self.drawn.iter();
                values.retain(|_| drawn.next().is_some_and(|&drawn| drawn <= self.limit));
            }
            self.drawn.retain(|&drawn| drawn <= self.limit);
        }
    }

    /// The input that moved most first.
    pub(super) fn finish(self) -> Vec<InputDrift> {
        let of_input = |(input, name): (usize, String)| {
            let mut all = Counts::default();
            let mut days = Vec::new();
            for (&day, counts) in &self.days {
                let (bins, expected) = &self.references[input];
                days.push((day_text(day), bins.stability_index(expected, &counts[input])));
                all.iter_mut()
                    .zip(&counts[input])
                    .for_each(|(all, count)| *all += count);
            }
            let index = self
                .references
                .get(input)
                .map(|(bins, expected)| bins.stability_index(expected, &all));
            InputDrift { name, index, days }
        };
        let mut inputs: Vec<InputDrift> = self.names.into_iter().enumerate().map(of_input).collect();
        let index = |input: &InputDrift| input.index.unwrap_or_default();
        inputs.sort_by(|a, b| index(b).total_cmp(&index(a)));
        inputs
    }
}

/// A number that looks drawn: the last step of SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn references(sample: &mut [Vec<f32>]) -> Vec<(Bins, Counts)> {
    let of_input = |values: &mut Vec<f32>| {
        let bins = Bins::of(values, || ());
        (bins, bins.counts_of(values.drain(..)))
    };
    sample.iter_mut().map(of_input).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(moved_by: f32, rows: usize) -> Vec<InputDrift> {
        let mut inputs = Inputs::new(vec!["still".to_owned(), "moved".to_owned()], 10, 2);
        for day in 10..14 {
            for row in 0..rows {
                let value = (row * 37 % 100) as f32;
                let moved = if day == 13 { value + moved_by } else { value };
                inputs.take(day, &[value, moved], value / 100.0);
            }
        }
        inputs.finish()
    }

    #[test]
    fn input_that_moved_is_first_and_tells_the_day() {
        let found = drift(50.0, 1_000);
        let names: Vec<&str> = found.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names[0], "moved");
        assert_eq!(found[0].days[0].0, "1970-01-13");
        assert!(
            found[0].days[0].1 < 0.001 && found[0].days[1].1 > 1.0,
            "{found:?}"
        );
        assert!(
            found[1..].iter().all(|input| input.index.unwrap() < 0.001),
            "{found:?}"
        );
    }

    #[test]
    fn more_values_than_are_held_give_the_same_bins() {
        let (few, many) = (drift(50.0, 1_000), drift(50.0, 100_000));
        for (few, many) in few.iter().zip(&many) {
            let difference = few.index.unwrap() - many.index.unwrap();
            assert!(difference.abs() < 0.05, "{}: {difference}", few.name);
        }
    }

    #[test]
    fn without_days_behind_the_first_ones_nothing_is_said() {
        let mut inputs = Inputs::new(vec!["one".to_owned()], 10, 2);
        inputs.take(10, &[1.0], 0.5);
        let found = inputs.finish();
        assert!(
            found
                .iter()
                .all(|input| input.index.is_none() && input.days.is_empty())
        );
    }
}
