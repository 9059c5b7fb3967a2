//! Offering, claiming, polling and turning the bus make no heap call once they have warmed up.
//!
//! Counted is what Rust code does on this thread: our adapters, `aeron-rs` and the binding. What the C client does
//! inside is not seen here; the README has a figure measured from outside.

use std::time::{Duration, Instant};

use pinion_runtime::heap::{CountingAllocator, count_heap_calls};
use pinion_transport::aeron_rs::AeronRsBus;
use pinion_transport::bus::wait_ready;
use pinion_transport::driver::EmbeddedDriver;
use pinion_transport::in_process::InProcessBus;
use pinion_transport::rusteron::RusteronBus;
use pinion_transport::{Bus, BusConfig, Endpoint, Publication, Subscription};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Sends and receives `count` messages, every tenth of them longer than a packet.
fn exchange<B: Bus>(
    bus: &mut B,
    publication: &mut B::Publication,
    subscription: &mut B::Subscription,
    buffer: &[u8],
    count: u64,
) {
    let started = Instant::now();
    let (mut sent, mut received, mut turns) = (0_u64, 0, 0);
    while received < count {
        let outcome = match sent % 10 {
            0 => publication.offer(buffer),
            1..=5 => publication.offer(&buffer[..200]),
            _ => publication.claim(128, |bytes| bytes.fill(1)),
        };
        sent += u64::from(outcome.is_accepted());
        subscription.poll(16, |_| received += 1);
        turns += 1;
        bus.do_work(turns * 1_000);
        if !outcome.is_accepted() {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "stands still at {received}"
            );
            std::thread::yield_now();
        }
    }
}

fn check<B: Bus>(mut bus: B) {
    let endpoint = Endpoint::new("aeron:ipc", 1001);
    let mut subscription = bus.add_subscription(&endpoint).unwrap();
    let mut publication = bus.add_publication(&endpoint).unwrap();
    wait_ready(&mut bus, Duration::from_secs(30), std::thread::yield_now).unwrap();
    let buffer = vec![7; 5_000];
    exchange(&mut bus, &mut publication, &mut subscription, &buffer, 10_000);
    let heap_calls =
        count_heap_calls(|| exchange(&mut bus, &mut publication, &mut subscription, &buffer, 100_000));
    assert_eq!(heap_calls, 0);
}

fn check_over_aeron<B: Bus>(bus: impl FnOnce(&BusConfig) -> B) {
    let dir = tempfile::tempdir().unwrap();
    let config = BusConfig {
        dir: dir.path().join("node"),
        term_length: 1024 * 1024,
        terms_sparse: true,
        ..BusConfig::default()
    };
    let driver = EmbeddedDriver::start(&config).unwrap();
    check(bus(&config));
    driver.stop().unwrap();
}

#[test]
fn no_alloc_over_aeron_rs() {
    check_over_aeron(AeronRsBus::new);
}

#[test]
fn no_alloc_over_the_c_client() {
    check_over_aeron(RusteronBus::new);
}

#[test]
fn no_alloc_in_process() {
    check(InProcessBus::new());
}
