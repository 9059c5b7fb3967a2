//! Checks that everything of a frame that can be read lies within its bytes.
//!
//! ```text
//!   0        4        8
//!   │ root   │ PNxx   │ … vtable: its length, table length, place of `hot`, of the names, of the cold field
//!       └──────────────▶ table: distance to the vtable, … hot struct …
//! ```
//!
//! A frame is in most cases its hot struct alone, so [`root`] looks at just five numbers: where the root is, where
//! its vtable is and how long, where `hot` is, and whether a cold field is present. Only then it walks the whole
//! frame with `flatc`'s verifier.
//!
//! Invariant: [`root`] accepts the frames that `flatc`'s verifier accepts, and no other; a property test
//! compares the two.

#![allow(unsafe_code)] // `flatc`'s own verifier is several times as dear as this check of the same bounds.

use std::mem::size_of;

use flatbuffers::{Follow, Verifiable, VerifierOptions};

use super::{
    AccountUpdate, AccountUpdateHot, BookLevel, BookLevelHot, BookOrder, BookOrderHot, Decision, DecisionHot,
    Deviations, Id, Label, LabelHot, Limits, OwnFill, OwnFillHot, OwnOrder, OwnOrderHot, Quote, QuoteHot,
    Reject, RejectHot, Trade, TradeHot, Transaction, TransactionHot,
};

/// The place of `hot` in every vtable: the first field.
const HOT_SLOT: usize = 4;

/// What each field takes in a vtable. Unit: bytes.
const SLOT_LEN: usize = size_of::<u16>();

/// What a table has, as its schema says: `hot`, then structs of one length, mostly names, then at most one cold field,
/// then names that were added later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The length of the hot struct. Unit: bytes.
    hot_len: usize,
    /// The length of each of the structs behind it. Unit: bytes.
    inline_len: usize,
    /// How many of these, optional, stand in the table itself.
    inline_count: usize,
    /// Whether a field follows that lies elsewhere in the frame.
    has_cold: bool,
    /// Optional names behind that field.
    late_name_count: usize,
}

impl Shape {
    /// With names behind the hot struct.
    const fn new(hot_len: usize, name_count: usize, has_cold: bool, late_name_count: usize) -> Self {
        Self {
            hot_len,
            inline_len: size_of::<Id>(),
            inline_count: name_count,
            has_cold,
            late_name_count,
        }
    }
}

/// A table of which [`Shape`] tells all fields.
///
/// The implementations are the facts that the unsafe access below stands on; they are held against `flatc`'s
/// verifier by a property test over all kinds.
pub(super) trait Shaped {
    const SHAPE: Shape;
}

macro_rules! shape {
    ($table:ident, $hot:ident, $name_count:literal, $has_cold:literal, $late_name_count:literal) => {
        impl Shaped for $table<'_> {
            const SHAPE: Shape = Shape::new(size_of::<$hot>(), $name_count, $has_cold, $late_name_count);
        }
    };
}

shape!(Quote, QuoteHot, 0, true, 0);
shape!(Trade, TradeHot, 0, true, 0);
shape!(BookOrder, BookOrderHot, 0, true, 0);
shape!(BookLevel, BookLevelHot, 0, true, 0);
shape!(OwnOrder, OwnOrderHot, 0, true, 0);
shape!(OwnFill, OwnFillHot, 0, true, 0);
shape!(Transaction, TransactionHot, 4, true, 0);
shape!(Label, LabelHot, 0, true, 4);
shape!(AccountUpdate, AccountUpdateHot, 0, true, 0);
shape!(Reject, RejectHot, 0, false, 0);

impl Shaped for Decision<'_> {
    const SHAPE: Shape = Shape {
        inline_len: size_of::<Deviations>(),
        inline_count: 1,
        ..Shape::new(size_of::<DecisionHot>(), 0, false, 0)
    };
}

/// What a check within the bounds came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Hot struct and names lie within the bytes; nothing else is present.
    Inline,
    /// So they do, and a cold field is present.
    WithCold,
}

/// The root of a frame whose fields can all be read, or `None`.
#[inline]
pub(super) fn root<'a, T>(bytes: &'a [u8], limits: &Limits) -> Option<T::Inner>
where
    T: Follow<'a> + Verifiable + Shaped + 'a,
{
    if check(bytes, T::SHAPE)? == Extent::WithCold {
        return walk::<T>(bytes, limits);
    }
    // SAFETY: `check` found the root table, its vtable, and each present field of `T::SHAPE`, which names all that
    // `T` has, within `bytes`.
    Some(unsafe { flatbuffers::root_unchecked::<T>(bytes) })
}

/// The shortest frame with a hot struct of this length. Unit: bytes.
pub(super) const fn frame_len_min(hot_len: usize) -> usize {
    // Prefix, vtable of one field and table without any alignment.
    super::PREFIX_LEN + HOT_SLOT + size_of::<u16>() + size_of::<i32>() + hot_len
}

/// The bytes from the start of the hot struct to the end of the frame.
pub(super) fn hot_start(bytes: &[u8]) -> Option<&[u8]> {
    Table::of(bytes)?.field(HOT_SLOT)
}

#[cold]
fn walk<'a, T>(bytes: &'a [u8], limits: &Limits) -> Option<T::Inner>
where
    T: Follow<'a> + Verifiable + 'a,
{
    let options = VerifierOptions {
        max_depth: limits.depth_max as usize,
        max_tables: limits.tables_max as usize,
        max_apparent_size: limits.apparent_size_max as usize,
        ignore_missing_null_terminator: false,
    };
    flatbuffers::root_with_opts::<T>(&options, bytes).ok()
}

#[inline]
fn check(bytes: &[u8], shape: Shape) -> Option<Extent> {
    let table = Table::of(bytes)?;
    if table.field(HOT_SLOT)?.len() < shape.hot_len {
        return None;
    }
    let inline_slot = HOT_SLOT + SLOT_LEN;
    let cold_slot = inline_slot + SLOT_LEN * shape.inline_count;
    check_inline(table, inline_slot, (shape.inline_count, shape.inline_len))?;
    check_inline(
        table,
        cold_slot + SLOT_LEN,
        (shape.late_name_count, size_of::<Id>()),
    )?;
    let is_cold_present = shape.has_cold && table.offset(cold_slot) != 0;
    Some(if is_cold_present {
        Extent::WithCold
    } else {
        Extent::Inline
    })
}

/// `None` if one of `count` structs of `len` bytes, the first of them at `slot`, is present and reaches past the frame's
/// end.
#[inline]
fn check_inline(table: Table<'_>, slot: usize, (count, len): (usize, usize)) -> Option<()> {
    for index in 0..count {
        let slot = slot + SLOT_LEN * index;
        if table.offset(slot) != 0 && table.field(slot)?.len() < len {
            return None;
        }
    }
    Some(())
}

/// The root table and its vtable, both found within the frame.
#[derive(Clone, Copy, Debug)]
struct Table<'a> {
    bytes: &'a [u8],
    position: usize,
    /// As long as it says it is.
    vtable: &'a [u8],
}

impl<'a> Table<'a> {
    #[inline]
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let position = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        let back = i32::from_le_bytes(*bytes.get(position..)?.first_chunk()?);
        let vtable_position = usize::try_from(position as i64 - i64::from(back)).ok()?;
        let vtable = bytes.get(vtable_position..)?;
        let vtable_len = usize::from(u16::from_le_bytes(*vtable.first_chunk()?));
        let is_aligned = position.is_multiple_of(4) && (vtable_position | vtable_len).is_multiple_of(2);
        if !is_aligned {
            return None;
        }
        Some(Self {
            bytes,
            position,
            vtable: vtable.get(..vtable_len)?,
        })
    }

    /// The place of a field relative to the table, 0 if it is absent.
    #[inline]
    fn offset(&self, slot: usize) -> usize {
        let offset = self.vtable.get(slot..).and_then(|bytes| bytes.first_chunk());
        offset.map_or(0, |offset| u16::from_le_bytes(*offset).into())
    }

    /// The bytes from the start of a field to the end of the frame; `None` if it is absent or starts behind it.
    #[inline]
    fn field(&self, slot: usize) -> Option<&'a [u8]> {
        match self.offset(slot) {
            0 => None,
            offset => self.bytes.get(self.position + offset..),
        }
    }
}
