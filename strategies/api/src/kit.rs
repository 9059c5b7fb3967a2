//! The test kit: events to feed a module with, and its answers.
//!
//! ```
//! use pinion_strategies_api::{Action, Answer, Descriptor, PaymentStrategy, ScoredRecord, kit};
//!
//! struct Always;
//! impl PaymentStrategy for Always {
//!     fn descriptor(&self) -> Descriptor {
//!         Descriptor { name: "always", version: 1, parameters: String::new() }
//!     }
//!     fn on_payment(&mut self, _: &ScoredRecord, answer: &mut Answer) {
//!         answer.action = Action::Approve;
//!     }
//! }
//! assert_eq!(kit::decide(&mut Always, &kit::payment(0.2, 1_000)).action, Action::Approve);
//! ```

use crate::{
    Answer, BookRecord, MarketStrategy, PaymentStrategy, ScoredRecord, TopOfBook, market_kind, payment_kind,
};

/// A transaction of `amount_minor` with a score.
pub fn payment(score: f32, amount_minor: i64) -> ScoredRecord {
    let mut record = ScoredRecord::default();
    record.payment.origin.kind = payment_kind::TRANSACTION;
    record.payment.origin.sequence = 1;
    record.payment.amount_minor = amount_minor;
    record.score.score = score;
    record
}

/// A level update of `instrument` with the book after it, the best prices one apart around 100.
pub fn book(instrument: u32, imbalance: f32) -> BookRecord {
    let mut record = BookRecord::default();
    record.market.origin.kind = market_kind::BOOK_LEVEL;
    record.market.origin.sequence = 1;
    record.market.instrument = instrument;
    record.top = TopOfBook {
        bid_price: 99_500_000_000,
        bid_quantity: 1_000_000_000,
        ask_price: 100_500_000_000,
        ask_quantity: 1_000_000_000,
        bid_levels: 5,
        ask_levels: 5,
        imbalance,
        imbalance_5: imbalance,
        ..TopOfBook::default()
    };
    record
}

/// The answer of a payment module to one transaction.
pub fn decide(strategy: &mut dyn PaymentStrategy, payment: &ScoredRecord) -> Answer {
    let mut answer = Answer::default();
    strategy.on_payment(payment, &mut answer);
    answer
}

/// The answer of a market module to one event.
pub fn signal(strategy: &mut dyn MarketStrategy, event: &BookRecord) -> Answer {
    let mut answer = Answer::default();
    strategy.on_market(event, &mut answer);
    answer
}
