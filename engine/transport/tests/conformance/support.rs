//! What every case needs: a driver somewhere, buses on it, messages that show what happened to them, a deadline.

use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pinion_transport::aeron_rs::AeronRsBus;
use pinion_transport::bus::wait_ready;
use pinion_transport::driver::{DriverWatch, EmbeddedDriver, run_standalone};
use pinion_transport::in_process::InProcessBus;
use pinion_transport::rusteron::RusteronBus;
use pinion_transport::{Bus, BusConfig, Endpoint, Link, Offer, Publication, Subscription};
use tempfile::TempDir;

/// Names the folder of the driver that a child process is to run.
const DRIVER_DIR: &str = "PINION_TEST_DRIVER_DIR";
/// How long a bus may take to be ready, a message to arrive, a loss to be noticed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A kind of bus under test.
pub(crate) trait Kind: 'static {
    type Bus: Bus;
    const NAME: &'static str;
    fn bus(place: &Place) -> Self::Bus;
}

pub(crate) struct AeronRs;
pub(crate) struct Rusteron;
pub(crate) struct InProcess;

impl Kind for AeronRs {
    type Bus = AeronRsBus;
    const NAME: &'static str = "aeron-rs";
    fn bus(place: &Place) -> AeronRsBus {
        AeronRsBus::new(&place.config)
    }
}

impl Kind for Rusteron {
    type Bus = RusteronBus;
    const NAME: &'static str = "c";
    fn bus(place: &Place) -> RusteronBus {
        RusteronBus::new(&place.config)
    }
}

impl Kind for InProcess {
    type Bus = InProcessBus;
    const NAME: &'static str = "in process";
    fn bus(place: &Place) -> InProcessBus {
        place.hub.clone()
    }
}

/// A folder for a driver, and the driver in it if there is one.
pub(crate) struct Place {
    pub(crate) config: BusConfig,
    pub(crate) hub: InProcessBus,
    embedded: Mutex<Option<EmbeddedDriver>>,
    process: Mutex<Option<DriverProcess>>,
    dir: TempDir,
}

impl Place {
    /// A place without a driver.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("pinion-conformance-")
            .tempdir_in(shared_memory())
            .unwrap();
        let config = config(&dir.path().join("node"));
        let hub = InProcessBus::with_ring_len(config.term_length as usize);
        Place {
            config,
            hub,
            embedded: Mutex::new(None),
            process: Mutex::new(None),
            dir,
        }
    }

    /// A place with a driver in a thread of this process.
    pub(crate) fn embedded() -> Self {
        Place::embedded_with(|_| ())
    }

    /// The same with other settings.
    pub(crate) fn embedded_with(change: impl FnOnce(&mut BusConfig)) -> Self {
        let mut place = Place::empty();
        change(&mut place.config);
        *place.embedded.lock().unwrap() = Some(EmbeddedDriver::start(&place.config).unwrap());
        place
    }

    /// A place with a driver in a process of its own.
    pub(crate) fn external() -> Self {
        let place = Place::empty();
        place.start_process(&[]);
        place
    }

    pub(crate) fn start_process(&self, environment: &[(&str, &str)]) {
        self.start_command(Command::new(std::env::current_exe().unwrap()).envs(environment.iter().copied()));
    }

    pub(crate) fn start_process_with_umask(&self, umask: &str) {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap());
        self.start_command(&mut shell);
    }

    fn start_command(&self, command: &mut Command) {
        let process = DriverProcess::start(command, &self.config.own_dir());
        *self.process.lock().unwrap() = Some(process);
        let deadline = Instant::now() + PATIENCE;
        let timeout = Duration::from_millis(self.config.driver_timeout_ms);
        while let Err(reason) = DriverWatch::open(&self.config.aeron_dir(), timeout) {
            assert!(
                Instant::now() < deadline,
                "driver process did not start: {reason}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the driver's process without a warning.
    pub(crate) fn kill_process(&self) {
        let mut process = self.process.lock().unwrap().take().unwrap();
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }

    /// Ends the driver's process as an operator would.
    pub(crate) fn stop_process(&self) {
        let mut process = self.process.lock().unwrap().take().unwrap();
        process.stdin.take().unwrap().write_all(b"\n").unwrap();
        process.child.wait().unwrap();
    }

    pub(crate) fn stop_embedded(&self) {
        drop(self.embedded.lock().unwrap().take());
    }

    /// How many logs of drivers of this place are mapped into this process.
    pub(crate) fn mapped_log_count(&self) -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let place = self.dir.path().display().to_string();
        maps.lines()
            .filter(|line| line.contains(&place) && line.contains(".logbuffer"))
            .count()
    }
}

fn shared_memory() -> &'static Path {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared } else { Path::new(".") }
}

fn config(dir: &Path) -> BusConfig {
    BusConfig {
        dir: dir.to_owned(),
        term_length: 1024 * 1024,
        terms_sparse: true,
        driver_timeout_ms: 1_500,
        client_timeout_ms: 2_000,
        reconnect_interval_ms: 10,
        ..BusConfig::default()
    }
}

struct DriverProcess {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl DriverProcess {
    fn start(command: &mut Command, dir: &Path) -> Self {
        let mut child = command
            .args(["--exact", "driver_process", "--nocapture", "--test-threads=1"])
            .env(DRIVER_DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        DriverProcess { child, stdin }
    }
}

impl Drop for DriverProcess {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The whole life of a child process that was started to be a driver; in any other process it does nothing.
/// It ends when its standard input does, so that it never outlives the test.
pub(crate) fn be_driver_process() {
    let Some(dir) = std::env::var_os(DRIVER_DIR) else {
        return;
    };
    let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    std::thread::spawn(move || {
        drop(std::io::stdin().read_line(&mut String::new()));
        stop.store(true, std::sync::atomic::Ordering::Release);
    });
    run_standalone(&config(Path::new(&dir)), stop, |_| ()).unwrap();
}

/// Runs a case in a thread of its own, one case at a time, and fails with its name when it hangs.
pub(crate) fn within(seconds: u64, name: &str, case: impl FnOnce() + Send + 'static) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn: MutexGuard<'_, ()> = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (done, wait) = channel();
    let thread = std::thread::spawn(move || {
        case();
        _ = done.send(());
    });
    if wait.recv_timeout(Duration::from_secs(seconds)) == Err(RecvTimeoutError::Timeout) {
        panic!("{name} hung: not done after {seconds} s");
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A bus with one publication or subscription or both, turned by hand.
pub(crate) struct Node<K: Kind> {
    pub(crate) bus: K::Bus,
    started: Instant,
}

pub(crate) type PublicationOf<K> = <<K as Kind>::Bus as Bus>::Publication;
pub(crate) type SubscriptionOf<K> = <<K as Kind>::Bus as Bus>::Subscription;

impl<K: Kind> Node<K> {
    pub(crate) fn new(place: &Place) -> Self {
        Node {
            bus: K::bus(place),
            started: Instant::now(),
        }
    }

    pub(crate) fn publication(&mut self, endpoint: &Endpoint) -> PublicationOf<K> {
        self.bus.add_publication(endpoint).unwrap()
    }

    pub(crate) fn subscription(&mut self, endpoint: &Endpoint) -> SubscriptionOf<K> {
        self.bus.add_subscription(endpoint).unwrap()
    }

    pub(crate) fn wait_ready(&mut self) {
        wait_ready(&mut self.bus, PATIENCE, std::thread::yield_now).unwrap();
    }

    pub(crate) fn turn(&mut self) -> usize {
        self.bus.do_work(self.started.elapsed().as_nanos() as i64)
    }

    /// Turns the bus until `done`, or fails with `what`.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "{}: {what}: not within {PATIENCE:?}; {:?}, {:?}",
                K::NAME,
                self.bus.health(),
                self.bus.last_error().map(ToString::to_string)
            );
            self.turn();
            std::thread::yield_now();
        }
    }

    pub(crate) fn until_link(&mut self, link: Link) {
        self.until("link", |node| node.bus.health().link == link);
    }

    pub(crate) fn until_connected(&mut self, publication: &PublicationOf<K>) {
        self.until("connected", |_| publication.is_connected());
    }

    /// Offers until it is accepted, and says what stood in the way before.
    pub(crate) fn send(&mut self, publication: &mut PublicationOf<K>, bytes: &[u8]) {
        self.until("accepted", |_| match publication.offer(bytes) {
            Offer::Accepted(_) => true,
            Offer::BackPressured | Offer::NotConnected => false,
            outcome => panic!("{}: {outcome:?} for {} bytes", K::NAME, bytes.len()),
        });
    }

    /// Polls until one message is there, and returns it.
    pub(crate) fn receive(&mut self, subscription: &mut SubscriptionOf<K>) -> Vec<u8> {
        let mut message = None;
        self.until("received", |_| {
            subscription.poll(1, |bytes| message = Some(bytes.to_vec()));
            message.is_some()
        });
        message.unwrap()
    }
}

/// One bus with a publication and a subscription on the same stream, both connected.
pub(crate) fn loopback<K: Kind>(
    place: &Place,
    endpoint: &Endpoint,
) -> (Node<K>, PublicationOf<K>, SubscriptionOf<K>) {
    let mut node = Node::<K>::new(place);
    let subscription = node.subscription(endpoint);
    let publication = node.publication(endpoint);
    node.wait_ready();
    node.until_connected(&publication);
    node.until("image", |_| subscription.is_connected());
    (node, publication, subscription)
}

pub(crate) fn ipc() -> Endpoint {
    Endpoint::new("aeron:ipc", 1001)
}

/// A free port of this machine.
pub(crate) fn udp() -> Endpoint {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    Endpoint::new(format!("aeron:udp?endpoint=127.0.0.1:{port}"), 1001)
}

/// Length of message `sequence`: mostly small, some around and beyond the MTU.
pub(crate) fn message_len(sequence: u64) -> usize {
    let mixed = (sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize;
    match mixed % 1_000 {
        0..=979 => 8 + mixed % 250,
        980..=996 => 8 + mixed % 1_500,
        _ => 1_300 + mixed % 12_000,
    }
}

/// Writes message `sequence` into `bytes`: the sequence, then one byte over and over.
pub(crate) fn fill(bytes: &mut [u8], sequence: u64) {
    bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    bytes[8..].fill(sequence as u8 ^ 0x5A);
}

/// Reads a message's sequence, and fails unless every byte is right.
pub(crate) fn sequence_of(bytes: &[u8]) -> u64 {
    let sequence = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes.len(), message_len(sequence), "length of message {sequence}");
    let byte = sequence as u8 ^ 0x5A;
    assert!(
        bytes[8..].iter().all(|&found| found == byte),
        "content of message {sequence}"
    );
    sequence
}

/// Publishes messages `first..first + count`, by claim where they fit and are even, otherwise by offer.
pub(crate) fn publish_all<K: Kind>(node: &mut Node<K>, publication: &mut PublicationOf<K>, count: u64) {
    let mut buffer = vec![0; 16 * 1024];
    for sequence in 0..count {
        let len = message_len(sequence);
        fill(&mut buffer[..len], sequence);
        let by_claim = sequence % 2 == 0 && len <= publication.payload_len_max();
        node.until("accepted", |_| {
            let outcome = if by_claim {
                publication.claim(len, |bytes| fill(bytes, sequence))
            } else {
                publication.offer(&buffer[..len])
            };
            match outcome {
                Offer::Accepted(_) => true,
                Offer::BackPressured => false,
                outcome => panic!("{}: {outcome:?} for message {sequence} of {len} bytes", K::NAME),
            }
        });
        if sequence % 64 == 0 {
            node.turn();
        }
    }
}

/// Receives messages `0..count`, in order, each as it was sent.
pub(crate) fn receive_all<K: Kind>(node: &mut Node<K>, subscription: &mut SubscriptionOf<K>, count: u64) {
    let mut expected = 0;
    let mut last_progress = Instant::now();
    while expected < count {
        let taken = subscription.poll(64, |bytes| {
            assert_eq!(sequence_of(bytes), expected, "{}: order", K::NAME);
            expected += 1;
        });
        node.turn();
        if taken > 0 {
            last_progress = Instant::now();
        } else {
            assert!(
                last_progress.elapsed() < PATIENCE,
                "{}: stands still at {expected}",
                K::NAME
            );
            std::thread::yield_now();
        }
    }
}
