//! How far something long has come: a bar on a terminal, a plain line every five seconds elsewhere.
//!
//! Invariant: progress goes to stderr only, and is quiet for what takes less than five seconds elsewhere.

use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::out::grouped;

/// How often a plain line is written.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Steps between two looks at the clock.
const LOOK_EVERY: u64 = 64;

const TEMPLATE: &str = "{msg} {bar:30} {human_pos} of {human_len}, {rate}/s, {eta} left";
const TEMPLATE_ENDLESS: &str = "{msg} {spinner} {human_pos}, {rate}/s";

/// Shows one count that grows.
pub struct Progress {
    what: &'static str,
    total: Option<u64>,
    bar: Option<ProgressBar>,
    next_look: u64,
    started: Instant,
    told: Instant,
}

impl Progress {
    /// Begins at 0. `total` may be an estimate.
    pub fn new(what: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(what, total));
        Self {
            what,
            total,
            bar,
            next_look: 0,
            started: Instant::now(),
            told: Instant::now(),
        }
    }

    /// So many are done.
    pub fn set(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            // It draws itself a few times a second, however often this is called.
            return bar.set_position(done);
        }
        if done < self.next_look {
            return;
        }
        self.next_look = done + LOOK_EVERY;
        if self.told.elapsed() >= LINE_INTERVAL {
            self.told = Instant::now();
            eprintln!("{}", line(self.what, done, self.total, self.started.elapsed()));
        }
    }

    /// Now it is known how many there are.
    pub fn set_total(&mut self, total: u64) {
        if self.total != Some(total) {
            let was_endless = self.total.replace(total).is_none();
            let Some(bar) = &self.bar else { return };
            bar.set_length(total);
            if was_endless {
                bar.set_style(style(self.total));
            }
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    ProgressBar::new(total.unwrap_or(0))
        .with_style(style(total))
        .with_message(what)
}

fn style(total: Option<u64>) -> ProgressStyle {
    let template = if total.is_some() {
        TEMPLATE
    } else {
        TEMPLATE_ENDLESS
    };
    let style =
        ProgressStyle::with_template(template).expect("the template is a constant that is well formed");
    // Since the bar began, not of the last draw: right after a jump that would be any number.
    style.with_key("rate", |state: &ProgressState, to: &mut dyn fmt::Write| {
        // What cannot be drawn is left out.
        let _ = to.write_str(&grouped(per_second(state.pos(), state.elapsed()) as u64));
    })
}

/// Steps a second; within the first tenth of one, as if it were over.
fn per_second(done: u64, elapsed: Duration) -> f64 {
    done as f64 / elapsed.as_secs_f64().max(0.1)
}

fn line(what: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let per_second = per_second(done, elapsed);
    let left = total.map(|total| {
        let seconds = total.saturating_sub(done) as f64 / per_second.max(1e-9);
        format!(" of {}, {seconds:.0} s left", grouped(total))
    });
    format!(
        "{what}: {}{}, {}/s",
        grouped(done),
        left.unwrap_or_default(),
        grouped(per_second as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_is_left_if_that_is_known() {
        let elapsed = Duration::from_secs(10);
        assert_eq!(
            line("publish", 1_000, Some(3_000), elapsed),
            "publish: 1,000 of 3,000, 20 s left, 100/s"
        );
        assert_eq!(line("publish", 1_000, None, elapsed), "publish: 1,000, 100/s");
    }

    #[test]
    fn rate_of_an_instant_is_no_fantastic_number() {
        assert_eq!(per_second(53_248, Duration::from_nanos(4)), 532_480.0);
        assert_eq!(per_second(1_000, Duration::from_secs(2)), 500.0);
    }
}
