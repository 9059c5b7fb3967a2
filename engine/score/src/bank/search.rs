//! The nearest places, exactly, at the price of a scan of eight bits per value.
//!
//! ```text
//!   scan       bounds of all places ──▶ cells: the highest of each lane of each group of blocks
//!   floor      t: at least `count` cells reach it, so at least `count` places have a bound that does
//!   first      places whose bound reaches t ──compare──▶ s: the count-th similarity among them
//!   second     places whose bound is in s..t ──compare──▶ those that reach s
//!   order      by similarity, then the newest first
//! ```
//!
//! Why it is exact: `s` is reached by `count` places, so a place below `s` is none of the nearest; a place whose bound
//! is below `s` is below `s`; every other place is compared as it is kept. How good the eight bits are decides how
//! many places are compared, never what is found.
//!
//! Invariant: the outcome is that of comparing and sorting all places, whatever the machine.

use super::embeddings::{Candidate, Embeddings};
use super::kernel::{Blocks, Instructions, LANES, Lanes, Query, raise};

/// Blocks in a group at most: what is scanned again for one place that might be near.
const GROUP_MAX: usize = 16;

/// Up to twice so many blocks, each is a group of its own, and its cell the bounds of its places. With more, groups
/// double, up to [`GROUP_MAX`].
const GROUPS_MIN: usize = 1024;

/// Groups that are looked through together.
const GROUPS_TOGETHER: usize = 64;

/// The floor is looked for among so many cells times sixteen, or as many as are asked for.
const FLOOR_CELLS_MIN: usize = 64;

/// Halvings of the range of bounds in which the floor is looked for, at most.
const FLOOR_STEPS: usize = 14;

/// One in so many more than asked for is near enough.
const FLOOR_NEAR: usize = 8;

/// What a search needs besides the embeddings; none of it is state.
#[derive(Debug)]
pub(super) struct Search {
    rows_max: u32,
    pub(super) instructions: Instructions,
    query: Query,
    cells: Vec<Lanes>,
    folded: Vec<Lanes>,
    bounds: [Lanes; GROUP_MAX],
    candidates: Vec<Candidate>,
}

impl Clone for Search {
    /// Another one of the same size: the copy of a list would have no room to grow.
    fn clone(&self) -> Self {
        Self::new(self.rows_max)
    }
}

impl Search {
    pub(super) fn new(rows_max: u32) -> Self {
        let blocks = (rows_max as usize).div_ceil(LANES);
        let groups = blocks.div_ceil(GROUP_MAX).max(blocks.min(2 * GROUPS_MIN));
        Self {
            rows_max,
            instructions: Instructions::find(),
            query: Query::new(),
            cells: Vec::with_capacity(groups),
            folded: Vec::with_capacity(groups),
            bounds: [[0.0; LANES]; GROUP_MAX],
            candidates: Vec::with_capacity(rows_max as usize),
        }
    }

    /// Has all memory there.
    pub(super) fn prefault(&mut self) {
        let nowhere = Candidate {
            place: 0,
            similarity: 0.0,
        };
        self.candidates.resize(self.candidates.capacity(), nowhere);
        self.cells.resize(self.cells.capacity(), [0.0; LANES]);
        self.folded.resize(self.folded.capacity(), [0.0; LANES]);
    }

    /// The `count` nearest of the places `0..len`, nearest first; of equal ones the higher `sequence` first. None if
    /// the embedding is no direction.
    pub(super) fn run(
        &mut self,
        embeddings: &Embeddings,
        len: usize,
        embedding: &[f32],
        count: usize,
        sequence: impl Fn(u32) -> u64,
    ) -> &[Candidate] {
        self.candidates.clear();
        let count = count.min(len);
        if count == 0 || !self.query.take(embedding) {
            return &[];
        }
        let scan = Scan::new(embeddings, len);
        self.scan(&scan);
        let floor = self.floor(count);
        self.pick(&scan, floor, f32::INFINITY);
        embeddings.compare(embedding, &mut self.candidates);
        let (_, last, _) = self
            .candidates
            .select_nth_unstable_by(count - 1, |a, b| b.similarity.total_cmp(&a.similarity));
        let reached = last.similarity;
        if reached < floor {
            let first = self.candidates.len();
            self.pick(&scan, reached, floor);
            embeddings.compare(embedding, &mut self.candidates[first..]);
        }
        self.candidates
            .retain(|candidate| candidate.similarity >= reached);
        let order = |a: &Candidate, b: &Candidate| {
            let by_similarity = b.similarity.total_cmp(&a.similarity);
            by_similarity.then_with(|| sequence(b.place).cmp(&sequence(a.place)))
        };
        if self.candidates.len() > count {
            self.candidates.select_nth_unstable_by(count - 1, order);
        }
        self.candidates[..count].sort_unstable_by(order);
        &self.candidates[..count]
    }

    /// Fills the cells. Lanes of the last block that no row has are in none.
    fn scan(&mut self, scan: &Scan<'_>) {
        let groups = scan.groups();
        self.cells.resize(groups, [0.0; LANES]);
        let last = groups - 1;
        if scan.group == 1 {
            self.instructions
                .bounds(&self.query, scan.blocks, &mut self.cells);
            mask(&mut self.cells[last..], scan.len - last * LANES);
            return;
        }
        let whole = scan.group(0..last);
        self.instructions
            .cells(&self.query, whole, scan.group, &mut self.cells[..last]);
        let mut highest = [f32::NEG_INFINITY; LANES];
        for bounds in self.bounds_of(scan, last) {
            raise(&mut highest, bounds);
        }
        self.cells[last] = highest;
    }

    /// The bounds of the places of a group; those that no row has are below everything.
    fn bounds_of(&mut self, scan: &Scan<'_>, group: usize) -> &[Lanes] {
        let blocks = scan.group(group..group + 1);
        let bounds = &mut self.bounds[..blocks.tags.len()];
        self.instructions.bounds(&self.query, blocks, bounds);
        mask(bounds, scan.len - group * scan.group * LANES);
        bounds
    }

    /// A bound that at least `count` places reach, and not many more.
    fn floor(&mut self, count: usize) -> f32 {
        let cells = self.cells.len().div_ceil(count.max(FLOOR_CELLS_MIN));
        self.folded.clear();
        for cells in self.cells.chunks(cells) {
            let mut highest = [f32::NEG_INFINITY; LANES];
            for cell in cells {
                raise(&mut highest, cell);
            }
            self.folded.push(highest);
        }
        let (mut low, mut high) = self.range_of_folded();
        if self.instructions.count_from(&self.folded, low) < count {
            return f32::NEG_INFINITY;
        }
        for _ in 0..FLOOR_STEPS {
            let middle = low + (high - low) / 2.0;
            let reached = self.instructions.count_from(&self.folded, middle);
            if reached < count {
                high = middle;
            } else {
                low = middle;
            }
            if (count..=count + count / FLOOR_NEAR).contains(&reached) {
                break;
            }
        }
        low
    }

    /// The lowest and the highest of the folded cells, without those that no row is in.
    fn range_of_folded(&self) -> (f32, f32) {
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        for cell in &self.folded {
            for ((low, high), &bound) in low.iter_mut().zip(&mut high).zip(cell) {
                let is_lower = (bound < *low) & (bound > f32::NEG_INFINITY);
                *low = if is_lower { bound } else { *low };
                *high = if bound > *high { bound } else { *high };
            }
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        (low, high.into_iter().fold(f32::NEG_INFINITY, f32::max))
    }

    /// Adds the places whose bound is at least `low` and below `high`.
    fn pick(&mut self, scan: &Scan<'_>, low: f32, high: f32) {
        let low = low.max(f32::MIN); // Not those that no row has.
        let mut near = [0; GROUPS_TOGETHER];
        for first in (0..self.cells.len()).step_by(GROUPS_TOGETHER) {
            let end = self.cells.len().min(first + GROUPS_TOGETHER);
            let cells = &self.cells[first..end];
            if scan.group == 1 {
                self.instructions.between(cells, low, high, &mut near);
                self.add(first, &near[..end - first]);
                continue;
            }
            self.instructions.between(cells, low, f32::INFINITY, &mut near);
            for (group, _) in (first..end).zip(near).filter(|(_, near)| *near != 0) {
                let blocks = self.bounds_of(scan, group).len();
                let mut near = [0; GROUP_MAX];
                self.instructions
                    .between(&self.bounds[..blocks], low, high, &mut near);
                self.add(group * scan.group, &near[..blocks]);
            }
        }
    }

    /// Adds the places of blocks from `first` on, as many as there are masks, a bit for each lane.
    fn add(&mut self, first: usize, near: &[u16]) {
        for (block, &near) in (first..).zip(near) {
            let mut near = near;
            while near != 0 {
                let place = block * LANES + near.trailing_zeros() as usize;
                self.candidates.push(Candidate {
                    place: place as u32,
                    similarity: 0.0,
                });
                near &= near - 1;
            }
        }
    }
}

/// Puts the bounds from `rows` on below everything: no row has these places.
fn mask(bounds: &mut [Lanes], rows: usize) {
    if let Some(absent) = bounds.as_flattened_mut().get_mut(rows..) {
        absent.fill(f32::NEG_INFINITY);
    }
}

/// The places of one search, in groups of blocks.
struct Scan<'a> {
    blocks: Blocks<'a>,
    quads: usize,
    len: usize,
    group: usize,
}

impl<'a> Scan<'a> {
    fn new(embeddings: &'a Embeddings, len: usize) -> Self {
        let blocks = len.div_ceil(LANES);
        let quads = embeddings.quads();
        let group = (blocks / GROUPS_MIN).clamp(1, GROUP_MAX);
        Self {
            blocks: Blocks {
                codes: &embeddings.codes()[..blocks * quads],
                tags: &embeddings.tags()[..blocks],
            },
            quads,
            len,
            group: 1 << group.ilog2(),
        }
    }

    fn groups(&self) -> usize {
        self.blocks.tags.len().div_ceil(self.group)
    }

    /// The blocks of some groups.
    fn group(&self, groups: std::ops::Range<usize>) -> Blocks<'a> {
        let end = (groups.end * self.group).min(self.blocks.tags.len());
        let start = groups.start * self.group;
        Blocks {
            codes: &self.blocks.codes[start * self.quads..end * self.quads],
            tags: &self.blocks.tags[start..end],
        }
    }
}
