//! `pinion listen`: decisions and rejects as they are published.
//!
//! An engine numbers what it publishes without gaps within its session, over both lanes and the rejects: a
//! number left out is a frame that was lost on the way here. The sequences of a lane tell nothing of that,
//! since events that ask for no answer have no decision.
//!
//! Invariant: a decision that was shown once is not shown again when the engine publishes it after a restart.

use std::time::Duration;

use pinion_node::Config;
use pinion_runtime::shutdown::Signal;
use pinion_schemas::wire::{Frame, Limits, read};
use pinion_transport::{Bus, Subscription as _};

use crate::args::{LaneName, ListenArguments, Output};
use crate::connection::{self, Connection, Patience, Task};
use crate::exit::{Ended, Failure};
use crate::frames::{Sender, ShownDecision, ShownReject, heading};
use crate::out::{Out, grouped};
use crate::{configuration, signals};

/// Frames taken in one turn.
const BATCH_MAX: usize = 64;

/// Listens.
///
/// # Errors
/// The bus refuses, or with `--idle` no engine was ever there.
pub fn run(arguments: &ListenArguments, output: Output) -> Result<Ended, Failure> {
    let config = configuration::load(&arguments.configuration)?;
    let signal = signals::watch()?;
    let tally = connection::with(
        &config,
        Listen {
            arguments,
            config: &config,
            output,
            signal,
        },
    )?;
    eprintln!(
        "{} market and {} payment decisions, {} rejects; {} passed over as shown before, {} lost on the way, {} unreadable",
        grouped(tally.decisions[0]),
        grouped(tally.decisions[1]),
        grouped(tally.rejects),
        grouped(tally.repeated),
        grouped(tally.lost),
        grouped(tally.unreadable),
    );
    Ok(Ended::Well)
}

struct Listen<'a> {
    arguments: &'a ListenArguments,
    config: &'a Config,
    output: Output,
    signal: Signal,
}

impl Task for Listen<'_> {
    type Outcome = Tally;

    fn run<B: Bus>(self, mut connection: Connection<B>) -> Result<Tally, Failure> {
        let endpoint = &self.config.bus.decisions;
        let mut subscription = connection
            .bus
            .add_subscription(endpoint)
            .map_err(Failure::could_not)?;
        let limit = self.arguments.limit.unwrap_or(u64::MAX);
        let idle = self.arguments.idle.map(Duration::from_secs_f64);
        let mut viewer = Viewer {
            tally: Tally::default(),
            track: Track::default(),
            features: features(self.config),
            lane: self.arguments.lane,
            output: self.output,
            out: Out::new(),
        };
        let (mut patience, mut was_connected, mut outcome) = (Patience::new(), false, Ok(()));
        if self.output == Output::Text {
            viewer.out.line(heading())?;
            viewer.out.flush()?;
        }
        while !self.signal.is_set() && viewer.tally.shown() < limit {
            connection.turn();
            if !was_connected && subscription.image_count() > 0 {
                was_connected = true;
                eprintln!("listening to {endpoint}");
            }
            let taken = subscription.poll(BATCH_MAX, |frame| {
                if outcome.is_ok() && viewer.tally.shown() < limit {
                    outcome = viewer.take(frame);
                }
            });
            outcome?;
            outcome = Ok(());
            if taken > 0 {
                patience = Patience::new();
                continue;
            }
            viewer.out.flush()?;
            if idle.is_some_and(|idle| patience.waited() > idle) {
                break;
            }
            if !was_connected && patience.is_long() {
                eprintln!("waiting: {}", connection.absence(endpoint));
            }
            patience.pause();
        }
        viewer.out.flush()?;
        if idle.is_some() && !was_connected && !self.signal.is_set() {
            return Err(Failure::could_not(connection.absence(endpoint)));
        }
        Ok(viewer.tally)
    }
}

/// What was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Decisions shown: market, payments.
    decisions: [u64; 2],
    rejects: u64,
    repeated: u64,
    lost: u64,
    unreadable: u64,
}

impl Tally {
    fn shown(&self) -> u64 {
        self.decisions[0] + self.decisions[1] + self.rejects
    }
}

/// What is known of the engine's counts.
#[derive(Clone, Debug, Default)]
struct Track {
    engine: Option<Sender>,
    /// The last sequence shown: market, payments.
    last: [u64; 2],
}

impl Track {
    /// Takes note of a frame of the engine. Returns how many before it never came here; 0 for the first.
    fn follow(&mut self, engine: &Sender) -> u64 {
        let lost = match &self.engine {
            None => 0,
            Some(before)
                if before.publisher_id == engine.publisher_id && before.session == engine.session =>
            {
                engine.sequence.saturating_sub(before.sequence + 1)
            }
            Some(_) => engine.sequence.saturating_sub(1),
        };
        self.engine = Some(engine.clone());
        lost
    }

    /// Whether a decision was shown before.
    fn is_repeated(&mut self, lane: usize, sequence: u64, is_recovered: bool) -> bool {
        if is_recovered && sequence <= self.last[lane] {
            return true;
        }
        self.last[lane] = sequence;
        false
    }
}

/// Names of the slots of the configured set; none if it cannot be read: reasons are then shown by their numbers.
fn features(config: &Config) -> Vec<String> {
    config
        .features
        .load_set()
        .map(|set| set.slot_names())
        .unwrap_or_default()
}

struct Viewer {
    tally: Tally,
    track: Track,
    /// Names of the features that reasons speak of.
    features: Vec<String>,
    lane: Option<LaneName>,
    output: Output,
    out: Out,
}

impl Viewer {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match read(bytes, &Limits::default()) {
            Ok(Frame::Decision(decision)) => {
                let shown = ShownDecision::of(&decision, &self.features);
                self.take_decision(&shown)
            }
            Ok(Frame::Reject(reject)) => self.take_reject(&ShownReject::of(reject.hot())),
            Ok(_) | Err(_) => {
                self.tally.unreadable += 1;
                Ok(())
            }
        }
    }

    fn take_decision(&mut self, decision: &ShownDecision) -> Result<(), Failure> {
        let lane = usize::from(decision.lane == "payments");
        self.tally.lost += self.track.follow(&decision.engine);
        if self
            .track
            .is_repeated(lane, decision.sequence, decision.is_recovered)
        {
            self.tally.repeated += 1;
            return Ok(());
        }
        if self
            .lane
            .is_some_and(|wanted| (wanted == LaneName::Payments) != (lane == 1))
        {
            return Ok(());
        }
        self.tally.decisions[lane] += 1;
        match self.output {
            Output::Json => self.out.json(decision),
            Output::Text => self.out.line(decision.text()),
        }
    }

    fn take_reject(&mut self, reject: &ShownReject) -> Result<(), Failure> {
        self.tally.lost += self.track.follow(&reject.engine);
        self.tally.rejects += 1;
        match self.output {
            Output::Json => self.out.json(reject),
            Output::Text => self.out.line(reject.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(session: u64, sequence: u64) -> Sender {
        Sender {
            publisher_id: 1,
            session,
            sequence,
        }
    }

    #[test]
    fn frames_lost_on_the_way_are_counted_but_not_those_before_we_came() {
        let mut track = Track::default();
        let frames = [(1, 7, 0), (1, 8, 0), (1, 11, 2), (2, 1, 0), (2, 2, 0), (3, 4, 3)];
        for (session, sequence, lost) in frames {
            assert_eq!(
                track.follow(&sender(session, sequence)),
                lost,
                "{session} {sequence}"
            );
        }
    }

    #[test]
    fn a_decision_of_before_the_restart_is_shown_once() {
        let mut track = Track::default();
        assert!(!track.is_repeated(1, 10, false));
        assert!(track.is_repeated(1, 9, true));
        assert!(track.is_repeated(1, 10, true));
        assert!(!track.is_repeated(1, 11, true));
        assert!(!track.is_repeated(0, 5, true));
        assert!(!track.is_repeated(1, 1, false), "a fresh engine begins anew");
    }
}
