//! The scan: an upper bound of every similarity, from eight bits per value.
//!
//! ```text
//!   query   16 bits per value, split in two bytes: 256 · high + low
//!   dot     Σ code · query, whole numbers, 16 places at a time                       exact on every machine
//!   bound   dot · scales + error · reach + slack   ≥   similarity as the f32 sum     (see Query)
//!   cells   the highest bound of each lane over the blocks of a group
//!   similarities   of all places of a block, as kept: one product and one sum for each value, sixteen at a time
//! ```
//!
//! The scan is compiled once for each set of vector instructions and chosen at start. The dots are whole numbers and
//! the bounds are three roundings in one order, without fused additions: all machines compute the same.
//!
//! Invariant: the bound of a place is not below its similarity as [`super::embeddings::Embeddings::compare`] sums it; a
//! place that no row has, whose tag is 0, is below everything.

#![allow(
    unsafe_code,
    reason = "functions compiled for instructions that the machine was asked for, and their loads and stores"
)]

use super::DIMENSIONS_MAX;
use super::amount::{self, largest, length_of_singles, nearest_whole};
use super::half;

/// Places in a block.
pub(super) const LANES: usize = 16;

/// Dimensions in a line of codes.
pub(super) const QUAD: usize = 4;

/// Four dimensions of sixteen places.
pub(super) type Quad = [[u8; QUAD]; LANES];

/// The code of 0.
pub(super) const ZERO_CODE: u8 = 128;

/// Lines of the widest block.
const QUADS_MAX: usize = DIMENSIONS_MAX / QUAD;

/// The largest part of a query in amount: 127 · 256, so that its high byte is at most 127.
const PART_MAX: f32 = 32_512.0;

/// A query is shorter than this; an encoder gives length 1.
const QUERY_LENGTH_MAX: f64 = 1e6;

/// Rounding in sums of 128 f32 products (128 · 2^-24, and as much again), relative to the query's length.
const ROUNDING: f64 = 2e-5;

/// Rounding of `reach` and `slack` themselves, many times over.
const MARGIN: f64 = 1.0 + 1e-5;

/// The longest row, with its rounding: embeddings are of length 1, to within a tolerance.
const ROW_LENGTH_MAX: f64 = 1.1;

/// A query in whole numbers, and what is lost by that.
///
/// With row `x = s·c + e` and query `q = t·p + f`: `q·x = t·s·(p·c) + f·x + (t·p)·e`, and the last two are at most
/// `|f|·|x| + (|q| + |f|)·|e|` by Cauchy and Schwarz. `reach` is `|q| + |f|`; `slack` is `|f|·|x|` and all roundings.
#[derive(Clone, Debug)]
pub(super) struct Query {
    quads: usize,
    /// Four high bytes to a number, the first one lowest; for VNNI, as the low bytes.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    high: [i32; QUADS_MAX],
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    low: [i32; QUADS_MAX],
    parts: [[i16; QUAD]; QUADS_MAX],
    /// What [`ZERO_CODE`] adds to every dot.
    zero: i32,
    scale: f32,
    reach: f32,
    slack: f32,
}

impl Query {
    pub(super) const fn new() -> Self {
        Self {
            quads: 0,
            high: [0; QUADS_MAX],
            low: [0; QUADS_MAX],
            parts: [[0; QUAD]; QUADS_MAX],
            zero: 0,
            scale: 0.0,
            reach: 0.0,
            slack: 0.0,
        }
    }

    /// Takes an embedding; false if it is not finite or longer than anything an encoder gives.
    pub(super) fn take(&mut self, embedding: &[f32]) -> bool {
        let length = length_of_singles(embedding);
        // Not a number is not below it either.
        if !matches!(
            length.partial_cmp(&QUERY_LENGTH_MAX),
            Some(std::cmp::Ordering::Less)
        ) {
            return false;
        }
        self.scale = largest(embedding) / PART_MAX;
        if self.scale < f32::MIN_POSITIVE {
            self.scale = 0.0; // Too short to be told from nothing: all of it is lost.
        }
        let inverse = if self.scale > 0.0 { 1.0 / self.scale } else { 0.0 };
        self.quads = embedding.len().div_ceil(QUAD);
        self.zero = 0;
        let mut rests = [0.0; DIMENSIONS_MAX];
        let pieces = embedding.chunks(QUAD).zip(rests.as_chunks_mut::<QUAD>().0);
        for (quad, (values, rests)) in pieces.enumerate() {
            let mut parts = [0_i16; QUAD];
            for ((part, rest), &value) in parts.iter_mut().zip(rests).zip(values) {
                let whole = nearest_whole(value * inverse).clamp(-PART_MAX, PART_MAX);
                *part = whole as i16;
                *rest = f64::from(value) - f64::from(self.scale) * f64::from(whole);
                self.zero += i32::from(ZERO_CODE) * i32::from(*part);
            }
            self.parts[quad] = parts;
            let low = parts.map(|part| part as i8);
            let high = parts.map(|part| ((i32::from(part) - i32::from(part as i8)) >> 8) as i8);
            self.low[quad] = i32::from_le_bytes(low.map(|byte| byte as u8));
            self.high[quad] = i32::from_le_bytes(high.map(|byte| byte as u8));
        }
        let lost = amount::length(&rests[..embedding.len()]);
        self.reach = ((length + lost) * MARGIN) as f32;
        self.slack = ((lost * ROW_LENGTH_MAX + length * ROUNDING) * MARGIN) as f32;
        true
    }
}

/// Vector instructions that the scan is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instructions {
    /// AVX-512 with VNNI: four products and their sum in one instruction.
    #[cfg(target_arch = "x86_64")]
    Vnni,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every machine of the architecture has.
    Baseline,
}

impl Instructions {
    /// The widest ones of this machine.
    pub(super) fn find() -> Self {
        *Self::all().first().expect("there is a baseline")
    }

    /// All that this machine has, widest first.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let is_wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            let is_wide = is_wide && is_x86_feature_detected!("popcnt");
            if is_wide && is_x86_feature_detected!("avx512vnni") {
                all.push(Self::Vnni);
            }
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Avx2);
            }
        }
        all.push(Self::Baseline);
        all
    }
}

/// The blocks that are scanned.
#[derive(Clone, Copy)]
pub(super) struct Blocks<'a> {
    /// [`Query::quads`] lines per block.
    pub(super) codes: &'a [Quad],
    pub(super) tags: &'a [[u32; LANES]],
}

/// The codes and the tags of a block.
type Block<'a> = (&'a [Quad], &'a [u32; LANES]);

impl<'a> Blocks<'a> {
    #[inline(always)]
    fn get(self, quads: usize, block: u32) -> Block<'a> {
        let block = block as usize;
        (&self.codes[block * quads..(block + 1) * quads], &self.tags[block])
    }
}

/// Sixteen of something.
pub(super) type Lanes = [f32; LANES];

/// What is kept, block by block; of each block a line for each dimension, or of codes for four.
#[derive(Clone, Copy)]
pub(super) enum Kept<'a> {
    F32(&'a [Lanes]),
    F16(&'a [[u16; LANES]]),
    Int8(&'a [Quad]),
}

impl Instructions {
    /// The highest bound of each lane over each group of `group` blocks; the last group may have fewer.
    pub(super) fn cells(self, query: &Query, blocks: Blocks<'_>, group: usize, cells: &mut [Lanes]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { vnni::cells(query, blocks, group, cells) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { avx2::cells(query, blocks, group, cells) }
            }
            Self::Baseline => baseline::cells(query, blocks, group, cells),
        }
    }

    /// The bound of each place.
    pub(super) fn bounds(self, query: &Query, blocks: Blocks<'_>, bounds: &mut [Lanes]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { vnni::bounds(query, blocks, bounds) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { avx2::bounds(query, blocks, bounds) }
            }
            Self::Baseline => baseline::bounds(query, blocks, bounds),
        }
    }

    /// The bound of each place of the blocks of a list, in its order.
    pub(super) fn listed(self, query: &Query, blocks: Blocks<'_>, list: &[u32], bounds: &mut [Lanes]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { vnni::listed(query, blocks, list, bounds) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { avx2::listed(query, blocks, list, bounds) }
            }
            Self::Baseline => baseline::listed(query, blocks, list, bounds),
        }
    }

    /// The similarity of each place of the blocks of a list, in its order, each summed in the order of the dimensions;
    /// below everything where there is no row.
    pub(super) fn similarities(
        self,
        embedding: &[f32],
        kept: Kept<'_>,
        tags: &[[u32; LANES]],
        list: &[u32],
        similarities: &mut [Lanes],
    ) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { vnni::similarities(embedding, kept, tags, list, similarities) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { avx2::similarities(embedding, kept, tags, list, similarities) }
            }
            Self::Baseline => baseline::similarities(embedding, kept, tags, list, similarities),
        }
    }

    /// The highest of each lane of every `together` values; the last ones may be fewer.
    pub(super) fn fold(self, values: &[Lanes], together: usize, folded: &mut [Lanes]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { vnni::fold(values, together, folded) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { avx2::fold(values, together, folded) }
            }
            Self::Baseline => baseline::fold(values, together, folded),
        }
    }

    /// The lowest and the highest value, without those that no row is in.
    pub(super) fn range(self, values: &[Lanes]) -> (f32, f32) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { vnni::range(values) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { avx2::range(values) }
            }
            Self::Baseline => baseline::range(values),
        }
    }

    /// Lists the blocks of whose values one is at least `low` and none is at least `high`; returns how many there are.
    ///
    /// Bound: `list` is as long as there are blocks; `folded` is what [`Self::fold`] made of every `together`.
    pub(super) fn blocks_between(
        self,
        (values, folded, together): (&[Lanes], &[Lanes], usize),
        (low, high): (f32, f32),
        list: &mut [u32],
    ) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { vnni::blocks_between((values, folded, together), (low, high), list) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { avx2::blocks_between((values, folded, together), (low, high), list) }
            }
            Self::Baseline => baseline::blocks_between((values, folded, together), (low, high), list),
        }
    }

    /// How many values are at least `bound`.
    pub(super) fn count_from(self, values: &[Lanes], bound: f32) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { vnni::count_from(values, bound) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { avx2::count_from(values, bound) }
            }
            Self::Baseline => baseline::count_from(values, bound),
        }
    }

    /// Which values are at least `low` and below `high`, a bit for each lane, the first one lowest.
    pub(super) fn between(self, values: &[Lanes], low: f32, high: f32, masks: &mut [u16]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { vnni::between(values, low, high, masks) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                // SAFETY: `Instructions::all` saw that this machine has these instructions.
                unsafe { avx2::between(values, low, high, masks) }
            }
            Self::Baseline => baseline::between(values, low, high, masks),
        }
    }
}

/// The loops around `dots`, compiled for the instructions that it is compiled for.
macro_rules! loops {
    ($(#[$features:meta])*) => {
        $(#[$features])*
        pub(super) fn cells(query: &Query, blocks: Blocks<'_>, group: usize, cells: &mut [Lanes]) {
            let codes = blocks.codes.chunks(group * query.quads);
            for ((codes, tags), cell) in codes.zip(blocks.tags.chunks(group)).zip(cells) {
                let mut highest = [f32::NEG_INFINITY; LANES];
                for (codes, tags) in codes.chunks_exact(query.quads).zip(tags) {
                    raise(&mut highest, &bound(query, &dots(query, codes), tags));
                }
                *cell = highest;
            }
        }

        $(#[$features])*
        pub(super) fn bounds(query: &Query, blocks: Blocks<'_>, bounds: &mut [Lanes]) {
            let codes = blocks.codes.chunks_exact(query.quads);
            for ((codes, tags), bounds) in codes.zip(blocks.tags).zip(bounds) {
                *bounds = bound(query, &dots(query, codes), tags);
            }
        }

        $(#[$features])*
        pub(super) fn listed(query: &Query, blocks: Blocks<'_>, list: &[u32], bounds: &mut [Lanes]) {
            for (&block, bounds) in list.iter().zip(bounds) {
                let (codes, tags) = blocks.get(query.quads, block);
                *bounds = bound(query, &dots(query, codes), tags);
            }
        }

        $(#[$features])*
        pub(super) fn fold(values: &[Lanes], together: usize, folded: &mut [Lanes]) {
            for (values, folded) in values.chunks(together).zip(folded) {
                let mut highest = [f32::NEG_INFINITY; LANES];
                values.iter().for_each(|lanes| raise(&mut highest, lanes));
                *folded = highest;
            }
        }

        $(#[$features])*
        pub(super) fn range(values: &[Lanes]) -> (f32, f32) {
            let (mut lowest, mut highest) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
            for lanes in values {
                lower(&mut lowest, lanes);
                raise(&mut highest, lanes);
            }
            let low = lowest.into_iter().fold(f32::INFINITY, f32::min);
            (low, highest.into_iter().fold(f32::NEG_INFINITY, f32::max))
        }

        $(#[$features])*
        pub(super) fn between(values: &[Lanes], low: f32, high: f32, masks: &mut [u16]) {
            for (lanes, mask) in values.iter().zip(masks) {
                *mask = mask_from(lanes, low) & !mask_from(lanes, high);
            }
        }
    };
}

/// What is written alike for all instructions, and compiled for each.
macro_rules! common {
    ($(#[$features:meta])*) => {
        $(#[$features])*
        pub(super) fn blocks_between(
            (values, folded, together): (&[Lanes], &[Lanes], usize),
            (low, high): (f32, f32),
            list: &mut [u32],
        ) -> usize {
            let mut count = 0;
            for ((index, values), folded) in values.chunks(together).enumerate().zip(folded) {
                if mask_from(folded, low) == 0 {
                    continue;
                }
                for (block, lanes) in values.iter().enumerate() {
                    // Written in any case: where the next one goes decides, not a branch that nobody foresees.
                    list[count] = (index * together + block) as u32;
                    count += usize::from((mask_from(lanes, low) != 0) & (mask_from(lanes, high) == 0));
                }
            }
            count
        }

        $(#[$features])*
        pub(super) fn similarities(
            embedding: &[f32],
            kept: Kept<'_>,
            tags: &[[u32; LANES]],
            list: &[u32],
            similarities: &mut [Lanes],
        ) {
            sums_of_kept(embedding, kept, tags, list, similarities);
            for (&block, similarities) in list.iter().zip(similarities) {
                *similarities = of_rows(similarities, &tags[block as usize]);
            }
        }
    };
}

/// Sums, those of no row below everything.
#[inline(always)]
fn of_rows(sums: &Lanes, tags: &[u32; LANES]) -> Lanes {
    let mut similarities = [0.0; LANES];
    for ((similarity, &sum), &tag) in similarities.iter_mut().zip(sums).zip(tags) {
        *similarity = if tag == 0 { f32::NEG_INFINITY } else { sum };
    }
    similarities
}

/// The sums of all places of some blocks.
#[inline(always)]
fn sums_of_kept(embedding: &[f32], kept: Kept<'_>, tags: &[[u32; LANES]], list: &[u32], sums: &mut [Lanes]) {
    let dimensions = embedding.len();
    match kept {
        Kept::F32(values) => {
            let block = |block: u32| &values[block as usize * dimensions..][..dimensions];
            sums_of_blocks(embedding, list, sums, block, |block, dimension| block[dimension]);
        }
        Kept::F16(values) => {
            let block = |block: u32| &values[block as usize * dimensions..][..dimensions];
            sums_of_blocks(embedding, list, sums, block, |block, dimension| {
                singles(&block[dimension])
            });
        }
        Kept::Int8(codes) => {
            let quads = dimensions.div_ceil(QUAD);
            let block = |block: u32| {
                let lines = &codes[block as usize * quads..][..quads];
                (lines, &tags[block as usize])
            };
            sums_of_blocks(embedding, list, sums, block, |(lines, tags), dimension| {
                let mut values = [0.0; LANES];
                let line = &lines[dimension / QUAD];
                for ((value, codes), &tag) in values.iter_mut().zip(line).zip(tags) {
                    *value = decoded(tag, codes[dimension % QUAD]);
                }
                values
            });
        }
    }
}

#[inline(always)]
fn singles(halves: &[u16; LANES]) -> Lanes {
    let mut values = [0.0; LANES];
    for (value, &half) in values.iter_mut().zip(halves) {
        *value = half::to_single(half);
    }
    values
}

/// A value out of its code and its place's tag: exact, as a scale has eight bits and a code seven.
#[inline(always)]
pub(super) fn decoded(tag: u32, code: u8) -> f32 {
    f32::from_bits(tag & 0xffff_0000) * (f32::from(code) - f32::from(ZERO_CODE))
}

/// Blocks whose sums are made at the same time, so that none waits for another's.
const BLOCKS_TOGETHER: usize = 4;

/// Each sum is in the order of the dimensions; nothing is fused: the same bits on every machine.
#[inline(always)]
fn sums_of_blocks<B: Copy>(
    embedding: &[f32],
    list: &[u32],
    sums: &mut [Lanes],
    block: impl Fn(u32) -> B,
    line: impl Fn(B, usize) -> Lanes,
) {
    let add = |sums: &mut Lanes, wanted: f32, values: Lanes| {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += wanted * value;
        }
    };
    let (lists, rest) = list.as_chunks::<BLOCKS_TOGETHER>();
    let (to_lists, to_rest) = sums.as_chunks_mut::<BLOCKS_TOGETHER>();
    for (list, to) in lists.iter().zip(to_lists) {
        let blocks = list.map(&block);
        let mut sums = [[0.0; LANES]; BLOCKS_TOGETHER];
        for (dimension, &wanted) in embedding.iter().enumerate() {
            for (sums, &block) in sums.iter_mut().zip(&blocks) {
                add(sums, wanted, line(block, dimension));
            }
        }
        *to = sums;
    }
    for (&number, to) in rest.iter().zip(to_rest) {
        let block = block(number);
        let mut sums = [0.0; LANES];
        for (dimension, &wanted) in embedding.iter().enumerate() {
            add(&mut sums, wanted, line(block, dimension));
        }
        *to = sums;
    }
}

/// Keeps the higher one, lane by lane.
#[inline(always)]
fn raise(highest: &mut Lanes, bounds: &Lanes) {
    for (most, &bound) in highest.iter_mut().zip(bounds) {
        *most = if bound > *most { bound } else { *most };
    }
}

/// Keeps the lower one, lane by lane, but none that no row is in.
#[inline(always)]
fn lower(lowest: &mut Lanes, bounds: &Lanes) {
    for (least, &bound) in lowest.iter_mut().zip(bounds) {
        let bound = if bound == f32::NEG_INFINITY {
            f32::INFINITY
        } else {
            bound
        };
        *least = if bound < *least { bound } else { *least };
    }
}

/// The bounds of a block, from its dots.
#[inline(always)]
fn bound(query: &Query, dots: &[i32; LANES], tags: &[u32; LANES]) -> Lanes {
    let mut bounds = [0.0; LANES];
    for ((bound, &dot), &tag) in bounds.iter_mut().zip(dots).zip(tags) {
        let (scale, error) = (f32::from_bits(tag & 0xffff_0000), f32::from_bits(tag << 16));
        let reached = (dot - query.zero) as f32 * query.scale * scale + error * query.reach + query.slack;
        *bound = if tag == 0 { f32::NEG_INFINITY } else { reached };
    }
    bounds
}

mod baseline {
    use super::*;

    loops!();
    common!();

    pub(super) fn count_from(values: &[Lanes], bound: f32) -> usize {
        let mut counts = [0_u32; LANES];
        for lanes in values {
            for (count, &value) in counts.iter_mut().zip(lanes) {
                *count += u32::from(value >= bound);
            }
        }
        counts.iter().sum::<u32>() as usize
    }

    /// Which values are at least `bound`, a bit for each lane.
    #[inline(always)]
    fn mask_from(lanes: &Lanes, bound: f32) -> u16 {
        let mut bits = [0_u16; LANES];
        for (lane, (bit, &value)) in bits.iter_mut().zip(lanes).enumerate() {
            *bit = u16::from(value >= bound) << lane;
        }
        bits.iter().fold(0, |mask, bit| mask | bit)
    }

    #[inline(always)]
    fn dots(query: &Query, codes: &[Quad]) -> [i32; LANES] {
        let mut sums = [0_i32; LANES];
        for (quad, parts) in codes.iter().zip(&query.parts) {
            let parts = parts.map(i32::from);
            for (sum, codes) in sums.iter_mut().zip(quad) {
                let codes = codes.map(i32::from);
                *sum += codes[0] * parts[0] + codes[1] * parts[1] + codes[2] * parts[2] + codes[3] * parts[3];
            }
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, __m256, _CMP_GE_OQ, _mm_loadu_si128, _mm256_add_epi32, _mm256_castps_si256, _mm256_cmp_ps,
        _mm256_cvtepu8_epi16, _mm256_hadd_epi32, _mm256_loadu_ps, _mm256_madd_epi16, _mm256_movemask_ps,
        _mm256_permute4x64_epi64, _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setzero_si256,
        _mm256_storeu_si256, _mm256_sub_epi32,
    };

    use super::*;

    loops!(#[target_feature(enable = "avx2")]);
    common!(#[target_feature(enable = "avx2")]);

    #[target_feature(enable = "avx2")]
    pub(super) fn count_from(values: &[Lanes], bound: f32) -> usize {
        let bound = _mm256_set1_ps(bound);
        let (mut counts, mut others) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for lanes in values {
            let (low, high) = halves(lanes);
            // All bits of a lane that is reached are set: -1.
            counts = _mm256_sub_epi32(
                counts,
                _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GE_OQ>(low, bound)),
            );
            others = _mm256_sub_epi32(
                others,
                _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GE_OQ>(high, bound)),
            );
        }
        let counts = _mm256_add_epi32(counts, others);
        let mut sums = [0_i32; 8];
        // SAFETY: `sums` is 32 bytes, and the store asks for no alignment.
        unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), counts) }
        sums.iter().sum::<i32>() as usize
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn halves(lanes: &Lanes) -> (__m256, __m256) {
        let (low, high) = lanes.split_at(LANES / 2);
        // SAFETY: `low` is 32 bytes, and the load asks for no alignment.
        let low = unsafe { _mm256_loadu_ps(low.as_ptr()) };
        // SAFETY: `high` is 32 bytes, and the load asks for no alignment.
        let high = unsafe { _mm256_loadu_ps(high.as_ptr()) };
        (low, high)
    }

    /// Which values are at least `bound`, a bit for each lane.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn mask_from(lanes: &Lanes, bound: f32) -> u16 {
        let bound = _mm256_set1_ps(bound);
        let (low, high) = halves(lanes);
        let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(low, bound));
        let high = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(high, bound));
        (high << 8 | low) as u16
    }

    /// Places whose four codes fit into one register as 16-bit numbers.
    const FOUR: usize = 4;

    #[inline]
    #[target_feature(enable = "avx2")]
    fn dots(query: &Query, codes: &[Quad]) -> [i32; LANES] {
        let mut pairs = [_mm256_setzero_si256(); LANES / FOUR];
        for (quad, parts) in codes.iter().zip(&query.parts) {
            let [a, b, c, d] = parts.map(|part| u64::from(part as u16));
            let parts = _mm256_set1_epi64x((a | b << 16 | c << 32 | d << 48) as i64);
            let (fours, _) = quad.as_chunks::<FOUR>();
            for (pair, four) in pairs.iter_mut().zip(fours) {
                // SAFETY: `four` is 16 bytes, and the load asks for no alignment.
                let codes = unsafe { _mm_loadu_si128(four.as_ptr().cast::<__m128i>()) };
                let products = _mm256_madd_epi16(_mm256_cvtepu8_epi16(codes), parts);
                *pair = _mm256_add_epi32(*pair, products);
            }
        }
        let mut sums = [0; LANES];
        let (halves, _) = sums.as_chunks_mut::<8>();
        for (index, half) in halves.iter_mut().enumerate() {
            // Sums of neighbours: places 0 1 4 5 2 3 6 7, then in order.
            let mixed = _mm256_hadd_epi32(pairs[2 * index], pairs[2 * index + 1]);
            let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(mixed);
            // SAFETY: `half` is 32 bytes, and the store asks for no alignment.
            unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), ordered) }
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    use std::arch::x86_64::{
        __m512, __m512i, _CMP_GE_OQ, _CMP_GT_OQ, _CMP_LT_OQ, _MM_HINT_T0, _mm_prefetch, _mm512_add_epi32,
        _mm512_add_ps, _mm512_and_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps,
        _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_cmp_ps_mask,
        _mm512_mask_min_ps, _mm512_mask_mov_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_reduce_max_ps,
        _mm512_reduce_min_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512, _mm512_slli_epi32,
        _mm512_storeu_ps, _mm512_sub_epi32, _mm512_test_epi32_mask,
    };

    use super::*;

    common!(#[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]);

    /// Blocks that are scanned together: the query's bytes are read once for all of them, and none waits for
    /// another's sums.
    const STEP: usize = 4;

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    pub(super) fn cells(query: &Query, blocks: Blocks<'_>, group: usize, cells: &mut [Lanes]) {
        let codes = blocks.codes.chunks(group * query.quads);
        for ((codes, tags), cell) in codes.zip(blocks.tags.chunks(group)).zip(cells) {
            let mut highest = _mm512_set1_ps(f32::NEG_INFINITY);
            let (steps, rest) = tags.as_chunks::<STEP>();
            let mut codes = codes.chunks_exact(STEP * query.quads);
            for (codes, tags) in codes.by_ref().zip(steps) {
                let four = together(query, codes, tags);
                for bounds in step(query, four, after(four)) {
                    highest = _mm512_max_ps(bounds, highest);
                }
            }
            let codes = codes.remainder().chunks_exact(query.quads);
            for (codes, tags) in codes.zip(rest) {
                highest = _mm512_max_ps(bound(query, dots(query, codes), tags), highest);
            }
            store(cell, highest);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    pub(super) fn bounds(query: &Query, blocks: Blocks<'_>, bounds: &mut [Lanes]) {
        let (steps, rest) = blocks.tags.as_chunks::<STEP>();
        let (to_steps, to_rest) = bounds.as_chunks_mut::<STEP>();
        let mut codes = blocks.codes.chunks_exact(STEP * query.quads);
        for ((codes, tags), to) in codes.by_ref().zip(steps).zip(to_steps) {
            let four = together(query, codes, tags);
            for (bounds, to) in step(query, four, after(four)).into_iter().zip(to) {
                store(to, bounds);
            }
        }
        let codes = codes.remainder().chunks_exact(query.quads);
        for ((codes, tags), to) in codes.zip(rest).zip(to_rest) {
            store(to, bound(query, dots(query, codes), tags));
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    pub(super) fn listed(query: &Query, blocks: Blocks<'_>, list: &[u32], bounds: &mut [Lanes]) {
        let (steps, rest) = list.as_chunks::<STEP>();
        let (to_steps, to_rest) = bounds.as_chunks_mut::<STEP>();
        let get = |list: &[u32; STEP]| list.map(|block| blocks.get(query.quads, block));
        let mut four = steps.first().map(get);
        for (index, to) in to_steps.iter_mut().enumerate() {
            let Some(these) = four else { break };
            four = steps.get(index + 1).map(get);
            let next = four.unwrap_or(these).map(|(codes, _)| codes.as_ptr());
            for (bounds, to) in step(query, these, next).into_iter().zip(to) {
                store(to, bounds);
            }
        }
        for (&block, to) in rest.iter().zip(to_rest) {
            let (codes, tags) = blocks.get(query.quads, block);
            store(to, bound(query, dots(query, codes), tags));
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    pub(super) fn fold(values: &[Lanes], together: usize, folded: &mut [Lanes]) {
        for (values, folded) in values.chunks(together).zip(folded) {
            let nobody = _mm512_set1_ps(f32::NEG_INFINITY);
            let highest = values.iter().fold(nobody, |highest, lanes| {
                _mm512_max_ps(load_singles(lanes), highest)
            });
            store(folded, highest);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    pub(super) fn range(values: &[Lanes]) -> (f32, f32) {
        let nobody = _mm512_set1_ps(f32::NEG_INFINITY);
        let (mut lowest, mut highest) = (_mm512_set1_ps(f32::INFINITY), nobody);
        for lanes in values {
            let lanes = load_singles(lanes);
            let is_taken = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(lanes, nobody);
            lowest = _mm512_mask_min_ps(lowest, is_taken, lanes, lowest);
            highest = _mm512_max_ps(lanes, highest);
        }
        (_mm512_reduce_min_ps(lowest), _mm512_reduce_max_ps(highest))
    }

    /// Which values are at least `bound`, a bit for each lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    fn mask_from(lanes: &Lanes, bound: f32) -> u16 {
        _mm512_cmp_ps_mask::<_CMP_GE_OQ>(load_singles(lanes), _mm512_set1_ps(bound))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    pub(super) fn count_from(values: &[Lanes], bound: f32) -> usize {
        let bound = _mm512_set1_ps(bound);
        let masks = values
            .iter()
            .map(|lanes| _mm512_cmp_ps_mask::<_CMP_GE_OQ>(load_singles(lanes), bound));
        masks.map(|mask| mask.count_ones() as usize).sum()
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    pub(super) fn between(values: &[Lanes], low: f32, high: f32, masks: &mut [u16]) {
        let (low, high) = (_mm512_set1_ps(low), _mm512_set1_ps(high));
        for (lanes, mask) in values.iter().zip(masks) {
            let lanes = load_singles(lanes);
            let is_high_enough = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(lanes, low);
            *mask = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(is_high_enough, lanes, high);
        }
    }

    /// Blocks that stand one after the other.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    fn together<'a>(query: &Query, codes: &'a [Quad], tags: &'a [[u32; LANES]; STEP]) -> [Block<'a>; STEP] {
        let quads = query.quads;
        let (a, rest) = codes.split_at(quads);
        let (b, rest) = rest.split_at(quads);
        let (c, d) = rest.split_at(quads);
        [(a, &tags[0]), (b, &tags[1]), (c, &tags[2]), (d, &tags[3])]
    }

    /// Where the codes stand that follow those of some blocks which stand one after the other.
    #[inline]
    fn after(blocks: [Block<'_>; STEP]) -> [*const Quad; STEP] {
        blocks.map(|(codes, _)| codes.as_ptr().wrapping_add(STEP * codes.len()))
    }

    /// The bounds of some blocks; asks for the codes of those that come next.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    fn step(query: &Query, blocks: [Block<'_>; STEP], next: [*const Quad; STEP]) -> [__m512; STEP] {
        let quads = query.quads;
        let [a, b, c, d] = blocks.map(|(codes, _)| &codes[..quads]);
        let mut high = [_mm512_setzero_si512(); STEP];
        let mut low = [_mm512_setzero_si512(); STEP];
        for quad in 0..quads.min(QUADS_MAX) {
            let high_bytes = _mm512_set1_epi32(query.high[quad]);
            let low_bytes = _mm512_set1_epi32(query.low[quad]);
            for (block, quads) in [a, b, c, d].into_iter().enumerate() {
                _mm_prefetch::<_MM_HINT_T0>(next[block].wrapping_add(quad).cast());
                let codes = load(&quads[quad]);
                high[block] = _mm512_dpbusd_epi32(high[block], codes, high_bytes);
                low[block] = _mm512_dpbusd_epi32(low[block], codes, low_bytes);
            }
        }
        std::array::from_fn(|block| bound(query, whole(high[block], low[block]), blocks[block].1))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    fn dots(query: &Query, codes: &[Quad]) -> __m512i {
        let (mut high, mut low) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for ((quad, &high_bytes), &low_bytes) in codes.iter().zip(&query.high).zip(&query.low) {
            let codes = load(quad);
            high = _mm512_dpbusd_epi32(high, codes, _mm512_set1_epi32(high_bytes));
            low = _mm512_dpbusd_epi32(low, codes, _mm512_set1_epi32(low_bytes));
        }
        whole(high, low)
    }

    /// The dots of sixteen places, out of those with the query's two bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    fn whole(high: __m512i, low: __m512i) -> __m512i {
        _mm512_add_epi32(_mm512_slli_epi32::<8>(high), low)
    }

    /// As [`super::bound`], operation by operation.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    fn bound(query: &Query, dots: __m512i, tags: &[u32; LANES]) -> __m512 {
        // SAFETY: `tags` is 64 bytes, and the load asks for no alignment.
        let tags = unsafe { _mm512_loadu_si512(tags.as_ptr().cast()) };
        let scales = _mm512_castsi512_ps(_mm512_and_si512(tags, _mm512_set1_epi32(0xffff_0000_u32 as i32)));
        let errors = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(tags));
        let dots = _mm512_cvtepi32_ps(_mm512_sub_epi32(dots, _mm512_set1_epi32(query.zero)));
        let similarities = _mm512_mul_ps(_mm512_mul_ps(dots, _mm512_set1_ps(query.scale)), scales);
        let reach = _mm512_mul_ps(errors, _mm512_set1_ps(query.reach));
        let bounds = _mm512_add_ps(_mm512_add_ps(similarities, reach), _mm512_set1_ps(query.slack));
        let nobody = _mm512_set1_ps(f32::NEG_INFINITY);
        _mm512_mask_mov_ps(nobody, _mm512_test_epi32_mask(tags, tags), bounds)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    fn load(quad: &Quad) -> __m512i {
        // SAFETY: `quad` is 64 bytes, and the load asks for no alignment.
        unsafe { _mm512_loadu_si512(quad.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    fn load_singles(lanes: &Lanes) -> __m512 {
        // SAFETY: `lanes` is 64 bytes, and the load asks for no alignment.
        unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,popcnt")]
    fn store(lanes: &mut Lanes, values: __m512) {
        // SAFETY: `lanes` is 64 bytes, and the store asks for no alignment.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), values) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prop_wide_instructions_give_the_same_bits(
            codes in proptest::collection::vec(any::<Quad>(), 7 * 5),
            tags in proptest::collection::vec(any::<[u16; LANES]>(), 5),
            embedding in proptest::collection::vec(-1.0_f32..1.0, 25..=28),
        ) {
            // Scales and errors of rows of length 1, whatever the codes.
            let tags: Vec<[u32; LANES]> = tags.iter().map(|tags| tags.map(|tag| {
                // One place in eight is nobody's.
                let is_taken = u32::from(!tag.is_multiple_of(8));
                is_taken * (0x3c00_3b00 + (u32::from(tag) & 0xff) * 0x1_0000 + (u32::from(tag) >> 8))
            })).collect();
            let mut query = Query::new();
            prop_assert!(query.take(&embedding));
            let blocks = Blocks { codes: &codes, tags: &tags };
            let run = |instructions: Instructions| {
                let (mut cells, mut bounds) = ([[0.0; LANES]; 3], [[0.0; LANES]; 5]);
                instructions.cells(&query, blocks, 2, &mut cells);
                instructions.bounds(&query, blocks, &mut bounds);
                let mut listed = [[0.0; LANES]; 6];
                let list = [4, 0, 3, 3, 1, 2];
                instructions.listed(&query, blocks, &list, &mut listed);
                for (listed, block) in listed.iter().zip(list) {
                    assert_eq!(listed.map(f32::to_bits), bounds[block as usize].map(f32::to_bits));
                }
                let count = instructions.count_from(&bounds, 0.01);
                let mut masks = [0; 5];
                instructions.between(&bounds, 0.0, 0.02, &mut masks);
                for (bounds, mask) in bounds.iter().zip(masks) {
                    let is_set = |lane: usize| mask >> lane & 1 == 1;
                    assert!((0..LANES).all(|lane| is_set(lane) == (0.0..0.02).contains(&bounds[lane])));
                }
                let mut folded = [[0.0; LANES]; 3];
                instructions.fold(&bounds, 2, &mut folded);
                let mut list = [0; 5];
                let found = instructions.blocks_between((&bounds, &folded, 2), (0.0, 0.02), &mut list);
                let highest = bounds.map(|bounds| bounds.into_iter().fold(f32::NEG_INFINITY, f32::max));
                let expected = (0..5).filter(|&block| (0.0..0.02).contains(&highest[block as usize]));
                assert!(list[..found].iter().copied().eq(expected));
                let (low, high) = instructions.range(&bounds);
                let taken = bounds.as_flattened().iter().filter(|bound| bound.is_finite());
                assert_eq!(low, taken.clone().fold(f32::INFINITY, |low, &bound| low.min(bound)));
                assert_eq!(high, taken.fold(f32::NEG_INFINITY, |high, &bound| high.max(bound)));
                (cells.map(|cell| cell.map(f32::to_bits)), bounds.map(|bound| bound.map(f32::to_bits)), count)
            };
            let expected = run(Instructions::Baseline);
            for instructions in Instructions::all() {
                prop_assert_eq!(run(instructions), expected, "{:?}", instructions);
            }
        }

        #[test]
        fn prop_query_parts_are_their_bytes(embedding in proptest::collection::vec(-1.0_f32..1.0, 1..=128)) {
            let mut query = Query::new();
            prop_assert!(query.take(&embedding));
            for quad in 0..query.quads {
                let (high, low) = (query.high[quad].to_le_bytes(), query.low[quad].to_le_bytes());
                for (index, &part) in query.parts[quad].iter().enumerate() {
                    prop_assert_eq!(256 * i32::from(high[index] as i8) + i32::from(low[index] as i8), i32::from(part));
                }
            }
        }
    }

    #[test]
    fn query_that_is_no_direction_is_refused() {
        let mut query = Query::new();
        assert!(query.take(&[0.0; 16]));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
            assert!(!query.take(&[0.5, wrong]), "{wrong}");
        }
    }
}
