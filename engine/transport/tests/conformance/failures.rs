//! What goes wrong around the data path: drivers that come and go, other clients, drops in any order.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use pinion_runtime::agent::Agent;
use pinion_transport::driver::{DriverAgent, EmbeddedDriver};

use pinion_transport::{Bus, BusError, DriverError, Endpoint, Link, Offer, Publication, Subscription};

use crate::other_client::{SUBSCRIBER_POSITION, counter_count, make_static_counter, reject_publisher};
use crate::support::{Kind, Node, Place, PublicationOf, SubscriptionOf, ipc, loopback, udp};

/// Sends one message and receives it, skipping what was sent before.
fn check_flow<K: Kind>(
    node: &mut Node<K>,
    publication: &mut PublicationOf<K>,
    subscription: &mut SubscriptionOf<K>,
    message: &[u8],
) {
    node.until("both ends joined", |_| {
        publication.is_connected() && subscription.is_connected()
    });
    node.send(publication, message);
    while node.receive(subscription) != message {}
}

fn check_driver_that_goes<K: Kind>(go: impl Fn(&Place)) {
    let place = Place::external();
    let (mut node, mut publication, mut subscription) = loopback::<K>(&place, &ipc());
    check_flow(&mut node, &mut publication, &mut subscription, b"before");
    go(&place);
    let gone = Instant::now();
    node.until_link(Link::Down);
    assert!(
        gone.elapsed() < Duration::from_secs(5),
        "{}: noticed after {:?}",
        K::NAME,
        gone.elapsed()
    );
    assert_eq!(publication.offer(b"into the void"), Offer::NotConnected);
    assert_eq!(
        publication.claim(8, |_| panic!("not to be filled")),
        Offer::NotConnected
    );
    assert_eq!(subscription.poll(10, |_| panic!("nothing can come")), 0);
    assert!(!publication.is_connected() && !subscription.is_connected());
    let error = node.bus.last_error().unwrap().to_string();
    assert!(
        error.contains(&place.config.aeron_dir().display().to_string()) || error.contains("client"),
        "{error}"
    );
    place.start_process(&[]);
    check_flow(&mut node, &mut publication, &mut subscription, b"after");
    let health = node.bus.health();
    assert_eq!(
        (health.reconnect_count, health.lost_count, health.contained_count),
        (1, 1, 0),
        "{}",
        K::NAME
    );
}

pub(crate) fn killed_driver_is_noticed_and_replaced<K: Kind>() {
    check_driver_that_goes::<K>(Place::kill_process);
}

pub(crate) fn stopped_driver_is_noticed_and_replaced<K: Kind>() {
    check_driver_that_goes::<K>(Place::stop_process);
}

pub(crate) fn absent_driver_is_waited_for<K: Kind>() {
    let place = Place::empty();
    let mut node = Node::<K>::new(&place);
    let mut publication = node.publication(&ipc());
    let mut subscription = node.subscription(&ipc());
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        node.turn();
        assert_eq!(publication.offer(b"early"), Offer::NotConnected);
    }
    assert_eq!(node.bus.health().link, Link::Down);
    assert!(
        matches!(node.bus.last_error(), Some(BusError::Connect { .. })),
        "{:?}",
        node.bus.last_error()
    );
    let error =
        pinion_transport::bus::wait_ready(&mut node.bus, Duration::from_millis(10), || ()).unwrap_err();
    assert!(
        error.to_string().contains("driver absent, 2 handles unanswered"),
        "{error}"
    );
    place.start_process(&[]);
    check_flow(&mut node, &mut publication, &mut subscription, b"now");
    assert_eq!(node.bus.health().reconnect_count, 0);
}

/// The driver dies and is there again at once, several times; nothing may pile up.
pub(crate) fn restarted_driver_is_found_again_and_again<K: Kind>() {
    let place = Place::external();
    let (mut node, mut publication, mut subscription) = loopback::<K>(&place, &ipc());
    for round in 1..=4 {
        check_flow(&mut node, &mut publication, &mut subscription, b"before");
        place.kill_process();
        place.start_process(&[]);
        node.until("a new client", |node| node.bus.health().reconnect_count == round);
        check_flow(&mut node, &mut publication, &mut subscription, b"after");
    }
    // One log for the publication and one for the image; those of dead drivers are let go of after a while.
    node.until("old logs let go", |_| place.mapped_log_count() <= 2);
    assert_eq!(node.bus.health().contained_count, 0);
}

pub(crate) fn any_drop_order_is_safe<K: Kind>() {
    let orders = ["bpsd", "psbd", "dpsb", "dbps", "spdb", "bdsp", "pbds", "sdbp"];
    for order in orders {
        let place = Place::embedded();
        let (node, publication, subscription) = loopback::<K>(&place, &ipc());
        let (mut node, mut publication, mut subscription) =
            (Some(node), Some(publication), Some(subscription));
        for step in order.chars() {
            match step {
                'b' => drop(node.take()),
                'p' => drop(publication.take()),
                's' => drop(subscription.take()),
                _ => place.stop_embedded(),
            }
            if let (None, Some(publication)) = (&node, &mut publication) {
                assert_eq!(publication.offer(b"too late"), Offer::Closed);
            }
            if let (None, Some(subscription)) = (&node, &mut subscription) {
                assert_eq!(subscription.poll(1, |_| panic!("too late")), 0);
            }
            if let Some(node) = &mut node {
                node.turn();
            }
        }
    }
    unanswered_handles_are_dropped::<K>();
    dropped_subscriber_is_noticed::<K>();
}

/// Handles dropped before the driver answers, or with the bus while it has not.
fn unanswered_handles_are_dropped<K: Kind>() {
    let place = Place::embedded();
    let mut node = Node::<K>::new(&place);
    node.until_link(Link::Up);
    drop((node.subscription(&ipc()), node.publication(&ipc())));
    node.turn();
    let handles = (node.subscription(&ipc()), node.publication(&ipc()));
    node.turn();
    drop(node);
    drop(handles);
    let absent = Place::empty();
    let mut node = Node::<K>::new(&absent);
    let handles = (node.subscription(&ipc()), node.publication(&ipc()));
    node.turn();
    drop(handles);
    node.turn();
    assert_eq!(node.bus.health().pending_count, 2);
    absent.start_process(&[]);
    node.until("nothing pending", |node| {
        node.bus.health().link == Link::Up && node.bus.health().pending_count == 0
    });
}

fn dropped_subscriber_is_noticed<K: Kind>() {
    let place = Place::embedded();
    let (mut node, mut publication, subscription) = loopback::<K>(&place, &ipc());
    drop(subscription);
    node.until("no subscriber", |_| {
        publication.offer(b"x") == Offer::NotConnected
    });
    let mut subscription = node.subscription(&ipc());
    check_flow(&mut node, &mut publication, &mut subscription, b"someone new");
}

/// Another client makes static counters and rejects a publisher: events that `aeron-rs` does not know.
///
/// The C client takes no notice and loses nothing. `aeron-rs` panics inside; the bus must catch that, build a new
/// client and go on, and say so: messages may be missing in between. This is why `c` is the default.
pub(crate) fn unknown_driver_events_are_survived<K: Kind>() {
    // So long that only a close that was sent makes the driver let go of a client that was given up.
    let place = Place::embedded_with(|config| config.client_timeout_ms = 60_000);
    let (mut node, mut publication, mut subscription) = loopback::<K>(&place, &ipc());
    let rejected = udp();
    let _rejected_publication = node.publication(&rejected);
    check_flow(&mut node, &mut publication, &mut subscription, b"before");
    for round in 1..=3 {
        node.send(&mut publication, b"in flight");
        if round == 3 {
            reject_publisher(&place, &rejected, || _ = node.turn());
        } else {
            make_static_counter(&place, i64::from(round));
        }
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            node.turn();
        }
        if K::NAME == "aeron-rs" {
            node.until("contained", |node| {
                node.bus.health().contained_count >= u64::from(round as u32)
            });
            check_flow(&mut node, &mut publication, &mut subscription, b"after");
        } else {
            assert_eq!(node.receive(&mut subscription), b"in flight");
            let health = node.bus.health();
            assert_eq!((health.lost_count, health.contained_count), (0, 0));
        }
    }
    let health = node.bus.health();
    assert_eq!(health.reconnect_count, health.lost_count);
    assert_eq!(health.lost_count, health.contained_count);
    node.until("no dead subscriber left", |_| {
        counter_count(&place, SUBSCRIBER_POSITION) == 1
    });
}

pub(crate) fn unusable_channel_is_refused_by_name<K: Kind>() {
    let place = Place::embedded();
    for channel in [
        "aeron:udp?endpoint=nowhere.invalid:1",
        "aeron:udp?endpoint=256.0.0.1:99999",
        "nonsense",
    ] {
        let mut node = Node::<K>::new(&place);
        let endpoint = Endpoint::new(channel, 1001);
        let mut publication = node.publication(&endpoint);
        node.until("refused", |node| node.bus.health().refused_count == 1);
        let error = node.bus.last_error().unwrap().to_string();
        assert!(
            error.starts_with("the driver refused ") && error.contains(channel),
            "{error}"
        );
        assert_eq!(publication.offer(b"x"), Offer::NotConnected);
        let mut subscription = node.subscription(&endpoint);
        node.until("refused too", |node| node.bus.health().refused_count >= 1);
        assert_eq!(subscription.poll(1, |_| ()), 0);
        // A refusal harms nothing else on the same bus.
        drop((publication, subscription));
        let mut publication = node.publication(&ipc());
        let mut subscription = node.subscription(&ipc());
        check_flow(&mut node, &mut publication, &mut subscription, b"elsewhere");
    }
}

/// Nobody turns the bus for longer than the client timeout, as when the process was suspended.
pub(crate) fn neglected_client_comes_back<K: Kind>() {
    let place = Place::embedded();
    let (mut node, mut publication, mut subscription) = loopback::<K>(&place, &ipc());
    check_flow(&mut node, &mut publication, &mut subscription, b"before");
    std::thread::sleep(Duration::from_millis(place.config.client_timeout_ms + 1_500));
    node.until("a new client", |node| node.bus.health().reconnect_count == 1);
    check_flow(&mut node, &mut publication, &mut subscription, b"after");
    assert_eq!(node.bus.health().contained_count, 0);
}

/// Whatever the umask is, nobody else enters the driver's directory, and nobody starts a second driver in it.
pub(crate) fn driver_directory_is_closed_and_taken() {
    let place = Place::empty();
    place.start_process_with_umask("000");
    for dir in [place.config.own_dir(), place.config.aeron_dir()] {
        assert_eq!(
            std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
            0o750,
            "{}",
            dir.display()
        );
    }
    let error = EmbeddedDriver::start(&place.config).unwrap_err();
    assert_eq!(
        error,
        DriverError::InUse {
            dir: place.config.own_dir()
        }
    );
    let error = DriverAgent::new(&place.config).on_start().unwrap_err();
    assert!(
        error.to_string().ends_with("is in use by another media driver"),
        "{error}"
    );
}
