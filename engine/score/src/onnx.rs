//! The encoder run by ONNX Runtime.
//!
//! One session per scoring agent, one thread, no spinning; the input tensor is filled in place and the
//! output is read where the library put it. The library itself allocates on every run; our code does not.
//!
//! Invariant: a session that came out of [`OnnxEncoder::load`] has run once and gave the promised shape.

use std::path::Path;

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::Tensor;

use crate::encoder::EncodeFailed;
use crate::error::ScoreError;
use crate::library;
use crate::manifest::Manifest;

/// A session with its bound inputs and outputs.
pub struct OnnxEncoder {
    session: Session,
    bindings: Vec<Binding>,
}

/// The tensors of runs over so many rows.
struct Binding {
    input: Tensor<f32>,
    input_len: usize,
    options: RunOptions<HasSelectedOutputs>,
}

impl OnnxEncoder {
    /// Builds the session of the graph `onnx` with the library at `path` and runs it once, for one row.
    ///
    /// # Errors
    /// [`ScoreError::Onnx`] with the step that failed.
    pub fn load(path: &Path, onnx: &[u8], manifest: &Manifest) -> Result<Self, ScoreError> {
        Self::load_for(path, onnx, manifest, &[1])
    }

    /// The same for runs over as many rows as `row_counts` lists, each of which is run once. A graph whose first
    /// dimension is fixed at 1, as in models of before 2, takes no more.
    ///
    /// # Errors
    /// [`ScoreError::Onnx`] with the step that failed.
    pub fn load_for(
        path: &Path,
        onnx: &[u8],
        manifest: &Manifest,
        row_counts: &[usize],
    ) -> Result<Self, ScoreError> {
        let environment = library::environment(path)?;
        let session = build_session(environment, onnx)?;
        check_names(&session, manifest)?;
        let bindings: Result<_, _> = row_counts.iter().map(|&rows| bind(manifest, rows)).collect();
        let bindings = bindings?;
        let mut encoder = Self { session, bindings };
        for &rows in row_counts {
            encoder.run_once(manifest, rows)?;
        }
        Ok(encoder)
    }

    /// See [`crate::encoder::Encoder::encode`]; or of several vectors, one behind the other, as many as it was loaded
    /// for.
    ///
    /// A row's embedding may differ in its last bits from that of the row alone: the library sums in another order.
    ///
    /// # Errors
    /// [`EncodeFailed`] if the library failed, or was not loaded for so many rows.
    pub fn encode(&mut self, features: &[f32], embedding: &mut [f32]) -> Result<(), EncodeFailed> {
        self.run(features, embedding).map_err(|_| EncodeFailed)
    }

    fn run(&mut self, features: &[f32], embedding: &mut [f32]) -> ort::Result<()> {
        let mut bindings = self.bindings.iter_mut();
        let Some(binding) = bindings.find(|binding| binding.input_len == features.len()) else {
            return Err(ort::Error::new("not loaded for so many rows"));
        };
        binding.input.extract_tensor_mut().1.copy_from_slice(features);
        let outputs = self
            .session
            .run_with_options(ort::inputs![&binding.input], &binding.options)?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
        embedding.copy_from_slice(values);
        Ok(())
    }

    fn run_once(&mut self, manifest: &Manifest, rows: usize) -> Result<(), ScoreError> {
        let action = "running the encoder once";
        let mut embeddings = vec![0.0; rows * manifest.encoder.dimensions];
        let features = vec![0.0; rows * manifest.features.len()];
        self.run(&features, &mut embeddings).map_err(failed(action))?;
        if embeddings.iter().any(|value| !value.is_finite()) {
            let reason = "the embedding of an all-zero vector is not finite".to_owned();
            return Err(ScoreError::Onnx { action, reason });
        }
        Ok(())
    }
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
        input: allocate(features)?,
        input_len: rows * features,
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
