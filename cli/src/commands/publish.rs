//! `pinion publish`: plays a file or a made day into the bus.
//!
//! ```text
//!   source ─▶ pace ─▶ [Outbox] ─┬─ market:   own publication, own count from 1 ─▶ bus
//!                               └─ payments: own publication, own count from 1 ─▶ bus
//! ```
//!
//! Ingest counts a publisher's frames within its session on each stream separately, so each lane has a count
//! of its own here. A driver keeps what was accepted until the engine has taken it, even after this program
//! has ended.
//!
//! Invariant: a frame that is counted as sent was accepted by the bus; the next one has the next number.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinion_node::Config;
use pinion_replay::import::{EventSource, ImportOptions, OnError, SourceEvent};
use pinion_runtime::shutdown::Signal;
use pinion_schemas::encode::{Encoder, Stamp};
use pinion_schemas::wire::Lane;
use pinion_transport::{Bus, Endpoint, Offer, Publication as _};
use serde::Serialize;

use crate::args::{Output, PublishArguments};
use crate::connection::{self, Connection, Patience, Task};
use crate::exit::{Ended, Failure};
use crate::out::{Out, grouped};
use crate::pace::{Pace, Pacer};
use crate::progress::Progress;
use crate::{configuration, events, signals};

/// How long a wait for an event's time lasts at most before the bus is turned again.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// Plays it.
///
/// # Errors
/// The source cannot be read, or the engine took nothing for `--patience`. What was sent is told all the same.
pub fn run(arguments: &PublishArguments, output: Output) -> Result<Ended, Failure> {
    let config = configuration::load(&arguments.configuration)?;
    let on_error = if arguments.skip_bad_rows {
        OnError::Skip
    } else {
        OnError::Stop
    };
    let options = ImportOptions {
        on_error,
        ..ImportOptions::default()
    };
    let source = events::open(&arguments.source, arguments.format, &options, arguments.seed)?;
    eprintln!("{}", source.describe());
    let signal = signals::watch()?;
    let mut report = Report::new(arguments.session.unwrap_or_else(new_session));
    let task = Play {
        arguments,
        config: &config,
        source,
        signal,
        report: &mut report,
    };
    let outcome = connection::with(&config, task);
    tell(&report, output)?;
    outcome?;
    Ok(if report.refused_rows > 0 {
        Ended::WithFindings
    } else {
        Ended::Well
    })
}

/// A session that no earlier run had: the time now, in ns since the Unix epoch.
fn new_session() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// What was done.
#[derive(Clone, Debug, Default, Serialize)]
struct Report {
    session: u64,
    sent: SentByLane,
    /// Events passed over because of `--skip`.
    skipped: u64,
    refused_rows: u64,
    /// Events that had to wait for room on the bus.
    back_pressured: u64,
    /// From the first event sent to the last.
    seconds: f64,
    events_per_second: f64,
    /// Whether the source, or `--limit`, was reached.
    is_complete: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
struct SentByLane {
    market: u64,
    payments: u64,
}

impl Report {
    fn new(session: u64) -> Self {
        Self {
            session,
            ..Self::default()
        }
    }

    fn sent(&self) -> u64 {
        self.sent.market + self.sent.payments
    }

    /// Events dealt with: what `--skip` takes to go on from here.
    fn done(&self) -> u64 {
        self.skipped + self.sent()
    }
}

fn tell(report: &Report, output: Output) -> Result<(), Failure> {
    let mut out = Out::new();
    match output {
        Output::Json => out.json(report)?,
        Output::Text => out.line(format!(
            "sent {} market and {} payment events in {:.1} s, {}/s; {} waited for room, {} rows refused",
            grouped(report.sent.market),
            grouped(report.sent.payments),
            report.seconds,
            grouped(report.events_per_second as u64),
            grouped(report.back_pressured),
            grouped(report.refused_rows),
        ))?,
    }
    if !report.is_complete {
        eprintln!(
            "not complete; go on with --session {} --skip {}",
            report.session,
            report.done()
        );
    }
    out.flush()
}

/// Plays a source.
struct Play<'a> {
    arguments: &'a PublishArguments,
    config: &'a Config,
    source: Box<dyn EventSource>,
    signal: Signal,
    report: &'a mut Report,
}

impl Task for Play<'_> {
    type Outcome = ();

    fn run<B: Bus>(mut self, connection: Connection<B>) -> Result<(), Failure> {
        let mut outbox = Outbox::new(connection, &self, self.report.session);
        let limit = self.arguments.limit.unwrap_or(u64::MAX);
        let total = self.source.len_hint().map(|hint| hint.min(limit));
        let mut progress = Progress::new("publish", total.or(self.arguments.limit));
        let outcome = self.play(&mut outbox, &mut progress, limit);
        progress.finish();
        self.report.refused_rows = self.source.tally().skipped;
        if let Some(error) = self.source.first_skipped() {
            eprintln!("first refused row: {error}");
        }
        outcome
    }
}

impl Play<'_> {
    fn pace(&self) -> Pace {
        match (self.arguments.rate, self.arguments.speed) {
            (Some(rate), _) => Pace::Rate(rate),
            (None, Some(speed)) => Pace::Speed(speed),
            (None, None) => Pace::Unbounded,
        }
    }

    fn play<B: Bus>(
        &mut self,
        outbox: &mut Outbox<B>,
        progress: &mut Progress,
        limit: u64,
    ) -> Result<(), Failure> {
        let mut pacer: Option<Pacer> = None;
        let mut started = Instant::now();
        while self.report.done() < limit {
            let Some(event) = self.source.next()? else { break };
            let is_skipped = self.report.skipped < self.arguments.skip;
            if is_skipped {
                outbox.skip(&event);
                self.report.skipped += 1;
                continue;
            }
            // The clock starts when the engine is there, not while it is waited for.
            if pacer.is_none() && !outbox.wait_connected(&event)? {
                return Ok(());
            }
            let pacer = pacer.get_or_insert_with(|| {
                started = Instant::now();
                Pacer::new(self.pace())
            });
            if !outbox.wait_due(pacer, &event) || !outbox.send(&event, self.report)? {
                return Ok(());
            }
            progress.set(self.report.done());
            self.report.seconds = started.elapsed().as_secs_f64();
            self.report.events_per_second = self.report.sent() as f64 / self.report.seconds.max(1e-9);
        }
        self.report.is_complete = true;
        Ok(())
    }
}

/// One lane's way into the bus.
struct LaneOutbox<P> {
    endpoint: Endpoint,
    /// Made with the lane's first event.
    publication: Option<P>,
    /// Number of the last frame.
    sequence: u64,
}

/// Both lanes on one connection.
struct Outbox<B: Bus> {
    market: LaneOutbox<B::Publication>,
    payments: LaneOutbox<B::Publication>,
    encoder: Encoder,
    publisher_id: u32,
    session: u64,
    patience: Duration,
    signal: Signal,
    connection: Connection<B>,
}

impl<B: Bus> Outbox<B> {
    fn new(connection: Connection<B>, play: &Play<'_>, session: u64) -> Self {
        let lane = |endpoint: &Endpoint| LaneOutbox {
            endpoint: endpoint.clone(),
            publication: None,
            sequence: 0,
        };
        Self {
            market: lane(&play.config.bus.market),
            payments: lane(&play.config.bus.payments),
            encoder: Encoder::new(),
            publisher_id: play.arguments.publisher_id,
            session,
            patience: Duration::from_secs_f64(play.arguments.patience),
            signal: play.signal.clone(),
            connection,
        }
    }

    fn lane(&mut self, event: &SourceEvent) -> &mut LaneOutbox<B::Publication> {
        match event.event.lane() {
            Lane::Market => &mut self.market,
            _ => &mut self.payments,
        }
    }

    /// Gives the event its number without sending it.
    fn skip(&mut self, event: &SourceEvent) {
        self.lane(event).sequence += 1;
    }

    /// Waits until the engine listens on the event's lane. `false`: somebody asked to end.
    fn wait_connected(&mut self, event: &SourceEvent) -> Result<bool, Failure> {
        self.open(event)?;
        let mut patience = Patience::new();
        loop {
            self.connection.turn();
            if self
                .lane(event)
                .publication
                .as_ref()
                .is_some_and(|publication| publication.is_connected())
            {
                return Ok(true);
            }
            if self.signal.is_set() {
                return Ok(false);
            }
            if patience.waited() > self.patience {
                return Err(self.given_up(event));
            }
            if patience.is_long() {
                let endpoint = self.lane(event).endpoint.clone();
                eprintln!("waiting: {}", self.connection.absence(&endpoint));
            }
            patience.pause();
        }
    }

    /// Waits until the event is due. `false`: somebody asked to end.
    fn wait_due(&mut self, pacer: &mut Pacer, event: &SourceEvent) -> bool {
        loop {
            self.connection.turn();
            if self.signal.is_set() {
                return false;
            }
            if pacer.wait(event.event.event_ns(), WAIT_MAX) {
                return true;
            }
        }
    }

    /// Sends one event, however long the bus needs for it within the patience. `false`: somebody asked to end
    /// before.
    fn send(&mut self, event: &SourceEvent, report: &mut Report) -> Result<bool, Failure> {
        self.open(event)?;
        let mut patience = Patience::new();
        let mut has_waited = false;
        loop {
            match self.offer(event) {
                Offer::Accepted(_) => break,
                Offer::TooLong => return Err(self.too_long(event)),
                Offer::BackPressured if !has_waited => {
                    has_waited = true;
                    report.back_pressured += 1;
                }
                Offer::BackPressured | Offer::NotConnected | Offer::Closed => {}
            }
            if self.signal.is_set() {
                return Ok(false);
            }
            if patience.waited() > self.patience {
                return Err(self.given_up(event));
            }
            self.connection.turn();
            patience.pause();
        }
        match event.event.lane() {
            Lane::Market => report.sent.market += 1,
            _ => report.sent.payments += 1,
        }
        Ok(true)
    }

    fn open(&mut self, event: &SourceEvent) -> Result<(), Failure> {
        if self.lane(event).publication.is_none() {
            let endpoint = self.lane(event).endpoint.clone();
            let publication = self
                .connection
                .bus
                .add_publication(&endpoint)
                .map_err(Failure::could_not)?;
            self.lane(event).publication = Some(publication);
        }
        Ok(())
    }

    fn offer(&mut self, event: &SourceEvent) -> Offer {
        let lane = match event.event.lane() {
            Lane::Market => &mut self.market,
            _ => &mut self.payments,
        };
        let Some(publication) = &mut lane.publication else {
            return Offer::NotConnected;
        };
        let (publisher_id, session, sequence) = (self.publisher_id, self.session, lane.sequence + 1);
        let stamp = Stamp {
            publisher_id,
            session,
            sequence,
            flags: event.flags,
        };
        let offer = publication.offer(self.encoder.encode(&stamp, &event.event));
        if matches!(offer, Offer::Accepted(_)) {
            lane.sequence = sequence;
        }
        offer
    }

    fn given_up(&mut self, event: &SourceEvent) -> Failure {
        let endpoint = self.lane(event).endpoint.clone();
        let is_connected = self
            .lane(event)
            .publication
            .as_ref()
            .is_some_and(|publication| publication.is_connected());
        let reason = if is_connected {
            format!("the engine takes nothing from {endpoint}")
        } else {
            self.connection.absence(&endpoint)
        };
        Failure::could_not(format!(
            "given up after {} s: {reason}",
            self.patience.as_secs_f64()
        ))
    }

    fn too_long(&mut self, event: &SourceEvent) -> Failure {
        let lane = self.lane(event);
        let len_max = lane
            .publication
            .as_ref()
            .map_or(0, |publication| publication.message_len_max());
        Failure::could_not(format!(
            "an event is longer than {} takes, which is {len_max} bytes",
            lane.endpoint
        ))
    }
}
