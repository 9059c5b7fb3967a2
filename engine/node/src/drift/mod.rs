//! How far values have moved from a reference: the population stability index over the reference's deciles.
//!
//! ```text
//!   reference values ─▶ [Bins]: deciles, each value's bin ─▶ counts, expected ─┐
//!   values found ─────────────────────────────────────────▶ counts, found ────┴─▶ Σ (f − e) · ln(f / e)
//! ```
//!
//! Below [`SLIGHT`] nothing happened; from [`LARGE`] on the values are others than those of the reference. These are
//! customs, not tests: with n values on each side the index of one distribution is about `2 · (bins − 1) / n`.
//!
//! Invariant: bins and index are functions of the values, not of their order; nothing here allocates.

mod live;

use pinion_runtime::math::ln;

pub(crate) use live::Watch;

/// From here on something may have moved.
pub const SLIGHT: f64 = 0.1;

/// From here on it has.
pub const LARGE: f64 = 0.25;

/// Parts of equal size that the reference is cut into.
const PARTS: usize = 10;

/// Edges at most: one between two parts, and one below all values.
const EDGES_MAX: usize = PARTS;

const _: () = assert!(
    EDGES_MAX == pinion_score::manifest::REFERENCE_EDGES_MAX,
    "what a manifest may tell has room"
);

/// Bins at most.
pub const BINS_MAX: usize = EDGES_MAX + 1;

/// Values by bin.
pub type Counts = [u32; BINS_MAX];

/// Where a reference is cut: bin `i` holds what is above edge `i − 1` and not above edge `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bins {
    edges: [f32; EDGES_MAX],
    edge_count: usize,
}

impl Bins {
    /// The deciles of `values`, which are left in another order; equal ones become one. Where many values are the
    /// lowest one, what is below it has a bin of its own. What is not finite does not count.
    ///
    /// Cost: about 3 ns per value for each decile; `rest` is called between two deciles.
    pub fn of(values: &mut [f32], mut rest: impl FnMut()) -> Self {
        let mut bins = Self::default();
        let finite = to_the_front(values, |value| value.is_finite());
        let (mut begin, mut lowest) = (0, f32::INFINITY);
        for part in 1..PARTS {
            let place = part * finite / PARTS;
            if place >= finite {
                break;
            }
            // What is before `begin` is not above what is behind it.
            let (below, &mut edge, _) =
                values[begin..finite].select_nth_unstable_by(place - begin, f32::total_cmp);
            if part == 1 {
                lowest = below.iter().copied().fold(edge, f32::min);
            }
            if part == 1 && lowest == edge {
                bins.push(edge.next_down());
            }
            bins.push(edge);
            begin = place;
            rest();
        }
        bins
    }

    /// With these edges, which ascend.
    pub fn with_edges(edges: &[f32]) -> Option<Self> {
        let ascend = edges.is_sorted_by(|a, b| a < b) && edges.iter().all(|edge| edge.is_finite());
        if !ascend || edges.len() > EDGES_MAX {
            return None;
        }
        let mut bins = Self::default();
        edges.iter().for_each(|&edge| bins.push(edge));
        Some(bins)
    }

    fn push(&mut self, edge: f32) {
        if !self.edges().last().is_some_and(|&last| last >= edge) {
            self.edges[self.edge_count] = edge;
            self.edge_count += 1;
        }
    }

    /// Its edges, ascending.
    pub fn edges(&self) -> &[f32] {
        &self.edges[..self.edge_count]
    }

    /// How many bins there are.
    pub fn count(&self) -> usize {
        self.edge_count + 1
    }

    /// The bin of a value. What is no number is in the first.
    pub fn place(&self, value: f32) -> usize {
        self.edges().partition_point(|&edge| value > edge)
    }

    /// How many of `values` each bin holds.
    pub fn counts_of(&self, values: impl Iterator<Item = f32>) -> Counts {
        let mut counts = Counts::default();
        values.for_each(|value| counts[self.place(value)] += 1);
        counts
    }

    /// The population stability index of `found` against `expected`; 0 while one of them is empty.
    ///
    /// Half a value is added to each bin, so that an empty one has a logarithm.
    pub fn stability_index(&self, expected: &Counts, found: &Counts) -> f64 {
        let bins = self.count();
        let sums = [expected, found].map(|counts| counts[..bins].iter().map(|&count| f64::from(count)).sum());
        let [expected_sum, found_sum]: [f64; 2] = sums;
        if expected_sum == 0.0 || found_sum == 0.0 {
            return 0.0;
        }
        let share = |count: u32, sum: f64| (f64::from(count) + 0.5) / (sum + 0.5 * bins as f64);
        let pairs = expected[..bins].iter().zip(&found[..bins]);
        pairs
            .map(|(&expected, &found)| {
                let (expected, found) = (share(expected, expected_sum), share(found, found_sum));
                (found - expected) * ln(found / expected)
            })
            .sum()
    }
}

/// Moves what `is_wanted` to the front. Returns how many there are.
fn to_the_front(values: &mut [f32], is_wanted: impl Fn(f32) -> bool) -> usize {
    let mut count = 0;
    for index in 0..values.len() {
        if is_wanted(values[index]) {
            values.swap(count, index);
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pinion_score::manifest::ModelFolder;

    use super::*;

    fn bins(values: &[f32]) -> Bins {
        Bins::of(&mut values.to_vec(), || ())
    }

    #[test]
    fn deciles_do_not_depend_on_the_order() {
        let ascending: Vec<f32> = (0..100).map(|value| value as f32).collect();
        let edges = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0];
        assert_eq!(bins(&ascending).edges(), edges);
        let shuffled: Vec<f32> = (0..100).map(|value| (value * 37 % 100) as f32).collect();
        assert_eq!(bins(&shuffled), bins(&ascending));
        let found = bins(&ascending);
        let places = [-5.0, 10.0, 10.5, 90.0, 90.5, f32::INFINITY, f32::NAN].map(|value| found.place(value));
        assert_eq!(places, [0, 0, 1, 8, 9, 9, 0]);
    }

    #[test]
    fn equal_values_are_one_bin_with_one_below() {
        assert_eq!(bins(&[7.0; 50]).edges(), [7.0_f32.next_down(), 7.0]);
        let mostly_zero: Vec<f32> = (0..100).map(|value| f32::from(value >= 85)).collect();
        assert_eq!(bins(&mostly_zero).edges(), [0.0_f32.next_down(), 0.0, 1.0]);
        assert!(bins(&[]).edges().is_empty());
        assert_eq!(bins(&[f32::NAN, 3.0]).edges(), [3.0_f32.next_down(), 3.0]);
        let counts = bins(&mostly_zero).counts_of([-1.0, 0.0, 0.0, 0.5, 1.0, 2.0].into_iter());
        assert_eq!(counts[..4], [1, 2, 2, 1]);
    }

    #[test]
    fn reference_of_the_trainer_is_what_the_engine_makes_of_the_same_vectors() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../score/tests/precisions/f32");
        let manifest = ModelFolder::open(&folder).unwrap().manifest;
        let text = std::fs::read_to_string(folder.join("expected.csv")).unwrap();
        let rows = text.lines().map(|line| line.split(','));
        let rows: Vec<Vec<f32>> = rows
            .map(|row| row.map(|value| value.parse().unwrap()).collect())
            .collect();
        let reference = manifest.reference.unwrap();
        for (index, name) in manifest.features.iter().enumerate() {
            let values: Vec<f32> = rows.iter().map(|row| row[index]).collect();
            let (found, told) = (bins(&values), &reference.features[name]);
            assert_eq!(found.edges(), told.edges, "{name}");
            let counts = found.counts_of(values.iter().copied());
            for (&count, share) in counts.iter().zip(&told.shares) {
                let expected = f64::from(count) / values.len() as f64;
                assert!((share - expected).abs() < 2e-6, "{name}: {told:?}");
            }
        }
    }

    #[test]
    fn index_is_as_computed_by_hand() {
        let bins = Bins::with_edges(&[0.0]).unwrap();
        let counts =
            |below, above| bins.counts_of([vec![-1.0; below], vec![1.0; above]].concat().into_iter());
        // Shares (9.5, 1.5) / 11 and (1.5, 9.5) / 11: 2 · (8 / 11) · ln(9.5 / 1.5).
        let index = bins.stability_index(&counts(9, 1), &counts(1, 9));
        assert!(
            (index - 16.0 / 11.0 * (9.5_f64 / 1.5).ln()).abs() < 1e-12,
            "{index}"
        );
        assert_eq!(bins.stability_index(&counts(9, 1), &counts(9, 1)), 0.0);
        assert_eq!(bins.stability_index(&counts(0, 0), &counts(1, 1)), 0.0);
        assert_eq!(bins.stability_index(&counts(3, 1), &counts(0, 0)), 0.0);
    }

    #[test]
    fn constant_that_falls_is_seen() {
        let constant = bins(&[7.0; 1000]);
        let counts = |value: f32| constant.counts_of(std::iter::repeat_n(value, 1000));
        for moved in [6.0, 8.0] {
            assert!(
                constant.stability_index(&counts(7.0), &counts(moved)) > LARGE,
                "{moved}"
            );
        }
    }

    #[test]
    fn edges_that_do_not_ascend_are_refused() {
        assert_eq!(Bins::with_edges(&[1.0, 1.0]), None);
        assert_eq!(Bins::with_edges(&[1.0, f32::NAN]), None);
        assert_eq!(Bins::with_edges(&[0.0; EDGES_MAX + 1]), None);
        assert_eq!(Bins::with_edges(&[]).map(|bins| bins.count()), Some(1));
    }
}
