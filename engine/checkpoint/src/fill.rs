//! Fills a state with a checkpoint's pages, and takes it all back if they are not what the manifest says.
//!
//! ```text
//!   manifest ─▶ Fill::begin ─ page ─ page ─ … ─▶ finish ─ digest agrees? ─▶ yes: filled in
//!                                                                        └▶ no:  as it was
//! ```
//!
//! Invariant: a [`Fill`] that is dropped before [`Fill::finish`] has said yes leaves every byte as it was.

use pinion_runtime::pace::Pace;
use pinion_runtime::state::{PAGE_HASH_ZERO, Region, RegionMut, State, page_hash};

use crate::error::Reason;
use crate::manifest::{Manifest, RegionShape, shapes};
use crate::pages::{PageTable, range};
use crate::store::PageId;

/// A state that is being filled.
pub(crate) struct Fill<'a> {
    manifest: &'a Manifest,
    shapes: Vec<RegionShape>,
    regions: Vec<RegionMut<'a>>,
    /// Of the pages that came.
    table: PageTable,
    /// Pages that were changed and what was in them; empty: zeros.
    before: Vec<(PageId, Vec<u8>)>,
}

impl<'a> Fill<'a> {
    /// Error: the state's regions are not the manifest's.
    pub(crate) fn begin(manifest: &'a Manifest, state: &'a mut dyn State) -> Result<Self, Reason> {
        let regions = state.regions_mut();
        let shapes = shapes(regions.iter().map(|region| Region {
            name: region.name,
            index: region.index,
            bytes: region.bytes,
        }));
        manifest.check_regions(&shapes)?;
        Ok(Self {
            manifest,
            table: PageTable::new(&shapes),
            shapes,
            regions,
            before: Vec::new(),
        })
    }

    /// Bytes of a page of the state. Error: it has no such page.
    pub(crate) fn page_len(&self, id: PageId) -> Result<usize, Reason> {
        let region = self.regions.get(id.region as usize);
        let len = region.map_or(0, |region| range(id.page, region.bytes.len()).len());
        if len == 0 {
            return Err(Reason::Damaged(format!(
                "page {} of region {} is there, expected none",
                id.page, id.region
            )));
        }
        Ok(len)
    }

    /// Takes the bytes of one page. Error: the state has no such page, or it came before, or its length is wrong.
    pub(crate) fn page(&mut self, id: PageId, bytes: &[u8]) -> Result<(), Reason> {
        let len = self.page_len(id)?;
        if bytes.len() != len {
            return Err(Reason::Damaged(format!(
                "page {} of region {} has {} bytes, expected {len}",
                id.page,
                id.region,
                bytes.len()
            )));
        }
        let hash = self.table.get_mut(id).expect("the state has the page");
        if *hash != PAGE_HASH_ZERO {
            return Err(Reason::Damaged(format!(
                "page {} of region {} is there twice",
                id.page, id.region
            )));
        }
        *hash = page_hash(bytes);
        self.overwrite(id, bytes);
        Ok(())
    }

    /// Empties the pages that did not come, and checks the whole.
    ///
    /// Error: the state is not the one that the manifest was written for.
    pub(crate) fn finish(mut self) -> Result<(), Reason> {
        self.empty_the_rest();
        let found = self.table.stored();
        if found != self.manifest.pages {
            return Err(Reason::Damaged(format!(
                "it has {found} pages, expected {}",
                self.manifest.pages
            )));
        }
        if self.table.digest(&self.shapes, Pace::NONE) != self.manifest.state_hash {
            return Err(Reason::Damaged("the state's hash does not agree".to_owned()));
        }
        self.before.clear();
        Ok(())
    }

    fn empty_the_rest(&mut self) {
        let absent = self.table.iter().filter(|(_, hash)| *hash == PAGE_HASH_ZERO);
        let absent: Vec<_> = absent.map(|(id, _)| id).collect();
        for id in absent {
            let page = page_of(&self.regions, id);
            if page_hash(page) != PAGE_HASH_ZERO {
                let zeros = vec![0; page.len()];
                self.overwrite(id, &zeros);
            }
        }
    }

    /// Remembers what is in the page and overwrites it.
    fn overwrite(&mut self, id: PageId, bytes: &[u8]) {
        let old = page_of(&self.regions, id);
        let is_zero = page_hash(old) == PAGE_HASH_ZERO;
        self.before
            .push((id, if is_zero { Vec::new() } else { old.to_vec() }));
        page_of_mut(&mut self.regions, id).copy_from_slice(bytes);
    }
}

impl Drop for Fill<'_> {
    fn drop(&mut self) {
        while let Some((id, old)) = self.before.pop() {
            let page = page_of_mut(&mut self.regions, id);
            if old.is_empty() {
                page.fill(0);
            } else {
                page.copy_from_slice(&old);
            }
        }
    }
}

fn page_of<'r>(regions: &'r [RegionMut<'_>], id: PageId) -> &'r [u8] {
    let bytes = &*regions[id.region as usize].bytes;
    &bytes[range(id.page, bytes.len())]
}

fn page_of_mut<'r>(regions: &'r mut [RegionMut<'_>], id: PageId) -> &'r mut [u8] {
    let bytes = &mut *regions[id.region as usize].bytes;
    let len = bytes.len();
    &mut bytes[range(id.page, len)]
}
