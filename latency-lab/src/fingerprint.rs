//! What machine and build a figure is from.

use serde::{Deserialize, Serialize};

/// The environment of a run; stands in every line of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Processor, as the kernel names it.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Whether the kernel says that it runs under a hypervisor.
    pub virtual_machine: bool,
    /// Kernel release.
    pub kernel: String,
    /// Frequency governor of core 0, "none" where the kernel shows none.
    pub governor: String,
    /// Memory. Unit: MiB.
    pub memory_mib: u64,
    /// Load average of the last minute, just before: what else the machine was doing. Unit: threads.
    pub load: f64,
    /// Version of this program.
    pub version: String,
    /// "release", or "debug" whose figures say nothing.
    pub profile: String,
}

impl Fingerprint {
    /// Reads the environment.
    pub fn read() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = field(&cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let flags = field(&cpuinfo, "flags").unwrap_or_default();
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or(0);
        Self {
            cpu,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            virtual_machine: flags.split(' ').any(|flag| flag == "hypervisor"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            governor: or_none(read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").trim()),
            memory_mib: memory_kib / 1024,
            load: load(&read("/proc/loadavg")),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .to_owned(),
        }
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The first value of `name` in a file of `name : value` lines.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text
        .lines()
        .find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// The first number of the kernel's load averages; 0 where there are none.
fn load(loadavg: &str) -> f64 {
    let first = loadavg.split(' ').next();
    first.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\nmodel name\t: Other\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field(text, "flags"), None);
    }

    #[test]
    fn load_is_that_of_the_last_minute() {
        assert_eq!(load("0.52 0.58 0.59 1/97 27385\n"), 0.52);
        assert_eq!(load(""), 0.0);
    }

    #[test]
    fn this_machine_has_a_fingerprint() {
        let found = Fingerprint::read();
        assert!(
            found.cores >= 1 && !found.kernel.is_empty() && found.memory_mib > 0,
            "{found:?}"
        );
    }
}
