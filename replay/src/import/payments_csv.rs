//! Payment events as CSV: what `pinion generate payments` writes and `pinion publish` reads.
//!
//! One row per event in the order of publication. Columns, by name, in any order; of those that do not apply
//! to the row's kind the values are empty:
//!
//! | column | kinds | content |
//! |---|---|---|
//! | `kind` | all | `transaction`, `label` or `account-update` |
//! | `event_time` | all | RFC 3339 in UTC; of a label, when it became known |
//! | `transaction_id` | transaction, label | up to 36 printable characters |
//! | `customer` | all | the same |
//! | `terminal` | transaction, label | the same |
//! | `account` | all | the same; may be empty in a transaction or a label |
//! | `amount` | transaction, label | decimal with at most 2 places; account update: the limit |
//! | `currency` | transaction, account update | ISO 4217 number |
//! | `channel` | transaction | empty, `card-present`, `card-not-present`, `atm`, `transfer` |
//! | `merchant_category` | transaction | ISO 18245 number, 0 if unknown |
//! | `card`, `merchant`, `device` | transaction, label | may be empty |
//! | `verdict` | label | `genuine`, `fraud`, `erased` |
//! | `label_source` | label | empty, `chargeback`, `analyst`, `customer`, `expiry` |
//! | `transaction_time` | label | RFC 3339 |
//! | `change` | account update | `opened`, `limit-changed`, `blocked`, `unblocked`, `closed` |
//! | `scenario` | transaction | why the generator made it a fraud, 1 to 3, or 0; not part of the event |
//! | `outcome` | transaction | empty, `approved`, `declined`: what was answered, if that is known already |
//!
//! The first eight must be there. Cold text (merchant's name, tags) is not part of the file.
//!
//! Invariant: an event without cold text that was written reads back equal.

use std::collections::VecDeque;
use std::io::Write;

use pinion_schemas::encode::{AccountUpdateEvent, Event, LabelEvent, TransactionEvent};
use pinion_schemas::ids::Id;

use super::error::{ImportError, quoted};
use super::input::Input;
use super::names::{
    ACCOUNT_CHANGES, CHANNELS, LABEL_SOURCES, OUTCOMES, VERDICTS, expected, value_of, word_of,
};
use super::number::{AMOUNT_PLACES, format_scaled, parse_scaled};
use super::source::{RecordDecoder, SourceEvent, Step};
use super::table::{CsvTable, OtherColumns};
use super::time::{format_time, parse_time};

/// The columns in the order in which they are written.
pub const COLUMNS: &[&str] = &[
    "kind",
    "event_time",
    "transaction_id",
    "customer",
    "terminal",
    "account",
    "amount",
    "currency",
    "channel",
    "merchant_category",
    "card",
    "merchant",
    "device",
    "verdict",
    "label_source",
    "transaction_time",
    "change",
    "scenario",
    "outcome",
];

const REQUIRED_COUNT: usize = 8;

const KIND: usize = 0;
const EVENT_TIME: usize = 1;
const TRANSACTION_ID: usize = 2;
const CUSTOMER: usize = 3;
const TERMINAL: usize = 4;
const ACCOUNT: usize = 5;
const AMOUNT: usize = 6;
const CURRENCY: usize = 7;
const CHANNEL: usize = 8;
const MERCHANT_CATEGORY: usize = 9;
const CARD: usize = 10;
const MERCHANT: usize = 11;
const DEVICE: usize = 12;
const VERDICT: usize = 13;
const LABEL_SOURCE: usize = 14;
const TRANSACTION_TIME: usize = 15;
const CHANGE: usize = 16;
const SCENARIO: usize = 17;
const OUTCOME: usize = 18;

const _: () = assert!(COLUMNS.len() == OUTCOME + 1);

/// Writes payment events as rows.
pub struct PaymentsWriter<W: Write> {
    writer: csv::Writer<W>,
}

type Row = [String; COLUMNS.len()];

impl<W: Write> PaymentsWriter<W> {
    /// Writes the heading.
    pub fn new(output: W) -> csv::Result<Self> {
        let mut writer = csv::Writer::from_writer(output);
        writer.write_record(COLUMNS)?;
        Ok(Self { writer })
    }

    /// Writes one event; `scenario` is the generator's reason for a fraud, 0 if none. False, and nothing is
    /// written, if it is not a payment event.
    pub fn write(&mut self, event: &Event, scenario: u8) -> csv::Result<bool> {
        let mut row = Row::default();
        match event {
            Event::Transaction(event) => {
                transaction_row(event, &mut row);
                row[SCENARIO] = scenario.to_string();
            }
            Event::Label(event) => label_row(event, &mut row),
            Event::AccountUpdate(event) => account_row(event, &mut row),
            _ => return Ok(false),
        }
        self.writer.write_record(&row)?;
        Ok(true)
    }

    /// Writes out what is buffered and gives the output back.
    pub fn finish(self) -> std::io::Result<W> {
        self.writer.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

fn transaction_row(event: &TransactionEvent, row: &mut Row) {
    row[KIND] = "transaction".to_owned();
    row[EVENT_TIME] = format_time(event.event_ns);
    row[TRANSACTION_ID] = event.transaction_id.to_string();
    row[CUSTOMER] = event.customer.to_string();
    row[TERMINAL] = event.terminal.to_string();
    row[ACCOUNT] = event.account.to_string();
    row[AMOUNT] = format_scaled(event.amount_minor, AMOUNT_PLACES);
    row[CURRENCY] = event.currency.to_string();
    row[CHANNEL] = word_of(CHANNELS, &event.channel).to_owned();
    row[MERCHANT_CATEGORY] = event.merchant_category.to_string();
    row[CARD] = event.card.to_string();
    row[MERCHANT] = event.merchant.to_string();
    row[DEVICE] = event.device.to_string();
    row[OUTCOME] = word_of(OUTCOMES, &event.outcome).to_owned();
}

fn label_row(event: &LabelEvent, row: &mut Row) {
    row[KIND] = "label".to_owned();
    row[EVENT_TIME] = format_time(event.event_ns);
    row[TRANSACTION_ID] = event.transaction_id.to_string();
    row[CUSTOMER] = event.customer.to_string();
    row[TERMINAL] = event.terminal.to_string();
    row[ACCOUNT] = event.account.to_string();
    row[AMOUNT] = format_scaled(event.amount_minor, AMOUNT_PLACES);
    row[CARD] = event.card.to_string();
    row[MERCHANT] = event.merchant.to_string();
    row[DEVICE] = event.device.to_string();
    row[VERDICT] = word_of(VERDICTS, &event.verdict).to_owned();
    row[LABEL_SOURCE] = word_of(LABEL_SOURCES, &event.source).to_owned();
    row[TRANSACTION_TIME] = format_time(event.transaction_ns);
}

fn account_row(event: &AccountUpdateEvent, row: &mut Row) {
    row[KIND] = "account-update".to_owned();
    row[EVENT_TIME] = format_time(event.event_ns);
    row[CUSTOMER] = event.customer.to_string();
    row[ACCOUNT] = event.account.to_string();
    row[AMOUNT] = format_scaled(event.limit_minor, AMOUNT_PLACES);
    row[CURRENCY] = event.currency.to_string();
    row[CHANGE] = word_of(ACCOUNT_CHANGES, &event.change).to_owned();
}

/// Reads the rows of one file.
pub(crate) struct PaymentsCsvDecoder {
    table: CsvTable,
}

impl PaymentsCsvDecoder {
    pub(crate) fn open(input: Input) -> Result<Self, ImportError> {
        Ok(Self {
            table: CsvTable::open(input, COLUMNS, REQUIRED_COUNT, OtherColumns::Refused)?,
        })
    }

    fn event(&self) -> Result<Event, ImportError> {
        match self.table.text(KIND) {
            "transaction" => Ok(Event::Transaction(self.transaction()?)),
            "label" => Ok(Event::Label(self.label()?)),
            "account-update" => Ok(Event::AccountUpdate(self.account_update()?)),
            other => {
                let found = format!("kind {}", quoted(other));
                Err(self
                    .table
                    .name
                    .bad(self.table.place(), found, "transaction, label or account-update"))
            }
        }
    }

    fn transaction(&self) -> Result<TransactionEvent, ImportError> {
        Ok(TransactionEvent {
            event_ns: self.time(EVENT_TIME)?,
            amount_minor: self.amount()?,
            currency: self.code(CURRENCY)?,
            merchant_category: self.code(MERCHANT_CATEGORY)?,
            channel: self
                .table
                .value(CHANNEL, &expected(CHANNELS), |word| value_of(CHANNELS, word))?,
            transaction_id: self.id(TRANSACTION_ID)?,
            customer: self.id(CUSTOMER)?,
            terminal: self.id(TERMINAL)?,
            card: self.optional_id(CARD)?,
            merchant: self.optional_id(MERCHANT)?,
            device: self.optional_id(DEVICE)?,
            account: self.optional_id(ACCOUNT)?,
            outcome: self
                .table
                .value(OUTCOME, &expected(OUTCOMES), |word| value_of(OUTCOMES, word))?,
            ..TransactionEvent::default()
        })
    }

    fn label(&self) -> Result<LabelEvent, ImportError> {
        let source = self.table.value(LABEL_SOURCE, &expected(LABEL_SOURCES), |word| {
            value_of(LABEL_SOURCES, word)
        })?;
        Ok(LabelEvent {
            event_ns: self.time(EVENT_TIME)?,
            transaction_ns: self.time(TRANSACTION_TIME)?,
            amount_minor: self.amount()?,
            verdict: self
                .table
                .value(VERDICT, &expected(VERDICTS), |word| value_of(VERDICTS, word))?,
            source,
            transaction_id: self.id(TRANSACTION_ID)?,
            customer: self.id(CUSTOMER)?,
            terminal: self.id(TERMINAL)?,
            card: self.optional_id(CARD)?,
            merchant: self.optional_id(MERCHANT)?,
            device: self.optional_id(DEVICE)?,
            account: self.optional_id(ACCOUNT)?,
        })
    }

    fn account_update(&self) -> Result<AccountUpdateEvent, ImportError> {
        let words = ACCOUNT_CHANGES;
        Ok(AccountUpdateEvent {
            event_ns: self.time(EVENT_TIME)?,
            limit_minor: self.amount()?,
            currency: self.code(CURRENCY)?,
            change: self
                .table
                .value(CHANGE, &expected(words), |word| value_of(words, word))?,
            customer: self.id(CUSTOMER)?,
            account: self.id(ACCOUNT)?,
        })
    }

    fn time(&self, column: usize) -> Result<i64, ImportError> {
        self.table
            .value(column, "a time like 2018-04-01T00:00:31Z", parse_time)
    }

    fn amount(&self) -> Result<i64, ImportError> {
        self.table
            .value(AMOUNT, "an amount with at most 2 decimals", |text| {
                parse_scaled(text, AMOUNT_PLACES).ok()
            })
    }

    fn code(&self, column: usize) -> Result<u16, ImportError> {
        let is_left_out = column == MERCHANT_CATEGORY && self.table.text(column).is_empty();
        if is_left_out {
            Ok(0)
        } else {
            self.table
                .value(column, "a number from 0 to 65535", |text| text.parse().ok())
        }
    }

    fn id(&self, column: usize) -> Result<Id, ImportError> {
        self.table
            .value(column, "1 to 36 printable characters without spaces", Id::new)
    }

    fn optional_id(&self, column: usize) -> Result<Id, ImportError> {
        if self.table.text(column).is_empty() {
            Ok(Id::NONE)
        } else {
            self.id(column)
        }
    }
}

impl RecordDecoder for PaymentsCsvDecoder {
    fn decode(&mut self, out: &mut VecDeque<SourceEvent>) -> Result<Step, ImportError> {
        if !self.table.next_row()? {
            return Ok(Step::End);
        }
        out.push_back(self.event()?.into());
        Ok(Step::Record)
    }

    fn describe(&self) -> String {
        format!("payment events of {}", self.table.name.as_str())
    }
}
