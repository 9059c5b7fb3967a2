//! What makes bytes durable: a border that a test can stand in for.
//!
//! Invariant: nothing else in this crate syncs but the store libraries themselves.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// What a disk that is not full takes. Unit: bytes.
const ROOM_LEN: usize = 1 << 20;

/// The file that [`Disk::has_room`] writes and removes.
const ROOM_NAME: &str = "room.tmp";

/// Makes files and directories durable.
pub trait Disk: Send + Sync {
    /// Returns when the bytes of `file`, which lies at `path`, are durable.
    ///
    /// Error: they may not be, and no later call can tell: what `file` holds is lost.
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()>;

    /// Returns when the names in the directory at `path` are durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Whether the directory at `path` takes `ROOM_LEN` more bytes. Asked only after something failed.
    fn has_room(&self, path: &Path) -> bool {
        let probe = path.join(ROOM_NAME);
        let fill = |mut file: File| {
            file.write_all(&vec![0x55; ROOM_LEN])?;
            file.sync_all()
        };
        let filled = File::create(&probe).and_then(fill);
        let removed = fs::remove_file(&probe);
        filled.and(removed).is_ok()
    }
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
