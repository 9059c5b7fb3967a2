//! ONNX Runtime's GPU build and the libraries of CUDA that it needs, in one folder: for machines with a GPU, when asked.
//!
//! Start at [`libraries`]. Invariant: every library in the folder has the pinned SHA-256; a driver is the machine's own
//! business.

use std::fs;
use std::path::Path;

use super::{offline_hint, onnxruntime, python};
use crate::workspace::{Result, Workspace, failure, run, say, sha256_hex};

/// Where they are put.
const FOLDER: &str = ".tools/onnxruntime-gpu";
/// The wheels and their hashes, in pip's words.
const REQUIREMENTS: &str = "xtask/requirements-gpu.txt";
/// Where each library lies in its wheel, and its SHA-256.
const LIBRARIES: [(&str, &str); 7] = [
    (
        "onnxruntime/capi/libonnxruntime.so.1.28.0",
        "018d05f615e96f6e0cfb95d2865f63915681d5d2688dd187f599822b245d27bc",
    ),
    (
        "onnxruntime/capi/libonnxruntime_providers_shared.so",
        "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d",
    ),
    (
        "onnxruntime/capi/libonnxruntime_providers_cuda.so",
        "c5b5b5cff02eb02f9bb73e36bae51328dc5027642778bffc5065c9ab49419389",
    ),
    (
        "nvidia/cu13/lib/libcudart.so.13",
        "96c42e418cec19054186b9429c321603cc190bf26a18104e19408117a2a817b0",
    ),
    (
        "nvidia/cu13/lib/libcublasLt.so.13",
        "4c15f403ac2a8040a3291d07f6c351b5c1f730b45f2ea41f302e415e9600655b",
    ),
    (
        "nvidia/cu13/lib/libcublas.so.13",
        "1d5f1452af53a0b1cf36bc7d8116d2a22a5f2cffbaa8fca25a1b70360a2e8d7a",
    ),
    (
        "nvidia/cu13/lib/libcurand.so.10",
        "b53732a66b302b11926e00f762e2c2ba67058347ff93cf4ae709de45e93e06da",
    ),
];

/// Fetches the libraries unless all are there with the right hash.
pub(super) fn libraries(workspace: &Workspace) -> Result {
    let architecture = std::env::consts::ARCH;
    if architecture != "x86_64" {
        return Err(failure!(
            "setup: ONNX Runtime's GPU build is pinned for x86_64, found {architecture}"
        ));
    }
    let folder = workspace.path(FOLDER);
    let is_there = |(member, expected): &(&str, &str)| {
        fs::read(folder.join(file_name(member))).is_ok_and(|bytes| sha256_hex(&bytes) == *expected)
    };
    if LIBRARIES.iter().all(is_there) {
        say("setup: ONNX Runtime for CUDA 13: present");
        return Ok(());
    }
    say(format_args!(
        "setup: ONNX Runtime for CUDA 13: fetching 730 MB to {FOLDER}"
    ));
    let scratch = workspace.path(".tools/download-gpu");
    let _ = fs::remove_dir_all(&scratch);
    let placed = fetch(workspace, &scratch).and_then(|()| {
        let mut libraries = LIBRARIES.iter();
        libraries.try_for_each(|(member, expected)| {
            let unpacked = scratch.join("wheels").join(member);
            onnxruntime::place(&unpacked, &folder.join(file_name(member)), expected)
        })
    });
    let _ = fs::remove_dir_all(&scratch);
    placed
}

fn file_name(member: &str) -> &str {
    member.rsplit('/').next().unwrap_or(member)
}

/// Downloads the wheels whatever the version of the local Python is, and unpacks the libraries.
fn fetch(workspace: &Workspace, scratch: &Path) -> Result {
    let mut pip = python::pip(workspace);
    pip.args(["download", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
    pip.args([
        "-r",
        REQUIREMENTS,
        "--python-version",
        "3.12",
        "--implementation",
        "cp",
    ]);
    pip.args(["--abi", "cp312", "--abi", "none"]);
    for platform in ["manylinux_2_28", "manylinux_2_27", "manylinux2014"] {
        pip.arg("--platform").arg(format!("{platform}_x86_64"));
    }
    pip.arg("--dest").arg(scratch);
    run(&mut pip).map_err(|_| offline_hint(&pip, "ONNX Runtime for CUDA 13"))?;
    let unpack = "import glob, sys, zipfile\n\
                  for wheel in glob.glob(sys.argv[1] + '/*.whl'):\n\
                  \x20   archive = zipfile.ZipFile(wheel)\n\
                  \x20   for member in set(sys.argv[2:]) & set(archive.namelist()):\n\
                  \x20       archive.extract(member, sys.argv[1] + '/wheels')";
    let mut command = workspace.command(python::venv_interpreter(workspace));
    command.args(["-c", unpack]).arg(scratch);
    run(command.args(LIBRARIES.map(|(member, _)| member)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_lie_in_the_folder_by_their_own_name() {
        assert_eq!(
            LIBRARIES.map(|(member, _)| file_name(member)),
            [
                "libonnxruntime.so.1.28.0",
                "libonnxruntime_providers_shared.so",
                "libonnxruntime_providers_cuda.so",
                "libcudart.so.13",
                "libcublasLt.so.13",
                "libcublas.so.13",
                "libcurand.so.10",
            ]
        );
    }

    #[test]
    fn every_library_has_a_whole_hash() {
        for (member, hash) in LIBRARIES {
            assert!(
                hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()),
                "{member}"
            );
        }
    }
}
