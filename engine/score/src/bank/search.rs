//! The nearest of all places, or of those in some blocks, exactly, at the price of a scan of eight bits per value.
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
//! Invariant: the outcome is that of comparing and sorting all places of the scan, whatever the machine.

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

/// How much a search must be able to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Rows of a scan at most.
    pub(super) rows_max: usize,
    /// Blocks of a scan of all of them at most.
    pub(super) blocks_max: usize,
    /// Blocks of a scan of some of them at most.
    pub(super) listed_max: usize,
}

/// What a search needs besides the embeddings; none of it is state.
#[derive(Debug)]
pub(super) struct Search {
    sizes: Sizes,
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
        Self::new(self.sizes)
    }
}

impl Search {
    pub(super) fn new(sizes: Sizes) -> Self {
        let blocks = sizes.blocks_max;
        let groups = blocks.div_ceil(GROUP_MAX).max(blocks.min(2 * GROUPS_MIN));
        let groups = groups.max(sizes.listed_max);
        Self {
            sizes,
            instructions: Instructions::find(),
            query: Query::new(),
            cells: Vec::with_capacity(groups),
            folded: Vec::with_capacity(groups),
            bounds: [[0.0; LANES]; GROUP_MAX],
            candidates: Vec::with_capacity(sizes.rows_max),
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

    /// The `count` nearest of a scan's places, nearest first; of equal ones the higher `sequence` first. None if the
    /// embedding is no direction.
    ///
    /// Bound: the scan has `count` rows at least, and no more blocks than [`Sizes`] says.
    pub(super) fn run(
        &mut self,
        scan: &Scan<'_>,
        embedding: &[f32],
        count: usize,
        sequence: impl Fn(u32) -> u64,
    ) -> &[Candidate] {
        self.candidates.clear();
        if count == 0 || !self.query.take(embedding) {
            return &[];
        }
        self.scan(scan);
        let floor = self.floor(count);
        self.pick(scan, floor, f32::INFINITY);
        scan.embeddings.compare(embedding, &mut self.candidates);
        let (_, last, _) = self
            .candidates
            .select_nth_unstable_by(count - 1, |a, b| b.similarity.total_cmp(&a.similarity));
        let reached = last.similarity;
        if reached < floor {
            let first = self.candidates.len();
            self.pick(scan, reached, floor);
            scan.embeddings.compare(embedding, &mut self.candidates[first..]);
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

    /// What the last run found.
    pub(super) fn found(&self, count: usize) -> &[Candidate] {
        &self.candidates[..count]
    }

    /// Fills the cells.
    fn scan(&mut self, scan: &Scan<'_>) {
        self.cells.resize(scan.groups(), [0.0; LANES]);
        let (query, cells) = (&self.query, &mut self.cells[..]);
        match scan.list {
            Some(list) => self.instructions.listed(query, scan.blocks, list, cells),
            None if scan.group == 1 => self.instructions.bounds(query, scan.blocks, cells),
            None => self.instructions.cells(query, scan.blocks, scan.group, cells),
        }
    }

    /// The bounds of the places of a group.
    fn bounds_of(&mut self, scan: &Scan<'_>, group: usize) -> &[Lanes] {
        let blocks = scan.group(group);
        let bounds = &mut self.bounds[..blocks.tags.len()];
        self.instructions.bounds(&self.query, blocks, bounds);
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
                self.add(scan, first, &near[..end - first]);
                continue;
            }
            self.instructions.between(cells, low, f32::INFINITY, &mut near);
            for (group, _) in (first..end).zip(near).filter(|(_, near)| *near != 0) {
                let blocks = self.bounds_of(scan, group).len();
                let mut near = [0; GROUP_MAX];
                self.instructions
                    .between(&self.bounds[..blocks], low, high, &mut near);
                self.add(scan, group * scan.group, &near[..blocks]);
            }
        }
    }

    /// Adds the places of the scan's blocks from the `first` on, as many as there are masks, a bit for each lane.
    fn add(&mut self, scan: &Scan<'_>, first: usize, near: &[u16]) {
        for (block, &near) in (first..).zip(near) {
            let mut near = near;
            while near != 0 {
                let place = scan.block(block) * LANES + near.trailing_zeros() as usize;
                self.candidates.push(Candidate {
                    place: place as u32,
                    similarity: 0.0,
                });
                near &= near - 1;
            }
        }
    }
}

/// The places of one search: all of them in groups of blocks, or those of a list of blocks.
pub(super) struct Scan<'a> {
    embeddings: &'a Embeddings,
    blocks: Blocks<'a>,
    quads: usize,
    group: usize,
    list: Option<&'a [u32]>,
}

impl<'a> Scan<'a> {
    /// The first `blocks` blocks.
    pub(super) fn whole(embeddings: &'a Embeddings, blocks: usize) -> Self {
        let group = (blocks / GROUPS_MIN).clamp(1, GROUP_MAX);
        let quads = embeddings.quads();
        Self {
            embeddings,
            blocks: Blocks {
                codes: &embeddings.codes()[..blocks * quads],
                tags: &embeddings.tags()[..blocks],
            },
            quads,
            group: 1 << group.ilog2(),
            list: None,
        }
    }

    /// The blocks of a list, none of them twice.
    pub(super) fn listed(embeddings: &'a Embeddings, list: &'a [u32]) -> Self {
        Self {
            embeddings,
            blocks: Blocks {
                codes: embeddings.codes(),
                tags: embeddings.tags(),
            },
            quads: embeddings.quads(),
            group: 1,
            list: Some(list),
        }
    }

    fn groups(&self) -> usize {
        let blocks = self.list.map_or(self.blocks.tags.len(), <[u32]>::len);
        blocks.div_ceil(self.group)
    }

    /// The blocks of a group of all.
    fn group(&self, group: usize) -> Blocks<'a> {
        let start = group * self.group;
        let end = (start + self.group).min(self.blocks.tags.len());
        Blocks {
            codes: &self.blocks.codes[start * self.quads..end * self.quads],
            tags: &self.blocks.tags[start..end],
        }
    }

    /// The number of the scan's block `index`.
    #[inline]
    fn block(&self, index: usize) -> usize {
        self.list.map_or(index, |list| list[index] as usize)
    }
}
