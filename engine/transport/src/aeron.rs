//! The bus over Aeron, whichever client library stands under it: connecting, asking, losing, finding again.
//!
//! ```text
//!               ┌───────────── driver alive: connect, ask again for every handle ◀───────────┐
//!               ▼                                                                            │
//!   Down ──▶ [client + watch] ──do_work──▶ answers ──▶ slots ◀── handles (offer, poll)        │
//!               │ heartbeat stopped, client closed ─▶ retire ─▶ (linger) ─▶ drop ─────────────┤
//!               └ client panicked ───────────────────▶ abandon (leaked on purpose) ───────────┘
//! ```
//!
//! A handle holds a slot, and so does the bus. The bus fills and empties the slots; a handle works with what it
//! finds there. Both live on one thread, so a slot costs one flag check per call. A panic of the library is
//! caught here and nowhere else.
//!
//! Invariant: an empty slot answers [`Offer::NotConnected`], and [`Offer::Closed`] once the bus is gone.

use std::cell::RefCell;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::bus::{Bus, Endpoint, Health, Link};
use crate::client::{Belongings, Client, ClientPublication, ClientSettings, Found, c_channel};
use crate::config::BusConfig;
use crate::driver::DriverWatch;
use crate::error::BusError;
use crate::publication::{Offer, Publication};
use crate::subscription::Subscription;

/// The conductor is turned when this much time has passed, or after so many calls when the clock stands still:
/// a turn reads clocks and costs more than a duty cycle can spare each time.
const TURN_INTERVAL_NS: u64 = 10_000;
const TURN_CALLS_MAX: u32 = 64;
/// How often the bus looks beyond the conductor: at the heartbeat, at dropped handles, for a driver.
const CHECK_INTERVAL_NS: u64 = 1_000_000;
/// After how long a question that was refused is put again.
const REFUSED_RETRY: Duration = Duration::from_secs(1);
/// How many times the wait for a new client doubles when the library fails again and again.
const FAILURE_DOUBLINGS_MAX: u32 = 6;
/// A library that has worked for this long has its failures forgiven.
const FAILURE_FORGIVEN: Duration = Duration::from_secs(10);

/// A bus over the Aeron client library `C`.
pub struct AeronBus<C: Client> {
    settings: ClientSettings,
    connection: Option<Connection<C>>,
    publications: Vec<Rc<Slot<C::Publication, C::PublicationTicket>>>,
    subscriptions: Vec<Rc<Slot<C::Subscription, C::SubscriptionTicket>>>,
    retired: Vec<Retired<C>>,
    last_turn_ns: i64,
    calls_since_turn: u32,
    last_check_ns: Option<i64>,
    next_attempt: Option<Instant>,
    failure_streak: u32,
    connected_before: bool,
    health: Health,
    last_error: Option<BusError>,
}

/// A client, and the watch on its driver.
struct Connection<C> {
    client: C,
    watch: DriverWatch,
    since: Instant,
}

/// A client without handles that lets go of its logs.
struct Retired<C> {
    client: C,
    until: Instant,
}

/// A place for a handle's inner side.
struct Slot<H, T> {
    endpoint: Endpoint,
    channel: CString,
    state: RefCell<State<H, T>>,
}

enum State<H, T> {
    /// Not asked for: the driver is away.
    Waiting,
    /// Asked for, not answered.
    Asked(T),
    /// In use.
    Open(H),
    /// Refused; asked for again at this time.
    Refused(Instant),
    /// The bus is gone.
    Gone,
}

/// Why a connection ended.
enum End {
    /// The driver went, or the client gave up. The library is sound.
    Lost(BusError),
    /// The library panicked. Its locks are poisoned.
    Failed(BusError),
}

impl<C: Client> AeronBus<C> {
    /// Makes a bus for the driver that `config` names. It need not be there yet: [`Bus::do_work`] looks for it.
    #[must_use]
    pub fn new(config: &BusConfig) -> Self {
        AeronBus {
            settings: ClientSettings::new(config),
            connection: None,
            publications: Vec::new(),
            subscriptions: Vec::new(),
            retired: Vec::new(),
            last_turn_ns: 0,
            calls_since_turn: 0,
            last_check_ns: None,
            next_attempt: None,
            failure_streak: 0,
            connected_before: false,
            health: Health {
                link: Link::Down,
                pending_count: 0,
                refused_count: 0,
                reconnect_count: 0,
                lost_count: 0,
                contained_count: 0,
            },
            last_error: None,
        }
    }

    fn is_turn_due(&mut self, now_ns: i64) -> bool {
        self.calls_since_turn += 1;
        let since_ns = now_ns.wrapping_sub(self.last_turn_ns) as u64;
        let due = since_ns >= TURN_INTERVAL_NS || self.calls_since_turn >= TURN_CALLS_MAX;
        if due {
            self.last_turn_ns = now_ns;
            self.calls_since_turn = 0;
        }
        due
    }

    fn is_check_due(&mut self, now_ns: i64) -> bool {
        let due = self
            .last_check_ns
            .is_none_or(|last| now_ns.wrapping_sub(last) as u64 >= CHECK_INTERVAL_NS);
        if due {
            self.last_check_ns = Some(now_ns);
        }
        due
    }

    /// The conductor's turn, and what it brought.
    fn turn(&mut self) -> usize {
        let Some(connection) = &mut self.connection else {
            return 0;
        };
        match contain::<C, _>(|| connection.client.do_work()) {
            Ok(0) => 0,
            Ok(work_count) => {
                self.answer_and_refresh();
                work_count
            }
            Err(end) => self.end(end),
        }
    }

    /// Everything that need not be done in each turn.
    fn check(&mut self) -> usize {
        let now = Instant::now();
        self.release_retired(now);
        let Some(connection) = &mut self.connection else {
            return self.try_connect(now);
        };
        if let Err(reason) = connection.watch.check(now) {
            let dir = self.settings.aeron_dir.clone();
            return self.end(End::Lost(BusError::DriverLost { dir, reason }));
        }
        if now.duration_since(connection.since) >= FAILURE_FORGIVEN {
            self.failure_streak = 0;
        }
        self.tend_slots();
        self.ask_all(now);
        self.answer_and_refresh();
        0
    }

    fn try_connect(&mut self, now: Instant) -> usize {
        if self.next_attempt.is_some_and(|time| now < time) {
            return 0;
        }
        self.next_attempt = Some(now + self.attempt_interval());
        self.tend_slots();
        match self.connect(now) {
            Ok(connection) => {
                self.connection = Some(connection);
                self.health.link = Link::Up;
                self.health.reconnect_count += u64::from(self.connected_before);
                self.connected_before = true;
                tracing::info!(client = C::NAME, dir = %self.settings.aeron_dir.display(), "bus connected");
                self.ask_all(now);
                1
            }
            Err(error) => {
                self.last_error = Some(error);
                0
            }
        }
    }

    fn connect(&self, now: Instant) -> Result<Connection<C>, BusError> {
        let no_client = |reason| BusError::Connect {
            dir: self.settings.aeron_dir.clone(),
            reason,
        };
        let watch =
            DriverWatch::open(&self.settings.aeron_dir, self.settings.driver_timeout).map_err(no_client)?;
        match catch_unwind(AssertUnwindSafe(|| C::connect(&self.settings))) {
            Ok(Ok(client)) => Ok(Connection {
                client,
                watch,
                since: now,
            }),
            Ok(Err(reason)) => Err(no_client(reason)),
            Err(panic) => Err(no_client(panic_words(panic.as_ref()))),
        }
    }

    fn attempt_interval(&self) -> Duration {
        self.settings.reconnect_interval * 2_u32.pow(self.failure_streak.min(FAILURE_DOUBLINGS_MAX))
    }

    /// Asks for what is not asked for yet, and again for what was refused a while ago.
    fn ask_all(&mut self, now: Instant) {
        let Some(Connection { client, .. }) = &mut self.connection else {
            return;
        };
        let mut refusal = None;
        let outcome = contain::<C, _>(|| {
            for slot in &self.publications {
                slot.ask(now, &mut refusal, |channel, stream_id| {
                    client.ask_publication(channel, stream_id)
                });
            }
            for slot in &self.subscriptions {
                slot.ask(now, &mut refusal, |channel, stream_id| {
                    client.ask_subscription(channel, stream_id)
                });
            }
            Ok(())
        });
        self.settle(outcome, refusal);
    }

    /// Takes the driver's answers, and lets subscriptions look for new images.
    fn answer_and_refresh(&mut self) {
        let Some(Connection { client, .. }) = &mut self.connection else {
            return;
        };
        let mut refusal = None;
        let outcome = contain::<C, _>(|| {
            for slot in &self.publications {
                slot.answer(&mut refusal, |ticket| client.find_publication(ticket))?;
            }
            for slot in &self.subscriptions {
                slot.answer(&mut refusal, |ticket| client.find_subscription(ticket))?;
                slot.with_open(C::refresh);
            }
            Ok(())
        });
        self.settle(outcome, refusal);
    }

    fn settle(&mut self, outcome: Result<(), End>, refusal: Option<BusError>) {
        if let Some(error) = refusal {
            tracing::warn!(client = C::NAME, %error, "bus");
            self.last_error = Some(error);
        }
        if let Err(end) = outcome {
            self.end(end);
        }
        self.count_slots();
    }

    fn count_slots(&mut self) {
        let publications = self.publications.iter().map(|slot| slot.standing());
        let subscriptions = self.subscriptions.iter().map(|slot| slot.standing());
        let (mut pending_count, mut refused_count) = (0, 0);
        for standing in publications.chain(subscriptions) {
            pending_count += usize::from(standing == Standing::Pending);
            refused_count += usize::from(standing == Standing::Refused);
        }
        self.health.pending_count = pending_count;
        self.health.refused_count = refused_count;
    }

    /// Gives up the connection. The handles stay, with empty slots.
    fn end(&mut self, end: End) -> usize {
        let Some(Connection { client, .. }) = self.connection.take() else {
            return 0;
        };
        let belongings = self.empty_slots(Standing::Pending);
        let error = match end {
            End::Lost(error) => {
                self.retire(client, belongings);
                error
            }
            End::Failed(error) => {
                self.health.contained_count += 1;
                self.failure_streak += 1;
                self.next_attempt = Some(Instant::now() + self.attempt_interval());
                client.abandon(belongings);
                error
            }
        };
        tracing::warn!(client = C::NAME, %error, "bus disconnected");
        self.last_error = Some(error);
        self.health.link = Link::Down;
        self.health.lost_count += 1;
        self.count_slots();
        1
    }

    /// Gives the handles back, and keeps turning the client for a while.
    fn retire(&mut self, mut client: C, belongings: Belongings<C>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| client.retire(belongings)));
        if outcome.is_ok() {
            self.retired.push(Retired {
                client,
                until: Instant::now() + C::LINGER,
            });
        } else {
            self.health.contained_count += 1;
            std::mem::forget(client);
        }
    }

    /// Turns the retired clients, and closes those whose time is over.
    fn release_retired(&mut self, now: Instant) {
        let mut index = 0;
        while index < self.retired.len() {
            let retired = &mut self.retired[index];
            let over = now >= retired.until;
            // A retired client may well report that its driver is gone; only a panic matters.
            let sound = catch_unwind(AssertUnwindSafe(|| drop(retired.client.do_work()))).is_ok();
            if !sound || over {
                let Retired { client, .. } = self.retired.swap_remove(index);
                self.close(client, sound);
            } else {
                index += 1;
            }
        }
    }

    fn close(&mut self, client: C, sound: bool) {
        if !sound {
            std::mem::forget(client);
            self.health.contained_count += 1;
        } else if catch_unwind(AssertUnwindSafe(|| drop(client))).is_err() {
            self.health.contained_count += 1;
        }
    }

    /// Takes everything out of the slots, which then stand as `standing` says.
    fn empty_slots(&self, standing: Standing) -> Belongings<C> {
        let mut belongings = Belongings {
            publications: Vec::new(),
            subscriptions: Vec::new(),
            publication_tickets: Vec::new(),
            subscription_tickets: Vec::new(),
        };
        for slot in &self.publications {
            slot.empty(
                standing,
                &mut belongings.publications,
                &mut belongings.publication_tickets,
            );
        }
        for slot in &self.subscriptions {
            slot.empty(
                standing,
                &mut belongings.subscriptions,
                &mut belongings.subscription_tickets,
            );
        }
        belongings
    }

    /// Gives back what nobody holds any more, and what has run out of positions. A question that is not
    /// answered yet is left to be answered first.
    fn tend_slots(&mut self) {
        let unused =
            self.publications.iter().any(Slot::is_unused) || self.subscriptions.iter().any(Slot::is_unused);
        let spent = self
            .publications
            .iter()
            .any(|slot| slot.has_open(C::Publication::is_spent));
        if !unused && !spent {
            return;
        }
        let (publications, subscriptions) = (&mut self.publications, &mut self.subscriptions);
        let outcome = contain::<C, _>(|| {
            publications
                .iter()
                .filter(|slot| slot.has_open(C::Publication::is_spent))
                .for_each(|slot| slot.reset());
            publications.retain(|slot| !Slot::is_unused(slot));
            subscriptions.retain(|slot| !Slot::is_unused(slot));
            Ok(())
        });
        self.settle(outcome, None);
    }

    /// Whether this is called from inside a handler of one of this bus's own handles.
    fn is_reentered(&self) -> bool {
        self.publications.iter().any(|slot| slot.is_busy())
            || self.subscriptions.iter().any(|slot| slot.is_busy())
    }
}

impl<C: Client> Bus for AeronBus<C> {
    type Publication = AeronPublication<C>;
    type Subscription = AeronSubscription<C>;

    fn add_publication(&mut self, endpoint: &Endpoint) -> Result<AeronPublication<C>, BusError> {
        if let Some(reason) = C::objection(&endpoint.channel) {
            return Err(BusError::Endpoint {
                endpoint: endpoint.clone(),
                reason: reason.to_owned(),
            });
        }
        let mut channel = self.settings.publication_channel(&endpoint.channel);
        C::complete(&mut channel);
        let channel = c_channel(endpoint, channel)?;
        let slot = Slot::new(endpoint, channel);
        self.publications.push(Rc::clone(&slot));
        self.last_check_ns = None;
        self.count_slots();
        Ok(AeronPublication { slot })
    }

    fn add_subscription(&mut self, endpoint: &Endpoint) -> Result<AeronSubscription<C>, BusError> {
        let channel = c_channel(endpoint, endpoint.channel.clone())?;
        let slot = Slot::new(endpoint, channel);
        self.subscriptions.push(Rc::clone(&slot));
        self.last_check_ns = None;
        self.count_slots();
        Ok(AeronSubscription { slot })
    }

    fn do_work(&mut self, now_ns: i64) -> usize {
        if !self.is_turn_due(now_ns) || self.is_reentered() {
            return 0;
        }
        let turned = self.turn();
        if self.is_check_due(now_ns) {
            turned + self.check()
        } else {
            turned
        }
    }

    fn health(&self) -> Health {
        self.health
    }

    fn last_error(&self) -> Option<&BusError> {
        self.last_error.as_ref()
    }
}

impl<C: Client> Drop for AeronBus<C> {
    fn drop(&mut self) {
        let busy = self.is_reentered();
        let connection = self.connection.take();
        let belongings = self.empty_slots(Standing::Gone);
        match connection {
            // A handle of ours is at work further up the stack: it must find everything where it was.
            Some(Connection { client, .. }) if busy => client.abandon(belongings),
            Some(Connection { client, .. }) => self.retire(client, belongings),
            None => {}
        }
        while let Some(Retired { client, .. }) = self.retired.pop() {
            self.close(client, !busy);
        }
    }
}

/// A publication that survives the driver.
pub struct AeronPublication<C: Client> {
    slot: Rc<Slot<C::Publication, C::PublicationTicket>>,
}

impl<C: Client> Publication for AeronPublication<C> {
    #[inline]
    fn offer(&mut self, bytes: &[u8]) -> Offer {
        match &mut *self.slot.state.borrow_mut() {
            State::Open(publication) => publication.offer(bytes),
            state => state.offer_refusal(),
        }
    }

    #[inline]
    fn claim(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Offer {
        match &mut *self.slot.state.borrow_mut() {
            State::Open(publication) => publication.claim(len, fill),
            state => state.offer_refusal(),
        }
    }

    fn is_connected(&self) -> bool {
        self.slot.has_open(Publication::is_connected)
    }

    fn payload_len_max(&self) -> usize {
        self.slot.read_open(Publication::payload_len_max).unwrap_or(0)
    }

    fn message_len_max(&self) -> usize {
        self.slot.read_open(Publication::message_len_max).unwrap_or(0)
    }
}

/// A subscription that survives the driver.
pub struct AeronSubscription<C: Client> {
    slot: Rc<Slot<C::Subscription, C::SubscriptionTicket>>,
}

impl<C: Client> Subscription for AeronSubscription<C> {
    #[inline]
    fn poll(&mut self, fragment_limit: usize, handler: impl FnMut(&[u8])) -> usize {
        match &mut *self.slot.state.borrow_mut() {
            State::Open(subscription) => subscription.poll(fragment_limit, handler),
            _ => 0,
        }
    }

    fn image_count(&self) -> usize {
        self.slot.read_open(Subscription::image_count).unwrap_or(0)
    }
}

/// What a slot is to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Pending,
    Open,
    Refused,
    Gone,
}

impl<H, T> State<H, T> {
    /// The answer to an offer while there is no publication.
    fn offer_refusal(&self) -> Offer {
        if matches!(self, State::Gone) {
            Offer::Closed
        } else {
            Offer::NotConnected
        }
    }
}

impl<H, T> Slot<H, T> {
    fn new(endpoint: &Endpoint, channel: CString) -> Rc<Self> {
        Rc::new(Slot {
            endpoint: endpoint.clone(),
            channel,
            state: RefCell::new(State::Waiting),
        })
    }

    /// Whether only the bus still holds it, and no answer is outstanding.
    fn is_unused(this: &Rc<Self>) -> bool {
        Rc::strong_count(this) == 1 && !matches!(&*this.state.borrow(), State::Asked(_))
    }

    fn is_busy(&self) -> bool {
        self.state.try_borrow_mut().is_err()
    }

    fn standing(&self) -> Standing {
        match &*self.state.borrow() {
            State::Waiting | State::Asked(_) => Standing::Pending,
            State::Open(_) => Standing::Open,
            State::Refused(_) => Standing::Refused,
            State::Gone => Standing::Gone,
        }
    }

    fn has_open(&self, predicate: impl FnOnce(&H) -> bool) -> bool {
        self.read_open(predicate).unwrap_or(false)
    }

    /// Reads from the handle, if there is one and it is not at work.
    fn read_open<R>(&self, read: impl FnOnce(&H) -> R) -> Option<R> {
        match self.state.try_borrow().as_deref() {
            Ok(State::Open(handle)) => Some(read(handle)),
            _ => None,
        }
    }

    fn with_open(&self, change: impl FnOnce(&mut H)) {
        if let State::Open(handle) = &mut *self.state.borrow_mut() {
            change(handle);
        }
    }

    fn reset(&self) {
        let before = self.state.replace(State::Waiting);
        drop(before);
    }

    /// Puts the question, if it is time for it.
    fn ask(
        &self,
        now: Instant,
        refusal: &mut Option<BusError>,
        ask: impl FnOnce(&CString, i32) -> Result<T, String>,
    ) {
        let mut state = self.state.borrow_mut();
        let due = match &*state {
            State::Waiting => true,
            State::Refused(again) => now >= *again,
            _ => false,
        };
        if due {
            *state = match ask(&self.channel, self.endpoint.stream_id) {
                Ok(ticket) => State::Asked(ticket),
                Err(reason) => self.refused(reason, refusal),
            };
        }
    }

    /// Looks for the answer, if one is outstanding. An error is one of the client, not of this question.
    fn answer(
        &self,
        refusal: &mut Option<BusError>,
        find: impl FnOnce(&T) -> Result<Found<H>, String>,
    ) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        if let State::Asked(ticket) = &*state {
            match find(ticket)? {
                Found::Ready(handle) => *state = State::Open(handle),
                Found::NotYet => {}
                Found::Refused(reason) => *state = self.refused(reason, refusal),
            }
        }
        Ok(())
    }

    fn refused(&self, reason: String, refusal: &mut Option<BusError>) -> State<H, T> {
        *refusal = Some(BusError::Refused {
            endpoint: self.endpoint.clone(),
            reason,
        });
        State::Refused(Instant::now() + REFUSED_RETRY)
    }

    fn empty(&self, standing: Standing, handles: &mut Vec<H>, tickets: &mut Vec<T>) {
        let Ok(mut state) = self.state.try_borrow_mut() else {
            return;
        };
        let after = if standing == Standing::Gone {
            State::Gone
        } else {
            State::Waiting
        };
        match std::mem::replace(&mut *state, after) {
            State::Open(handle) => handles.push(handle),
            State::Asked(ticket) => tickets.push(ticket),
            State::Waiting | State::Refused(_) | State::Gone => {}
        }
    }
}

/// Calls the library, and turns its errors and its panics into the end of the connection.
fn contain<C: Client, R>(call: impl FnOnce() -> Result<R, String>) -> Result<R, End> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(reason)) => Err(End::Lost(BusError::ClientEnded {
            client: C::NAME,
            reason,
        })),
        Err(panic) => {
            let reason = panic_words(panic.as_ref());
            Err(End::Failed(BusError::Contained {
                client: C::NAME,
                reason,
            }))
        }
    }
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}
