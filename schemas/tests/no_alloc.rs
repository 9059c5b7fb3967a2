//! Encoding allocates nothing once the encoder has seen its longest frame, and reading allocates nothing at all.

#![allow(unsafe_code)] // An allocator that counts is an unsafe trait to implement.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use pinion_schemas::encode::{
    AccountUpdateEvent, BookLevelEvent, BookOrderEvent, Encoder, Event, LabelEvent, OwnFillEvent,
    OwnOrderEvent, QuoteEvent, Stamp, TradeEvent, TransactionEvent, TransactionText, decision_len,
    fill_decision, fill_reject, reject_len,
};
use pinion_schemas::hash::DecisionHash;
use pinion_schemas::ids::Id;
use pinion_schemas::records::{DecisionRecord, RejectRecord};
use pinion_schemas::wire::{self, Limits};

/// The system's allocator, with a count per thread of the calls that it got.
struct Counting;

thread_local! {
    static HEAP_CALLS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    HEAP_CALLS.with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is handed on to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: `pointer` came from `System` by way of `alloc` above, with this `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn heap_calls(work: impl FnOnce()) -> u64 {
    let before = HEAP_CALLS.with(Cell::get);
    work();
    HEAP_CALLS.with(Cell::get) - before
}

fn transaction() -> TransactionEvent {
    let id = Id::new("3f2b8c1e-7c1a-4a52-9a0a-0f6f3a1c9d2e").unwrap();
    let text = TransactionText {
        merchant_name: Some("Corner Shop".repeat(10)),
        tags: vec![("key".to_owned(), "value".to_owned()); 20],
        ..TransactionText::default()
    };
    TransactionEvent {
        card: id,
        merchant: id,
        text: Some(Box::new(text)),
        ..TransactionEvent::default()
    }
}

fn events() -> Vec<Event> {
    vec![
        Event::Quote(QuoteEvent::default()),
        Event::Trade(TradeEvent::default()),
        Event::BookOrder(BookOrderEvent::default()),
        Event::BookLevel(BookLevelEvent::default()),
        Event::OwnOrder(OwnOrderEvent::default()),
        Event::OwnFill(OwnFillEvent::default()),
        Event::Transaction(TransactionEvent {
            text: None,
            ..transaction()
        }),
        Event::Transaction(transaction()),
        Event::Label(LabelEvent::default()),
        Event::AccountUpdate(AccountUpdateEvent::default()),
    ]
}

#[test]
fn no_alloc_in_steady_state() {
    let (mut encoder, events, limits) = (Encoder::new(), events(), Limits::default());
    let mut round = |sequence: u64| {
        let stamp = Stamp {
            publisher_id: 1,
            session: 1,
            sequence,
            flags: 0,
        };
        for event in &events {
            let frame = wire::read(encoder.encode(&stamp, event), &limits).unwrap();
            assert_eq!(frame.header().publisher_sequence(), sequence);
        }
        let bytes = encoder.encode_decision(&stamp, &DecisionRecord::default(), 1, Id::NONE);
        assert!(wire::read(bytes, &limits).is_ok());
        assert!(wire::read(encoder.encode_reject(&stamp, &RejectRecord::default()), &limits).is_ok());
    };
    round(1);
    assert_eq!(heap_calls(|| (2..2_000).for_each(&mut round)), 0);
}

#[test]
fn no_alloc_in_filling_and_hashing() {
    let (record, stamp) = (DecisionRecord::default(), Stamp::default());
    let (mut decision, mut reject) = (vec![0; decision_len()], vec![0; reject_len()]);
    let mut hash = DecisionHash::new();
    let calls = heap_calls(|| {
        fill_decision(&mut decision, &stamp, &record, 1, Id::NONE);
        fill_reject(&mut reject, &stamp, &RejectRecord::default());
        hash.add(record.core());
    });
    assert_eq!(calls, 0);
}

#[test]
fn no_alloc_in_refusing_a_frame_without_cold_fields() {
    let mut encoder = Encoder::new();
    let bytes = encoder.encode(&Stamp::default(), &Event::Quote(QuoteEvent::default()));
    let calls = heap_calls(|| {
        for len in 0..bytes.len() {
            assert!(wire::read(&bytes[..len], &Limits::default()).is_err());
        }
    });
    assert_eq!(calls, 0);
}
