//! Results as JSON lines and as a table for people.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::floor::{Hiccups, RoundTrip};
use crate::scenario::{MODEL, RIVAL};

/// The layout of [`Report`] that this program writes.
pub const FORMAT: u32 = 1;

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
    /// Length of the frames sent, 0 if none are. Unit: bytes.
    pub frame_len: usize,
    /// Events sent.
    pub sent: usize,
    /// Answers received.
    pub received: usize,
    /// Sends that were not accepted at once.
    pub refused: u64,
    /// Latency from the intended time.
    pub latency: Percentiles,
    /// From arrival in the engine to the decision, by the engine's own stamps; without the bus, the journal's gate
    /// and the rig. None: what was measured does not stamp.
    #[serde(default)]
    pub inside: Option<Percentiles>,
    /// Interleaved rounds merged into it.
    pub rounds: usize,
}

impl ScenarioResult {
    fn is_closed_loop(&self) -> bool {
        self.rate_per_s == 0.0
    }

    fn rate_and_len(&self) -> (String, String) {
        if self.is_closed_loop() {
            return ("one after the other".to_owned(), "-".to_owned());
        }
        (format!("{:.0}", self.rate_per_s), self.frame_len.to_string())
    }

    fn inside(&self) -> String {
        self.inside.map_or("-".to_owned(), |inside| {
            let [p50, p999, max] =
                [inside.p50_ns, inside.p999_ns, inside.max_ns].map(|ns| ns as f64 / 1_000.0);
            format!("{p50:.2} / {p999:.2} / {max:.1}")
        })
    }

    fn answered(&self) -> String {
        if self.received == self.sent {
            "all".to_owned()
        } else {
            format!("{} of {}", self.received, self.sent)
        }
    }
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
    /// How the gaps between events were drawn: "random" or "uniform".
    pub arrivals: String,
    /// Length of each scenario in each round, warm-up aside. Unit: s.
    pub seconds: f64,
    /// Core of the rig where it turns everything itself.
    pub core: usize,
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

    /// The report as a table in Markdown: times in µs, medians beside the rival's, and payments beside the model's.
    pub fn to_table(&self) -> String {
        let mut text = String::from(
            "| scenario | events/s | bytes | answered | p50 µs | p99 µs | p99.9 µs | max µs | inside: p50 / p99.9 / max µs | p50 / rival | p50 − model µs |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for scenario in &self.scenarios {
            let Percentiles {
                p50_ns,
                p99_ns,
                p999_ns,
                max_ns,
            } = scenario.latency;
            let [p50, p99, p999, max] = [p50_ns, p99_ns, p999_ns, max_ns].map(|ns| ns as f64 / 1_000.0);
            let (rate, frame_len) = scenario.rate_and_len();
            let _ = writeln!(
                text,
                "| {} | {rate} | {frame_len} | {} | {p50:.2} | {p99:.2} | {p999:.2} | {max:.1} | {} | {} | {} |",
                scenario.scenario,
                scenario.answered(),
                scenario.inside(),
                self.beside_rival(scenario),
                self.beside_model(scenario),
            );
        }
        let _ = writeln!(text, "\n{}", self.conditions());
        text
    }

    fn p50_ns(&self, name: &str) -> Option<u64> {
        let scenario = self.scenarios.iter().find(|scenario| scenario.scenario == name)?;
        Some(scenario.latency.p50_ns)
    }

    fn beside_rival(&self, scenario: &ScenarioResult) -> String {
        let rival_ns = self.p50_ns(RIVAL).filter(|_| !scenario.is_closed_loop());
        rival_ns.map_or("-".to_owned(), |rival_ns| {
            let ratio = scenario.latency.p50_ns as f64 / rival_ns.max(1) as f64;
            format!("{ratio:.1}")
        })
    }

    fn beside_model(&self, scenario: &ScenarioResult) -> String {
        let is_payments = scenario.scenario.starts_with("payments");
        let model_ns = self.p50_ns(MODEL).filter(|_| is_payments);
        model_ns.map_or("-".to_owned(), |model_ns| {
            format!(
                "{:+.2}",
                (scenario.latency.p50_ns as f64 - model_ns as f64) / 1_000.0
            )
        })
    }

    /// The machine and its floors in a sentence.
    fn conditions(&self) -> String {
        let trip = |floors: &Floors| {
            floors
                .core_round_trip
                .map_or("-".to_owned(), |trip| format!("{} ns", trip.median_ns))
        };
        format!(
            "{}, {} cores{}, kernel {}, {} build, load {:.1} before. Gaps {}, {} s a round and scenario. Cache line to the other core and back: {} before, {} after. \
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
            self.environment.load,
            self.arrivals,
            self.seconds,
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
            rate_per_s: if scenario == MODEL { 0.0 } else { 1e5 },
            frame_len: 168,
            sent: 10,
            received: 10,
            refused: 0,
            latency: Percentiles {
                p50_ns,
                p99_ns: 900,
                p999_ns: 9_000,
                max_ns: 10_000,
            },
            inside: (scenario == "payments, ours").then_some(Percentiles {
                p50_ns: 3_000,
                p99_ns: 4_000,
                p999_ns: 5_000,
                max_ns: 6_000,
            }),
            rounds: 3,
        };
        Report {
            format: FORMAT,
            at_ns: 0,
            environment: Fingerprint::read(),
            arrivals: "random".to_owned(),
            seconds: 2.0,
            core: 1,
            before: floors,
            after: floors,
            scenarios: vec![
                scenario(RIVAL, 200),
                scenario(MODEL, 4_000),
                scenario("payments, ours", 4_500),
            ],
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
    fn the_table_gives_ratios_to_the_rival_and_payments_less_the_model() {
        let table = report().to_table();
        let ours = "| payments, ours | 100000 | 168 | all | 4.50 | 0.90 | 9.00 | 10.0 | 3.00 / 5.00 / 6.0 | 22.5 | +0.50 |";
        assert!(table.contains(ours), "{table}");
        assert!(
            table.contains("| one after the other | - | all | 4.00 | 0.90 | 9.00 | 10.0 | - | - | - |"),
            "{table}"
        );
        assert!(table.contains("120 ns before"), "{table}");
    }

    #[test]
    fn answers_that_are_missing_are_told() {
        let mut report = report();
        report.scenarios[0].received = 9;
        assert!(report.to_table().contains("| 9 of 10 |"));
    }
}
