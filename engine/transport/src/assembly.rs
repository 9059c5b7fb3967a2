//! Puts messages that were longer than one packet together again, per publisher.
//!
//! ```text
//!   begin ─▶ middle ─▶ … ─▶ end          handed over whole, with the last fragment
//!   begin and end in one                 handed over as it lies in the log, no copy
//! ```
//!
//! Memory grows to the longest message seen and is kept. A message of which a fragment is missing is dropped:
//! that happens to those who join in its middle, or when an unreliable stream loses a packet.
//!
//! Invariant: what is handed over is what was offered, or nothing.

/// First fragment of a message.
const FLAG_BEGIN: u8 = 0x80;
/// Last fragment of a message.
const FLAG_END: u8 = 0x40;
const FLAGS_WHOLE: u8 = FLAG_BEGIN | FLAG_END;
/// Aeron's header before each fragment, and what each frame is aligned to, in bytes.
const HEADER_LEN: usize = 32;
const FRAME_ALIGNMENT: usize = 32;
/// Aeron's own limit for a message, in bytes. Whatever claims to be longer is dropped.
const MESSAGE_LEN_MAX: usize = 16 * 1024 * 1024;
/// How many publishers may be in the middle of a message at a time; beyond that the oldest is dropped.
const PARTIALS_MAX: usize = 32;

/// One frame as the log holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) flags: u8,
    pub(crate) session_id: i32,
    pub(crate) term_id: i32,
    pub(crate) term_offset: i32,
}

/// A message of which some fragments are there.
#[derive(Debug, Default)]
struct Partial {
    session_id: i32,
    term_id: i32,
    /// Where the next fragment must stand in its term.
    next_offset: usize,
    bytes: Vec<u8>,
    in_use: bool,
}

/// The messages in the middle of which their publishers are.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    partials: Vec<Partial>,
    evict_index: usize,
}

impl Assembler {
    /// Takes one fragment, and hands over the message that it completes, if it does.
    #[inline]
    pub(crate) fn take(&mut self, fragment: Fragment<'_>, handler: &mut impl FnMut(&[u8])) {
        if fragment.flags & FLAGS_WHOLE == FLAGS_WHOLE {
            handler(fragment.bytes);
        } else {
            self.take_part(fragment, handler);
        }
    }

    fn take_part(&mut self, fragment: Fragment<'_>, handler: &mut impl FnMut(&[u8])) {
        let partial = if fragment.flags & FLAG_BEGIN != 0 {
            self.begin(&fragment)
        } else {
            match self
                .partials
                .iter_mut()
                .find(|partial| partial.goes_on_with(&fragment))
            {
                Some(partial) => partial,
                None => return self.forget(fragment.session_id),
            }
        };
        partial.bytes.extend_from_slice(fragment.bytes);
        partial.next_offset = fragment.term_offset as usize + frame_len(fragment.bytes.len());
        if fragment.flags & FLAG_END != 0 {
            partial.in_use = false;
            handler(&partial.bytes);
        } else if partial.bytes.len() > MESSAGE_LEN_MAX {
            partial.in_use = false;
        }
    }

    /// A place for a new message of this publisher: its own, a free one, a new one, or the next in turn.
    fn begin(&mut self, fragment: &Fragment<'_>) -> &mut Partial {
        let own = self
            .partials
            .iter()
            .position(|partial| partial.session_id == fragment.session_id);
        let found = own.or_else(|| self.partials.iter().position(|partial| !partial.in_use));
        let index = match found {
            Some(index) => index,
            None if self.partials.len() < PARTIALS_MAX => {
                self.partials.push(Partial::default());
                self.partials.len() - 1
            }
            None => {
                self.evict_index = (self.evict_index + 1) % PARTIALS_MAX;
                self.evict_index
            }
        };
        let partial = &mut self.partials[index];
        partial.session_id = fragment.session_id;
        partial.term_id = fragment.term_id;
        partial.in_use = true;
        partial.bytes.clear();
        partial
    }

    fn forget(&mut self, session_id: i32) {
        for partial in self
            .partials
            .iter_mut()
            .filter(|partial| partial.session_id == session_id)
        {
            partial.in_use = false;
        }
    }
}

impl Partial {
    fn goes_on_with(&self, fragment: &Fragment<'_>) -> bool {
        self.in_use
            && self.session_id == fragment.session_id
            && self.term_id == fragment.term_id
            && self.next_offset == fragment.term_offset as usize
    }
}

fn frame_len(len: usize) -> usize {
    (HEADER_LEN + len).next_multiple_of(FRAME_ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (session, flags, term offset, byte) with 32 equal bytes each, and returns what was handed over.
    fn check(frames: &[(i32, u8, i32, u8)], expected: &[&[u8]]) {
        let mut assembler = Assembler::default();
        let mut messages: Vec<Vec<u8>> = Vec::new();
        for &(session_id, flags, term_offset, byte) in frames {
            let bytes = [byte; 32];
            let fragment = Fragment {
                bytes: &bytes,
                flags,
                session_id,
                term_id: 5,
                term_offset,
            };
            assembler.take(fragment, &mut |message| messages.push(message.to_vec()));
        }
        let expected: Vec<Vec<u8>> = expected
            .iter()
            .map(|bytes| bytes.iter().flat_map(|byte| [*byte; 32]).collect())
            .collect();
        assert_eq!(messages, expected);
    }

    #[test]
    fn fragments_become_the_message() {
        check(&[(1, 0xC0, 0, b'w')], &[b"w"]);
        check(
            &[(1, 0x80, 0, b'a'), (1, 0, 64, b'b'), (1, 0x40, 128, b'c')],
            &[b"abc"],
        );
    }

    #[test]
    fn publishers_do_not_mix() {
        let frames = [
            (1, 0x80, 0, b'a'),
            (2, 0x80, 0, b'x'),
            (1, 0x40, 64, b'b'),
            (2, 0x40, 64, b'y'),
        ];
        check(&frames, &[b"ab", b"xy"]);
    }

    #[test]
    fn message_with_a_hole_is_dropped() {
        check(
            &[(1, 0x80, 0, b'a'), (1, 0x40, 128, b'c'), (1, 0xC0, 192, b'd')],
            &[b"d"],
        );
        check(&[(1, 0, 64, b'b'), (1, 0x40, 128, b'c')], &[]);
        check(
            &[(1, 0x80, 0, b'a'), (1, 0x80, 64, b'n'), (1, 0x40, 128, b'm')],
            &[b"nm"],
        );
    }

    #[test]
    fn unfinished_messages_are_bounded() {
        let mut assembler = Assembler::default();
        for session_id in 0..1_000 {
            let fragment = Fragment {
                bytes: b"x",
                flags: FLAG_BEGIN,
                session_id,
                term_id: 0,
                term_offset: 0,
            };
            assembler.take(fragment, &mut |_| panic!("nothing is complete"));
        }
        assert_eq!(assembler.partials.len(), PARTIALS_MAX);
    }
}
