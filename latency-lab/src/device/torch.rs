//! PyTorch in a process beside this one, told when to run.
//!
//! Invariant: it takes the same vectors, rows and weights, and its similarities are compared with ours once.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use pinion_score::bank::Neighbour;
use pinion_score::device::Device;
use pinion_score::manifest::ModelFolder;
use serde::Deserialize;

use super::cases::Cases;
use super::report::Found;
use super::subject::Subject;

/// What the process says first.
#[derive(Deserialize)]
struct Hello {
    /// Why it cannot.
    missing: Option<String>,
    /// Of PyTorch and the device.
    #[serde(default)]
    name: String,
    /// How far its similarities are from ours at most.
    #[serde(default)]
    similarity_off: f64,
}

/// The process.
pub(crate) struct Torch {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    hello: Hello,
    device: Device,
    _folder: Folder,
}

/// A folder that goes when it is dropped.
struct Folder(std::path::PathBuf);

impl Torch {
    /// Starts the process, and waits until it is ready. `PINION_RIVALS_PYTHON` names the interpreter, else it is `python3`.
    pub(crate) fn start(model: &ModelFolder, cases: &mut Cases, device: Device) -> Result<Self, String> {
        let python = std::env::var("PINION_RIVALS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = pinion_runtime::paths::locate(Path::new("latency-lab/rivals/model.py"), Path::is_file)
            .map_err(|_| "latency-lab/rivals/model.py is not here".to_owned())?;
        let folder = Folder::new()?;
        let file = folder.0.join("cases");
        write(&file, cases).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut child = Command::new(&python)
            .arg(script)
            .arg(&file)
            .arg(model.path(&model.manifest.encoder.file))
            .arg(device.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .env("OMP_NUM_THREADS", "1")
            .spawn()
            .map_err(|error| format!("{python}: {error}"))?;
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).map_err(|error| error.to_string())?;
        let hello: Hello =
            serde_json::from_str(&line).map_err(|_| format!("{python} ended before it was ready"))?;
        if let Some(missing) = hello.missing {
            return Err(format!("{python}: {missing}"));
        }
        Ok(Self {
            child,
            input,
            output,
            hello,
            device,
            _folder: folder,
        })
    }
}

impl Subject for Torch {
    fn run(&mut self, _: &mut Cases, batch: usize, _: usize) -> Option<Duration> {
        writeln!(self.input.as_mut()?, "{batch}").ok()?;
        let mut line = String::new();
        self.output.read_line(&mut line).ok()?;
        line.trim().parse().ok().map(Duration::from_nanos)
    }

    fn found(&mut self, cases: &mut Cases, batch: usize) -> Found {
        let found = Found::new(&self.device.to_string(), "PyTorch", cases, batch);
        Found {
            similarity_off: Some(self.hello.similarity_off),
            ..found
        }
        .saying(self.hello.name.clone())
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        // It ends when nobody tells it anything any more.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

impl Folder {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("pinion-model-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The file that `latency-lab/rivals/model.py` reads.
fn write(path: &Path, cases: &mut Cases) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let (rows, dimensions) = (cases.rows(), cases.bank().dimensions());
    let (vectors, neighbours) = (cases.batch_max(), cases.neighbours().min(rows as usize));
    let features = cases.batch(vectors, 0).len() / vectors;
    for number in [rows as usize, dimensions, features, vectors, neighbours] {
        file.write_all(&(number as u32).to_le_bytes())?;
    }
    let mut embedding = vec![0.0; dimensions];
    for row in 0..rows {
        cases.bank().embedding(row, &mut embedding);
        floats(&mut file, &embedding)?;
    }
    floats(&mut file, cases.batch(vectors, 0))?;
    let mut nearest = vec![Neighbour::default(); neighbours];
    for index in 0..vectors {
        cases.encode(vectors, 0, index, &mut embedding);
        cases.search(&embedding, &mut nearest);
        let similarities: Vec<f32> = nearest.iter().map(|one| one.similarity).collect();
        floats(&mut file, &similarities)?;
    }
    file.flush()
}

fn floats(file: &mut impl Write, values: &[f32]) -> std::io::Result<()> {
    values
        .iter()
        .try_for_each(|value| file.write_all(&value.to_le_bytes()))
}
