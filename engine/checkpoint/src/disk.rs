//! What makes bytes durable: a border that a test can stand in for.
//!
//! Invariant: nothing else in this crate syncs but the store libraries themselves.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes files and directories durable.
pub trait Disk: Send + Sync {
    /// Returns when the bytes of `file`, which lies at `path`, are durable.
    ///
    /// Error: they may not be, and no later call can tell: what `file` holds is lost.
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()>;

    /// Returns when the names in the directory at `path` are durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// The machine's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn sync_file(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
