//! The encoder run by ONNX Runtime.
//!
//! ```text
//!   rows waiting   1 ─▶ [1 row, or 2 with one of zeros]     2..=8 ─▶ [8 rows]     more ─▶ [32 rows], …
//! ```
//!
//! One session per scoring agent, one thread, no spinning; the input tensors are filled in place and the
//! output is read where the library put it. The library itself allocates on every run; our code does not.
//!
//! The library sums a single row in another order than rows of a batch, so its embedding may differ in the last bits. A
//! score must not depend on who came with it: at the load the same rows are run in all batch sizes, and only sizes
//! whose rows come out the same to the bit are used, one row with a second one of zeros if need be.
//!
//! Invariant: a session that came out of [`OnnxEncoder::load`] has run in each of its sizes, and gave the promised shape
//! and for each row the same bits in all of them.

use std::path::Path;

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::Tensor;

use crate::encoder::{EncodeFailed, ROWS_MAX};
use crate::error::ScoreError;
use crate::library;
use crate::manifest::Manifest;

/// Numbers of rows that are run at once, if there are so many.
const BATCHES: [usize; 2] = [8, ROWS_MAX];

/// Numbers of rows that one row is run as: alone if that gives the bits that it has in a batch.
const SINGLES: [usize; 2] = [1, 2];

/// A session with its bound inputs and outputs.
pub struct OnnxEncoder {
    session: Session,
    features: usize,
    dimensions: usize,
    /// By their number of rows, the lowest first; there is one.
    bindings: Vec<Binding>,
}

/// The tensors of runs over so many rows.
struct Binding {
    rows: usize,
    input: Tensor<f32>,
    options: RunOptions<HasSelectedOutputs>,
}

impl OnnxEncoder {
    /// Builds the session of the graph `onnx` with the library at `path` and runs it in all sizes that may be used. A
    /// graph whose first dimension is fixed at 1, as in models of before 2, is run for one row only.
    ///
    /// # Errors
    /// [`ScoreError::Onnx`] with the step that failed.
    pub fn load(path: &Path, onnx: &[u8], manifest: &Manifest) -> Result<Self, ScoreError> {
        let environment = library::environment(path)?;
        let session = build_session(environment, onnx)?;
        check_names(&session, manifest)?;
        let input = session
            .inputs()
            .first()
            .and_then(|input| input.dtype().tensor_shape());
        let takes_many = input.is_some_and(|shape| shape.first() == Some(&-1));
        let mut encoder = Self {
            session,
            features: manifest.features.len(),
            dimensions: manifest.encoder.dimensions,
            bindings: Vec::new(),
        };
        if !takes_many {
            encoder.bindings.push(bind(manifest, 1)?);
            encoder.run_probes()?;
            return Ok(encoder);
        }
        encoder.choose_sizes(manifest)?;
        Ok(encoder)
    }

    /// The numbers of rows that are run at once, the lowest first.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.bindings.iter().map(|binding| binding.rows)
    }

    /// See [`crate::encoder::Encoder::encode`].
    ///
    /// # Errors
    /// [`EncodeFailed`] if the library failed; some embeddings may be written then.
    pub fn encode(&mut self, features: &[f32], embeddings: &mut [f32]) -> Result<(), EncodeFailed> {
        self.run(features, embeddings).map_err(|_| EncodeFailed)
    }

    fn run(&mut self, features: &[f32], embeddings: &mut [f32]) -> ort::Result<()> {
        let rows = features.len() / self.features;
        let mut done = 0;
        while done < rows {
            let left = rows - done;
            let is_worth_it = |binding: &&mut Binding| left >= binding.rows_min();
            let binding = self.bindings.iter_mut().rev().find(is_worth_it);
            let Some(binding) = binding else {
                return Err(ort::Error::new("no size fits"));
            };
            let count = left.min(binding.rows);
            let input = binding.input.extract_tensor_mut().1;
            let (given, padding) = input.split_at_mut(count * self.features);
            given.copy_from_slice(&features[done * self.features..][..given.len()]);
            padding.fill(0.0);
            let outputs = self
                .session
                .run_with_options(ort::inputs![&binding.input], &binding.options)?;
            let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
            let len = count * self.dimensions;
            embeddings[done * self.dimensions..][..len].copy_from_slice(&values[..len]);
            done += count;
        }
        Ok(())
    }

    /// Keeps the batches whose rows come out as the single row does, in whichever of its sizes that is most of them.
    fn choose_sizes(&mut self, manifest: &Manifest) -> Result<(), ScoreError> {
        let mut embeddings_of = |rows: usize| {
            self.bindings = vec![bind(manifest, rows)?];
            self.run_probes()
        };
        let batches = BATCHES.map(|rows| embeddings_of(rows).map(|found| (rows, found)));
        let batches = batches.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut best: Vec<usize> = Vec::new();
        for single in SINGLES {
            let alone = embeddings_of(single)?;
            let same = batches.iter().filter(|(_, found)| same_bits(found, &alone));
            let sizes: Vec<usize> = [single].into_iter().chain(same.map(|(rows, _)| *rows)).collect();
            if sizes.len() > best.len() {
                best = sizes;
            }
        }
        self.bindings = best
            .iter()
            .map(|&rows| bind(manifest, rows))
            .collect::<Result<_, _>>()?;
        self.run_probes().map(drop)
    }

    /// The embeddings of rows of zeros and of numbers that look drawn.
    fn run_probes(&mut self) -> Result<Vec<f32>, ScoreError> {
        let action = "running the encoder once";
        let mut embeddings = vec![0.0; ROWS_MAX * self.dimensions];
        let vectors = probes(ROWS_MAX * self.features, self.features);
        self.run(&vectors, &mut embeddings).map_err(failed(action))?;
        if embeddings.iter().any(|value| !value.is_finite()) {
            let reason = "the embedding of an all-zero vector, or of small numbers, is not finite".to_owned();
            return Err(ScoreError::Onnx { action, reason });
        }
        Ok(embeddings)
    }
}

impl Binding {
    /// From so many rows on a run costs less than the rows in smaller runs.
    fn rows_min(&self) -> usize {
        match self.rows {
            1 | 2 => 1,
            8 => 2,
            rows => rows / 2 + 1,
        }
    }
}

fn same_bits(first: &[f32], second: &[f32]) -> bool {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    bits(first) == bits(second)
}

/// Zeros for the first row, then numbers of -8 to 8.
fn probes(len: usize, features: usize) -> Vec<f32> {
    let number = |place: usize| {
        let mixed = (place as u32)
            .wrapping_mul(2_654_435_761)
            .rotate_left(13)
            .wrapping_mul(0x9E37_79B1);
        (mixed >> 8) as f32 / (1 << 20) as f32 - 8.0
    };
    (0..len)
        .map(|place| if place < features { 0.0 } else { number(place) })
        .collect()
}

fn bind(manifest: &Manifest, rows: usize) -> Result<Binding, ScoreError> {
    let allocate = |len: usize| {
        Tensor::from_array(([rows, len], vec![0.0_f32; rows * len])).map_err(failed("allocating a tensor"))
    };
    let (features, output) = (manifest.features.len(), manifest.encoder.output.as_str());
    let selector = OutputSelector::no_default()
        .with(output)
        .preallocate(output, allocate(manifest.encoder.dimensions)?);
    let options = RunOptions::new().map_err(failed("making run options"))?;
    Ok(Binding {
        rows,
        input: allocate(features)?,
        options: options.with_outputs(selector),
    })
}

fn failed<E: std::fmt::Display>(action: &'static str) -> impl Fn(E) -> ScoreError {
    move |error| ScoreError::Onnx {
        action,
        reason: error.to_string(),
    }
}

#[expect(
    clippy::result_large_err,
    reason = "ort's builder errors carry the builder back"
)]
fn build_session(environment: &ort::environment::Environment, onnx: &[u8]) -> Result<Session, ScoreError> {
    let mut builder = Session::builder(environment)
        .map_err(failed("setting up a session"))?
        .with_optimization_level(GraphOptimizationLevel::All)
        .and_then(|builder| builder.with_intra_threads(1))
        .and_then(|builder| builder.with_inter_threads(1))
        .and_then(|builder| builder.with_intra_op_spinning(false))
        .and_then(|builder| builder.with_inter_op_spinning(false))
        // Weights of int8 are widened once, here, instead of in every run.
        .and_then(|builder| builder.with_config_entry("session.disable_quant_qdq", "1"))
        .map_err(failed("setting up a session"))?;
    builder
        .commit_from_memory(onnx)
        .map_err(failed("reading the encoder"))
}

fn check_names(session: &Session, manifest: &Manifest) -> Result<(), ScoreError> {
    let names = |outlets: &[ort::value::Outlet]| -> Vec<String> {
        outlets.iter().map(|outlet| outlet.name().to_owned()).collect()
    };
    let found = (names(session.inputs()), names(session.outputs()));
    let expected = (
        vec![manifest.encoder.input.clone()],
        vec![manifest.encoder.output.clone()],
    );
    if found == expected {
        return Ok(());
    }
    let reason = format!("found inputs and outputs {found:?}, expected {expected:?}");
    Err(ScoreError::Onnx {
        action: "checking the encoder",
        reason,
    })
}
