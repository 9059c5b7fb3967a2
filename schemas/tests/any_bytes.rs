//! Whatever bytes come, [`wire::read`] neither panics nor gives access to anything outside of them, and it accepts
//! exactly the frames that `flatc`'s own verifier accepts.

mod support;

use flatbuffers::{Follow, Verifiable, VerifierOptions};
use pinion_schemas::encode::{Encoder, Event};
use pinion_schemas::ids::Id;
use pinion_schemas::records::{DecisionRecord, RejectRecord};
use pinion_schemas::wire::{self, FileKind, Limits, RejectReason};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use support::{any_event, any_stamp, read_everything};

/// Cheap rounds of each simulation; a build with more of them is a matter of this number.
const ROUNDS: u64 = 200_000;

/// Good frames that are then spoilt.
const SEEDS: usize = 400;

/// A generator of numbers that needs no crate: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Reads the bytes, looks at everything that can be read of them, and compares with `flatc`'s verdict.
fn check(bytes: &[u8]) -> bool {
    let read = wire::read(bytes, &Limits::default());
    let is_whole = match &read {
        Ok(frame) => read_everything(frame) > 0,
        Err(unreadable) => unreadable.reason == RejectReason::UnknownVersion,
    };
    let _ = wire::peek_header(bytes);
    assert_eq!(is_whole, flatc_accepts(bytes), "{read:?} of {bytes:02x?}");
    read.is_ok()
}

fn flatc_accepts(bytes: &[u8]) -> bool {
    let Some(identifier) = bytes.get(4..8) else {
        return false;
    };
    let identifier = u32::from_le_bytes(identifier.try_into().unwrap());
    let Some(kind) = FileKind::from_identifier(identifier) else {
        return false;
    };
    match kind {
        FileKind::Quote => is_verified::<wire::Quote<'_>>(bytes),
        FileKind::Trade => is_verified::<wire::Trade<'_>>(bytes),
        FileKind::BookOrder => is_verified::<wire::BookOrder<'_>>(bytes),
        FileKind::BookLevel => is_verified::<wire::BookLevel<'_>>(bytes),
        FileKind::OwnOrder => is_verified::<wire::OwnOrder<'_>>(bytes),
        FileKind::OwnFill => is_verified::<wire::OwnFill<'_>>(bytes),
        FileKind::Transaction => is_verified::<wire::Transaction<'_>>(bytes),
        FileKind::Label => is_verified::<wire::Label<'_>>(bytes),
        FileKind::AccountUpdate => is_verified::<wire::AccountUpdate<'_>>(bytes),
        FileKind::Decision => is_verified::<wire::Decision<'_>>(bytes),
        FileKind::Reject => is_verified::<wire::Reject<'_>>(bytes),
    }
}

fn is_verified<'a, T: Follow<'a> + Verifiable + 'a>(bytes: &'a [u8]) -> bool {
    let limits = Limits::default();
    let options = VerifierOptions {
        max_depth: limits.depth_max as usize,
        max_tables: limits.tables_max as usize,
        max_apparent_size: limits.apparent_size_max as usize,
        ignore_missing_null_terminator: false,
    };
    bytes.len() <= limits.frame_len_max as usize && flatbuffers::root_with_opts::<T>(&options, bytes).is_ok()
}

/// Good frames of every kind, with and without cold parts; always the same ones.
fn good_frames() -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let mut encoder = Encoder::new();
    let any = (any_stamp(), any_event());
    let mut frames: Vec<Vec<u8>> = (0..SEEDS)
        .map(|_| any.new_tree(&mut runner).unwrap().current())
        .map(|(stamp, event): (_, Event)| encoder.encode(&stamp, &event).to_vec())
        .collect();
    let stamp = any.new_tree(&mut runner).unwrap().current().0;
    frames.push(
        encoder
            .encode_decision(&stamp, &DecisionRecord::default(), 1, Id::NONE)
            .to_vec(),
    );
    frames.push(encoder.encode_reject(&stamp, &RejectRecord::default()).to_vec());
    frames
}

/// Changes a few bytes; in half of the cases near the start, where the offsets stand.
fn spoil(frame: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let reach = if random.below(2) == 0 { 40 } else { usize::MAX };
        let place = random.below(frame.len().min(reach));
        let offset = random.below(2 * frame.len());
        match random.below(8) {
            0 => frame.truncate(place),
            1 => frame.extend_from_slice(&random.next().to_le_bytes()),
            2 => overwrite(frame, place & !3, &(offset as u32).to_le_bytes()),
            3 => overwrite(frame, place & !1, &(offset as u16).to_le_bytes()),
            4 => overwrite(frame, place, &[0xFF; 4]),
            5 => overwrite(frame, place, &[0; 4]),
            6 => overwrite(frame, place & !3, &(random.next() as u32 | 1 << 31).to_le_bytes()),
            _ => overwrite(frame, place, &[random.next() as u8]),
        }
    }
}

fn overwrite(frame: &mut [u8], place: usize, bytes: &[u8]) {
    frame
        .iter_mut()
        .skip(place)
        .zip(bytes)
        .for_each(|(old, new)| *old = *new);
}

#[test]
fn sim_spoilt_frames_are_read_as_flatc_would_or_refused() {
    let seed = 0x5EED_0001;
    println!("seed {seed:#x}");
    let (frames, mut random) = (good_frames(), Random(seed));
    let accepted = (0..ROUNDS).filter(|_| {
        let mut frame = frames[random.below(frames.len())].clone();
        spoil(&mut frame, &mut random);
        check(&frame)
    });
    let accepted = accepted.count() as u64;
    println!("{accepted} of {ROUNDS} spoilt frames can be read");
    assert!(accepted > ROUNDS / 100 && accepted < ROUNDS);
}

#[test]
fn sim_random_bytes_are_refused_or_read() {
    let seed = 0x5EED_0002;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    for round in 0..ROUNDS {
        let words = random.below(40);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| random.next().to_le_bytes()).collect();
        bytes.truncate(bytes.len().saturating_sub(random.below(8)));
        let kind = FileKind::ALL[round as usize % FileKind::ALL.len()];
        overwrite(&mut bytes, 0, &(random.below(64) as u32 & !3).to_le_bytes());
        overwrite(&mut bytes, 4, kind.identifier().as_bytes());
        check(&bytes);
    }
}

#[test]
fn every_cut_of_every_good_frame_is_judged_as_flatc_does() {
    for frame in good_frames() {
        assert!((0..frame.len()).filter(|&len| check(&frame[..len])).count() < frame.len());
        let is_other_version = wire::read(&frame, &Limits::default()).is_err();
        assert!(!is_other_version && check(&frame));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn prop_any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn prop_name_is_valid_if_text_comes_first(bytes in proptest::collection::vec(any_name_byte(), 36)) {
        let id = Id(bytes.try_into().unwrap());
        let text_len = id.text_len();
        let expected = id.0[..text_len].iter().all(u8::is_ascii_graphic) && id.0[text_len..].iter().all(|&b| b == 0);
        prop_assert_eq!(id.is_valid(), expected);
    }
}

/// Mostly letters and zeros, so that whole names come up.
fn any_name_byte() -> impl Strategy<Value = u8> {
    prop_oneof![40 => b'!'..=b'~', 20 => Just(0), 1 => any::<u8>()]
}
