//! The transactions that models are compared on, and what came of them.

use pinion_node::Config;
use pinion_node::feature_sets::InForce;
use pinion_schemas::records::payment_kind;

use crate::export::payments::{JournalPayments, Payments as _};
use crate::export::plan::Plan;
use crate::export::{self, day_of, is_row};
use crate::import::time::DAY_NS;

use super::{ContestError, Request};

/// What is known of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Fraud,
    Genuine,
    /// It is to be left out.
    Erased,
    /// No label came in time.
    Nothing,
}

/// The transactions, in the order of the lane.
#[derive(Default)]
pub(super) struct Rows {
    sequences: Vec<u64>,
    events_ns: Vec<i64>,
    customers: Vec<u32>,
    known: Vec<Known>,
    /// Newest event time of all payments of the journal.
    newest_ns: i64,
}

impl Rows {
    /// Reads the journal twice: what became known first, then the transactions.
    pub(super) fn read(
        config: &Config,
        request: &Request,
        in_force: Option<&InForce>,
    ) -> Result<Self, ContestError> {
        let in_force = in_force.expect("one set is in force");
        let wanted = export::Request {
            since: in_force.since,
            from_ns: request.from_ns,
            to_ns: request.to_ns,
            label_days: request.label_days,
            ..export::Request::of((*in_force.set).clone())
        };
        let mut payments = JournalPayments::open(&request.dir, &config.ingest)?;
        let mut plan = Plan::of(&wanted, &mut payments, &mut |_| ())?;
        payments.restart()?;
        let mut rows = Self {
            newest_ns: i64::MIN,
            ..Self::default()
        };
        while let Some(payment) = payments.next_payment()? {
            if payment.origin.kind == payment_kind::TRANSACTION {
                rows.newest_ns = rows.newest_ns.max(payment.origin.event_ns);
            }
            if !is_row(&wanted, &payment) {
                continue;
            }
            let outcome = plan.labels.outcome_of(&payment)?;
            rows.known.push(match outcome {
                Some(outcome) if outcome.is_erased => Known::Erased,
                Some(outcome) if outcome.is_fraud => Known::Fraud,
                Some(_) => Known::Genuine,
                None => Known::Nothing,
            });
            rows.sequences.push(payment.origin.sequence);
            rows.events_ns.push(payment.origin.event_ns);
            rows.customers.push(payment.customer);
            if plan.is_last_of_its_day(&payment) {
                plan.labels.close(day_of(&payment));
            }
        }
        Ok(rows)
    }

    pub(super) fn len(&self) -> usize {
        self.sequences.len()
    }

    pub(super) fn sequence(&self, row: usize) -> Option<u64> {
        self.sequences.get(row).copied()
    }

    /// The day, from the Unix epoch, UTC.
    pub(super) fn day(&self, row: usize) -> i64 {
        self.events_ns[row].div_euclid(DAY_NS)
    }

    pub(super) fn customer(&self, row: usize) -> u32 {
        self.customers[row]
    }

    pub(super) fn known(&self, row: usize) -> Known {
        self.known[row]
    }

    /// Whether its label may still come.
    pub(super) fn is_open(&self, row: usize, label_days: u32) -> bool {
        let reach_ns = i64::from(label_days) * DAY_NS;
        self.newest_ns.saturating_sub(self.events_ns[row]) < reach_ns
    }

    /// The first day, 0 if there is no transaction.
    pub(super) fn first_day(&self) -> i64 {
        let first_ns = self.events_ns.iter().min();
        first_ns.map_or(0, |first_ns| first_ns.div_euclid(DAY_NS))
    }
}
