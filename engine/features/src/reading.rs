//! Computes a slot from the entries between two edges of a stream.
//!
//! Invariant: sums are integers until the last step, so a value depends on which events are in the window and
//! not on the way they came; what cannot be computed is `None`, which the caller makes the missing value.

use pinion_schemas::ids::DENSE_ID_NONE;
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord};

use crate::fields;
use crate::plan::{Formula, Moments, ShortFormula, ShortStep, Start, Step, Stream};
use crate::sketch::Union;
use crate::timelines::{Edge, SUMS_MAX, TOTALS_MAX, Timelines, Totals};

/// Memory that is used while reading.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    /// Numbers of the stream's edges; the first is that of now.
    pub(crate) numbers: Vec<u32>,
    /// Totals at the same places, where the short way was gone: see [`Timelines::add_newest`].
    pub(crate) totals: [Totals; TOTALS_MAX],
    union: Union,
}

impl Scratch {
    pub(crate) fn new(edges_max: usize) -> Self {
        Self {
            numbers: vec![0; 1 + edges_max],
            totals: [Totals::default(); TOTALS_MAX],
            union: Union::new(),
        }
    }
}

/// Reads the slots of `steps`; one that cannot be computed keeps its missing value, which stands there.
#[inline]
pub(crate) fn read_all(
    steps: &[Step],
    timelines: &Timelines,
    row: u32,
    at_ns: i64,
    payment: &PaymentRecord,
    scratch: &mut Scratch,
    vector: &mut [f32; FEATURES_MAX],
) {
    for step in steps {
        if let Some(value) = read(timelines, row, step, at_ns, payment, scratch) {
            vector[step.slot] = value;
        }
    }
}

/// As [`read_all`], from the totals that the short way has left.
#[inline]
pub(crate) fn read_totals(
    steps: &[ShortStep],
    totals: &[Totals; TOTALS_MAX],
    vector: &mut [f32; FEATURES_MAX],
) {
    for step in steps {
        // All indices are in range; a remainder that changes nothing says so to the compiler.
        let start = &totals[usize::from(step.start) % TOTALS_MAX];
        let end = &totals[usize::from(step.end) % TOTALS_MAX];
        let slot = &mut vector[usize::from(step.slot) % FEATURES_MAX];
        let count = end.count.wrapping_sub(start.count);
        let sum = |column: u8| {
            let column = usize::from(column) % SUMS_MAX;
            end.sums[column].wrapping_sub(start.sums[column]) as i64 as f64
        };
        *slot = match step.formula {
            ShortFormula::Count => f64::from(count) as f32,
            ShortFormula::Sum(column) => sum(column) as f32,
            ShortFormula::Mean(column) => {
                // Whether a window is empty is a matter of chance, so nothing branches on it.
                let mean = (sum(column) / f64::from(count.max(1))) as f32;
                let is_empty = u32::from(count == 0).wrapping_neg();
                f32::from_bits(mean.to_bits() & !is_empty | slot.to_bits() & is_empty)
            }
            ShortFormula::Rate(units) => (f64::from(count) / units) as f32,
        };
    }
}

/// Writes what a stream says of an entity of which nothing is known.
pub(crate) fn read_nothing(stream: &Stream, vector: &mut [f32; FEATURES_MAX]) {
    for step in stream.before.iter().chain(&stream.after) {
        if let Some(value) = nothing(&step.formula) {
            vector[step.slot] = value;
        }
    }
}

/// The value of a window without events.
fn nothing(formula: &Formula) -> Option<f32> {
    match formula {
        Formula::Count
        | Formula::Sum(_)
        | Formula::Distinct(..)
        | Formula::DecayedSum(_)
        | Formula::Rate(_) => Some(0.0),
        _ => None,
    }
}

/// Reads one slot with the numbers of the edges that stand in `scratch`.
#[inline]
fn read(
    timelines: &Timelines,
    row: u32,
    step: &Step,
    at_ns: i64,
    payment: &PaymentRecord,
    scratch: &mut Scratch,
) -> Option<f32> {
    let end = scratch.numbers[step.end];
    let start = match step.start {
        Start::Beginning => None,
        Start::Edge(edge) => Some(scratch.numbers[edge].min(end)),
        Start::Last(count) => Some(timelines.last(row, end, count)),
    };
    let count = timelines.count(row, start, end);
    // What outgrew a count of different values is not among the entries.
    if count == 0 && !matches!(step.formula, Formula::Distinct(..)) {
        return nothing(&step.formula);
    }
    let window = Window {
        timelines,
        row,
        start,
        end,
        count,
    };
    let value = match step.formula {
        Formula::Count => f64::from(count),
        Formula::Rate(units) => f64::from(count) / units,
        Formula::Sum(column) => window.sum(column) as f64,
        Formula::Mean(column) => window.sum(column) as f64 / f64::from(count),
        Formula::Variance(moments) => window.moments(moments).1,
        Formula::StandardDeviation(moments) => window.moments(moments).1.sqrt(),
        Formula::ZScore(moments, field) => {
            let (mean, variance) = window.moments(moments);
            let value = fields::value(payment, field) as f64;
            (variance > 0.0).then(|| (value - mean) / variance.sqrt())?
        }
        Formula::Extreme(column) => timelines.extreme(row, column, start, end)? as f64,
        Formula::TimeSinceLast => {
            let latest_ns = timelines.latest_ns(row, start, end)?;
            at_ns.saturating_sub(latest_ns) as f64 / 1e9
        }
        Formula::Distinct(after, until) => {
            let until_ns = until.threshold_ns(at_ns);
            let after_ns = after.map_or(i64::MAX, |edge| edge.threshold_ns(at_ns));
            let is_delayed = until != Edge::Before(0);
            window.distinct((after_ns, until_ns, is_delayed), &mut scratch.union)
        }
        Formula::DecayedSum(decay) => {
            let decayed = timelines.decayed(row, decay, start, end, at_ns)?;
            decayed.sum * decayed.since
        }
        Formula::DecayedMean(decay) => {
            let decayed = timelines.decayed(row, decay, start, end, at_ns)?;
            decayed.sum / decayed.weight
        }
    };
    Some(value as f32)
}

/// Entries of one entity from `start`, or from the first of all, to `end`.
struct Window<'a> {
    timelines: &'a Timelines,
    row: u32,
    start: Option<u32>,
    end: u32,
    count: u32,
}

impl Window<'_> {
    #[inline]
    fn sum(&self, column: usize) -> i128 {
        self.timelines.total(self.row, column, self.start, self.end)
    }

    /// Mean and variance, from exact integers: the sum of squared distances from the mean rounded down.
    fn moments(&self, Moments { sum, square }: Moments) -> (f64, f64) {
        let count = i128::from(self.count);
        let (sum, squares) = (self.sum(sum), self.sum(square));
        let centre = sum.div_euclid(count);
        let around = squares - 2 * centre * sum + count * centre * centre;
        let offset = (sum - count * centre) as f64 / count as f64;
        let variance = around as f64 / count as f64 - offset * offset;
        (sum as f64 / count as f64, variance.max(0.0))
    }

    fn distinct(&self, times: (i64, i64, bool), union: &mut Union) -> f64 {
        let start = self.start.unwrap_or_else(|| self.timelines.span(self.row).0);
        union.begin();
        self.timelines
            .add_distinct(self.row, (start, self.end), times, DENSE_ID_NONE, union);
        union.count()
    }
}
