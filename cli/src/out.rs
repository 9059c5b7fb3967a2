//! Stdout: data, as text for people or as JSON for programs.
//!
//! Invariant: nothing but data is written here; what is said about it goes to stderr.

use std::fmt;
use std::io::{self, BufWriter, StdoutLock, Write as _};

use serde::Serialize;

use crate::exit::Failure;

/// Buffered stdout. Lines are seen at the latest after [`Out::flush`].
pub struct Out(BufWriter<StdoutLock<'static>>);

impl Out {
    /// Takes stdout.
    pub fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    /// Writes one line.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.0, "{text}").map_err(Failure::of_stdout)
    }

    /// Writes one line of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(Failure::could_not)?;
        self.line(text)
    }

    /// Hands everything on.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(Failure::of_stdout)
    }
}

/// Rows as aligned columns, two spaces apart: the first column to the left, the others to the right.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A count with a comma after every three digits: `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as people count memory: `12.3 MiB`.
pub fn mebibytes(len: u64) -> String {
    format!("{:.1} MiB", len as f64 / f64::from(1 << 20))
}

/// A time in its two largest units: `3 min 20 s`. Unit: ns; not negative.
pub fn span(ns: i64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let seconds = ns.max(0) as u64 / 1_000_000_000;
    let Some(first) = UNITS.iter().position(|(_, len)| seconds >= 10 && seconds >= *len) else {
        return format!("{:.1} s", ns.max(0) as f64 / 1e9);
    };
    let mut rest = seconds;
    let units = UNITS[first..].iter().take(2).map(|(unit, len)| {
        let count = rest / len;
        rest %= len;
        (count, unit)
    });
    let words: Vec<String> = units
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_two_units() {
        let cases = [
            (0, "0.0 s"),
            (9_900_000_000, "9.9 s"),
            (59_000_000_000, "59 s"),
            (200_000_000_000, "3 min 20 s"),
            (7_200_000_000_000, "2 h"),
            (100_000_000_000_000, "1 d 3 h"),
        ];
        cases
            .into_iter()
            .for_each(|(ns, text)| assert_eq!(span(ns), text));
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        cases
            .into_iter()
            .for_each(|(count, text)| assert_eq!(grouped(count), text));
    }

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            table(&[row(["lane", "count"]), row(["market", "7"])]),
            ["lane    count", "market      7"]
        );
    }
}
