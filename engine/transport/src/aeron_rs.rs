//! The Rust client `aeron-rs`, kept within the bounds where it is correct: `bus.client = "aeron-rs"`.
//!
//! Its data path is sound and fast; its control plane has defects, which are kept out of reach here:
//!
//! | defect | what is done about it |
//! |---|---|
//! | unknown driver event: panics under its lock, dropping it then aborts | the bus catches it; everything is leaked, the driver told, a new client made |
//! | conductor thread sleeps under its lock | never started; the conductor is turned by hand |
//! | a dead driver goes unnoticed | the bus watches the heartbeat itself |
//! | a stream breaks when its term id passes `i32::MAX` | publications start at term id 0 |
//! | `offer_bulk` corrupts the log | not used |
//! | dropped with a subscription never looked for: deadlock | each is looked for before |
//! | calling it while a subscription is locked can deadlock | images are polled as clones, without the lock |
//! | no close is sent to the driver | sent from here |
//! | its error handler panics | ours records |
//! | `AtomicBuffer` may outlive what it points to | stays in this file |
//! | a client is never freed, for it holds itself | turned on after its handles are gone, until it has let its logs go |
//!
//! Invariant: handles are dropped before their client, and after a panic nothing of a client is touched again.

use std::ffi::CStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::aeron_rs::aeron::Aeron;
use ::aeron_rs::cnc_file_descriptor;
use ::aeron_rs::command::control_protocol_events::AeronCommand;
use ::aeron_rs::concurrent::atomic_buffer::{AlignedBuffer, AtomicBuffer};
use ::aeron_rs::concurrent::logbuffer::buffer_claim::BufferClaim;
use ::aeron_rs::concurrent::logbuffer::header::Header;
use ::aeron_rs::concurrent::ring_buffer::ManyToOneRingBuffer;
use ::aeron_rs::context::Context;
use ::aeron_rs::exclusive_publication::ExclusivePublication;
use ::aeron_rs::image::Image;
use ::aeron_rs::subscription::Subscription as LockedSubscription;
use ::aeron_rs::utils::errors::{AeronError, DriverInteractionError, GenericError};
use ::aeron_rs::utils::memory_mapped_file::MemoryMappedFile;

use crate::aeron::AeronBus;
use crate::assembly::{Assembler, Fragment};
use crate::client::{
    Belongings, Client, ClientPublication, ClientSettings, Found, add_parameter, has_parameter,
};
use crate::publication::{Offer, Publication};
use crate::subscription::Subscription;

/// The bus over `aeron-rs`.
pub type AeronRsBus = AeronBus<AeronRsClient>;

/// How often an offer that only hit the end of a term is made again at once.
const ADMIN_RETRIES: u32 = 3;

/// The `aeron-rs` client, its conductor turned by hand.
pub struct AeronRsClient {
    aeron: Aeron,
    complaints: Complaints,
    /// Subscriptions that were asked for and not found yet. They must be looked for before the client is dropped.
    unfound: Vec<i64>,
    /// Its conductor has lost its receiver and must not be turned again.
    broken: bool,
    /// Our own way to the driver, for the close that the library does not send.
    control_file: MemoryMappedFile,
}

/// What the library has told its error handler.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<Option<AeronError>>>);

impl Complaints {
    fn put(&self, error: AeronError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn take(&self) -> Option<AeronError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl AeronRsClient {
    /// Tells the driver that this client is gone, so that nothing of it holds others up until it times out.
    fn send_close(&self) {
        let Ok(ring) =
            ManyToOneRingBuffer::new(cnc_file_descriptor::create_to_driver_buffer(&self.control_file))
        else {
            return;
        };
        let memory = AlignedBuffer::with_capacity(16);
        let message = AtomicBuffer::from_aligned(&memory);
        message.put::<i64>(0, self.aeron.client_id());
        message.put::<i64>(8, ring.next_correlation_id());
        if let Err(error) = ring.write(AeronCommand::ClientClose, message, 0, 16) {
            tracing::warn!(?error, "close was not sent to the driver");
        }
    }

    fn find_the_unfound(&mut self) {
        for registration_id in std::mem::take(&mut self.unfound) {
            drop(self.aeron.find_subscription(registration_id));
        }
    }
}

impl Drop for AeronRsClient {
    fn drop(&mut self) {
        self.find_the_unfound();
        self.send_close();
    }
}

impl Client for AeronRsClient {
    const NAME: &'static str = "aeron-rs";
    /// The library looks at its resources once a second, and frees a log at the third look.
    const LINGER: Duration = Duration::from_secs(5);
    type Publication = AeronRsPublication;
    type Subscription = AeronRsSubscription;
    type PublicationTicket = i64;
    type SubscriptionTicket = i64;

    fn objection(channel: &str) -> Option<&'static str> {
        let starts_elsewhere = ["init-term-id", "term-id", "term-offset"]
            .iter()
            .any(|key| has_parameter(channel, key));
        starts_elsewhere.then_some("aeron-rs is only correct on publications that start at term id 0")
    }

    fn complete(channel: &mut String) {
        add_parameter(channel, "init-term-id", "0");
        add_parameter(channel, "term-id", "0");
        add_parameter(channel, "term-offset", "0");
    }

    fn connect(settings: &ClientSettings) -> Result<Self, String> {
        let complaints = Complaints::default();
        let mut context = Context::new();
        context.set_aeron_dir(settings.aeron_dir.display().to_string());
        context
            .set_media_driver_timeout(u64::try_from(settings.driver_timeout.as_millis()).unwrap_or(u64::MAX));
        context.set_resource_linger_timeout(0);
        context.set_use_conductor_agent_invoker(true);
        context.set_pre_touch_mapped_memory(!settings.terms_sparse);
        context.set_error_handler({
            let complaints = complaints.clone();
            move |error| complaints.put(error)
        });
        let control_file = MemoryMappedFile::map_existing(context.cnc_file_name(), false).map_err(words)?;
        let aeron = Aeron::new(context).map_err(words)?;
        Ok(AeronRsClient {
            aeron,
            complaints,
            unfound: Vec::new(),
            broken: false,
            control_file,
        })
    }

    fn do_work(&mut self) -> Result<usize, String> {
        if self.broken {
            return Ok(0);
        }
        let work_count = self.aeron.conductor_agent_invoker().invoke();
        match self.complaints.take() {
            None => Ok(usize::try_from(work_count).unwrap_or(0)),
            Some(error) => {
                // After this one the library has thrown its receiver away and panics in the next turn.
                self.broken = matches!(error, AeronError::BroadcastTransmitError(_));
                if self.broken || self.aeron.is_closed() {
                    Err(words(error))
                } else {
                    Ok(0)
                }
            }
        }
    }

    fn ask_publication(&mut self, channel: &CStr, stream_id: i32) -> Result<i64, String> {
        self.aeron
            .add_exclusive_publication(channel.to_owned(), stream_id)
            .map_err(words)
    }

    fn ask_subscription(&mut self, channel: &CStr, stream_id: i32) -> Result<i64, String> {
        let registration_id = self
            .aeron
            .add_subscription(channel.to_owned(), stream_id)
            .map_err(words)?;
        self.unfound.push(registration_id);
        Ok(registration_id)
    }

    fn find_publication(&mut self, ticket: &i64) -> Result<Found<AeronRsPublication>, String> {
        match self.aeron.find_exclusive_publication(*ticket) {
            Ok(shared) => {
                let lock = Arc::try_unwrap(shared).map_err(|_| "it shares a publication".to_owned())?;
                let publication = lock.into_inner().unwrap_or_else(PoisonError::into_inner);
                Ok(Found::Ready(AeronRsPublication::new(publication)))
            }
            Err(error) => not_found(error),
        }
    }

    fn find_subscription(&mut self, ticket: &i64) -> Result<Found<AeronRsSubscription>, String> {
        let found = match self.aeron.find_subscription(*ticket) {
            Ok(shared) => Found::Ready(AeronRsSubscription::new(shared)),
            Err(error) => not_found(error)?,
        };
        if !matches!(found, Found::NotYet) {
            self.unfound.retain(|registration_id| registration_id != ticket);
        }
        Ok(found)
    }

    fn refresh(subscription: &mut AeronRsSubscription) {
        subscription.refresh();
    }

    fn retire(&mut self, belongings: Belongings<Self>) {
        drop(belongings.publications);
        drop(belongings.subscriptions);
    }

    fn abandon(self, belongings: Belongings<Self>) {
        std::mem::forget(belongings.publications);
        std::mem::forget(belongings.subscriptions);
        self.send_close();
        std::mem::forget(self);
    }
}

fn not_found<H>(error: AeronError) -> Result<Found<H>, String> {
    match error {
        AeronError::SubscriptionNotReady(_)
        | AeronError::Generic(GenericError::ExclusivePublicationNotReadyYet { .. }) => Ok(Found::NotYet),
        AeronError::DriverTimeout(DriverInteractionError::NoResponse(_)) => Err(words(error)),
        error => Ok(Found::Refused(words(error))),
    }
}

fn words(error: AeronError) -> String {
    match error {
        AeronError::RegistrationException(_, message) => message,
        error => error.to_string(),
    }
}

/// An exclusive publication of `aeron-rs`, taken out of its lock.
pub struct AeronRsPublication {
    publication: ExclusivePublication,
    payload_len_max: usize,
    message_len_max: usize,
    spent: bool,
}

impl AeronRsPublication {
    fn new(publication: ExclusivePublication) -> Self {
        let payload_len_max = usize::try_from(publication.max_payload_length()).unwrap_or(0);
        let message_len_max = usize::try_from(publication.max_message_length()).unwrap_or(0);
        AeronRsPublication {
            publication,
            payload_len_max,
            message_len_max,
            spent: false,
        }
    }

    #[cold]
    fn refusal(&mut self, error: &AeronError) -> Offer {
        match error {
            AeronError::BackPressured | AeronError::AdminAction => Offer::BackPressured,
            AeronError::MaxPositionExceeded => {
                self.spent = true;
                Offer::NotConnected
            }
            _ => Offer::NotConnected,
        }
    }

    /// Puts a message into the log, and once more if it only hit the end of a term.
    #[inline]
    fn put(
        &mut self,
        mut attempt: impl FnMut(&mut ExclusivePublication) -> Result<i64, AeronError>,
    ) -> Result<i64, AeronError> {
        for _ in 0..ADMIN_RETRIES {
            let outcome = attempt(&mut self.publication);
            if !matches!(outcome, Err(AeronError::AdminAction)) {
                return outcome;
            }
        }
        Err(AeronError::AdminAction)
    }
}

impl Publication for AeronRsPublication {
    #[inline]
    fn offer(&mut self, bytes: &[u8]) -> Offer {
        if bytes.len() > self.message_len_max {
            return Offer::TooLong;
        }
        // The library asks for a buffer that may be written to, and only reads from it.
        let message = AtomicBuffer::wrap_raw_slice(std::ptr::from_ref(bytes).cast_mut());
        match self.put(|publication| publication.offer(message)) {
            Ok(position) => Offer::Accepted(position),
            Err(error) => self.refusal(&error),
        }
    }

    #[inline]
    fn claim(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Offer {
        if len > self.payload_len_max {
            return Offer::TooLong;
        }
        let mut claim = BufferClaim::default();
        match self.put(|publication| publication.try_claim(len as i32, &mut claim)) {
            Ok(position) => {
                let mut claim = OpenClaim { claim, filled: false };
                fill(
                    claim
                        .claim
                        .buffer()
                        .view(claim.claim.offset(), len as i32)
                        .as_mutable_slice(),
                );
                claim.filled = true;
                Offer::Accepted(position)
            }
            Err(error) => self.refusal(&error),
        }
    }

    fn is_connected(&self) -> bool {
        self.publication.is_connected()
    }

    fn payload_len_max(&self) -> usize {
        self.payload_len_max
    }

    fn message_len_max(&self) -> usize {
        self.message_len_max
    }
}

impl ClientPublication for AeronRsPublication {
    fn is_spent(&self) -> bool {
        self.spent
    }
}

/// A claim that is committed once it was filled, and given up when filling it panicked.
struct OpenClaim {
    claim: BufferClaim,
    filled: bool,
}

impl Drop for OpenClaim {
    fn drop(&mut self) {
        if self.filled {
            self.claim.commit();
        } else {
            self.claim.abort();
        }
    }
}

/// A subscription of `aeron-rs`, polled through clones of its images. Fields drop in order: images first.
pub struct AeronRsSubscription {
    images: Vec<Image>,
    subscription: Arc<Mutex<LockedSubscription>>,
    assembler: Assembler,
    /// Which image is asked first in the next poll, so that none starves.
    first_index: usize,
}

impl AeronRsSubscription {
    fn new(subscription: Arc<Mutex<LockedSubscription>>) -> Self {
        let mut subscription = AeronRsSubscription {
            images: Vec::new(),
            subscription,
            assembler: Assembler::default(),
            first_index: 0,
        };
        subscription.refresh();
        subscription
    }

    /// Clones the images again if they are others. Position and closing are shared between the clones.
    fn refresh(&mut self) {
        let subscription = self.subscription.lock().unwrap_or_else(PoisonError::into_inner);
        let images = subscription.images();
        let same = images.len() == self.images.len()
            && images
                .iter()
                .zip(&self.images)
                .all(|(theirs, ours)| theirs.correlation_id() == ours.correlation_id());
        if !same {
            self.images.clone_from(images);
        }
    }
}

impl Subscription for AeronRsSubscription {
    #[inline]
    fn poll(&mut self, fragment_limit: usize, mut handler: impl FnMut(&[u8])) -> usize {
        let limit = i32::try_from(fragment_limit).unwrap_or(i32::MAX);
        let count = self.images.len();
        let assembler = &mut self.assembler;
        let mut take = |buffer: &AtomicBuffer, offset: i32, len: i32, header: &Header| {
            let fragment = Fragment {
                bytes: buffer.as_sub_slice(offset, len),
                flags: header.flags(),
                session_id: header.session_id(),
                term_id: header.term_id(),
                term_offset: header.term_offset(),
            };
            assembler.take(fragment, &mut handler);
        };
        let mut taken = 0;
        for turn in 0..count {
            if taken >= limit {
                break;
            }
            taken += self.images[(self.first_index + turn) % count].poll(&mut take, limit - taken);
        }
        self.first_index = if count == 0 {
            0
        } else {
            (self.first_index + 1) % count
        };
        usize::try_from(taken).unwrap_or(0)
    }

    fn image_count(&self) -> usize {
        self.images.len()
    }
}
