//! ONNX Runtime's shared library, taken out of the wheel that its makers publish.
//!
//! Start at [`library`]. Invariant: the library has the pinned SHA-256, before and after it is put in place.

use std::fs;
use std::path::Path;

use super::{offline_hint, python};
use crate::workspace::{Result, Workspace, failure, run, say, sha256_hex};

/// The pinned release.
const VERSION: &str = "1.28.0";
/// Where the library lies in the wheel.
const MEMBER: &str = "onnxruntime/capi/libonnxruntime.so.1.28.0";
/// Where it is put.
const LIBRARY: &str = ".tools/onnxruntime/libonnxruntime.so.1.28.0";
/// The wheel and its hash, in pip's words.
const REQUIREMENTS: &str = "xtask/requirements-onnxruntime.txt";
/// The library's SHA-256 by architecture.
const SHA256: [(&str, &str); 2] = [
    (
        "x86_64",
        "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083",
    ),
    (
        "aarch64",
        "23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d",
    ),
];

/// Fetches the library unless it is there with the right hash.
pub(super) fn library(workspace: &Workspace) -> Result {
    let architecture = std::env::consts::ARCH;
    let expected = pinned(architecture)?;
    let library = workspace.path(LIBRARY);
    if fs::read(&library).is_ok_and(|bytes| sha256_hex(&bytes) == expected) {
        say(format_args!("setup: ONNX Runtime {VERSION}: present"));
        return Ok(());
    }
    say(format_args!(
        "setup: ONNX Runtime {VERSION}: fetching it to {LIBRARY}"
    ));
    let scratch = workspace.path(".tools/download");
    let _ = fs::remove_dir_all(&scratch);
    let placed = fetch(workspace, architecture, &scratch)
        .and_then(|()| place(&scratch.join("wheel").join(MEMBER), &library, expected));
    let _ = fs::remove_dir_all(&scratch);
    placed
}

fn pinned(architecture: &str) -> Result<&'static str> {
    SHA256
        .iter()
        .find_map(|(name, hash)| (*name == architecture).then_some(*hash))
        .ok_or_else(|| failure!("setup: ONNX Runtime is pinned for x86_64 and aarch64, found {architecture}"))
}

/// Downloads the wheel whatever the version of the local Python is, and unpacks it.
fn fetch(workspace: &Workspace, architecture: &str, scratch: &Path) -> Result {
    let mut pip = python::pip(workspace);
    pip.args([
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "-r",
        REQUIREMENTS,
    ]);
    pip.args([
        "--python-version",
        "3.12",
        "--implementation",
        "cp",
        "--abi",
        "cp312",
    ]);
    for glibc in ["2_28", "2_27"] {
        pip.arg("--platform")
            .arg(format!("manylinux_{glibc}_{architecture}"));
    }
    pip.arg("--dest").arg(scratch);
    run(&mut pip).map_err(|_| offline_hint(&pip, "ONNX Runtime"))?;
    let unpack = "import glob, sys, zipfile; wheel, = glob.glob(sys.argv[1] + '/*.whl'); \
                  zipfile.ZipFile(wheel).extract(sys.argv[2], sys.argv[1] + '/wheel')";
    let mut command = workspace.command(python::venv_interpreter(workspace));
    run(command.args(["-c", unpack]).arg(scratch).arg(MEMBER))
}

/// Moves the unpacked library into its place if it is the right one.
pub(super) fn place(unpacked: &Path, library: &Path, expected: &str) -> Result {
    let bytes = fs::read(unpacked).map_err(|error| failure!("{}: {error}", unpacked.display()))?;
    let found = sha256_hex(&bytes);
    if found != expected {
        return Err(failure!(
            "{}: SHA-256 is {found}, expected {expected}",
            unpacked.display()
        ));
    }
    let folder = library
        .parent()
        .ok_or_else(|| failure!("{}: has no folder", library.display()))?;
    let moved = fs::create_dir_all(folder).and_then(|()| fs::rename(unpacked, library));
    moved.map_err(|error| failure!("{}: {error}", library.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_without_a_pin_are_refused() {
        assert!(pinned("x86_64").is_ok());
        assert!(pinned("aarch64").is_ok());
        let error = pinned("riscv64").unwrap_err();
        assert_eq!(
            error.0,
            "setup: ONNX Runtime is pinned for x86_64 and aarch64, found riscv64"
        );
    }

    #[test]
    fn library_with_another_hash_is_not_put_in_place() {
        let folder = std::env::temp_dir().join(format!("pinion-place-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (unpacked, library) = (folder.join("unpacked"), folder.join("library"));
        fs::write(&unpacked, b"other").unwrap();
        let error = place(&unpacked, &library, "00").unwrap_err();
        assert!(error.0.contains("expected 00"), "{error}");
        assert!(!library.exists());
        place(&unpacked, &library, &sha256_hex(b"other")).unwrap();
        assert_eq!(fs::read(&library).unwrap(), b"other");
        fs::remove_dir_all(&folder).unwrap();
    }
}
