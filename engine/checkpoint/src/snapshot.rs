//! The plain copy of a whole state: what is left when the store's files cannot be used.
//!
//! ```text
//!   "PINSNAP1" │ len u32 │ manifest │ page id u64 │ page │ … │ u64::MAX │ BLAKE3 of all before it
//!
//!   snapshot-?.bin.partial ─▶ fsync ─▶ rename over the older of snapshot-a.bin, snapshot-b.bin ─▶ fsync of the directory
//! ```
//!
//! Pages that are all zero are left out. Numbers are little-endian.
//!
//! Invariant: a file under its final name was whole when it got it, and the newer of the two is never written to.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use pinion_runtime::pace::Pace;
use pinion_runtime::state::{PAGE_HASH_ZERO, PAGE_LEN, Region};

use crate::disk::Disk;
use crate::error::{CheckpointError, Reason};
use crate::fill::Fill;
use crate::manifest::Manifest;
use crate::pages::{PageTable, range};
use crate::store::PageId;

const MAGIC: &[u8; 8] = b"PINSNAP1";
const NAMES: [&str; 2] = ["snapshot-a.bin", "snapshot-b.bin"];
const END: u64 = u64::MAX;

/// A manifest's length that is refused before memory is taken for it.
pub(crate) const MANIFEST_LEN_MAX: usize = 16 << 20;

/// Bytes that are read or written at once.
const BUFFER_LEN: usize = 256 << 10;

/// Both places, whether there is a file or not.
pub(crate) fn paths(dir: &Path) -> [PathBuf; 2] {
    NAMES.map(|name| dir.join(name))
}

/// The highest generation of those that can be read, 0 if there is none.
pub(crate) fn newest_generation(dir: &Path) -> u64 {
    let [first, second] = paths(dir).map(|path| generation(&path));
    first.max(second).unwrap_or(0)
}

/// `None`: there is no file, or its manifest cannot be read.
fn generation(path: &Path) -> Option<u64> {
    let snapshot = Snapshot::open(path).ok().flatten()?;
    Some(snapshot.manifest.generation)
}

/// Writes all of `regions` over the older snapshot and returns the file's length.
///
/// Cost: one pass over the pages that are not all zero, and their write to disk.
pub(crate) fn write(
    dir: &Path,
    disk: &dyn Disk,
    manifest: &[u8],
    state: (&[Region<'_>], &PageTable),
    pace: Pace,
) -> Result<u64, CheckpointError> {
    let [first, second] = paths(dir);
    let path = if generation(&first) <= generation(&second) {
        first
    } else {
        second
    };
    let partial = path.with_extension("bin.partial");
    let written = write_partial(&partial, disk, manifest, state, pace);
    let len = written
        .inspect_err(|_| drop(fs::remove_file(&partial)))
        .map_err(CheckpointError::io(&partial, "write the snapshot"))?;
    fs::rename(&partial, &path)
        .and_then(|()| disk.sync_directory(dir))
        .map_err(CheckpointError::io(&path, "put the snapshot in its place"))?;
    Ok(len)
}

fn write_partial(
    path: &Path,
    disk: &dyn Disk,
    manifest: &[u8],
    (regions, table): (&[Region<'_>], &PageTable),
    mut pace: Pace,
) -> io::Result<u64> {
    let mut out = Hashing::new(BufWriter::with_capacity(BUFFER_LEN, File::create(path)?));
    out.write_all(MAGIC)?;
    out.write_all(&(manifest.len() as u32).to_le_bytes())?;
    out.write_all(manifest)?;
    for (id, _) in table.iter().filter(|(_, hash)| *hash != PAGE_HASH_ZERO) {
        let bytes = regions[id.region as usize].bytes;
        out.write_all(&id.key().to_le_bytes())?;
        out.write_all(&bytes[range(id.page, bytes.len())])?;
        pace.step();
    }
    out.write_all(&END.to_le_bytes())?;
    let hash = out.hash();
    let mut inner = out.inner;
    inner.write_all(&hash)?;
    let file = inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    disk.sync_file(&file, path)?;
    Ok(file.metadata()?.len())
}

/// A snapshot whose manifest was read and whose pages are next.
pub(crate) struct Snapshot {
    pub(crate) manifest: Manifest,
    pages: Hashing<BufReader<File>>,
}

impl Snapshot {
    /// `None`: there is no file.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Reason> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| Reason::Unreachable(format!("could not open: {error}")))?,
        };
        let mut pages = Hashing::new(BufReader::with_capacity(BUFFER_LEN, file));
        if &pages.array::<8>()? != MAGIC {
            return Err(damaged("it is no snapshot"));
        }
        let len = u32::from_le_bytes(pages.array()?) as usize;
        if len > MANIFEST_LEN_MAX {
            return Err(damaged("its manifest is too long"));
        }
        let mut manifest = vec![0; len];
        pages.fill(&mut manifest)?;
        let manifest = Manifest::decode(&manifest)?;
        Ok(Some(Self { manifest, pages }))
    }

    /// The manifest, and what follows it.
    pub(crate) fn into_parts(self) -> (Manifest, Pages) {
        (self.manifest, self.pages)
    }
}

/// The pages of a snapshot, to be read.
pub(crate) type Pages = Hashing<BufReader<File>>;

fn damaged(what: &str) -> Reason {
    Reason::Damaged(what.to_owned())
}

/// Hashes what passes through it.
pub(crate) struct Hashing<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            hasher: blake3::Hasher::new(),
        }
    }

    /// Of everything so far.
    fn hash(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}

impl Pages {
    /// Gives all pages to `fill`, and checks the file's hash and that nothing follows it.
    pub(crate) fn read_into(mut self, fill: &mut Fill<'_>) -> Result<(), Reason> {
        let mut page = [0; PAGE_LEN];
        loop {
            let key = u64::from_le_bytes(self.array()?);
            if key == END {
                break;
            }
            let id = PageId::from_key(key);
            let len = fill.page_len(id)?;
            self.fill(&mut page[..len])?;
            fill.page(id, &page[..len])?;
        }
        let expected = self.hash();
        if self.array::<32>()? != expected {
            return Err(damaged("the file's hash does not agree"));
        }
        let mut rest = [0];
        match self.inner.read(&mut rest) {
            Ok(0) => Ok(()),
            _ => Err(damaged("bytes follow its end")),
        }
    }
}

impl<T: Write> Hashing<T> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl<T: Read> Hashing<T> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Reason> {
        self.inner
            .read_exact(bytes)
            .map_err(|error| Reason::Damaged(format!("could not read: {error}")))?;
        self.hasher.update(bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}
