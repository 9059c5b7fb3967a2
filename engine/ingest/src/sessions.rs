//! Follows the count of each publisher of one lane: what is new, what came twice, what never came.
//!
//! ```text
//!   header ──judge──▶ Verdict ──(frame was accepted)──▶ accept
//!                        │    ──(frame was refused) ──▶ refuse
//!                        └────(duplicate)             ──▶ nothing
//! ```
//!
//! A publisher counts its frames within a session, on each stream separately. The table remembers the present
//! session of each publisher and the one before it, so that the late tail of a publisher that was restarted is
//! told from a frame that came twice. Judging changes nothing: a frame that is refused never makes a
//! publisher known, so garbage cannot fill the table.
//!
//! Invariant: what is a duplicate is a function of the accepted frames alone. The live run and its replay
//! agree on it, though only the live run has seen the refused ones.

use pinion_runtime::memory::touch;
use pinion_runtime::state::{Region, RegionMut};
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout};

use crate::memory;

/// Who sent a frame, and where it stands in the sender's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The publisher, not 0.
    pub publisher_id: u32,
    /// The publisher's session.
    pub session: u64,
    /// The publisher's count within its session and stream, from 1.
    pub sequence: u64,
}

/// What a frame's place in its publisher's order says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The frame was accepted before, or a later one of its session was.
    Duplicate,
    /// The publisher is not known and the table is full.
    Full,
    /// The frame is new.
    New(Standing),
}

/// How a new frame stands to what came before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Frames between the last one seen and this one that never came.
    pub missing: u64,
    /// The missing frames were lost while the engine was down: this is the publisher's first live frame
    /// after a recovery.
    pub is_first_after_recovery: bool,
    /// A known publisher has begun a new session.
    pub is_restart: bool,
}

/// The count of one session.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Count {
    session: u64,
    /// The last frame accepted; 0: there was no such session.
    accepted: u64,
    /// The last frame seen, accepted or refused.
    seen: u64,
}

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Publisher {
    publisher_id: u32,
    /// 1: a frame has come live, after the recorded ones if there were any. Else 0.
    live: u32,
    present: Count,
    former: Count,
}

const _: () = assert!(size_of::<Publisher>() == 56);

/// How much of the table is in use.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Head {
    /// Publishers known; they stand first.
    len: u32,
    /// The publisher that came last.
    last_index: u32,
}

/// The publishers of one lane.
///
/// Memory: 56 bytes per publisher, reserved in [`Sessions::new`]. Cost: a scan over the publishers, begun at the
/// one that came last.
#[derive(Debug)]
pub struct Sessions {
    head: Head,
    /// As many as can be known, in the order in which they came.
    publishers: Vec<Publisher>,
    is_after_recovery: bool,
}

impl Sessions {
    /// Reserves the memory for `publishers_max` publishers, fewer than 2³². Panics: if there is none.
    #[must_use]
    pub fn new(publishers_max: usize) -> Self {
        let publishers = Publisher::new_vec_zeroed(publishers_max);
        Self {
            head: Head::default(),
            publishers: publishers.expect("there is memory for the publishers"),
            is_after_recovery: false,
        }
    }

    /// Takes all memory now, so that no later frame waits for the system. Changes nothing.
    pub fn prefault(&mut self) {
        touch(self.publishers.as_mut_bytes());
    }

    /// All that was learnt of the publishers, for tables of the same size: regions `name` 0 and 1.
    pub fn regions(&self, name: &'static str) -> [Region<'_>; 2] {
        memory::regions(name, [self.head.as_bytes(), self.publishers.as_bytes()])
    }

    /// The same regions, to be filled; then [`Self::resume`].
    pub fn regions_mut(&mut self, name: &'static str) -> [RegionMut<'_>; 2] {
        memory::regions_mut(name, [self.head.as_mut_bytes(), self.publishers.as_mut_bytes()])
    }

    /// Makes of what was filled in what the recorded frames alone would have left: no frame has come live yet,
    /// and of refused ones, which are not recorded, nothing is known.
    pub fn resume(&mut self) {
        let len = self.len();
        for publisher in &mut self.publishers[..len] {
            publisher.live = 0;
            publisher.present.seen = publisher.present.accepted;
            publisher.former.seen = publisher.former.accepted;
        }
    }

    /// Says how a frame stands to what was accepted before it. Changes nothing.
    #[must_use]
    pub fn judge(&self, identity: Identity) -> Verdict {
        let Some(index) = self.index_of(identity.publisher_id) else {
            return self.judge_stranger(identity);
        };
        let publisher = &self.publishers[index];
        let is_first_after_recovery = self.is_after_recovery && publisher.live == 0;
        match publisher.count_of(identity.session) {
            Some(count) if identity.sequence <= count.accepted => Verdict::Duplicate,
            count => Verdict::New(Standing {
                missing: missing_between(count.map_or(0, |count| count.seen), identity.sequence),
                is_first_after_recovery,
                is_restart: count.is_none(),
            }),
        }
    }

    /// Takes note of a frame that was judged new and has been accepted.
    pub fn accept(&mut self, identity: Identity, is_live: bool) {
        let index = match self.index_of(identity.publisher_id) {
            Some(index) => index,
            None => self.admit(identity.publisher_id),
        };
        self.head.last_index = index as u32;
        let publisher = &mut self.publishers[index];
        publisher.live |= u32::from(is_live);
        let count = publisher.enter(identity.session);
        count.accepted = identity.sequence;
        count.seen = count.seen.max(identity.sequence);
    }

    /// Takes note of a frame that was refused: it did come, so it is not missing. Only the very next frame of
    /// a known publisher's present session counts, so that garbage which happens to look like one does no harm.
    pub fn refuse(&mut self, identity: Identity) {
        if let Some(index) = self.index_of(identity.publisher_id) {
            let count = &mut self.publishers[index].present;
            if count.session == identity.session && count.seen.checked_add(1) == Some(identity.sequence) {
                count.seen = identity.sequence;
            }
        }
    }

    /// From here on frames are live: what a publisher's first one shows to be missing was lost while the
    /// engine was down.
    pub fn end_recovery(&mut self) {
        self.is_after_recovery = true;
    }

    /// Publishers known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len as usize
    }

    /// Whether no publisher is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.len == 0
    }

    fn judge_stranger(&self, identity: Identity) -> Verdict {
        if self.len() == self.publishers.len() {
            return Verdict::Full;
        }
        Verdict::New(Standing {
            missing: missing_between(0, identity.sequence),
            is_first_after_recovery: self.is_after_recovery,
            is_restart: false,
        })
    }

    fn index_of(&self, publisher_id: u32) -> Option<usize> {
        let is_it = |publisher: &Publisher| publisher.publisher_id == publisher_id;
        let (known, last_index) = (&self.publishers[..self.len()], self.head.last_index as usize);
        if known.get(last_index).is_some_and(is_it) {
            return Some(last_index);
        }
        known.iter().position(is_it)
    }

    fn admit(&mut self, publisher_id: u32) -> usize {
        let index = self.len();
        assert!(
            index < self.publishers.len(),
            "a full table refuses before it admits"
        );
        self.publishers[index].publisher_id = publisher_id;
        self.head.len += 1;
        index
    }
}

impl Count {
    fn is_of(&self, session: u64) -> bool {
        self.session == session && self.accepted > 0
    }
}

impl Publisher {
    fn count_of(&self, session: u64) -> Option<&Count> {
        [&self.present, &self.former]
            .into_iter()
            .find(|count| count.is_of(session))
    }

    /// Makes `session` the present one and returns its count.
    fn enter(&mut self, session: u64) -> &mut Count {
        if self.present.accepted == 0 {
            self.present.session = session;
        } else if self.present.session != session {
            let begun = Count {
                session,
                ..Count::default()
            };
            let known = Some(self.former).filter(|former| former.is_of(session));
            self.former = self.present;
            self.present = known.unwrap_or(begun);
        }
        &mut self.present
    }
}

fn missing_between(seen: u64, sequence: u64) -> u64 {
    sequence.saturating_sub(seen).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(publisher_id: u32, session: u64, sequence: u64) -> Identity {
        Identity {
            publisher_id,
            session,
            sequence,
        }
    }

    /// Judges and accepts each (session, sequence) of publisher 7 and compares what each was found to be.
    #[track_caller]
    fn check(frames: &[(u64, u64)], expected: &[&str]) {
        let mut sessions = Sessions::new(4);
        let found: Vec<String> = frames
            .iter()
            .map(|&(session, sequence)| {
                let frame = identity(7, session, sequence);
                let verdict = sessions.judge(frame);
                if matches!(verdict, Verdict::New(_)) {
                    sessions.accept(frame, true);
                }
                describe(verdict)
            })
            .collect();
        assert_eq!(found, expected);
    }

    fn describe(verdict: Verdict) -> String {
        match verdict {
            Verdict::Duplicate => "duplicate".into(),
            Verdict::Full => "full".into(),
            Verdict::New(standing) => {
                let restart = if standing.is_restart { "restart " } else { "" };
                let lost = if standing.is_first_after_recovery {
                    " lost"
                } else {
                    ""
                };
                format!("{restart}missing {}{lost}", standing.missing)
            }
        }
    }

    #[test]
    fn frames_in_order_miss_nothing() {
        check(
            &[(1, 1), (1, 2), (1, 3)],
            &["missing 0", "missing 0", "missing 0"],
        );
    }

    #[test]
    fn frames_that_never_came_are_missing() {
        check(&[(1, 1), (1, 4)], &["missing 0", "missing 2"]);
        check(&[(1, 500)], &["missing 499"]);
        check(
            &[(1, u64::MAX), (1, u64::MAX)],
            &["missing 18446744073709551614", "duplicate"],
        );
    }

    #[test]
    fn frame_at_or_below_the_last_is_a_duplicate() {
        check(
            &[(1, 1), (1, 1), (1, 3), (1, 2)],
            &["missing 0", "duplicate", "missing 1", "duplicate"],
        );
    }

    #[test]
    fn new_session_is_a_restart_and_counts_from_one() {
        check(
            &[(1, 9), (2, 1), (2, 2)],
            &["missing 8", "restart missing 0", "missing 0"],
        );
        check(&[(1, 1), (2, 4)], &["missing 0", "restart missing 3"]);
    }

    #[test]
    fn late_tail_of_the_former_session_is_told_from_its_duplicates() {
        check(
            &[(1, 1), (1, 2), (2, 1), (1, 2), (1, 3), (2, 1), (2, 2)],
            &[
                "missing 0",
                "missing 0",
                "restart missing 0",
                "duplicate",
                "missing 0",
                "duplicate",
                "missing 0",
            ],
        );
    }

    #[test]
    fn refused_frame_is_not_missing_and_may_come_again() {
        let mut sessions = Sessions::new(1);
        sessions.accept(identity(7, 1, 1), true);
        sessions.refuse(identity(7, 1, 2));
        sessions.refuse(identity(7, 1, 900));
        sessions.refuse(identity(7, 2, 3));
        assert_eq!(describe(sessions.judge(identity(7, 1, 2))), "missing 0");
        assert_eq!(describe(sessions.judge(identity(7, 1, 3))), "missing 0");
        assert_eq!(describe(sessions.judge(identity(7, 1, 5))), "missing 2");
    }

    #[test]
    fn refused_frame_makes_no_publisher_known() {
        let mut sessions = Sessions::new(1);
        sessions.refuse(identity(9, 1, 1));
        assert!(sessions.is_empty());
    }

    #[test]
    fn full_table_refuses_strangers_and_knows_the_rest() {
        let mut sessions = Sessions::new(1);
        sessions.accept(identity(7, 1, 1), true);
        assert_eq!(sessions.judge(identity(8, 1, 1)), Verdict::Full);
        assert_eq!(describe(sessions.judge(identity(7, 1, 2))), "missing 0");
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn first_live_frame_after_recovery_tells_what_was_lost() {
        let mut sessions = Sessions::new(3);
        sessions.accept(identity(7, 1, 10), false);
        sessions.end_recovery();
        assert_eq!(sessions.judge(identity(7, 1, 10)), Verdict::Duplicate);
        assert_eq!(describe(sessions.judge(identity(7, 1, 15))), "missing 4 lost");
        sessions.accept(identity(7, 1, 15), true);
        assert_eq!(describe(sessions.judge(identity(7, 1, 17))), "missing 1");
        assert_eq!(describe(sessions.judge(identity(8, 1, 3))), "missing 2 lost");
    }
}
