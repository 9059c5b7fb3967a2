//! A whole engine over real Aeron: started, fed, drained, restarted.

use std::path::Path;
use std::time::{Duration, Instant};

use pinion_node::bus::{AeronC, Connect};
use pinion_node::{Config, Engine};
use pinion_publish::WhenUnheard;
use pinion_schemas::encode::{BookLevelEvent, Encoder, Event, Stamp, TransactionEvent};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{BookAction, Channel, Limits, Side};
use pinion_schemas::wire::{Frame, read};
use pinion_transport::{Bus, Offer, Publication, Subscription};

/// A configuration that shares nothing with other tests.
fn config(name: &str, folder: &Path) -> Config {
    let mut config = Config::default();
    config.engine.dir = folder.join("data");
    config.bus.node = format!("test-{name}-{}", std::process::id());
    config.bus.term_length = 1 << 20;
    config.score.model = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models/fraud-v2")
        .display()
        .to_string();
    for table in [
        &mut config.ingest.customers,
        &mut config.ingest.terminals,
        &mut config.ingest.cards,
        &mut config.ingest.merchants,
        &mut config.ingest.devices,
        &mut config.ingest.accounts,
    ] {
        table.ids_max = 4096;
    }
    config.journal.segment_len = 4 << 20;
    // A listener may be connected a moment before the publication knows of it.
    config.publish.when_unheard = WhenUnheard::Wait;
    config
}

fn transaction(index: u64) -> Event {
    Event::Transaction(TransactionEvent {
        event_ns: 1_522_540_800_000_000_000 + index as i64 * 1_000_000_000,
        amount_minor: 1_000 + index as i64,
        currency: 978,
        channel: Channel::CardPresent,
        transaction_id: Id::new(&format!("t-{index}")).unwrap(),
        customer: Id::new(&format!("c-{}", index % 50)).unwrap(),
        terminal: Id::new(&format!("p-{}", index % 70)).unwrap(),
        ..TransactionEvent::default()
    })
}

fn level(index: u64) -> Event {
    Event::BookLevel(BookLevelEvent {
        event_ns: 1_522_540_800_000_000_000 + index as i64 * 1_000,
        price: if index.is_multiple_of(2) {
            99_000_000_000
        } else {
            101_000_000_000
        },
        quantity: 1_000_000_000 * (1 + (index % 20) as i64),
        side: if index.is_multiple_of(2) {
            Side::Bid
        } else {
            Side::Ask
        },
        action: BookAction::Modify,
        instrument: Id::new("TEST").unwrap(),
        ..BookLevelEvent::default()
    })
}

/// Publishes events `from..to` of both lanes under `session` and collects the decisions' sequences by lane.
fn play(config: &Config, session: u64, from: u64, to: u64) -> [Vec<u64>; 2] {
    let mut bus = AeronC(config.bus.clone()).connect().unwrap();
    let mut market = bus.add_publication(&config.bus.market).unwrap();
    let mut payments = bus.add_publication(&config.bus.payments).unwrap();
    let mut decisions = bus.add_subscription(&config.bus.decisions).unwrap();
    let mut encoder = Encoder::new();
    let mut sequences = [Vec::new(), Vec::new()];
    let (started, mut index, mut last) = (Instant::now(), from, Instant::now());
    let mut half_sent = false;
    while last.elapsed() < Duration::from_millis(700) && started.elapsed() < Duration::from_secs(30) {
        bus.do_work(started.elapsed().as_nanos() as i64);
        let ready = market.is_connected() && payments.is_connected() && decisions.is_connected();
        if index < to && ready {
            let event = if half_sent {
                level(index)
            } else {
                transaction(index)
            };
            let stamp = Stamp {
                publisher_id: 9,
                session,
                sequence: index + 1,
                flags: 0,
            };
            let frame = encoder.encode(&stamp, &event);
            let offer = if half_sent {
                market.offer(frame)
            } else {
                payments.offer(frame)
            };
            if matches!(offer, Offer::Accepted(_)) {
                index += u64::from(half_sent);
                half_sent = !half_sent;
                last = Instant::now();
            }
        } else if index < to {
            last = Instant::now();
        }
        let found = decisions.poll(64, |bytes| {
            let frame = read(bytes, &Limits::default()).unwrap();
            let Frame::Decision(decision) = frame else {
                panic!("expected a decision")
            };
            let hot = decision.hot();
            let stamps = [
                hot.event_ns(),
                hot.ingest_ns(),
                hot.scored_ns(),
                hot.decided_ns(),
                hot.published_ns(),
            ];
            assert!(stamps.is_sorted(), "{stamps:?}");
            sequences[usize::from(hot.lane().0) - 1].push(hot.sequence());
        });
        if found > 0 {
            last = Instant::now();
        }
    }
    sequences
}

#[test]
fn every_event_is_accounted_for_and_a_restart_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("account", folder.path());
    let engine = Engine::start(&config).unwrap();
    let [market, payments] = play(&config, 1, 0, 2_000);
    let summary = engine.stop().unwrap();
    let accounts = summary.accounts;
    assert_eq!(
        (
            accounts.payments.accepted,
            accounts.payments.decided,
            accounts.inside()
        ),
        (2_000, 2_000, 0)
    );
    assert_eq!(
        (accounts.market.accepted, accounts.market.decided),
        (2_000, 2_000)
    );
    assert_eq!(payments, (1..=2_000).collect::<Vec<_>>());
    assert!(
        !market.is_empty() && market.is_sorted(),
        "{} signals",
        market.len()
    );
    assert_eq!(accounts.market.published, market.len() as u64);

    let engine = Engine::start(&config).unwrap();
    assert_eq!(engine.recovered().inputs, 4_000);
    let [_, payments] = play(&config, 1, 1_990, 2_100);
    let second = engine.stop().unwrap().accounts;
    assert_eq!(
        payments,
        (2_001..=2_100).collect::<Vec<_>>(),
        "nothing is decided twice"
    );
    let payments = second.payments;
    assert_eq!(
        (payments.restored, payments.recorded),
        (2_000, 0),
        "a checkpoint has them"
    );
    assert_eq!(
        (payments.duplicates, payments.accepted, payments.decided),
        (10, 100, 100)
    );
    assert_eq!((second.market.restored, second.market.recorded), (0, 2_000));
}
