//! The encoder as own loops over the weights of the ONNX file.
//!
//! ```text
//!   x ─ repeat ─ clip((x − mean) · scale) ─ [dense + relu] × layers ─ dense ─ z / √(Σz² + 1e−12)
//! ```
//!
//! `repeat`, if it is there, has one row of zeros and a single 1 for each column: the feature that the column is made
//! of. A feature may so be cut into ramps, each of which says how much of a piece between two values it has passed.
//!
//! Takes the initialisers that `models/train` names `mean`, `scale`, `clip_min`, `clip_max`, `weight_0`,
//! `bias_0`, `weight_1`, … from the file; weights are stored `[outputs, inputs]` in any precision, `repeat` and weights
//! of int8 with their scales in `repeat_scale`, `weight_0_scale`, …. Serves machines without the library, and tests
//! as the oracle.
//!
//! Invariant: every sum runs in the order of its inputs and nothing is fused, so the bits are the same on
//! every machine.

use crate::error::ScoreError;
use crate::initialisers::Initialisers;
use crate::manifest::{ModelFolder, Precision};

/// Added under the root of the length, as in the graph.
const LENGTH_EPSILON: f32 = 1e-12;

/// Least standard deviation of a feature.
const SPREAD_MIN: f64 = 1e-6;

/// Outputs are computed this many at a time, so that the compiler can use vector registers without
/// changing the order of any sum.
const LANES: usize = 16;

/// The weights and the buffers between layers.
pub struct NativeEncoder {
    precision: Precision,
    columns: Columns,
    centre: Vec<f32>,
    spread: Vec<f32>,
    layers: Vec<Layer>,
    buffers: [Vec<f32>; 2],
    /// Of the two ends of a way: see [`NativeEncoder::contributions`].
    traces: [Trace; 2],
}

/// What one row was within the encoder.
#[derive(Clone, Default)]
struct Trace {
    columns: Vec<f32>,
    /// Of each layer its sums, before those below zero are cut.
    sums: Vec<Vec<f32>>,
}

/// What goes into the first layer.
struct Columns {
    /// The feature that each is made of.
    source: Vec<usize>,
    mean: Vec<f32>,
    scale: Vec<f32>,
    clip_min: f32,
    clip_max: f32,
}

/// A dense layer, its weights in blocks of [`LANES`] outputs: `weights[block][input][lane]`.
struct Layer {
    inputs: usize,
    outputs: usize,
    weights: Vec<f32>,
    /// The same as they stand in the file, for the way back: `rows[output][input]`.
    rows: Vec<f32>,
    bias: Vec<f32>,
}

impl NativeEncoder {
    /// Takes the weights of the model in a folder.
    ///
    /// # Errors
    /// The encoder's file cannot be read, is not the manifest's, or has other shapes or another precision.
    pub fn load(model: &ModelFolder) -> Result<Self, ScoreError> {
        let encoder = &model.manifest.encoder;
        let bytes = model.read(&encoder.file, &encoder.sha256)?;
        let malformed = |reason| {
            let path = model.path(&encoder.file);
            ScoreError::Malformed { path, reason }
        };
        let parsed = Self::parse(&bytes, model.manifest.features.len(), encoder.dimensions);
        let mut parsed = parsed.map_err(malformed)?;
        if let Some(reasons) = &model.manifest.reasons {
            parsed.centre.clone_from(&reasons.mean);
            parsed.spread = reasons
                .deviation
                .iter()
                .map(|deviation| 1.0 / deviation)
                .collect();
        }
        if parsed.precision == encoder.precision {
            return Ok(parsed);
        }
        let (found, expected) = (parsed.precision, encoder.precision);
        Err(malformed(format!(
            "weights are stored in {found}, expected {expected} as encoder.precision says"
        )))
    }

    /// Takes the weights out of an ONNX file.
    ///
    /// # Errors
    /// What is missing or has another shape than `features` inputs and `dimensions` outputs ask for.
    pub fn parse(onnx: &[u8], features: usize, dimensions: usize) -> Result<Self, String> {
        let tensors = Initialisers::read(onnx).ok_or("not an ONNX file")?;
        let columns = Columns::take(&tensors, features)?;
        let layers = take_layers(&tensors, columns.source.len())?;
        let outputs = layers.last().map_or(0, |layer| layer.outputs);
        if outputs == 0 || outputs != dimensions {
            let found = layers.len();
            return Err(format!(
                "{found} layers end in {outputs} values, expected {dimensions}"
            ));
        }
        let widest = layers
            .iter()
            .map(|layer| layer.outputs.max(layer.inputs))
            .max()
            .unwrap_or(0);
        let (centre, spread) = columns.normalisation(features);
        let trace = Trace {
            columns: vec![0.0; columns.source.len()],
            sums: layers.iter().map(|layer| vec![0.0; layer.outputs]).collect(),
        };
        Ok(Self {
            precision: tensors.precision("weight_0").unwrap_or_default(),
            columns,
            centre,
            spread,
            layers,
            buffers: [vec![0.0; widest], vec![0.0; widest]],
            traces: [trace.clone(), trace],
        })
    }

    /// Mean of each feature in training, and one over its standard deviation, as the manifest has them. Without it, of
    /// a feature in ramps: of the values between which they lie, which are quantiles.
    pub fn normalisation(&self) -> (&[f32], &[f32]) {
        (&self.centre, &self.spread)
    }

    /// See [`crate::encoder::Encoder::encode`].
    pub fn encode_rows(&mut self, features: &[f32], embeddings: &mut [f32]) {
        let (inputs, outputs) = (self.centre.len(), self.dimensions());
        for (row, embedding) in features.chunks(inputs).zip(embeddings.chunks_mut(outputs)) {
            self.encode(row, embedding);
        }
    }

    /// Values of an embedding.
    pub fn dimensions(&self) -> usize {
        self.layers.last().map_or(1, |layer| layer.outputs)
    }

    /// Writes the embedding of one row.
    pub fn encode(&mut self, features: &[f32], embedding: &mut [f32]) {
        let [from, to] = &mut self.buffers;
        self.columns.apply(features, from);
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            layer.apply(&from[..layer.inputs], &mut to[..layer.outputs], index != last);
            std::mem::swap(from, to);
        }
        let z = &from[..embedding.len()];
        let length = length(z);
        for (out, value) in embedding.iter_mut().zip(z) {
            *out = value / length;
        }
    }

    /// What each feature does on the way from one vector to another to bring it near `there`: what it adds to z, which the
    /// last layer gives, in the direction from the first vector's embedding to `there`. They add up. What a unit that
    /// bends adds is shared out by its inputs' parts in how far its sum went (the rescale rule of DeepLIFT): unlike a
    /// slope at either end, that sees a way through units that are flat there.
    ///
    /// Cost: instructions of two and a half embeddings.
    pub fn contributions(&mut self, from: &[f32], to: &[f32], there: &[f32], contributions: &mut [f32]) {
        self.trace(from, 0);
        self.trace(to, 1);
        let last = self.layers.len() - 1;
        let z = &self.traces[0].sums[last];
        let length = length(z);
        let [slopes, other] = &mut self.buffers;
        for ((slope, there), value) in slopes.iter_mut().zip(there).zip(z) {
            *slope = there - value / length;
        }
        for (index, layer) in self.layers.iter().enumerate().rev() {
            if index != last {
                let [from, to] = self.traces.each_ref().map(|trace| &trace.sums[index]);
                for ((slope, from), to) in slopes.iter_mut().zip(from).zip(to) {
                    *slope *= slope_between(*from, *to);
                }
            }
            layer.apply_back(&slopes[..layer.outputs], &mut other[..layer.inputs]);
            std::mem::swap(slopes, other);
        }
        contributions.fill(0.0);
        let [from, to] = self.traces.each_ref().map(|trace| &trace.columns);
        for (column, &feature) in self.columns.source.iter().enumerate() {
            contributions[feature] += slopes[column] * (to[column] - from[column]);
        }
    }

    fn trace(&mut self, features: &[f32], number: usize) {
        let trace = &mut self.traces[number];
        self.columns.apply(features, &mut trace.columns);
        let [inputs, _] = &mut self.buffers;
        inputs[..trace.columns.len()].copy_from_slice(&trace.columns);
        for (layer, sums) in self.layers.iter().zip(&mut trace.sums) {
            layer.apply(&inputs[..layer.inputs], sums, false);
            for (input, sum) in inputs.iter_mut().zip(sums) {
                *input = sum.max(0.0);
            }
        }
    }
}

fn length(z: &[f32]) -> f32 {
    (z.iter().map(|value| value * value).sum::<f32>() + LENGTH_EPSILON).sqrt()
}

/// By how much max(0, x) grows on the way from one value to another, for each unit of the way.
fn slope_between(from: f32, to: f32) -> f32 {
    if from == to {
        return if to > 0.0 { 1.0 } else { 0.0 };
    }
    (to.max(0.0) - from.max(0.0)) / (to - from)
}

impl Columns {
    fn apply(&self, features: &[f32], columns: &mut [f32]) {
        let inputs = self.source.iter().zip(&self.mean).zip(&self.scale);
        for (out, ((&feature, mean), scale)) in columns.iter_mut().zip(inputs) {
            *out = ((features[feature] - mean) * scale).clamp(self.clip_min, self.clip_max);
        }
    }

    /// Those of a file.
    fn take(tensors: &Initialisers, features: usize) -> Result<Self, String> {
        let source = match tensors.len("repeat") {
            Some(len) if len.is_multiple_of(features) => {
                sources(&tensors.matrix("repeat", len / features, features)?, features)?
            }
            Some(found) => {
                return Err(format!(
                    "initialiser repeat has {found} values, expected a multiple of {features}"
                ));
            }
            None => (0..features).collect(),
        };
        Ok(Self {
            mean: tensors.vector("mean", source.len())?,
            scale: tensors.vector("scale", source.len())?,
            clip_min: tensors.vector("clip_min", 1)?[0],
            clip_max: tensors.vector("clip_max", 1)?[0],
            source,
        })
    }

    /// Centre of each feature, and one over its spread.
    fn normalisation(&self, features: usize) -> (Vec<f32>, Vec<f32>) {
        let of = |feature: usize| {
            let columns = (0..self.source.len()).filter(|&column| self.source[column] == feature);
            let columns: Vec<usize> = columns.collect();
            if let [column] = *columns {
                return (self.mean[column], self.scale[column]);
            }
            let ends = columns
                .last()
                .map(|&last| self.mean[last] + 1.0 / self.scale[last]);
            let values: Vec<f64> = columns
                .iter()
                .map(|&column| self.mean[column])
                .chain(ends)
                .map(f64::from)
                .collect();
            let count = values.len().max(1) as f64;
            let centre = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / count;
            (centre as f32, (1.0 / variance.sqrt().max(SPREAD_MIN)) as f32)
        };
        (0..features).map(of).unzip()
    }
}

/// The layers of a file, the first of which takes `inputs` values; all in the precision of the first.
fn take_layers(tensors: &Initialisers, mut inputs: usize) -> Result<Vec<Layer>, String> {
    let mut layers = Vec::new();
    while let Some(outputs) = tensors.len(&format!("bias_{}", layers.len())) {
        if outputs == 0 {
            return Err(format!("initialiser bias_{} has no values", layers.len()));
        }
        let name = format!("weight_{}", layers.len());
        let weights = tensors.matrix(&name, outputs, inputs)?;
        let bias = tensors.vector(&format!("bias_{}", layers.len()), outputs)?;
        if let (Some(found), Some(expected)) = (tensors.precision(&name), tensors.precision("weight_0"))
            && found != expected
        {
            return Err(format!(
                "initialiser {name} is stored in {found}, expected {expected} as weight_0 is"
            ));
        }
        layers.push(Layer::new(inputs, &weights, &bias));
        inputs = outputs;
    }
    Ok(layers)
}

/// The feature of each column.
fn sources(repeat: &[f32], features: usize) -> Result<Vec<usize>, String> {
    let rows = repeat.chunks_exact(features);
    let source = |(column, row): (usize, &[f32])| {
        let mut ones = (0..features).filter(|&feature| row[feature] != 0.0);
        match (ones.next(), ones.next()) {
            (Some(feature), None) if row[feature] == 1.0 => Ok(feature),
            _ => Err(format!(
                "initialiser repeat, column {column}: expected zeros and a single 1"
            )),
        }
    };
    rows.enumerate().map(source).collect()
}

impl Layer {
    fn new(inputs: usize, weights: &[f32], bias: &[f32]) -> Self {
        let outputs = bias.len();
        let blocks = outputs.div_ceil(LANES);
        let mut blocked = vec![0.0; blocks * inputs * LANES];
        for output in 0..outputs {
            for input in 0..inputs {
                let (block, lane) = (output / LANES, output % LANES);
                blocked[(block * inputs + input) * LANES + lane] = weights[output * inputs + input];
            }
        }
        Self {
            inputs,
            outputs,
            weights: blocked,
            rows: weights.to_vec(),
            bias: bias.to_vec(),
        }
    }

    fn apply(&self, from: &[f32], to: &mut [f32], relu: bool) {
        let blocks = self.weights.chunks_exact(self.inputs * LANES);
        for (block, (weights, out)) in blocks.zip(to.chunks_mut(LANES)).enumerate() {
            let mut sums = [0.0_f32; LANES];
            for (value, row) in from.iter().zip(weights.chunks_exact(LANES)) {
                for (sum, weight) in sums.iter_mut().zip(row) {
                    *sum += value * weight;
                }
            }
            for (lane, out) in out.iter_mut().enumerate() {
                let value = sums[lane] + self.bias[block * LANES + lane];
                *out = if relu { value.max(0.0) } else { value };
            }
        }
    }

    /// For each input the sum of what it adds to the outputs, for each unit of it and `slopes` of them.
    fn apply_back(&self, slopes: &[f32], inputs: &mut [f32]) {
        inputs.fill(0.0);
        for (&slope, row) in slopes.iter().zip(self.rows.chunks_exact(self.inputs)) {
            // Of the units that are cut at zero many are flat all the way.
            if slope != 0.0 {
                for (input, weight) in inputs.iter_mut().zip(row) {
                    *input += weight * slope;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prop_any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = NativeEncoder::parse(&bytes, 3, 2);
        }
    }

    #[test]
    fn columns_that_are_no_single_feature_are_refused() {
        assert_eq!(sources(&[0.0, 1.0, 1.0, 0.0], 2), Ok(vec![1, 0]));
        for (repeat, expected) in [
            (&[0.0, 0.0][..], "column 0: expected zeros and a single 1"),
            (&[0.0, 1.0, 1.0, 1.0], "column 1: expected zeros and a single 1"),
            (&[0.0, 0.5], "column 0: expected zeros and a single 1"),
        ] {
            let refused = sources(repeat, 2).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn blocked_layer_equals_the_plain_sum() {
        let (inputs, outputs) = (5, 19);
        let weights: Vec<f32> = (0..inputs * outputs)
            .map(|index| (index % 7) as f32 - 3.0)
            .collect();
        let bias: Vec<f32> = (0..outputs).map(|index| index as f32).collect();
        let from = [1.0, -2.0, 3.0, 0.5, 4.0];
        let mut to = vec![0.0; outputs];
        Layer::new(inputs, &weights, &bias).apply(&from, &mut to, false);
        for output in 0..outputs {
            let plain: f32 = (0..inputs)
                .map(|input| from[input] * weights[output * inputs + input])
                .sum();
            assert_eq!(to[output], plain + bias[output]);
        }
    }

    fn shipped() -> NativeEncoder {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v2");
        NativeEncoder::load(&ModelFolder::open(&folder).unwrap()).unwrap()
    }

    /// A vector of the shipped model, within a few deviations of training.
    fn vector(encoder: &NativeEncoder, seed: u32) -> Vec<f32> {
        let (mean, scale) = encoder.normalisation();
        let features = mean.iter().zip(scale).zip(1_u32..);
        let value = |((mean, scale), place): ((&f32, &f32), u32)| {
            let turned = seed.wrapping_mul(2_654_435_761).rotate_left(place) % 1_000;
            mean + (turned as f32 * 0.006 - 3.0) / scale
        };
        features.map(value).collect()
    }

    /// The last layer's values.
    fn z(encoder: &mut NativeEncoder, features: &[f32]) -> Vec<f32> {
        encoder.trace(features, 0);
        encoder.traces[0].sums.last().unwrap().clone()
    }

    #[test]
    fn contributions_add_up_to_the_way() {
        let mut encoder = shipped();
        let dimensions = encoder.dimensions();
        for seed in 1..40 {
            let (from, to) = (vector(&encoder, seed), vector(&encoder, seed + 1_000));
            let there: Vec<f32> = (0..dimensions)
                .map(|index| ((index as u32 * seed) % 7) as f32 * 0.1)
                .collect();
            let mut contributions = vec![0.0; from.len()];
            encoder.contributions(&from, &to, &there, &mut contributions);
            let mut embedding = vec![0.0; dimensions];
            encoder.encode(&from, &mut embedding);
            let (start, end) = (z(&mut encoder, &from), z(&mut encoder, &to));
            let way = |index: usize| (end[index] - start[index]) * (there[index] - embedding[index]);
            let (expected, size): (f32, f32) = (0..dimensions)
                .map(way)
                .fold((0.0, 0.0), |(sum, size), part| (sum + part, size + part.abs()));
            let found: f32 = contributions.iter().sum();
            let size = size + contributions.iter().map(|part| part.abs()).sum::<f32>();
            assert!((found - expected).abs() <= 1e-5 * size, "{found} {expected}");
        }
    }

    #[test]
    fn feature_that_did_not_move_contributes_nothing() {
        let mut encoder = shipped();
        let from = vector(&encoder, 1);
        let mut to = vector(&encoder, 2);
        let there = vec![0.25; encoder.dimensions()];
        let mut contributions = vec![1.0; from.len()];
        to[7] = from[7];
        encoder.contributions(&from, &to, &there, &mut contributions);
        assert_eq!(contributions[7], 0.0);
        assert!(contributions.iter().filter(|&&part| part != 0.0).count() > from.len() / 2);
        // A feature that moves alone does all of it.
        let mut alone = from.clone();
        alone[0] = to[0];
        encoder.contributions(&from, &alone, &there, &mut contributions);
        assert!(contributions[0] != 0.0 && contributions[1..].iter().all(|&part| part == 0.0));
    }
}
