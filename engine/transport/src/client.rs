//! What an Aeron client library must be able to do to stand under an [`crate::aeron::AeronBus`].
//!
//! ```text
//!   ask_… ──▶ ticket ──find_…──▶ handle, or not yet, or refused
//!   do_work: the conductor's turn
//!   close: everything given back         abandon: nothing touched any more
//! ```
//!
//! Invariant: no function here waits for the driver.

use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::time::Duration;

use crate::bus::Endpoint;
use crate::config::BusConfig;
use crate::publication::Publication;
use crate::subscription::Subscription;

/// How a client connects and what it asks for.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Directory of the driver.
    pub aeron_dir: PathBuf,
    /// After how long without a heartbeat the driver counts as dead.
    pub driver_timeout: Duration,
    /// Length of the terms that publications ask for, in bytes.
    pub term_length: u32,
    /// Whether those terms are sparse.
    pub terms_sparse: bool,
    /// Largest packet that publications ask for, in bytes.
    pub mtu_len: u32,
    /// How long a bus without a driver waits between two looks for one.
    pub reconnect_interval: Duration,
}

impl ClientSettings {
    /// Takes what the client needs from the configuration.
    #[must_use]
    pub fn new(config: &BusConfig) -> Self {
        ClientSettings {
            aeron_dir: config.aeron_dir(),
            driver_timeout: Duration::from_millis(config.driver_timeout_ms),
            term_length: config.term_length,
            terms_sparse: config.terms_sparse,
            mtu_len: config.mtu_len,
            reconnect_interval: Duration::from_millis(config.reconnect_interval_ms),
        }
    }

    /// The channel with our term length, MTU and sparseness where it does not set its own.
    pub(crate) fn publication_channel(&self, channel: &str) -> String {
        let mut channel = channel.to_owned();
        add_parameter(&mut channel, "term-length", &self.term_length.to_string());
        add_parameter(&mut channel, "mtu", &self.mtu_len.to_string());
        add_parameter(
            &mut channel,
            "sparse",
            if self.terms_sparse { "true" } else { "false" },
        );
        channel
    }
}

/// What became of a ticket.
#[derive(Debug)]
pub enum Found<H> {
    /// The driver has answered, and here it is.
    Ready(H),
    /// The driver has not answered yet.
    NotYet,
    /// The driver refuses, in its own words.
    Refused(String),
}

/// What is to be given up together, in this order: publications, subscriptions, tickets, then the client.
#[derive(Debug)]
pub struct Belongings<C: Client> {
    /// Handles on publications.
    pub publications: Vec<C::Publication>,
    /// Handles on subscriptions.
    pub subscriptions: Vec<C::Subscription>,
    /// Unanswered questions for publications.
    pub publication_tickets: Vec<C::PublicationTicket>,
    /// Unanswered questions for subscriptions.
    pub subscription_tickets: Vec<C::SubscriptionTicket>,
}

/// An Aeron client library, used from one thread, its conductor turned by hand. Errors are for people.
pub trait Client: Sized {
    /// Its name in `bus.client`.
    const NAME: &'static str;
    /// How long a client that was replaced is still turned before it is closed, so that it lets go of the
    /// logs it has mapped.
    const LINGER: Duration;
    /// A publication on the data path.
    type Publication: ClientPublication;
    /// A subscription on the data path.
    type Subscription: Subscription;
    /// A question for a publication.
    type PublicationTicket;
    /// A question for a subscription.
    type SubscriptionTicket;

    /// What this client cannot take of a publication's channel, if anything.
    fn objection(channel: &str) -> Option<&'static str>;

    /// Adds to a publication's channel what this client needs there.
    fn complete(channel: &mut String);

    /// Connects to a driver that has just been seen alive.
    ///
    /// # Errors
    /// The library's words.
    fn connect(settings: &ClientSettings) -> Result<Self, String>;

    /// One turn of the conductor. Returns how much was done.
    ///
    /// # Errors
    /// If this client is of no use any more.
    fn do_work(&mut self) -> Result<usize, String>;

    /// Asks the driver for a publication.
    ///
    /// # Errors
    /// If the question cannot be put.
    fn ask_publication(&mut self, channel: &CStr, stream_id: i32) -> Result<Self::PublicationTicket, String>;

    /// Asks the driver for a subscription.
    ///
    /// # Errors
    /// If the question cannot be put.
    fn ask_subscription(
        &mut self,
        channel: &CStr,
        stream_id: i32,
    ) -> Result<Self::SubscriptionTicket, String>;

    /// Looks for the answer.
    ///
    /// # Errors
    /// If this client is of no use any more.
    fn find_publication(
        &mut self,
        ticket: &Self::PublicationTicket,
    ) -> Result<Found<Self::Publication>, String>;

    /// Looks for the answer.
    ///
    /// # Errors
    /// If this client is of no use any more.
    fn find_subscription(
        &mut self,
        ticket: &Self::SubscriptionTicket,
    ) -> Result<Found<Self::Subscription>, String>;

    /// Tells a subscription that the conductor has done something, so that it looks for new images.
    fn refresh(subscription: &mut Self::Subscription);

    /// Gives everything back but the client itself, which is still turned for [`Self::LINGER`] and then dropped.
    fn retire(&mut self, belongings: Belongings<Self>);

    /// Leaves everything where it is, because the library's state is broken, and tells the driver if possible.
    fn abandon(self, belongings: Belongings<Self>);
}

/// A publication of a client library.
pub trait ClientPublication: Publication {
    /// Whether the stream has reached the last position that Aeron can count to, and must start afresh.
    fn is_spent(&self) -> bool;
}

/// The channel as C has it.
pub(crate) fn c_channel(endpoint: &Endpoint, channel: String) -> Result<CString, crate::BusError> {
    CString::new(channel).map_err(|_| crate::BusError::Endpoint {
        endpoint: endpoint.clone(),
        reason: "it holds a zero byte".to_owned(),
    })
}

/// Adds `key=value` to the channel unless it has that key.
pub(crate) fn add_parameter(channel: &mut String, key: &str, value: &str) {
    if !has_parameter(channel, key) {
        channel.push(if channel.contains('?') { '|' } else { '?' });
        channel.push_str(key);
        channel.push('=');
        channel.push_str(value);
    }
}

/// Whether the channel sets `key`.
pub(crate) fn has_parameter(channel: &str, key: &str) -> bool {
    let parameters = channel.split_once('?').map_or("", |(_, parameters)| parameters);
    parameters
        .split('|')
        .any(|parameter| parameter.split_once('=').is_some_and(|(name, _)| name == key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(channel: &str, expected: &str) {
        let settings = ClientSettings::new(&BusConfig::default());
        assert_eq!(settings.publication_channel(channel), expected);
    }

    #[test]
    fn our_parameters_are_added_where_the_channel_has_none() {
        check(
            "aeron:ipc",
            "aeron:ipc?term-length=16777216|mtu=1408|sparse=false",
        );
        check(
            "aeron:ipc?mtu=8192",
            "aeron:ipc?mtu=8192|term-length=16777216|sparse=false",
        );
        check(
            "aeron:udp?endpoint=a:1|sparse=true|term-length=64k|mtu=2k",
            "aeron:udp?endpoint=a:1|sparse=true|term-length=64k|mtu=2k",
        );
    }
}
