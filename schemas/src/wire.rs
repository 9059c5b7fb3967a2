//! Reads frames: decides whether bytes from outside are a frame, of which kind, and gives access to its fields.
//!
//! ```text
//!   bytes ──▶ length cap ──▶ identifier ──▶ bounds of the hot struct ──▶ schema version ──▶ [Frame]
//!                                  │              └ cold field present: flatc's whole verifier
//!                                  └─ each step may end in [Unreadable]: reason, found, expected
//! ```
//!
//! Start at [`read`]; [`peek_header`] helps to say whose frame it was that could not be read. The enums, structs
//! and tables of `schemas/fbs` stand here too. Whether the *values* make sense (a publisher's id of 0, a name
//! that is not ASCII, an enum's unknown value) is ingest's to check: it looks at every field once anyway.
//!
//! Invariant: every field of a [`Frame`] may be read, whatever the bytes were.

mod verify;

use std::mem::size_of;

use thiserror::Error;

pub use crate::generated::*;
use crate::ids::{self, SCHEMA_VERSION};

/// No configuration lets a frame be longer than this. Unit: bytes.
pub const FRAME_LEN_LIMIT: u32 = 65_536;

/// The length of root offset and identifier, which every frame begins with. Unit: bytes.
const PREFIX_LEN: usize = 8;

/// What a frame is, as its file identifier says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// Best bid and ask: `PNQT`.
    Quote,
    /// A trade between others: `PNTR`.
    Trade,
    /// Book update by order: `PNBO`.
    BookOrder,
    /// Book update by price level: `PNBL`.
    BookLevel,
    /// State of an own order: `PNOO`.
    OwnOrder,
    /// Fill of an own order: `PNOF`.
    OwnFill,
    /// A payment to decide on: `PNTX`.
    Transaction,
    /// What became known of a transaction: `PNLB`.
    Label,
    /// A change of an account: `PNAC`.
    AccountUpdate,
    /// What the engine decided: `PNDC`.
    Decision,
    /// A frame that the engine did not accept: `PNRJ`.
    Reject,
}

impl FileKind {
    /// Every kind, in the order of the declaration.
    pub const ALL: [Self; 11] = [
        Self::Quote,
        Self::Trade,
        Self::BookOrder,
        Self::BookLevel,
        Self::OwnOrder,
        Self::OwnFill,
        Self::Transaction,
        Self::Label,
        Self::AccountUpdate,
        Self::Decision,
        Self::Reject,
    ];

    /// The identifier at bytes 4..8 of the frame.
    ///
    /// ```
    /// use pinion_schemas::wire::FileKind;
    /// assert_eq!(FileKind::Transaction.identifier(), "PNTX");
    /// ```
    #[must_use]
    pub const fn identifier(self) -> &'static str {
        match self {
            Self::Quote => "PNQT",
            Self::Trade => "PNTR",
            Self::BookOrder => "PNBO",
            Self::BookLevel => "PNBL",
            Self::OwnOrder => "PNOO",
            Self::OwnFill => "PNOF",
            Self::Transaction => "PNTX",
            Self::Label => "PNLB",
            Self::AccountUpdate => "PNAC",
            Self::Decision => "PNDC",
            Self::Reject => "PNRJ",
        }
    }

    /// The kind with this identifier, read as a little-endian number.
    #[inline]
    #[must_use]
    pub const fn from_identifier(identifier: u32) -> Option<Self> {
        Some(match &identifier.to_le_bytes() {
            b"PNQT" => Self::Quote,
            b"PNTR" => Self::Trade,
            b"PNBO" => Self::BookOrder,
            b"PNBL" => Self::BookLevel,
            b"PNOO" => Self::OwnOrder,
            b"PNOF" => Self::OwnFill,
            b"PNTX" => Self::Transaction,
            b"PNLB" => Self::Label,
            b"PNAC" => Self::AccountUpdate,
            b"PNDC" => Self::Decision,
            b"PNRJ" => Self::Reject,
            _ => return None,
        })
    }

    /// The lane that takes frames of this kind; `Lane::None` for what the engine sends.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::Quote
            | Self::Trade
            | Self::BookOrder
            | Self::BookLevel
            | Self::OwnOrder
            | Self::OwnFill => Lane::Market,
            Self::Transaction | Self::Label | Self::AccountUpdate => Lane::Payment,
            Self::Decision | Self::Reject => Lane::None,
        }
    }

    /// The length of the kind's hot struct. Unit: bytes.
    #[must_use]
    pub const fn hot_len(self) -> usize {
        match self {
            Self::Quote => size_of::<QuoteHot>(),
            Self::Trade => size_of::<TradeHot>(),
            Self::BookOrder => size_of::<BookOrderHot>(),
            Self::BookLevel => size_of::<BookLevelHot>(),
            Self::OwnOrder => size_of::<OwnOrderHot>(),
            Self::OwnFill => size_of::<OwnFillHot>(),
            Self::Transaction => size_of::<TransactionHot>(),
            Self::Label => size_of::<LabelHot>(),
            Self::AccountUpdate => size_of::<AccountUpdateHot>(),
            Self::Decision => size_of::<DecisionHot>(),
            Self::Reject => size_of::<RejectHot>(),
        }
    }
}

/// What a frame may cost before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame. Unit: bytes; above [`FRAME_LEN_LIMIT`] it counts as that.
    pub frame_len_max: u32,
    /// Tables within tables.
    pub depth_max: u32,
    /// Tables in all.
    pub tables_max: u32,
    /// Bytes looked at, those that are shared counted each time. Unit: bytes.
    pub apparent_size_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_len_max: 4096,
            depth_max: 8,
            tables_max: 64,
            apparent_size_max: 65_536,
        }
    }
}

/// Why bytes are not a frame. 24 bytes, no heap: safe to raise on the hot path.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{reason:?}: found {found:#x}, expected {expected:#x}")]
pub struct Unreadable {
    /// `Oversized`, `Malformed`, `UnknownVersion` or `UnknownType`.
    pub reason: RejectReason,
    /// Oversized, malformed: the length in bytes. Unknown version: the version. Unknown type: the identifier,
    /// little endian.
    pub found: u64,
    /// Oversized: the longest length. Malformed: what a frame of its kind has at least. Unknown version: the
    /// version understood. Unknown type: 0.
    pub expected: u64,
}

impl Unreadable {
    #[cold]
    fn oversized(len: usize, len_max: usize) -> Self {
        Self {
            reason: RejectReason::Oversized,
            found: len as u64,
            expected: len_max as u64,
        }
    }

    #[cold]
    fn malformed(len: usize, len_min: usize) -> Self {
        Self {
            reason: RejectReason::Malformed,
            found: len as u64,
            expected: len_min as u64,
        }
    }

    #[cold]
    fn unknown_type(identifier: u32) -> Self {
        Self {
            reason: RejectReason::UnknownType,
            found: identifier.into(),
            expected: 0,
        }
    }

    #[cold]
    fn unknown_version(version: u16) -> Self {
        Self {
            reason: RejectReason::UnknownVersion,
            found: version.into(),
            expected: SCHEMA_VERSION.into(),
        }
    }
}

/// A verified frame.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// Best bid and ask.
    Quote(Quote<'a>),
    /// A trade between others.
    Trade(Trade<'a>),
    /// Book update by order.
    BookOrder(BookOrder<'a>),
    /// Book update by price level.
    BookLevel(BookLevel<'a>),
    /// State of an own order.
    OwnOrder(OwnOrder<'a>),
    /// Fill of an own order.
    OwnFill(OwnFill<'a>),
    /// A payment to decide on.
    Transaction(Transaction<'a>),
    /// What became known of a transaction.
    Label(Label<'a>),
    /// A change of an account.
    AccountUpdate(AccountUpdate<'a>),
    /// What the engine decided.
    Decision(Decision<'a>),
    /// A frame that the engine did not accept.
    Reject(Reject<'a>),
}

impl<'a> Frame<'a> {
    /// Who sent the frame, where it stands in the sender's order, and when its event happened.
    #[inline]
    #[must_use]
    pub fn header(&self) -> &'a FrameHeader {
        match self {
            Self::Quote(quote) => quote.hot().header(),
            Self::Trade(trade) => trade.hot().header(),
            Self::BookOrder(update) => update.hot().header(),
            Self::BookLevel(update) => update.hot().header(),
            Self::OwnOrder(order) => order.hot().header(),
            Self::OwnFill(fill) => fill.hot().header(),
            Self::Transaction(transaction) => transaction.hot().header(),
            Self::Label(label) => label.hot().header(),
            Self::AccountUpdate(update) => update.hot().header(),
            Self::Decision(decision) => decision.hot().header(),
            Self::Reject(reject) => reject.hot().header(),
        }
    }

    /// What the frame is.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> FileKind {
        match self {
            Self::Quote(_) => FileKind::Quote,
            Self::Trade(_) => FileKind::Trade,
            Self::BookOrder(_) => FileKind::BookOrder,
            Self::BookLevel(_) => FileKind::BookLevel,
            Self::OwnOrder(_) => FileKind::OwnOrder,
            Self::OwnFill(_) => FileKind::OwnFill,
            Self::Transaction(_) => FileKind::Transaction,
            Self::Label(_) => FileKind::Label,
            Self::AccountUpdate(_) => FileKind::AccountUpdate,
            Self::Decision(_) => FileKind::Decision,
            Self::Reject(_) => FileKind::Reject,
        }
    }

    #[inline]
    fn verified(kind: FileKind, bytes: &'a [u8], limits: &Limits) -> Option<Self> {
        Some(match kind {
            FileKind::Quote => Self::Quote(verify::root::<Quote<'_>>(bytes, limits)?),
            FileKind::Trade => Self::Trade(verify::root::<Trade<'_>>(bytes, limits)?),
            FileKind::BookOrder => Self::BookOrder(verify::root::<BookOrder<'_>>(bytes, limits)?),
            FileKind::BookLevel => Self::BookLevel(verify::root::<BookLevel<'_>>(bytes, limits)?),
            FileKind::OwnOrder => Self::OwnOrder(verify::root::<OwnOrder<'_>>(bytes, limits)?),
            FileKind::OwnFill => Self::OwnFill(verify::root::<OwnFill<'_>>(bytes, limits)?),
            FileKind::Transaction => Self::Transaction(verify::root::<Transaction<'_>>(bytes, limits)?),
            FileKind::Label => Self::Label(verify::root::<Label<'_>>(bytes, limits)?),
            FileKind::AccountUpdate => Self::AccountUpdate(verify::root::<AccountUpdate<'_>>(bytes, limits)?),
            FileKind::Decision => Self::Decision(verify::root::<Decision<'_>>(bytes, limits)?),
            FileKind::Reject => Self::Reject(verify::root::<Reject<'_>>(bytes, limits)?),
        })
    }
}

/// Decides whether `bytes` are a frame, and gives access to it.
///
/// Errors: see [`Unreadable`]; the first that applies of `Oversized`, `Malformed` (shorter than any frame),
/// `UnknownType`, `Malformed`, `UnknownVersion`.
/// Cost:   about 6 ns for a frame of the hot struct alone; with cold fields that of `flatc`'s verifier, about
///         150 ns for a transaction with text, and an allocation when it refuses such a frame.
///
/// ```
/// use pinion_schemas::wire::{self, Limits, RejectReason};
/// let unreadable = wire::read(b"\x08\0\0\0PNXX\0\0\0\0", &Limits::default()).unwrap_err();
/// assert_eq!(unreadable.reason, RejectReason::UnknownType);
/// assert_eq!(unreadable.found.to_le_bytes(), *b"PNXX\0\0\0\0");
/// ```
#[inline]
pub fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Frame<'a>, Unreadable> {
    let len_max = limits.frame_len_max.min(FRAME_LEN_LIMIT) as usize;
    if bytes.len() > len_max {
        return Err(Unreadable::oversized(bytes.len(), len_max));
    }
    let identifier = identifier_of(bytes).ok_or_else(|| Unreadable::malformed(bytes.len(), PREFIX_LEN))?;
    let kind = FileKind::from_identifier(identifier).ok_or_else(|| Unreadable::unknown_type(identifier))?;
    let frame = Frame::verified(kind, bytes, limits)
        .ok_or_else(|| Unreadable::malformed(bytes.len(), verify::frame_len_min(kind.hot_len())))?;
    let version = frame.header().schema_version();
    if version != SCHEMA_VERSION {
        return Err(Unreadable::unknown_version(version));
    }
    Ok(frame)
}

/// Publisher, session and sequence of a frame that [`read`] refused, as far as they can be read.
///
/// The answer is a guess: it supposes that a frame whose identifier begins with `PN` has its header where every
/// version has it, at the start of the first struct of the root table. `None` if there is no such place.
/// Cost: a handful of bounds checks; nothing depends on the length.
#[must_use]
pub fn peek_header(bytes: &[u8]) -> Option<(u32, u64, u64)> {
    if !bytes.get(4..)?.starts_with(b"PN") {
        return None;
    }
    let header = FrameHeader(*verify::hot_start(bytes)?.first_chunk()?);
    Some((
        header.publisher_id(),
        header.publisher_session(),
        header.publisher_sequence(),
    ))
}

/// The identifier of a frame as a little-endian number, `None` if it is too short to have one.
#[inline]
fn identifier_of(bytes: &[u8]) -> Option<u32> {
    bytes.get(4..)?.first_chunk().copied().map(u32::from_le_bytes)
}

impl From<ids::Id> for Id {
    fn from(id: ids::Id) -> Self {
        Self(id.0)
    }
}

impl From<&Id> for ids::Id {
    /// The same bytes; whether they are a name is told by [`ids::Id::is_valid`].
    fn from(id: &Id) -> Self {
        Self(id.0)
    }
}
