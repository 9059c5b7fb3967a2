//! The bus inside one process: named streams over bounded rings, for replay, the simulator and tests.
//!
//! ```text
//!   InProcessPublication ──▶ ring ──▶ InProcessSubscription       one ring per pair,
//!            └─────────────▶ ring ──▶ InProcessSubscription       as Aeron has one image per pair
//!   InProcessBus (Clone, Send): the list of who is on which stream
//! ```
//!
//! A ring holds lines of 32 bytes: one for the length, then the message, whole and contiguous, padded at the
//! ring's end. Memory is taken when a pair meets (`ring_len` bytes) and given back when it parts; offering
//! and polling take none. A publication back-pressures as soon as one subscriber's ring is full, so the slowest
//! subscriber sets the pace; one that is dropped holds nobody up. Handles may be sent to other threads.
//!
//! Invariant: a message is in the rings of all subscribers or of none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rtrb::chunks::ChunkError;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::bus::{Bus, Endpoint, Health, Link};
use crate::error::BusError;
use crate::publication::{Offer, Publication};
use crate::subscription::Subscription;

const LINE_LEN: usize = 32;
/// First four bytes of a line that only fills the ring up to its end.
const PADDING: u32 = u32::MAX;
/// Default length of a pair's ring in bytes.
const RING_LEN_DEFAULT: usize = 1024 * 1024;

/// 32 bytes of a ring: a length, or a piece of a message.
#[derive(Clone, Copy, Debug, Default, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C, align(32))]
struct Line([u8; LINE_LEN]);

const _: () = assert!(size_of::<Line>() == LINE_LEN);

/// A hub of named streams. Clones are the same hub.
#[derive(Clone, Debug)]
pub struct InProcessBus {
    hub: Arc<Hub>,
}

impl InProcessBus {
    /// Makes a hub whose rings hold 1 MiB each.
    #[must_use]
    pub fn new() -> Self {
        Self::with_ring_len(RING_LEN_DEFAULT)
    }

    /// Makes a hub whose rings hold `ring_len` bytes each, rounded up to 32, at least 512. The longest message
    /// is an eighth of that.
    #[must_use]
    pub fn with_ring_len(ring_len: usize) -> Self {
        let lines = ring_len.div_ceil(LINE_LEN).max(16);
        InProcessBus {
            hub: Arc::new(Hub {
                lines,
                streams: Mutex::new(HashMap::new()),
            }),
        }
    }
}

impl Default for InProcessBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Bus for InProcessBus {
    type Publication = InProcessPublication;
    type Subscription = InProcessSubscription;

    fn add_publication(&mut self, endpoint: &Endpoint) -> Result<InProcessPublication, BusError> {
        let arrivals = Arc::new(Arrivals::new());
        let mut producers = Vec::new();
        let mut streams = self.hub.streams();
        let stream = streams.entry(endpoint.clone()).or_default();
        stream.forget_the_gone();
        for subscription in &stream.subscriptions {
            let (producer, consumer) = RingBuffer::new(self.hub.lines);
            subscription.put(consumer);
            producers.push(producer);
        }
        stream.publications.push(Arc::clone(&arrivals));
        let message_len_max = self.hub.message_len_max();
        Ok(InProcessPublication {
            arrivals,
            producers,
            scratch: vec![0; message_len_max],
            position: 0,
        })
    }

    fn add_subscription(&mut self, endpoint: &Endpoint) -> Result<InProcessSubscription, BusError> {
        let arrivals = Arc::new(Arrivals::new());
        let mut consumers = Vec::new();
        let mut streams = self.hub.streams();
        let stream = streams.entry(endpoint.clone()).or_default();
        stream.forget_the_gone();
        for publication in &stream.publications {
            let (producer, consumer) = RingBuffer::new(self.hub.lines);
            publication.put(producer);
            consumers.push(consumer);
        }
        stream.subscriptions.push(Arc::clone(&arrivals));
        Ok(InProcessSubscription {
            arrivals,
            consumers,
            first_index: 0,
        })
    }

    fn do_work(&mut self, _now_ns: i64) -> usize {
        0
    }

    fn health(&self) -> Health {
        Health {
            link: Link::Up,
            pending_count: 0,
            refused_count: 0,
            reconnect_count: 0,
            lost_count: 0,
            contained_count: 0,
        }
    }

    fn last_error(&self) -> Option<&BusError> {
        None
    }
}

/// Sends to every subscription of one stream of an [`InProcessBus`].
#[derive(Debug)]
pub struct InProcessPublication {
    arrivals: Arc<Arrivals<Producer<Line>>>,
    producers: Vec<Producer<Line>>,
    /// Where a claim is filled before it is copied to each subscriber. Its length is the longest message.
    scratch: Vec<u8>,
    position: i64,
}

impl Publication for InProcessPublication {
    fn offer(&mut self, bytes: &[u8]) -> Offer {
        match self.room_for(bytes.len()) {
            Ok(lines) => {
                write_to_all(&mut self.producers, bytes, lines);
                self.advance(lines)
            }
            Err(refusal) => refusal,
        }
    }

    fn claim(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Offer {
        match self.room_for(len) {
            Ok(lines) => {
                fill(&mut self.scratch[..len]);
                write_to_all(&mut self.producers, &self.scratch[..len], lines);
                self.advance(lines)
            }
            Err(refusal) => refusal,
        }
    }

    fn is_connected(&self) -> bool {
        self.arrivals.is_waiting() || self.producers.iter().any(|producer| !producer.is_abandoned())
    }

    fn payload_len_max(&self) -> usize {
        self.scratch.len()
    }

    fn message_len_max(&self) -> usize {
        self.scratch.len()
    }
}

impl InProcessPublication {
    /// How many lines the message takes, if every subscriber has room for it.
    fn room_for(&mut self, len: usize) -> Result<usize, Offer> {
        if self.arrivals.is_waiting() {
            self.producers.append(&mut self.arrivals.take());
        }
        if len > self.scratch.len() {
            return Err(Offer::TooLong);
        }
        if self.producers.iter().any(Producer::is_abandoned) {
            self.producers.retain(|producer| !producer.is_abandoned());
        }
        if self.producers.is_empty() {
            return Err(Offer::NotConnected);
        }
        let lines = lines_needed(len);
        if self
            .producers
            .iter_mut()
            .all(|producer| has_room(producer, lines))
        {
            Ok(lines)
        } else {
            Err(Offer::BackPressured)
        }
    }

    fn advance(&mut self, lines: usize) -> Offer {
        self.position += (lines * LINE_LEN) as i64;
        Offer::Accepted(self.position)
    }
}

impl Drop for InProcessPublication {
    fn drop(&mut self) {
        self.arrivals.leave();
    }
}

/// Receives from every publication of one stream of an [`InProcessBus`].
#[derive(Debug)]
pub struct InProcessSubscription {
    arrivals: Arc<Arrivals<Consumer<Line>>>,
    consumers: Vec<Consumer<Line>>,
    /// Which publisher is asked first in the next poll, so that none starves.
    first_index: usize,
}

impl Subscription for InProcessSubscription {
    fn poll(&mut self, fragment_limit: usize, mut handler: impl FnMut(&[u8])) -> usize {
        if self.arrivals.is_waiting() {
            self.consumers.append(&mut self.arrivals.take());
        }
        let count = self.consumers.len();
        let mut taken = 0;
        let mut someone_left = false;
        for turn in 0..count {
            let consumer = &mut self.consumers[(self.first_index + turn) % count];
            taken += read_batch(consumer, fragment_limit - taken, &mut handler);
            someone_left |= consumer.is_abandoned() && consumer.is_empty();
        }
        self.first_index = if count == 0 {
            0
        } else {
            (self.first_index + 1) % count
        };
        if someone_left {
            self.consumers
                .retain(|consumer| !consumer.is_abandoned() || !consumer.is_empty());
        }
        taken
    }

    fn image_count(&self) -> usize {
        self.consumers.len() + self.arrivals.len()
    }
}

impl Drop for InProcessSubscription {
    fn drop(&mut self) {
        self.arrivals.leave();
    }
}

/// Who is on which stream.
#[derive(Debug)]
struct Hub {
    /// Lines in each ring.
    lines: usize,
    streams: Mutex<HashMap<Endpoint, Stream>>,
}

impl Hub {
    fn streams(&self) -> MutexGuard<'_, HashMap<Endpoint, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message_len_max(&self) -> usize {
        self.lines / 8 * LINE_LEN
    }
}

#[derive(Debug, Default)]
struct Stream {
    publications: Vec<Arc<Arrivals<Producer<Line>>>>,
    subscriptions: Vec<Arc<Arrivals<Consumer<Line>>>>,
}

impl Stream {
    fn forget_the_gone(&mut self) {
        self.publications.retain(|arrivals| !arrivals.has_left());
        self.subscriptions.retain(|arrivals| !arrivals.has_left());
    }
}

/// Ring ends that wait to be taken up by the handle they are for.
#[derive(Debug)]
struct Arrivals<T> {
    waiting: AtomicBool,
    left: AtomicBool,
    ends: Mutex<Vec<T>>,
}

impl<T> Arrivals<T> {
    fn new() -> Self {
        Arrivals {
            waiting: AtomicBool::new(false),
            left: AtomicBool::new(false),
            ends: Mutex::new(Vec::new()),
        }
    }

    fn put(&self, end: T) {
        let mut ends = self.ends();
        if !self.has_left() {
            ends.push(end);
            self.waiting.store(true, Ordering::Release);
        }
    }

    fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    fn len(&self) -> usize {
        if self.is_waiting() { self.ends().len() } else { 0 }
    }

    fn take(&self) -> Vec<T> {
        let mut ends = self.ends();
        self.waiting.store(false, Ordering::Release);
        std::mem::take(&mut ends)
    }

    fn leave(&self) {
        let mut ends = self.ends();
        self.left.store(true, Ordering::Release);
        self.waiting.store(false, Ordering::Release);
        ends.clear();
    }

    fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    fn ends(&self) -> MutexGuard<'_, Vec<T>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines that a message of `len` bytes takes: one for its length, then its bytes.
fn lines_needed(len: usize) -> usize {
    1 + len.div_ceil(LINE_LEN)
}

/// Whether a message of `lines` fits, after filling the ring's end if it would break there.
fn has_room(producer: &mut Producer<Line>, lines: usize) -> bool {
    let slots = producer.slots();
    slots >= lines && slots >= padding_lines(producer, lines) + lines
}

/// Lines up to the ring's end, if they are too few for the message; otherwise 0.
fn padding_lines(producer: &mut Producer<Line>, lines: usize) -> usize {
    match producer.write_chunk(lines) {
        Ok(mut chunk) => {
            let (first, second) = chunk.as_mut_slices();
            if second.is_empty() { 0 } else { first.len() }
        }
        Err(ChunkError::TooFewSlots(_)) => 0,
    }
}

fn write_to_all(producers: &mut [Producer<Line>], bytes: &[u8], lines: usize) {
    for producer in producers {
        let padding = padding_lines(producer, lines);
        if padding > 0 {
            write_frame(producer, PADDING, &[], padding);
        }
        write_frame(producer, bytes.len() as u32, bytes, lines);
    }
}

/// Writes one frame of `lines`, which have been seen to be free and contiguous.
fn write_frame(producer: &mut Producer<Line>, len: u32, bytes: &[u8], lines: usize) {
    let mut chunk = producer
        .write_chunk(lines)
        .expect("room was seen, and only this side takes it");
    let (frame, _) = chunk.as_mut_slices();
    frame[0].0[..4].copy_from_slice(&len.to_ne_bytes());
    zerocopy::IntoBytes::as_mut_bytes(&mut frame[1..])[..bytes.len()].copy_from_slice(bytes);
    chunk.commit_all();
}

/// Hands up to `limit` messages to `handler` and returns how many there were.
fn read_batch(consumer: &mut Consumer<Line>, limit: usize, handler: &mut impl FnMut(&[u8])) -> usize {
    let mut taken = 0;
    while taken < limit {
        let Ok(chunk) = consumer.read_chunk(consumer.slots()) else {
            break;
        };
        let (lines, _) = chunk.as_slices();
        let Some(header) = lines.first() else { break };
        let len = u32::from_ne_bytes(header.0[..4].try_into().expect("four bytes"));
        if len == PADDING {
            let padding = lines.len();
            chunk.commit(padding);
            continue;
        }
        let len = len as usize;
        handler(&zerocopy::IntoBytes::as_bytes(&lines[1..])[..len]);
        chunk.commit(lines_needed(len));
        taken += 1;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("aeron:ipc", 7)
    }

    fn poll_all(subscription: &mut InProcessSubscription) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while subscription.poll(16, |bytes| messages.push(bytes.to_vec())) > 0 {}
        messages
    }

    #[test]
    fn nobody_there_is_not_connected() {
        let mut bus = InProcessBus::new();
        let mut publication = bus.add_publication(&endpoint()).unwrap();
        assert_eq!(publication.offer(b"x"), Offer::NotConnected);
        let subscription = bus.add_subscription(&endpoint()).unwrap();
        assert!(publication.is_connected());
        assert!(publication.offer(b"x").is_accepted());
        drop(subscription);
        assert!(!publication.is_connected());
        assert_eq!(publication.offer(b"x"), Offer::NotConnected);
    }

    #[test]
    fn each_subscriber_gets_each_message() {
        let mut bus = InProcessBus::new();
        let mut early = bus.add_subscription(&endpoint()).unwrap();
        let mut publication = bus.add_publication(&endpoint()).unwrap();
        let mut late = bus.add_subscription(&endpoint()).unwrap();
        let mut elsewhere = bus.add_subscription(&Endpoint::new("aeron:ipc", 8)).unwrap();
        assert!(publication.offer(b"one").is_accepted());
        assert!(
            publication
                .claim(3, |bytes| bytes.copy_from_slice(b"two"))
                .is_accepted()
        );
        assert!(publication.offer(b"").is_accepted());
        let expected = [b"one".to_vec(), b"two".to_vec(), Vec::new()];
        assert_eq!(poll_all(&mut early), expected);
        assert_eq!(poll_all(&mut late), expected);
        assert_eq!(poll_all(&mut elsewhere), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn slowest_subscriber_sets_the_pace() {
        let mut bus = InProcessBus::with_ring_len(1024);
        let mut publication = bus.add_publication(&endpoint()).unwrap();
        let mut quick = bus.add_subscription(&endpoint()).unwrap();
        let mut slow = bus.add_subscription(&endpoint()).unwrap();
        let mut accepted = 0;
        while publication.offer(&[accepted; 100]).is_accepted() {
            accepted += 1;
            assert_eq!(poll_all(&mut quick).len(), 1);
        }
        assert_eq!(publication.offer(&[0; 100]), Offer::BackPressured);
        assert_eq!(poll_all(&mut slow).len(), usize::from(accepted));
        assert!(publication.offer(b"x").is_accepted());
    }

    #[test]
    fn what_was_accepted_outlives_its_publisher() {
        let mut bus = InProcessBus::new();
        let mut subscription = bus.add_subscription(&endpoint()).unwrap();
        let mut publication = bus.add_publication(&endpoint()).unwrap();
        assert!(publication.offer(b"last words").is_accepted());
        drop(publication);
        assert_eq!(subscription.image_count(), 1);
        assert_eq!(poll_all(&mut subscription), [b"last words".to_vec()]);
        assert_eq!(subscription.image_count(), 0);
    }

    #[test]
    fn too_long_is_said() {
        let mut bus = InProcessBus::with_ring_len(1024);
        let mut publication = bus.add_publication(&endpoint()).unwrap();
        let _subscription = bus.add_subscription(&endpoint()).unwrap();
        assert_eq!(publication.message_len_max(), 128);
        assert_eq!(publication.offer(&[0; 129]), Offer::TooLong);
        assert_eq!(
            publication.claim(129, |_| panic!("not to be filled")),
            Offer::TooLong
        );
        assert!(publication.offer(&[0; 128]).is_accepted());
    }

    #[test]
    fn fragment_limit_holds_and_publishers_take_turns() {
        let mut bus = InProcessBus::new();
        let mut subscription = bus.add_subscription(&endpoint()).unwrap();
        let mut publications = [(); 2].map(|()| bus.add_publication(&endpoint()).unwrap());
        for publication in &mut publications {
            for number in 0..10_u8 {
                assert!(publication.offer(&[number]).is_accepted());
            }
        }
        let mut firsts = Vec::new();
        assert_eq!(subscription.poll(1, |bytes| firsts.push(bytes[0])), 1);
        assert_eq!(subscription.poll(1, |bytes| firsts.push(bytes[0])), 1);
        assert_eq!(firsts, [0, 0]);
        assert_eq!(subscription.poll(100, |_| {}), 18);
    }
}
