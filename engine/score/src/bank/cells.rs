//! Which rows stand together: cells of rows that are alike, so that a search may scan a few cells instead of all.
//!
//! ```text
//!   centroids   a direction for each cell            a row belongs to the cell whose centroid is nearest to it
//!   cells       how many rows, and the newest block ─┐
//!   blocks      cell │ older block │ newer block  ◀──┘       sixteen places each, 0..used without gaps
//! ```
//!
//! Places of a cell are taken in order, block by block; when a row goes, the last place of its cell fills the gap, and
//! when that empties a block, the last block of all fills that gap. So a scan of all rows reads no more than there is.
//! A bank that was never grouped has one cell, and its places are `0..len`.
//!
//! A centroid is the mean direction of several cases ([`MEMBERS_MIN`] at least), never one case's embedding: it stays
//! when its cases are removed.
//!
//! Invariant: each block but a cell's newest has sixteen rows, that one has one at least, and each of them is nearest
//! to its own cell's centroid (as its embedding was given).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::amount;
use super::column::Column;
use super::config::{BankConfig, Precision};
use super::embeddings::Embeddings;
use super::kernel::LANES;
use super::search::{Scan, Search, Sizes};

/// Cases of which centroids are made, for each cell.
const SAMPLES_PER_CELL: usize = 32;

/// Cases of the sample that a cell has at least when cells are first laid out.
const SAMPLES_PER_CELL_MIN: usize = 16;

/// Cases that a centroid is the mean of at least.
const MEMBERS_MIN: u32 = 8;

/// How often centroids are moved to the mean of their members.
const ROUNDS: usize = 8;

/// A mean shorter than this has no direction.
const MEAN_LENGTH_MIN: f64 = 1e-3;

/// Up to so many blocks are scanned by cells, or a quarter of all if that is more; beyond, all rows are.
const LISTED_MIN: usize = 2048;

/// The regions of the centroids.
const NAMES: [&str; 3] = [
    "bank centroid codes",
    "bank centroid tags",
    "bank centroid values",
];

/// What there is of each kind.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Extent {
    /// Cells with a centroid; 0: rows were never grouped.
    cells: u32,
    /// Blocks that have rows.
    blocks: u32,
}

/// A cell.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Cell {
    rows: u32,
    /// The only block that may have places left, plus one; 0: none.
    newest: u32,
}

/// A block; its neighbours in its cell are plus one, 0: none.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Block {
    cell: u32,
    older: u32,
    newer: u32,
}

/// A block that must be moved, so that there is no gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) from: usize,
    pub(super) to: usize,
}

/// The cells.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    cells_max: usize,
    probes: usize,
    extent: Column<Extent>,
    cells: Column<Cell>,
    blocks: Column<Block>,
    centroids: Embeddings,
    pub(super) search: Search,
    list: List,
}

/// Blocks that a search scans; as large when it is copied, which the copy of a list is not.
#[derive(Debug)]
struct List(Vec<u32>);

impl Clone for List {
    fn clone(&self) -> Self {
        Self(Vec::with_capacity(self.0.capacity()))
    }
}

impl Cells {
    /// Memory for the cells that the configuration asks for, and for one if it asks for none.
    pub(super) fn new(config: &BankConfig, dimensions: usize) -> Self {
        let cells_max = config.cells_max();
        let blocks_max = Self::blocks_max(config);
        let centroids = if cells_max == 1 { 0 } else { cells_max };
        let centroid_blocks = centroids.div_ceil(LANES);
        let sizes = Sizes {
            rows_max: centroids,
            blocks_max: centroid_blocks,
            listed_max: 0,
            is_by_block: Embeddings::are_by_block(centroid_blocks, dimensions),
        };
        Self {
            cells_max,
            probes: config.probes as usize,
            extent: Column::zeroed(1),
            cells: Column::zeroed(cells_max),
            blocks: Column::zeroed(blocks_max),
            centroids: Embeddings::new(centroid_blocks, dimensions, Precision::F32),
            search: Search::new(sizes),
            list: List(Vec::with_capacity(Self::listed_max(config))),
        }
    }

    /// Blocks that there may be: each cell has one at most that is not full.
    pub(super) fn blocks_max(config: &BankConfig) -> usize {
        (config.rows_max as usize).div_ceil(LANES) + config.cells_max() - 1
    }

    /// Blocks that a search by cells scans at most.
    pub(super) fn listed_max(config: &BankConfig) -> usize {
        if config.cells_max() == 1 {
            return 0;
        }
        LISTED_MIN.max(Self::blocks_max(config) / 4)
    }

    pub(super) fn prefault(&mut self) {
        self.extent.prefault();
        self.cells.prefault();
        self.blocks.prefault();
        self.centroids.prefault();
        self.search.prefault();
        self.list.0.resize(self.list.0.capacity(), 0);
    }

    /// All memory, under its names.
    pub(super) fn memory(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let own = [
            ("bank extent", self.extent.bytes()),
            ("bank cells", self.cells.bytes()),
            ("bank blocks", self.blocks.bytes()),
        ];
        own.into_iter().chain(self.centroids.memory(NAMES))
    }

    /// As [`Self::memory`], to be filled.
    pub(super) fn memory_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut [u8])> {
        let own = [
            ("bank extent", self.extent.bytes_mut()),
            ("bank cells", self.cells.bytes_mut()),
            ("bank blocks", self.blocks.bytes_mut()),
        ];
        own.into_iter().chain(self.centroids.memory_mut(NAMES))
    }

    /// Cells that rows are grouped in; 0: they are not.
    pub(super) fn count(&self) -> usize {
        self.extent[0].cells as usize
    }

    /// Blocks that have rows: these, from 0 on.
    pub(super) fn used(&self) -> usize {
        self.extent[0].blocks as usize
    }

    /// The cell that an embedding belongs to. Cost: a scan of the centroids, about 3 µs for 1024.
    pub(super) fn nearest(&mut self, embedding: &[f32]) -> u32 {
        if self.count() == 0 {
            return 0;
        }
        let scan = Scan::whole(&self.centroids, self.count().div_ceil(LANES));
        let found = self.search.run(&scan, embedding, 1, u64::from);
        found.first().map_or(0, |centroid| centroid.place)
    }

    /// Gives a cell's next place to a row.
    pub(super) fn take_place(&mut self, cell: u32) -> u32 {
        let Cell { rows, newest } = self.cells[cell as usize];
        let lane = rows % LANES as u32;
        if lane == 0 {
            let block = self.extent[0].blocks;
            self.extent[0].blocks += 1;
            self.blocks[block as usize] = Block {
                cell,
                older: newest,
                newer: 0,
            };
            if let Some(older) = newest.checked_sub(1) {
                self.blocks[older as usize].newer = block + 1;
            }
            self.cells[cell as usize].newest = block + 1;
        }
        let kept = &mut self.cells[cell as usize];
        kept.rows += 1;
        (kept.newest - 1) * LANES as u32 + lane
    }

    /// The last place of the cell that a place is in.
    pub(super) fn last_beside(&self, place: u32) -> u32 {
        let cell = self.blocks[place as usize / LANES].cell;
        let Cell { rows, newest } = self.cells[cell as usize];
        (newest - 1) * LANES as u32 + (rows - 1) % LANES as u32
    }

    /// Takes back the last place of a cell, which is all zero by now. What it returns is to be moved.
    pub(super) fn give_back(&mut self, place: u32) -> Option<Moved> {
        let block = place as usize / LANES;
        let Block { cell, older, .. } = self.blocks[block];
        self.cells[cell as usize].rows -= 1;
        if !(place as usize).is_multiple_of(LANES) {
            return None;
        }
        self.cells[cell as usize].newest = older;
        if let Some(older) = older.checked_sub(1) {
            self.blocks[older as usize].newer = 0;
        }
        self.extent[0].blocks -= 1;
        let last = self.used();
        if last != block {
            self.renumber(last, block);
        }
        self.blocks[last] = Block::default();
        (last != block).then_some(Moved {
            from: last,
            to: block,
        })
    }

    /// Has the links to a block lead to another number.
    fn renumber(&mut self, from: usize, to: usize) {
        let moved = self.blocks[from];
        self.blocks[to] = moved;
        let number = to as u32 + 1;
        if let Some(older) = moved.older.checked_sub(1) {
            self.blocks[older as usize].newer = number;
        }
        match moved.newer.checked_sub(1) {
            Some(newer) => self.blocks[newer as usize].older = number,
            None => self.cells[moved.cell as usize].newest = number,
        }
    }

    /// The blocks of the cells nearest to an embedding, if they have `count` rows and are few enough.
    pub(super) fn list(&mut self, embedding: &[f32], count: usize) -> Option<&[u32]> {
        let cells = self.count();
        let scan = Scan::whole(&self.centroids, cells.div_ceil(LANES));
        let nearest = self
            .search
            .run(&scan, embedding, self.probes.min(cells), u64::from);
        let probed = || nearest.iter().map(|centroid| self.cells[centroid.place as usize]);
        let rows: usize = probed().map(|cell| cell.rows as usize).sum();
        let blocks: usize = probed()
            .map(|cell| cell.rows.div_ceil(LANES as u32) as usize)
            .sum();
        if rows < count || blocks > self.list.0.capacity() {
            return None;
        }
        self.list.0.clear();
        for cell in probed() {
            let mut next = cell.newest;
            while let Some(block) = next.checked_sub(1) {
                self.list.0.push(block);
                next = self.blocks[block as usize].older;
            }
        }
        Some(&self.list.0)
    }

    /// Forgets where rows stand, and finds centroids for them anew. Returns how many cells there are; 0: too few rows.
    ///
    /// Spherical k-means over a fixed sample, beginning with cases of it; sums in a fixed order.
    pub(super) fn lay_out(&mut self, embeddings: &Embeddings, places: &[u32]) -> usize {
        self.extent[0] = Extent::default();
        self.cells.fill(Cell::default());
        self.blocks.fill(Block::default());
        self.centroids = self.centroids.another();
        let sample = every_nth(places, self.cells_max * SAMPLES_PER_CELL);
        let wanted = self.cells_max.min(sample.len() / SAMPLES_PER_CELL_MIN);
        if self.cells_max == 1 || wanted < 2 {
            return 0;
        }
        let mut embedding = vec![0.0; embeddings.dimensions()];
        for (cell, &place) in every_nth(&sample, wanted).iter().enumerate() {
            embeddings.read(place as usize, &mut embedding);
            self.centroids.put(cell, &embedding);
            self.extent[0].cells = cell as u32 + 1;
        }
        for _ in 0..ROUNDS {
            let means = self.means(embeddings, &sample);
            self.centroids = self.centroids.another();
            self.extent[0].cells = 0;
            if means.len() < 2 {
                return 0; // One cell is no choice.
            }
            self.extent[0].cells = means.len() as u32;
            for (cell, mean) in means.iter().enumerate() {
                self.centroids.put(cell, mean);
            }
        }
        self.count()
    }

    /// The mean direction of each cell's members, without cells that have too few.
    fn means(&mut self, embeddings: &Embeddings, sample: &[u32]) -> Vec<Vec<f32>> {
        let dimensions = embeddings.dimensions();
        let mut sums = vec![vec![0.0_f64; dimensions]; self.count()];
        let mut members = vec![0_u32; self.count()];
        let mut embedding = vec![0.0; dimensions];
        for &place in sample {
            embeddings.read(place as usize, &mut embedding);
            let cell = self.nearest(&embedding) as usize;
            members[cell] += 1;
            for (sum, &value) in sums[cell].iter_mut().zip(&embedding) {
                *sum += f64::from(value);
            }
        }
        let means = sums.iter().zip(members).filter_map(|(sum, members)| {
            let length = amount::length(sum);
            let is_mean = members >= MEMBERS_MIN && length >= MEAN_LENGTH_MIN * f64::from(members);
            is_mean.then(|| sum.iter().map(|value| (value / length) as f32).collect())
        });
        means.collect()
    }
}

/// About `count` of some places, evenly apart.
fn every_nth(places: &[u32], count: usize) -> Vec<u32> {
    let count = count.min(places.len());
    (0..count)
        .map(|index| places[index * places.len() / count])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The places of each cell by its chain of blocks, newest block first.
    fn places(cells: &Cells, cell: usize) -> Vec<u32> {
        let mut places = Vec::new();
        let Cell { rows, newest } = cells.cells[cell];
        let (mut next, mut newer) = (newest, 0);
        while let Some(block) = next.checked_sub(1) {
            let Block {
                cell: of,
                older,
                newer: back,
            } = cells.blocks[block as usize];
            assert_eq!((of as usize, back), (cell, newer));
            let filled = match (newer, rows % LANES as u32) {
                (0, rest) if rest > 0 => rest,
                _ => LANES as u32,
            };
            places.extend((0..filled).map(|lane| block * LANES as u32 + lane));
            (next, newer) = (older, block + 1);
        }
        assert_eq!(places.len(), rows as usize);
        places
    }

    proptest! {
        #[test]
        fn prop_blocks_stand_without_gaps_and_each_is_of_one_cell(
            operations in proptest::collection::vec((0_u32..5, any::<bool>()), 1..400),
        ) {
            let config = BankConfig { rows_max: 200, approximate_from_rows: 1, cells: 5, probes: 5, ..BankConfig::default() };
            let mut cells = Cells::new(&config, 4);
            let mut counts = [0_u32; 5];
            for (cell, is_insert) in operations {
                if is_insert && counts.iter().sum::<u32>() < 200 {
                    cells.take_place(cell);
                    counts[cell as usize] += 1;
                } else if counts[cell as usize] > 0 {
                    let place = places(&cells, cell as usize)[0];
                    let last = cells.last_beside(place);
                    let used = cells.used();
                    let moved = cells.give_back(last);
                    prop_assert!(moved.is_none_or(|moved| moved.from == used - 1 && moved.to < used - 1));
                    counts[cell as usize] -= 1;
                }
                let mut all: Vec<u32> = (0..5).flat_map(|cell| places(&cells, cell)).collect();
                all.sort_unstable();
                all.dedup();
                prop_assert_eq!(all.len() as u32, counts.iter().sum::<u32>());
                let blocks: std::collections::BTreeSet<u32> = all.iter().map(|place| place / LANES as u32).collect();
                prop_assert_eq!(blocks.len(), cells.used());
                prop_assert!(blocks.iter().all(|&block| (block as usize) < cells.used()));
            }
        }
    }

    #[test]
    fn sample_is_spread_evenly() {
        let places: Vec<u32> = (0..10).collect();
        assert_eq!(every_nth(&places, 3), [0, 3, 6]);
        assert_eq!(every_nth(&places, 20), places);
        assert!(every_nth(&[], 3).is_empty());
    }
}
