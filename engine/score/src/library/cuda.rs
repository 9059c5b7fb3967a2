//! The GPU build of ONNX Runtime: finds it, checks it, and loads what its CUDA provider needs, none of it by way of the
//! environment.
//!
//! ```text
//!   driver: libcuda.so.1         the machine's
//!   folder: libonnxruntime.so.1.28.0, libonnxruntime_providers_{shared,cuda}.so     by hash
//!   CUDA:   libcudart, libcublasLt, libcublas, libcurand                            beside them, or the machine's
//! ```
//!
//! Invariant: no byte of a library of the folder is executed before its hash was compared; those of CUDA are the machine's
//! own business, or what `cargo xtask setup --gpu` fetched by hash.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{FILE, VERSION, sha256};
use crate::device::Libraries;
use crate::error::ScoreError;

/// Name of the folder in that of the set-up.
const FOLDER: &str = ".tools/onnxruntime-gpu";

/// The provider; the others are loaded by it or before it.
const PROVIDER: &str = "libonnxruntime_providers_cuda.so";

/// Files of the folder and their SHA-256: `onnxruntime-gpu` 1.28.0 for x86-64, of CUDA 13.0.
const PINNED: [(&str, &str); 3] = [
    (
        FILE,
        "018d05f615e96f6e0cfb95d2865f63915681d5d2688dd187f599822b245d27bc",
    ),
    (
        "libonnxruntime_providers_shared.so",
        "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d",
    ),
    (
        PROVIDER,
        "c5b5b5cff02eb02f9bb73e36bae51328dc5027642778bffc5065c9ab49419389",
    ),
];

/// What the provider is linked with, in the order in which they need each other.
const CUDA: [&str; 4] = [
    "libcudart.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcurand.so.10",
];

/// Finds the library, and has CUDA's loaded.
///
/// # Errors
/// [`ScoreError::NoCuda`], [`ScoreError::LibraryArch`]: this program cannot. [`ScoreError::Driver`],
/// [`ScoreError::CudaMissing`], [`ScoreError::LibraryHash`], [`ScoreError::Load`]: this machine cannot.
pub fn find(libraries: &Libraries) -> Result<PathBuf, ScoreError> {
    if !cfg!(feature = "cuda") {
        return Err(ScoreError::NoCuda);
    }
    if !cfg!(target_arch = "x86_64") {
        return Err(ScoreError::LibraryArch {
            arch: std::env::consts::ARCH,
        });
    }
    static READY: OnceLock<PathBuf> = OnceLock::new();
    let folder = folder(&libraries.library)?;
    if READY.get() == Some(&folder) {
        return Ok(folder.join(FILE));
    }
    check(&folder, libraries.provider_sha256.as_deref())?;
    preload(Path::new("libcuda.so.1")).map_err(|reason| ScoreError::Driver { reason })?;
    for name in CUDA {
        let beside = libraries.cuda.as_ref().unwrap_or(&folder).join(name);
        let path = if beside.is_file() {
            beside
        } else {
            PathBuf::from(name)
        };
        preload(&path).map_err(|reason| ScoreError::Load { path, reason })?;
    }
    Ok(READY.get_or_init(|| folder).join(FILE))
}

/// The folder that has the provider: `configured` itself, or for "auto" the first of the set-up's.
fn folder(configured: &str) -> Result<PathBuf, ScoreError> {
    let candidates = if configured == "auto" {
        super::above(FOLDER)
    } else {
        vec![PathBuf::from(configured)]
    };
    let found = candidates.iter().find(|folder| folder.join(PROVIDER).is_file());
    found.cloned().ok_or_else(|| {
        let searched: Vec<String> = candidates
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        ScoreError::CudaMissing {
            name: PROVIDER.to_owned(),
            searched: searched.join(", "),
        }
    })
}

/// Compares the folder's files with their hashes; `provider` stands for the pinned one of the provider.
fn check(folder: &Path, provider: Option<&str>) -> Result<(), ScoreError> {
    for (name, pinned) in PINNED {
        let expected = provider.filter(|_| name == PROVIDER).unwrap_or(pinned);
        let path = folder.join(name);
        let bytes = std::fs::read(&path).map_err(|source| ScoreError::Read {
            path: path.clone(),
            source,
        })?;
        let found = sha256(&bytes);
        if found != expected {
            return Err(ScoreError::LibraryHash {
                path,
                found,
                expected: expected.into(),
                version: VERSION,
            });
        }
    }
    Ok(())
}

/// Loads a library for good, so that whoever needs one of its name gets this one.
fn preload(path: &Path) -> Result<(), String> {
    ort::util::preload_dylib(path).map_err(|error| match error.source() {
        Some(reason) => reason.to_string(),
        None => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_without_the_provider_is_refused_with_the_places_searched() {
        let error = folder("nowhere/gpu").unwrap_err().to_string();
        assert_eq!(
            error,
            "found no libonnxruntime_providers_cuda.so in any of: nowhere/gpu; run `cargo xtask setup --gpu`, or give \
             the folder"
        );
    }

    #[test]
    fn other_files_than_the_pinned_are_refused_by_their_hash() {
        let folder = tempfile::tempdir().unwrap();
        for (name, _) in PINNED {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let error = check(folder.path(), None).unwrap_err().to_string();
        assert!(
            error.contains(FILE) && error.contains("has the SHA-256 hash"),
            "{error}"
        );
    }

    #[test]
    fn library_that_cannot_be_loaded_is_told_with_the_reason() {
        let reason = preload(Path::new("libnowhere.so.1")).unwrap_err();
        assert!(
            reason.contains("libnowhere.so.1: cannot open shared object file"),
            "{reason}"
        );
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn program_without_the_feature_says_so() {
        let error = find(&Libraries::default()).unwrap_err().to_string();
        assert_eq!(
            error,
            "device is cuda, expected cpu: this program was built without the feature \"cuda\""
        );
    }
}
