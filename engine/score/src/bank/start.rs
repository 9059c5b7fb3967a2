//! The cases that a bank begins with: `bank.bin` of a model's folder.
//!
//! ```text
//!   PNBANK01 │ rows u32 │ dimensions u32 │ rows × dimensions f32 │ rows weights f32 │ rows labels u8 │ rows ids [u8; 36]
//! ```
//!
//! Little endian; embeddings are of length 1; a label is 1 for a fraud, 0 for a genuine case.
//!
//! Invariant: row `n` of the file is row `n` of the bank, and its sequence is `n + 1`.

use pinion_schemas::ids::{ID_LEN_MAX, Id};

use super::Bank;
use super::case::{Case, Label};
use super::config::BankConfig;

/// First bytes of the file.
pub(super) const MAGIC: &[u8; 8] = b"PNBANK01";

/// Bytes before the embeddings.
const HEAD_LEN: usize = 16;

/// Bytes of an f32.
const FLOAT_LEN: usize = 4;

impl Bank {
    /// A bank of the default configuration, with as many rows at least as the file has, that begins with the file's.
    ///
    /// # Errors
    /// What was found in the file and what was expected.
    pub fn parse(bytes: &[u8], rows: usize, dimensions: usize) -> Result<Self, String> {
        let mut config = BankConfig::default();
        config.rows_max = config.rows_max.max(u32::try_from(rows).unwrap_or(u32::MAX));
        Self::start(&config, bytes, rows, dimensions, 0)
    }

    /// A bank that begins with the `rows` cases of a file, embeddings of `dimensions`.
    ///
    /// The file has no entities and no times: the cases belong to no entity, and all count as of `event_ns`, which
    /// tells when they leave by age (the end of the model's training data would do).
    ///
    /// # Errors
    /// What was found, in the file or in the configuration, and what was expected.
    ///
    /// Cost: about 1 µs per row; where they are enough to be searched approximately, that of [`Self::cluster`] too.
    pub fn start(
        config: &BankConfig,
        bytes: &[u8],
        rows: usize,
        dimensions: usize,
        event_ns: i64,
    ) -> Result<Self, String> {
        let file = File::parse(bytes, rows, dimensions)?;
        let mut bank = Self::new(config, dimensions).map_err(|error| error.to_string())?;
        if rows > config.rows_max as usize {
            let rows_max = config.rows_max;
            return Err(format!(
                "{rows} rows, expected at most {rows_max} as score.bank.rows_max says"
            ));
        }
        for row in 0..rows {
            let case = file.case(row, event_ns);
            let inserted = bank.insert(&case);
            inserted.map_err(|refusal| format!("row {row} has {refusal}"))?;
            if bank.len() != row + 1 {
                let class = if case.label == Label::Fraud {
                    "fraud"
                } else {
                    "genuine"
                };
                return Err(format!(
                    "row {row} is {}, a {class} case, expected another id than before and no more of its class than \
                     score.bank.{class}_rows_max",
                    case.id
                ));
            }
        }
        if config.approximate_from_rows > 0 && bank.len() >= config.approximate_from_rows as usize {
            bank.cluster();
        }
        Ok(bank)
    }
}

/// The parts of a file.
struct File<'a> {
    embeddings: Vec<f32>,
    weights: Vec<f32>,
    labels: &'a [u8],
    ids: &'a [[u8; ID_LEN_MAX]],
    dimensions: usize,
}

impl<'a> File<'a> {
    fn parse(bytes: &'a [u8], rows: usize, dimensions: usize) -> Result<Self, String> {
        let expected = HEAD_LEN + rows * (dimensions * FLOAT_LEN + FLOAT_LEN + 1 + ID_LEN_MAX);
        if bytes.len() != expected {
            let found = bytes.len();
            return Err(format!("{found} bytes, expected {expected} for {rows} rows"));
        }
        let (head, body) = bytes.split_at(HEAD_LEN);
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if &head[..8] != MAGIC || (number(8) as usize, number(12) as usize) != (rows, dimensions) {
            return Err(format!(
                "header is {head:02x?}, expected PNBANK01 with {rows} rows of {dimensions}"
            ));
        }
        let (embeddings, rest) = body.split_at(rows * dimensions * FLOAT_LEN);
        let (weights, rest) = rest.split_at(rows * FLOAT_LEN);
        let (labels, ids) = rest.split_at(rows);
        if let Some(row) = labels.iter().position(|&label| label > 1) {
            return Err(format!("row {row} has label {}, expected 0 or 1", labels[row]));
        }
        let ids = ids.as_chunks().0;
        if let Some(row) = ids.iter().position(|&id| !Id(id).is_valid()) {
            return Err(format!("row {row} has the id {:02x?}, expected a name", ids[row]));
        }
        Ok(Self {
            embeddings: floats(embeddings),
            weights: floats(weights),
            labels,
            ids,
            dimensions,
        })
    }

    fn case(&self, row: usize, event_ns: i64) -> Case<'_> {
        Case {
            id: Id(self.ids[row]),
            entity: 0,
            label: Label::of(self.labels[row] == 1),
            weight: self.weights[row],
            event_ns,
            embedding: &self.embeddings[row * self.dimensions..][..self.dimensions],
        }
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (fours, _) = bytes.as_chunks::<FLOAT_LEN>();
    fours.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file of a bank with these embeddings; odd rows are frauds.
    fn file(embeddings: &[Vec<f32>]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((embeddings.len() as u32).to_le_bytes());
        bytes.extend((embeddings[0].len() as u32).to_le_bytes());
        bytes.extend(embeddings.iter().flatten().flat_map(|value| value.to_le_bytes()));
        bytes.extend(embeddings.iter().flat_map(|_| 1.0_f32.to_le_bytes()));
        bytes.extend((0..embeddings.len()).map(|row| (row % 2) as u8));
        bytes.extend((0..embeddings.len()).flat_map(|row| Id::new(&format!("case-{row}")).unwrap().0));
        bytes
    }

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut Vec<u8>, &mut BankConfig), expected: &str) {
        let mut bytes = file(&vec![vec![1.0, 0.0]; 8]);
        let mut config = BankConfig::default();
        change(&mut bytes, &mut config);
        let error = Bank::start(&config, &bytes, 8, 2, 0).err().unwrap();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn rows_stand_as_in_the_file() {
        let bank = Bank::parse(&file(&vec![vec![0.6, 0.8]; 8]), 8, 2).unwrap();
        assert_eq!((bank.len(), bank.name(3).as_str()), (8, "case-3"));
        assert_eq!(
            (bank.is_fraud(3), bank.is_fraud(4), bank.weight(3)),
            (true, false, 1.0)
        );
        let mut embedding = [0.0; 2];
        bank.embedding(7, &mut embedding);
        assert_eq!(embedding, [0.6, 0.8]);
    }

    #[test]
    fn rows_are_laid_out_in_cells_where_they_are_enough() {
        let embeddings: Vec<Vec<f32>> = (0..200)
            .map(|row| {
                if row % 2 == 0 {
                    vec![0.6, 0.8]
                } else {
                    vec![0.8, -0.6]
                }
            })
            .collect();
        for (approximate_from_rows, is_approximate) in [(0, false), (200, true), (201, false)] {
            let config = BankConfig {
                approximate_from_rows,
                ..BankConfig::default()
            };
            let bank = Bank::start(&config, &file(&embeddings), 200, 2, 0).unwrap();
            assert_eq!(
                bank.is_approximate(),
                is_approximate,
                "from {approximate_from_rows}"
            );
        }
    }

    #[test]
    fn malformed_file_is_refused() {
        check_refused(
            |bytes, _| bytes.truncate(bytes.len() - 1),
            "expected 408 for 8 rows",
        );
        check_refused(|bytes, _| bytes[0] = b'x', "expected PNBANK01");
        let not_finite = f32::NAN.to_le_bytes();
        check_refused(
            |bytes, _| bytes[16..20].copy_from_slice(&not_finite),
            "row 0 has an embedding that is not finite",
        );
        check_refused(
            |bytes, _| bytes[24..28].copy_from_slice(&2.0_f32.to_le_bytes()),
            "row 1 has an embedding of length 2, expected 1",
        );
        check_refused(
            |bytes, _| bytes[80..84].copy_from_slice(&not_finite),
            "row 0 has a weight of NaN",
        );
        check_refused(|bytes, _| bytes[112] = 7, "row 0 has label 7, expected 0 or 1");
        check_refused(|bytes, _| bytes[120] = 0xFF, "row 0 has the id [ff, ");
        check_refused(
            |bytes, _| bytes.copy_within(120..156, 156),
            "row 1 is case-0, a fraud case, expected another id",
        );
    }

    #[test]
    fn file_that_does_not_fit_is_refused_by_key() {
        check_refused(
            |_, config| config.rows_max = 7,
            "8 rows, expected at most 7 as score.bank.rows_max says",
        );
        check_refused(|_, config| config.fraud_rows_max = 3, "score.bank.fraud_rows_max");
        check_refused(
            |_, config| config.genuine_rows_max = 3,
            "score.bank.genuine_rows_max",
        );
    }
}
