//! Where the writer of checkpoints is: here, or on a thread of its own that gives way to all others.
//!
//! ```text
//!   begin(open | commit) ─▶ [checkpoint]: idle class ─▶ collect: the writer is here again, and what came of it
//! ```
//!
//! Nobody waits for that thread without a limit: on a core that others keep busy it may stand still for minutes. Then
//! checkpoints are late, and nothing else is.
//!
//! Invariant: there is one writer in a directory at any time; another one begins when the former has come back.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pinion_checkpoint::{CheckpointError, Prepared, Shapes, Writer, Written};
use pinion_publish::DecisionMark;
use pinion_runtime::runner::give_way;

/// How long it sleeps while it waits.
const PAUSE: Duration = Duration::from_millis(1);

/// What the writer is sent away for.
pub(crate) enum Errand {
    /// To open its store.
    Open(Shapes),
    /// To make a checkpoint durable.
    Commit(Box<Prepared>, DecisionMark),
}

/// What came of an errand.
pub(crate) enum Done {
    /// The store is open.
    Opened,
    /// The checkpoint at this mark is durable.
    Written(Box<Written>, DecisionMark),
    /// The store, and so the last checkpoint, is as it was or gone.
    Failed(String),
}

/// The writer, wherever it is.
pub(crate) struct Writing {
    place: Option<Place>,
    /// Takes the place of the one that is away.
    successor: Option<Writer>,
}

enum Place {
    Here(Box<Writer>),
    Away(JoinHandle<(Box<Writer>, Done)>),
}

impl Writing {
    pub(crate) fn new(writer: Writer) -> Self {
        Self {
            place: Some(Place::Here(Box::new(writer))),
            successor: None,
        }
    }

    /// The writer, if it is here.
    pub(crate) fn here(&mut self) -> Option<&mut Writer> {
        match &mut self.place {
            Some(Place::Here(writer)) => Some(writer),
            _ => None,
        }
    }

    /// Goes on with another writer, once the one that is away has come back.
    pub(crate) fn succeed(&mut self, writer: Writer) {
        match self.place {
            Some(Place::Away(_)) => self.successor = Some(writer),
            _ => *self = Self::new(writer),
        }
    }

    /// Sends the writer away; `gives_way`: to a thread of the idle class. Nothing happens if it is not here.
    ///
    /// # Errors
    /// The system has no thread to give; the writer is lost with it, and there are no more checkpoints.
    pub(crate) fn begin(&mut self, errand: Errand, gives_way: bool) -> io::Result<()> {
        let Some(Place::Here(mut writer)) = self.place.take_if(|place| matches!(place, Place::Here(_)))
        else {
            return Ok(());
        };
        let work = move || {
            if gives_way && let Err(error) = give_way() {
                tracing::warn!("checkpoint: the thread could not be put into the idle class: {error}");
            }
            let done = run(&mut writer, errand);
            (writer, done)
        };
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(work)?;
        self.place = Some(Place::Away(thread));
        Ok(())
    }

    /// Takes the writer back if it is through, and says what came of its errand.
    pub(crate) fn collect(&mut self) -> Option<Done> {
        let is_back = |place: &mut Place| matches!(place, Place::Away(thread) if thread.is_finished());
        let Some(Place::Away(thread)) = self.place.take_if(is_back) else {
            return None;
        };
        let Ok((writer, done)) = thread.join() else {
            self.place = self.successor.take().map(|writer| Place::Here(Box::new(writer)));
            return Some(Done::Failed("the thread that writes it panicked".to_owned()));
        };
        let writer = self.successor.take().map_or(writer, Box::new);
        self.place = Some(Place::Here(writer));
        Some(done)
    }

    /// Waits for the writer. `None`: it was here, or did not come back in time.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<Done> {
        let started = Instant::now();
        while matches!(self.place, Some(Place::Away(_))) && started.elapsed() < limit {
            if let Some(done) = self.collect() {
                return Some(done);
            }
            thread::sleep(PAUSE);
        }
        None
    }
}

fn run(writer: &mut Writer, errand: Errand) -> Done {
    let failed = |error: CheckpointError| Done::Failed(error.to_string());
    match errand {
        Errand::Open(shapes) => writer.open(&shapes).map_or_else(failed, |()| Done::Opened),
        Errand::Commit(prepared, mark) => {
            let written = writer.commit(*prepared);
            written.map_or_else(failed, |written| Done::Written(Box::new(written), mark))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::sync::{Arc, Mutex, MutexGuard};

    use pinion_checkpoint::disk::{Disk, RealDisk};
    use pinion_checkpoint::{CheckpointConfig, Identity, Mark};
    use pinion_runtime::state::{Region, RegionMut, State};

    use super::*;

    /// One page.
    struct Page([u8; 4096]);

    impl State for Page {
        fn regions(&self) -> Vec<Region<'_>> {
            vec![Region {
                name: "page",
                index: 0,
                bytes: &self.0,
            }]
        }

        fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
            vec![RegionMut {
                name: "page",
                index: 0,
                bytes: &mut self.0,
            }]
        }
    }

    /// Makes nothing durable while the test holds the lock.
    struct Held(Arc<Mutex<()>>);

    impl Disk for Held {
        fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
            drop(self.0.lock());
            RealDisk.sync_file(file, path)
        }

        fn sync_directory(&self, path: &Path) -> io::Result<()> {
            RealDisk.sync_directory(path)
        }
    }

    const PATIENCE: Duration = Duration::from_secs(120);

    fn writer(dir: &Path, lock: &Arc<Mutex<()>>) -> Writer {
        let config = CheckpointConfig {
            dir: dir.to_path_buf(),
            snapshot_every: 0,
            ..CheckpointConfig::default()
        };
        let identity = Identity {
            journal: 1,
            set_hash: 2,
            layout_hash: 3,
            schema: 1,
            build: "test".to_owned(),
        };
        Writer::with_disk(&config, &identity, Arc::new(Held(lock.clone())))
    }

    /// A writer that was sent away with a page, and does not come back before the lock is given up.
    fn away<'l>(dir: &Path, lock: &'l Arc<Mutex<()>>) -> (Writing, MutexGuard<'l, ()>) {
        let mut writing = Writing::new(writer(dir, lock));
        let page = Page([7; 4096]);
        writing.begin(Errand::Open(Shapes::of(&page)), true).unwrap();
        assert!(matches!(writing.wait(PATIENCE), Some(Done::Opened)));
        let prepared = writing.here().unwrap().prepare(&page, Mark::default()).unwrap();
        let held = lock.lock().unwrap();
        let errand = Errand::Commit(Box::new(prepared), DecisionMark::default());
        writing.begin(errand, true).unwrap();
        (writing, held)
    }

    #[test]
    fn nobody_waits_for_a_writer_that_stands_still() {
        let (dir, lock) = (tempfile::tempdir().unwrap(), Arc::default());
        let (mut writing, held) = away(dir.path(), &lock);
        assert!(writing.wait(Duration::from_millis(30)).is_none());
        assert!(writing.here().is_none() && writing.collect().is_none());
        drop(held);
        let Some(Done::Written(written, _)) = writing.wait(PATIENCE) else {
            panic!("expected it to be written");
        };
        assert_eq!((written.pages, written.manifest.generation), (1, 1));
        assert!(writing.here().is_some());
    }

    #[test]
    fn successor_begins_when_the_former_has_come_back() {
        let (dir, lock) = (tempfile::tempdir().unwrap(), Arc::default());
        let (mut writing, held) = away(dir.path(), &lock);
        writing.succeed(writer(dir.path(), &lock));
        assert!(writing.here().is_none());
        drop(held);
        assert!(matches!(writing.wait(PATIENCE), Some(Done::Written(..))));
        let page = Page([8; 4096]);
        let successor = writing.here().unwrap();
        assert!(
            successor.prepare(&page, Mark::default()).is_none(),
            "it is not open yet"
        );
        assert_eq!(
            successor
                .write(&page, Mark::default())
                .unwrap()
                .manifest
                .generation,
            2
        );
    }
}
