//! Payment days as the Fraud Detection Handbook's simulator describes them.
//!
//! ```text
//!   customers, terminals ──▶ a day's transactions ──▶ frauds ──┐
//!                                                              ├─merged by time─▶ events
//!                       labels of earlier frauds, account updates
//! ```
//!
//! Customer: place uniform in a square of side 100, mean amount uniform in 5 to 100, deviation half of it, mean
//! transactions per day uniform in 0 to 4; pays at terminals within the radius, each as likely. Day: a Poisson
//! number of transactions per customer, their time normal around noon (deviation 20,000 s) and kept if within
//! the day, their amount normal, drawn again from 0 to twice the mean when negative. Frauds, a later scenario
//! overruling an earlier one:
//!
//! 1. an amount above 220;
//! 2. each day some terminals (2) are compromised for 28 days: all of their transactions;
//! 3. each day some customers (3) are compromised for 14 days: a third of their transactions, at five times the
//!    amount. (Each is drawn by itself; the publication draws a third of them all, which needs the days to come.)
//!
//! A fraud's label follows after a delay drawn from 1 to 6.9 days. The description is the publication's, the code
//! and the random numbers are not: the days are alike in distribution, not in bytes.
//!
//! Memory: the population, one day of transactions, and the labels still to come.
//!
//! Invariant: the events are a function of the configuration, in the order of time.

use std::collections::VecDeque;

use pinion_schemas::encode::{AccountUpdateEvent, Event, TransactionEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{AccountChange, Channel, LabelSource, Verdict};
use serde::{Deserialize, Serialize};

use super::compromise::Compromises;
use super::error::{GenerateError, require};
use super::population::{Customer, Population};
use super::random::Random;
use crate::import::ImportError;
use crate::import::labels::{PendingLabels, label_of};
use crate::import::source::{EventSource, SourceEvent, Tally};
use crate::import::time::{DAY_NS, SECOND_NS, parse_day};

/// ISO 4217 number of the euro.
const EURO: u16 = 978;

/// Times of day are normal around noon. Unit: seconds.
const NOON_S: f64 = 43_200.0;
const TIME_DEVIATION_S: f64 = 20_000.0;
const DAY_S: f64 = 86_400.0;

/// Merchant category codes that terminals have: groceries, restaurants, fuel, clothing, electronics, travel.
const CATEGORIES: [u16; 6] = [5411, 5812, 5541, 5651, 5732, 4722];

/// What is generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PaymentsConfig {
    /// Every random number follows from it.
    pub seed: u64,
    /// Customers. 1 to 10,000,000.
    pub customers: u32,
    /// Terminals. 1 to 10,000,000.
    pub terminals: u32,
    /// How far from home a customer pays, in a square of side 100. Above 0.
    pub radius: f64,
    /// The first day, as `2018-04-01`.
    pub start_date: String,
    /// Days. 1 to 36,500.
    pub days: u32,
    /// Transactions of any amount above this are frauds of scenario 1. Unit: cents.
    pub large_amount_minor: i64,
    /// Terminals compromised each day (scenario 2). 0 to `terminals`.
    pub terminals_compromised_per_day: u32,
    /// How long a terminal stays compromised. Unit: days.
    pub terminal_compromise_days: u32,
    /// Customers compromised each day (scenario 3). 0 to `customers`.
    pub customers_compromised_per_day: u32,
    /// How long a customer stays compromised. Unit: days.
    pub customer_compromise_days: u32,
    /// Share of a compromised customer's transactions that are frauds. 0 to 1.
    pub customer_fraud_share: f64,
    /// By how much these frauds' amounts are multiplied. Above 0.
    pub customer_fraud_factor: f64,
    /// Shortest time until a fraud is known. Unit: days. Not negative.
    pub label_delay_days_min: f64,
    /// Longest time until a fraud is known. Unit: days. At least the shortest; the features allow for 7.
    pub label_delay_days_max: f64,
    /// Whether every transaction that is no fraud gets a label "genuine" 7 days after it.
    pub genuine_labels: bool,
    /// Account updates per customer and day on average. 0 to 1.
    pub account_updates_per_day: f64,
}

impl Default for PaymentsConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            customers: 5_000,
            terminals: 10_000,
            radius: 5.0,
            start_date: "2018-04-01".to_owned(),
            days: 183,
            large_amount_minor: 22_000,
            terminals_compromised_per_day: 2,
            terminal_compromise_days: 28,
            customers_compromised_per_day: 3,
            customer_compromise_days: 14,
            customer_fraud_share: 1.0 / 3.0,
            customer_fraud_factor: 5.0,
            label_delay_days_min: 1.0,
            label_delay_days_max: 6.9,
            genuine_labels: false,
            account_updates_per_day: 0.001,
        }
    }
}

impl PaymentsConfig {
    /// Refuses what cannot be generated, naming the key.
    pub fn validate(&self) -> Result<(), GenerateError> {
        const COUNT: &str = "1 to 10000000";
        const COUNTS: std::ops::RangeInclusive<u32> = 1..=10_000_000;
        require(
            COUNTS.contains(&self.customers),
            "payments.customers",
            self.customers,
            COUNT,
        )?;
        require(
            COUNTS.contains(&self.terminals),
            "payments.terminals",
            self.terminals,
            COUNT,
        )?;
        let is_positive = |number: f64| number > 0.0 && number.is_finite();
        let is_share = |number: f64| (0.0..=1.0).contains(&number);
        require(
            is_positive(self.radius),
            "payments.radius",
            self.radius,
            "a number above 0",
        )?;
        require(
            (1..=36_500).contains(&self.days),
            "payments.days",
            self.days,
            "1 to 36500",
        )?;
        let date = &self.start_date;
        require(
            parse_day(date).is_some(),
            "payments.start_date",
            date,
            "a day like 2018-04-01",
        )?;
        let compromised = self.terminals_compromised_per_day;
        let key = "payments.terminals_compromised_per_day";
        require(
            compromised <= self.terminals,
            key,
            compromised,
            "at most payments.terminals",
        )?;
        let compromised = self.customers_compromised_per_day;
        let key = "payments.customers_compromised_per_day";
        require(
            compromised <= self.customers,
            key,
            compromised,
            "at most payments.customers",
        )?;
        let share = self.customer_fraud_share;
        require(is_share(share), "payments.customer_fraud_share", share, "0 to 1")?;
        let factor = self.customer_fraud_factor;
        let is_factor = is_positive(factor) && factor <= 1e6;
        require(
            is_factor,
            "payments.customer_fraud_factor",
            factor,
            "a number above 0 and up to 1000000",
        )?;
        self.validate_delays()?;
        let rate = self.account_updates_per_day;
        require(is_share(rate), "payments.account_updates_per_day", rate, "0 to 1")
    }

    fn validate_delays(&self) -> Result<(), GenerateError> {
        let (min, max) = (self.label_delay_days_min, self.label_delay_days_max);
        require(
            (0.0..=1e4).contains(&min),
            "payments.label_delay_days_min",
            min,
            "0 to 10000",
        )?;
        let expected = "payments.label_delay_days_min to 10000";
        require(
            (min..=1e4).contains(&max),
            "payments.label_delay_days_max",
            max,
            expected,
        )
    }
}

/// A generated event and, of a transaction, why it is a fraud: 1 to 3, or 0.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedPayment {
    /// What is published.
    pub event: Event,
    /// What only the generator knows.
    pub scenario: u8,
}

/// Generates the days one after another.
pub struct PaymentsGenerator {
    config: PaymentsConfig,
    start_ns: i64,
    population: Population,
    bad_terminals: Compromises,
    bad_customers: Compromises,
    pending: PendingLabels,
    next_day: u32,
    next_transaction: u64,
    queue: VecDeque<GeneratedPayment>,
    tally: Tally,
}

/// What is drawn of a transaction or account update before its place in the day is known.
struct Draft {
    second: u32,
    customer: u32,
    content: DraftContent,
}

enum DraftContent {
    Transaction {
        terminal: u32,
        amount_minor: i64,
        scenario: u8,
        label_delay_ns: i64,
    },
    Account {
        change: AccountChange,
        limit_minor: i64,
    },
}

impl PaymentsGenerator {
    /// Draws the population. Errors: a parameter is out of its range.
    pub fn new(config: PaymentsConfig) -> Result<Self, GenerateError> {
        config.validate()?;
        let start_ns = parse_day(&config.start_date).unwrap_or(0);
        let population = Population::draw(&config);
        Ok(Self {
            bad_terminals: Compromises::new(config.terminal_compromise_days),
            bad_customers: Compromises::new(config.customer_compromise_days),
            config,
            start_ns,
            population,
            pending: PendingLabels::default(),
            next_day: 0,
            next_transaction: 0,
            queue: VecDeque::new(),
            tally: Tally::default(),
        })
    }

    /// The next event with its scenario, `None` after the last label of the last day.
    pub fn next_payment(&mut self) -> Option<GeneratedPayment> {
        while self.queue.is_empty() && self.next_day < self.config.days {
            self.generate_day();
            if self.next_day == self.config.days {
                self.release_labels(i64::MAX);
            }
        }
        let payment = self.queue.pop_front();
        self.tally.records += u64::from(payment.is_some());
        self.tally.events = self.tally.records;
        payment
    }

    fn generate_day(&mut self) {
        let mut random = Random::new(self.config.seed, *b"pay-day\0", self.next_day.into());
        let (config, day) = (&self.config, self.next_day);
        let terminals = (
            config.terminals_compromised_per_day,
            self.population.terminal_count,
        );
        self.bad_terminals
            .start_day(day, terminals.0, terminals.1, &mut random);
        let customers = (config.customers_compromised_per_day, config.customers);
        self.bad_customers
            .start_day(day, customers.0, customers.1, &mut random);
        let mut drafts = Vec::new();
        for (number, customer) in (0..).zip(&self.population.customers) {
            self.draw_transactions(number, customer, &mut random, &mut drafts);
            self.draw_account_update(number, customer, &mut random, &mut drafts);
        }
        drafts.sort_by_key(|draft| draft.second);
        for draft in &drafts {
            self.queue_draft(draft);
        }
        self.next_day += 1;
    }

    fn draw_transactions(
        &self,
        number: u32,
        customer: &Customer,
        random: &mut Random,
        drafts: &mut Vec<Draft>,
    ) {
        let count = random.poisson(customer.mean_per_day);
        if customer.terminals.is_empty() {
            return;
        }
        for _ in 0..count {
            let second = random.normal(NOON_S, TIME_DEVIATION_S);
            if second <= 0.0 || second >= DAY_S {
                continue;
            }
            let amount = draw_amount(customer, random);
            let terminal = customer.terminals[random.index(customer.terminals.len())];
            let content = self.with_fraud(number, terminal, amount, random);
            drafts.push(Draft {
                second: second as u32,
                customer: number,
                content,
            });
        }
    }

    /// Decides on fraud. The draws are the same in number whatever comes of them.
    fn with_fraud(&self, customer: u32, terminal: u32, amount: f64, random: &mut Random) -> DraftContent {
        let config = &self.config;
        let is_drawn = random.chance(config.customer_fraud_share);
        let delay_days = random.uniform(config.label_delay_days_min, config.label_delay_days_max);
        let mut amount_minor = cents(amount);
        let mut scenario = u8::from(amount_minor > config.large_amount_minor);
        if self.bad_terminals.contains(terminal) {
            scenario = 2;
        }
        if is_drawn && self.bad_customers.contains(customer) {
            amount_minor = cents(amount_minor as f64 / 100.0 * config.customer_fraud_factor);
            scenario = 3;
        }
        let label_delay_ns = (delay_days * DAY_S) as i64 * SECOND_NS;
        DraftContent::Transaction {
            terminal,
            amount_minor,
            scenario,
            label_delay_ns,
        }
    }

    fn draw_account_update(
        &self,
        number: u32,
        customer: &Customer,
        random: &mut Random,
        drafts: &mut Vec<Draft>,
    ) {
        if !random.chance(self.config.account_updates_per_day) {
            return;
        }
        let second = random.below(86_400) as u32;
        let change = match random.below(10) {
            0 => AccountChange::Blocked,
            1 => AccountChange::Unblocked,
            _ => AccountChange::LimitChanged,
        };
        let hundreds = 1 + (customer.mean_amount * random.uniform(0.05, 0.5)) as i64;
        let limit_minor = if change == AccountChange::LimitChanged {
            hundreds * 10_000
        } else {
            0
        };
        drafts.push(Draft {
            second,
            customer: number,
            content: DraftContent::Account { change, limit_minor },
        });
    }

    fn queue_draft(&mut self, draft: &Draft) {
        let second = i64::from(self.next_day) * 86_400 + i64::from(draft.second);
        let event_ns = self.start_ns + second * SECOND_NS;
        self.release_labels(event_ns);
        let payment = match draft.content {
            DraftContent::Account { change, limit_minor } => {
                let event = AccountUpdateEvent {
                    event_ns,
                    limit_minor,
                    currency: EURO,
                    change,
                    customer: customer_id(draft.customer),
                    account: account_id(draft.customer),
                };
                GeneratedPayment {
                    event: Event::AccountUpdate(event),
                    scenario: 0,
                }
            }
            DraftContent::Transaction {
                terminal,
                amount_minor,
                scenario,
                label_delay_ns,
            } => {
                let transaction = self.transaction(event_ns, draft.customer, terminal, amount_minor);
                self.put_label(&transaction, scenario, label_delay_ns);
                GeneratedPayment {
                    event: Event::Transaction(transaction),
                    scenario,
                }
            }
        };
        self.queue.push_back(payment);
    }

    fn transaction(
        &mut self,
        event_ns: i64,
        customer: u32,
        terminal: u32,
        amount_minor: i64,
    ) -> TransactionEvent {
        self.next_transaction += 1;
        TransactionEvent {
            event_ns,
            amount_minor,
            currency: EURO,
            merchant_category: CATEGORIES[terminal as usize % CATEGORIES.len()],
            channel: Channel::CardPresent,
            transaction_id: transaction_id(self.config.seed, self.next_transaction),
            customer: customer_id(customer),
            terminal: terminal_id(terminal),
            account: account_id(customer),
            ..TransactionEvent::default()
        }
    }

    fn put_label(&mut self, transaction: &TransactionEvent, scenario: u8, delay_ns: i64) {
        if scenario > 0 {
            self.pending.put(label_of(
                transaction,
                delay_ns,
                Verdict::Fraud,
                LabelSource::Chargeback,
            ));
        } else if self.config.genuine_labels {
            self.pending.put(label_of(
                transaction,
                7 * DAY_NS,
                Verdict::Genuine,
                LabelSource::Expiry,
            ));
        }
    }

    fn release_labels(&mut self, now_ns: i64) {
        let mut labels = VecDeque::new();
        self.pending.release_until(now_ns, &mut labels);
        self.queue
            .extend(labels.into_iter().map(|label| GeneratedPayment {
                event: label.event,
                scenario: 0,
            }));
    }
}

impl EventSource for PaymentsGenerator {
    fn next(&mut self) -> Result<Option<SourceEvent>, ImportError> {
        Ok(self.next_payment().map(|payment| payment.event.into()))
    }

    /// Customers pay 1.92 times a day on average: 2, of which 3 % fall outside the day.
    fn len_hint(&self) -> Option<u64> {
        let customer_days = u64::from(self.config.customers) * u64::from(self.config.days);
        Some(customer_days * 192 / 100)
    }

    fn describe(&self) -> String {
        let config = &self.config;
        format!(
            "{} days of payments from {} on, {} customers, {} terminals, seed {}",
            config.days, config.start_date, config.customers, config.terminals, config.seed
        )
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

fn draw_amount(customer: &Customer, random: &mut Random) -> f64 {
    let amount = random.normal(customer.mean_amount, customer.deviation);
    if amount < 0.0 {
        random.uniform(0.0, customer.mean_amount * 2.0)
    } else {
        amount
    }
}

fn cents(amount: f64) -> i64 {
    (amount * 100.0).round() as i64
}

fn customer_id(number: u32) -> Id {
    Id::new(&format!("C{number:07}")).unwrap_or(Id::NONE)
}

fn account_id(customer: u32) -> Id {
    Id::new(&format!("A{customer:07}")).unwrap_or(Id::NONE)
}

fn terminal_id(number: u32) -> Id {
    Id::new(&format!("T{number:07}")).unwrap_or(Id::NONE)
}

/// A UUID (version 8, "made by own rules") of mixed bits of the seed and the transaction's number. Before version
/// and variant are written over, each half alone tells all numbers of a seed apart.
fn transaction_id(seed: u64, number: u64) -> Id {
    let low = mixed(mixed(seed) ^ number);
    let high = mixed(low ^ 0x9e37_79b9_7f4a_7c15);
    let (version, variant) = (0x8000, 0x8000_0000_0000_0000);
    let high = high & !0xf000 | version;
    let text = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        (low >> 50) & 0x3fff | variant >> 48,
        low & 0xffff_ffff_ffff
    );
    Id::new(&text).unwrap_or(Id::NONE)
}

/// A one-to-one mix of 64 bits (SplitMix64's).
fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn transaction_ids_are_distinct_uuids() {
        let ids: HashSet<Id> = (1..=200_000).map(|number| transaction_id(1, number)).collect();
        assert_eq!(ids.len(), 200_000);
        assert!(ids.iter().all(|id| id.text_len() == 36));
    }

    #[test]
    fn wrong_parameters_are_named() {
        let refused = |change: fn(&mut PaymentsConfig)| {
            let mut config = PaymentsConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(
            refused(|config| config.customers = 0),
            "payments.customers is 0, expected 1 to 10000000"
        );
        assert!(refused(|config| config.radius = f64::NAN).starts_with("payments.radius is NaN"));
        assert!(
            refused(|config| config.start_date = "April".into()).starts_with("payments.start_date is April")
        );
        assert!(refused(|config| config.label_delay_days_max = 0.5).contains("label_delay_days_max is 0.5"));
    }
}
