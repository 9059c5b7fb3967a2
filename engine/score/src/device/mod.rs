//! Encoder and search of the whole bank as one graph of ONNX Runtime, on a GPU or on the CPU.
//!
//! ```text
//!   vectors ─copy─▶ [graph: encoder, similarity to every row, the largest] ─copy─▶ proposals ─┐
//!                              ▲ rows, in the device's memory                                 ▼
//!   bank ── rows that changed ─┴─ write in place                 compare: the bank's own similarities ─▶ the nearest
//!                     └ not written yet ────────────────────────────────────────────▶ ▲         or: not proved
//! ```
//!
//! Start at [`DeviceBank`]; `search` is a scorer's use of it; `graph` makes the graph; `session` says how it runs where;
//! [`bench`](mod@bench) measures a device's own limits.
//!
//! The device proposes, the bank disposes. The device's sums have other last bits than the bank's, and may have others on
//! another device; so a run asks for more rows than are wanted, the bank compares those that rounding leaves in doubt, and
//! [`DeviceBank::nearest`] says whether none is missing, by how far rounding can go. If so they are, to the bit and in
//! order, what [`Bank::search`] finds; if not, because too many rows are as near as rounding can tell, the caller searches
//! the bank. So no score depends on the device, its driver or the size of a batch.
//!
//! Rows are written over in place, as many as changed; the bank is never sent as a whole after the start. A row that has
//! changed and is not written yet is compared by the bank, so what is inserted is seen by the next search.
//!
//! Invariant: what [`DeviceBank::nearest`] returns is what the bank's exact search returns for the same embedding.

pub mod bench;
mod graph;
pub(crate) mod search;
mod session;

use std::fmt;
use std::path::Path;

use ort::session::{IoBinding, Session};
use ort::value::Tensor;

use crate::bank::stale::Stale;
use crate::bank::{Bank, Neighbour};
use crate::error::ScoreError;
use crate::library;
use crate::manifest::ModelFolder;
use graph::{ABSENT, FOUND, GROUP, SLICES, Shapes, WRITE, slice_name};
pub use search::Searches;
use session::{Manner, Memory, Place, Way, failed, shared};

/// Rows that are written at once: few, as labels come, and many, as at the start.
const WRITTEN: [usize; 2] = [16, 4096];

/// Runs at the load: some to warm up, one that is captured, one that is played back.
const WARM_UPS: usize = 4;

/// Half the distance of two neighbouring values around 1, of f32.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// A row's length and a query's, multiplied, are at most this; both are about 1.
const LENGTHS_MAX: f64 = 1.1;

/// Where the graph runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU, by ONNX Runtime's kernels.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

/// Where the libraries are.
#[derive(Clone, Debug)]
pub struct Libraries {
    /// As `score.library`: the library's path, or "auto". On CUDA the folder of the GPU build, or "auto".
    pub library: String,
    /// Folder of CUDA's libraries; without it they are beside the GPU build, or where the system's loader finds them.
    pub cuda: Option<std::path::PathBuf>,
    /// SHA-256 of the CUDA provider, if it is not to be the pinned one: of a build for one kind of GPU only.
    pub provider_sha256: Option<String>,
}

impl Default for Libraries {
    fn default() -> Self {
        Self {
            library: "auto".to_owned(),
            cuda: None,
            provider_sha256: None,
        }
    }
}

/// What the memory is for.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Rows of the bank at most.
    pub rows_max: u32,
    /// Vectors that a run takes; fewer cost as much. 1 to 1024.
    pub batch: usize,
    /// Rows that are proposed for each vector: more than neighbours are wanted, for where the device cannot tell rows
    /// apart the bank compares them all. 1 to 4096.
    pub proposals: usize,
    /// Threads of a run on the CPU.
    pub threads: usize,
}

/// The device failed: search the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFailed;

/// The bank's embeddings in a device's memory, and the graph that searches them.
pub struct DeviceBank {
    shapes: Shapes,
    rows_max: u32,
    session: Session,
    binding: IoBinding,
    features: Copied,
    found: Copied,
    writer: Writer,
    stale: Stale,
    candidates: Vec<Neighbour>,
    manner: Manner,
    notes: Vec<String>,
    /// Fails as a device would.
    #[cfg(test)]
    pub(crate) is_broken: bool,
}

/// A tensor on the device, and the same beside it.
struct Copied {
    host: Tensor<f32>,
    device: Tensor<f32>,
}

/// Writes rows over those on the device.
struct Writer {
    session: Session,
    /// For each slice, with the slice bound as what is before and as what is after.
    bindings: Vec<IoBinding>,
    /// For each of [`WRITTEN`]: where, and what.
    batches: Vec<(Tensor<i64>, Tensor<f32>)>,
}

impl DeviceBank {
    /// Loads the library, builds the graph of a model's encoder, takes the memory, and runs it a few times. No row has a
    /// case: [`Self::load`] is next.
    ///
    /// # Errors
    /// [`ScoreError::NoCuda`], [`ScoreError::Driver`], [`ScoreError::LibraryMissing`], [`ScoreError::LibraryHash`]: the
    /// device cannot be used. [`ScoreError::Onnx`]: the library refused.
    pub fn open(
        device: Device,
        libraries: &Libraries,
        model: &ModelFolder,
        sizes: &Sizes,
    ) -> Result<Self, ScoreError> {
        let encoder = &model.manifest.encoder;
        let onnx = model.read(&encoder.file, &encoder.sha256)?;
        let shapes = shapes(model, sizes);
        let place = place(device, libraries, sizes.threads)?;
        let names = [encoder.input.as_str(), encoder.output.as_str()];
        let onnx = graph::search(&onnx, names, &shapes).map_err(|reason| ScoreError::Malformed {
            path: model.path(&encoder.file),
            reason,
        })?;
        let mut notes = Vec::new();
        let mut last = ScoreError::NoCuda;
        for manner in place.manners() {
            match Self::build(&place, manner, &onnx, names[0], &shapes, sizes) {
                Ok(bank) => return Ok(Self { notes, ..bank }),
                Err(error) => {
                    notes.push(error.to_string());
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn build(
        place: &Place,
        manner: Manner,
        onnx: &[u8],
        input: &str,
        shapes: &Shapes,
        sizes: &Sizes,
    ) -> Result<Self, ScoreError> {
        let session = place.session(onnx, manner.way)?;
        let memory = place.memory(&session, manner.is_pinned)?;
        let mut binding = session.create_binding().map_err(failed("making a binding"))?;
        let features = Copied::new(&memory, [shapes.batch, shapes.features])?;
        let found = Copied::new(&memory, [shapes.batch, shapes.line()])?;
        let slices = (0..SLICES).map(|_| memory.on_device([shapes.slice_rows, shapes.width()]));
        let slices = slices.collect::<Result<Vec<Tensor<f32>>, _>>()?;
        let bound = failed("binding a tensor");
        binding.bind_input(input, &features.device).map_err(&bound)?;
        for (slice, tensor) in slices.iter().enumerate() {
            binding.bind_input(slice_name(slice), tensor).map_err(&bound)?;
        }
        binding
            .bind_output(FOUND, shared(&found.device)?)
            .map_err(&bound)?;
        let mut bank = Self {
            shapes: *shapes,
            rows_max: sizes.rows_max,
            binding,
            features,
            found,
            writer: Writer::new(place, &memory, &slices, shapes)?,
            stale: Stale::all((SLICES * shapes.slice_rows) as u32),
            candidates: Vec::with_capacity(shapes.found + SLICES * shapes.slice_rows),
            manner,
            notes: Vec::new(),
            #[cfg(test)]
            is_broken: false,
            session,
        };
        bank.write(|_, _| false).map_err(failed("writing rows"))?;
        bank.stale.clear();
        for _ in 0..WARM_UPS {
            let zeros = vec![0.0; shapes.batch * shapes.features];
            bank.run(&zeros).map_err(failed("running the graph once"))?;
        }
        Ok(bank)
    }

    /// Vectors that a run takes at most.
    pub fn batch(&self) -> usize {
        self.shapes.batch
    }

    /// Whether it has room for the rows of `bank` and takes vectors of `features`.
    pub fn fits(&self, bank: &Bank, features: usize) -> bool {
        let Shapes { dimensions, .. } = self.shapes;
        self.rows_max >= bank.rows_max()
            && dimensions == bank.dimensions()
            && self.shapes.features == features
    }

    /// Features of a vector.
    pub fn features(&self) -> usize {
        self.shapes.features
    }

    /// Memory of the device that the rows take. Unit: bytes.
    pub fn rows_len(&self) -> u64 {
        (SLICES * self.shapes.slice_rows * self.shapes.width() * size_of::<f32>()) as u64
    }

    /// Multiplications and additions of a run's similarities.
    pub fn operations(&self) -> u64 {
        (2 * self.shapes.batch * SLICES * self.shapes.slice_rows * self.shapes.width()) as u64
    }

    /// How the graph runs, and what the library said of ways that are quicker.
    pub fn way(&self) -> String {
        let way = match self.manner.way {
            Way::Captured => "captured and played back",
            Way::Launched => "node by node",
            Way::Mixed => "node by node, some on the CPU",
        };
        let memory = if self.manner.is_pinned {
            ", by pinned memory"
        } else {
            ""
        };
        if self.notes.is_empty() {
            return format!("{way}{memory}");
        }
        format!("{way}{memory}; not otherwise: {}", self.notes.join("; "))
    }

    /// Notes that a row has another case than before, or none. It is compared by the bank until [`Self::write_stale`].
    ///
    /// Cost: one byte.
    pub fn note(&mut self, row: u32) {
        self.stale.add(row);
    }

    /// Rows that are not on the device as they are in the bank.
    pub fn stale(&self) -> usize {
        self.stale.rows().len()
    }

    /// Takes all rows of `bank`.
    ///
    /// # Errors
    /// [`DeviceFailed`].
    pub fn load(&mut self, bank: &Bank) -> Result<(), DeviceFailed> {
        (0..self.rows_max).for_each(|row| self.stale.add(row));
        self.write_stale(bank).map(drop)
    }

    /// Writes the rows that were noted, in place. Returns how many. After a failure they are still noted.
    ///
    /// # Errors
    /// [`DeviceFailed`].
    pub fn write_stale(&mut self, bank: &Bank) -> Result<usize, DeviceFailed> {
        let row_of = |row: u32, values: &mut [f32]| {
            let is_taken = bank.is_taken(row);
            if is_taken {
                bank.embedding(row, values);
            }
            is_taken
        };
        let count = self.stale();
        self.write(row_of).map_err(|_| DeviceFailed)?;
        self.stale.clear();
        Ok(count)
    }

    /// Runs the graph for the vectors of `features`, up to [`Self::batch`]: [`Self::nearest`] has what it found.
    ///
    /// Shape: for each vector as many features as the model takes.
    ///
    /// # Errors
    /// [`DeviceFailed`]: nothing may be asked of the run.
    pub fn run(&mut self, features: &[f32]) -> Result<(), DeviceFailed> {
        #[cfg(test)]
        if self.is_broken {
            return Err(DeviceFailed);
        }
        self.try_run(features).map_err(|_| DeviceFailed)
    }

    fn try_run(&mut self, features: &[f32]) -> ort::Result<()> {
        let (_, input) = self.features.host.extract_tensor_mut();
        let (given, padding) = input.split_at_mut(features.len());
        given.copy_from_slice(features);
        padding.fill(0.0);
        self.features.host.copy_into(&mut self.features.device)?;
        self.session.run_binding(&self.binding)?;
        self.found.device.copy_into(&mut self.found.host)
    }

    /// The embedding of vector `index` of the last run as the device computed it.
    pub fn embedding(&self, index: usize) -> &[f32] {
        &self.line(index)[..self.shapes.dimensions]
    }

    /// The rows that the last run found for vector `index`, and how similar the device says they are; the nearest first.
    pub fn proposals(&self, index: usize) -> impl Iterator<Item = Neighbour> {
        let (similarities, rows) = self.line(index)[self.shapes.dimensions..].split_at(self.shapes.found);
        let pairs = similarities.iter().zip(rows);
        pairs.map(|(&similarity, &row)| Neighbour {
            row: row as u32,
            similarity,
        })
    }

    /// Fills `nearest` with what [`Bank::search`] finds for `embedding`, that of vector `index` of the last run as the CPU
    /// computes it, and returns how many there are; nothing if it is not proved that none is missing.
    ///
    /// Sees:  every change of the bank that was noted.
    /// Cost:  about 20 ns for each neighbour that is wanted, each row that rounding leaves in doubt, and each that is not
    ///        written yet; and sorting them.
    pub fn nearest(
        &mut self,
        index: usize,
        embedding: &[f32],
        bank: &Bank,
        nearest: &mut [Neighbour],
    ) -> Option<usize> {
        let wanted = nearest.len().min(bank.len());
        if wanted == 0 {
            return Some(0);
        }
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let is_proved = self.gather(index, embedding, bank, wanted, &mut candidates);
        if is_proved {
            nearest[..wanted].copy_from_slice(&candidates[..wanted]);
        }
        self.candidates = candidates;
        is_proved.then_some(wanted)
    }

    /// Gathers the rows that may be among the `wanted` nearest, the nearest first. Whether none is missing.
    fn gather(
        &self,
        index: usize,
        embedding: &[f32],
        bank: &Bank,
        wanted: usize,
        candidates: &mut Vec<Neighbour>,
    ) -> bool {
        let nearer = |a: &Neighbour, b: &Neighbour| {
            let newer = || bank.sequence(b.row).cmp(&bank.sequence(a.row));
            b.similarity.total_cmp(&a.similarity).then_with(newer)
        };
        let is_known = |row: u32| row < self.rows_max && bank.is_taken(row) && !self.stale.contains(row);
        let mut proposed = self.proposals(index).filter(|one| is_known(one.row));
        let stale = self.stale.rows().iter().filter(|&&row| bank.is_taken(row));
        candidates.extend(stale.map(|&row| Neighbour { row, similarity: 0.0 }));
        candidates.extend(proposed.by_ref().take(wanted));
        if candidates.len() < wanted {
            return false;
        }
        bank.compare(embedding, candidates);
        candidates.sort_unstable_by(nearer);
        // So many are at least as near as this one; whoever the device has further away than that is not among them.
        let error = self.error(index, embedding);
        let beside = f64::from(candidates[wanted - 1].similarity) - error;
        let compared = candidates.len();
        candidates.extend(proposed.take_while(|one| f64::from(one.similarity) >= beside));
        bank.compare(embedding, &mut candidates[compared..]);
        candidates.sort_unstable_by(nearer);
        if candidates.len() == bank.len() {
            return embedding.iter().all(|value| value.is_finite());
        }
        let furthest = self
            .proposals(index)
            .last()
            .map_or(0.0, |last| f64::from(last.similarity));
        furthest < f64::from(candidates[wanted - 1].similarity) - error
    }

    /// How far the device's similarities can be from the bank's.
    fn error(&self, index: usize, embedding: &[f32]) -> f64 {
        let theirs = self.embedding(index).iter().zip(embedding);
        let squares = theirs.map(|(&theirs, &ours)| f64::from(theirs - ours).powi(2));
        let rounded = 2.0 * self.shapes.width() as f64 * UNIT;
        LENGTHS_MAX * (squares.sum::<f64>().sqrt() + rounded)
    }

    fn line(&self, index: usize) -> &[f32] {
        let (_, values) = self.found.host.extract_tensor();
        &values[index * self.shapes.line()..][..self.shapes.line()]
    }

    /// Writes all stale rows; `row_of` gives the values of a row, or says that it has none.
    fn write(&mut self, mut row_of: impl FnMut(u32, &mut [f32]) -> bool) -> ort::Result<()> {
        let shapes = self.shapes;
        let slice_of = |row: &u32| row / shapes.slice_rows as u32;
        for rows in self.stale.sorted().chunk_by(|a, b| slice_of(a) == slice_of(b)) {
            let slice = slice_of(&rows[0]) as usize;
            let first = (slice * shapes.slice_rows) as u32;
            for rows in rows.chunks(WRITTEN[1]) {
                self.writer.write(slice, rows, first, &shapes, &mut row_of)?;
            }
        }
        Ok(())
    }
}

impl Copied {
    fn new(memory: &Memory, shape: [usize; 2]) -> Result<Self, ScoreError> {
        Ok(Self {
            host: memory.on_host(shape)?,
            device: memory.on_device(shape)?,
        })
    }
}

impl Writer {
    fn new(
        place: &Place,
        memory: &Memory,
        slices: &[Tensor<f32>],
        shapes: &Shapes,
    ) -> Result<Self, ScoreError> {
        let session = place.session(&graph::write(shapes), Way::Launched)?;
        let [before, .., after] = WRITE;
        let bind = |slice: &Tensor<f32>| {
            let bound = failed("binding a tensor");
            let mut binding = session.create_binding().map_err(&bound)?;
            binding.bind_input(before, slice).map_err(&bound)?;
            binding.bind_output(after, shared(slice)?).map_err(&bound)?;
            Ok(binding)
        };
        let bindings = slices.iter().map(bind).collect::<Result<_, ScoreError>>()?;
        let batch = |rows: usize| {
            Ok((
                memory.on_host([rows, 1])?,
                memory.on_host([rows, shapes.width()])?,
            ))
        };
        let batches = WRITTEN
            .map(batch)
            .into_iter()
            .collect::<Result<_, ScoreError>>()?;
        Ok(Self {
            session,
            bindings,
            batches,
        })
    }

    /// Writes `rows`, which stand in a slice that begins at row `first`. The last one fills up the batch.
    fn write(
        &mut self,
        slice: usize,
        rows: &[u32],
        first: u32,
        shapes: &Shapes,
        row_of: &mut impl FnMut(u32, &mut [f32]) -> bool,
    ) -> ort::Result<()> {
        let batch = usize::from(rows.len() > WRITTEN[0]);
        let (places, values) = &mut self.batches[batch];
        let (_, at) = places.extract_tensor_mut();
        let (_, to) = values.extract_tensor_mut();
        let last = rows[rows.len() - 1];
        let padded = rows.iter().copied().chain(std::iter::repeat(last));
        for ((row, at), to) in padded.zip(at).zip(to.chunks_mut(shapes.width())) {
            *at = i64::from(row - first);
            to.fill(0.0);
            if !row_of(row, &mut to[..shapes.dimensions]) {
                to[shapes.dimensions] = ABSENT;
            }
        }
        let [_, where_to, what, _] = WRITE;
        let binding = &mut self.bindings[slice];
        // Bound anew each time: a device takes its copy when it is bound.
        binding.bind_input(where_to, places)?;
        binding.bind_input(what, values)?;
        self.session.run_binding(binding).map(drop)
    }
}

impl fmt::Display for DeviceFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the device failed")
    }
}

/// Whichever build of the library is loaded, its CPU kernels serve.
fn place(device: Device, libraries: &Libraries, threads: usize) -> Result<Place, ScoreError> {
    let environment = match (device, library::loaded()) {
        (Device::Cpu, Some(environment)) => environment,
        (Device::Cpu, None) => library::environment(&library::find(Path::new(&libraries.library))?)?,
        (Device::Cuda, _) => library::environment(&library::cuda::find(libraries)?)?,
    };
    Ok(Place::new(device, environment, threads))
}

fn shapes(model: &ModelFolder, sizes: &Sizes) -> Shapes {
    let slice_rows = (sizes.rows_max as usize).div_ceil(SLICES).next_multiple_of(GROUP);
    Shapes {
        batch: sizes.batch,
        features: model.manifest.features.len(),
        dimensions: model.manifest.encoder.dimensions,
        slice_rows,
        found: sizes.proposals.min(SLICES * slice_rows),
    }
}
