//! Opens a store in a process of its own, so that whatever the library does there cannot stop the engine.
//!
//! ```text
//!   engine ── the same program again, PROBE_KEY set, a socket as its standard input ──▶ child: probe_main
//!      request: which store ─────────────────────────────────────────────────────────▶ open
//!      Fill ◀─ hello ── manifest ── page ── page ── … ── end, or what went wrong ───────┘
//! ```
//!
//! Each message is a tag, a length and that many bytes. The child reads the whole store; the engine checks all of it
//! and takes nothing on trust. Silence beyond the deadline, or an end before the end, is a reason to rebuild.
//!
//! Invariant: when a [`Channel`] is dropped, its child is dead.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pinion_runtime::state::PAGE_LEN;
use serde::{Deserialize, Serialize};

use crate::config::{Backend, CheckpointConfig};
use crate::disk::RealDisk;
use crate::error::Reason;
use crate::snapshot::MANIFEST_LEN_MAX;
use crate::store::{self, PageId, Place, Store, StoreError};

/// The environment variable that makes a program a probe.
pub const PROBE_KEY: &str = "PINION_CHECKPOINT_PROBE";

/// Bytes that are sent or received at once.
const BUFFER_LEN: usize = 256 << 10;

/// The program that opens the store: it must call [`probe_main`] before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The program; `None`: this one.
    pub program: Option<PathBuf>,
    /// What it is called with. A program that does not know [`PROBE_KEY`] should do nothing when it gets these.
    pub arguments: Vec<OsString>,
}

impl Default for Probe {
    /// This program, with an argument that says to who looks at the list of processes what it is.
    fn default() -> Self {
        Self {
            program: None,
            arguments: vec![OsString::from("checkpoint-probe")],
        }
    }
}

/// What the child is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    backend: Backend,
    dir: PathBuf,
    cache_mib: u32,
}

/// What the child says, by its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    /// It is a probe.
    Hello = 1,
    /// The manifest's bytes; not sent if there is none.
    Manifest = 2,
    /// Page id, page.
    Page = 3,
    /// That was all.
    End = 4,
    /// The store is in use.
    Locked = 5,
    /// A text: its bytes cannot be used.
    Damaged = 6,
    /// A text: the operating system refused.
    Unreachable = 7,
}

impl Tag {
    fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Hello,
            Self::Manifest,
            Self::Page,
            Self::End,
            Self::Locked,
            Self::Damaged,
            Self::Unreachable,
        ];
        all.into_iter().find(|tag| *tag as u8 == byte)
    }
}

/// A message from the child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// The manifest's bytes.
    Manifest(&'a [u8]),
    /// One page.
    Page(PageId, &'a [u8]),
    /// That was all.
    End,
}

/// Does the child's work if this process is one, and says how it ended; `None`: it is none. Every program that
/// restores calls this first:
///
/// ```
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     if let Some(code) = pinion_checkpoint::probe_main() {
///         return code;
///     }
///     // what the program is for
///     ExitCode::SUCCESS
/// }
/// ```
pub fn probe_main() -> Option<ExitCode> {
    env::var_os(PROBE_KEY)?;
    Some(match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Read by nobody, unless someone set the variable by hand.
            eprintln!("{PROBE_KEY} is set: standard input: {error}, expected an engine's socket");
            ExitCode::FAILURE
        }
    })
}

fn serve() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut out = BufWriter::with_capacity(BUFFER_LEN, socket.try_clone()?);
    send(&mut out, Tag::Hello, &[])?;
    out.flush()?;
    let request = read_request(socket)?;
    let place = Place {
        backend: request.backend,
        dir: request.dir,
        cache_mib: request.cache_mib,
        disk: Arc::new(RealDisk),
    };
    let sent = store::open(&place).and_then(|mut store| {
        let sent = store::contain(&place.dir, || tell(store.as_mut(), &mut out));
        store::abandon(store);
        sent
    });
    match sent {
        Ok(()) => send(&mut out, Tag::End, &[])?,
        Err(error) => send_error(&mut out, error)?,
    }
    out.flush()
}

fn read_request(socket: UnixStream) -> io::Result<Request> {
    let mut len = [0; 4];
    let mut socket = socket;
    socket.read_exact(&mut len)?;
    let mut bytes = vec![0; (u32::from_le_bytes(len) as usize).min(MANIFEST_LEN_MAX)];
    socket.read_exact(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Sends all that the store holds; stops early when the engine listens no more.
fn tell(store: &mut dyn Store, out: &mut impl Write) -> Result<(), StoreError> {
    if let Some(manifest) = store.manifest()?
        && send(out, Tag::Manifest, &manifest)
            .and_then(|()| out.flush())
            .is_err()
    {
        return Ok(());
    }
    let mut payload = Vec::with_capacity(8 + PAGE_LEN);
    store.each_page(&mut |id, bytes| {
        payload.clear();
        payload.extend(id.key().to_le_bytes());
        payload.extend(bytes);
        match send(out, Tag::Page, &payload) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })
}

fn send_error(out: &mut impl Write, error: StoreError) -> io::Result<()> {
    match Reason::from(error) {
        Reason::Locked => send(out, Tag::Locked, &[]),
        Reason::Unreachable(text) => send(out, Tag::Unreachable, text.as_bytes()),
        Reason::Damaged(text) => send(out, Tag::Damaged, text.as_bytes()),
        other => send(out, Tag::Damaged, other.to_string().as_bytes()),
    }
}

fn send(out: &mut impl Write, tag: Tag, payload: &[u8]) -> io::Result<()> {
    out.write_all(&[tag as u8])?;
    out.write_all(&(payload.len() as u32).to_le_bytes())?;
    out.write_all(payload)
}

/// The engine's end: a child that opens a store and tells what is in it.
pub(crate) struct Channel {
    child: Child,
    socket: BufReader<UnixStream>,
    payload: Vec<u8>,
    silence_max: Duration,
}

impl Channel {
    /// Starts the child and asks it for the store of `config`.
    ///
    /// Error: [`Reason::Unreachable`] if it could not be started or is no probe.
    pub(crate) fn open(probe: &Probe, config: &CheckpointConfig) -> Result<Self, Reason> {
        let unreachable =
            |error: io::Error| Reason::Unreachable(format!("could not start the probe: {error}"));
        let silence_max = Duration::from_millis(config.open_ms_max);
        let (ours, theirs) = UnixStream::pair().map_err(unreachable)?;
        ours.set_read_timeout(Some(silence_max)).map_err(unreachable)?;
        let child = spawn(probe, theirs).map_err(unreachable)?;
        let mut channel = Self {
            child,
            socket: BufReader::with_capacity(BUFFER_LEN, ours),
            payload: Vec::new(),
            silence_max,
        };
        channel.greet(config)?;
        // Another process may hold the store: that wait is no silence.
        channel.allow_silence(silence_max + store::LOCK_WAIT_MAX)?;
        Ok(channel)
    }

    fn greet(&mut self, config: &CheckpointConfig) -> Result<(), Reason> {
        let stranger = || Reason::Unreachable("the program does not call probe_main".to_owned());
        if self.receive() != Ok(Tag::Hello) {
            return Err(stranger());
        }
        let request = Request {
            backend: config.backend,
            dir: config.store_dir(),
            cache_mib: config.cache_mib,
        };
        let bytes = serde_json::to_vec(&request)
            .map_err(|error| Reason::Unreachable(format!("could not ask the probe: {error}")))?;
        let mut message = (bytes.len() as u32).to_le_bytes().to_vec();
        message.extend(bytes);
        let sent = self.socket.get_mut().write_all(&message);
        sent.map_err(|error| Reason::Died(self.last_words(&error)))
    }

    fn allow_silence(&mut self, max: Duration) -> Result<(), Reason> {
        self.silence_max = max;
        self.socket
            .get_ref()
            .set_read_timeout(Some(max))
            .map_err(|error| Reason::Unreachable(format!("could not set a deadline: {error}")))
    }

    /// The next message; the pages come after the manifest.
    ///
    /// Error: what the child said, or that it died or was silent.
    pub(crate) fn next(&mut self) -> Result<Message<'_>, Reason> {
        match self.receive()? {
            Tag::Manifest => Ok(Message::Manifest(&self.payload)),
            Tag::Page => match self.payload.split_first_chunk() {
                Some((key, bytes)) => Ok(Message::Page(PageId::from_key(u64::from_le_bytes(*key)), bytes)),
                None => Err(Reason::Died("it sent half a page".to_owned())),
            },
            Tag::End => Ok(Message::End),
            Tag::Locked => Err(Reason::Locked),
            Tag::Damaged => Err(Reason::Damaged(self.text())),
            Tag::Unreachable => Err(Reason::Unreachable(self.text())),
            Tag::Hello => Err(Reason::Died("it greeted twice".to_owned())),
        }
    }

    /// Waits until the child has closed the store and is gone, up to the deadline; its lock is free then.
    pub(crate) fn close(mut self) {
        let begun = Instant::now();
        while begun.elapsed() < self.silence_max && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Reads one message into `payload`.
    fn receive(&mut self) -> Result<Tag, Reason> {
        let mut head = [0; 5];
        self.read(|socket, _| socket.read_exact(&mut head))?;
        let [tag, len @ ..] = head;
        let len = u32::from_le_bytes(len) as usize;
        let tag = Tag::from_byte(tag).filter(|_| len <= MANIFEST_LEN_MAX);
        let tag = tag.ok_or_else(|| Reason::Died("it sent what is no message".to_owned()))?;
        self.read(|socket, payload| {
            payload.resize(len, 0);
            socket.read_exact(payload)
        })?;
        Ok(tag)
    }

    fn read(
        &mut self,
        read: impl FnOnce(&mut BufReader<UnixStream>, &mut Vec<u8>) -> io::Result<()>,
    ) -> Result<(), Reason> {
        read(&mut self.socket, &mut self.payload).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Reason::Silent {
                ms: self.silence_max.as_millis() as u64,
            },
            _ => Reason::Died(self.last_words(&error)),
        })
    }

    /// How the child ended.
    fn last_words(&mut self, error: &io::Error) -> String {
        // Its end of the socket closes a little before it can be waited for.
        for _ in 0..100 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.to_string();
            }
            thread::sleep(Duration::from_millis(2));
        }
        error.to_string()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // One that is gone already cannot be killed, and needs not be.
        let _ = self.child.kill();
        // A process that the disk holds cannot die yet; it is left to the system after a while.
        for _ in 0..1000 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn spawn(probe: &Probe, socket: UnixStream) -> io::Result<Child> {
    let program = match &probe.program {
        Some(program) => program.clone(),
        None => env::current_exe()?,
    };
    Command::new(program)
        .args(&probe.arguments)
        .env(PROBE_KEY, "1")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
