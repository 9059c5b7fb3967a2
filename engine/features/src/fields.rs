//! Reads the fields of a payment event that features are made of.
//!
//! Invariant: what is read is a function of the record alone.

use pinion_schemas::records::{PaymentRecord, fresh, payment_kind};

use crate::plan::Stream;
use crate::set::{Condition, Entity, EventKind, Field, FilterField, Test};
use crate::store::ENTITIES;

/// Amounts count as no larger than this, either way: 1.4 trillion in a currency with cents.
pub const AMOUNT_MINOR_MAX: i64 = (1 << 47) - 1;

impl Entity {
    /// All of them, in order.
    pub const ALL: [Self; ENTITIES] = [
        Self::Customer,
        Self::Terminal,
        Self::Card,
        Self::Merchant,
        Self::Device,
        Self::Account,
    ];

    /// Its bit in [`PaymentRecord::fresh`].
    pub fn fresh_bit(self) -> u8 {
        match self {
            Self::Customer => fresh::CUSTOMER,
            Self::Terminal => fresh::TERMINAL,
            Self::Card => fresh::CARD,
            Self::Merchant => fresh::MERCHANT,
            Self::Device => fresh::DEVICE,
            Self::Account => fresh::ACCOUNT,
        }
    }
}

/// The dense id of an entity.
#[inline]
pub(crate) fn dense(payment: &PaymentRecord, entity: Entity) -> u32 {
    match entity {
        Entity::Customer => payment.customer,
        Entity::Terminal => payment.terminal,
        Entity::Card => payment.card,
        Entity::Merchant => payment.merchant,
        Entity::Device => payment.device,
        Entity::Account => payment.account,
    }
}

/// The dense ids of all entities, in the order of [`Entity::ALL`].
#[inline]
pub(crate) fn all_dense(payment: &PaymentRecord) -> [u32; ENTITIES] {
    Entity::ALL.map(|entity| dense(payment, entity))
}

/// The value of a field as it is aggregated: amounts held to their bound, and no transaction a fraud yet.
#[inline]
pub(crate) fn value(payment: &PaymentRecord, field: Field) -> i64 {
    match field {
        Field::AmountMinor => payment.amount_minor.clamp(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX),
        Field::Fraud => 0,
        _ => number(payment, field),
    }
}

/// The value of a field as it was sent.
pub(crate) fn number(payment: &PaymentRecord, field: Field) -> i64 {
    match field {
        Field::AmountMinor => payment.amount_minor,
        Field::Fraud => 0,
        Field::Currency => i64::from(payment.currency),
        Field::MerchantCategory => i64::from(payment.merchant_category),
        Field::Channel => i64::from(payment.channel),
        Field::Outcome => i64::from(payment.outcome),
        Field::Id(entity) => i64::from(dense(payment, entity)),
    }
}

/// Whether an event is one of those that a stream is over.
#[inline(always)]
pub(crate) fn belongs(payment: &PaymentRecord, stream: &Stream) -> bool {
    let kind = match stream.event {
        EventKind::Transaction => payment_kind::TRANSACTION,
        EventKind::Label => payment_kind::LABEL,
        EventKind::Account => payment_kind::ACCOUNT,
    };
    payment.origin.kind == kind
        && stream
            .filter
            .conditions
            .iter()
            .all(|condition| holds(payment, condition))
}

fn holds(payment: &PaymentRecord, condition: &Condition) -> bool {
    let found = match condition.field {
        FilterField::Field(field) => number(payment, field),
        FilterField::Verdict => i64::from(payment.verdict),
        FilterField::LabelSource | FilterField::Change => i64::from(payment.detail),
    };
    match &condition.test {
        Test::AnyOf(values) => values.contains(&found),
        Test::Between(low, high) => (*low..=*high).contains(&found),
    }
}
