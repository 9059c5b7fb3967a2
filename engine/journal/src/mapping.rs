//! A segment's bytes, mapped for reading.
//!
//! Invariant: nothing in this crate shortens a segment file, so a mapping's pages stay backed. Bytes below the
//! writer's position do not change; those above may, and are checked before they are believed.
#![allow(unsafe_code)] // mapping a file is unsafe: another process may change it

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Advice, Mmap};

use crate::error::JournalError;

/// A whole segment file, mapped.
#[derive(Debug)]
pub(crate) struct Mapping {
    map: Mmap,
}

impl Mapping {
    /// Maps the file as long as it is now.
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::open(path).map_err(JournalError::io(path, "open"))?;
        Self::of(&file, path)
    }

    /// Maps the file if it is there: an engine removes the segment that it prepared in vain.
    pub(crate) fn open_if_present(path: &Path) -> Result<Option<Self>, JournalError> {
        match File::open(path) {
            Ok(file) => Self::of(&file, path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(JournalError::io(path, "open")(error)),
        }
    }

    fn of(file: &File, path: &Path) -> Result<Self, JournalError> {
        // SAFETY: the file is a segment: written in place by its one writer, never shortened (see above); an
        // entry is believed only after its checksum was right, and does not change once it was written.
        let map = unsafe { Mmap::map(file) }.map_err(JournalError::io(path, "map"))?;
        // The advice only makes reading ahead bolder: a refusal changes nothing.
        let _ = map.advise(Advice::Sequential);
        Ok(Self { map })
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}
