//! One connection to the media driver (or one hub in process), and the handles that live on it.
//!
//! ```text
//!             add_publication, add_subscription (asynchronous)
//!   agent ──▶ [Bus] ──do_work──▶ conductor: answers, liveness, reconnect
//!     ▲          │
//!     └─handles──┘  survive the driver
//! ```
//!
//! A bus and its handles live on one thread: an agent builds them there and calls [`Bus::do_work`] in each
//! duty cycle, at least every 500 ms. Adding does not wait, so that the driver may be invoked by the same
//! thread; [`wait_ready`] waits where waiting is wanted.
//!
//! Invariant: [`Bus::do_work`] never blocks on the driver, and no handle reports [`crate::Offer::Accepted`] once
//! its bus has seen the driver go.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::BusError;
use crate::publication::Publication;
use crate::subscription::Subscription;

/// Where a stream is: an Aeron channel and a stream number inside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Aeron channel, such as `aeron:ipc` or `aeron:udp?endpoint=localhost:40123`.
    pub channel: String,
    /// Stream number; any value but 0, equal on both sides.
    pub stream_id: i32,
}

impl Endpoint {
    /// Names a stream.
    #[must_use]
    pub fn new(channel: impl Into<String>, stream_id: i32) -> Self {
        Endpoint {
            channel: channel.into(),
            stream_id,
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} stream {}", self.channel, self.stream_id)
    }
}

/// Whether the driver is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The client is connected and the driver's heartbeat moves.
    Up,
    /// There is no living driver; the bus looks for one in each [`Bus::do_work`].
    Down,
}

/// The state of a bus at one moment. Reading it costs a few loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether the driver is there.
    pub link: Link,
    /// Handles that the driver has not answered for yet.
    pub pending_count: usize,
    /// Handles that the driver has refused (see [`Bus::last_error`]); they stay [`crate::Offer::NotConnected`].
    pub refused_count: usize,
    /// How often a new client was put in the place of a lost one, since start.
    pub reconnect_count: u64,
    /// How often a connection was lost, since start: the driver went, or the client failed.
    pub lost_count: u64,
    /// Defects of the client library that were contained (a panic caught, a client leaked), since start.
    pub contained_count: u64,
}

impl Health {
    /// Whether the driver is there and has answered for every handle.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.link == Link::Up && self.pending_count == 0 && self.refused_count == 0
    }
}

/// Adds publications and subscriptions, and keeps them alive.
pub trait Bus {
    /// What [`add_publication`](Self::add_publication) gives.
    type Publication: Publication;
    /// What [`add_subscription`](Self::add_subscription) gives.
    type Subscription: Subscription;

    /// Asks for a publication. The handle answers [`crate::Offer::NotConnected`] until the driver has
    /// answered, which takes some calls of [`do_work`](Self::do_work).
    ///
    /// # Errors
    /// If the endpoint can be seen to be wrong without asking the driver.
    fn add_publication(&mut self, endpoint: &Endpoint) -> Result<Self::Publication, BusError>;

    /// Asks for a subscription. The handle has no image until the driver has answered.
    ///
    /// # Errors
    /// If the endpoint can be seen to be wrong without asking the driver.
    fn add_subscription(&mut self, endpoint: &Endpoint) -> Result<Self::Subscription, BusError>;

    /// One turn of the client's conductor: takes the driver's answers, watches its heartbeat, reconnects.
    /// Call it in each duty cycle. Returns how much was done.
    ///
    /// `now_ns` is the caller's clock in nanoseconds; only differences count, and they only pace the work.
    ///
    /// Cost: a few ns; every 10 µs one turn of the client's conductor, 40 to 100 ns when nothing has happened.
    /// Connecting and reconnecting take memory.
    fn do_work(&mut self, now_ns: i64) -> usize;

    /// The state of the connection.
    fn health(&self) -> Health;

    /// The last thing that went wrong, for people to read.
    fn last_error(&self) -> Option<&BusError>;
}

/// Works the bus until the driver has answered for every handle: for start-up and tests, not for duty cycles.
///
/// `between` runs after each turn: invoke an in-thread driver there, or sleep.
///
/// # Errors
/// The refusal if a handle was refused; [`BusError::NotReady`] after `timeout`.
pub fn wait_ready<B: Bus>(bus: &mut B, timeout: Duration, mut between: impl FnMut()) -> Result<(), BusError> {
    let started = Instant::now();
    loop {
        bus.do_work(i64::try_from(started.elapsed().as_nanos()).unwrap_or(i64::MAX));
        let health = bus.health();
        if health.is_ready() {
            return Ok(());
        }
        if health.refused_count > 0 {
            return Err(bus.last_error().cloned().unwrap_or(BusError::NotReady {
                waited: timeout,
                health,
            }));
        }
        if started.elapsed() >= timeout {
            return Err(BusError::NotReady {
                waited: timeout,
                health,
            });
        }
        between();
    }
}
