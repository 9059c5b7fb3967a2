//! The kinds of fault, by stage. A kind has one counter in the log and one row in the runbook.
//!
//! Invariant: kinds are numbered from 0 without gaps in the order below. A new kind goes to its stage's end;
//! readers know kinds by name, never by number.

/// Declares the kinds with their names, from one table.
macro_rules! fault_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)+) => {
        /// What kind of thing went wrong; each says what its fault's `detail` is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)+
        }

        impl FaultKind {
            /// Every kind, in order.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// Its name: the stage, a full stop, what happened.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

fault_kinds! {
    /// An output ring had no room when there was work. Detail: its capacity.
    RingFull = "runtime.ring-full",
    /// A duty cycle took longer than its limit. Detail: ns.
    CycleSlow = "runtime.cycle-slow",
    /// The system clock was so far ahead that the clock followed at once. Detail: ns.
    ClockStepped = "runtime.clock-stepped",

    /// The media driver gave no sign of life. Detail: ns since the last.
    DriverLost = "transport.driver-lost",
    /// A bus client failed and was replaced. Detail: how often so far.
    ClientFailed = "transport.client-failed",
    /// A publication or subscription was connected again. Detail: stream id.
    Reconnected = "transport.reconnected",
    /// A message was longer than the publication takes. Detail: its length in bytes.
    MessageTooLong = "transport.message-too-long",

    /// A frame was longer than the limit. Detail: its length in bytes.
    FrameTooLong = "ingest.frame-too-long",
    /// A frame did not pass the verifier. Detail: its length in bytes.
    FrameMalformed = "ingest.frame-malformed",
    /// A frame has another schema version. Detail: the version.
    FrameVersion = "ingest.frame-version",
    /// A frame is of an unknown type, or one that does not belong on its stream. Detail: the identifier.
    FrameKind = "ingest.frame-kind",
    /// A frame has a value that its field cannot have. Detail: the value.
    FrameValue = "ingest.frame-value",
    /// A publisher's sequence jumped. Detail: events missing.
    PublisherGap = "ingest.publisher-gap",
    /// A publisher sent an event again. Detail: its sequence.
    PublisherDuplicate = "ingest.publisher-duplicate",
    /// A publisher began a new session. Detail: the publisher.
    PublisherRestart = "ingest.publisher-restart",
    /// No room for another publisher. Detail: the limit.
    SessionsFull = "ingest.sessions-full",
    /// No room for another id, and none may be evicted. Detail: the limit.
    IdsFull = "ingest.ids-full",
    /// An id was evicted to make room. Detail: the dense id.
    IdEvicted = "ingest.id-evicted",
    /// The dead-letter file is at its limit or cannot be written. Detail: frames it holds.
    DeadLetterFull = "ingest.dead-letter-full",
    /// A publisher's first frame after a recovery shows that frames were lost while the engine was down. Detail:
    /// how many.
    LostUnacknowledged = "ingest.lost-unacknowledged",
    /// A recorded input is not accepted by this configuration. Detail: its input index.
    RecordedRefused = "ingest.recorded-refused",

    /// A segment could not be written. Detail: the system's error number.
    JournalWrite = "journal.write",
    /// A segment could not be synced. Detail: the system's error number.
    JournalSync = "journal.sync",
    /// The next segment was not ready in time. Detail: position.
    JournalSegmentLate = "journal.segment-late",

    /// No room for another instrument. Detail: the limit.
    InstrumentsFull = "book.instruments-full",
    /// No room for another level; the farthest was dropped. Detail: dense instrument.
    LevelsFull = "book.levels-full",
    /// An update speaks of a level or order that is not there. Detail: dense instrument.
    BookMismatch = "book.mismatch",
    /// Bid is at or above ask. Detail: dense instrument.
    BookCrossed = "book.crossed",

    /// An event is older than one before it. Detail: ns.
    EventOutOfOrder = "features.event-out-of-order",
    /// A label speaks of a transaction that is not known any more. Detail: sequence of the label.
    LabelUnmatched = "features.label-unmatched",
    /// No room for another entity. Detail: the limit.
    EntitiesFull = "features.entities-full",
    /// No room for another delayed label. Detail: the limit.
    LabelsFull = "features.labels-full",

    /// The model did not run. Detail: sequence of the first event of the batch.
    ModelFailed = "score.model-failed",
    /// The model gave a number that is not finite. Detail: sequence.
    ScoreNotFinite = "score.not-finite",
    /// No room for another embedding in the bank. Detail: the limit.
    BankFull = "score.bank-full",

    /// A strategy panicked. Detail: sequence.
    StrategyPanicked = "strategy.panicked",
    /// A strategy is in quarantine. Detail: sequence of its last event.
    StrategyQuarantined = "strategy.quarantined",
    /// A strategy's answer was not allowed. Detail: sequence.
    StrategyAnswer = "strategy.answer",

    /// A decision could not be sent for lack of room downstream. Detail: sequence.
    PublishBackPressured = "publish.back-pressured",
    /// Nobody listens to decisions. Detail: sequence of the first one held back.
    PublishNotConnected = "publish.not-connected",
    /// A decision waited too long for the journal. Detail: input index.
    GateStalled = "publish.gate-stalled",
}
