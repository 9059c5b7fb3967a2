//! What a checkpoint costs: time to hash, time to write, bytes on disk, time to restore; for both stores.
//!
//! ```text
//!   cargo run --release -p pinion-checkpoint --example cost -- DIR [MIB [ROUNDS]]
//! ```
//!
//! `DIR` must not exist; it is on the disk to be measured. `MIB` is the size of the state, 140 if not given;
//! `ROUNDS` how many checkpoints a line is the median of, 5 if not given.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pinion_checkpoint::{
    Backend, CheckpointConfig, Identity, Limits, Mark, Writer, Written, probe_main, restore,
};
use pinion_runtime::state::{PAGE_LEN, Region, RegionMut, State, digest};

fn main() -> ExitCode {
    if let Some(code) = probe_main() {
        return code;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("DIR is missing")?);
    let mut number = |default: usize| match arguments.next() {
        Some(text) => text.to_string_lossy().parse(),
        None => Ok(default),
    };
    let (mib, rounds) = (number(140)?, number(5)?);
    fs::create_dir(&dir)?;
    println!("| store | pages changed | hash | write | disk | restore |");
    println!("|---|---|---|---|---|---|");
    for backend in [Backend::Sled, Backend::Redb] {
        measure(backend, &dir.join(backend.name()), mib, rounds)?;
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

fn measure(backend: Backend, dir: &Path, mib: usize, count: usize) -> Result<(), Box<dyn Error>> {
    let config = CheckpointConfig {
        backend,
        snapshot_every: 0,
        dir: dir.to_owned(),
        ..CheckpointConfig::default()
    };
    let mut writer = Writer::new(&config, &Identity::default());
    let mut table = Table::new(mib << 20);
    let first = writer.write(&table, Mark::default())?;
    print(&config, "all, into an empty store", &[first], None)?;
    for percent in [0, 1, 10, 100] {
        let mut rounds = Vec::new();
        for _ in 0..count {
            table.change(percent);
            rounds.push(writer.write(&table, Mark::default())?);
        }
        drop(writer);
        let took = restored(&config, &table)?;
        print(&config, &format!("{percent} %"), &rounds, Some(took))?;
        writer = Writer::new(&config, &Identity::default());
        // Opens the store and reads it back, which no later line is to count.
        writer.write(&table, Mark::default())?;
    }
    drop(writer);
    print_snapshot(&config, &table)
}

/// How long it takes to have `table` again, which is checked.
fn restored(config: &CheckpointConfig, table: &Table) -> Result<Duration, Box<dyn Error>> {
    let limits = Limits {
        durable_position: u64::MAX,
        decided_sequence: u64::MAX,
    };
    let mut empty = Table {
        bytes: vec![0; table.bytes.len()],
        seed: 0,
    };
    let begun = Instant::now();
    let outcome = restore(config, &Identity::default(), limits, &mut empty);
    let took = begun.elapsed();
    if outcome.restored.is_none() || digest(&empty) != digest(table) {
        return Err(format!("not restored: {outcome:?}").into());
    }
    Ok(took)
}

fn print(
    config: &CheckpointConfig,
    what: &str,
    rounds: &[Written],
    restored: Option<Duration>,
) -> io::Result<()> {
    let median = |of: fn(&Written) -> Duration| {
        let mut times: Vec<_> = rounds.iter().map(of).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    let restored = restored.map_or_else(|| "–".to_owned(), ms);
    println!(
        "| {} | {what} ({:.1} MiB) | {} | {} | {} MiB | {restored} |",
        config.backend.name(),
        rounds[0].bytes as f64 / 1048576.0,
        ms(median(|written| written.hash_took)),
        ms(median(|written| written.write_took)),
        size(&config.dir)? >> 20,
    );
    Ok(())
}

fn print_snapshot(config: &CheckpointConfig, table: &Table) -> Result<(), Box<dyn Error>> {
    let config = CheckpointConfig {
        snapshot_every: 1,
        ..config.clone()
    };
    let mut writer = Writer::new(&config, &Identity::default());
    writer.write(table, Mark::default())?;
    let begun = Instant::now();
    let len = writer.write(table, Mark::default())?.snapshot.transpose()?;
    let took = begun.elapsed();
    println!(
        "| {} | none, with a plain snapshot | | {} | {} MiB | |",
        config.backend.name(),
        ms(took),
        len.unwrap_or(0) >> 20
    );
    Ok(())
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

/// Bytes of all files under `dir`.
fn size(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        sum += if found.is_dir() {
            size(&entry.path())?
        } else {
            found.len()
        };
    }
    Ok(sum)
}

/// One region of noise, of which pages are changed at random.
struct Table {
    bytes: Vec<u8>,
    seed: u64,
}

impl Table {
    fn new(len: usize) -> Self {
        let mut table = Self {
            bytes: vec![0; len],
            seed: 1,
        };
        for start in (0..len).step_by(8) {
            let draw = table.draw();
            table.bytes[start..start + 8].copy_from_slice(&draw.to_le_bytes());
        }
        table
    }

    /// Changes 8 bytes in each page of a random `percent` of all.
    fn change(&mut self, percent: u64) {
        for start in (0..self.bytes.len()).step_by(PAGE_LEN) {
            if self.draw() % 100 < percent {
                let place = start + (self.draw() % 64) as usize * 64;
                let draw = self.draw();
                self.bytes[place..place + 8].copy_from_slice(&draw.to_le_bytes());
            }
        }
    }

    /// The next number of splitmix64.
    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let number = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }
}

impl State for Table {
    fn regions(&self) -> Vec<Region<'_>> {
        vec![Region {
            name: "table",
            index: 0,
            bytes: &self.bytes,
        }]
    }

    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        vec![RegionMut {
            name: "table",
            index: 0,
            bytes: &mut self.bytes,
        }]
    }
}
