//! The formats that are read, and how a file tells which it has.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::columns::column_names;
use super::error::{FileName, ImportError, quoted};
use super::input::Input;

/// A file format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Told from the file's content.
    #[default]
    Auto,
    /// Payment events as this project writes them: see [`super::payments_csv`].
    PaymentsCsv,
    /// Market events as this project writes them: see [`super::market_csv`].
    MarketCsv,
    /// The Handbook's transactions as Parquet: see [`super::handbook`].
    HandbookParquet,
    /// The Handbook's transactions as CSV.
    HandbookCsv,
    /// The card transactions of 2013: see [`super::card_file`].
    CardParquet,
    /// Raw websocket messages: see [`super::binance`].
    Binance,
    /// Market-by-order records: see [`super::databento`].
    Databento,
    /// DEEP in a packet capture: see [`super::iex`].
    Iex,
    /// ITCH 5.0: see [`super::itch`].
    Itch,
    /// Message files: see [`super::lobster`].
    Lobster,
}

const NAMES: &[(Format, &str)] = &[
    (Format::Auto, "auto"),
    (Format::PaymentsCsv, "payments-csv"),
    (Format::MarketCsv, "market-csv"),
    (Format::HandbookParquet, "handbook-parquet"),
    (Format::HandbookCsv, "handbook-csv"),
    (Format::CardParquet, "card-parquet"),
    (Format::Binance, "binance"),
    (Format::Databento, "databento"),
    (Format::Iex, "iex-deep"),
    (Format::Itch, "itch-5.0"),
    (Format::Lobster, "lobster"),
];

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES
            .iter()
            .find(|(format, _)| format == self)
            .map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found
            .map(|(format, _)| *format)
            .ok_or_else(|| format!("format is {text:?}, expected {}", names()))
    }
}

fn names() -> String {
    NAMES.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

/// Tells a file's format from its first bytes; of Parquet, from its columns.
///
/// Errors: the file cannot be read, or is of no format that has events.
pub fn detect(path: &Path) -> Result<Format, ImportError> {
    let mut input = Input::open(path)?;
    let beginning = input.beginning()?;
    if beginning.starts_with(b"PAR1") {
        return detect_parquet(path);
    }
    let binary = match beginning {
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [b'D', b'B', b'N', ..] => Some(Format::Databento),
        [0xd4, 0xc3, 0xb2, 0xa1, ..] => Some(Format::Iex),
        [0, 0 | 12, b'S', ..] => Some(Format::Itch),
        _ => None,
    };
    let line = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let format = binary.or_else(|| detect_text(&line));
    format.ok_or_else(|| {
        input
            .name
            .format(quoted(&line), format!("a format of {}", names()))
    })
}

fn detect_parquet(path: &Path) -> Result<Format, ImportError> {
    let columns = column_names(path)?;
    let has = |wanted: &str| columns.iter().any(|column| column == wanted);
    if has("TX_DATETIME") && has("TX_FRAUD") {
        return Ok(Format::HandbookParquet);
    }
    if has("Time") && has("Amount") && has("Class") {
        return Ok(Format::CardParquet);
    }
    let name = FileName::new(&path.display().to_string());
    let found = format!("a Parquet file of columns {}", columns.join(", "));
    Err(name.format(found, "the columns of handbook-parquet or card-parquet"))
}

fn detect_text(line: &str) -> Option<Format> {
    let columns: Vec<_> = line.trim_end().split(',').collect();
    let has = |wanted: &str| columns.contains(&wanted);
    if has("kind") && has("event_time") {
        return Some(if has("instrument") {
            Format::MarketCsv
        } else {
            Format::PaymentsCsv
        });
    }
    if has("TX_DATETIME") && has("TX_FRAUD") {
        return Some(Format::HandbookCsv);
    }
    let is_number = |text: &&str| text.parse::<f64>().is_ok();
    if columns.len() == 6 && columns.iter().all(is_number) {
        return Some(Format::Lobster);
    }
    let (time, json) = line.split_once(' ')?;
    (time.parse::<i64>().is_ok() && json.starts_with('{')).then_some(Format::Binance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<Format>) {
        assert_eq!(detect_text(line), expected, "{line}");
    }

    #[test]
    fn text_files_are_told_by_their_first_line() {
        check("kind,event_time,customer", Some(Format::PaymentsCsv));
        check("kind,event_time,instrument\r", Some(Format::MarketCsv));
        check("TRANSACTION_ID,TX_DATETIME,TX_FRAUD", Some(Format::HandbookCsv));
        check("34200.004241176,1,16113575,18,5853300,1", Some(Format::Lobster));
        check("1723161253937085768 {\"stream\":\"x\"}", Some(Format::Binance));
        check("a,b,c,d,e,f", None);
        check("", None);
    }

    #[test]
    fn every_format_reads_back_from_its_name() {
        for (format, name) in NAMES {
            assert_eq!(name.parse::<Format>(), Ok(*format));
            assert_eq!(format.to_string(), *name);
        }
        assert!("csv".parse::<Format>().is_err());
    }
}
