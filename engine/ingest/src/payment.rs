//! Reads payment frames: what is checked of them, and the record they become.
//!
//! Invariant: [`check`] looks at every field that has a range; [`Facts`] is all that ingest looks at again
//! before the record is written.

use pinion_schemas::ids::Id;
use pinion_schemas::records::{PaymentRecord, payment_kind};
use pinion_schemas::wire::{self, AccountChange, Channel, Frame, LabelSource, Outcome, Verdict};

use crate::refusal::{Field, Refusal, at_most, name, present_name};

/// The entities of a payment event, each [`Id::NONE`] if absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) kind: u8,
    pub(crate) customer: Id,
    pub(crate) terminal: Id,
    pub(crate) card: Id,
    pub(crate) merchant: Id,
    pub(crate) device: Id,
    pub(crate) account: Id,
}

/// Checks the fields of a payment frame; `None` if it is of another lane.
///
/// Cost: a few comparisons and one scan over the 36 bytes of each name.
pub(crate) fn check(frame: &Frame<'_>) -> Option<Result<Facts, Refusal>> {
    match frame {
        Frame::Transaction(transaction) => Some(check_transaction(transaction)),
        Frame::Label(label) => Some(check_label(label)),
        Frame::AccountUpdate(update) => Some(check_account_update(update)),
        _ => None,
    }
}

/// The record of a frame that was checked, without its origin and its dense ids.
pub(crate) fn record(frame: &Frame<'_>) -> PaymentRecord {
    let blank = PaymentRecord::default();
    match frame {
        Frame::Transaction(transaction) => {
            let hot = transaction.hot();
            PaymentRecord {
                amount_minor: hot.amount_minor(),
                currency: hot.currency(),
                merchant_category: hot.merchant_category(),
                channel: hot.channel().0,
                outcome: hot.outcome().0,
                transaction_id: Id(hot.transaction_id().0),
                ..blank
            }
        }
        Frame::Label(label) => {
            let hot = label.hot();
            PaymentRecord {
                amount_minor: hot.amount_minor(),
                transaction_ns: hot.transaction_ns(),
                verdict: hot.verdict().0,
                detail: hot.source().0,
                transaction_id: Id(hot.transaction_id().0),
                ..blank
            }
        }
        Frame::AccountUpdate(update) => {
            let hot = update.hot();
            PaymentRecord {
                amount_minor: hot.limit_minor(),
                currency: hot.currency(),
                detail: hot.change().0,
                ..blank
            }
        }
        _ => unreachable!("a frame of another lane does not pass the check"),
    }
}

impl Facts {
    fn new(kind: u8, customer: &wire::Id, terminal: &wire::Id) -> Self {
        Self {
            kind,
            customer: Id(customer.0),
            terminal: Id(terminal.0),
            card: Id::NONE,
            merchant: Id::NONE,
            device: Id::NONE,
            account: Id::NONE,
        }
    }

    fn checked(self) -> Result<Self, Refusal> {
        name(Field::Customer, &self.customer)?;
        name(Field::Terminal, &self.terminal)?;
        name(Field::Card, &self.card)?;
        name(Field::Merchant, &self.merchant)?;
        name(Field::Device, &self.device)?;
        name(Field::Account, &self.account)?;
        Ok(self)
    }
}

fn check_transaction(transaction: &wire::Transaction<'_>) -> Result<Facts, Refusal> {
    let hot = transaction.hot();
    at_most(Field::Channel, hot.channel().0, Channel::ENUM_MAX)?;
    at_most(Field::Outcome, hot.outcome().0, Outcome::ENUM_MAX)?;
    present_name(Field::TransactionId, &Id(hot.transaction_id().0))?;
    Facts {
        card: optional(transaction.card()),
        merchant: optional(transaction.merchant()),
        device: optional(transaction.device()),
        account: optional(transaction.account()),
        ..Facts::new(payment_kind::TRANSACTION, hot.customer(), hot.terminal())
    }
    .checked()
}

fn check_label(label: &wire::Label<'_>) -> Result<Facts, Refusal> {
    let hot = label.hot();
    at_most(Field::Verdict, hot.verdict().0, Verdict::ENUM_MAX)?;
    at_most(Field::Source, hot.source().0, LabelSource::ENUM_MAX)?;
    present_name(Field::TransactionId, &Id(hot.transaction_id().0))?;
    Facts {
        card: optional(label.card()),
        merchant: optional(label.merchant()),
        device: optional(label.device()),
        account: optional(label.account()),
        ..Facts::new(payment_kind::LABEL, hot.customer(), hot.terminal())
    }
    .checked()
}

fn check_account_update(update: &wire::AccountUpdate<'_>) -> Result<Facts, Refusal> {
    let hot = update.hot();
    let account = Id(hot.account().0);
    at_most(Field::Change, hot.change().0, AccountChange::ENUM_MAX)?;
    present_name(Field::Account, &account)?;
    Facts {
        account,
        ..Facts::new(payment_kind::ACCOUNT, hot.customer(), &wire::Id::default())
    }
    .checked()
}

fn optional(id: Option<&wire::Id>) -> Id {
    id.map_or(Id::NONE, |id| Id(id.0))
}
