//! What it costs to journal an input of 168 bytes, by how often the journal is made durable.
//!
//! The agent is turned on this thread after every 16 entries: one write each, as under load.
//!
//! Invariant: every case writes the same entries; none waits for the disk but `every_batch`.

use std::path::Path;

use pinion_journal::{FsyncPolicy, Identity, JournalAgent, JournalConfig, recover};
use pinion_latency_lab::bench::{Bench, is_smoke};
use pinion_runtime::agent::Agent as _;
use pinion_runtime::counters::Counters;
use pinion_runtime::faults::ErrorLog;
use pinion_runtime::ring::{EntryProducer, entry_ring};
use pinion_schemas::records::{EntryHeader, entry_kind};
use pinion_schemas::wire::Lane;

const PAYLOAD_LEN: usize = 168;
const BATCH: u64 = 16;

fn main() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let entries = if is_smoke() { 64 } else { 32_768 };
    let mut bench = Bench::new("journal/append_168_bytes");
    let cases = [
        ("never", FsyncPolicy::Never, entries),
        ("interval", FsyncPolicy::Interval, entries),
        ("every_batch", FsyncPolicy::EveryBatch, entries / 64 + BATCH),
    ];
    for (name, fsync, entries) in cases {
        let mut journal = Journal::start(&folder.path().join(name), fsync);
        bench.case(name, entries, move || journal.append(entries));
    }
    bench.finish(9);
}

struct Journal {
    input: EntryProducer,
    agent: JournalAgent,
    written: u64,
}

impl Journal {
    fn start(folder: &Path, fsync: FsyncPolicy) -> Self {
        let config = JournalConfig {
            dir: folder.to_owned(),
            fsync,
            ..JournalConfig::default()
        };
        let (input, output) = entry_ring(32_768);
        let identity = Identity {
            config_hash: 1,
            build: "bench".to_owned(),
            started_ns: 1,
        };
        let recovery = recover(&config).expect("an empty folder is a journal");
        let (counters, faults) = (Counters::in_memory(64), ErrorLog::in_memory());
        let agent = JournalAgent::new(&config, recovery, vec![output], &identity, &counters, &faults)
            .expect("a new journal");
        Self {
            input,
            agent,
            written: 0,
        }
    }

    fn append(&mut self, entries: u64) {
        let payload = [7; PAYLOAD_LEN];
        for _ in 0..entries.div_ceil(BATCH) {
            for _ in 0..BATCH {
                self.written += 1;
                let header = EntryHeader {
                    kind: entry_kind::INPUT,
                    lane: Lane::Market.0,
                    input_index: self.written,
                    sequence: self.written,
                    ..EntryHeader::default()
                };
                while !self.input.try_write(&header, &payload) {
                    self.agent.do_work(1);
                }
            }
            self.agent.do_work(1);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.agent.on_close();
    }
}
