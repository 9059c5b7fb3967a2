//! An engine without a media driver, on one thread that gives way, and events that follow from their number.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pinion_checkpoint::Probe;
use pinion_features::TimelinesConfig;
use pinion_journal::GateMode;
use pinion_node::admin::{Answer, Checkpointed, Client, Digest, Request};
use pinion_node::bus::InProcess;
use pinion_node::config::cores::{LayoutKind, ThreadConfig};
use pinion_node::{Config, Engine};
use pinion_publish::WhenUnheard;
use pinion_schemas::encode::{
    AccountUpdateEvent, BookLevelEvent, Encoder, Event, LabelEvent, Stamp, TransactionEvent,
};
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{AccountChange, BookAction, Channel, LabelSource, Side, Verdict};
use pinion_score::Backend;
use pinion_transport::config::DriverKind;
use pinion_transport::in_process::{InProcessBus, InProcessPublication};
use pinion_transport::{Bus as _, Offer, Publication as _};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The name of the test that is a probe in every test program: see [`be_a_probe`].
const PROBE_TEST: &str = "program_can_be_a_probe";

/// The first event's time: 2018-04-01. Unit: ns.
const START_NS: i64 = 1_522_540_800_000_000_000;

pub(crate) fn probe() -> Probe {
    Probe {
        program: None,
        arguments: ["--exact", PROBE_TEST].map(Into::into).into(),
    }
}

/// What the test of that name does: nothing, unless this process was started to open a checkpoint.
pub(crate) fn be_a_probe() {
    let _ = pinion_checkpoint::probe_main();
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

pub(crate) fn set_path(name: &str) -> PathBuf {
    in_repository("features").join(format!("{name}.toml"))
}

/// A small engine in `folder`: one thread, no driver, checkpoints on demand and at the end.
pub(crate) fn config(folder: &Path) -> Config {
    let mut config = Config::default();
    config.engine.dir = folder.join("data");
    config.bus.driver = DriverKind::External;
    config.score.model = in_repository("models/fraud-v1").display().to_string();
    config.score.backend = Backend::Native;
    // Little more than the model's own cases, so that some leave.
    config.score.bank.rows_max = 5_000;
    config.score.waiting_max = 100;
    config.score.genuine_after_s = 8 * 3_600;
    config.publish.when_unheard = WhenUnheard::Drop;
    let roles = [
        "ingest",
        "book",
        "market-strategy",
        "features",
        "score",
        "payment-strategy",
        "publish",
        "journal",
    ];
    config.cores.layout = LayoutKind::Threads;
    config.cores.threads = vec![ThreadConfig {
        name: "engine".to_owned(),
        roles: roles.map(str::to_owned).into(),
        core: -1,
        idle: "back-off".to_owned(),
        realtime_priority: 0,
    }];
    for table in [
        &mut config.ingest.customers,
        &mut config.ingest.terminals,
        &mut config.ingest.cards,
        &mut config.ingest.merchants,
        &mut config.ingest.devices,
        &mut config.ingest.accounts,
    ] {
        table.ids_max = 512;
    }
    let features = &mut config.features;
    features.set = set_path("payments-v1");
    for entities in [
        &mut features.customers,
        &mut features.terminals,
        &mut features.cards,
        &mut features.merchants,
        &mut features.devices,
        &mut features.accounts,
    ] {
        *entities = TimelinesConfig {
            entities_max: 512,
            events_max: 256,
            pool_events_max: 1 << 16,
        };
    }
    config.journal.segment_len = 1 << 20;
    config.journal.fsync_interval_ms = 2;
    config.journal.gate = GateMode::Written;
    config.checkpoint.interval_s = 3600;
    config
}

fn id(kind: &str, number: u64) -> Id {
    Id::new(&format!("{kind}-{number}")).unwrap()
}

/// Numbers that look drawn.
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// One payment event in ten minutes, some of them hours late.
pub(crate) fn event_ns(number: u64) -> i64 {
    let lateness_s = if mix(number).is_multiple_of(11) {
        mix(number) % 9_000
    } else {
        0
    };
    START_NS + number as i64 * 600_000_000_000 - lateness_s as i64 * 1_000_000_000
}

fn transaction(number: u64) -> TransactionEvent {
    let draw = mix(number);
    TransactionEvent {
        event_ns: event_ns(number),
        amount_minor: (draw % 90_000) as i64,
        currency: 978,
        channel: Channel::CardPresent,
        transaction_id: id("t", number),
        customer: id("c", draw % 97),
        terminal: id("p", (draw >> 8) % 83),
        card: id("k", draw % 97),
        merchant: id("m", (draw >> 16) % 31),
        device: id("d", (draw >> 24) % 61),
        account: id("a", draw % 97),
        ..TransactionEvent::default()
    }
}

/// Payment event number `number`, from 1: every ninth is a label, every 31st an account update.
pub(crate) fn payment(number: u64) -> Event {
    if number.is_multiple_of(31) {
        return Event::AccountUpdate(AccountUpdateEvent {
            event_ns: event_ns(number),
            limit_minor: 100_000,
            currency: 978,
            change: AccountChange::LimitChanged,
            customer: id("c", mix(number) % 97),
            account: id("a", mix(number) % 97),
        });
    }
    if number.is_multiple_of(9) {
        let of = transaction(number - 4);
        return Event::Label(LabelEvent {
            event_ns: event_ns(number),
            transaction_ns: of.event_ns,
            amount_minor: of.amount_minor,
            verdict: if mix(number).is_multiple_of(3) {
                Verdict::Genuine
            } else {
                Verdict::Fraud
            },
            source: LabelSource::Chargeback,
            transaction_id: of.transaction_id,
            customer: of.customer,
            terminal: of.terminal,
            card: of.card,
            merchant: of.merchant,
            device: of.device,
            account: of.account,
        });
    }
    Event::Transaction(transaction(number))
}

/// Market event number `number`, from 1.
pub(crate) fn level(number: u64) -> Event {
    let is_bid = number.is_multiple_of(2);
    Event::BookLevel(BookLevelEvent {
        event_ns: START_NS + number as i64 * 1_000,
        price: if is_bid { 99_000_000_000 } else { 101_000_000_000 },
        quantity: 1_000_000_000 * (1 + (number % 20) as i64),
        side: if is_bid { Side::Bid } else { Side::Ask },
        action: BookAction::Modify,
        instrument: Id::new("TEST").unwrap(),
        ..BookLevelEvent::default()
    })
}

/// A publisher of both lanes: one market event for every four payments.
pub(crate) struct Feeder {
    market: InProcessPublication,
    payments: InProcessPublication,
    encoder: Encoder,
    /// Payments and market events sent.
    pub(crate) sent: [u64; 2],
}

impl Feeder {
    /// Goes on behind `sent`.
    pub(crate) fn new(bus: &InProcessBus, config: &Config, sent: [u64; 2]) -> Self {
        let mut bus = bus.clone();
        Self {
            market: bus.add_publication(&config.bus.market).unwrap(),
            payments: bus.add_publication(&config.bus.payments).unwrap(),
            encoder: Encoder::new(),
            sent,
        }
    }

    /// Sends until payment `to` is sent.
    pub(crate) fn feed(&mut self, to: u64) {
        while self.sent[0] < to {
            let number = self.sent[0] + 1;
            let frame = self.encoder.encode(&stamp(number), &payment(number));
            offer(&mut self.payments, frame);
            self.sent[0] = number;
            if number.is_multiple_of(4) {
                let number = self.sent[1] + 1;
                let frame = self.encoder.encode(&stamp(number), &level(number));
                offer(&mut self.market, frame);
                self.sent[1] = number;
            }
        }
    }
}

pub(crate) fn stamp(sequence: u64) -> Stamp {
    Stamp {
        publisher_id: 9,
        session: 1,
        sequence,
        flags: 0,
    }
}

fn offer(publication: &mut InProcessPublication, frame: &[u8]) {
    let started = Instant::now();
    while !matches!(publication.offer(frame), Offer::Accepted(_)) {
        assert!(started.elapsed() < PATIENCE, "the engine takes no frame");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// An engine with its publisher.
pub(crate) struct Light {
    pub(crate) config: Config,
    pub(crate) engine: Engine,
    pub(crate) feeder: Feeder,
}

impl Light {
    pub(crate) fn start(config: &Config) -> Self {
        let bus = InProcessBus::new();
        let engine = Engine::start_on(config, &probe(), InProcess(bus.clone())).unwrap();
        let accounts = engine.accounts();
        let payments = accounts.payments.restored + accounts.payments.recorded;
        let feeder = Feeder::new(&bus, config, [payments, accounts.market.recorded]);
        Self {
            config: config.clone(),
            engine,
            feeder,
        }
    }

    /// Sends up to payment `to` and waits until everything is decided.
    pub(crate) fn run(&mut self, to: u64) {
        self.feeder.feed(to);
        let sent = self.feeder.sent;
        wait_for(|| {
            let accounts = self.engine.accounts();
            accounts.payments.restored + accounts.payments.decided == sent[0]
                && accounts.market.decided == sent[1]
        });
    }

    pub(crate) fn ask(&self, request: &Request) -> Answer {
        self.try_ask(request).unwrap()
    }

    pub(crate) fn try_ask(&self, request: &Request) -> Result<Answer, String> {
        let mut client = Client::connect(&self.config.engine.dir).map_err(|error| error.to_string())?;
        client.ask(request, |_| ()).map_err(|error| error.to_string())
    }

    pub(crate) fn checkpoint(&self) -> Checkpointed {
        match self.ask(&Request::Checkpoint) {
            Answer::Checkpoint(written) => written,
            other => panic!("{other:?}"),
        }
    }

    /// The digest once the replica has taken payment `sequence`.
    pub(crate) fn digest_at(&self, sequence: u64) -> Digest {
        let mut found = Digest::default();
        wait_for(|| {
            let Answer::Digest(digest) = self.ask(&Request::FeaturesDigest) else {
                panic!("expected a digest")
            };
            found = digest;
            found.replica.sequence == sequence
        });
        found
    }

    /// Stops the engine. Returns the decision hash over everything since the journal began.
    pub(crate) fn stop(self) -> u64 {
        self.engine.stop().unwrap().accounts.decision_hash()
    }
}

pub(crate) fn wait_for(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Copies a folder with everything in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy_folder(&entry.path(), &target),
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), target).unwrap()),
            _ => {}
        }
    }
}
