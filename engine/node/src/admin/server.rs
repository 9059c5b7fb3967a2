//! Listens on the socket and hands requests to the snapshotter's thread.
//!
//! ```text
//!   control.sock ─▶ listener ─▶ one thread per connection ── Job {request, reply} ──▶ snapshotter
//!                                        ◀──────────── lines, by the job's own channel ──┘
//! ```
//!
//! Invariant: connections, requests in the queue and the length of a request are bounded; a client that reads
//! nothing holds up nobody but itself.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::client::Address;
use super::{REQUEST_LEN_MAX, Request, Response, SOCKET_NAME};
use crate::housekeeping::Housekeeping;
use crate::snapshotter::Snapshotter;

/// Clients at the same time.
const CONNECTIONS_MAX: usize = 8;

/// Lines of an answer that wait for a slow client; progress beyond it is left out.
const LINES_MAX: usize = 64;

/// How long a read or a write may take before the thread looks whether it shall end.
const LOOK: Duration = Duration::from_millis(100);

/// How much lower than the engine's other threads the listener stands: `nice`. Its clients' threads inherit it.
const NICENESS: i32 = 5;

/// The socket's name while it is being made.
const NEW_SOCKET_NAME: &str = "control.sock.new";

/// A request with the way for its answer.
pub(crate) struct Job {
    /// What is asked.
    pub(crate) request: Request,
    /// Where lines go: any number of [`Response::Progress`], then one other.
    pub(crate) reply: Reply,
}

/// The way for an answer.
#[derive(Clone)]
pub(crate) struct Reply(SyncSender<Response>);

impl Reply {
    /// One that is read from the other end.
    pub(crate) fn channel() -> (Self, Receiver<Response>) {
        let (lines, received) = sync_channel(LINES_MAX);
        (Self(lines), received)
    }

    /// Sends a line without waiting. `false`: nobody reads any more.
    pub(crate) fn send(&self, response: Response) -> bool {
        !matches!(self.0.try_send(response), Err(TrySendError::Disconnected(_)))
    }

    /// Sends the last line; waits for room, for a client that has gone never blocks.
    pub(crate) fn end(&self, response: Response) {
        // A client that is gone misses its answer.
        let _ = self.0.send(response);
    }
}

/// The listening socket. Dropping it ends its threads and removes the socket.
pub struct Server {
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens in `folder`, whose lock the caller holds: a socket that stands there is nobody's. Requests go to
    /// `snapshotter`.
    ///
    /// # Errors
    /// The socket cannot be made, or there is no thread.
    pub fn start(folder: &Path, snapshotter: &Snapshotter) -> io::Result<Self> {
        let jobs = snapshotter.jobs();
        let listener = listen(folder)?;
        let stop = Arc::new(AtomicBool::new(false));
        let for_thread = stop.clone();
        let housekeeping = snapshotter.housekeeping();
        let work = move || accept_all(&listener, housekeeping, &jobs, &for_thread);
        let thread = housekeeping.spawn("admin", NICENESS, work)?;
        Ok(Self {
            folder: folder.to_owned(),
            stop,
            thread: Some(thread),
        })
    }

    fn wake(&self) {
        // Whatever comes of it, the listener looks at `stop` next.
        let _ = Address::of(&self.folder, SOCKET_NAME).and_then(|address| UnixStream::connect(&address.path));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("admin: the listener panicked: {panic:?}");
        }
        // An engine that ends leaves no socket; if it cannot, the next one removes it.
        let _ = fs::remove_file(self.folder.join(SOCKET_NAME));
    }
}

/// A socket of the owner's alone, in the place of whatever stood there.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    let (new, path) = (folder.join(NEW_SOCKET_NAME), folder.join(SOCKET_NAME));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&Address::of(folder, NEW_SOCKET_NAME)?.path)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, &path)?;
    Ok(listener)
}

fn accept_all(
    listener: &UnixListener,
    housekeeping: Housekeeping,
    jobs: &SyncSender<Job>,
    stop: &Arc<AtomicBool>,
) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if open.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
            let message = format!("{CONNECTIONS_MAX} clients are connected, expected fewer");
            let _ = write_line(&stream, &Response::Error(message));
            open.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (jobs, stop, still_open) = (jobs.clone(), stop.clone(), open.clone());
        let spawned = housekeeping.spawn("admin-client", 0, move || {
            // A client that breaks off ends its own thread alone.
            let _ = serve(&stream, &jobs, &stop);
            still_open.fetch_sub(1, Ordering::AcqRel);
        });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Answers one client's requests, one after another.
fn serve(stream: &UnixStream, jobs: &SyncSender<Job>, stop: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(LOOK))?;
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while !stop.load(Ordering::Acquire) {
        match next_line(&mut lines, &mut line)? {
            Line::Whole => {
                answer(stream, &line, jobs)?;
                line.clear();
            }
            Line::Unfinished => {}
            Line::TooLong => {
                let message =
                    format!("a request is longer than {REQUEST_LEN_MAX} bytes, expected at most that");
                return write_line(stream, &Response::Error(message));
            }
            Line::End => return Ok(()),
        }
    }
    Ok(())
}

/// What came of reading on.
enum Line {
    Whole,
    Unfinished,
    TooLong,
    End,
}

fn next_line(lines: &mut BufReader<&UnixStream>, line: &mut Vec<u8>) -> io::Result<Line> {
    let room = (REQUEST_LEN_MAX + 1).saturating_sub(line.len()) as u64;
    let read = lines.take(room).read_until(b'\n', line);
    match read {
        _ if line.ends_with(b"\n") => Ok(Line::Whole),
        _ if line.len() > REQUEST_LEN_MAX => Ok(Line::TooLong),
        Ok(_) => Ok(Line::End),
        Err(error) if is_timeout(&error) => Ok(Line::Unfinished),
        Err(error) => Err(error),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn answer(stream: &UnixStream, line: &[u8], jobs: &SyncSender<Job>) -> io::Result<()> {
    let request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => {
            let message = format!("request: {error}");
            return write_line(stream, &Response::Error(message));
        }
    };
    let (reply, lines) = Reply::channel();
    if jobs.try_send(Job { request, reply }).is_err() {
        let message = "the engine is stopping, or has too many requests waiting";
        return write_line(stream, &Response::Error(message.to_owned()));
    }
    let mut is_ended = false;
    for response in lines {
        is_ended = !matches!(response, Response::Progress(_));
        write_line(stream, &response)?;
    }
    if !is_ended {
        let message = "the engine stopped before it had answered";
        write_line(stream, &Response::Error(message.to_owned()))?;
    }
    Ok(())
}

fn write_line(mut stream: &UnixStream, response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)
}
