//! Files that get their name when they are whole.
//!
//! ```text
//!   .part-0.parquet.unfinished ──written, synced──▶ closed ──renamed──▶ part-0.parquet
//!              └── given up: removed
//! ```
//!
//! Invariant: under the name there is the whole file or what was there before, at any moment.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::ExportError;

/// A file being written.
pub(crate) struct Unfinished {
    out: BufWriter<File>,
    whole: Whole,
}

/// A file that was written and waits for its name.
pub(crate) struct Whole {
    /// `None`: it is written in place, because it is no file (a pipe, say), or has its name.
    written: Option<PathBuf>,
    path: PathBuf,
    /// Its folder was made for it.
    is_folder_made: bool,
}

impl Unfinished {
    /// Begins a file that will be called `path`; its folder is made if it is not there.
    pub(crate) fn begin(path: &Path) -> Result<Self, ExportError> {
        let folder = folder_of(path);
        let is_folder_made = !folder.exists();
        fs::create_dir_all(folder).map_err(ExportError::write(folder))?;
        let is_file = !path.exists() || path.is_file();
        let written = is_file.then(|| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            folder.join(format!(".{name}.unfinished"))
        });
        let target = written.as_deref().unwrap_or(path);
        let file = File::create(target).map_err(ExportError::write(path))?;
        Ok(Self {
            out: BufWriter::new(file),
            whole: Whole {
                written,
                path: path.to_path_buf(),
                is_folder_made,
            },
        })
    }

    /// The name that it will have.
    pub(crate) fn path(&self) -> &Path {
        &self.whole.path
    }

    /// Has everything on the disk and closes the file.
    pub(crate) fn end(mut self) -> Result<Whole, ExportError> {
        let synced = self.out.flush().and_then(|()| match &self.whole.written {
            Some(_) => self.out.get_ref().sync_all(),
            None => Ok(()),
        });
        synced.map_err(ExportError::write(&self.whole.path))?;
        Ok(self.whole)
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Whole {
    /// Gives it its name.
    pub(crate) fn name(mut self) -> Result<(), ExportError> {
        let Some(written) = &self.written else {
            return Ok(());
        };
        fs::rename(written, &self.path).map_err(ExportError::write(&self.path))?;
        self.written = None;
        let folder = File::open(folder_of(&self.path));
        folder
            .and_then(|folder| folder.sync_all())
            .map_err(ExportError::write(&self.path))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(written) = &self.written {
            // Given up. What cannot be removed is a hidden file with a telling name.
            let _ = fs::remove_file(written);
            if self.is_folder_made {
                let _ = fs::remove_dir(folder_of(&self.path));
            }
        }
    }
}

/// The folder of a file; of a bare name the current one.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
