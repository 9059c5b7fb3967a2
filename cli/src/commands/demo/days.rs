//! The two days of the demo, and what is true of them.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use pinion_replay::import::market_csv::MarketWriter;
use pinion_replay::import::payments_csv::PaymentsWriter;
use pinion_schemas::encode::Event;
use pinion_schemas::ids::Id;

use crate::args::DemoArguments;
use crate::events::{self, INSTRUMENTS};
use crate::exit::Failure;

/// Days at the end whose decisions are judged: before them the windows of 30 days and 7 days of delay fill.
pub const JUDGED_DAYS: i64 = 20;

/// Unit: ns.
const DAY_NS: i64 = 86_400_000_000_000;

/// Both days as files.
pub struct Days {
    /// Transactions, labels and account updates of many days.
    pub payments: PathBuf,
    /// Events in it.
    pub payment_events: u64,
    /// Orders and trades of one day.
    pub market: PathBuf,
    /// Events in it.
    pub market_events: u64,
    /// What is true of the transactions.
    pub truth: Truth,
}

/// A transaction as its maker knows it.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// 0 genuine, else the scenario of its fraud.
    pub scenario: u8,
    /// Unit: minor currency units.
    pub amount_minor: i64,
    event_ns: i64,
}

/// What is true of every transaction.
#[derive(Default)]
pub struct Truth {
    facts: HashMap<Id, Fact>,
    judged_from_ns: i64,
}

impl Truth {
    /// Frauds of all days.
    pub fn frauds(&self) -> u64 {
        self.facts.values().filter(|fact| fact.scenario > 0).count() as u64
    }

    /// What is true of a transaction of the judged days.
    pub fn judged(&self, transaction: &Id) -> Option<Fact> {
        self.facts
            .get(transaction)
            .copied()
            .filter(|fact| fact.event_ns >= self.judged_from_ns)
    }
}

impl Days {
    /// Makes both days and writes them to `folder`.
    ///
    /// # Errors
    /// A number is out of its range, or a file cannot be written.
    pub fn make(arguments: &DemoArguments, folder: &Path) -> Result<Self, Failure> {
        let (payments, market) = (folder.join("payments.csv"), folder.join("market.csv"));
        let (payment_events, truth) = make_payments(arguments, &payments)?;
        let market_events = make_market(arguments, &market)?;
        Ok(Self {
            payments,
            payment_events,
            market,
            market_events,
            truth,
        })
    }
}

fn make_payments(arguments: &DemoArguments, path: &Path) -> Result<(u64, Truth), Failure> {
    let mut generator = events::payments(arguments.customers, arguments.days, arguments.seed)?;
    let mut writer = PaymentsWriter::new(create(path)?).map_err(Failure::could_not)?;
    let (mut count, mut truth, mut last_ns) = (0, Truth::default(), 0);
    while let Some(payment) = generator.next_payment() {
        writer
            .write(&payment.event, payment.scenario)
            .map_err(Failure::could_not)?;
        count += 1;
        if let Event::Transaction(transaction) = &payment.event {
            let fact = Fact {
                scenario: payment.scenario,
                amount_minor: transaction.amount_minor,
                event_ns: transaction.event_ns,
            };
            last_ns = transaction.event_ns;
            truth.facts.insert(transaction.transaction_id, fact);
        }
    }
    truth.judged_from_ns = last_ns - JUDGED_DAYS * DAY_NS;
    writer.finish().map_err(Failure::could_not)?;
    Ok((count, truth))
}

fn make_market(arguments: &DemoArguments, path: &Path) -> Result<u64, Failure> {
    let mut generator = events::market(arguments.market_events, INSTRUMENTS, arguments.seed)?;
    let mut writer = MarketWriter::new(create(path)?).map_err(Failure::could_not)?;
    let mut count = 0;
    while let Some(event) = generator.next_event() {
        writer.write(&event).map_err(Failure::could_not)?;
        count += 1;
    }
    writer.finish().map_err(Failure::could_not)?;
    Ok(count)
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file =
        File::create(path).map_err(|error| Failure::could_not(format!("{}: {error}", path.display())))?;
    Ok(BufWriter::new(file))
}
