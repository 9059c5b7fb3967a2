//! Listens to the decisions while the days are played, and shows how it goes.

use std::io::IsTerminal;
use std::process::Child;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use pinion_latency_lab::report::Percentiles;
use pinion_latency_lab::rig;
use pinion_node::{Accounts, Config};
use pinion_runtime::counters::Counters;
use pinion_runtime::shutdown::Signal;
use pinion_schemas::ids::Id;
use pinion_schemas::wire::{Action, DecisionHot, Frame, Lane, Limits, read};
use pinion_transport::{Bus, Subscription};

use super::days::Truth;
use crate::connection::{Connection, Patience, Task};
use crate::exit::Failure;
use crate::out::grouped;

/// How often the view is drawn: on a terminal, and elsewhere.
const DRAW_EVERY: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(3)];

/// How long nothing may happen before something is taken for lost.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Frames taken in one turn.
const FRAGMENT_LIMIT: usize = 256;

/// The stages whose latency the stamps of a decision tell.
pub const STAGES: [&str; 4] = [
    "ingest to scored",
    "scored to decided",
    "decided to published",
    "ingest to published",
];

/// Scenarios of fraud, and the genuine.
pub const SCENARIOS: usize = 4;

/// What the watch looks at.
pub struct Scene<'a> {
    /// The engine's configuration.
    pub config: &'a Config,
    /// The engine's counters.
    pub counters: &'a Counters,
    /// Set when somebody wants to end.
    pub signal: &'a Signal,
    /// What is true of the transactions.
    pub truth: &'a Truth,
    /// The publishing processes.
    pub publishers: Vec<Child>,
    /// Events of the market day.
    pub market_events: u64,
    /// Events of the payments day.
    pub payment_events: u64,
}

/// How a judged transaction was decided: approved, reviewed, declined; and its amounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judged {
    /// By action: approve, review, decline.
    pub count: [u64; 3],
    /// The same in minor currency units.
    pub amount_minor: [i64; 3],
}

/// What the decisions told.
pub struct Seen {
    /// Decisions received by lane: market, payments.
    pub decisions: [u64; 2],
    /// Decisions that did not come in the order of their lane.
    pub disordered: u64,
    /// Decisions whose five stamps decrease somewhere.
    pub unstamped: u64,
    /// Latencies by lane and stage.
    pub latencies: [[Histogram<u64>; STAGES.len()]; 2],
    /// Transactions of the judged days by scenario, 0 the genuine ones.
    pub judged: [Judged; SCENARIOS],
    /// How long the days were played.
    pub played: Duration,
    last_sequences: [u64; 2],
}

impl Seen {
    fn new() -> Self {
        let stages = || std::array::from_fn(|_| rig::histogram());
        Self {
            decisions: [0; 2],
            disordered: 0,
            unstamped: 0,
            latencies: [stages(), stages()],
            judged: [Judged::default(); SCENARIOS],
            played: Duration::ZERO,
            last_sequences: [0; 2],
        }
    }

    fn note(&mut self, hot: &DecisionHot, truth: &Truth) {
        let lane = usize::from(hot.lane() == Lane::Payment);
        self.decisions[lane] += 1;
        self.disordered += u64::from(hot.sequence() <= self.last_sequences[lane]);
        self.last_sequences[lane] = hot.sequence();
        let stamps = [
            hot.ingest_ns(),
            hot.scored_ns(),
            hot.decided_ns(),
            hot.published_ns(),
        ];
        self.unstamped += u64::from(hot.event_ns() > stamps[0] || !stamps.is_sorted());
        for (stage, pair) in stamps.windows(2).enumerate() {
            self.latencies[lane][stage].saturating_record((pair[1] - pair[0]).max(0) as u64);
        }
        self.latencies[lane][3].saturating_record((stamps[3] - stamps[0]).max(0) as u64);
        if lane == 1 {
            self.judge(hot, truth);
        }
    }

    fn judge(&mut self, hot: &DecisionHot, truth: &Truth) {
        let Some(fact) = truth.judged(&Id::from(hot.subject())) else {
            return;
        };
        let column = match hot.action() {
            Action::Approve => 0,
            Action::Review => 1,
            Action::Decline => 2,
            _ => return,
        };
        let judged = &mut self.judged[usize::from(fact.scenario).min(SCENARIOS - 1)];
        judged.count[column] += 1;
        judged.amount_minor[column] += fact.amount_minor;
    }
}

/// Listens until both publishers have ended and everything is decided.
pub struct Watch<'a>(pub Scene<'a>);

impl Task for Watch<'_> {
    type Outcome = Seen;

    fn run<B: Bus>(self, mut connection: Connection<B>) -> Result<Seen, Failure> {
        let mut scene = self.0;
        let endpoint = &scene.config.bus.decisions;
        let mut decisions = connection
            .bus
            .add_subscription(endpoint)
            .map_err(Failure::could_not)?;
        let (mut seen, mut view) = (Seen::new(), View::new());
        let (started, mut patience) = (Instant::now(), Patience::new());
        loop {
            connection.turn();
            let found = decisions.poll(FRAGMENT_LIMIT, |bytes| {
                if let Ok(Frame::Decision(decision)) = read(bytes, &Limits::default()) {
                    seen.note(decision.hot(), scene.truth);
                }
            });
            if found > 0 {
                patience = Patience::new();
            } else {
                if scene.is_over(&seen)? {
                    break;
                }
                scene.check_patience(&patience)?;
                patience.pause();
            }
            view.draw(&seen, scene.counters);
        }
        seen.played = started.elapsed();
        view.finish();
        Ok(seen)
    }
}

impl Scene<'_> {
    /// Whether both publishers have ended and every decision they asked for has come.
    fn is_over(&mut self, seen: &Seen) -> Result<bool, Failure> {
        for publisher in &mut self.publishers {
            match publisher.try_wait().map_err(Failure::could_not)? {
                None => return Ok(false),
                Some(status) if !status.success() => {
                    return Err(Failure::could_not(format!("a publisher ended with {status}")));
                }
                Some(_) => {}
            }
        }
        let accounts = Accounts::of(&self.counters.list());
        let published = [accounts.market.published, accounts.payments.published];
        let taken = |lane: &pinion_node::LaneAccount| lane.accepted + lane.duplicates + lane.rejected;
        let all_taken = taken(&accounts.market) + accounts.market.missing >= self.market_events
            && taken(&accounts.payments) + accounts.payments.missing >= self.payment_events;
        Ok(all_taken && accounts.inside() == 0 && published == seen.decisions)
    }

    fn check_patience(&self, patience: &Patience) -> Result<(), Failure> {
        if self.signal.is_set() {
            return Err(Failure::could_not("interrupted"));
        }
        if patience.waited() > SILENCE_MAX {
            let accounts = Accounts::of(&self.counters.list());
            return Err(Failure::could_not(format!(
                "no decision came for {} s: {} of {} market and {} of {} payment events were accepted, {} are inside",
                SILENCE_MAX.as_secs(),
                accounts.market.accepted,
                self.market_events,
                accounts.payments.accepted,
                self.payment_events,
                accounts.inside(),
            )));
        }
        Ok(())
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        for publisher in &mut self.publishers {
            let _ = publisher.kill();
            let _ = publisher.wait();
        }
    }
}

/// The live view: several lines that are drawn anew on a terminal, a line now and then elsewhere.
struct View {
    bar: Option<ProgressBar>,
    drawn: Instant,
    decided: u64,
}

impl View {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg}").expect("the template is a constant");
            ProgressBar::new_spinner().with_style(style)
        });
        Self {
            bar,
            drawn: Instant::now(),
            decided: 0,
        }
    }

    fn draw(&mut self, seen: &Seen, counters: &Counters) {
        let since = self.drawn.elapsed();
        if since < DRAW_EVERY[usize::from(self.bar.is_none())] {
            return;
        }
        let accounts = Accounts::of(&counters.list());
        let decided = accounts.market.decided + accounts.payments.decided;
        let rate = (decided - self.decided) as f64 / since.as_secs_f64();
        (self.drawn, self.decided) = (Instant::now(), decided);
        match &self.bar {
            Some(bar) => bar.set_message(lines(rate, &accounts, seen)),
            None => eprintln!("      {}", line(rate, &accounts, seen)),
        }
    }

    fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish();
        }
    }
}

fn line(rate: f64, accounts: &Accounts, seen: &Seen) -> String {
    let (payments, market) = (&accounts.payments, &accounts.market);
    let whole: Percentiles = (&seen.latencies[1][3]).into();
    format!(
        "{} events/s | approve {} review {} decline {} | buy {} sell {} | payment inside p50 {:.1} p99 {:.1} us",
        grouped(rate as u64),
        grouped(payments.action("approve")),
        grouped(payments.action("review")),
        grouped(payments.action("decline")),
        grouped(market.action("buy")),
        grouped(market.action("sell")),
        whole.p50_ns as f64 / 1e3,
        whole.p99_ns as f64 / 1e3,
    )
}

fn lines(rate: f64, accounts: &Accounts, seen: &Seen) -> String {
    let mut text = format!(
        "      {} events/s, {} decided, {} inside\n      payments: approve {}, review {}, decline {}    market: buy {}, sell {}\n",
        grouped(rate as u64),
        grouped(accounts.market.decided + accounts.payments.decided),
        grouped(accounts.inside()),
        grouped(accounts.payments.action("approve")),
        grouped(accounts.payments.action("review")),
        grouped(accounts.payments.action("decline")),
        grouped(accounts.market.action("buy")),
        grouped(accounts.market.action("sell")),
    );
    for row in latency_rows(seen) {
        text.push_str("      ");
        text.push_str(&row);
        text.push('\n');
    }
    text
}

/// The table of latencies as text: per lane and stage p50, p99, p99.9 in microseconds.
pub fn latency_rows(seen: &Seen) -> Vec<String> {
    let mut rows = vec![format!(
        "{:<32} {:>9} {:>9} {:>9}",
        "latency, us", "p50", "p99", "p99.9"
    )];
    for (lane, name) in ["market", "payments"].into_iter().enumerate() {
        for (stage, what) in STAGES.into_iter().enumerate() {
            let found: Percentiles = (&seen.latencies[lane][stage]).into();
            let micros = |ns: u64| format!("{:>9.2}", ns as f64 / 1e3);
            let (p50, p99, p999) = (micros(found.p50_ns), micros(found.p99_ns), micros(found.p999_ns));
            rows.push(format!("{:<32} {p50} {p99} {p999}", format!("{name}: {what}")));
        }
    }
    rows
}
