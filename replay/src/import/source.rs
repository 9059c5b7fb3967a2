//! Where events come from, whichever the file or generator: one trait for all.
//!
//! ```text
//!   file ──▶ RecordDecoder ──events of one record──▶ [Reading] ──one at a time──▶ publisher
//!                                 └──bad record──▶ counted, or the end
//! ```
//!
//! Invariant: a record gives all of its events or none.

use std::collections::VecDeque;

use pinion_schemas::encode::Event;

use super::error::ImportError;

/// Flag of a frame: more frames of the same venue message follow.
pub const FLAG_MORE: u16 = 1;

/// Flag of a frame: part of a snapshot.
pub const FLAG_SNAPSHOT: u16 = 2;

/// An event with the flags that its frame must carry.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceEvent {
    /// What happened.
    pub event: Event,
    /// [`FLAG_MORE`], [`FLAG_SNAPSHOT`].
    pub flags: u16,
}

impl From<Event> for SourceEvent {
    fn from(event: Event) -> Self {
        Self { event, flags: 0 }
    }
}

/// What a source has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records read, the skipped ones too: lines, rows or messages, by format.
    pub records: u64,
    /// Events handed out.
    pub events: u64,
    /// Records skipped because they were bad.
    pub skipped: u64,
}

/// A stream of events in the order in which they are to be published.
pub trait EventSource {
    /// The next event, `None` at the end.
    ///
    /// Errors: what is wrong with the file and where. After a bad record ([`ImportError::is_skippable`]) the
    /// next call goes on behind it; after any other error the source stays unusable.
    fn next(&mut self) -> Result<Option<SourceEvent>, ImportError>;

    /// About how many events there will be in all, if the source can tell without reading on. Labels come on
    /// top.
    fn len_hint(&self) -> Option<u64>;

    /// The source in words for people: the format and where it comes from.
    fn describe(&self) -> String;

    /// What was done so far.
    fn tally(&self) -> Tally;

    /// The first bad record that was skipped.
    fn first_skipped(&self) -> Option<&ImportError> {
        None
    }
}

impl<S: EventSource + ?Sized> EventSource for Box<S> {
    fn next(&mut self) -> Result<Option<SourceEvent>, ImportError> {
        (**self).next()
    }

    fn len_hint(&self) -> Option<u64> {
        (**self).len_hint()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }

    fn tally(&self) -> Tally {
        (**self).tally()
    }

    fn first_skipped(&self) -> Option<&ImportError> {
        (**self).first_skipped()
    }
}

/// Whether there is more to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record was read.
    Record,
    /// There is nothing left.
    End,
}

/// One file format: turns the next record into its events.
pub(crate) trait RecordDecoder {
    /// Reads one record and appends its events. After [`Step::End`] it is not called again. What it appended
    /// before an error is thrown away.
    fn decode(&mut self, out: &mut VecDeque<SourceEvent>) -> Result<Step, ImportError>;

    /// About how many events there will be in all.
    fn len_hint(&self) -> Option<u64> {
        None
    }

    /// The format and the file.
    fn describe(&self) -> String;
}

/// What to do with a bad record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Hand the error out.
    #[default]
    Stop,
    /// Count it and go on behind it.
    Skip,
}

/// A decoder with its queue of events: the [`EventSource`] of every file format.
pub(crate) struct Reading<D> {
    decoder: D,
    on_error: OnError,
    queue: VecDeque<SourceEvent>,
    tally: Tally,
    first_skipped: Option<ImportError>,
    ended: bool,
}

impl<D: RecordDecoder> Reading<D> {
    pub(crate) fn new(decoder: D, on_error: OnError) -> Self {
        Self {
            decoder,
            on_error,
            queue: VecDeque::new(),
            tally: Tally::default(),
            first_skipped: None,
            ended: false,
        }
    }

    fn fill(&mut self) -> Result<(), ImportError> {
        match self.decoder.decode(&mut self.queue) {
            Ok(Step::Record) => self.tally.records += 1,
            Ok(Step::End) => self.ended = true,
            Err(error) => {
                self.queue.clear();
                self.refuse(error)?;
            }
        }
        Ok(())
    }

    fn refuse(&mut self, error: ImportError) -> Result<(), ImportError> {
        if !error.is_skippable() {
            self.ended = true;
            return Err(error);
        }
        self.tally.records += 1;
        if self.on_error == OnError::Stop {
            return Err(error);
        }
        self.tally.skipped += 1;
        self.first_skipped.get_or_insert(error);
        Ok(())
    }
}

impl<D: RecordDecoder> EventSource for Reading<D> {
    fn next(&mut self) -> Result<Option<SourceEvent>, ImportError> {
        while self.queue.is_empty() && !self.ended {
            self.fill()?;
        }
        let event = self.queue.pop_front();
        self.tally.events += u64::from(event.is_some());
        Ok(event)
    }

    fn len_hint(&self) -> Option<u64> {
        self.decoder.len_hint()
    }

    fn describe(&self) -> String {
        self.decoder.describe()
    }

    fn tally(&self) -> Tally {
        self.tally
    }

    fn first_skipped(&self) -> Option<&ImportError> {
        self.first_skipped.as_ref()
    }
}

/// Marks all events from `first` on as one venue message: every one but the last says that more follow.
pub(crate) fn mark_message(out: &mut VecDeque<SourceEvent>, first: usize) {
    let last = out.len().saturating_sub(1);
    for event in out.range_mut(first..last.max(first)) {
        event.flags |= FLAG_MORE;
    }
}
