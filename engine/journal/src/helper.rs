//! The two threads that do what would make the agent wait.
//!
//! ```text
//!   agent ◀──next file── [journal-prepare]   creates, zero-fills, syncs one segment ahead
//!     │ ──full file─────▶      └ drops it and makes the next
//!     │
//!     └──each file begun──▶ [journal-sync]   every interval: fdatasync, then moves the durable mark
//! ```
//!
//! The agent only tries its ends of the channels; they are bounded and their memory is taken at start.
//! Both threads inherit the core and the scheduling class of the thread that starts them: start them from one
//! that is on no core of the hot path. The first writes in short slices, as long as the agent does not wait for it.
//!
//! Invariant: a durable mark is moved to a position that was written before the sync began.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pinion_runtime::pace::Pace;

use crate::error::{Failure, FailureKind};
use crate::position::JournalPosition;
use crate::segments;

/// Files that may wait for the syncing thread before a roll-over has to.
const FILES_MAX: usize = 8;

/// Makes segments one ahead.
pub(crate) struct Preparer {
    ready: Receiver<io::Result<Arc<File>>>,
    /// `None` once the thread was told to end.
    retired: Option<SyncSender<Arc<File>>>,
    /// The agent has asked for a segment that was not ready.
    is_awaited: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the preparing thread is told.
pub(crate) struct PreparerOptions {
    pub(crate) dir: PathBuf,
    /// The segment to begin with.
    pub(crate) segment_id: u64,
    pub(crate) segment_len: u64,
    /// Whether the zeros must be on the disk before the segment is handed over.
    pub(crate) syncs: bool,
}

impl Preparer {
    /// Starts the thread, which begins with the first segment at once.
    pub(crate) fn spawn(options: PreparerOptions) -> io::Result<Self> {
        // One of each can be on its way: the next is asked for by retiring the last.
        let (ready_sender, ready) = sync_channel(1);
        let (retired, retired_receiver) = sync_channel(1);
        let is_awaited = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("journal-prepare".to_owned()).spawn({
            let is_awaited = Arc::clone(&is_awaited);
            move || prepare(options, &ready_sender, &retired_receiver, &is_awaited)
        })?;
        Ok(Self {
            ready,
            retired: Some(retired),
            is_awaited,
            thread: Some(thread),
        })
    }

    /// The next segment's file, if it is ready, or why there will be none. Never waits.
    pub(crate) fn try_next(&self) -> Option<io::Result<Arc<File>>> {
        match self.ready.try_recv() {
            Ok(file) => Some(file),
            Err(TryRecvError::Empty) => {
                self.is_awaited.store(true, Ordering::Relaxed);
                None
            }
            Err(TryRecvError::Disconnected) => Some(Err(io::Error::from(io::ErrorKind::BrokenPipe))),
        }
    }

    /// Hands back the file that the last [`Preparer::try_next`] replaces; asks for another one. Never waits.
    pub(crate) fn retire(&self, full: Arc<File>) {
        let sender = self.retired.as_ref().expect("nothing is retired after the end");
        // The thread has taken the one before, or it would not have sent a file; or it failed and is gone, in
        // which case the next `try_next` tells.
        let _ = sender.try_send(full);
    }

    /// Ends the thread after the work at hand.
    pub(crate) fn close(&mut self) {
        self.retired = None;
        join(&mut self.thread);
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.close();
    }
}

/// The preparing thread.
fn prepare(
    mut options: PreparerOptions,
    ready: &SyncSender<io::Result<Arc<File>>>,
    retired: &Receiver<Arc<File>>,
    is_awaited: &AtomicBool,
) {
    loop {
        is_awaited.store(false, Ordering::Relaxed);
        let mut pace = Pace::GENTLE;
        let rest = || {
            if !is_awaited.load(Ordering::Relaxed) {
                pace.step();
            }
        };
        let made = segments::create_zeroed(
            &options.dir,
            options.segment_id,
            options.segment_len,
            options.syncs,
            rest,
        );
        if let Err(error) = &made {
            tracing::error!(segment = options.segment_id, %error, "journal: could not prepare a segment");
        }
        let is_last = made.is_err();
        if ready.send(made.map(Arc::new)).is_err() || is_last {
            return;
        }
        options.segment_id += 1;
        if retired.recv().is_err() {
            return;
        }
    }
}

/// Syncs every interval.
pub(crate) struct Syncer {
    files: SyncSender<(u64, Arc<File>)>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread with the segment that is being written.
    pub(crate) fn spawn(
        interval: Duration,
        segment_id: u64,
        file: Arc<File>,
        progress: Arc<JournalPosition>,
    ) -> io::Result<Self> {
        let (files, receiver) = sync_channel(FILES_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let mut sync = Sync {
            open: vec![(segment_id, file)],
            receiver,
            progress,
        };
        sync.open.reserve(FILES_MAX);
        let thread = thread::Builder::new().name("journal-sync".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Acquire) && sync.run() {
                    thread::park_timeout(interval);
                }
            }
        })?;
        Ok(Self {
            files,
            stop,
            thread: Some(thread),
        })
    }

    /// Tells of a segment before anything of it counts as written. `false`: too many wait; try again later.
    pub(crate) fn try_add(&self, segment_id: u64, file: &Arc<File>) -> bool {
        self.files.try_send((segment_id, Arc::clone(file))).is_ok()
    }

    /// Ends the thread.
    pub(crate) fn close(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        join(&mut self.thread);
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the syncing thread holds.
struct Sync {
    /// Segments with bytes that may not be durable, oldest first; the last one is being written.
    open: Vec<(u64, Arc<File>)>,
    receiver: Receiver<(u64, Arc<File>)>,
    progress: Arc<JournalPosition>,
}

impl Sync {
    /// Makes durable what is written by now. `false`: it failed, and so the journal did.
    fn run(&mut self) -> bool {
        let position = self.progress.written_position();
        let index = self.progress.written_index();
        if position == self.progress.durable_position() {
            return true;
        }
        // Looked at after the position: a segment is told of before anything in it counts as written.
        self.open.extend(self.receiver.try_iter());
        for (segment_id, file) in &self.open {
            if let Err(error) = file.sync_data() {
                fail_sync(&self.progress, &error, *segment_id);
                return false;
            }
        }
        self.progress.set_durable(position, index);
        let finished = self.open.len() - 1;
        self.open.drain(..finished);
        true
    }
}

fn fail_sync(progress: &JournalPosition, error: &io::Error, segment_id: u64) {
    progress.fail(Failure::new(
        FailureKind::Sync,
        error,
        segment_id,
        progress.durable_position(),
    ));
}

/// Waits for a thread to end. A panic in it was already reported by the panic hook.
fn join(thread: &mut Option<JoinHandle<()>>) {
    if let Some(thread) = thread.take() {
        let _ = thread.join();
    }
}
