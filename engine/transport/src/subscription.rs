//! The receiving side: whole messages, in the order of each publisher, as many as the caller asks for.
//!
//! ```text
//!   image of publisher 1 ══▶╲
//!   image of publisher 2 ══▶─ poll(limit) ──&[u8]──▶ handler
//!   image of publisher 3 ══▶╱
//! ```
//!
//! Invariant: a handler sees each accepted message once, whole, and in its publisher's order. Between
//! publishers there is no order.

/// Receives messages from one channel and stream. Used by one thread; get one from
/// [`crate::Bus::add_subscription`].
pub trait Subscription {
    /// Hands up to `fragment_limit` fragments to `handler` as whole messages, and returns how many fragments
    /// were taken. A message of several fragments is put together first, and handed over with its last one.
    ///
    /// The slice is only valid inside the handler. The handler must not call this subscription's bus.
    ///
    /// Cost: no copy for a message of one fragment, one copy otherwise; no heap call of our own once the
    /// longest message has been seen.
    fn poll(&mut self, fragment_limit: usize, handler: impl FnMut(&[u8])) -> usize;

    /// Whether at least one publisher is there.
    fn is_connected(&self) -> bool {
        self.image_count() > 0
    }

    /// How many publishers are there.
    fn image_count(&self) -> usize;
}
