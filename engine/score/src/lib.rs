//! Scores a payment by what it resembles: an encoder turns its features into an embedding, a bank of
//! labelled cases says how much fraud stands near it.
//!
//! ```text
//!   features ──FeatureRecord──▶ [ScoreAgent] ──ScoredRecord──▶ strategy
//!                                   │ owns
//!                    Encoder (ONNX Runtime or native) ──embedding──▶ Bank ──neighbours──▶ vote
//!                                                          └ waits for its label ─▶ a case
//! ```
//!
//! Start at [`agent`]; [`exchange`] lets another model take over; [`scorer`] holds the way from a vector to a score;
//! [`cases`] how a label makes a case; [`bank`] the cases; [`device`] searches them on a GPU; [`histories`] what each entity's
//! payments were like, which reasons compare with; [`manifest`] describes a model's folder; [`library`] finds and checks the
//! inference library.
//!
//! Invariant: a score is a function of the vector, the model and the cases that are in the bank, and each event is
//! encoded by itself, so it is the same bits in whichever batch the event lands.

pub mod agent;
pub mod config;
pub mod counters;
pub mod error;
pub mod exchange;
pub mod scorer;

pub mod bank;
pub mod cases;
pub mod device;
pub mod encoder;
mod initialisers;
pub mod library;
pub mod manifest;
pub mod native;
pub mod onnx;

pub mod histories;
mod reasons;
mod waiting;

pub use agent::ScoreAgent;
pub use config::{Backend, ScoreConfig};
pub use error::ScoreError;
pub use exchange::{Exchanges, ScoreCommand, ScoreControl, ScoreRetired, Successor};
pub use scorer::Scorer;
