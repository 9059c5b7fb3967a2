//! Payments: a few by hand, or days of them with everything that a feed gets wrong.

use std::collections::VecDeque;

use pinion_replay::generate::{PaymentsConfig, PaymentsGenerator};
use pinion_replay::import::source::Tally;
use pinion_replay::import::time::{DAY_NS, SECOND_NS};
use pinion_replay::import::{EventSource, ImportError, SourceEvent};
use pinion_schemas::encode::{Event, LabelEvent, TransactionEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{Outcome, Verdict};

/// 2018-04-01T00:00:00Z, a Sunday.
pub const T0: i64 = 1_522_540_800 * SECOND_NS;

/// Midnight of a day after [`T0`].
pub fn at(days: i64) -> i64 {
    T0 + days * DAY_NS
}

/// Events by hand.
#[derive(Clone)]
pub struct Script(VecDeque<Event>);

impl Script {
    pub fn boxed(events: &[Event]) -> Box<dyn EventSource> {
        Box::new(Self(events.iter().cloned().collect()))
    }
}

impl EventSource for Script {
    fn next(&mut self) -> Result<Option<SourceEvent>, ImportError> {
        Ok(self.0.pop_front().map(SourceEvent::from))
    }

    fn len_hint(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        "a script".to_owned()
    }

    fn tally(&self) -> Tally {
        Tally::default()
    }
}

pub fn id(name: &str) -> Id {
    Id::new(name).unwrap()
}

pub fn pay(name: &str, event_ns: i64, amount_minor: i64) -> Event {
    Event::Transaction(TransactionEvent {
        event_ns,
        amount_minor,
        transaction_id: id(name),
        customer: id("C1"),
        terminal: id("T1"),
        ..TransactionEvent::default()
    })
}

pub fn label(name: &str, transaction_ns: i64, event_ns: i64, verdict: Verdict) -> Event {
    Event::Label(LabelEvent {
        event_ns,
        transaction_ns,
        verdict,
        transaction_id: id(name),
        customer: id("C1"),
        terminal: id("T1"),
        ..LabelEvent::default()
    })
}

/// What the made days are.
pub fn config(days: u32) -> PaymentsConfig {
    PaymentsConfig {
        seed: 11,
        customers: 80,
        terminals: 60,
        radius: 30.0,
        days,
        terminals_compromised_per_day: 1,
        customers_compromised_per_day: 2,
        account_updates_per_day: 0.03,
        genuine_labels: true,
        ..PaymentsConfig::default()
    }
}

/// Days of payments as a feed brings them: cards, devices, merchants and answers; events that come late and too
/// late; labels twice and taken back; a transaction that is sent again.
pub fn rough_days(days: u32) -> Vec<Event> {
    let mut source = PaymentsGenerator::new(config(days)).unwrap();
    let mut events: Vec<Event> =
        std::iter::from_fn(|| source.next().unwrap().map(|event| event.event)).collect();
    for (index, event) in events.iter_mut().enumerate() {
        dress(index, event);
    }
    let count = events.len();
    for (index, places) in (0..count)
        .step_by(17)
        .zip([3, 40, 1, 400, 9, 2_000].into_iter().cycle())
    {
        let event = events.remove(index);
        events.insert((index + places).min(count - 1), event);
    }
    let again: Vec<_> = events.iter().skip(5).step_by(23).map(said_again).collect();
    for (index, event) in again.into_iter().enumerate() {
        let place = (index * 24 + 500).min(events.len());
        events.insert(place, event);
    }
    events
}

/// Gives an event the names that the generator leaves out.
fn dress(index: usize, event: &mut Event) {
    let name = |what: &str, count: usize| id(&format!("{what}{}", index % count));
    if let Event::Transaction(transaction) = event {
        transaction.card = name("card", 37);
        transaction.merchant = name("merchant", 11);
        transaction.device = if index.is_multiple_of(5) {
            Id::NONE
        } else {
            name("device", 29)
        };
        transaction.outcome = [Outcome::Approved, Outcome::Declined, Outcome::Unknown][index % 3];
    }
}

/// The same event later; a label says the opposite.
fn said_again(event: &Event) -> Event {
    let mut event = event.clone();
    if let Event::Label(label) = &mut event {
        label.event_ns += SECOND_NS;
        label.verdict = if label.verdict == Verdict::Fraud {
            Verdict::Genuine
        } else {
            Verdict::Fraud
        };
    }
    event
}
