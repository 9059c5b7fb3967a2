//! A [`Store`] in redb 4.
//!
//! ```text
//!   table "manifest": 0 ─▶ manifest      table "pages": page id ─▶ page
//!
//!   write:  one transaction, committed durably ─▶ fsync of the directory
//! ```
//!
//! Invariant: redb syncs its file before a commit returns; the directory that names it is synced here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};

use super::{Batch, PageId, Place, SeePage, Store, StoreError, sync_names};
use crate::disk::Disk;

const MANIFEST: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("manifest");
const PAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("pages");

const FILE_NAME: &str = "pages.redb";

/// Pages and manifest in a redb database. Dropped: closed, its lock is given back.
pub struct RedbStore {
    db: Database,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// The names of file and directory are durable.
    is_founded: bool,
}

impl RedbStore {
    /// Opens the database, or makes an empty one.
    pub fn open(place: &Place) -> Result<Self, StoreError> {
        let dir = &place.dir;
        fs::create_dir_all(dir).map_err(|source| StoreError::of_io(dir, "make the directory", source))?;
        let mut builder = Database::builder();
        builder.set_cache_size((place.cache_mib as usize) << 20);
        let db = builder
            .create(dir.join(FILE_NAME))
            .map_err(redb_error(dir, "open"))?;
        Ok(Self {
            db,
            dir: dir.clone(),
            disk: Arc::clone(&place.disk),
            is_founded: false,
        })
    }

    fn try_manifest(&self) -> Result<Option<Vec<u8>>, redb::Error> {
        let transaction = self.db.begin_read()?;
        let table = match transaction.open_table(MANIFEST) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            table => table?,
        };
        Ok(table.get(0)?.map(|bytes| bytes.value().to_vec()))
    }

    fn try_each_page(&self, see: &mut SeePage<'_>) -> Result<(), redb::Error> {
        let transaction = self.db.begin_read()?;
        let table = match transaction.open_table(PAGES) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            table => table?,
        };
        for entry in table.iter()? {
            let (key, bytes) = entry?;
            if see(PageId::from_key(key.value()), bytes.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn try_write(&self, batch: Batch) -> Result<(), redb::Error> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut pages = transaction.open_table(PAGES)?;
            for (id, bytes) in &batch.changed {
                pages.insert(id.key(), &**bytes)?;
            }
            for id in &batch.removed {
                pages.remove(id.key())?;
            }
            transaction
                .open_table(MANIFEST)?
                .insert(0, batch.manifest.as_slice())?;
        }
        Ok(transaction.commit()?)
    }
}

impl Store for RedbStore {
    fn manifest(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        self.try_manifest()
            .map_err(redb_error(&self.dir, "read the manifest"))
    }

    fn each_page(&mut self, see: &mut SeePage<'_>) -> Result<(), StoreError> {
        self.try_each_page(see)
            .map_err(redb_error(&self.dir, "read a page"))
    }

    fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.try_write(batch)
            .map_err(redb_error(&self.dir, "write a checkpoint"))?;
        sync_names(self.disk.as_ref(), &self.dir, !self.is_founded)?;
        self.is_founded = true;
        Ok(())
    }
}

/// Makes a function that sorts what redb says to `action`.
fn redb_error<E: Into<redb::Error>>(path: &Path, action: &'static str) -> impl FnOnce(E) -> StoreError {
    move |error| match error.into() {
        redb::Error::DatabaseAlreadyOpen => StoreError::Locked {
            path: path.to_owned(),
        },
        redb::Error::Io(source) => StoreError::of_io(path, action, source),
        other => StoreError::Damaged {
            path: path.to_owned(),
            message: format!("could not {action}: {other}"),
        },
    }
}
