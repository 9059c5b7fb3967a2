//! Results as JSON lines and as a table for people.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::floor::{Hiccups, RoundTrip};

/// Latencies at the usual marks. Unit: ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Median.
    pub p50_ns: u64,
    /// 99 %.
    pub p99_ns: u64,
    /// 99.9 %.
    pub p999_ns: u64,
    /// Longest.
    pub max_ns: u64,
}

impl From<&Histogram<u64>> for Percentiles {
    fn from(histogram: &Histogram<u64>) -> Self {
        Self {
            p50_ns: histogram.value_at_quantile(0.5),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
        }
    }
}

/// The machine's floors around a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floors {
    /// Cache line to another core and back, `None` on one core.
    pub core_round_trip: Option<RoundTrip>,
    /// Interruptions of a spinning pinned thread.
    pub hiccups: Hiccups,
}

/// One scenario's line of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioResult {
    /// Name of the scenario.
    pub scenario: String,
    /// Intended events per second, 0 for a closed loop.
    pub rate_per_s: f64,
    /// Events sent.
    pub sent: usize,
    /// Answers received.
    pub received: usize,
    /// Sends that were not accepted at once.
    pub refused: u64,
    /// Latency from the intended time.
    pub latency: Percentiles,
    /// Interleaved rounds merged into it.
    pub rounds: usize,
}

/// One run of the lab: a line in `latency-lab/results`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Layout of this line.
    pub format: u32,
    /// When it ran, ns since the Unix epoch.
    pub at_ns: i64,
    /// Where it ran.
    pub environment: Fingerprint,
    /// Just before.
    pub before: Floors,
    /// Just after.
    pub after: Floors,
    /// What was measured, the rival first.
    pub scenarios: Vec<ScenarioResult>,
}

impl Report {
    /// The report as one line of JSON.
    pub fn to_json_line(&self) -> String {
        serde_json::to_string(self).expect("numbers and text serialise")
    }

    /// The report as a table in Markdown; times in µs, ratios to the first scenario's median.
    pub fn to_table(&self) -> String {
        let mut text = String::from(
            "| scenario | events/s | p50 µs | p99 µs | p99.9 µs | max µs | p50 / rival |\n|---|---|---|---|---|---|---|\n",
        );
        let rival_ns = self
            .scenarios
            .first()
            .map_or(1, |first| first.latency.p50_ns.max(1));
        for scenario in &self.scenarios {
            let Percentiles {
                p50_ns,
                p99_ns,
                p999_ns,
                max_ns,
            } = scenario.latency;
            let rate = if scenario.rate_per_s > 0.0 {
                format!("{:.0}", scenario.rate_per_s)
            } else {
                "closed loop".to_owned()
            };
            let ratio = p50_ns as f64 / rival_ns as f64;
            let micros = |ns: u64| ns as f64 / 1_000.0;
            let _ = writeln!(
                text,
                "| {} | {rate} | {:.2} | {:.2} | {:.2} | {:.1} | {ratio:.1} |",
                scenario.scenario,
                micros(p50_ns),
                micros(p99_ns),
                micros(p999_ns),
                micros(max_ns),
            );
        }
        let _ = writeln!(text, "\n{}", self.conditions());
        text
    }

    /// The machine and its floors in a sentence.
    fn conditions(&self) -> String {
        let trip = |floors: &Floors| {
            floors
                .core_round_trip
                .map_or("-".to_owned(), |trip| format!("{} ns", trip.median_ns))
        };
        format!(
            "{}, {} cores{}, kernel {}, {} build. Cache line to the other core and back: {} before, {} after. \
             Interruptions of 10 µs or more: {:.0} per second before, {:.0} after.",
            self.environment.cpu,
            self.environment.cores,
            if self.environment.virtual_machine {
                " (virtual)"
            } else {
                ""
            },
            self.environment.kernel,
            self.environment.profile,
            trip(&self.before),
            trip(&self.after),
            self.before.hiccups.over_10_us_per_s,
            self.after.hiccups.over_10_us_per_s,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let hiccups = Hiccups {
            over_1_us_per_s: 500.0,
            over_10_us_per_s: 360.0,
            over_100_us_per_s: 2.6,
            longest_ns: 1,
        };
        let floors = Floors {
            core_round_trip: Some(RoundTrip {
                min_ns: 110,
                median_ns: 120,
            }),
            hiccups,
        };
        let scenario = |scenario: &str, p50_ns| ScenarioResult {
            scenario: scenario.to_owned(),
            rate_per_s: 1e5,
            sent: 10,
            received: 10,
            refused: 0,
            latency: Percentiles {
                p50_ns,
                p99_ns: 900,
                p999_ns: 9_000,
                max_ns: 10_000,
            },
            rounds: 3,
        };
        Report {
            format: 1,
            at_ns: 0,
            environment: Fingerprint::read(),
            before: floors,
            after: floors,
            scenarios: vec![scenario("rival", 200), scenario("ours", 500)],
        }
    }

    #[test]
    fn a_line_reads_back_as_it_was() {
        let report = report();
        let line = report.to_json_line();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Report>(&line).unwrap(), report);
    }

    #[test]
    fn the_table_gives_ratios_to_the_first() {
        let table = report().to_table();
        assert!(
            table.contains("| ours | 100000 | 0.50 | 0.90 | 9.00 | 10.0 | 2.5 |"),
            "{table}"
        );
        assert!(table.contains("120 ns before"), "{table}");
    }
}
