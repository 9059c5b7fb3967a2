//! Files of recorded days as streams of events, all read the same way.
//!
//! ```text
//!   file ──▶ format ──open──▶ handbook, card_file, payments_csv      payment events
//!                       └───▶ binance, databento, iex, itch, lobster, market_csv      market events
//!                                   │ each a RecordDecoder
//!                                   ▼
//!                              EventSource ──▶ publisher
//! ```
//!
//! Start at [`open`]; [`source`] has the trait that comes back, [`number`] the exact reading of prices.
//! Prices are 1e-9 of the quote currency, quantities 1e-9 of the instrument's unit, amounts cents, times ns
//! since the Unix epoch, as on the wire.
//!
//! Invariant: reading the same file twice gives the same events; no clock, no hash order, no floating point
//! between a decimal of the file and the integer of the event.

pub mod source;

pub mod error;

pub mod format;

pub mod number;

pub mod time;

pub mod payments_csv;

pub mod market_csv;

pub mod handbook;

pub mod handbook_features;

pub mod card_file;

pub mod binance;

pub mod databento;

pub mod iex;

pub mod itch;

pub mod lobster;

pub mod reference;

pub(crate) mod labels;

mod columns;
mod input;
mod names;
mod table;

use std::path::Path;

use pinion_schemas::ids::Id;

pub use error::{ImportError, Place};
pub use format::{Format, detect};
pub use source::{EventSource, OnError, SourceEvent, Tally};

use self::binance::BinanceDecoder;
use self::card_file::CardDecoder;
use self::databento::DatabentoDecoder;
use self::handbook::{CsvRows, HandbookDecoder, ParquetRows};
use self::iex::IexDecoder;
use self::input::Input;
use self::itch::ItchDecoder;
use self::lobster::LobsterDecoder;
use self::market_csv::MarketCsvDecoder;
use self::payments_csv::PaymentsCsvDecoder;
use self::source::{Reading, RecordDecoder};
use self::time::{DAY_NS, parse_day};

/// Which of the two times of a recorded market message becomes the time of the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventClock {
    /// When the recorder received it: never decreases within a file.
    #[default]
    Received,
    /// When the venue sent it, where the message tells; may step back between streams of one venue.
    Venue,
}

/// How a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// What to do with a bad record.
    pub on_error: OnError,
    /// Binance and Databento: the time of the event.
    pub clock: EventClock,
    /// Handbook and card file: how long after the transaction a fraud becomes known. Unit: ns. Six days by
    /// default: below the seven that the Handbook's features allow for.
    pub label_delay_ns: i64,
    /// LOBSTER: the instrument; by default the file's name up to the first underscore.
    pub instrument: Option<Id>,
    /// ITCH and LOBSTER: the venue's midnight. Unit: ns since the Unix epoch. By default midnight UTC of the
    /// date in the file's name (`AAPL_2012-06-21_…`), else 0.
    pub day_start_ns: Option<i64>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            on_error: OnError::Stop,
            clock: EventClock::Received,
            label_delay_ns: 6 * DAY_NS,
            instrument: None,
            day_start_ns: None,
        }
    }
}

/// Opens a file as a source of events.
///
/// Errors: the file cannot be read, its format is unknown, or its beginning is not of that format.
///
/// ```no_run
/// use pinion_replay::import::{EventSource as _, Format, ImportOptions, open};
/// let mut source = open("day.csv".as_ref(), Format::Auto, &ImportOptions::default())?;
/// while let Some(event) = source.next()? {
///     println!("{}", event.event.event_ns());
/// }
/// # Ok::<(), pinion_replay::import::ImportError>(())
/// ```
pub fn open(
    path: &Path,
    format: Format,
    options: &ImportOptions,
) -> Result<Box<dyn EventSource>, ImportError> {
    let delay_ns = options.label_delay_ns;
    let input = || Input::open(path);
    Ok(match format {
        Format::Auto => return open(path, detect(path)?, options),
        Format::PaymentsCsv => reading(PaymentsCsvDecoder::open(input()?)?, options),
        Format::MarketCsv => reading(MarketCsvDecoder::open(input()?)?, options),
        Format::HandbookParquet => reading(HandbookDecoder::new(ParquetRows::open(path)?, delay_ns), options),
        Format::HandbookCsv => reading(HandbookDecoder::new(CsvRows::open(input()?)?, delay_ns), options),
        Format::CardParquet => reading(CardDecoder::open(path, delay_ns)?, options),
        Format::Binance => reading(BinanceDecoder::new(input()?, options.clock), options),
        Format::Databento => reading(DatabentoDecoder::open(path, options.clock)?, options),
        Format::Iex => reading(IexDecoder::new(input()?), options),
        Format::Itch => reading(ItchDecoder::new(input()?, day_start_ns(path, options)), options),
        Format::Lobster => {
            let instrument = instrument_of(path, options)?;
            reading(
                LobsterDecoder::new(input()?, instrument, day_start_ns(path, options)),
                options,
            )
        }
    })
}

fn reading<D: RecordDecoder + 'static>(decoder: D, options: &ImportOptions) -> Box<dyn EventSource> {
    Box::new(Reading::new(decoder, options.on_error))
}

fn day_start_ns(path: &Path, options: &ImportOptions) -> i64 {
    let name = file_name(path);
    let from_name = || name.split(['_', '.']).find_map(parse_day);
    options.day_start_ns.or_else(from_name).unwrap_or(0)
}

fn instrument_of(path: &Path, options: &ImportOptions) -> Result<Id, ImportError> {
    let name = file_name(path);
    let from_name = || name.split(['_', '.']).next().and_then(Id::new);
    options.instrument.or_else(from_name).ok_or_else(|| {
        let expected = "the instrument as its beginning, or as an option";
        error::FileName::new(&path.display().to_string()).format(format!("the name {name:?}"), expected)
    })
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
