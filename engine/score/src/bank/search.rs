//! The nearest places, exactly, at the price of a scan of eight bits per value.
//!
//! ```text
//!   scan       bounds of all places ──▶ cells: the highest of each lane of each group of blocks
//!   floor      t: at least `count` cells reach it, so at least `count` places have a bound that does
//!   first      places whose bound reaches t ──compare──▶ s: the count-th similarity among them
//!   second     places whose bound is in s..t ──compare──▶ those that reach s
//!   order      by similarity, then by sequence
//! ```
//!
//! Why it is exact: `s` is reached by `count` places, so a place below `s` is none of the nearest; a place whose bound
//! is below `s` is below `s`; every other place is compared as it is kept. How good the eight bits are decides how
//! many places are compared, never what is found.
//!
//! Invariant: the outcome is that of comparing and sorting all places, whatever the machine.

use super::embeddings::{Candidate, Embeddings};
use super::kernel::{Blocks, Instructions, LANES, Lanes, Query};

/// Blocks in a group at most: what is scanned again for one place that might be near.
const GROUP_MAX: usize = 16;

/// A bank of so many blocks has groups of one; more and they double, up to [`GROUP_MAX`].
const GROUPS_MIN: usize = 128;

/// The floor is looked for among so many cells times sixteen, or as many as are asked for.
const FLOOR_CELLS_MIN: usize = 64;

/// Halvings of the range of bounds in which the floor is looked for.
const FLOOR_STEPS: usize = 14;

/// What a search needs besides the embeddings; none of it is state.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) instructions: Instructions,
    query: Query,
    cells: Vec<Lanes>,
    folded: Vec<Lanes>,
    bounds: [Lanes; GROUP_MAX],
    candidates: Vec<Candidate>,
}

impl Search {
    pub(super) fn new(rows_max: u32) -> Self {
        let blocks = (rows_max as usize).div_ceil(LANES);
        let groups = blocks.div_ceil(GROUP_MAX).max(blocks.min(2 * GROUPS_MIN));
        Self {
            instructions: Instructions::find(),
            query: Query::new(),
            cells: Vec::with_capacity(groups),
            folded: Vec::with_capacity(groups),
            bounds: [[0.0; LANES]; GROUP_MAX],
            candidates: Vec::with_capacity(rows_max as usize),
        }
    }

    /// The `count` nearest of the places `0..len`, nearest first; of equal ones the lower `sequence` first. None if
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
        self.candidates.sort_unstable_by(|a, b| {
            let by_similarity = b.similarity.total_cmp(&a.similarity);
            by_similarity.then_with(|| sequence(a.place).cmp(&sequence(b.place)))
        });
        &self.candidates[..count]
    }

    /// Fills the cells. Lanes of the last block that no row has are in none.
    fn scan(&mut self, scan: &Scan<'_>) {
        let groups = scan.groups();
        self.cells.resize(groups, [0.0; LANES]);
        let last = groups - 1;
        let whole = scan.group(0..last);
        self.instructions
            .cells(&self.query, whole, scan.group, &mut self.cells[..last]);
        let mut highest = [f32::NEG_INFINITY; LANES];
        for bounds in self.bounds_of(scan, last) {
            for (most, &bound) in highest.iter_mut().zip(bounds) {
                *most = most.max(bound);
            }
        }
        self.cells[last] = highest;
    }

    /// The bounds of the places of a group; those that no row has are below everything.
    fn bounds_of(&mut self, scan: &Scan<'_>, group: usize) -> &[Lanes] {
        let blocks = scan.group(group..group + 1);
        let bounds = &mut self.bounds[..blocks.tags.len()];
        self.instructions.bounds(&self.query, blocks, bounds);
        let rows = scan.len - group * scan.group * LANES;
        if let Some(absent) = bounds.as_flattened_mut().get_mut(rows..) {
            absent.fill(f32::NEG_INFINITY);
        }
        bounds
    }

    /// A bound that at least `count` places reach, and not many more.
    fn floor(&mut self, count: usize) -> f32 {
        let cells = self.cells.len().div_ceil(count.max(FLOOR_CELLS_MIN));
        self.folded.clear();
        for cells in self.cells.chunks(cells) {
            let mut highest = [f32::NEG_INFINITY; LANES];
            for cell in cells {
                for (most, &bound) in highest.iter_mut().zip(cell) {
                    *most = if bound > *most { bound } else { *most };
                }
            }
            self.folded.push(highest);
        }
        let bounds = self.folded.as_flattened();
        let mut high = bounds
            .iter()
            .fold(f32::NEG_INFINITY, |most, &bound| most.max(bound));
        let are_there = bounds.iter().filter(|&&bound| bound > f32::NEG_INFINITY);
        let mut low = are_there.fold(f32::INFINITY, |least, &bound| least.min(bound));
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
            if reached == count {
                break;
            }
        }
        low
    }

    /// Adds the places whose bound is at least `low` and below `high`.
    fn pick(&mut self, scan: &Scan<'_>, low: f32, high: f32) {
        for group in 0..self.cells.len() {
            let is_near = self.cells[group]
                .iter()
                .fold(false, |is_near, &bound| is_near | (bound >= low));
            if !is_near {
                continue;
            }
            let first = (group * scan.group * LANES) as u32;
            self.bounds_of(scan, group);
            let blocks = scan.group(group..group + 1).tags.len();
            let bounds = self.bounds[..blocks].as_flattened();
            for (&bound, place) in bounds.iter().zip(first..) {
                if bound >= low && bound < high && bound > f32::NEG_INFINITY {
                    scan.embeddings.prefetch(place as usize);
                    self.candidates.push(Candidate {
                        place,
                        similarity: 0.0,
                    });
                }
            }
        }
    }
}

/// The places of one search, in groups of blocks.
struct Scan<'a> {
    embeddings: &'a Embeddings,
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
            embeddings,
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
