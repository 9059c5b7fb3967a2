//! The encoder behind one interface, chosen once at start.

use std::path::Path;

use crate::config::{Backend, ScoreConfig};
use crate::error::ScoreError;
use crate::manifest::ModelFolder;
use crate::native::NativeEncoder;
use crate::onnx::OnnxEncoder;

/// Rows that are encoded at once at most.
pub const ROWS_MAX: usize = 32;

/// What runs the encoder.
pub enum Encoder {
    /// ONNX Runtime.
    Onnx(Box<OnnxEncoder>),
    /// Own loops.
    Native(Box<NativeEncoder>),
    /// Own loops that fail as a library would, wherever a row's first feature is above the limit.
    #[cfg(test)]
    Failing(Box<NativeEncoder>, f32),
}

/// The encoder could not run: the event is scored as degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeFailed;

impl Encoder {
    /// Loads the encoder that `config` asks for.
    ///
    /// # Errors
    /// Whatever is wrong with the model's files or the library.
    pub fn load(config: &ScoreConfig, model: &ModelFolder) -> Result<Self, ScoreError> {
        match config.backend {
            // A GPU proposes cases; embeddings are ours, so that scores are the same everywhere.
            Backend::Native | Backend::Cuda => Ok(Self::Native(Box::new(NativeEncoder::load(model)?))),
            Backend::Onnx => {
                let manifest = &model.manifest.encoder;
                let bytes = model.read(&manifest.file, &manifest.sha256)?;
                let library = crate::library::find(Path::new(&config.library))?;
                Ok(Self::Onnx(Box::new(OnnxEncoder::load(
                    &library,
                    &bytes,
                    &model.manifest,
                )?)))
            }
        }
    }

    /// Writes the embeddings of the rows of `features`, one behind the other, up to [`ROWS_MAX`]. A row's embedding is the
    /// same to the bit whatever rows come with it.
    ///
    /// Shape: for each row as many features as the manifest names, as many dimensions as it says.
    /// Cost:  ONNX Runtime 3 to 4 µs for one row of two layers of 64, 6 for eight and 13 for 32, of which 0.9 µs are its
    ///        fixed cost per run.
    ///
    /// # Errors
    /// [`EncodeFailed`] if the library failed; some embeddings may be written then.
    pub fn encode(&mut self, features: &[f32], embeddings: &mut [f32]) -> Result<(), EncodeFailed> {
        match self {
            Self::Onnx(encoder) => encoder.encode(features, embeddings),
            Self::Native(encoder) => {
                encoder.encode_rows(features, embeddings);
                Ok(())
            }
            #[cfg(test)]
            Self::Failing(encoder, limit) => {
                let width = features.len() * encoder.dimensions() / embeddings.len();
                if features.iter().step_by(width).any(|feature| feature > limit) {
                    return Err(EncodeFailed);
                }
                encoder.encode_rows(features, embeddings);
                Ok(())
            }
        }
    }
}
