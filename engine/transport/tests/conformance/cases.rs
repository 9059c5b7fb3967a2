//! The data path: order, content, sizes, pressure, terms, loss, pace.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pinion_runtime::agent::Agent;
use pinion_transport::config::DriverThreading;
use pinion_transport::driver::DriverAgent;
use pinion_transport::{Bus, BusError, Endpoint, Offer, Publication, Subscription};

use crate::other_client::system_counter;
use crate::support::{
    Kind, Node, Place, PublicationOf, Rusteron, SubscriptionOf, fill, ipc, loopback, message_len,
    publish_all, receive_all, sequence_of, udp,
};

/// A publisher and a subscriber, each with a bus and a thread of its own.
fn check_two_threads<K: Kind>(place: &Place, endpoint: &Endpoint, count: u64) {
    let received = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut node = Node::<K>::new(place);
            let mut publication = node.publication(endpoint);
            node.until_connected(&publication);
            publish_all(&mut node, &mut publication, count);
            node.until("received by the other side", |_| received.load(Ordering::Acquire));
            assert_eq!(node.bus.health().lost_count, 0);
        });
        let mut node = Node::<K>::new(place);
        let mut subscription = node.subscription(endpoint);
        receive_all(&mut node, &mut subscription, count);
        received.store(true, Ordering::Release);
        assert_eq!(node.bus.health().lost_count, 0);
    });
}

pub(crate) fn million_mixed_messages_arrive_in_order<K: Kind>() {
    check_two_threads::<K>(&Place::embedded(), &ipc(), 1_000_000);
}

pub(crate) fn mixed_messages_arrive_over_udp<K: Kind>() {
    check_two_threads::<K>(&Place::embedded(), &udp(), 100_000);
}

pub(crate) fn two_percent_loss_is_made_good<K: Kind>() {
    let place = Place::empty();
    place.start_process(&[
        ("AERON_UDP_CHANNEL_INCOMING_INTERCEPTORS", "loss"),
        (
            "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_LOSS_ARGS",
            "rate=0.02|seed=7|recv-msg-mask=0xF",
        ),
    ]);
    check_two_threads::<K>(&place, &udp(), 100_000);
    let resent = system_counter(&place, "Retransmits sent");
    assert!(resent > 20, "only {resent} packets were lost and sent again");
}

pub(crate) fn larger_than_mtu_arrives_whole<K: Kind>() {
    let place = Place::embedded();
    for endpoint in [ipc(), udp()] {
        let (mut node, mut publication, mut subscription) = loopback::<K>(&place, &endpoint);
        let (payload_max, message_max) = (publication.payload_len_max(), publication.message_len_max());
        assert_eq!(payload_max, 1408 - 32);
        assert_eq!(message_max, 1024 * 1024 / 8);
        for len in [
            0,
            1,
            payload_max - 1,
            payload_max,
            payload_max + 1,
            3 * payload_max,
            message_max,
        ] {
            let message: Vec<u8> = (0..len).map(|index| (index * 7) as u8).collect();
            node.send(&mut publication, &message);
            assert!(
                node.receive(&mut subscription) == message,
                "{}: {len} bytes",
                K::NAME
            );
        }
        assert_eq!(publication.offer(&vec![0; message_max + 1]), Offer::TooLong);
        assert_eq!(
            publication.claim(payload_max + 1, |_| panic!("not to be filled")),
            Offer::TooLong
        );
    }
}

pub(crate) fn back_pressure_loses_nothing<K: Kind>() {
    let place = Place::embedded();
    let (mut node, mut publication, mut subscription) = loopback::<K>(&place, &ipc());
    let (mut sent, mut expected) = (0, 0);
    for _ in 0..3 {
        let before = sent;
        offer_until_pressed(&mut node, &mut publication, &mut sent);
        assert!(sent > before, "{}: nothing fits", K::NAME);
        node.until("all that was accepted", |_| {
            take::<K>(&mut subscription, 64, &mut expected);
            expected == sent
        });
    }
}

/// Offers until it is pressed back for long enough that a driver would have made room, had there been any.
fn offer_until_pressed<K: Kind>(node: &mut Node<K>, publication: &mut PublicationOf<K>, sent: &mut u64) {
    let mut buffer = vec![0; 16 * 1024];
    let mut pressed_since = None;
    while pressed_since.is_none_or(|since: Instant| since.elapsed() < Duration::from_millis(50)) {
        let len = message_len(*sent);
        fill(&mut buffer[..len], *sent);
        match publication.offer(&buffer[..len]) {
            Offer::Accepted(_) => {
                *sent += 1;
                pressed_since = None;
            }
            Offer::BackPressured => {
                pressed_since.get_or_insert_with(Instant::now);
                node.turn();
            }
            outcome => panic!("{}: {outcome:?}", K::NAME),
        }
        assert!(*sent < 1_000_000, "{}: never pressed back", K::NAME);
    }
}

pub(crate) fn terms_roll_over<K: Kind>() {
    let place = Place::embedded();
    let endpoint = Endpoint::new("aeron:ipc?term-length=128k", 1001);
    // 200,000 messages of some 200 bytes are about 300 terms of 128 KiB.
    check_two_threads::<K>(&place, &endpoint, 200_000);
}

/// A publisher that starts two terms before `i32::MAX` and goes on far beyond. `aeron-rs` publications cannot (FACTS:
/// the log breaks), so theirs are refused by name; as a subscriber it must read such a stream all the same.
pub(crate) fn term_ids_pass_the_largest_number<K: Kind>() {
    let place = Place::embedded();
    let channel = "aeron:ipc?term-length=128k|init-term-id=2147483645|term-id=2147483645|term-offset=0";
    let publisher = Endpoint::new(channel, 1001);
    if K::NAME == "aeron-rs" {
        let refusal = Node::<K>::new(&place)
            .bus
            .add_publication(&publisher)
            .err()
            .unwrap();
        let BusError::Endpoint { endpoint, reason } = refusal else {
            panic!("{refusal}")
        };
        assert_eq!(endpoint, publisher);
        assert_eq!(
            reason,
            "aeron-rs is only correct on publications that start at term id 0"
        );
    }
    let mut sender = Node::<Rusteron>::new(&place);
    let mut publication = sender.publication(&publisher);
    let mut receiver = Node::<K>::new(&place);
    let mut subscription = receiver.subscription(&ipc());
    receiver.wait_ready();
    sender.until_connected(&publication);
    let mut expected = 0;
    while expected < 5_000 {
        let mut buffer = vec![0; message_len(expected)];
        fill(&mut buffer, expected);
        sender.send(&mut publication, &buffer);
        assert_eq!(sequence_of(&receiver.receive(&mut subscription)), expected);
        expected += 1;
    }
}

pub(crate) fn panic_in_fill_or_handler_leaves_the_stream_whole<K: Kind>() {
    let place = Place::embedded();
    let (mut node, mut publication, mut subscription) = loopback::<K>(&place, &ipc());
    node.send(&mut publication, b"before");
    let claimed = catch_unwind(AssertUnwindSafe(|| {
        publication.claim(32, |_| panic!("while filling"))
    }));
    assert!(claimed.is_err());
    node.send(&mut publication, b"after");
    let polled = catch_unwind(AssertUnwindSafe(|| {
        loop {
            subscription.poll(1, |_| panic!("while handling"));
        }
    }));
    assert!(polled.is_err());
    assert_eq!(node.receive(&mut subscription), b"before");
    assert_eq!(node.receive(&mut subscription), b"after");
    assert_eq!(node.bus.health().lost_count, 0);
}

/// A handler may offer on another publication, and even turn the bus that it is called from.
pub(crate) fn handler_may_offer_and_turn_the_bus<K: Kind>() {
    let place = Place::embedded();
    let (mut node, mut publication, mut subscription) = loopback::<K>(&place, &ipc());
    let answers = Endpoint::new("aeron:ipc", 1002);
    let mut answer = node.publication(&answers);
    let mut answered = node.subscription(&answers);
    node.wait_ready();
    node.until("answers joined", |_| {
        answer.is_connected() && answered.is_connected()
    });
    for number in 0..1_000_u64 {
        node.send(&mut publication, &number.to_le_bytes());
        let mut taken = false;
        node.until("answered", |node| {
            subscription.poll(1, |bytes| {
                for _ in 0..100 {
                    node.turn();
                }
                taken = answer.offer(bytes).is_accepted();
            });
            taken
        });
        assert_eq!(node.receive(&mut answered), number.to_le_bytes());
    }
    assert_eq!(node.bus.health().lost_count, 0);
}

pub(crate) fn slow_subscriber_sets_the_pace<K: Kind>() {
    let place = Place::embedded();
    let (mut node, mut publication, mut quick) = loopback::<K>(&place, &ipc());
    let mut slow = node.subscription(&ipc());
    node.wait_ready();
    node.until("second image", |_| slow.is_connected());
    let (mut sent, mut quick_next, mut slow_next, mut pressed) = (0, 0, 0, 0);
    let mut buffer = vec![0; 16 * 1024];
    for round in 0_u64.. {
        if slow_next >= 50_000 {
            break;
        }
        let len = message_len(sent);
        fill(&mut buffer[..len], sent);
        match publication.offer(&buffer[..len]) {
            Offer::Accepted(_) => sent += 1,
            Offer::BackPressured => pressed += 1,
            outcome => panic!("{}: {outcome:?}", K::NAME),
        }
        take::<K>(&mut quick, 100, &mut quick_next);
        // One message in every second round: soon a window behind.
        if round % 2 == 0 {
            take::<K>(&mut slow, 1, &mut slow_next);
        }
        node.turn();
    }
    assert!(pressed > 0, "{}: the slow one was never felt", K::NAME);
    node.until("the rest", |_| {
        take::<K>(&mut quick, 100, &mut quick_next);
        take::<K>(&mut slow, 100, &mut slow_next);
        quick_next == sent && slow_next == sent
    });
}

fn take<K: Kind>(subscription: &mut SubscriptionOf<K>, limit: usize, expected: &mut u64) {
    subscription.poll(limit, |bytes| {
        assert_eq!(sequence_of(bytes), *expected, "{}: order", K::NAME);
        *expected += 1;
    });
}

/// A subscriber that is never turned again, as if its process hung. The driver must let go of it after the
/// client timeout, and the publisher go on with the living one.
pub(crate) fn dead_subscriber_does_not_hold_up_for_long<K: Kind>() {
    let place = Place::embedded();
    let (mut node, mut publication, mut subscription) = loopback::<K>(&place, &ipc());
    let mut dead = Node::<K>::new(&place);
    let dead_subscription = dead.subscription(&ipc());
    dead.until("image of the one who will die", |_| {
        dead_subscription.is_connected()
    });
    let (mut sent, mut expected) = (0, 0);
    let mut longest = Duration::ZERO;
    let mut buffer = vec![0; 16 * 1024];
    while sent < 50_000 {
        let len = message_len(sent);
        fill(&mut buffer[..len], sent);
        let started = Instant::now();
        send_while_polling::<K>(
            &mut node,
            &mut publication,
            &mut subscription,
            &buffer[..len],
            &mut expected,
        );
        longest = longest.max(started.elapsed());
        sent += 1;
    }
    assert!(
        longest > Duration::from_millis(100),
        "{}: the dead one was never felt",
        K::NAME
    );
    assert!(
        longest < Duration::from_secs(10),
        "{}: held up for {longest:?}",
        K::NAME
    );
    drop(dead_subscription);
    drop(dead);
}

fn send_while_polling<K: Kind>(
    node: &mut Node<K>,
    publication: &mut PublicationOf<K>,
    subscription: &mut SubscriptionOf<K>,
    bytes: &[u8],
    expected: &mut u64,
) {
    node.until("accepted", |_| {
        take::<K>(subscription, 100, expected);
        publication.offer(bytes).is_accepted()
    });
}

/// The driver has no thread: it, the bus and both handles share this one.
pub(crate) fn driver_turned_by_hand_serves<K: Kind>() {
    let mut place = Place::empty();
    place.config.driver_threading = DriverThreading::Invoker;
    place.config.terms_sparse = false;
    place.config.term_length = 128 * 1024;
    let mut driver = DriverAgent::new(&place.config);
    driver.on_start().unwrap();
    let mut node = Node::<K>::new(&place);
    let mut publication = node.publication(&ipc());
    let mut subscription = node.subscription(&ipc());
    let deadline = Instant::now() + crate::support::PATIENCE;
    let (mut sent, mut expected) = (0, 0);
    let mut buffer = vec![0; 16 * 1024];
    while expected < 20_000 {
        assert!(
            Instant::now() < deadline,
            "{}: stands at {expected} of {sent}",
            K::NAME
        );
        driver.do_work(0);
        node.turn();
        let len = message_len(sent);
        fill(&mut buffer[..len], sent);
        sent += u64::from(publication.offer(&buffer[..len]).is_accepted());
        take::<K>(&mut subscription, 16, &mut expected);
    }
    assert!(driver.failure().is_none());
    drop((publication, subscription, node));
    driver.on_close();
    assert!(!place.config.aeron_dir().exists());
}
