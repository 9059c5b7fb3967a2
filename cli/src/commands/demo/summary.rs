//! What the demo showed: fraud caught, latencies, accounts, the journal, and how to go on.

use std::path::Path;
use std::time::Duration;

use pinion_latency_lab::report::Percentiles;
use pinion_node::Summary;
use pinion_replay::verify::Verdict;
use serde_json::json;

use super::days::{Days, JUDGED_DAYS};
use super::watch::{Judged, STAGES, Seen, latency_rows};
use crate::args::Output;
use crate::commands::run::{account_rows, accounts_json};
use crate::exit::{Ended, Failure};
use crate::frames::hash_text;
use crate::out::{Out, grouped, table};

/// The scenarios as people call them, the genuine first.
const NAMES: [&str; 4] = [
    "genuine",
    "fraud: amount far too high",
    "fraud: terminal compromised",
    "fraud: card details stolen",
];

/// Everything that was found.
pub struct Report<'a> {
    /// By listening.
    pub seen: Seen,
    /// By the engine, after its stop.
    pub engine: Summary,
    /// By replaying its journal.
    pub verdict: Verdict,
    /// What was played.
    pub days: &'a Days,
    /// The whole demo.
    pub took: Duration,
}

impl Report<'_> {
    /// Writes the summary; `kept` is the folder if it was kept.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn tell(&self, output: Output, kept: Option<&Path>) -> Result<(), Failure> {
        let mut out = Out::new();
        match output {
            Output::Json => out.json(&self.json())?,
            Output::Text => self.text(&mut out, kept)?,
        }
        out.flush()
    }

    /// Whether everything held that the demo promises.
    ///
    /// # Errors
    /// [`Failure::ObjectiveMissed`] with what did not.
    pub fn judge(&self) -> Result<Ended, Failure> {
        let accounts = &self.engine.accounts;
        let taken = |lane: &pinion_node::LaneAccount| lane.accepted + lane.duplicates + lane.rejected;
        let checks = [
            (
                taken(&accounts.market) == self.days.market_events,
                "not every market event arrived",
            ),
            (
                taken(&accounts.payments) == self.days.payment_events,
                "not every payment event arrived",
            ),
            (accounts.inside() == 0, "not every accepted event was decided"),
            (self.seen.disordered == 0, "decisions came out of order"),
            (self.seen.unstamped == 0, "the stamps of a decision decrease"),
            (
                self.verdict.is_identical(),
                "the replayed decisions differ from the recorded ones",
            ),
        ];
        match checks.iter().find(|(held, _)| !held) {
            None => Ok(Ended::Well),
            Some((_, what)) => Err(Failure::ObjectiveMissed((*what).to_owned())),
        }
    }

    fn text(&self, out: &mut Out, kept: Option<&Path>) -> Result<(), Failure> {
        out.line(format!(
            "\nFraud in the last {JUDGED_DAYS} days of payments (a review is a person looking at it)\n"
        ))?;
        for line in table(&self.fraud_rows()) {
            out.line(format!("  {line}"))?;
        }
        out.line(
            "\nLatency from the decisions' own stamps; both lanes and the publishers share this machine\n",
        )?;
        for line in latency_rows(&self.seen) {
            out.line(format!("  {line}"))?;
        }
        out.line("\nAccounts\n")?;
        for line in table(&account_rows(&self.engine.accounts)) {
            out.line(format!("  {line}"))?;
        }
        out.line(format!("\n{}", self.journal_line()))?;
        out.line(format!(
            "Demo done in {:.0} s. Go on with:\n{}",
            self.took.as_secs_f64(),
            next_steps(kept)
        ))
    }

    fn journal_line(&self) -> String {
        let verdict = &self.verdict;
        if !verdict.is_identical() {
            return format!(
                "Journal: {} of {} decisions differ when replayed",
                verdict.different(),
                verdict.compared()
            );
        }
        format!(
            "Journal verified: {} inputs replayed at {} events/s, {} decisions byte for byte the recorded ones, decision hash {}",
            grouped(verdict.inputs),
            grouped(verdict.events_per_second() as u64),
            grouped(verdict.compared()),
            hash_text(verdict.decision_hash()),
        )
    }

    fn fraud_rows(&self) -> Vec<Vec<String>> {
        let heading = [
            "",
            "payments",
            "approved",
            "reviewed",
            "declined",
            "stopped",
            "amount stopped",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for (scenario, name) in [1, 2, 3, 0].map(|scenario| (scenario, NAMES[scenario])) {
            let Judged { count, amount_minor } = self.seen.judged[scenario];
            let (all, stopped) = (count.iter().sum::<u64>(), count[1] + count[2]);
            let share = 100.0 * stopped as f64 / all.max(1) as f64;
            let amount = (amount_minor[1] + amount_minor[2]) as f64 / 100.0;
            let mut row = vec![name.to_owned(), grouped(all)];
            row.extend(count.map(grouped));
            row.extend([format!("{share:.1} %"), format!("{} EUR", grouped(amount as u64))]);
            rows.push(row);
        }
        rows
    }

    fn json(&self) -> serde_json::Value {
        let stage = |lane: usize| -> serde_json::Map<_, _> {
            let entry = |stage: usize| {
                let found: Percentiles = (&self.seen.latencies[lane][stage]).into();
                (STAGES[stage].to_owned(), json!(found))
            };
            (0..STAGES.len()).map(entry).collect()
        };
        let judged: Vec<_> = (0..NAMES.len())
            .map(|scenario| {
                let [approved, reviewed, declined] = self.seen.judged[scenario].count;
                json!({"scenario": scenario, "approved": approved, "reviewed": reviewed, "declined": declined})
            })
            .collect();
        json!({
            "accounts": accounts_json(&self.engine.accounts),
            "latency": {"market": stage(0), "payments": stage(1)},
            "judged": judged,
            "journal_identical": self.verdict.is_identical(),
            "decision_hash": hash_text(self.verdict.decision_hash()),
            "seconds": self.took.as_secs_f64(),
        })
    }
}

/// What to do next, as commands.
fn next_steps(kept: Option<&Path>) -> String {
    let replay = match kept {
        Some(folder) => format!("  pinion replay --verify --config {}/pinion.toml", folder.display()),
        None => "  pinion demo --keep DIR        keep the days and the journal, then: pinion replay --verify --config DIR/pinion.toml".to_owned(),
    };
    format!(
        "{replay}\n  pinion run                    an engine of your own (pinion config reference lists every key)\n  \
         pinion publish generated:payments    and `pinion listen` in another terminal\n  pinion lab run                latency, open loop"
    )
}
