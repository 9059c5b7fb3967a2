//! Brings the newest whole checkpoint back.
//!
//! ```text
//!   store, by way of the child ─ refused? ─▶ newer snapshot ─ refused? ─▶ older snapshot ─ refused? ─▶ nothing
//!        refused for good: moved aside            …
//! ```
//!
//! Invariant: whatever is found, this returns; and the state is either the checkpoint's or as it was.

use std::fs;
use std::path::{Path, PathBuf};

use pinion_runtime::state::State;

use crate::config::CheckpointConfig;
use crate::disk::{Disk as _, RealDisk};
use crate::error::Reason;
use crate::fill::Fill;
use crate::manifest::{Identity, Manifest};
use crate::probe::{Channel, Message, Probe};
use crate::quarantine;
use crate::snapshot::{self, Snapshot};

/// How far the recovered journal goes: a checkpoint beyond it is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Where the journal ends. Unit: bytes.
    pub durable_position: u64,
    /// Sequence of the last event with a recorded decision.
    pub decided_sequence: u64,
}

/// Where a checkpoint came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The store.
    Store,
    /// A plain snapshot, because the store was refused.
    Snapshot,
}

/// A checkpoint that the state was filled from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What it is of.
    pub manifest: Manifest,
    /// Where it came from.
    pub source: Source,
}

/// A checkpoint that was there and not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The store's directory, or a snapshot.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
    /// Where it lies now, if it was moved aside.
    pub moved_to: Option<PathBuf>,
}

/// What came of [`restore`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The checkpoint in the state now; `None`: the state is as it was.
    pub restored: Option<Restored>,
    /// What was there and not used, in the order in which it was tried; empty in the ordinary case.
    pub refused: Vec<Refusal>,
}

/// Fills `state` from the newest checkpoint under `config.dir` that is whole, of this `identity` and within
/// `limits`. This program must call [`probe_main`](crate::probe_main) first thing.
///
/// Cost: reads the store once, in another process, and hashes the whole state; at most `open_ms_max` without any
///       progress.
pub fn restore(
    config: &CheckpointConfig,
    identity: &Identity,
    limits: Limits,
    state: &mut dyn State,
) -> Outcome {
    restore_by(&Probe::default(), config, identity, limits, state)
}

/// [`restore`] with another program to open the store.
pub fn restore_by(
    probe: &Probe,
    config: &CheckpointConfig,
    identity: &Identity,
    limits: Limits,
    state: &mut dyn State,
) -> Outcome {
    let mut search = Search {
        wanted: Wanted { identity, limits },
        state,
        refused: Vec::new(),
    };
    let restored = config.enabled.then(|| search.run(probe, config)).flatten();
    Outcome {
        restored,
        refused: search.refused,
    }
}

/// What a checkpoint must agree with.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    identity: &'a Identity,
    limits: Limits,
}

impl Wanted<'_> {
    fn check(&self, manifest: &Manifest) -> Result<(), Reason> {
        manifest.check(self.identity)?;
        let Limits {
            durable_position,
            decided_sequence,
        } = self.limits;
        let (position, sequence) = (manifest.mark.position, manifest.mark.answered_sequence);
        if position > durable_position {
            return Err(Reason::AheadOfJournal {
                position,
                durable_position,
            });
        }
        if sequence > decided_sequence {
            return Err(Reason::AheadOfDecisions {
                sequence,
                decided_sequence,
            });
        }
        Ok(())
    }
}

/// One attempt after the other.
struct Search<'a> {
    wanted: Wanted<'a>,
    state: &'a mut dyn State,
    refused: Vec<Refusal>,
}

impl Search<'_> {
    fn run(&mut self, probe: &Probe, config: &CheckpointConfig) -> Option<Restored> {
        let path = config.store_dir();
        if holds_anything(&path) {
            let found = from_store(probe, config, self.wanted, self.state);
            if let Some(manifest) = self.judge(&path, found) {
                return Some(Restored {
                    manifest,
                    source: Source::Store,
                });
            }
        }
        let mut candidates = snapshot::paths(&config.dir);
        candidates.sort_by_key(|path| std::cmp::Reverse(generation(path)));
        candidates.iter().find_map(|path| {
            let found = from_snapshot(path, self.wanted, self.state);
            self.judge(path, found).map(|manifest| Restored {
                manifest,
                source: Source::Snapshot,
            })
        })
    }

    /// The manifest of what was filled in; or notes why nothing was, and moves it aside if that is for good.
    fn judge(&mut self, path: &Path, found: Result<Option<Manifest>, Reason>) -> Option<Manifest> {
        let reason = match found {
            Ok(manifest) => return manifest,
            Err(reason) => reason,
        };
        let moved_to = if reason.is_lasting() {
            set_aside(path)
        } else {
            None
        };
        self.refused.push(Refusal {
            path: path.to_owned(),
            reason,
            moved_to,
        });
        None
    }
}

/// Keeps it for people to look at, unless that keeps the disk full.
fn set_aside(path: &Path) -> Option<PathBuf> {
    if path.parent().is_some_and(|dir| !RealDisk.has_room(dir)) {
        match quarantine::remove(path) {
            Ok(()) => tracing::warn!(path = %path.display(), "checkpoint: the disk is full; it was removed"),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "checkpoint: could not be removed");
            }
        }
        return None;
    }
    let moved = quarantine::set_aside(path);
    moved
        .inspect_err(
            |error| tracing::error!(path = %path.display(), %error, "checkpoint: could not be moved aside"),
        )
        .ok()
}

/// Whether there is a store to be opened: a directory with something in it, or something that is no directory.
fn holds_anything(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    }
}

fn generation(path: &Path) -> u64 {
    let snapshot = Snapshot::open(path).ok().flatten();
    snapshot.map_or(0, |snapshot| snapshot.manifest.generation)
}

/// `None`: the store is empty.
fn from_store(
    probe: &Probe,
    config: &CheckpointConfig,
    wanted: Wanted<'_>,
    state: &mut dyn State,
) -> Result<Option<Manifest>, Reason> {
    let mut channel = Channel::open(probe, config)?;
    let manifest = match channel.next()? {
        Message::Manifest(bytes) => Manifest::decode(bytes)?,
        Message::End => return Ok(None),
        Message::Page(..) => return Err(Reason::Damaged("pages without a manifest".to_owned())),
    };
    wanted.check(&manifest)?;
    let mut fill = Fill::begin(&manifest, state)?;
    loop {
        match channel.next()? {
            Message::Page(id, bytes) => fill.page(id, bytes)?,
            Message::End => break,
            Message::Manifest(_) => return Err(Reason::Damaged("two manifests".to_owned())),
        }
    }
    fill.finish()?;
    channel.close();
    Ok(Some(manifest))
}

/// `None`: there is no such snapshot.
fn from_snapshot(path: &Path, wanted: Wanted<'_>, state: &mut dyn State) -> Result<Option<Manifest>, Reason> {
    let Some(snapshot) = Snapshot::open(path)? else {
        return Ok(None);
    };
    let (manifest, pages) = snapshot.into_parts();
    wanted.check(&manifest)?;
    let mut fill = Fill::begin(&manifest, state)?;
    pages.read_into(&mut fill)?;
    fill.finish()?;
    Ok(Some(manifest))
}
