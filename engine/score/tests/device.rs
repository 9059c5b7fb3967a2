//! The graph of encoder and search, on the CPU: what it proposes and the bank proves is what the bank finds, to the bit.

use std::path::{Path, PathBuf};

use pinion_schemas::ids::Id;
use pinion_score::bank::{Bank, BankConfig, Case, Label, Neighbour, Precision};
use pinion_score::device::{Device, DeviceBank, Libraries, Sizes};
use pinion_score::manifest::ModelFolder;
use pinion_score::native::NativeEncoder;

const NEIGHBOURS: usize = 16;
const PROPOSALS: usize = 32;

/// A scoring agent may own one.
const fn is_sent<T: Send>() {}
const _: () = is_sent::<DeviceBank>();

fn model(name: &str) -> ModelFolder {
    ModelFolder::open(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../models")
            .join(name),
    )
    .unwrap()
}

/// A bank, its copy on the device, and vectors such as those its cases are made of.
struct Rig {
    encoder: NativeEncoder,
    bank: Bank,
    device: DeviceBank,
    dimensions: usize,
    drawn: u64,
    next_id: u32,
}

impl Rig {
    fn new(model: &ModelFolder, rows_max: u32, batch: usize, precision: Precision) -> Self {
        let sizes = Sizes {
            rows_max,
            batch,
            proposals: PROPOSALS,
            threads: 1,
        };
        let config = BankConfig {
            rows_max,
            precision,
            ..BankConfig::default()
        };
        let dimensions = model.manifest.encoder.dimensions;
        Self {
            encoder: NativeEncoder::load(model).unwrap(),
            bank: Bank::new(&config, dimensions).unwrap(),
            device: DeviceBank::open(Device::Cpu, &Libraries::default(), model, &sizes).unwrap(),
            dimensions,
            drawn: 7,
            next_id: 0,
        }
    }

    /// -3 to 3 standard deviations from the mean of each feature.
    fn vector(&mut self) -> Vec<f32> {
        let (mean, scale) = self.encoder.normalisation();
        let mut draw = || {
            self.drawn = self
                .drawn
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            6.0 * ((self.drawn >> 40) as f32 / (1 << 24) as f32 - 0.5)
        };
        mean.iter()
            .zip(scale)
            .map(|(mean, scale)| mean + draw() / scale)
            .collect()
    }

    fn embedding(&mut self, vector: &[f32]) -> Vec<f32> {
        let mut embedding = vec![0.0; self.dimensions];
        self.encoder.encode(vector, &mut embedding);
        embedding
    }

    /// Inserts a case that the device is told of.
    fn insert(&mut self, embedding: &[f32]) {
        let case = Case {
            id: id(self.next_id),
            entity: 0,
            label: if self.next_id.is_multiple_of(5) {
                Label::Fraud
            } else {
                Label::Genuine
            },
            weight: 1.0,
            event_ns: 0,
            embedding,
        };
        self.next_id += 1;
        let row = self.bank.insert(&case).unwrap().row();
        self.device.note(row);
    }

    fn insert_drawn(&mut self, count: usize) {
        for _ in 0..count {
            let vector = self.vector();
            let embedding = self.embedding(&vector);
            self.insert(&embedding);
        }
    }

    fn remove(&mut self, number: u32) {
        let row = self.bank.find(&id(number)).unwrap();
        assert!(self.bank.remove(&id(number)));
        self.device.note(row);
    }

    fn write(&mut self) -> usize {
        self.device.write_stale(&self.bank).unwrap()
    }

    /// Runs full batches and compares each vector's neighbours with the bank's. Returns how many were proved.
    #[track_caller]
    fn check(&mut self, runs: usize) -> usize {
        let mut proved = 0;
        for _ in 0..runs {
            let vectors: Vec<Vec<f32>> = (0..self.device.batch()).map(|_| self.vector()).collect();
            self.device.run(&vectors.concat()).unwrap();
            for (index, vector) in vectors.iter().enumerate() {
                let embedding = self.embedding(vector);
                proved += usize::from(self.is_proved(index, &embedding));
            }
        }
        proved
    }

    #[track_caller]
    fn is_proved(&mut self, index: usize, embedding: &[f32]) -> bool {
        let mut expected = [Neighbour::default(); NEIGHBOURS];
        let expected_count = self.bank.search(embedding, &mut expected);
        let mut found = [Neighbour::default(); NEIGHBOURS];
        let count = self.device.nearest(index, embedding, &self.bank, &mut found);
        if let Some(count) = count {
            assert_eq!(bits(&found[..count]), bits(&expected[..expected_count]));
        }
        count.is_some()
    }
}

fn id(number: u32) -> Id {
    Id::new(&format!("case-{number}")).unwrap()
}

fn bits(neighbours: &[Neighbour]) -> Vec<(u32, u32)> {
    neighbours
        .iter()
        .map(|one| (one.row, one.similarity.to_bits()))
        .collect()
}

#[test]
fn what_is_proved_is_what_the_bank_finds_at_any_fill() {
    let model = model("fraud-v1");
    let mut rig = Rig::new(&model, 3_000, 8, Precision::F32);
    for (more, written) in [(0, 0), (5, 5), (11, 11), (600, 600), (2_384, 2_384)] {
        rig.insert_drawn(more);
        assert_eq!(rig.write(), written);
        assert_eq!(rig.check(4), 32, "{} rows", rig.bank.len());
    }
}

/// Beyond some size the bank keeps its embeddings one by one.
#[test]
fn what_is_proved_is_what_a_large_bank_finds() {
    let mut rig = Rig::new(&model("fraud-v1"), 20_000, 8, Precision::F32);
    rig.insert_drawn(19_000);
    rig.write();
    rig.insert_drawn(7);
    assert_eq!(rig.check(4), 32);
}

/// Its genuine payments are all alike: more rows than are proposed are as near as rounding can tell.
#[test]
fn where_rounding_decides_the_bank_is_asked() {
    let mut rig = Rig::new(&model("fraud-v2"), 20_000, 8, Precision::F32);
    rig.insert_drawn(20_000);
    rig.write();
    assert!(rig.check(4) < 16);
}

#[test]
fn rows_not_written_yet_are_found() {
    let mut rig = Rig::new(&model("fraud-v1"), 1_024, 4, Precision::F32);
    rig.insert_drawn(500);
    assert_eq!(rig.device.stale(), 500);
    assert_eq!(rig.check(4), 16);
    rig.write();
    rig.insert_drawn(40);
    let vector = rig.vector();
    let embedding = rig.embedding(&vector);
    rig.insert(&embedding);
    rig.device.run(&vector).unwrap();
    let mut nearest = [Neighbour::default(); NEIGHBOURS];
    rig.device
        .nearest(0, &embedding, &rig.bank, &mut nearest)
        .unwrap();
    assert_eq!(Some(nearest[0].row), rig.bank.find(&id(540)));
    assert_eq!(rig.check(4), 16);
}

#[test]
fn rows_removed_and_given_to_others_are_as_in_the_bank() {
    let mut rig = Rig::new(&model("fraud-v1"), 700, 4, Precision::F32);
    rig.insert_drawn(700);
    rig.write();
    (0..70).for_each(|number| rig.remove(10 * number));
    assert_eq!(rig.check(4), 16);
    assert_eq!(rig.write(), 70);
    assert_eq!(rig.check(4), 16);
    // The bank is full after these; each one more has the oldest leave.
    rig.insert_drawn(500);
    assert_eq!(rig.check(4), 16);
    rig.write();
    assert_eq!(rig.check(4), 16);
}

#[test]
fn what_a_bank_forgot_unnoticed_is_not_found() {
    let mut rig = Rig::new(&model("fraud-v1"), 512, 4, Precision::F32);
    rig.insert_drawn(400);
    rig.write();
    for number in 0..8 {
        assert!(rig.bank.remove(&id(number)));
    }
    assert!(rig.check(8) > 24);
}

#[test]
fn narrow_rows_are_compared_as_they_are_kept() {
    for precision in [Precision::F16, Precision::Int8] {
        let mut rig = Rig::new(&model("fraud-v1"), 1_000, 8, precision);
        rig.insert_drawn(900);
        rig.write();
        assert!(rig.check(4) > 28, "{precision:?}");
    }
}

#[test]
fn more_equal_cases_than_are_proposed_are_left_to_the_bank() {
    let mut rig = Rig::new(&model("fraud-v2"), 1_024, 1, Precision::F32);
    let vector = rig.vector();
    let embedding = rig.embedding(&vector);
    (0..100).for_each(|_| rig.insert(&embedding));
    rig.insert_drawn(300);
    rig.write();
    rig.device.run(&vector).unwrap();
    assert!(!rig.is_proved(0, &embedding));
    assert!(!rig.is_proved(0, &vec![f32::NAN; embedding.len()]));
}

#[test]
fn run_of_a_few_vectors_is_as_one_of_many() {
    let mut rig = Rig::new(&model("fraud-v2"), 2_048, 32, Precision::F32);
    rig.insert_drawn(2_000);
    rig.write();
    let vectors: Vec<Vec<f32>> = (0..32).map(|_| rig.vector()).collect();
    rig.device.run(&vectors.concat()).unwrap();
    let lines: Vec<Vec<f32>> = (0..32)
        .map(|index| rig.device.embedding(index).to_vec())
        .collect();
    let found: Vec<Vec<Neighbour>> = (0..32)
        .map(|index| rig.device.proposals(index).collect())
        .collect();
    for (index, vector) in vectors.iter().enumerate() {
        rig.device.run(vector).unwrap();
        assert_eq!(rig.device.embedding(0), lines[index]);
        assert_eq!(rig.device.proposals(0).collect::<Vec<_>>(), found[index]);
    }
}

#[test]
fn device_agrees_with_the_bank_within_a_tolerance() {
    for name in ["fraud-v1", "fraud-v2"] {
        let model = model(name);
        let mut rig = Rig::new(&model, 2_000, 4, Precision::F32);
        rig.insert_drawn(1_500);
        rig.write();
        let vectors: Vec<Vec<f32>> = (0..4).map(|_| rig.vector()).collect();
        rig.device.run(&vectors.concat()).unwrap();
        for (index, vector) in vectors.iter().enumerate() {
            let embedding = rig.embedding(vector);
            let theirs = rig.device.embedding(index).iter().zip(&embedding);
            let worst = theirs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-5, "{name}: embeddings are {worst} apart");
            let mut neighbours: Vec<Neighbour> = rig.device.proposals(index).collect();
            assert_eq!(neighbours.len(), PROPOSALS);
            let said: Vec<f32> = neighbours.iter().map(|one| one.similarity).collect();
            rig.bank.compare(&embedding, &mut neighbours);
            let worst = neighbours
                .iter()
                .zip(said)
                .map(|(a, b)| (a.similarity - b).abs())
                .fold(0.0, f32::max);
            assert!(worst <= 1e-5, "{name}: similarities are {worst} apart");
        }
    }
}

#[test]
fn encoder_that_is_no_graph_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/fraud-v2");
    let text = std::fs::read_to_string(from.join("manifest.toml")).unwrap();
    let onnx = b"no graph";
    let sha256 = pinion_score::library::sha256(onnx);
    let before = text
        .lines()
        .find(|line| line.starts_with("sha256"))
        .unwrap()
        .to_owned();
    let text = text.replacen(&before, &format!("sha256 = \"{sha256}\""), 1);
    std::fs::write(directory.path().join("manifest.toml"), text).unwrap();
    std::fs::write(directory.path().join("encoder.onnx"), onnx).unwrap();
    let model = ModelFolder::open(directory.path()).unwrap();
    let sizes = Sizes {
        rows_max: 512,
        batch: 1,
        proposals: PROPOSALS,
        threads: 1,
    };
    let error = DeviceBank::open(Device::Cpu, &Libraries::default(), &model, &sizes);
    let error = error.err().unwrap().to_string();
    assert!(error.ends_with("encoder.onnx: not an ONNX file"), "{error}");
}
