//! Finds the ONNX Runtime library, checks that it is the pinned one, and loads it once per process.
//!
//! Invariant: no byte of a library is executed before its hash was compared.

pub mod cuda;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use ort::environment::Environment;
use sha2::{Digest, Sha256};

use crate::error::ScoreError;

/// The pinned version: the last one without telemetry.
pub const VERSION: &str = "1.28.0";

/// File name of the pinned version.
pub const FILE: &str = "libonnxruntime.so.1.28.0";

/// SHA-256 of the pinned library for the machine this was built for.
const PINNED_SHA256: Option<&str> = if cfg!(target_arch = "x86_64") {
    Some("aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083")
} else if cfg!(target_arch = "aarch64") {
    Some("23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d")
} else {
    None
};

/// Finds the library: `configured` itself, or for "auto" the first of the usual places that has it.
///
/// # Errors
/// [`ScoreError::LibraryMissing`] with the places searched, [`ScoreError::LibraryHash`] if what was found
/// is not the pinned library.
pub fn find(configured: &Path) -> Result<PathBuf, ScoreError> {
    let Some(expected) = PINNED_SHA256 else {
        return Err(ScoreError::LibraryArch {
            arch: std::env::consts::ARCH,
        });
    };
    let candidates = if configured == Path::new("auto") {
        usual_places()
    } else {
        vec![configured.to_path_buf()]
    };
    let Some(path) = candidates.iter().find(|path| path.is_file()) else {
        let searched: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
        return Err(ScoreError::LibraryMissing {
            name: FILE.to_owned(),
            searched: searched.join(", "),
        });
    };
    let bytes = std::fs::read(path).map_err(|source| ScoreError::Read {
        path: path.clone(),
        source,
    })?;
    let found = sha256(&bytes);
    if found != expected {
        return Err(ScoreError::LibraryHash {
            path: path.clone(),
            found,
            expected: expected.into(),
            version: VERSION,
        });
    }
    Ok(path.clone())
}

/// The SHA-256 hash of `bytes` in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The one of this process.
static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

/// The process's environment, if a library is loaded.
pub fn loaded() -> Option<&'static Environment> {
    ENVIRONMENT.get()
}

/// The process's one environment of the library at `path`; later calls return the first one's.
///
/// # Errors
/// [`ScoreError::Onnx`] if the library cannot be loaded.
pub fn environment(path: &Path) -> Result<&'static Environment, ScoreError> {
    static LOADING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOADING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let builder = ort::init_from(path).map_err(|error| ScoreError::Onnx {
        action: "loading the library",
        reason: error.to_string(),
    })?;
    let environment = builder
        .with_name("pinion")
        .with_telemetry(false)
        .build()
        .map_err(|error| ScoreError::Onnx {
            action: "starting the library",
            reason: error.to_string(),
        })?;
    Ok(ENVIRONMENT.get_or_init(|| environment))
}

/// Beside the program, in `lib` beside it or above it, and in the set-up's folder of any folder above the
/// program or the working directory.
fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    let program = std::env::current_exe().ok();
    if let Some(folder) = program.as_deref().and_then(Path::parent) {
        places.extend([
            folder.join(FILE),
            folder.join("lib").join(FILE),
            folder.join("../lib").join(FILE),
        ]);
    }
    places.extend(
        above(".tools/onnxruntime")
            .into_iter()
            .map(|folder| folder.join(FILE)),
    );
    places
}

/// A folder of this name in each folder above the program or the working directory.
fn above(name: &str) -> Vec<PathBuf> {
    let (program, working) = (std::env::current_exe().ok(), std::env::current_dir().ok());
    let starts = program.iter().chain(&working);
    starts
        .flat_map(|start| start.ancestors().map(|folder| folder.join(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_library_is_one_clear_sentence() {
        let error = find(Path::new("nowhere/libonnxruntime.so"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("found no libonnxruntime.so.1.28.0 in any of: nowhere/"),
            "{error}"
        );
        assert!(error.contains("cargo xtask setup"), "{error}");
    }

    #[test]
    fn another_library_is_refused_by_its_hash() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        std::fs::write(&path, b"not a library").unwrap();
        let error = find(&path).unwrap_err().to_string();
        assert!(error.contains("has the SHA-256 hash"), "{error}");
    }
}
