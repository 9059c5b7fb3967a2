//! A [`Store`] in sled 0.34.7.
//!
//! ```text
//!   "m" ─▶ manifest      "p" + page id, big-endian ─▶ page
//!
//!   write:  one batch ─▶ flush ─▶ fdatasync of `db` ─▶ fsync of the directory
//! ```
//!
//! sled's own flush writes to the page cache and asks for write-back; it does not reach the platter. So this module
//! syncs the file that holds the log itself. All other files of sled can be missing or old: it makes them anew.
//!
//! Opening, sled writes a summary of its log to `snap.N.generating` and renames it to `snap.N`. Killed in between, it
//! takes the torn file for its newest summary at the next open and refuses the whole database. So such files are
//! removed before: what they would say stands in the log.
//!
//! Invariant: a batch is in the log before its flush returns, and the log is durable before [`Store::write`] does.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sled::{Batch as SledBatch, Db};

use super::{Batch, PageId, Place, SeePage, Store, StoreError, sync_error, sync_names};
use crate::disk::Disk;

const MANIFEST_KEY: &[u8] = b"m";
const PAGE_PREFIX: u8 = b'p';

/// The file of sled that holds everything.
const LOG_NAME: &str = "db";
/// The file of sled that holds the size of its segments; written once.
const SETTINGS_NAME: &str = "conf";

/// Ends the name of a summary that is being written.
const UNFINISHED_SUFFIX: &str = ".generating";

/// Pages and manifest in a sled database. Dropped: closed, its lock is given back.
pub struct SledStore {
    db: Db,
    /// Open as long as `db`: a failed write-back is told to those who have the file open when it happens.
    log: File,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// The directory and what is written once are durable.
    is_founded: bool,
}

impl SledStore {
    /// Opens the database, or makes an empty one.
    pub fn open(place: &Place) -> Result<Self, StoreError> {
        remove_unfinished(&place.dir)
            .map_err(|source| StoreError::of_io(&place.dir, "remove unfinished files", source))?;
        let config = sled::Config::new()
            .path(&place.dir)
            .flush_every_ms(None)
            .cache_capacity(u64::from(place.cache_mib) << 20);
        let db = config.open().map_err(sled_error(&place.dir, "open"))?;
        let log = File::open(place.dir.join(LOG_NAME))
            .map_err(|source| StoreError::of_io(&place.dir, "open the log", source))?;
        Ok(Self {
            db,
            log,
            dir: place.dir.clone(),
            disk: Arc::clone(&place.disk),
            is_founded: false,
        })
    }

    /// Makes the log durable, and after the first write what must be there to find it.
    fn sync(&mut self) -> Result<(), StoreError> {
        let path = self.dir.join(LOG_NAME);
        self.disk.sync_file(&self.log, &path).map_err(sync_error(&path))?;
        if !self.is_founded {
            let path = self.dir.join(SETTINGS_NAME);
            File::open(&path)
                .and_then(|settings| self.disk.sync_file(&settings, &path))
                .map_err(sync_error(&path))?;
        }
        sync_names(self.disk.as_ref(), &self.dir, !self.is_founded)?;
        self.is_founded = true;
        Ok(())
    }
}

impl Store for SledStore {
    fn manifest(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.db.get(MANIFEST_KEY);
        let found = found.map_err(sled_error(&self.dir, "read the manifest"))?;
        Ok(found.map(|bytes| bytes.to_vec()))
    }

    fn each_page(&mut self, see: &mut SeePage<'_>) -> Result<(), StoreError> {
        for entry in self.db.scan_prefix([PAGE_PREFIX]) {
            let (key, bytes) = entry.map_err(sled_error(&self.dir, "read a page"))?;
            let id = page_of(&key).ok_or_else(|| StoreError::Damaged {
                path: self.dir.clone(),
                message: format!("a key of {} bytes, expected 9", key.len()),
            })?;
            if see(id, &bytes).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        let mut changes = SledBatch::default();
        // One after the other, so that no page is held three times.
        for (id, bytes) in batch.changed {
            changes.insert(&key_of(id), bytes);
        }
        for id in batch.removed {
            changes.remove(&key_of(id));
        }
        changes.insert(MANIFEST_KEY, batch.manifest.as_slice());
        let applied = self.db.apply_batch(changes);
        applied.map_err(sled_error(&self.dir, "write a checkpoint"))?;
        self.db.flush().map_err(sled_error(&self.dir, "flush"))?;
        self.sync()
    }
}

/// Removes the summaries that were being written when the last process ended. A database in use is left alone.
fn remove_unfinished(dir: &Path) -> io::Result<()> {
    let log = match File::open(dir.join(LOG_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        log => log?,
    };
    if log.try_lock().is_err() {
        return Ok(());
    }
    for item in fs::read_dir(dir)? {
        let path = item?.path();
        if path.to_string_lossy().ends_with(UNFINISHED_SUFFIX) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn key_of(id: PageId) -> [u8; 9] {
    let mut key = [PAGE_PREFIX; 9];
    key[1..].copy_from_slice(&id.key().to_be_bytes());
    key
}

fn page_of(key: &[u8]) -> Option<PageId> {
    let number = key.strip_prefix(&[PAGE_PREFIX])?.try_into().ok()?;
    Some(PageId::from_key(u64::from_be_bytes(number)))
}

/// Makes a function that sorts what sled says to `action`.
fn sled_error(path: &Path, action: &'static str) -> impl FnOnce(sled::Error) -> StoreError {
    move |error| match error {
        sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
            StoreError::Locked {
                path: path.to_owned(),
            }
        }
        sled::Error::Io(source) => StoreError::of_io(path, action, source),
        other => StoreError::Damaged {
            path: path.to_owned(),
            message: format!("could not {action}: {other}"),
        },
    }
}
