//! Writes checkpoints: the pages that changed since the last one, and the manifest.
//!
//! ```text
//!   open:     open the store ─▶ hash every page that is in it ─▶ PageTable
//!   prepare:  hash every page of the state ─ differs from the table? ─▶ a copy in Batch      the state stands still
//!   commit:   Batch ─▶ Store::write ─▶ PageTable                                             it goes on
//! ```
//!
//! Each step can be done on another thread; [`Writer::write`] does all three. The library's threads are started by
//! `open`, and are of the class of the thread that calls it.
//!
//! The table comes from the store itself, so what an earlier engine left there, of whatever identity, is what the
//! next checkpoint is compared with: pages that are wrong, too many or rotten are written over or removed by the
//! first one.
//!
//! Invariant: the table is what the store holds. After any error the store is closed and the table forgotten.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinion_runtime::pace::Pace;
use pinion_runtime::state::{PAGE_HASH_ZERO, PAGE_LEN, PageHash, Region, State, page_hash};

use crate::config::CheckpointConfig;
use crate::disk::{Disk, RealDisk};
use crate::error::CheckpointError;
use crate::manifest::{FORMAT, Identity, Manifest, Mark, RegionShape, shapes};
use crate::pages::{PageTable, range};
use crate::quarantine;
use crate::snapshot;
use crate::store::{self, Batch, PageId, Place, Store, StoreError};

/// What one checkpoint came to.
#[derive(Debug)]
pub struct Written {
    /// As it stands in the store.
    pub manifest: Manifest,
    /// Pages that were written.
    pub pages: u64,
    /// Pages that were removed: all zero now.
    pub removed: u64,
    /// Bytes of the pages that were written.
    pub bytes: u64,
    /// To hash the state, compare and copy.
    pub hash_took: Duration,
    /// To make the checkpoint durable; of [`Writer::write`] to open the store, too.
    pub write_took: Duration,
    /// The plain snapshot, when it was due: its length in bytes. An error does not touch the checkpoint.
    pub snapshot: Option<Result<u64, CheckpointError>>,
}

/// Names and lengths of the regions of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shapes(Vec<RegionShape>);

impl Shapes {
    /// Those of `state`.
    pub fn of(state: &dyn State) -> Self {
        Self(shapes(state.regions()))
    }
}

/// A checkpoint on its way: what it changes, copied.
pub struct Prepared {
    manifest: Manifest,
    batch: Batch,
    table: PageTable,
    hash_took: Duration,
    snapshot: Option<Result<u64, CheckpointError>>,
}

/// Writes the checkpoints of one state. One per directory.
pub struct Writer {
    config: CheckpointConfig,
    identity: Identity,
    disk: Arc<dyn Disk>,
    is_gentle: bool,
    open: Option<Open>,
    /// The last write failed because the disk was full: what the store holds may be half of something.
    lacked_space: bool,
}

impl Writer {
    /// Touches nothing: the store is opened by the first write.
    pub fn new(config: &CheckpointConfig, identity: &Identity) -> Self {
        Self::with_disk(config, identity, Arc::new(RealDisk))
    }

    /// With a disk that a test looks into.
    pub fn with_disk(config: &CheckpointConfig, identity: &Identity, disk: Arc<dyn Disk>) -> Self {
        Self {
            config: config.clone(),
            identity: identity.clone(),
            disk,
            is_gentle: false,
            open: None,
            lacked_space: false,
        }
    }

    /// Whether agents run on the same core: then pages are hashed and copied in short slices, which takes a few times
    /// as long.
    pub fn set_gentle(&mut self, is_gentle: bool) {
        self.is_gentle = is_gentle;
    }

    fn pace(&self) -> Pace {
        if self.is_gentle { Pace::GENTLE } else { Pace::NONE }
    }

    /// Makes a checkpoint of `state`, durable when this returns: [`Self::open`], [`Self::prepare`], [`Self::commit`].
    ///
    /// `mark.position` must be durable in the journal, and the decisions up to `mark.answered_sequence` must be recorded.
    ///
    /// Error: the last checkpoint or this one stands; the next write opens the store again.
    pub fn write(&mut self, state: &dyn State, mark: Mark) -> Result<Written, CheckpointError> {
        let begun = Instant::now();
        self.open(&Shapes::of(state))?;
        let open_took = begun.elapsed();
        let prepared = self.prepare(state, mark).expect("it is open for this state");
        let mut written = self.commit(prepared)?;
        written.write_took += open_took;
        Ok(written)
    }

    /// Opens the store for states of these shapes, if it is not open for them.
    ///
    /// Cost: reads and hashes every page of the store.
    ///
    /// Error: there is no store that can be written; the next call tries again.
    pub fn open(&mut self, shapes: &Shapes) -> Result<(), CheckpointError> {
        let open = self.take_open(&shapes.0)?;
        self.open = Some(open);
        Ok(())
    }

    /// Copies what changed in `state` since the last checkpoint. `None`: the store is not open for it.
    ///
    /// Cost: every page of the state is read and hashed; the changed ones are held in memory once more. When a plain
    ///       snapshot is due, the whole state is written to a file and synced.
    pub fn prepare(&mut self, state: &dyn State, mark: Mark) -> Option<Prepared> {
        let regions = state.regions();
        let shapes = shapes(regions.iter().copied());
        let open = self.open.as_ref().filter(|open| open.table.fits(&shapes))?;
        let begun = Instant::now();
        let scan = Scan::new(&regions, &shapes, open, self.pace());
        let manifest = self.manifest(shapes, &scan, mark, open.generation + 1);
        let batch = scan.batch(&regions, &manifest, self.pace());
        let hash_took = begun.elapsed();
        let snapshot = self.snapshot(&manifest, &batch.manifest, &regions, &scan.table);
        Some(Prepared {
            manifest,
            batch,
            table: scan.table,
            hash_took,
            snapshot,
        })
    }

    /// Makes what was prepared last the checkpoint, durable when this returns.
    ///
    /// Error: the last checkpoint or this one stands; the store must be opened again.
    pub fn commit(&mut self, prepared: Prepared) -> Result<Written, CheckpointError> {
        let Prepared {
            manifest,
            batch,
            table,
            hash_took,
            snapshot,
        } = prepared;
        let mut open = self
            .open
            .take()
            .expect("what is prepared was prepared for a store");
        let (pages, removed) = (batch.changed.len() as u64, batch.removed.len() as u64);
        let bytes = batch.changed.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let begun = Instant::now();
        if let Err(error) = open.write(&self.config.store_dir(), batch) {
            return Err(self.give_up(open, error).into());
        }
        self.lacked_space = false;
        open.generation = manifest.generation;
        open.table = table;
        open.strays.clear();
        self.open = Some(open);
        Ok(Written {
            manifest,
            pages,
            removed,
            bytes,
            hash_took,
            write_took: begun.elapsed(),
            snapshot,
        })
    }

    /// The open store with a table that fits; opens it if there is none.
    fn take_open(&mut self, shapes: &[RegionShape]) -> Result<Open, StoreError> {
        if let Some(open) = self.open.take_if(|open| open.table.fits(shapes)) {
            return Ok(open);
        }
        if let Some(open) = self.open.take() {
            store::abandon(open.store);
        }
        let dir = &self.config.dir;
        fs::create_dir_all(dir).map_err(|source| StoreError::Io {
            path: dir.clone(),
            action: "make the directory",
            source,
        })?;
        match self.open_once(shapes) {
            Err(error) if error.is_lasting() => {
                self.lacked_space |= !self.disk.has_room(dir);
                self.start_over(&error);
                self.open_once(shapes)
            }
            outcome => outcome,
        }
        .map_err(|error| self.judged(error))
    }

    /// The error as it is reported: nothing that a full disk leads to is damage.
    fn judged(&mut self, error: StoreError) -> StoreError {
        self.lacked_space |= error.is_lack_of_space();
        if self.lacked_space {
            error.for_lack_of_space()
        } else {
            error
        }
    }

    fn open_once(&self, shapes: &[RegionShape]) -> Result<Open, StoreError> {
        let place = Place {
            backend: self.config.backend,
            dir: self.config.store_dir(),
            cache_mib: self.config.cache_mib,
            disk: Arc::clone(&self.disk),
        };
        let mut store = store::open(&place)?;
        match store::contain(&place.dir, || read_back(store.as_mut(), shapes, self.pace())) {
            Ok((table, strays, generation)) => Ok(Open {
                store,
                table,
                strays,
                generation: generation.max(snapshot::newest_generation(&self.config.dir)),
            }),
            Err(error) => {
                store::abandon(store);
                Err(error)
            }
        }
    }

    /// Closes a store that failed, and moves it aside if it is of no more use. One that only lacked space stays for
    /// the next write to look at.
    fn give_up(&mut self, open: Open, error: StoreError) -> StoreError {
        store::abandon(open.store);
        if error.is_lasting() {
            self.lacked_space |= !self.disk.has_room(&self.config.dir);
        }
        let error = self.judged(error);
        if error.is_lasting() {
            self.start_over(&error);
        }
        error
    }

    /// Makes place for an empty store. What lacked space goes: kept, it would keep the disk full.
    fn start_over(&self, error: &StoreError) {
        let path = self.config.store_dir();
        if self.lacked_space {
            match quarantine::remove(&path) {
                Ok(()) => tracing::warn!(%error, "checkpoint: the disk was full; the store is begun anew"),
                Err(refused) => tracing::error!(%error, %refused, "checkpoint: store could not be removed"),
            }
            return;
        }
        match quarantine::set_aside(&path) {
            Ok(kept) => tracing::warn!(%error, kept = %kept.display(), "checkpoint: store moved aside"),
            Err(_) if !path.exists() => tracing::warn!(%error, "checkpoint: store is gone, begun anew"),
            Err(refused) => tracing::error!(%error, %refused, "checkpoint: store could not be moved aside"),
        }
    }

    fn manifest(&self, regions: Vec<RegionShape>, scan: &Scan, mark: Mark, generation: u64) -> Manifest {
        Manifest {
            format: FORMAT,
            identity: self.identity.clone(),
            mark,
            generation,
            pages: scan.table.stored(),
            state_hash: scan.table.digest(&regions, self.pace()),
            regions,
        }
    }

    /// Writes the plain snapshot when it is due: at every Nth generation, and when there is none yet.
    fn snapshot(
        &self,
        manifest: &Manifest,
        bytes: &[u8],
        regions: &[Region<'_>],
        table: &PageTable,
    ) -> Option<Result<u64, CheckpointError>> {
        let every = u64::from(self.config.snapshot_every);
        let dir = &self.config.dir;
        let is_due = every != 0
            && (manifest.generation.is_multiple_of(every) || snapshot::newest_generation(dir) == 0);
        is_due.then(|| snapshot::write(dir, self.disk.as_ref(), bytes, (regions, table), self.pace()))
    }
}

/// A store that is open, and what it holds.
struct Open {
    store: Box<dyn Store>,
    table: PageTable,
    /// Pages in the store that the state does not have.
    strays: Vec<PageId>,
    /// Of the last checkpoint.
    generation: u64,
}

impl Open {
    fn write(&mut self, dir: &Path, batch: Batch) -> Result<(), StoreError> {
        store::contain(dir, || self.store.write(batch))
    }
}

/// Hashes what the store holds: the table, pages that the state does not have, and the generation.
fn read_back(
    store: &mut dyn Store,
    shapes: &[RegionShape],
    mut pace: Pace,
) -> Result<(PageTable, Vec<PageId>, u64), StoreError> {
    let mut table = PageTable::new(shapes);
    let mut strays = Vec::new();
    store.each_page(&mut |id, bytes| {
        match table.get_mut(id) {
            Some(hash) => *hash = stored_hash(bytes),
            None => strays.push(id),
        }
        pace.step();
        ControlFlow::Continue(())
    })?;
    let manifest = store.manifest()?;
    let generation = manifest
        .and_then(|bytes| Manifest::decode(&bytes).ok())
        .map_or(0, |manifest| manifest.generation);
    Ok((table, strays, generation))
}

/// Of a page that is in the store: one that is all zero should not be there, so it gets a hash that no page has.
fn stored_hash(bytes: &[u8]) -> PageHash {
    let hash = page_hash(bytes);
    if hash == PAGE_HASH_ZERO { [0xFF; 16] } else { hash }
}

/// The state as it is now, compared with what the store holds.
struct Scan {
    table: PageTable,
    changed: Vec<PageId>,
    removed: Vec<PageId>,
}

impl Scan {
    fn new(regions: &[Region<'_>], shapes: &[RegionShape], open: &Open, mut pace: Pace) -> Self {
        let mut scan = Self {
            table: PageTable::new(shapes),
            changed: Vec::new(),
            removed: open.strays.clone(),
        };
        for (region, number) in regions.iter().zip(0..) {
            for (page, bytes) in (0..).zip(region.bytes.chunks(PAGE_LEN)) {
                let id = PageId { region: number, page };
                scan.see(id, bytes, open);
                pace.step();
            }
        }
        scan
    }

    fn see(&mut self, id: PageId, bytes: &[u8], open: &Open) {
        let hash = page_hash(bytes);
        if hash != open.table.get(id) {
            let list = if hash == PAGE_HASH_ZERO {
                &mut self.removed
            } else {
                &mut self.changed
            };
            list.push(id);
        }
        *self.table.get_mut(id).expect("made for these regions") = hash;
    }

    /// A copy of what changed.
    fn batch(&self, regions: &[Region<'_>], manifest: &Manifest, mut pace: Pace) -> Batch {
        let mut copy = |id: PageId| {
            pace.step();
            let bytes = regions[id.region as usize].bytes;
            (id, Box::from(&bytes[range(id.page, bytes.len())]))
        };
        Batch {
            changed: self.changed.iter().map(|&id| copy(id)).collect(),
            removed: self.removed.clone(),
            manifest: manifest.encode(),
        }
    }
}
