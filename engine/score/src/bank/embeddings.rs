//! The embeddings by place: what is kept of each, and eight bits of it for the scan.
//!
//! ```text
//!   codes   sixteen places to a block, four dimensions to a line:
//!           block 0: d0..4 of place 0 │ d0..4 of place 1 │ … ; d4..8 of place 0 │ …         one line, one load
//!   tags    scale and error of each place: value = scale · (code − 128) ± what the error bounds
//!   values  as kept: f32 or half; none for eight bits, whose codes are what is kept
//!           many:   place by place:         d0 d1 d2 … of place 0 │ d0 d1 d2 … of place 1 │ …
//!           few:    block by block, too:    d0 of places 0..16 │ d1 of places 0..16 │ …        one line, one load
//! ```
//!
//! Where values are few ([`BY_BLOCK_MAX`]) they are in the caches, and the sixteen places of a block are compared as
//! kept about as fast as one of them. Where they are many, a place's values stand on as few lines as they can.
//!
//! Which places are taken is for [`super::cells`] to say; a place that no row has is all zero. A row's tag is not: its
//! length is 1, so its scale is above 0.
//!
//! Invariant: for each place, the vector of what is kept less `scale · (code − 128)` is no longer than its error.

use super::amount::{largest, length, nearest_whole};
use super::column::Column;
use super::config::Precision;
use super::half;
use super::kernel::{Kept, LANES, QUAD, Quad, ZERO_CODE, decoded};
use super::search::GROUPS_MIN;

/// Values that are kept block by block at most: 1 MiB of f32.
const BY_BLOCK_MAX: usize = 1 << 18;

/// Blocks whose values are kept block by block at most: no more than a search has a cell for each.
const BLOCKS_BY_BLOCK_MAX: usize = 2 * GROUPS_MIN;

/// The largest code's distance from [`ZERO_CODE`].
const CODE_MAX: f32 = 127.0;

/// Rounding of an error's own computation, many times over.
const ERROR_MARGIN: f64 = 1.0 + 1e-6;

/// The regions of the rows' embeddings.
pub(super) const NAMES: [&str; 3] = ["bank codes", "bank tags", "bank values"];

/// What is kept of each value besides its code.
#[derive(Clone, Debug)]
enum Values {
    F32(Column<f32>),
    F16(Column<u16>),
    Int8,
}

/// Embeddings by place.
#[derive(Clone, Debug)]
pub(super) struct Embeddings {
    dimensions: usize,
    is_by_block: bool,
    codes: Column<Quad>,
    tags: Column<[u32; LANES]>,
    values: Values,
}

/// A place and how similar what stands there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) place: u32,
    pub(super) similarity: f32,
}

impl Embeddings {
    pub(super) fn new(blocks: usize, dimensions: usize, precision: Precision) -> Self {
        let values = match precision {
            Precision::F32 => Values::F32(Column::zeroed(blocks * LANES * dimensions)),
            Precision::F16 => Values::F16(Column::zeroed(blocks * LANES * dimensions)),
            Precision::Int8 => Values::Int8,
        };
        Self {
            dimensions,
            is_by_block: Self::are_by_block(blocks, dimensions),
            codes: Column::zeroed(blocks * dimensions.div_ceil(QUAD)),
            tags: Column::zeroed(blocks),
            values,
        }
    }

    /// Whether so many blocks are kept, and compared, block by block.
    pub(super) fn are_by_block(blocks: usize, dimensions: usize) -> bool {
        blocks <= BLOCKS_BY_BLOCK_MAX && blocks * LANES * dimensions <= BY_BLOCK_MAX
    }

    /// Whether these are.
    pub(super) fn is_by_block(&self) -> bool {
        self.is_by_block
    }

    /// What is kept, block by block. Bound: [`Self::is_by_block`].
    pub(super) fn kept(&self) -> Kept<'_> {
        match &self.values {
            Values::F32(values) => Kept::F32(values.as_chunks::<LANES>().0),
            Values::F16(values) => Kept::F16(values.as_chunks::<LANES>().0),
            Values::Int8 => Kept::Int8(&self.codes),
        }
    }

    /// Where the values of a place stand: the first, and how far it is to the next.
    #[inline(always)]
    fn at(&self, place: usize) -> At {
        let dimensions = self.dimensions;
        if self.is_by_block {
            At {
                first: place / LANES * LANES * dimensions + place % LANES,
                step: LANES,
                dimensions,
            }
        } else {
            At {
                first: place * dimensions,
                step: 1,
                dimensions,
            }
        }
    }

    /// Memory of the same size and kind, without any row.
    pub(super) fn another(&self) -> Self {
        let precision = match self.values {
            Values::F32(_) => Precision::F32,
            Values::F16(_) => Precision::F16,
            Values::Int8 => Precision::Int8,
        };
        Self::new(self.tags.len(), self.dimensions, precision)
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Lines of a block.
    pub(super) fn quads(&self) -> usize {
        self.dimensions.div_ceil(QUAD)
    }

    /// The codes, [`Self::quads`] lines per block.
    pub(super) fn codes(&self) -> &[Quad] {
        &self.codes
    }

    /// Scale (upper half) and error (lower half) of each place, each the upper half of an f32.
    pub(super) fn tags(&self) -> &[[u32; LANES]] {
        &self.tags
    }

    /// Whether a row has a place.
    pub(super) fn is_taken(&self, place: usize) -> bool {
        self.tags[place / LANES][place % LANES] != 0
    }

    pub(super) fn prefault(&mut self) {
        self.codes.prefault();
        self.tags.prefault();
        match &mut self.values {
            Values::F32(values) => values.prefault(),
            Values::F16(values) => values.prefault(),
            Values::Int8 => {}
        }
    }

    /// All memory, under these names.
    pub(super) fn memory(&self, names: [&'static str; 3]) -> impl Iterator<Item = (&'static str, &[u8])> {
        let values = match &self.values {
            Values::F32(values) => values.bytes(),
            Values::F16(values) => values.bytes(),
            Values::Int8 => &[],
        };
        names
            .into_iter()
            .zip([self.codes.bytes(), self.tags.bytes(), values])
    }

    /// As [`Self::memory`], to be filled.
    pub(super) fn memory_mut(
        &mut self,
        names: [&'static str; 3],
    ) -> impl Iterator<Item = (&'static str, &mut [u8])> {
        let values = match &mut self.values {
            Values::F32(values) => values.bytes_mut(),
            Values::F16(values) => values.bytes_mut(),
            Values::Int8 => &mut [],
        };
        names
            .into_iter()
            .zip([self.codes.bytes_mut(), self.tags.bytes_mut(), values])
    }

    /// Writes an embedding to a place. Cost: linear in the dimensions.
    pub(super) fn put(&mut self, place: usize, embedding: &[f32]) {
        let mut kept = [0.0; super::DIMENSIONS_MAX];
        let kept = &mut kept[..self.dimensions];
        kept.copy_from_slice(embedding);
        let at = self.at(place);
        match &mut self.values {
            Values::F32(values) => at.each_mut(values, |dimension, to| *to = kept[dimension]),
            Values::F16(values) => at.each_mut(values, |dimension, to| {
                *to = half::from_single(kept[dimension]);
                kept[dimension] = half::to_single(*to);
            }),
            Values::Int8 => {}
        }
        self.encode(place, kept);
    }

    /// Writes codes and tag of what is kept.
    fn encode(&mut self, place: usize, kept: &[f32]) {
        let scale = up_to_upper_half(largest(kept) / CODE_MAX);
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut wholes = [0.0; super::DIMENSIONS_MAX];
        let wholes = &mut wholes[..kept.len()];
        let mut rests = [0.0; super::DIMENSIONS_MAX];
        let rests = &mut rests[..kept.len()];
        for ((whole, rest), &value) in wholes.iter_mut().zip(rests.iter_mut()).zip(kept) {
            *whole = nearest_whole(value * inverse).clamp(-CODE_MAX, CODE_MAX);
            *rest = f64::from(value) - f64::from(scale) * f64::from(*whole);
        }
        let (block, lane) = (place / LANES, place % LANES);
        let quads = self.quads();
        let lines = &mut self.codes[block * quads..(block + 1) * quads];
        for (line, wholes) in lines.iter_mut().zip(wholes.chunks(QUAD)) {
            let mut codes = [ZERO_CODE; QUAD];
            for (code, &whole) in codes.iter_mut().zip(wholes) {
                *code = (whole as i32 + i32::from(ZERO_CODE)) as u8;
            }
            line[lane] = codes;
        }
        let error = match self.values {
            Values::Int8 => 0.0, // What is kept is what the codes say.
            Values::F32(_) | Values::F16(_) => up_to_upper_half((length(rests) * ERROR_MARGIN) as f32),
        };
        self.tags[block][lane] = scale.to_bits() | error.to_bits() >> 16;
    }

    /// Moves what stands at `last` to `place`, and overwrites `last` with zeros.
    pub(super) fn remove(&mut self, place: usize, last: usize) {
        if place != last {
            self.copy(last, place);
        }
        self.wipe(last);
    }

    /// Takes what stands at `place` of others of this kind to `to`.
    pub(super) fn take(&mut self, others: &Self, place: usize, to: usize) {
        let quads = self.quads();
        let (from_block, block) = (place / LANES * quads, to / LANES * quads);
        let lines = &others.codes[from_block..from_block + quads];
        for (line, from) in self.codes[block..block + quads].iter_mut().zip(lines) {
            line[to % LANES] = from[place % LANES];
        }
        self.tags[to / LANES][to % LANES] = others.tags[place / LANES][place % LANES];
        let (from, to) = (others.at(place), self.at(to));
        match (&mut self.values, &others.values) {
            (Values::F32(values), Values::F32(others)) => {
                to.each_mut(values, |dimension, to| *to = others[from.index(dimension)]);
            }
            (Values::F16(values), Values::F16(others)) => {
                to.each_mut(values, |dimension, to| *to = others[from.index(dimension)]);
            }
            _ => {} // Eight bits: the codes are all.
        }
    }

    fn copy(&mut self, from: usize, to: usize) {
        let quads = self.quads();
        let codes = &mut *self.codes;
        for quad in 0..quads {
            codes[to / LANES * quads + quad][to % LANES] = codes[from / LANES * quads + quad][from % LANES];
        }
        self.tags[to / LANES][to % LANES] = self.tags[from / LANES][from % LANES];
        let (from, to) = (self.at(from), self.at(to));
        match &mut self.values {
            Values::F32(values) => from.copy_within(values, to),
            Values::F16(values) => from.copy_within(values, to),
            Values::Int8 => {}
        }
    }

    fn wipe(&mut self, place: usize) {
        let quads = self.quads();
        let first = place / LANES * quads;
        for line in &mut self.codes[first..first + quads] {
            line[place % LANES] = [0; QUAD];
        }
        self.tags[place / LANES][place % LANES] = 0;
        let at = self.at(place);
        match &mut self.values {
            Values::F32(values) => at.each_mut(values, |_, value| *value = 0.0),
            Values::F16(values) => at.each_mut(values, |_, value| *value = 0),
            Values::Int8 => {}
        }
    }

    /// Reads what is kept at a place.
    pub(super) fn read(&self, place: usize, embedding: &mut [f32]) {
        let at = self.at(place);
        match &self.values {
            Values::F32(values) => at.each(values, |dimension, &value| embedding[dimension] = value),
            Values::F16(values) => at.each(values, |dimension, &half| {
                embedding[dimension] = half::to_single(half);
            }),
            Values::Int8 => {
                let (tag, codes) = self.coded(place);
                for (dimension, to) in embedding.iter_mut().enumerate() {
                    *to = decode(tag, codes, dimension);
                }
            }
        }
    }

    /// Tag of a place, and its codes: the lane of each line.
    #[inline(always)]
    fn coded(&self, place: usize) -> (u32, Lane<'_>) {
        let quads = self.quads();
        let first = place / LANES * quads;
        let lane = Lane {
            lines: &self.codes[first..first + quads],
            lane: place % LANES,
        };
        (self.tags[place / LANES][place % LANES], lane)
    }

    /// Asks for what [`Self::compare`] will read.
    fn prefetch(&self, candidates: &[Candidate]) {
        let (dimensions, quads) = (self.dimensions, self.quads());
        let places = candidates.iter().map(|candidate| candidate.place as usize);
        match &self.values {
            Values::F32(values) => places.for_each(|place| values.prefetch(place * dimensions, dimensions)),
            Values::F16(values) => places.for_each(|place| values.prefetch(place * dimensions, dimensions)),
            Values::Int8 => places.for_each(|place| self.codes.prefetch(place / LANES * quads, quads)),
        }
    }

    /// Fills in the similarities of candidates, each summed in the order of the dimensions.
    ///
    /// Bound: not [`Self::is_by_block`].
    /// Cost: about 20 ns each and the lines of their values.
    pub(super) fn compare(&self, query: &[f32], candidates: &mut [Candidate]) {
        self.prefetch(candidates);
        let dimensions = self.dimensions;
        match &self.values {
            Values::F32(values) => {
                let values = &**values;
                let row = |place: usize| &values[place * dimensions..][..dimensions];
                compare(query, candidates, row, |row, dimension| row[dimension]);
            }
            Values::F16(values) => {
                let values = &**values;
                let row = |place: usize| &values[place * dimensions..][..dimensions];
                compare(query, candidates, row, |row, dimension| {
                    half::to_single(row[dimension])
                });
            }
            Values::Int8 => {
                let row = |place: usize| self.coded(place);
                compare(query, candidates, row, |row, dimension| {
                    decode(row.0, row.1, dimension)
                });
            }
        }
    }
}

/// Where the values of a place stand.
#[derive(Clone, Copy)]
struct At {
    first: usize,
    step: usize,
    dimensions: usize,
}

impl At {
    /// Hands out each value by its dimension. Where they stand side by side, that is one loop that knows it.
    #[inline(always)]
    fn each<T>(self, values: &[T], mut take: impl FnMut(usize, &T)) {
        let values = &values[self.first..];
        if self.step == 1 {
            let values = values[..self.dimensions].iter().enumerate();
            values.for_each(|(dimension, value)| take(dimension, value));
        } else {
            let values = values.iter().step_by(self.step).take(self.dimensions);
            let values = values.enumerate();
            values.for_each(|(dimension, value)| take(dimension, value));
        }
    }

    /// As [`Self::each`], to be written.
    #[inline(always)]
    fn each_mut<T>(self, values: &mut [T], mut put: impl FnMut(usize, &mut T)) {
        let values = &mut values[self.first..];
        if self.step == 1 {
            let values = values[..self.dimensions].iter_mut().enumerate();
            values.for_each(|(dimension, value)| put(dimension, value));
        } else {
            let values = values.iter_mut().step_by(self.step).take(self.dimensions);
            let values = values.enumerate();
            values.for_each(|(dimension, value)| put(dimension, value));
        }
    }

    /// The value of a dimension.
    #[inline(always)]
    fn index(self, dimension: usize) -> usize {
        self.first + dimension * self.step
    }

    fn copy_within<T: Copy>(self, values: &mut [T], to: Self) {
        if self.step == 1 {
            return values.copy_within(self.first..self.first + self.dimensions, to.first);
        }
        for dimension in 0..self.dimensions {
            values[to.index(dimension)] = values[self.index(dimension)];
        }
    }
}

/// The codes of one place.
#[derive(Clone, Copy)]
struct Lane<'a> {
    lines: &'a [Quad],
    lane: usize,
}

#[inline(always)]
fn decode(tag: u32, codes: Lane<'_>, dimension: usize) -> f32 {
    decoded(tag, codes.lines[dimension / QUAD][codes.lane][dimension % QUAD])
}

/// Candidates that are compared at the same time, so that none waits for another's sums.
const TOGETHER: usize = 8;

/// Each sum is in the order of the dimensions; nothing is fused: the same bits on every machine.
#[inline(always)]
fn compare<R: Copy>(
    query: &[f32],
    candidates: &mut [Candidate],
    row: impl Fn(usize) -> R,
    value: impl Fn(R, usize) -> f32,
) {
    let (eights, rest) = candidates.as_chunks_mut::<TOGETHER>();
    for eight in eights {
        let rows: [R; TOGETHER] = std::array::from_fn(|index| row(eight[index].place as usize));
        let mut sums = [0.0_f32; TOGETHER];
        for (dimension, &wanted) in query.iter().enumerate() {
            for (sum, &row) in sums.iter_mut().zip(&rows) {
                *sum += wanted * value(row, dimension);
            }
        }
        for (candidate, sum) in eight.iter_mut().zip(sums) {
            candidate.similarity = sum;
        }
    }
    for candidate in rest {
        let row = row(candidate.place as usize);
        let products = query
            .iter()
            .enumerate()
            .map(|(dimension, &wanted)| wanted * value(row, dimension));
        candidate.similarity = products.fold(0.0, |sum, product| sum + product);
    }
}

/// The next f32 up whose lower half is zero; the value itself if that is one.
fn up_to_upper_half(value: f32) -> f32 {
    const LOWER: u32 = 0xffff;
    f32::from_bits((value.to_bits() + LOWER) & !LOWER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::kernel::Instructions;
    use proptest::prelude::*;

    fn unit(values: &[f32]) -> Vec<f32> {
        let length = values
            .iter()
            .map(|value| value * value)
            .sum::<f32>()
            .sqrt()
            .max(1e-6);
        values.iter().map(|value| value / length).collect()
    }

    proptest! {
        #[test]
        fn prop_codes_are_as_near_as_the_error_says(
            values in proptest::collection::vec(-1.0_f32..1.0, 1..=super::super::DIMENSIONS_MAX),
            place in 0_usize..40,
        ) {
            let wanted = unit(&values);
            for precision in [Precision::F32, Precision::F16, Precision::Int8] {
                let mut embeddings = Embeddings::new(3, wanted.len(), precision);
                embeddings.put(place, &wanted);
                let mut kept = vec![0.0; wanted.len()];
                embeddings.read(place, &mut kept);
                let (tag, codes) = embeddings.coded(place);
                let scale = f32::from_bits(tag & 0xffff_0000);
                let rest = kept.iter().enumerate().map(|(dimension, &value)| {
                    f64::from(value) - f64::from(decode(tag, codes, dimension))
                });
                let length = rest.map(|rest| rest * rest).sum::<f64>().sqrt();
                prop_assert!(length <= f64::from(f32::from_bits(tag << 16)));
                let worst = kept.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                let allowed = match precision {
                    Precision::F32 => 0.0,
                    Precision::F16 => 0.000_25,
                    Precision::Int8 => scale * 0.501,
                };
                prop_assert!(worst <= allowed, "{precision:?} is off by {worst}, expected {allowed}");
            }
        }
    }

    /// Rows of both kinds, and the similarities that are found block by block and place by place.
    fn similarities(
        rows: &[Vec<f32>],
        query: &[f32],
        precision: Precision,
        instructions: Instructions,
    ) -> [Vec<u32>; 2] {
        let blocks = rows.len().div_ceil(LANES);
        let mut by_block = Embeddings::new(blocks, query.len(), precision);
        assert!(by_block.is_by_block());
        let mut by_place = Embeddings::new(blocks, query.len(), precision);
        by_place.is_by_block = false;
        for (place, row) in rows.iter().enumerate() {
            by_block.put(place, row);
            by_place.put(place, row);
        }
        let list: Vec<u32> = (0..blocks as u32).rev().collect();
        let mut lanes = vec![[0.0; LANES]; blocks];
        instructions.similarities(query, by_block.kept(), by_block.tags(), &list, &mut lanes);
        lanes.reverse();
        let (found, nobody) = lanes.as_flattened().split_at(rows.len());
        assert!(nobody.iter().all(|&similarity| similarity == f32::NEG_INFINITY));
        let candidate = |place| Candidate {
            place,
            similarity: 0.0,
        };
        let mut candidates: Vec<Candidate> = (0..rows.len() as u32).map(candidate).collect();
        by_place.compare(query, &mut candidates);
        let expected = candidates.iter().map(|candidate| candidate.similarity.to_bits());
        [
            found.iter().map(|found| found.to_bits()).collect(),
            expected.collect(),
        ]
    }

    proptest! {
        #[test]
        fn prop_blocks_and_places_are_compared_to_the_same_bits(
            values in proptest::collection::vec(proptest::collection::vec(-1.0_f32..1.0, 19), 1..90),
            dimensions in 1_usize..=19,
        ) {
            let rows: Vec<Vec<f32>> = values.iter().map(|values| unit(&values[..dimensions])).collect();
            for precision in [Precision::F32, Precision::F16, Precision::Int8] {
                for instructions in Instructions::all() {
                    let [found, expected] = similarities(&rows, &rows[0], precision, instructions);
                    prop_assert_eq!(found, expected, "{:?} {:?}", precision, instructions);
                }
            }
        }
    }

    #[test]
    fn what_is_removed_is_overwritten_and_the_last_fills_the_gap() {
        let precisions = [Precision::F32, Precision::F16, Precision::Int8];
        for (precision, is_by_block) in precisions
            .into_iter()
            .flat_map(|each| [(each, false), (each, true)])
        {
            let mut embeddings = Embeddings::new(2, 6, precision);
            embeddings.is_by_block = is_by_block;
            let unit = |place: usize| unit(&[place as f32, 1.0, 2.0, -3.0, 0.5, 0.25]);
            (0..18).for_each(|place| embeddings.put(place, &unit(place)));
            let mut last = [0.0; 6];
            embeddings.read(17, &mut last);
            embeddings.remove(3, 17);
            let mut moved = [0.0; 6];
            embeddings.read(3, &mut moved);
            assert_eq!(moved, last);
            (0..17).rev().for_each(|place| embeddings.remove(place, place));
            assert!(
                embeddings
                    .memory(NAMES)
                    .all(|(_, bytes)| bytes.iter().all(|&byte| byte == 0))
            );
        }
    }

    #[test]
    fn rounding_up_ends_at_the_upper_half() {
        assert_eq!(up_to_upper_half(1.0), 1.0);
        assert_eq!(up_to_upper_half(0.0), 0.0);
        let up = up_to_upper_half(0.3);
        assert!(up > 0.3 && up < 0.302 && up.to_bits() & 0xffff == 0);
    }
}
