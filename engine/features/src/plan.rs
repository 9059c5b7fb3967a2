//! From a feature set to what the store does: which streams it keeps, and how each slot is read from them.
//!
//! ```text
//!   features over the same entity, events, filter and precision ─▶ one stream: its columns and edges
//!                                                                    └▶ one step per slot: start, end, formula
//! ```
//!
//! Invariant: the plan is a function of the set alone; every edge, column and value that a step refers to is
//! in its stream's shape.

use std::ops::Range;

use pinion_schemas::records::FEATURES_MAX;

use crate::config::FeaturesConfig;
use crate::error::FeaturesError;
use crate::set::{
    Aggregate, EntityKey, EventKind, FeatureKind, FeatureSet, Field, Filter, Precision, Transform, Window,
    WindowFeature, explain,
};
use crate::timelines::{Column, ColumnOf, Decay, Edge, NOW, Shape};

/// Transactions of a count of frauds since for ever are kept this long for their labels. Unit: ns.
pub(crate) const LABEL_REACH_NS: i64 = 90 * crate::set::DAY_NS;

/// Further than any window reaches: nothing is given up for its age.
const FOR_EVER_NS: i64 = i64::MAX / 2;

/// What the store does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The value of each slot where there is nothing to compute from; zeros behind the slots in use.
    pub(crate) missing: [f32; FEATURES_MAX],
    /// Slots of each transform of the current transaction.
    pub(crate) transforms: Vec<(Range<usize>, Transform)>,
    /// What is kept and read.
    pub(crate) streams: Vec<Stream>,
    /// Slots that are one slot divided by another, in order.
    pub(crate) ratios: Vec<Ratio>,
}

/// A slot that is one slot divided by another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) slot: usize,
    pub(crate) numerator: usize,
    pub(crate) denominator: usize,
}

/// Events of one kind of entity.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) key: EntityKey,
    pub(crate) event: EventKind,
    pub(crate) filter: Filter,
    pub(crate) shape: Shape,
    /// The event's fields that the columns refer to.
    pub(crate) values: Vec<Field>,
    pub(crate) aux: Aux,
    /// Read before the current event is added.
    pub(crate) before: Vec<Step>,
    /// Read after it was added.
    pub(crate) after: Vec<Step>,
    /// The most events of a window by number, and a feature that says so.
    pub(crate) last_max: Option<(u32, String)>,
    /// `after` once more, if every slot is read from nothing but totals after the event was added.
    pub(crate) short: Vec<ShortStep>,
    precision: Precision,
    /// Whether its windows begin with the first event of all.
    is_forever: bool,
}

/// What an entry's spare half word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aux {
    Nothing,
    /// Tells the transactions of one time apart, for their labels.
    Tag,
    /// The value that is counted.
    Value(Field),
}

/// How a slot is read.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) slot: usize,
    pub(crate) start: Start,
    /// Index among the numbers of the stream's edges.
    pub(crate) end: usize,
    pub(crate) formula: Formula,
}

/// Where a window starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// With the first event of all.
    Beginning,
    /// Index among the numbers of the stream's edges.
    Edge(usize),
    /// This many events before its end.
    Last(u32),
}

/// What is computed; numbers are columns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Formula {
    Count,
    Sum(usize),
    Mean(usize),
    Variance(Moments),
    StandardDeviation(Moments),
    ZScore(Moments, Field),
    Extreme(usize),
    TimeSinceLast,
    /// Start and end of the window in time, for what was folded; no start: by number.
    Distinct(Option<Edge>, Edge),
    DecayedSum(Decay),
    DecayedMean(Decay),
    /// Units of time in the window.
    Rate(f64),
}

/// A step from totals alone: numbers are those of [`crate::timelines::Timelines::add_newest`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShortStep {
    pub(crate) slot: u8,
    pub(crate) start: u8,
    pub(crate) end: u8,
    pub(crate) formula: ShortFormula,
}

/// What can be computed from totals; numbers are columns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ShortFormula {
    Count,
    Sum(u8),
    Mean(u8),
    Rate(f64),
}

impl ShortStep {
    fn of(step: &Step) -> Option<Self> {
        let start = match step.start {
            Start::Beginning => 0,
            Start::Edge(edge) => NOW + edge,
            Start::Last(_) => return None,
        };
        let formula = match step.formula {
            Formula::Count => ShortFormula::Count,
            Formula::Sum(column) => ShortFormula::Sum(u8::try_from(column).ok()?),
            Formula::Mean(column) => ShortFormula::Mean(u8::try_from(column).ok()?),
            Formula::Rate(units) => ShortFormula::Rate(units),
            _ => return None,
        };
        Some(Self {
            slot: u8::try_from(step.slot).ok()?,
            start: u8::try_from(start).ok()?,
            end: u8::try_from(NOW + step.end).ok()?,
            formula,
        })
    }
}

/// Columns of sums and squares of one field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) sum: usize,
    pub(crate) square: usize,
}

impl Plan {
    /// The plan of a set.
    pub(crate) fn new(set: &FeatureSet) -> Self {
        let mut plan = Self {
            missing: [0.0; FEATURES_MAX],
            transforms: Vec::new(),
            streams: Vec::new(),
            ratios: Vec::new(),
        };
        let slots = first_slots(set);
        for (index, feature) in set.features.iter().enumerate() {
            let slot = slots[index];
            plan.missing[slot..slot + feature.slot_count()].fill(feature.missing);
            match &feature.kind {
                FeatureKind::Current(transform) => {
                    let slots = slot..slot + feature.slot_count();
                    plan.transforms.push((slots, transform.clone()));
                }
                FeatureKind::Window(window) => plan.stream_of(window).add(slot, &feature.name, window),
                FeatureKind::Ratio {
                    numerator,
                    denominator,
                } => plan.ratios.push(Ratio {
                    slot,
                    numerator: slots[*numerator],
                    denominator: slots[*denominator],
                }),
            }
        }
        for stream in &mut plan.streams {
            if stream.before.is_empty() {
                let short: Option<Vec<_>> = stream.after.iter().map(ShortStep::of).collect();
                stream.short = short.unwrap_or_default();
            }
        }
        plan
    }

    /// Whether the memory of `config` is enough for every window by number.
    pub(crate) fn check(&self, config: &FeaturesConfig) -> Result<(), FeaturesError> {
        for stream in &self.streams {
            let found = config.sizes(stream.key).events_max;
            if let Some((count, feature)) = &stream.last_max
                && *count > found
            {
                let (key, feature) = (crate::config::section(stream.key), feature.clone());
                let expected = *count;
                return Err(FeaturesError::LastEvents {
                    key,
                    found,
                    expected,
                    feature,
                });
            }
        }
        Ok(())
    }

    /// Edges of the stream that has most.
    pub(crate) fn edges_max(&self) -> usize {
        let edges = self.streams.iter().map(|stream| stream.shape.edges.len());
        edges.max().unwrap_or(0)
    }

    fn stream_of(&mut self, window: &WindowFeature) -> &mut Stream {
        let aux = match window.aggregate {
            Aggregate::Distinct(field) => Aux::Value(field),
            _ => Aux::Nothing,
        };
        let is_same = |stream: &Stream| {
            let is_distinct = matches!(stream.aux, Aux::Value(_));
            (stream.key, stream.event, stream.precision) == (window.entity, window.event, window.precision)
                && stream.is_forever == (window.window == Window::Forever)
                && stream.filter == window.filter
                && (stream.aux == aux || !is_distinct && aux == Aux::Nothing)
        };
        let index = match self.streams.iter().position(is_same) {
            Some(index) => index,
            None => {
                self.streams.push(Stream::new(window, aux));
                self.streams.len() - 1
            }
        };
        &mut self.streams[index]
    }
}

/// First slot of each feature.
fn first_slots(set: &FeatureSet) -> Vec<usize> {
    let mut next = 0;
    let slots = set.features.iter().map(|feature| {
        let slot = next;
        next += feature.slot_count();
        slot
    });
    slots.collect()
}

impl Stream {
    fn new(window: &WindowFeature, aux: Aux) -> Self {
        let bucket_ns = match window.precision {
            Precision::Exact => 0,
            Precision::Bucketed(bucket_ns) => bucket_ns,
        };
        let mut stream = Self {
            key: window.entity,
            event: window.event,
            filter: window.filter.clone(),
            shape: Shape {
                edges: Vec::new(),
                columns: Vec::new(),
                bucket_ns,
                reach_ns: 0,
                last: None,
                keeps_base: window.window == Window::Forever,
                decays: Vec::new(),
                is_distinct: aux != Aux::Nothing && bucket_ns == 0,
            },
            values: Vec::new(),
            aux,
            before: Vec::new(),
            after: Vec::new(),
            last_max: None,
            short: Vec::new(),
            precision: window.precision,
            is_forever: window.window == Window::Forever,
        };
        if let (Aux::Value(field), true) = (aux, bucket_ns > 0) {
            stream.column(Column::Sketch, field);
        }
        stream
    }

    fn add(&mut self, slot: usize, name: &str, window: &WindowFeature) {
        let bucket_ns = self.shape.bucket_ns.max(1);
        let end_edge = match window.delay_ns {
            0 => Edge::Before(0),
            delay_ns => Edge::Before(delay_ns + bucket_ns - 1),
        };
        let start_edge = start_edge(window, bucket_ns);
        let start = match (window.window, start_edge) {
            (Window::Last(count), _) => Start::Last(count),
            (_, Some(edge)) => Start::Edge(self.edge(edge)),
            (_, None) => Start::Beginning,
        };
        let end = self.edge(end_edge);
        self.keep(name, window, bucket_ns);
        let step = Step {
            slot,
            start,
            end,
            formula: self.formula(window, start_edge, end_edge),
        };
        if window.includes_current {
            self.after.push(step);
        } else {
            self.before.push(step);
        }
    }

    /// Keeps entries for as long as the window needs them.
    fn keep(&mut self, name: &str, window: &WindowFeature, bucket_ns: i64) {
        let delay_ns = window.delay_ns;
        let reach_ns = match window.window {
            Window::Sliding(len_ns) | Window::Tumbling(len_ns) => delay_ns + len_ns + bucket_ns,
            Window::Last(_) => delay_ns,
            Window::Forever => match window.aggregate {
                Aggregate::Distinct(_) => FOR_EVER_NS,
                Aggregate::Sum(Field::Fraud) | Aggregate::Mean(Field::Fraud) => delay_ns.max(LABEL_REACH_NS),
                _ => delay_ns + bucket_ns,
            },
        };
        self.shape.reach_ns = self.shape.reach_ns.max(reach_ns);
        if let Window::Last(count) = window.window {
            let (delay_max, count_max) = self.shape.last.unwrap_or_default();
            self.shape.last = Some((delay_max.max(delay_ns), count_max.max(count)));
            if self.last_max.as_ref().is_none_or(|(most, _)| *most < count) {
                self.last_max = Some((count, name.to_owned()));
            }
        }
    }

    fn formula(&mut self, window: &WindowFeature, start: Option<Edge>, end: Edge) -> Formula {
        match window.aggregate {
            Aggregate::Count => Formula::Count,
            Aggregate::Sum(field) => Formula::Sum(self.sum(field)),
            Aggregate::Mean(field) => Formula::Mean(self.sum(field)),
            Aggregate::Variance(field) => Formula::Variance(self.moments(field)),
            Aggregate::StandardDeviation(field) => Formula::StandardDeviation(self.moments(field)),
            Aggregate::ZScore(field) => Formula::ZScore(self.moments(field), field),
            Aggregate::Min(field) => Formula::Extreme(self.column(Column::Min, field)),
            Aggregate::Max(field) => Formula::Extreme(self.column(Column::Max, field)),
            Aggregate::First(field) => Formula::Extreme(self.column(Column::First, field)),
            Aggregate::Last(field) => Formula::Extreme(self.column(Column::Last, field)),
            Aggregate::TimeSinceLast => Formula::TimeSinceLast,
            Aggregate::Distinct(_) if matches!(window.window, Window::Last(_)) => {
                Formula::Distinct(None, end)
            }
            Aggregate::Distinct(_) => Formula::Distinct(Some(start.unwrap_or(Edge::Before(i64::MAX))), end),
            Aggregate::DecayedSum { source, half_life_ns } => {
                Formula::DecayedSum(self.decay(window, source, half_life_ns))
            }
            Aggregate::DecayedMean { source, half_life_ns } => {
                Formula::DecayedMean(self.decay(window, source, half_life_ns))
            }
            Aggregate::Rate { per_ns } => {
                let len_ns = match window.window {
                    Window::Sliding(len_ns) => len_ns,
                    _ => unreachable!("a checked set has rates over sliding windows only"),
                };
                Formula::Rate(len_ns as f64 / per_ns as f64)
            }
        }
    }

    /// A column of sums: wide where a window can hold any number of events.
    fn sum(&mut self, field: Field) -> usize {
        let is_wide = field != Field::Fraud && (self.is_forever || self.shape.bucket_ns > 0);
        let column = if is_wide { Column::WideSum } else { Column::Sum };
        self.column(column, field)
    }

    fn moments(&mut self, field: Field) -> Moments {
        Moments {
            sum: self.sum(field),
            square: self.column(Column::Square, field),
        }
    }

    fn decay(&mut self, window: &WindowFeature, field: Field, half_life_ns: i64) -> Decay {
        let decay = Decay {
            sum: self.sum(field),
            half_life_ns,
        };
        if window.window == Window::Forever && !self.shape.decays.contains(&decay) {
            self.shape.decays.push(decay);
        }
        decay
    }

    /// Index of a column; a new one stands last.
    fn column(&mut self, column: Column, field: Field) -> usize {
        if field == Field::Fraud {
            self.aux = Aux::Tag;
        }
        let value = match self.values.iter().position(|known| *known == field) {
            Some(index) => index,
            None => {
                self.values.push(field);
                self.values.len() - 1
            }
        };
        let wanted = ColumnOf { column, value };
        match self.shape.columns.iter().position(|known| *known == wanted) {
            Some(index) => index,
            None => {
                self.shape.columns.push(wanted);
                self.shape.columns.len() - 1
            }
        }
    }

    /// Index among the numbers of the edges; 0 is now.
    fn edge(&mut self, edge: Edge) -> usize {
        if edge == Edge::Before(0) {
            return 0;
        }
        match self.shape.edges.iter().position(|known| *known == edge) {
            Some(index) => 1 + index,
            None => {
                self.shape.edges.push(edge);
                self.shape.edges.len()
            }
        }
    }

    /// What it holds, for people.
    pub(crate) fn words(&self) -> String {
        let distinct = match self.aux {
            Aux::Value(field) => Some(field),
            Aux::Nothing | Aux::Tag => None,
        };
        explain::stream((self.key, self.event), &self.filter, distinct, self.precision)
    }

    /// The column of labels, if the stream has one.
    pub(crate) fn fraud_column(&self) -> Option<usize> {
        let value = self.values.iter().position(|field| *field == Field::Fraud)?;
        self.shape.columns.iter().position(|of| of.value == value)
    }
}

/// Where a window in time starts.
fn start_edge(window: &WindowFeature, bucket_ns: i64) -> Option<Edge> {
    let delay_ns = window.delay_ns;
    match window.window {
        Window::Sliding(len_ns) => Some(Edge::Before(delay_ns + len_ns + bucket_ns - 1)),
        Window::Tumbling(len_ns) => Some(Edge::Multiple {
            delay_ns,
            len_ns,
            bucket_ns,
        }),
        Window::Last(_) | Window::Forever => None,
    }
}
