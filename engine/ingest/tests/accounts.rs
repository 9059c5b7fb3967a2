//! Whatever comes, every frame is accounted for, in order, with the numbers that a plain table would give.

mod common;

use std::collections::HashMap;

use common::{Rig, Rings, config, frame, stamp, transaction};
use pinion_ingest::IngestConfig;
use pinion_ingest::config::{TableConfig, WhenFull};
use pinion_schemas::encode::Event;
use pinion_schemas::ids::Id;
use pinion_schemas::records::{PaymentRecord, fresh};
use proptest::prelude::*;

const CUSTOMERS_MAX: usize = 5;

/// Something a publisher may send.
#[derive(Clone, Debug)]
enum Sent {
    /// The next frame of a publisher, for a customer, after leaving out so many.
    Good {
        publisher: usize,
        customer: u8,
        skipped: u64,
    },
    /// One of the frames accepted before, again.
    Again { back: usize },
    /// A new session of a publisher.
    Restart { publisher: usize },
    /// A good frame with a byte changed or its end cut off.
    Mangled { at: usize, byte: u8, cut: usize },
    /// Anything.
    Garbage(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        6 => (0_usize..3, 0_u8..9, prop_oneof![4 => Just(0), 1 => 1_u64..5])
            .prop_map(|(publisher, customer, skipped)| Sent::Good { publisher, customer, skipped }),
        1 => (0_usize..30).prop_map(|back| Sent::Again { back }),
        1 => (0_usize..3).prop_map(|publisher| Sent::Restart { publisher }),
        1 => (0_usize..300, any::<u8>(), 0_usize..300)
            .prop_map(|(at, byte, cut)| Sent::Mangled { at, byte, cut }),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Sent::Garbage),
    ]
}

/// What the publishers know of themselves, and what a plain engine would have made of their good frames.
#[derive(Default)]
struct Model {
    sessions: [u64; 3],
    sequences: [u64; 3],
    /// Publisher and session of each good frame, and its bytes.
    accepted: Vec<(usize, u64, Vec<u8>)>,
    /// Publisher, its sequence, customer.
    expected: Vec<(u32, u64, Id)>,
    missing: u64,
    good: u64,
    bad: u64,
}

impl Model {
    fn good(&mut self, publisher: usize, customer: u8, skipped: u64) -> Vec<u8> {
        self.sequences[publisher] += skipped + 1;
        self.missing += skipped;
        self.good += 1;
        let (publisher_id, sequence) = (publisher as u32 + 1, self.sequences[publisher]);
        let customer = format!("customer-{customer}");
        self.expected
            .push((publisher_id, sequence, common::id(&customer)));
        let event = Event::Transaction(transaction(&customer, "shop"));
        let session = self.sessions[publisher];
        let bytes = frame(&stamp(publisher_id, session + 1, sequence), &event);
        self.accepted.push((publisher, session, bytes.clone()));
        bytes
    }

    /// The bytes of one thing sent; none if there is nothing to send.
    fn bytes(&mut self, sent: Sent) -> Option<Vec<u8>> {
        match sent {
            Sent::Good {
                publisher,
                customer,
                skipped,
            } => Some(self.good(publisher, customer, skipped)),
            Sent::Again { back } => {
                let index = self
                    .accepted
                    .len()
                    .checked_sub(back % self.accepted.len().max(1) + 1)?;
                let (publisher, session, bytes) = &self.accepted[index];
                // The session before the present one is remembered, older ones are not.
                (session + 1 >= self.sessions[*publisher]).then(|| bytes.clone())
            }
            Sent::Restart { publisher } => {
                self.sessions[publisher] += 1;
                self.sequences[publisher] = 0;
                None
            }
            Sent::Mangled { at, byte, cut } => {
                let event = Event::Transaction(transaction("mangled", "shop"));
                let mut bytes = frame(&stamp(0, 1, 1), &event);
                bytes.truncate(bytes.len().saturating_sub(cut));
                if let Some(place) = bytes.get_mut(at) {
                    // The publisher's number stays invalid, so that this is never a good frame.
                    *place = if at < 40 { byte } else { *place };
                }
                self.bad += 1;
                Some(bytes)
            }
            Sent::Garbage(bytes) => {
                self.bad += 1;
                Some(bytes)
            }
        }
    }
}

/// The plainest table with eviction: names with their number and last use.
#[derive(Default)]
struct Names(HashMap<Id, (u32, usize)>);

impl Names {
    fn intern(&mut self, id: Id, now: usize) -> (u32, bool) {
        if let Some((dense, last_use)) = self.0.get_mut(&id) {
            *last_use = now;
            return (*dense, false);
        }
        let mut dense = self.0.len() as u32;
        if self.0.len() == CUSTOMERS_MAX {
            let (&oldest, &(number, _)) = self.0.iter().min_by_key(|(_, (_, last_use))| *last_use).unwrap();
            self.0.remove(&oldest);
            dense = number;
        }
        self.0.insert(id, (dense, now));
        (dense, true)
    }
}

fn check_records(records: &[PaymentRecord], expected: &[(u32, u64, Id)]) {
    let mut names = Names::default();
    assert_eq!(records.len(), expected.len());
    for (now, (record, (publisher_id, sequence, customer))) in records.iter().zip(expected).enumerate() {
        assert_eq!(record.origin.sequence, now as u64 + 1);
        assert_eq!(
            (record.origin.publisher_id, record.origin.publisher_sequence),
            (*publisher_id, *sequence)
        );
        let (dense, is_fresh) = names.intern(*customer, now);
        assert_eq!(
            (record.customer, record.fresh & fresh::CUSTOMER != 0),
            (dense, is_fresh)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn prop_every_frame_is_accounted_for(all in prop::collection::vec(sent(), 0..300), records in 2_usize..40) {
        let customers =
            TableConfig { ids_max: CUSTOMERS_MAX as u32, when_full: WhenFull::EvictOldestIdle };
        let config = IngestConfig { customers, ..config() };
        let mut rig = Rig::with(&config, Rings { records, ..Rings::default() }, None);
        let (mut model, mut found, mut published) = (Model::default(), Vec::new(), 0);
        for sent in all {
            if let Some(bytes) = model.bytes(sent) {
                rig.offer_payment(&bytes);
                published += 1;
            }
            if published % 7 == 0 {
                rig.run();
                found.extend(rig.take_payments());
            }
        }
        while rig.run() > 0 {
            found.extend(rig.take_payments());
            rig.take_journal();
        }
        found.extend(rig.take_payments());
        let count = |name: &str| rig.count(&format!("ingest.payment.{name}"));
        prop_assert_eq!(count("accepted") + count("duplicates") + count("rejected"), published);
        prop_assert_eq!((count("accepted"), count("rejected")), (model.good, model.bad));
        prop_assert_eq!(count("missing"), model.missing);
        check_records(&found, &model.expected);
    }
}
