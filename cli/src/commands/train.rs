//! `pinion model train`: runs the trainer of `models/train` in a Python environment of its own.
//!
//! ```text
//!   --python ─venv─▶ .tools/trainer ─pip, by hash─▶ packages ─▶ train.py --features … --out … ─▶ its exit code
//! ```
//!
//! Invariant: the environment is used only if it was completed from the requirements that lie beside the trainer; what
//! can be told to be wrong without it is refused before it is made.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use pinion_runtime::paths;

use crate::args::{ModelTrainArguments, PrecisionName};
use crate::exit::{Ended, Failure};

/// The program, in the trainer's folder.
const PROGRAM: &str = "train.py";

/// What it needs, beside it. A copy in the environment says that all of it was installed.
const REQUIREMENTS: &str = "requirements.txt";

/// The environment, from the trainer's folder: beside what `cargo xtask setup` fetches.
const ENVIRONMENT: &str = "../../.tools/trainer";

/// The oldest Python that the trainer runs on.
const PYTHON_MIN: (u32, u32) = (3, 11);

/// Asks a Python for its version.
const VERSION: &str = "import sys; print(*sys.version_info[:2])";

/// Trains a model.
///
/// # Errors
/// The trainer, the vectors or Python is missing, or the environment cannot be made.
pub fn train(arguments: &ModelTrainArguments) -> Result<Ended, Failure> {
    let trainer = trainer(&arguments.trainer)?;
    check_sources(arguments)?;
    let environment = arguments.environment.clone();
    let environment = environment.unwrap_or_else(|| trainer.join(ENVIRONMENT));
    let environment = std::path::absolute(&environment).map_err(Failure::could_not)?;
    let python = prepared(&environment, &trainer.join(REQUIREMENTS), &arguments.python)?;
    let mut command = Command::new(&python);
    command.arg(trainer.join(PROGRAM)).args(words(arguments));
    let status = run(&mut command, &python)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match code {
        Some(0) => Ok(Ended::Well),
        Some(code) => Ok(Ended::As(code)),
        None => Err(Failure::could_not(format!("the trainer was ended: {status}"))),
    }
}

fn trainer(configured: &Path) -> Result<PathBuf, Failure> {
    let is_trainer = |folder: &Path| folder.join(PROGRAM).is_file();
    let found = paths::locate(configured, is_trainer);
    found.map_err(|searched| {
        let places: Vec<_> = searched.iter().map(|place| place.display().to_string()).collect();
        Failure::could_not(format!(
            "--trainer is {}, expected a folder with {PROGRAM} at one of: {}",
            configured.display(),
            places.join(", ")
        ))
    })
}

fn check_sources(arguments: &ModelTrainArguments) -> Result<(), Failure> {
    let features = &arguments.features;
    if !features.exists() {
        return Err(Failure::could_not(format!(
            "--features is {}, expected a folder or a file that `pinion export features` wrote",
            features.display()
        )));
    }
    if let Some(config) = arguments.config.as_ref().filter(|config| !config.is_file()) {
        let found = config.display();
        return Err(Failure::could_not(format!(
            "--config is {found}, expected a file"
        )));
    }
    Ok(())
}

/// What the trainer is told: flags with their values.
fn words(arguments: &ModelTrainArguments) -> Vec<&OsStr> {
    let precision = arguments.precision.map(PrecisionName::name);
    let flags = [
        ("--features", Some(arguments.features.as_os_str())),
        ("--out", Some(arguments.out.as_os_str())),
        ("--config", arguments.config.as_deref().map(Path::as_os_str)),
        ("--precision", precision.map(OsStr::new)),
        ("--name", arguments.name.as_deref().map(OsStr::new)),
    ];
    let given = flags
        .into_iter()
        .filter_map(|(flag, value)| Some([OsStr::new(flag), value?]));
    given.flatten().collect()
}

/// The Python of the environment, which is made unless it is there with these requirements.
fn prepared(environment: &Path, requirements: &Path, python: &Path) -> Result<PathBuf, Failure> {
    let wanted = std::fs::read(requirements)
        .map_err(|error| Failure::could_not(format!("{}: {error}", requirements.display())))?;
    let (inside, stamp) = (environment.join("bin/python"), environment.join(REQUIREMENTS));
    if inside.is_file() && std::fs::read(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(inside);
    }
    check_version(python)?;
    eprintln!("making a Python environment in {}", environment.display());
    let mut venv = Command::new(python);
    step(venv.args(["-m", "venv", "--clear"]).arg(environment), python)?;
    let mut pip = Command::new(&inside);
    pip.args([
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--require-hashes",
    ]);
    step(pip.arg("--requirement").arg(requirements), &inside)?;
    std::fs::write(&stamp, wanted)
        .map_err(|error| Failure::could_not(format!("{}: {error}", stamp.display())))?;
    Ok(inside)
}

fn check_version(python: &Path) -> Result<(), Failure> {
    let (major, minor) = PYTHON_MIN;
    let expected = format!("expected Python {major}.{minor} or later");
    let refuse =
        |found: String| Failure::could_not(format!("--python is {}, {expected}: {found}", python.display()));
    let output = Command::new(python)
        .args(["-c", VERSION])
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| refuse(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u32> = text.split_whitespace().flat_map(str::parse).collect();
    match *numbers {
        [major, minor] if (major, minor) >= PYTHON_MIN => Ok(()),
        [major, minor] => Err(refuse(format!("it is {major}.{minor}"))),
        _ => Err(refuse("it does not say its version".to_owned())),
    }
}

/// A step of making the environment. What it prints is no result: it goes to stderr.
fn step(command: &mut Command, program: &Path) -> Result<(), Failure> {
    let status = run(command.stdout(std::io::stderr()), program)?;
    if status.success() {
        return Ok(());
    }
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    Err(Failure::could_not(format!(
        "`{} {}` failed with {status}, expected the packages of the trainer to be installed",
        program.display(),
        words.join(" ")
    )))
}

fn run(command: &mut Command, program: &Path) -> Result<ExitStatus, Failure> {
    let status = command.stdin(Stdio::null()).status();
    status.map_err(|error| Failure::could_not(format!("{}: {error}", program.display())))
}
