//! Keeps the pages and the manifest of the last checkpoint: the trait, and [`open`] for the library in force.
//!
//! ```text
//!   page id ─▶ bytes of a page that is not all zero
//!   manifest ─▶ bytes
//! ```
//!
//! Libraries panic on bytes that they do not expect; whoever calls one goes through [`contain`].
//!
//! Invariant: what can be read is what one single [`Store::write`] left behind: all of it, however the process or
//! the power went away.

mod redb_store;
mod sled_store;

use std::any::Any;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::config::Backend;
use crate::disk::Disk;

pub use redb_store::RedbStore;
pub use sled_store::SledStore;

/// Which page of a state: the region by its place among all, and the page in it. Both count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId {
    /// The region.
    pub region: u32,
    /// The page.
    pub page: u32,
}

impl PageId {
    /// As one number, in the order of the pages.
    pub fn key(self) -> u64 {
        u64::from(self.region) << 32 | u64::from(self.page)
    }

    /// From [`PageId::key`].
    pub fn from_key(key: u64) -> Self {
        Self {
            region: (key >> 32) as u32,
            page: key as u32,
        }
    }
}

/// What one checkpoint changes. All of it is written, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Pages that changed, with their new bytes.
    pub changed: Vec<(PageId, Box<[u8]>)>,
    /// Pages that are to be there no more.
    pub removed: Vec<PageId>,
    /// The manifest that takes the place of the last one.
    pub manifest: Vec<u8>,
}

/// Is shown each page in turn, and says whether to go on.
pub type SeePage<'a> = dyn FnMut(PageId, &[u8]) -> ControlFlow<()> + 'a;

/// Keeps the last checkpoint. Any call may panic; see [`contain`].
pub trait Store: Send {
    /// The manifest of the last write; `None` before the first.
    fn manifest(&mut self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows every page that is stored, in order, until told to stop.
    fn each_page(&mut self, see: &mut SeePage<'_>) -> Result<(), StoreError>;

    /// Writes all of `batch`, and returns when it is durable.
    ///
    /// Error: it is there as a whole or not at all, nobody knows which; the store must be opened again.
    fn write(&mut self, batch: Batch) -> Result<(), StoreError>;
}

/// A store could not do what it was asked for.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has it open, or this one.
    #[error("{}: in use by another process, expected to be its only one", path.display())]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },
    /// The library met bytes that it did not write, or panicked.
    #[error("{}: damaged: {message}", path.display())]
    Damaged {
        /// The store's directory.
        path: PathBuf,
        /// What the library says.
        message: String,
    },
    /// The operating system refused, for a reason that lies outside of the store's files.
    #[error("{}: could not {action}: {source}", path.display())]
    Io {
        /// The store's directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// Written bytes could not be made durable; what the files hold is not known any more.
    #[error("{}: could not sync: {source}", path.display())]
    Sync {
        /// File or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the store's files are of no more use.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Sync { .. })
    }

    /// Whether there was no room for what had to be written.
    pub fn is_lack_of_space(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            Self::Io { source, .. } | Self::Sync { source, .. } => {
                matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
            }
            Self::Locked { .. } | Self::Damaged { .. } => false,
        }
    }

    /// What a library says of its own bytes when there was no room for them is no damage.
    pub(crate) fn for_lack_of_space(self) -> Self {
        match self {
            Self::Damaged { path, message } => Self::Io {
                path,
                action: "write for lack of space",
                source: io::Error::new(io::ErrorKind::StorageFull, message),
            },
            other => other,
        }
    }

    /// Sorts the operating system's answer to `action`: what has nothing to do with the files' bytes is [`Self::Io`].
    fn of_io(path: &Path, action: &'static str, source: io::Error) -> Self {
        use io::ErrorKind::{
            FileTooLarge, Interrupted, OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
            StorageFull,
        };
        let path = path.to_owned();
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge | PermissionDenied | ReadOnlyFilesystem
            | OutOfMemory | Interrupted => Self::Io { path, action, source },
            _ => Self::Damaged {
                path,
                message: format!("could not {action}: {source}"),
            },
        }
    }
}

/// What a store is opened with.
#[derive(Clone)]
pub struct Place {
    /// The library.
    pub backend: Backend,
    /// The store's own directory; made if it is not there.
    pub dir: PathBuf,
    /// Memory that the library may hold pages in. Unit: MiB.
    pub cache_mib: u32,
    /// Makes bytes durable where the library does not.
    pub disk: Arc<dyn Disk>,
}

/// How long a store that another process holds is waited for, and how often it is tried. A process that was killed
/// keeps its locks until the system has taken it apart.
pub(crate) const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);
const LOCK_TRY_EVERY: Duration = Duration::from_millis(20);

/// Opens the store at `place`; makes an empty one if there is none. A panic of the library is
/// [`StoreError::Damaged`].
///
/// Cost: what the library takes to read its own index; up to two seconds if another process holds it.
pub fn open(place: &Place) -> Result<Box<dyn Store>, StoreError> {
    let begun = Instant::now();
    loop {
        match contain(&place.dir, || open_once(place)) {
            Err(StoreError::Locked { .. }) if begun.elapsed() < LOCK_WAIT_MAX => {
                thread::sleep(LOCK_TRY_EVERY);
            }
            outcome => return outcome,
        }
    }
}

fn open_once(place: &Place) -> Result<Box<dyn Store>, StoreError> {
    Ok(match place.backend {
        Backend::Sled => Box::new(SledStore::open(place)?),
        Backend::Redb => Box::new(RedbStore::open(place)?),
    })
}

/// Calls into a store at `path`; a panic is [`StoreError::Damaged`]. After that the store may only be dropped, by
/// [`abandon`].
pub fn contain<T>(path: &Path, call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        Err(StoreError::Damaged {
            path: path.to_owned(),
            message: format!("panicked: {}", panic_message(panic.as_ref())),
        })
    })
}

/// Drops a store that may panic once more while it goes.
pub fn abandon(store: Box<dyn Store>) {
    // What it says then was said before, by the call that failed.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(store)));
}

/// Makes the names in the store's directory durable, and at `first` the directory's own. That a directory was
/// deleted under an open store is noticed here.
fn sync_names(disk: &dyn Disk, dir: &Path, first: bool) -> Result<(), StoreError> {
    let parent = dir.parent().filter(|_| first);
    for dir in [Some(dir), parent].into_iter().flatten() {
        disk.sync_directory(dir).map_err(sync_error(dir))?;
    }
    Ok(())
}

/// Makes a function that wraps a failed sync of `path`, for `map_err`.
fn sync_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Sync {
        path: path.to_owned(),
        source,
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
