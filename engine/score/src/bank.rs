//! The bank of labelled cases, searched exactly.
//!
//! ```text
//!   rows of length 1, sixteen to a block, dimension by dimension:
//!   block 0: d0 of rows 0..16 │ d1 of rows 0..16 │ …      one load and one multiply-add per dimension
//! ```
//!
//! Format of `bank.bin` (little endian): `PNBANK01`, rows u32, dimensions u32; then `rows × dimensions` f32
//! embeddings of length 1; `rows` f32 weights; `rows` labels (1 fraud, 0 genuine); `rows` names of 36 bytes.
//!
//! A search is two passes: the scan writes every similarity and the highest of each block; the `k`-th highest of
//! these is a lower bound of the `k`-th similarity, so only the few rows above it are picked and sorted.
//!
//! The scan is compiled once for each set of vector instructions and chosen at start. None of them fuses a
//! multiplication with an addition, so all give the same bits.
//!
//! Invariant: the neighbours of an embedding are the `k` rows of highest similarity, ties to the lower row,
//! whatever the machine: each similarity is summed in the order of the dimensions.

#![allow(
    unsafe_code,
    reason = "a function compiled for instructions that the machine was asked for"
)]

use pinion_schemas::ids::{ID_LEN_MAX, Id};

/// Rows in a block.
const LANES: usize = 16;

/// First bytes of the file.
const MAGIC: &[u8; 8] = b"PNBANK01";

/// A row and how near it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Neighbour {
    /// Row of the bank.
    pub row: u32,
    /// Cosine, -1..=1.
    pub similarity: f32,
}

/// Labelled embeddings.
pub struct Bank {
    rows: usize,
    dimensions: usize,
    blocks: Vec<f32>,
    weights: Vec<f32>,
    frauds: Vec<bool>,
    names: Vec<Id>,
    instructions: Instructions,
    similarities: Vec<f32>,
    highest: Vec<f32>,
    ranked: Vec<f32>,
    picked: Vec<Neighbour>,
}

impl Bank {
    /// Reads a bank of `rows` embeddings of `dimensions`.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn parse(bytes: &[u8], rows: usize, dimensions: usize) -> Result<Self, String> {
        let expected = 16 + rows * (dimensions * 4 + 4 + 1 + ID_LEN_MAX);
        if bytes.len() != expected {
            return Err(format!(
                "{} bytes, expected {expected} for {rows} rows",
                bytes.len()
            ));
        }
        let (head, body) = bytes.split_at(16);
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        if &head[..8] != MAGIC || (number(8), number(12)) != (rows, dimensions) {
            return Err(format!(
                "header is {head:02x?}, expected PNBANK01 with {rows} rows of {dimensions}"
            ));
        }
        let (embeddings, rest) = body.split_at(rows * dimensions * 4);
        let (weights, rest) = rest.split_at(rows * 4);
        let (labels, names) = rest.split_at(rows);
        let embeddings = floats(embeddings);
        if let Some(index) = embeddings.iter().position(|value| !value.is_finite()) {
            return Err(format!(
                "row {} has a value that is not finite",
                index / dimensions
            ));
        }
        let name = |bytes: &[u8]| Id(bytes.try_into().expect("chunks of an id's length"));
        Ok(Self {
            rows,
            dimensions,
            blocks: block(&embeddings, rows, dimensions),
            weights: floats(weights),
            frauds: labels.iter().map(|&label| label == 1).collect(),
            names: names.chunks_exact(ID_LEN_MAX).map(name).collect(),
            instructions: Instructions::find(),
            similarities: vec![0.0; rows.div_ceil(LANES) * LANES],
            highest: vec![0.0; rows.div_ceil(LANES)],
            ranked: Vec::with_capacity(rows.div_ceil(LANES)),
            picked: Vec::with_capacity(rows),
        })
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether a row is a fraud.
    pub fn is_fraud(&self, row: u32) -> bool {
        self.frauds[row as usize]
    }

    /// How much a row's vote counts: a row that stands for four genuine cases counts four.
    pub fn weight(&self, row: u32) -> f32 {
        self.weights[row as usize]
    }

    /// The transaction a row was.
    pub fn name(&self, row: u32) -> Id {
        self.names[row as usize]
    }

    /// Fills `nearest` with the rows most similar to `embedding`, nearest first.
    ///
    /// Shape: `embedding` has the bank's dimensions; `nearest` is as long as neighbours are wanted, at most
    ///        as many as there are rows.
    /// Cost:  one pass over the bank, and a sort of the few rows near the end of the list.
    pub fn search(&mut self, embedding: &[f32], nearest: &mut [Neighbour]) {
        self.scan(embedding);
        let bound = self.lower_bound(nearest.len());
        self.pick(bound);
        self.picked
            .sort_unstable_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
        nearest.copy_from_slice(&self.picked[..nearest.len()]);
    }

    /// Every similarity, and the highest of each block.
    fn scan(&mut self, embedding: &[f32]) {
        let scan = Scan {
            blocks: &self.blocks,
            dimensions: self.dimensions,
            similarities: &mut self.similarities,
            highest: &mut self.highest,
        };
        match self.instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => {
                // SAFETY: `Instructions::find` saw that this machine has AVX-512F.
                unsafe { scan.run_avx512(embedding) }
            }
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => {
                // SAFETY: `Instructions::find` saw that this machine has AVX2.
                unsafe { scan.run_avx2(embedding) }
            }
            Instructions::Baseline => scan.run(embedding),
        }
    }

    /// A similarity that at least `count` rows reach: that many blocks have a row which does. Rows that only
    /// fill up the last block are not among them.
    fn lower_bound(&mut self, count: usize) -> f32 {
        let whole_blocks = self.rows / LANES;
        if whole_blocks < count {
            return f32::NEG_INFINITY;
        }
        self.ranked.clear();
        self.ranked.extend_from_slice(&self.highest[..whole_blocks]);
        let (_, bound, _) = self
            .ranked
            .select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        *bound
    }

    /// The rows that reach `bound`.
    fn pick(&mut self, bound: f32) {
        self.picked.clear();
        for (index, &highest) in self.highest.iter().enumerate() {
            if highest < bound {
                continue;
            }
            let first = index * LANES;
            let last = (first + LANES).min(self.rows);
            for (lane, &similarity) in self.similarities[first..last].iter().enumerate() {
                if similarity >= bound {
                    self.picked.push(Neighbour {
                        row: (first + lane) as u32,
                        similarity,
                    });
                }
            }
        }
    }
}

/// Vector instructions that the scan is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Baseline,
}

impl Instructions {
    /// The widest ones of this machine.
    fn find() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") {
                return Self::Avx2;
            }
        }
        Self::Baseline
    }
}

/// One pass over the blocks of a bank.
struct Scan<'a> {
    blocks: &'a [f32],
    dimensions: usize,
    similarities: &'a mut [f32],
    highest: &'a mut [f32],
}

impl Scan<'_> {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn run_avx512(self, embedding: &[f32]) {
        self.run(embedding);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(self, embedding: &[f32]) {
        self.run(embedding);
    }

    /// Inlined into each of the above, so that it is compiled for their instructions.
    #[inline(always)]
    fn run(self, embedding: &[f32]) {
        let blocks = self.blocks.chunks_exact(self.dimensions * LANES);
        let out = self.similarities.chunks_exact_mut(LANES).zip(self.highest);
        for (block, (similarities, highest)) in blocks.zip(out) {
            let sums = dot_block(embedding, block);
            similarities.copy_from_slice(&sums);
            *highest = sums
                .iter()
                .fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        }
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
        .collect()
}

fn block(embeddings: &[f32], rows: usize, dimensions: usize) -> Vec<f32> {
    let mut blocks = vec![0.0; rows.div_ceil(LANES) * LANES * dimensions];
    for row in 0..rows {
        for dimension in 0..dimensions {
            let at = (row / LANES * dimensions + dimension) * LANES + row % LANES;
            blocks[at] = embeddings[row * dimensions + dimension];
        }
    }
    blocks
}

#[inline(always)]
fn dot_block(embedding: &[f32], block: &[f32]) -> [f32; LANES] {
    let mut sums = [0.0_f32; LANES];
    for (value, row) in embedding.iter().zip(block.chunks_exact(LANES)) {
        for (sum, other) in sums.iter_mut().zip(row) {
            *sum += value * other;
        }
    }
    sums
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The file of a bank with these embeddings; odd rows are frauds.
    pub(crate) fn file(embeddings: &[Vec<f32>]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((embeddings.len() as u32).to_le_bytes());
        bytes.extend((embeddings[0].len() as u32).to_le_bytes());
        bytes.extend(embeddings.iter().flatten().flat_map(|value| value.to_le_bytes()));
        bytes.extend(embeddings.iter().flat_map(|_| 1.0_f32.to_le_bytes()));
        bytes.extend((0..embeddings.len()).map(|row| (row % 2) as u8));
        bytes.extend((0..embeddings.len()).flat_map(|row| Id::new(&format!("case-{row}")).unwrap().0));
        bytes
    }

    proptest! {
        #[test]
        fn prop_search_equals_sorting_all(
            rows in proptest::collection::vec(proptest::collection::vec(-4_i8..=4, 8), 8..400),
            query in proptest::collection::vec(-4_i8..=4, 8),
        ) {
            let rows: Vec<Vec<f32>> = rows.iter().map(|row| row.iter().map(|&v| f32::from(v)).collect()).collect();
            let query: Vec<f32> = query.iter().map(|&value| f32::from(value)).collect();
            let mut bank = Bank::parse(&file(&rows), rows.len(), 8).unwrap();
            let mut nearest = [Neighbour::default(); 8];
            bank.search(&query, &mut nearest);
            let mut all: Vec<Neighbour> = rows.iter().enumerate().map(|(row, values)| {
                let similarity = values.iter().zip(&query).map(|(a, b)| a * b).sum();
                Neighbour { row: row as u32, similarity }
            }).collect();
            all.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
            prop_assert_eq!(&nearest[..], &all[..8]);
        }

        #[test]
        fn prop_wide_instructions_give_the_same_bits(
            rows in proptest::collection::vec(proptest::collection::vec(-1.0_f32..1.0, 8), 8..400),
            query in proptest::collection::vec(-1.0_f32..1.0, 8),
        ) {
            let mut bank = Bank::parse(&file(&rows), rows.len(), 8).unwrap();
            let (mut wide, mut baseline) = ([Neighbour::default(); 8], [Neighbour::default(); 8]);
            bank.search(&query, &mut wide);
            bank.instructions = Instructions::Baseline;
            bank.search(&query, &mut baseline);
            prop_assert!(wide.iter().zip(&baseline).all(|(a, b)| a.row == b.row
                && a.similarity.to_bits() == b.similarity.to_bits()));
        }
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], expected: &str) {
        let error = Bank::parse(bytes, 8, 2).err().unwrap();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn malformed_file_is_refused() {
        let good = file(&vec![vec![1.0, 0.0]; 8]);
        assert_eq!(Bank::parse(&good, 8, 2).unwrap().name(3).as_str(), "case-3");
        check_refused(&good[..good.len() - 1], "expected 408 for 8 rows");
        let mut other = good.clone();
        other[0] = b'x';
        check_refused(&other, "expected PNBANK01");
        let mut not_finite = good;
        not_finite[16..20].copy_from_slice(&f32::NAN.to_le_bytes());
        check_refused(&not_finite, "row 0 has a value that is not finite");
    }
}
