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

/// A session with its bound input and output.
pub struct OnnxEncoder {
    session: Session,
    input: Tensor<f32>,
    options: RunOptions<HasSelectedOutputs>,
}

impl OnnxEncoder {
    /// Builds the session of the graph `onnx` with the library at `path` and runs it once.
    ///
    /// # Errors
    /// [`ScoreError::Onnx`] with the step that failed.
    pub fn load(path: &Path, onnx: &[u8], manifest: &Manifest) -> Result<Self, ScoreError> {
        let environment = library::environment(path)?;
        let session = build_session(environment, onnx)?;
        let features = manifest.features.len();
        let dimensions = manifest.encoder.dimensions;
        check_names(&session, manifest)?;
        let allocate = |len: usize| {
            Tensor::from_array(([1_usize, len], vec![0.0_f32; len])).map_err(failed("allocating a tensor"))
        };
        let input = allocate(features)?;
        let output = manifest.encoder.output.as_str();
        let selector = OutputSelector::no_default()
            .with(output)
            .preallocate(output, allocate(dimensions)?);
        let options = RunOptions::new()
            .map_err(failed("making run options"))?
            .with_outputs(selector);
        let mut encoder = Self {
            session,
            input,
            options,
        };
        let mut embedding = vec![0.0; dimensions];
        encoder
            .run(&vec![0.0; features], &mut embedding)
            .map_err(failed("running the encoder once"))?;
        if embedding.iter().any(|value| !value.is_finite()) {
            let reason = "the embedding of an all-zero vector is not finite".to_owned();
            return Err(ScoreError::Onnx {
                action: "running the encoder once",
                reason,
            });
        }
        Ok(encoder)
    }

    /// See [`crate::encoder::Encoder::encode`].
    ///
    /// # Errors
    /// [`EncodeFailed`] if the library failed.
    pub fn encode(&mut self, features: &[f32], embedding: &mut [f32]) -> Result<(), EncodeFailed> {
        self.run(features, embedding).map_err(|_| EncodeFailed)
    }

    fn run(&mut self, features: &[f32], embedding: &mut [f32]) -> ort::Result<()> {
        self.input.extract_tensor_mut().1.copy_from_slice(features);
        let outputs = self
            .session
            .run_with_options(ort::inputs![&self.input], &self.options)?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
        embedding.copy_from_slice(values);
        Ok(())
    }
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
