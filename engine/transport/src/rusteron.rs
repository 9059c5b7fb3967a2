//! Aeron's own C client, through `rusteron-client`: `bus.client = "c"`.
//!
//! One hole of the binding is kept shut here: a fragment's header, kept beyond its callback, would be read after it
//! was freed. It is turned into plain numbers at once and never leaves the closure.
//!
//! Invariant: handles are closed before their client, and the client before its driver.

use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusteron_client::{
    Aeron, AeronAsyncAddExclusivePublication, AeronAsyncAddSubscription, AeronCError, AeronContext,
    AeronErrorHandlerCallback, AeronExclusivePublication, AeronHeader, AeronOfferError,
    AeronSubscription as CSubscription, Handler, Handlers,
};

use crate::aeron::AeronBus;
use crate::assembly::{Assembler, Fragment};
use crate::client::{Belongings, Client, ClientPublication, ClientSettings, Found};
use crate::publication::{Offer, Publication};
use crate::subscription::Subscription;

/// The bus over Aeron's C client.
pub type RusteronBus = AeronBus<RusteronClient>;

/// How often an offer that only hit the end of a term is made again at once.
const ADMIN_RETRIES: u32 = 3;

/// The C client, its conductor turned by hand.
#[derive(Debug)]
pub struct RusteronClient {
    aeron: Aeron,
    errors: Arc<Mutex<Option<String>>>,
}

/// Keeps the last thing that the client's conductor complained of.
struct LastError(Arc<Mutex<Option<String>>>);

impl AeronErrorHandlerCallback for LastError {
    fn handle_aeron_error_handler(&mut self, _code: std::os::raw::c_int, message: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.to_owned());
    }
}

impl RusteronClient {
    fn complaint(&self) -> String {
        let complaint = self.errors.lock().unwrap_or_else(PoisonError::into_inner).take();
        complaint.unwrap_or_else(|| "it closed itself".to_owned())
    }
}

impl Client for RusteronClient {
    const NAME: &'static str = "c";
    const LINGER: Duration = Duration::ZERO;
    type Publication = RusteronPublication;
    type Subscription = RusteronSubscription;
    type PublicationTicket = AeronAsyncAddExclusivePublication;
    type SubscriptionTicket = AeronAsyncAddSubscription;

    fn objection(_channel: &str) -> Option<&'static str> {
        None
    }

    fn complete(_channel: &mut String) {}

    fn connect(settings: &ClientSettings) -> Result<Self, String> {
        let errors = Arc::new(Mutex::new(None));
        let context = context(settings, &errors).map_err(words)?;
        let aeron = Aeron::new(&context).map_err(words)?;
        aeron.start().map_err(words)?;
        Ok(RusteronClient { aeron, errors })
    }

    fn do_work(&mut self) -> Result<usize, String> {
        match self.aeron.main_do_work() {
            Ok(work_count) if !self.aeron.is_closed() => Ok(usize::try_from(work_count).unwrap_or(0)),
            _ => Err(self.complaint()),
        }
    }

    fn ask_publication(
        &mut self,
        channel: &CStr,
        stream_id: i32,
    ) -> Result<AeronAsyncAddExclusivePublication, String> {
        self.aeron
            .async_add_exclusive_publication(channel, stream_id)
            .map_err(words)
    }

    fn ask_subscription(
        &mut self,
        channel: &CStr,
        stream_id: i32,
    ) -> Result<AeronAsyncAddSubscription, String> {
        self.aeron
            .async_add_subscription(channel, stream_id, Handlers::NONE, Handlers::NONE)
            .map_err(words)
    }

    fn find_publication(
        &mut self,
        ticket: &AeronAsyncAddExclusivePublication,
    ) -> Result<Found<RusteronPublication>, String> {
        Ok(match ticket.poll() {
            Ok(Some(publication)) => {
                RusteronPublication::new(publication).map_or_else(Found::Refused, Found::Ready)
            }
            Ok(None) => Found::NotYet,
            Err(error) => Found::Refused(words(error)),
        })
    }

    fn find_subscription(
        &mut self,
        ticket: &AeronAsyncAddSubscription,
    ) -> Result<Found<RusteronSubscription>, String> {
        Ok(match ticket.poll() {
            Ok(Some(subscription)) => Found::Ready(RusteronSubscription {
                subscription,
                assembler: Assembler::default(),
            }),
            Ok(None) => Found::NotYet,
            Err(error) => Found::Refused(words(error)),
        })
    }

    fn refresh(_subscription: &mut RusteronSubscription) {}

    fn retire(&mut self, belongings: Belongings<Self>) {
        drop(belongings);
    }

    fn abandon(self, belongings: Belongings<Self>) {
        std::mem::forget(belongings);
        std::mem::forget(self);
    }
}

fn context(
    settings: &ClientSettings,
    errors: &Arc<Mutex<Option<String>>>,
) -> Result<AeronContext, AeronCError> {
    let dir = CString::new(settings.aeron_dir.as_os_str().as_encoded_bytes()).unwrap_or_default();
    let context = AeronContext::new()?;
    context.set_dir(&dir)?;
    context.set_driver_timeout_ms(u64::try_from(settings.driver_timeout.as_millis()).unwrap_or(u64::MAX))?;
    context.set_use_conductor_agent_invoker(true)?;
    context.set_pre_touch_mapped_memory(!settings.terms_sparse)?;
    let handler = Handler::new(LastError(Arc::clone(errors)));
    context.set_error_handler(Some(handler))?;
    Ok(context)
}

fn words(error: AeronCError) -> String {
    error.get_last_err_message().to_owned()
}

/// An exclusive publication of the C client.
#[derive(Debug)]
pub struct RusteronPublication {
    publication: AeronExclusivePublication,
    payload_len_max: usize,
    message_len_max: usize,
    spent: bool,
}

impl RusteronPublication {
    fn new(publication: AeronExclusivePublication) -> Result<Self, String> {
        let constants = publication.get_constants().map_err(words)?;
        let payload_len_max = constants.max_payload_length();
        let message_len_max = constants.max_message_length();
        Ok(RusteronPublication {
            publication,
            payload_len_max,
            message_len_max,
            spent: false,
        })
    }

    #[cold]
    fn refusal(&mut self, error: &AeronOfferError) -> Offer {
        match error {
            AeronOfferError::BackPressured | AeronOfferError::AdminAction => Offer::BackPressured,
            AeronOfferError::MaxPositionExceeded => {
                self.spent = true;
                Offer::NotConnected
            }
            _ => Offer::NotConnected,
        }
    }
}

impl Publication for RusteronPublication {
    #[inline]
    fn offer(&mut self, bytes: &[u8]) -> Offer {
        if bytes.len() > self.message_len_max {
            return Offer::TooLong;
        }
        let mut outcome = self.publication.offer(bytes);
        for _ in 0..ADMIN_RETRIES {
            if !matches!(outcome, Err(AeronOfferError::AdminAction)) {
                break;
            }
            outcome = self.publication.offer(bytes);
        }
        match outcome {
            Ok(position) => Offer::Accepted(position),
            Err(error) => self.refusal(&error),
        }
    }

    #[inline]
    fn claim(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Offer {
        if len > self.payload_len_max {
            return Offer::TooLong;
        }
        let mut outcome = self.publication.try_claim_owned(len);
        for _ in 0..ADMIN_RETRIES {
            if !matches!(outcome, Err(AeronOfferError::AdminAction)) {
                break;
            }
            outcome = self.publication.try_claim_owned(len);
        }
        match outcome {
            // Dropped without a commit, as when `fill` panics, the claim is given up.
            Ok(mut claim) => {
                fill(claim.data());
                claim.commit().map_or(Offer::NotConnected, Offer::Accepted)
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

impl ClientPublication for RusteronPublication {
    fn is_spent(&self) -> bool {
        self.spent
    }
}

/// A subscription of the C client.
#[derive(Debug)]
pub struct RusteronSubscription {
    subscription: CSubscription,
    assembler: Assembler,
}

impl Subscription for RusteronSubscription {
    #[inline]
    fn poll(&mut self, fragment_limit: usize, mut handler: impl FnMut(&[u8])) -> usize {
        let assembler = &mut self.assembler;
        let take = |bytes: &[u8], header: AeronHeader| {
            let Ok(values) = header.get_values() else { return };
            let fragment = Fragment {
                bytes,
                flags: values.frame.flags,
                session_id: values.frame.session_id,
                term_id: values.frame.term_id,
                term_offset: values.frame.term_offset,
            };
            assembler.take(fragment, &mut handler);
        };
        self.subscription
            .poll_fn(take, fragment_limit)
            .map_or(0, |count| usize::try_from(count).unwrap_or(0))
    }

    fn image_count(&self) -> usize {
        self.subscription
            .image_count()
            .map_or(0, |count| usize::try_from(count).unwrap_or(0))
    }
}
