//! The hash of every page of a state: what was last written, or what is being read.
//!
//! Invariant: a table has one hash for each page of each region; [`PAGE_HASH_ZERO`] says that the page is all zero,
//! and so is not stored.

use std::ops::Range;

use pinion_runtime::pace::Pace;
use pinion_runtime::state::{Digest, PAGE_HASH_ZERO, PAGE_LEN, PageHash};

use crate::manifest::{RegionShape, begin_region};
use crate::store::PageId;

/// Pages between two looks at the time.
const PAGES_STEP: usize = 256;

/// One hash for each page. Memory: 16 bytes per page, a 256th of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageTable {
    regions: Vec<Vec<PageHash>>,
}

impl PageTable {
    /// Of a state that is all zero.
    pub(crate) fn new(shapes: &[RegionShape]) -> Self {
        let regions = shapes.iter().map(|shape| vec![PAGE_HASH_ZERO; shape.pages()]);
        Self {
            regions: regions.collect(),
        }
    }

    /// Whether it has a place for each page of these and no others.
    pub(crate) fn fits(&self, shapes: &[RegionShape]) -> bool {
        self.regions
            .iter()
            .map(Vec::len)
            .eq(shapes.iter().map(RegionShape::pages))
    }

    /// The place of a page, if the state has one.
    pub(crate) fn get_mut(&mut self, id: PageId) -> Option<&mut PageHash> {
        self.regions
            .get_mut(id.region as usize)?
            .get_mut(id.page as usize)
    }

    /// The hash of a page that the state has.
    pub(crate) fn get(&self, id: PageId) -> PageHash {
        self.regions[id.region as usize][id.page as usize]
    }

    /// Every page and its hash, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PageId, PageHash)> {
        let numbered = self.regions.iter().zip(0..);
        numbered.flat_map(|(pages, region)| {
            let numbered = pages.iter().zip(0..);
            numbered.map(move |(&hash, page)| (PageId { region, page }, hash))
        })
    }

    /// Pages that are not all zero.
    pub(crate) fn stored(&self) -> u64 {
        self.iter().filter(|(_, hash)| *hash != PAGE_HASH_ZERO).count() as u64
    }

    /// The state's [`digest`](pinion_runtime::state::digest).
    pub(crate) fn digest(&self, shapes: &[RegionShape], mut pace: Pace) -> [u8; 32] {
        let mut digest = Digest::new();
        for (shape, pages) in shapes.iter().zip(&self.regions) {
            begin_region(&mut digest, shape);
            for hashes in pages.chunks(PAGES_STEP) {
                hashes.iter().for_each(|hash| digest.page(hash));
                pace.step();
            }
        }
        digest.finish()
    }
}

/// Where page number `page` lies in a region of `len` bytes; empty if it lies behind its end.
pub(crate) fn range(page: u32, len: usize) -> Range<usize> {
    let start = len.min(page as usize * PAGE_LEN);
    start..len.min(start + PAGE_LEN)
}
