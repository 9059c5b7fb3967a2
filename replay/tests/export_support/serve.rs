//! Serves events live with the engine's own agents, keeps the journal, and notes what the score stage is given.
//!
//! ```text
//!   frames ─▶ bus ─▶ IngestAgent ─┬─▶ FeatureAgent ─▶ what the score stage is given
//!                                 └─▶ JournalAgent ─▶ segments
//! ```

use std::path::Path;

use pinion_features::{FeatureAgent, FeatureSet, FeatureStore};
use pinion_ingest::{DeadLetters, IngestAgent, IngestConfig, Intake, Ports};
use pinion_journal::{Identity, JournalAgent, JournalConfig, recover};
use pinion_node::Config;
use pinion_runtime::agent::Agent as _;
use pinion_runtime::control::IngestGate;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::names::NameTable;
use pinion_runtime::ring::{Consumer, entry_ring, ring};
use pinion_schemas::encode::{Encoder, Event, Stamp};
use pinion_schemas::records::FeatureRecord;
use pinion_transport::in_process::{InProcessBus, InProcessPublication};
use pinion_transport::{Bus as _, Offer, Publication as _};

/// Records of a ring.
const RING_MAX: usize = 1024;

/// Serves `events` and gives every record that the score stage would get, in order. The journal is in `dir`.
pub fn serve(config: &Config, set: &FeatureSet, dir: &Path, events: &[Event]) -> Vec<FeatureRecord> {
    let mut engine = Engine::start(config, set, dir);
    let mut encoder = Encoder::new();
    for (sequence, event) in (1..).zip(events) {
        let stamp = Stamp {
            publisher_id: 7,
            session: 1,
            sequence,
            flags: 0,
        };
        let frame = encoder.encode(&stamp, event).to_vec();
        // Now and then a frame comes twice, or something comes that is no frame.
        for frame in [Some(frame.clone()), (sequence % 50 == 0).then_some(frame)]
            .into_iter()
            .flatten()
        {
            engine.offer(&frame);
        }
        if sequence % 70 == 0 {
            engine.offer(b"this is not a frame");
        }
    }
    engine.finish()
}

struct Engine {
    publication: InProcessPublication,
    ingest: IngestAgent<InProcessBus>,
    features: FeatureAgent,
    journal: JournalAgent,
    to_score: Consumer<FeatureRecord>,
    served: Vec<FeatureRecord>,
    now_ns: i64,
}

impl Engine {
    fn start(config: &Config, set: &FeatureSet, dir: &Path) -> Self {
        let (counters, faults) = (Counters::in_memory(512), ErrorLog::in_memory());
        let mut bus = InProcessBus::new();
        let (market, _) = ring(1);
        let (payments, from_ingest) = ring(RING_MAX);
        let (rejects, _) = ring(1);
        let (journal_inputs, inputs) = entry_ring(65_536);
        let (to_score, from_features) = ring(RING_MAX);
        let ports = Ports {
            market,
            payments,
            journal: Some(journal_inputs),
            rejects,
            dead_letters: DeadLetters::in_memory(&config.ingest.dead_letters).unwrap(),
            instruments: NameTable::new(config.ingest.instruments_max as usize),
            faults: faults.clone(),
            gate: IngestGate::new(),
            pressure: None,
        };
        // The clock begins in 1970.
        let ingest = IngestConfig {
            ahead_s_max: 0,
            ..config.ingest.clone()
        };
        let publication = bus.add_publication(&config.bus.payments).unwrap();
        let intake = Intake {
            market: None,
            payments: Some(bus.add_subscription(&config.bus.payments).unwrap()),
            bus,
        };
        let store = Box::new(FeatureStore::new(&config.features, set).unwrap());
        let journal_config = JournalConfig {
            dir: dir.to_path_buf(),
            ..config.journal()
        };
        let recovery = recover(&journal_config).unwrap();
        let identity = Identity {
            config_hash: config.decision_hash(),
            build: "test".to_owned(),
            started_ns: 1,
        };
        Self {
            publication,
            ingest: IngestAgent::new(&ingest, intake, ports, None, &counters).unwrap(),
            features: FeatureAgent::new(&config.features, store, 0, None, from_ingest, to_score, &counters)
                .unwrap(),
            journal: JournalAgent::new(
                &journal_config,
                recovery,
                vec![inputs],
                &identity,
                &counters,
                &faults,
            )
            .unwrap(),
            to_score: from_features,
            served: Vec::new(),
            now_ns: 1,
        }
    }

    fn offer(&mut self, frame: &[u8]) {
        while !matches!(self.publication.offer(frame), Offer::Accepted(_)) {
            self.turn();
        }
    }

    fn turn(&mut self) -> usize {
        self.now_ns += 1;
        let work = self.ingest.do_work(self.now_ns) + self.features.do_work(self.now_ns);
        let written = self.journal.do_work(self.now_ns);
        let served = &mut self.served;
        self.to_score.read_while(usize::MAX, |record| {
            served.push(*record);
            true
        });
        work + written
    }

    fn finish(mut self) -> Vec<FeatureRecord> {
        let mut idle = 0;
        while idle < 10 {
            idle = if self.turn() == 0 { idle + 1 } else { 0 };
        }
        self.journal.on_close();
        self.served
    }
}
