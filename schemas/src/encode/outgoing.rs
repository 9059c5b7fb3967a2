//! Decisions and rejects: frames of fixed length, so that they can be written in place into the bus.
//!
//! ```text
//!   0        4        8              16       20     24
//!   │ root   │ PNRJ   │ pad, vtable (6 B)     │ back │ hot struct │
//!   │ root   │ PNDC   │ pad, vtable (8 B)     │ back │ hot struct │ deviations │
//!   └────────────── template, constant ──────────────┘   patched
//! ```
//!
//! Invariant: the frame is byte for byte what `flatc`'s builder makes of the same fields.

use std::mem::size_of;

use super::{Stamp, header};
use crate::ids::Id;
use crate::records::{DecisionRecord, RejectRecord};
use crate::wire::{Action, DecisionHot, Deviations, FrameHeader, Lane, RejectHot, RejectReason};

/// What stands before the hot struct. Unit: bytes.
const TEMPLATE_LEN: usize = 24;

/// Where the table is. Unit: bytes.
const TABLE: usize = 20;

/// The length of every decision's frame. Unit: bytes.
pub const DECISION_LEN: usize = TEMPLATE_LEN + size_of::<DecisionHot>() + size_of::<Deviations>();

/// The length of every reject's frame. Unit: bytes.
pub const REJECT_LEN: usize = TEMPLATE_LEN + size_of::<RejectHot>();

const DECISION_TEMPLATE: [u8; TEMPLATE_LEN] =
    template(*b"PNDC", [size_of::<DecisionHot>(), size_of::<Deviations>()]);

const REJECT_TEMPLATE: [u8; TEMPLATE_LEN] = template(*b"PNRJ", [size_of::<RejectHot>()]);

/// The length of every decision's frame: what to claim from the bus. Unit: bytes.
#[must_use]
pub const fn decision_len() -> usize {
    DECISION_LEN
}

/// The length of every reject's frame: what to claim from the bus. Unit: bytes.
#[must_use]
pub const fn reject_len() -> usize {
    REJECT_LEN
}

/// Writes the frame of a decision into `out`, which is [`DECISION_LEN`] long.
///
/// The frame's `published_ns` is the argument, its flags are those of the core and of the run together, and its
/// subject is `instrument` for the market lane, `record.subject` else. `stamp` is the engine's own.
/// Panics: if `out` has another length.
/// Cost:   about 8 ns.
pub fn fill_decision(
    out: &mut [u8],
    stamp: &Stamp,
    record: &DecisionRecord,
    published_ns: i64,
    instrument: Id,
) {
    let subject = if record.lane == Lane::Market.0 {
        instrument
    } else {
        record.subject
    };
    let hot = DecisionHot::new(
        &header(stamp, record.event_ns),
        record.sequence,
        record.input_session,
        record.input_sequence,
        record.event_ns,
        record.ingest_ns,
        record.scored_ns,
        record.decided_ns,
        published_ns,
        record.value,
        record.quantity,
        record.model_hash,
        record.strategy_hash,
        record.config_hash,
        record.input_publisher_id,
        record.score,
        &record.reasons,
        Lane(record.lane),
        Action(record.action),
        record.reason_count,
        record.flags | record.run_flags,
        &subject.into(),
    );
    let deviations = Deviations::new(&record.deviations);
    let (frame, beside) = out.split_at_mut(TEMPLATE_LEN + hot.0.len());
    fill(frame, &DECISION_TEMPLATE, &hot.0);
    beside.copy_from_slice(&deviations.0);
}

/// Writes the frame of a reject into `out`, which is [`REJECT_LEN`] long.
///
/// The header's `event_ns` is the time at which the engine saw the refused frame. `stamp` is the engine's own.
/// Panics: if `out` has another length.
/// Cost:   less than that of a decision, which is longer.
pub fn fill_reject(out: &mut [u8], stamp: &Stamp, record: &RejectRecord) {
    let header: FrameHeader = header(stamp, record.ingest_ns);
    let hot = RejectHot::new(
        &header,
        record.input_session,
        record.input_sequence,
        record.ingest_ns,
        record.found,
        record.expected,
        record.input_publisher_id,
        record.frame_len,
        RejectReason(record.reason),
        Lane(record.lane),
    );
    fill(out, &REJECT_TEMPLATE, &hot.0);
}

fn fill(out: &mut [u8], template: &[u8; TEMPLATE_LEN], hot: &[u8]) {
    assert_eq!(out.len(), TEMPLATE_LEN + hot.len());
    let (start, rest) = out.split_at_mut(TEMPLATE_LEN);
    start.copy_from_slice(template);
    rest.copy_from_slice(hot);
}

/// Prefix, vtable of structs that stand one behind the other, and the table's distance to it.
const fn template<const FIELDS: usize>(identifier: [u8; 4], lens: [usize; FIELDS]) -> [u8; TEMPLATE_LEN] {
    let mut template = [0; TEMPLATE_LEN];
    template[0] = TABLE as u8;
    let mut index = 0;
    while index < identifier.len() {
        template[4 + index] = identifier[index];
        index += 1;
    }
    let vtable_len = size_of::<u16>() * (2 + FIELDS);
    let vtable = TABLE - vtable_len;
    template[vtable] = vtable_len as u8;
    let mut table_len = size_of::<i32>();
    let mut field = 0;
    while field < FIELDS {
        template[vtable + size_of::<u16>() * (2 + field)] = table_len as u8;
        table_len += lens[field];
        field += 1;
    }
    template[vtable + size_of::<u16>()] = table_len as u8;
    template[TABLE] = vtable_len as u8; // back to the vtable
    template
}

const _: () = assert!(DECISION_LEN - TABLE <= u8::MAX as usize);

#[cfg(test)]
mod tests {
    use flatbuffers::FlatBufferBuilder;

    use super::*;
    use crate::wire::{self, FileKind};

    #[test]
    fn decision_frame_is_what_the_builder_makes() {
        let mut out = [0; DECISION_LEN];
        fill_decision(
            &mut out,
            &Stamp::default(),
            &DecisionRecord {
                deviations: [1, 2, 3, 4, 5, 6, 7, 8],
                ..DecisionRecord::default()
            },
            0,
            Id::NONE,
        );
        let deviations = Deviations(*out.last_chunk().unwrap());
        assert_eq!(deviations.hundredths().get(7), 8);
        let hot = DecisionHot(*out[..out.len() - deviations.0.len()].last_chunk().unwrap());
        let mut builder = FlatBufferBuilder::new();
        let fields = wire::DecisionArgs {
            hot: Some(&hot),
            deviations: Some(&deviations),
        };
        let root = wire::Decision::create(&mut builder, &fields);
        builder.finish(root, Some(FileKind::Decision.identifier()));
        assert_eq!(builder.finished_data(), out);
    }

    #[test]
    fn reject_frame_is_what_the_builder_makes() {
        let mut out = [0; REJECT_LEN];
        fill_reject(&mut out, &Stamp::default(), &RejectRecord::default());
        let hot = RejectHot(*out.last_chunk().unwrap());
        let mut builder = FlatBufferBuilder::new();
        let root = wire::Reject::create(&mut builder, &wire::RejectArgs { hot: Some(&hot) });
        builder.finish(root, Some(FileKind::Reject.identifier()));
        assert_eq!(builder.finished_data(), out);
    }
}
