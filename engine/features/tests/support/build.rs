//! Sets, features and events in few words.

use pinion_features::set::{
    Aggregate, Entity, EntityKey, EventKind, Feature, FeatureKind, FeatureSet, Field, Filter, Precision,
    SECOND_NS, Window, WindowFeature,
};
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use pinion_schemas::records::{PaymentRecord, payment_kind};

/// 2018-04-01T00:00:00Z, a Sunday. Unit: ns since the Unix epoch.
pub(crate) const START_NS: i64 = 1_522_540_800 * SECOND_NS;

/// The customer.
pub(crate) const CUSTOMER: EntityKey = EntityKey::One(Entity::Customer);

/// The terminal.
pub(crate) const TERMINAL: EntityKey = EntityKey::One(Entity::Terminal);

/// The amount.
pub(crate) const AMOUNT: Field = Field::AmountMinor;

/// A set of these features.
pub(crate) fn set(features: Vec<Feature>) -> FeatureSet {
    FeatureSet {
        name: "test".to_owned(),
        version: 1,
        description: String::new(),
        features,
    }
}

/// A feature called `feature`, missing at −1.
pub(crate) fn feature(kind: FeatureKind) -> Feature {
    Feature {
        name: "feature".to_owned(),
        description: String::new(),
        kind,
        missing: -1.0,
    }
}

/// A set of this feature alone.
pub(crate) fn set_of(window: WindowFeature) -> FeatureSet {
    set(vec![feature(FeatureKind::Window(window))])
}

/// Of all the customer's transactions, the current one included, without delay, exactly.
pub(crate) fn over(aggregate: Aggregate, window: Window) -> WindowFeature {
    WindowFeature {
        entity: CUSTOMER,
        event: EventKind::Transaction,
        filter: Filter::default(),
        aggregate,
        window,
        delay_ns: 0,
        precision: Precision::Exact,
        includes_current: true,
    }
}

/// A transaction of customer 0 with the first entity of each kind.
pub(crate) fn transaction(event_ns: i64, amount_minor: i64, name: &str) -> PaymentRecord {
    let mut payment = PaymentRecord {
        amount_minor,
        currency: 978,
        transaction_id: Id::new(name).expect("a name without spaces"),
        ..PaymentRecord::default()
    };
    payment.origin.kind = payment_kind::TRANSACTION;
    payment.origin.event_ns = event_ns;
    payment
}

/// What became known of `transaction` at `event_ns`.
pub(crate) fn label(transaction: &PaymentRecord, event_ns: i64, verdict: u8) -> PaymentRecord {
    let mut label = PaymentRecord {
        verdict,
        transaction_ns: transaction.origin.event_ns,
        fresh: 0,
        ..*transaction
    };
    label.origin.kind = payment_kind::LABEL;
    label.origin.event_ns = event_ns;
    label
}

/// A change of account 0 of customer 0.
pub(crate) fn account_update(event_ns: i64, limit_minor: i64, change: u8) -> PaymentRecord {
    let mut update = PaymentRecord {
        amount_minor: limit_minor,
        currency: 978,
        detail: change,
        terminal: DENSE_ID_NONE,
        card: DENSE_ID_NONE,
        merchant: DENSE_ID_NONE,
        device: DENSE_ID_NONE,
        ..PaymentRecord::default()
    };
    update.origin.kind = payment_kind::ACCOUNT;
    update.origin.event_ns = event_ns;
    update
}
