//! The sending side: one message in, one outcome out, nothing ever waits.
//!
//! ```text
//!   bytes ──offer──▶ log buffer        copies once, splits above the MTU
//!   len ───claim───▶ log buffer        filled in place, at most one MTU
//! ```
//!
//! Invariant: a message is either accepted whole or not at all.

/// What became of one message.
#[must_use = "a message that was not accepted has to be offered again or counted as lost"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The message is in the stream. Holds the stream position in bytes after it; positions of one
    /// publication only grow, and start afresh when the bus has reconnected.
    Accepted(i64),
    /// A subscriber, or the driver, has no room for it yet. Try again.
    BackPressured,
    /// There is no subscriber, or the driver is away and the bus is waiting for it.
    NotConnected,
    /// The bus of this publication is gone. No later offer will be accepted.
    Closed,
    /// The message is longer than [`Publication::message_len_max`], or the claim longer than
    /// [`Publication::payload_len_max`]. It will never be accepted.
    TooLong,
}

impl Offer {
    /// Whether the message is in the stream.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        matches!(self, Offer::Accepted(_))
    }

    /// Whether the same message may be accepted later: back pressure, or nobody there yet.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Offer::BackPressured | Offer::NotConnected)
    }
}

/// Sends messages on one channel and stream. Used by one thread; get one from [`crate::Bus::add_publication`].
pub trait Publication {
    /// Copies one message into the stream; above [`payload_len_max`](Self::payload_len_max) it travels in
    /// fragments and arrives whole.
    ///
    /// Cost: one copy; no heap call of our own.
    fn offer(&mut self, bytes: &[u8]) -> Offer;

    /// Reserves `len` bytes in the stream and lets `fill` write them in place.
    ///
    /// `fill` is called only if the space was given, exactly once, with a slice of exactly `len` bytes whose
    /// former content is unspecified. If `fill` panics the space is given up and the panic goes on.
    ///
    /// Cost: no copy over Aeron; one copy in process.
    fn claim(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Offer;

    /// Whether a subscriber is known to be there.
    fn is_connected(&self) -> bool;

    /// Longest message that [`claim`](Self::claim) takes, in bytes; 0 until the driver has answered.
    fn payload_len_max(&self) -> usize;

    /// Longest message that [`offer`](Self::offer) takes, in bytes; 0 until the driver has answered.
    fn message_len_max(&self) -> usize;
}
