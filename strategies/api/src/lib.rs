//! What the author of a strategy module sees, and nothing else.
//!
//! ```text
//!   payments: ScoredRecord ──▶ [PaymentStrategy] ──▶ Answer        market: BookRecord ──▶ [MarketStrategy] ──▶ Answer
//! ```
//!
//! A module is a struct with state of its own and one of the two traits. It is called for each event of its
//! lane, in order, on one thread, and answers by filling in an [`Answer`]. [`kit`] has what its tests need.
//!
//! - Memory is taken when the module is built; an event handler neither allocates nor frees.
//! - Nothing but the events: no clock, random source, file or environment variable. The same events give the
//!   same answers, and that is what a replay checks.
//! - A module that panics is quarantined: the configured fallback decides from then on.
//!
//! Invariant: what a module is shown is plain data, valid for any bytes.

pub mod answer;
pub mod parameters;
pub mod reasons;

pub mod kit;

pub use answer::Answer;
pub use parameters::{ParameterError, Parameters};
pub use pinion_schemas::ids::{DENSE_ID_NONE, Id};
pub use pinion_schemas::records::{
    BookRecord, MarketRecord, Origin, PaymentRecord, REASONS_MAX, Score, ScoredRecord, TopOfBook,
    decision_flag, market_kind, payment_kind,
};
pub use pinion_schemas::wire::{Action, Side, Verdict};

/// Who a module is. Its hash stands in every decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Name of the module, as in the configuration.
    pub name: &'static str,
    /// Version; to be raised with every change that can change an answer.
    pub version: u32,
    /// [`Parameters::canonical`] of the parameters in force.
    pub parameters: String,
}

/// Decides on payments.
pub trait PaymentStrategy: Send {
    /// Who this is.
    fn descriptor(&self) -> Descriptor;

    /// Decides on one transaction: approve, review or decline. `answer` comes empty: action `None`, no reasons.
    ///
    /// Any other action, `None` too, is not a valid answer, nor is a score that is not finite: the configured
    /// fallback decides, and it is counted.
    fn on_payment(&mut self, payment: &ScoredRecord, answer: &mut Answer);

    /// Something became known of an earlier transaction. No answer is asked.
    fn on_label(&mut self, _label: &ScoredRecord) {}

    /// An account changed. No answer is asked.
    fn on_account(&mut self, _account: &ScoredRecord) {}

    /// Whether every answer depends on nothing but the event shown. If so, a restart may begin at a checkpoint and
    /// never show the module what came before it; else all that is recorded is shown again.
    fn is_stateless(&self) -> bool {
        false
    }
}

/// Decides on market events.
pub trait MarketStrategy: Send {
    /// Who this is.
    fn descriptor(&self) -> Descriptor;

    /// Looks at one event and the book after it. `answer` comes empty: no signal. Buy and sell are signals; any
    /// other action is not a valid answer and becomes no signal, counted.
    fn on_market(&mut self, event: &BookRecord, answer: &mut Answer);
}
