//! What every stage is: a thing with a name that does a little work when asked.
//!
//! ```text
//!   on_start ──▶ do_work ─▶ do_work ─▶ … ─▶ do_work ──▶ on_close
//!   take memory  └─ hot: no heap call, no clock ─┘      flush, say goodbye
//! ```
//!
//! Invariant: an agent does not know what drives it. [`crate::runner`] gives it a thread of its own,
//! [`crate::composite`] lets it share one, [`crate::invoker`] calls it by hand.

use std::error::Error;
use std::fmt;

/// A stage, a driver, a journal: whatever is driven by a duty cycle.
///
/// ```
/// use pinion_runtime::agent::Agent;
///
/// struct Ticker { ticks: u64 }
///
/// impl Agent for Ticker {
///     fn name(&self) -> &str { "ticker" }
///     fn do_work(&mut self, _now_ns: i64) -> usize {
///         self.ticks += 1;
///         1
///     }
/// }
/// ```
pub trait Agent {
    /// The name that people see on threads and in messages.
    fn name(&self) -> &str;

    /// Takes what the duty cycle needs. Called once, on the thread that will call [`Agent::do_work`].
    ///
    /// Error: the agent is not driven and not closed.
    fn on_start(&mut self) -> Result<(), StartError> {
        Ok(())
    }

    /// One duty cycle: a bounded batch of work. Returns how much was done, 0 for none.
    ///
    /// Unit: `now_ns` is ns since the Unix epoch, read once per cycle; for stamps only.
    /// Cost: neither allocates nor frees, never waits.
    fn do_work(&mut self, now_ns: i64) -> usize;

    /// Whether nothing that was handed to this agent still waits inside it or in its inputs.
    ///
    /// Asked after a stop, when a cycle did no work; until it is true the agent is driven on. An agent that
    /// holds work back without counting it (a gate, a batch that waits) must say so here.
    fn is_drained(&self) -> bool {
        true
    }

    /// Gives back what was taken. Called once after the last [`Agent::do_work`], on the same thread.
    fn on_close(&mut self) {}
}

impl<A: Agent + ?Sized> Agent for Box<A> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn on_start(&mut self) -> Result<(), StartError> {
        (**self).on_start()
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        (**self).do_work(now_ns)
    }

    fn is_drained(&self) -> bool {
        (**self).is_drained()
    }

    fn on_close(&mut self) {
        (**self).on_close();
    }
}

/// Why an agent could not be built or started. Any error becomes one by `?`.
///
/// It is no [`Error`] itself, so that the conversion can be from every error; [`StartError::into_inner`]
/// gives the one inside.
pub struct StartError(Box<dyn Error + Send + Sync>);

impl StartError {
    /// An error of a plain sentence.
    ///
    /// ```
    /// use pinion_runtime::agent::StartError;
    /// assert_eq!(StartError::message("bank is empty").to_string(), "bank is empty");
    /// ```
    pub fn message(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The error that was converted.
    pub fn into_inner(self) -> Box<dyn Error + Send + Sync> {
        self.0
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for StartError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
