//! The constants of an ONNX file: its own small reader of the few protocol buffer messages they stand in.
//!
//! ```text
//!   model ─7─▶ graph ─5─▶ initialiser: type (2), name (8), raw bytes (9)
//!   f32, f16 ─▶ values          int8 ─▶ values · scale of their row
//! ```
//!
//! Invariant: any bytes are read or refused; what is read is f32, widened exactly, and finite.

use std::collections::BTreeMap;

use crate::bank::half;
use crate::manifest::Precision;

/// Exponent of a half that is infinite or no number.
const HALF_NOT_FINITE: u16 = 0x7c00;

/// The initialisers of a file by name.
pub(crate) struct Initialisers(BTreeMap<String, Tensor>);

/// One of them, widened to f32; int8 before it is scaled.
struct Tensor {
    precision: Precision,
    values: Vec<f32>,
}

impl Initialisers {
    /// Reads those that are f32, f16 or int8; others are left out.
    pub(crate) fn read(onnx: &[u8]) -> Option<Self> {
        let mut tensors = BTreeMap::new();
        for (_, graph) in fields(onnx)?.into_iter().filter(|(number, _)| *number == 7) {
            let fields = fields(graph.bytes()?)?.into_iter();
            for (_, tensor) in fields.filter(|(number, _)| *number == 5) {
                let (name, tensor) = read_tensor(tensor.bytes()?)?;
                tensors.extend(tensor.map(|tensor| (name, tensor)));
            }
        }
        Some(Self(tensors))
    }

    /// How many values an initialiser has, if it is there.
    pub(crate) fn len(&self, name: &str) -> Option<usize> {
        self.0.get(name).map(|tensor| tensor.values.len())
    }

    /// In what an initialiser is stored.
    pub(crate) fn precision(&self, name: &str) -> Option<Precision> {
        self.0.get(name).map(|tensor| tensor.precision)
    }

    /// An initialiser of `len` values, in f32 in the file.
    pub(crate) fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, String> {
        let tensor = self.find(name, len)?;
        match tensor.precision {
            Precision::F32 => Ok(tensor.values.clone()),
            other => Err(format!("initialiser {name} is stored in {other}, expected f32")),
        }
    }

    /// An initialiser of `rows` rows and `columns` columns, in any precision.
    pub(crate) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>, String> {
        let tensor = self.find(name, rows * columns)?;
        let mut values = tensor.values.clone();
        if tensor.precision == Precision::Int8 {
            let scales = format!("{name}_scale");
            let is_one = self.len(&scales) == Some(1);
            let scales = self.vector(&scales, if is_one { 1 } else { rows })?;
            let scales = scales.iter().cycle();
            for (row, scale) in values.chunks_exact_mut(columns.max(1)).zip(scales) {
                row.iter_mut().for_each(|value| *value *= scale);
            }
        }
        Ok(values)
    }

    fn find(&self, name: &str, len: usize) -> Result<&Tensor, String> {
        let tensor = self
            .0
            .get(name)
            .ok_or_else(|| format!("found no initialiser {name}"))?;
        let found = tensor.values.len();
        if found != len {
            return Err(format!("initialiser {name} has {found} values, expected {len}"));
        }
        if tensor.values.iter().any(|value| !value.is_finite()) {
            return Err(format!("initialiser {name} has a value that is not finite"));
        }
        Ok(tensor)
    }
}

/// Name and values of an initialiser; no values if they are of another type.
fn read_tensor(message: &[u8]) -> Option<(String, Option<Tensor>)> {
    let mut name = String::new();
    let mut data_type = 0;
    let mut raw: &[u8] = &[];
    for (number, field) in fields(message)? {
        match number {
            2 => data_type = field.varint()?,
            8 => name = String::from_utf8(field.bytes()?.to_vec()).ok()?,
            9 => raw = field.bytes()?,
            _ => {}
        }
    }
    let tensor = precision_of(data_type).map(|precision| Tensor {
        precision,
        values: widened(raw, precision),
    });
    Some((name, tensor))
}

/// Of a TensorProto's data type.
fn precision_of(data_type: u64) -> Option<Precision> {
    match data_type {
        1 => Some(Precision::F32),
        3 => Some(Precision::Int8),
        10 => Some(Precision::F16),
        _ => None,
    }
}

fn widened(raw: &[u8], precision: Precision) -> Vec<f32> {
    match precision {
        Precision::F32 => raw
            .as_chunks()
            .0
            .iter()
            .map(|&four| f32::from_le_bytes(four))
            .collect(),
        Precision::F16 => raw
            .as_chunks()
            .0
            .iter()
            .map(|&two| from_half(u16::from_le_bytes(two)))
            .collect(),
        Precision::Int8 => raw
            .iter()
            .map(|&byte| f32::from(i8::from_le_bytes([byte])))
            .collect(),
    }
}

fn from_half(half: u16) -> f32 {
    if half & HALF_NOT_FINITE == HALF_NOT_FINITE {
        return f32::NAN;
    }
    half::to_single(half)
}

/// A field of a protocol buffer message.
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed,
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn varint(&self) -> Option<u64> {
        match self {
            Self::Varint(value) => Some(*value),
            _ => None,
        }
    }
}

/// The fields of a message, or `None` if it is cut short or malformed.
pub(crate) fn fields(mut message: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut message)?),
            1 => message.split_off(..8).map(|_| Field::Fixed)?,
            2 => {
                let len = usize::try_from(varint(&mut message)?).ok()?;
                Field::Bytes(message.split_off(..len)?)
            }
            5 => message.split_off(..4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        found.push((key >> 3, field));
    }
    Some(found)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *message.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one initialiser.
    fn file(name: &str, data_type: u8, raw: &[u8]) -> Vec<u8> {
        let message = |field: u8, body: &[u8]| [&[field << 3 | 2, body.len() as u8], body].concat();
        let kind = [2 << 3, data_type];
        let tensor = [&kind[..], &message(8, name.as_bytes()), &message(9, raw)].concat();
        message(7, &message(5, &tensor))
    }

    /// Files that stand one behind the other are one file: its graphs are read one by one.
    fn read(parts: &[Vec<u8>]) -> Initialisers {
        Initialisers::read(&parts.concat()).unwrap()
    }

    #[test]
    fn halves_are_widened_exactly() {
        let raw = [0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00].as_slice();
        let tensors = read(&[file("w", 10, raw)]);
        assert_eq!(tensors.precision("w"), Some(Precision::F16));
        assert_eq!(tensors.matrix("w", 1, 3).unwrap(), [1.0, -2.0, 2.0_f32.powi(-24)]);
    }

    #[test]
    fn whole_numbers_are_scaled_row_by_row_or_all_alike() {
        let raw = [1, 0xfe, 127, 0x81];
        let each = [0.5_f32.to_le_bytes(), 2.0_f32.to_le_bytes()].concat();
        let tensors = read(&[file("w", 3, &raw), file("w_scale", 1, &each)]);
        assert_eq!(tensors.matrix("w", 2, 2).unwrap(), [0.5, -1.0, 254.0, -254.0]);
        let tensors = read(&[file("w", 3, &raw), file("w_scale", 1, &0.5_f32.to_le_bytes())]);
        assert_eq!(tensors.matrix("w", 2, 2).unwrap(), [0.5, -1.0, 63.5, -63.5]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let refused = |parts: &[Vec<u8>]| read(parts).matrix("w", 2, 2).unwrap_err();
        let raw = [1, 2, 3, 4];
        assert_eq!(refused(&[]), "found no initialiser w");
        assert_eq!(
            refused(&[file("w", 3, &raw[..3])]),
            "initialiser w has 3 values, expected 4"
        );
        assert_eq!(refused(&[file("w", 3, &raw)]), "found no initialiser w_scale");
        let infinite = [0x00, 0x7c].repeat(4);
        assert_eq!(
            refused(&[file("w", 10, &infinite)]),
            "initialiser w has a value that is not finite"
        );
        let halves = file("w_scale", 10, &[0, 0x3c]);
        assert_eq!(
            refused(&[file("w", 3, &raw), halves]),
            "initialiser w_scale is stored in f16, expected f32"
        );
    }
}
