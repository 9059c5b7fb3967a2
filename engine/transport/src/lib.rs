//! Carries whole messages between processes over Aeron, or between threads in process, behind one set of traits.
//!
//! ```text
//!   publish ──offer / claim──▶ [Publication] ══ channel, stream ══▶ [Subscription] ──poll──▶ ingest
//!                                   ▲                                    ▲
//!                                   └──────── [Bus] do_work ─────────────┘
//!                                 aeron-rs │ C client │ in process
//!                                               │
//!                               media driver: embedded or external
//! ```
//!
//! Start at [`bus`], the three traits' meeting point. [`in_process`] is the simplest bus and the one that
//! replay and tests use; [`aeron_rs`] and [`rusteron`] are the two Aeron clients; [`driver`] runs the media
//! driver and watches it.
//!
//! Memory is taken when a handle is added (and again when a lost driver comes back); offering and polling
//! take none of their own. Nothing here waits: a full stream answers [`Offer::BackPressured`], a missing
//! driver [`Offer::NotConnected`].
//!
//! Invariant: a handle outlives the driver. When the driver dies or restarts, its bus builds a new client
//! inside [`Bus::do_work`] and the same handles carry on; what was lost in between is a gap in the
//! publisher's sequence, which ingest reports.

pub mod publication;
pub mod subscription;

pub mod bus;

pub mod in_process;

pub mod aeron;
mod assembly;
pub mod client;

pub mod aeron_rs;
pub mod rusteron;

pub mod driver;

pub mod config;
pub mod counters;
pub mod error;

pub use bus::{Bus, Endpoint, Health, Link};
pub use config::BusConfig;
pub use counters::BusCounters;
pub use error::{BusError, ConfigError, DriverError};
pub use publication::{Offer, Publication};
pub use subscription::Subscription;
