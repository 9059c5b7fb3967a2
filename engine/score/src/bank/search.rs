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
//! Where embeddings are kept block by block, whole blocks are compared, at the price of a place or two: all that have a
//! place which reaches `t`; `s` is then a floor of the similarities, and no place waits to be picked out. So a bank whose
//! rows are all alike, which bytes cannot tell apart, costs no more than one pass over what is kept.
//!
//! Why it is exact: `s` is reached by `count` places, so a place below `s` is none of the nearest; a place whose bound
//! is below `s` is below `s`; every other place is compared as it is kept. How good the eight bits are decides how
//! many places are compared, never what is found.
//!
//! Invariant: the outcome is that of comparing and sorting all places of the scan, whatever the machine.

use super::embeddings::{Candidate, Embeddings};
use super::kernel::{Blocks, Instructions, LANES, Lanes, Query};

/// Blocks in a group at most: what is scanned again for one place that might be near.
const GROUP_MAX: usize = 16;

/// Up to twice so many blocks, and wherever embeddings are kept block by block, each is a group of its own, and its cell
/// the bounds of its places. With more, groups double, up to [`GROUP_MAX`].
pub(super) const GROUPS_MIN: usize = 1024;

/// Groups that are looked through together.
const GROUPS_TOGETHER: usize = 64;

/// The floor is looked for among so many cells times sixteen, or as many as are asked for.
const FLOOR_CELLS_MIN: usize = 64;

/// Halvings of the range in which the floor is looked for, at most.
const FLOOR_STEPS: usize = 16;

/// A range that reaches so many times as far as it begins is not halved but quartered: most is in the far part.
const WIDE: f32 = 64.0;

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
    /// Whether embeddings are kept block by block.
    pub(super) is_by_block: bool,
}

/// What a search needs besides the embeddings; none of it is state.
#[derive(Debug)]
pub(super) struct Search {
    sizes: Sizes,
    pub(super) instructions: Instructions,
    query: Query,
    cells: Vec<Lanes>,
    floor: Floor,
    bounds: [Lanes; GROUP_MAX],
    /// Blocks that were compared, and what came of it.
    compared: Vec<u32>,
    similarities: Vec<Lanes>,
    similarities_floor: Floor,
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
        let compared = if sizes.is_by_block { groups } else { 0 };
        Self {
            sizes,
            instructions: Instructions::find(),
            query: Query::new(),
            cells: Vec::with_capacity(groups),
            floor: Floor::new(groups),
            bounds: [[0.0; LANES]; GROUP_MAX],
            compared: Vec::with_capacity(2 * compared),
            similarities: Vec::with_capacity(compared),
            similarities_floor: Floor::new(compared),
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
        self.compared.resize(self.compared.capacity(), 0);
        self.similarities
            .resize(self.similarities.capacity(), [0.0; LANES]);
        for Floor { folded, .. } in [&mut self.floor, &mut self.similarities_floor] {
            folded.resize(folded.capacity(), [0.0; LANES]);
        }
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
        if scan.embeddings.is_by_block() {
            self.compare_blocks(scan, embedding, count);
        } else {
            self.compare_places(scan, embedding, count);
        }
        self.order(count, sequence);
        &self.candidates[..count]
    }

    /// Has the nearest candidates stand first, in order.
    fn order(&mut self, count: usize, sequence: impl Fn(u32) -> u64) {
        let newest_first = |a: &Candidate, b: &Candidate| sequence(b.place).cmp(&sequence(a.place));
        if self.candidates.len() > 2 * count {
            let order = |a: &Candidate, b: &Candidate| rank(a).cmp(&rank(b)).then_with(|| newest_first(a, b));
            self.candidates.select_nth_unstable_by(count - 1, order);
            self.candidates.truncate(count);
        }
        // By the number alone at first, which needs no branch: few are equal.
        self.candidates.sort_unstable_by_key(rank);
        for equals in self.candidates.chunk_by_mut(|a, b| rank(a) == rank(b)) {
            if equals.len() > 1 {
                equals.sort_unstable_by(newest_first);
            }
        }
    }

    /// Leaves as candidates all places that are as similar as the nearest, and few others.
    fn compare_blocks(&mut self, scan: &Scan<'_>, embedding: &[f32], count: usize) {
        self.compared.clear();
        self.similarities.clear();
        let floor = self.floor.of(self.instructions, &self.cells, count);
        self.compare_from(scan, embedding, floor, f32::INFINITY);
        let similarities = &mut self.similarities_floor;
        let mut reached = similarities.of(self.instructions, &self.similarities, count);
        let first = self.compared.len();
        if reached < floor {
            self.compare_from(scan, embedding, reached, floor);
        }
        if self.compared.len() > first {
            let similarities = &mut self.similarities_floor;
            reached = reached.max(similarities.of(self.instructions, &self.similarities, count));
        }
        let low = reached.max(f32::MIN); // Not those that no row has.
        let mut near = [0; GROUPS_TOGETHER];
        let all = self.compared.chunks(GROUPS_TOGETHER);
        for (blocks, lanes) in all.zip(self.similarities.chunks(GROUPS_TOGETHER)) {
            self.instructions.between(lanes, low, f32::INFINITY, &mut near);
            for ((&block, lanes), &near) in blocks.iter().zip(lanes).zip(&near) {
                for lane in bits(near) {
                    self.candidates.push(Candidate {
                        place: block * LANES as u32 + lane,
                        similarity: lanes[lane as usize],
                    });
                }
            }
        }
    }

    /// Compares the blocks whose highest bound is at least `low` and below `high`.
    fn compare_from(&mut self, scan: &Scan<'_>, embedding: &[f32], low: f32, high: f32) {
        let first = self.compared.len();
        let low = low.max(f32::MIN); // Not those that no row has.
        self.compared.resize(first + self.cells.len(), 0);
        let list = &mut self.compared[first..];
        let cells = (&self.cells[..], &self.floor.folded[..], self.floor.together);
        let count = self.instructions.blocks_between(cells, (low, high), list);
        if scan.list.is_some() {
            let block = |index: &mut u32| *index = scan.block(*index as usize) as u32;
            list[..count].iter_mut().for_each(block);
        }
        self.compared.truncate(first + count);
        self.similarities.resize(self.compared.len(), [0.0; LANES]);
        self.instructions.similarities(
            embedding,
            scan.embeddings.kept(),
            scan.embeddings.tags(),
            &self.compared[first..],
            &mut self.similarities[first..],
        );
    }

    /// Leaves as candidates all places that are as similar as the nearest.
    fn compare_places(&mut self, scan: &Scan<'_>, embedding: &[f32], count: usize) {
        let floor = self.floor.of(self.instructions, &self.cells, count);
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
            for lane in bits(near) {
                self.candidates.push(Candidate {
                    place: (scan.block(block) * LANES) as u32 + lane,
                    similarity: 0.0,
                });
            }
        }
    }
}

/// The lower, the more similar: as [`f32::total_cmp`] orders, the other way round.
fn rank(candidate: &Candidate) -> i32 {
    let bits = candidate.similarity.to_bits() as i32;
    !(bits ^ ((bits >> 31) as u32 >> 1) as i32)
}

/// The places of the bits that are set, the lowest first.
fn bits(mask: u16) -> impl Iterator<Item = u32> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        let lowest = (rest != 0).then(|| rest.trailing_zeros());
        rest &= rest.wrapping_sub(1);
        lowest
    })
}

/// Finds a value that a number of lanes reach.
#[derive(Debug)]
struct Floor {
    /// The highest of each lane of every `together` values.
    folded: Vec<Lanes>,
    together: usize,
}

impl Floor {
    fn new(values: usize) -> Self {
        Self {
            folded: Vec::with_capacity(values),
            together: 1,
        }
    }

    /// A value that at least `count` lanes reach, and not many more; below everything if that is not found.
    ///
    /// The range is halved by how far values are from the highest, as powers: rows that lie close together differ in
    /// the last places alone.
    fn of(&mut self, instructions: Instructions, cells: &[Lanes], count: usize) -> f32 {
        self.together = cells.len().div_ceil(count.max(FLOOR_CELLS_MIN)).max(1);
        self.folded
            .resize(cells.len().div_ceil(self.together), [0.0; LANES]);
        instructions.fold(cells, self.together, &mut self.folded);
        let (mut low, high) = instructions.range(&self.folded);
        if instructions.count_from(&self.folded, low) < count {
            return f32::NEG_INFINITY;
        }
        let top = high + high.abs().max(f32::MIN_POSITIVE) * f32::EPSILON;
        let (mut near, mut far) = (top - high, top - low);
        for _ in 0..FLOOR_STEPS {
            let mean = (near * far).sqrt();
            let middle = if far > WIDE * near {
                (mean * far).sqrt()
            } else {
                mean
            };
            let reached = instructions.count_from(&self.folded, top - middle);
            if reached < count {
                near = middle;
            } else {
                (far, low) = (middle, top - middle);
            }
            if (count..=count + count / FLOOR_NEAR).contains(&reached) {
                break;
            }
        }
        low
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
        let group_max = if embeddings.is_by_block() { 1 } else { GROUP_MAX };
        let group = (blocks / GROUPS_MIN).clamp(1, group_max);
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
