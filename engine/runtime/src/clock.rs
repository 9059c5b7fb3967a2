//! Time: UTC that never steps back, at the price of a cycle counter; or a time that a test sets.
//!
//! ```text
//!   cycle counter ──quanta──▶ ns since start ──+ offset, slewed──▶ now_ns (UTC)
//!                                                 ▲
//!   system clock (UTC) ── reanchor, about once a second, conductor
//! ```
//!
//! The counter runs at its own rate and the system clock is disciplined from outside, so they drift apart.
//! [`Clock::reanchor`] measures by how much ([`Drift`]) and spreads the correction over the next second, at
//! most 500 µs of it. A system clock that is more than a second *ahead* (the machine was suspended) is followed
//! at once; one that is *behind* is approached at the slewing rate, however long that takes.
//!
//! Invariant: for one clock, a later reading on the same thread is never smaller, across re-anchoring too. (It
//! leans on a thread in [`Clock::reanchor`] not being suspended for 100 ms between computing and storing.)

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::counters::{Counter, Counters};

/// A correction is spread over this many ns: a power of two, so that the reader divides by a shift.
const SLEW_WINDOW_NS: i64 = 1 << SLEW_WINDOW_SHIFT;
const SLEW_WINDOW_SHIFT: u32 = 30;

/// The largest correction per window: 500 ppm, what `adjtime` allows itself.
const SLEW_NS_MAX: i64 = SLEW_WINDOW_NS / 2_000;

/// A correction begins this much after it was computed, so that every reader knows of it by then and two
/// readings cannot be taken from different curves.
const LEAD_NS: i64 = 100_000_000;

/// A system clock that is further ahead than this is followed at once.
const STEP_NS_MIN: i64 = 1_000_000_000;

// A window's correction is smaller than the window, so the slewed time still runs forward; their product, which
// the reader computes, fits an i64.
const _: () = assert!(SLEW_NS_MAX < SLEW_WINDOW_NS);
const _: () = assert!(SLEW_NS_MAX.checked_mul(SLEW_WINDOW_NS).is_some());

/// Tries to catch the system clock between two close readings of the counter.
const SAMPLES: usize = 5;

/// The present time. Clones read the same clock; any thread may hold one.
///
/// ```
/// use pinion_runtime::clock::Clock;
///
/// let (clock, virtual_clock) = Clock::manual(1_000);
/// virtual_clock.advance(5);
/// assert_eq!(clock.now_ns(), 1_005);
/// ```
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System(Arc<SystemClock>),
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// UTC by the cycle counter. The first one in a process calibrates the counter: up to 200 ms.
    pub fn system() -> Self {
        Self(Source::System(Arc::new(SystemClock::new())))
    }

    /// A clock that stands at `start_ns` until its [`VirtualClock`] moves it.
    pub fn manual(start_ns: i64) -> (Self, VirtualClock) {
        let now_ns = Arc::new(AtomicI64::new(start_ns));
        (Self(Source::Manual(now_ns.clone())), VirtualClock(now_ns))
    }

    /// The present time. Unit: ns since the Unix epoch.
    ///
    /// Cost: about 10 ns; manual: one load.
    #[inline]
    pub fn now_ns(&self) -> i64 {
        match &self.0 {
            Source::System(system) => system.now_ns(),
            Source::Manual(now_ns) => now_ns.load(Ordering::Acquire),
        }
    }

    /// Measures the drift against the system clock and begins to correct it. Call it about once a second, off
    /// the hot path. A manual clock does not drift.
    pub fn reanchor(&self) -> Drift {
        match &self.0 {
            Source::System(system) => system.reanchor(),
            Source::Manual(_) => Drift::default(),
        }
    }

    /// What the last [`Clock::reanchor`] found.
    pub fn drift(&self) -> Drift {
        match &self.0 {
            Source::System(system) => system.drift(),
            Source::Manual(_) => Drift::default(),
        }
    }
}

/// Moves a manual [`Clock`].
#[derive(Clone)]
pub struct VirtualClock(Arc<AtomicI64>);

impl VirtualClock {
    /// Sets the time; an earlier one than the present is ignored, for no clock here runs backwards.
    pub fn set(&self, now_ns: i64) {
        self.0.fetch_max(now_ns, Ordering::AcqRel);
    }

    /// Adds `delta_ns`; a negative one is ignored.
    pub fn advance(&self, delta_ns: i64) {
        self.0.fetch_add(delta_ns.max(0), Ordering::AcqRel);
    }
}

/// A reading that is shared by everything in one duty cycle. One thread owns it.
///
/// ```
/// use pinion_runtime::clock::{CachedClock, Clock};
///
/// let (clock, virtual_clock) = Clock::manual(10);
/// let cached = CachedClock::new(clock);
/// virtual_clock.set(20);
/// assert_eq!(cached.now_ns(), 10);
/// assert_eq!(cached.refresh(), 20);
/// ```
pub struct CachedClock {
    clock: Clock,
    now_ns: Cell<i64>,
}

impl CachedClock {
    /// Reads `clock` once.
    pub fn new(clock: Clock) -> Self {
        let now_ns = Cell::new(clock.now_ns());
        Self { clock, now_ns }
    }

    /// Reads the clock again, as at the start of a duty cycle, and returns the new time.
    #[inline]
    pub fn refresh(&self) -> i64 {
        self.now_ns.set(self.clock.now_ns().max(self.now_ns.get()));
        self.now_ns.get()
    }

    /// The time at the last [`CachedClock::refresh`]. Unit: ns since the Unix epoch. Cost: one load.
    #[inline]
    pub fn now_ns(&self) -> i64 {
        self.now_ns.get()
    }
}

/// How far the clock was from the system clock when it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// System clock minus this clock, before correction. Unit: ns.
    pub drift_ns: i64,
    /// The largest distance so far, without its sign. Unit: ns.
    pub drift_ns_max: i64,
    /// Times it was measured.
    pub reanchor_count: u64,
    /// Times the system clock was so far ahead that it was followed at once.
    pub step_count: u64,
}

impl Drift {
    /// This drift with one more measurement.
    fn with(self, drift_ns: i64) -> Self {
        Self {
            drift_ns,
            drift_ns_max: self.drift_ns_max.max(drift_ns.saturating_abs()),
            reanchor_count: self.reanchor_count + 1,
            step_count: self.step_count + u64::from(drift_ns >= STEP_NS_MIN),
        }
    }
}

/// The drift as counters, for people and alarms.
pub struct DriftCounters {
    behind_ns: Counter,
    ahead_ns: Counter,
    ns_max: Counter,
    reanchor_count: Counter,
    step_count: Counter,
}

impl DriftCounters {
    /// Registers `clock.behind_ns`, `clock.ahead_ns`, `clock.drift_ns_max`, `clock.reanchors`, `clock.steps`.
    pub fn new(counters: &Counters) -> Self {
        Self {
            behind_ns: counters.counter("clock.behind_ns"),
            ahead_ns: counters.counter("clock.ahead_ns"),
            ns_max: counters.counter("clock.drift_ns_max"),
            reanchor_count: counters.counter("clock.reanchors"),
            step_count: counters.counter("clock.steps"),
        }
    }

    /// Shows `drift`.
    pub fn set(&self, drift: &Drift) {
        self.behind_ns.set(drift.drift_ns.max(0) as u64);
        self.ahead_ns.set(drift.drift_ns.saturating_neg().max(0) as u64);
        self.ns_max.set(drift.drift_ns_max as u64);
        self.reanchor_count.set(drift.reanchor_count);
        self.step_count.set(drift.step_count);
    }
}

/// A straight line from the counter's time to UTC, with a correction that fades in over one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    /// Counter time at which the line begins.
    start_ns: i64,
    /// UTC at that time.
    utc_ns: i64,
    /// Correction spread over the window that begins there, -SLEW_NS_MAX..=SLEW_NS_MAX.
    slew_ns: i64,
}

impl Line {
    /// UTC at counter time `elapsed_ns`.
    #[inline]
    fn at(&self, elapsed_ns: i64) -> i64 {
        let since_ns = (elapsed_ns - self.start_ns).max(0);
        self.utc_ns + since_ns + ((self.slew_ns * since_ns.min(SLEW_WINDOW_NS)) >> SLEW_WINDOW_SHIFT)
    }
}

/// The line in force and the one that follows it, which begins where it is when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Curve {
    line: Line,
    next: Line,
}

impl Curve {
    /// A curve of one line through this point.
    fn through(start_ns: i64, utc_ns: i64) -> Self {
        let line = Line {
            start_ns,
            utc_ns,
            slew_ns: 0,
        };
        Self { line, next: line }
    }

    /// UTC at counter time `elapsed_ns`.
    #[inline]
    fn at(&self, elapsed_ns: i64) -> i64 {
        if elapsed_ns < self.next.start_ns {
            self.line.at(elapsed_ns)
        } else {
            self.next.at(elapsed_ns)
        }
    }

    /// The same curve up to [`LEAD_NS`] from `elapsed_ns`, from there on towards a UTC that is `drift_ns` ahead.
    /// `None` while the last correction has not begun.
    fn corrected(&self, elapsed_ns: i64, drift_ns: i64) -> Option<Self> {
        if elapsed_ns < self.next.start_ns {
            return None;
        }
        let step_ns = if drift_ns >= STEP_NS_MIN { drift_ns } else { 0 };
        let start_ns = elapsed_ns + LEAD_NS;
        let still_to_come_ns = self.at(start_ns) - self.at(elapsed_ns) - LEAD_NS;
        let slew_ns = (drift_ns - step_ns - still_to_come_ns).clamp(-SLEW_NS_MAX, SLEW_NS_MAX);
        let next = Line {
            start_ns,
            utc_ns: self.at(start_ns) + step_ns,
            slew_ns,
        };
        Some(Self {
            line: self.next,
            next,
        })
    }
}

/// The counter, the curve in force, and what was found of it.
struct SystemClock {
    counter: quanta::Clock,
    start_raw: u64,
    published: Published,
    /// Held by the one who re-anchors.
    drift: Mutex<Drift>,
}

impl SystemClock {
    fn new() -> Self {
        let counter = quanta::Clock::new();
        let start_raw = counter.raw();
        let (elapsed_ns, utc_ns) = sample(&counter, start_raw);
        let published = Published::new(Curve::through(elapsed_ns, utc_ns));
        Self {
            counter,
            start_raw,
            published,
            drift: Mutex::default(),
        }
    }

    #[inline]
    fn now_ns(&self) -> i64 {
        let (curve, elapsed_ns) = self
            .published
            .load_with(|| elapsed_ns(&self.counter, self.start_raw));
        curve.at(elapsed_ns)
    }

    fn reanchor(&self) -> Drift {
        let mut drift = self.drift.lock().unwrap_or_else(PoisonError::into_inner);
        let (elapsed_ns, utc_ns) = sample(&self.counter, self.start_raw);
        let (curve, _) = self.published.load_with(|| ());
        let drift_ns = utc_ns.saturating_sub(curve.at(elapsed_ns));
        if let Some(corrected) = curve.corrected(elapsed_ns, drift_ns) {
            self.published.store(corrected);
        }
        *drift = drift.with(drift_ns);
        *drift
    }

    fn drift(&self) -> Drift {
        *self.drift.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time since `start_raw` by the counter. Unit: ns.
#[inline]
fn elapsed_ns(counter: &quanta::Clock, start_raw: u64) -> i64 {
    counter.delta_as_nanos(start_raw, counter.raw()) as i64
}

/// A reading of the counter and one of the system clock that belong together: the closest of a few tries.
fn sample(counter: &quanta::Clock, start_raw: u64) -> (i64, i64) {
    let try_once = || {
        let before_ns = elapsed_ns(counter, start_raw);
        let utc_ns = system_utc_ns();
        let width_ns = elapsed_ns(counter, start_raw) - before_ns;
        (width_ns, before_ns + width_ns / 2, utc_ns)
    };
    let (_, elapsed_ns, utc_ns) = (0..SAMPLES)
        .map(|_| try_once())
        .min_by_key(|sample| sample.0)
        .expect("there are samples");
    (elapsed_ns, utc_ns)
}

/// The system clock. Unit: ns since the Unix epoch; a time before it reads as 0.
pub(crate) fn system_utc_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

/// A curve that one thread replaces now and then and that any number read without waiting.
///
/// Two places and a version: readers take the place that the version names and look at the version again; the
/// writer fills the other place, then names it. A reader repeats only if the version moved meanwhile, so a
/// writer that is suspended anywhere holds nobody up.
#[repr(align(64))]
struct Published {
    version: AtomicU64,
    places: [Place; 2],
}

#[repr(align(64))]
#[derive(Default)]
struct Place([AtomicI64; 6]);

impl Published {
    fn new(curve: Curve) -> Self {
        let published = Self {
            version: AtomicU64::new(0),
            places: Default::default(),
        };
        published.store(curve);
        published
    }

    /// Replaces the curve. One thread at a time.
    fn store(&self, curve: Curve) {
        let version = self.version.load(Ordering::Relaxed) + 1;
        // Whoever sees a value that is written below also sees that its place was no longer the named one.
        fence(Ordering::Release);
        let place = &self.places[(version & 1) as usize];
        let Curve { line, next } = curve;
        let values = [
            line.start_ns,
            line.utc_ns,
            line.slew_ns,
            next.start_ns,
            next.utc_ns,
            next.slew_ns,
        ];
        for (word, value) in place.0.iter().zip(values) {
            word.store(value, Ordering::Relaxed);
        }
        self.version.store(version, Ordering::Release);
    }

    /// The curve and what `read` gave while it was the one in force.
    #[inline]
    fn load_with<R>(&self, read: impl Fn() -> R) -> (Curve, R) {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let [
                start_ns,
                utc_ns,
                slew_ns,
                next_start_ns,
                next_utc_ns,
                next_slew_ns,
            ] = self.places[(version & 1) as usize]
                .0
                .each_ref()
                .map(|word| word.load(Ordering::Relaxed));
            let value = read();
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                let line = Line {
                    start_ns,
                    utc_ns,
                    slew_ns,
                };
                let next = Line {
                    start_ns: next_start_ns,
                    utc_ns: next_utc_ns,
                    slew_ns: next_slew_ns,
                };
                return (Curve { line, next }, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const START_UTC_NS: i64 = 1_700_000_000_000_000_000;
    const SECOND_NS: i64 = 1_000_000_000;

    /// Re-anchors every second against a UTC that runs `drift_ppm` faster, and returns what is left of it.
    fn left_after(seconds: i64, begin_ns: i64, drift_ppm: i64) -> i64 {
        let mut curve = Curve::through(0, START_UTC_NS);
        let utc_at =
            |elapsed_ns: i64| START_UTC_NS + begin_ns + elapsed_ns + elapsed_ns / 1_000_000 * drift_ppm;
        for second in 1..=seconds {
            let elapsed_ns = second * SECOND_NS;
            let drift_ns = utc_at(elapsed_ns) - curve.at(elapsed_ns);
            curve = curve.corrected(elapsed_ns, drift_ns).unwrap();
        }
        let elapsed_ns = (seconds + 1) * SECOND_NS;
        utc_at(elapsed_ns) - curve.at(elapsed_ns)
    }

    #[test]
    fn small_error_is_gone_after_a_few_seconds() {
        for begin_ns in [-400_000, 0, 400_000] {
            assert!(
                left_after(5, begin_ns, 0).abs() < 1_000,
                "{begin_ns}: {}",
                left_after(5, begin_ns, 0)
            );
        }
    }

    #[test]
    fn counter_that_runs_wrong_is_held_within_its_error_per_second() {
        for drift_ppm in [-100, -5, 5, 100] {
            let left_ns = left_after(60, 0, drift_ppm);
            assert!(
                left_ns.abs() < 3 * drift_ppm.abs() * 1_000,
                "{drift_ppm} ppm: {left_ns} ns"
            );
        }
    }

    #[test]
    fn utc_that_is_far_ahead_is_followed_at_once() {
        assert!(left_after(1, 3_600 * SECOND_NS, 0).abs() < 1_000);
    }

    #[test]
    fn utc_that_is_far_behind_is_approached_slowly() {
        let left_ns = left_after(10, -3_600 * SECOND_NS, 0);
        assert!(left_ns < -3_599 * SECOND_NS, "{left_ns}");
        assert!(left_ns > -3_600 * SECOND_NS, "{left_ns}");
    }

    #[test]
    fn correction_that_has_not_begun_is_not_replaced() {
        let curve = Curve::through(0, START_UTC_NS).corrected(1_000, 500).unwrap();
        assert_eq!(curve.corrected(1_001, 500), None);
        assert!(curve.corrected(1_000 + LEAD_NS, 500).is_some());
    }

    #[test]
    fn drift_is_counted() {
        let drift = Drift::default().with(-7).with(3).with(2 * STEP_NS_MIN);
        let expected = Drift {
            drift_ns: 2 * STEP_NS_MIN,
            drift_ns_max: 2 * STEP_NS_MIN,
            reanchor_count: 3,
            step_count: 1,
        };
        assert_eq!(drift, expected);
        let counters = Counters::in_memory(8);
        DriftCounters::new(&counters).set(&Drift::default().with(-7));
        assert_eq!(counters.value("clock.ahead_ns"), Some(7));
        assert_eq!(counters.value("clock.behind_ns"), Some(0));
        assert_eq!(counters.value("clock.drift_ns_max"), Some(7));
    }

    #[test]
    fn system_clock_tells_utc() {
        let clock = Clock::system();
        let (before_ns, now_ns, after_ns) = (system_utc_ns(), clock.now_ns(), system_utc_ns());
        // A second of slack: the system clock may be disciplined between the readings.
        assert!(now_ns > before_ns - SECOND_NS);
        assert!(now_ns < after_ns + SECOND_NS);
        assert_eq!(clock.reanchor().reanchor_count, 1);
        assert_eq!(clock.drift(), clock.clone().drift());
    }

    #[test]
    fn virtual_clock_never_goes_back() {
        let (clock, virtual_clock) = Clock::manual(100);
        virtual_clock.set(50);
        assert_eq!(clock.now_ns(), 100);
        virtual_clock.advance(-1);
        assert_eq!(clock.now_ns(), 100);
        virtual_clock.advance(1);
        assert_eq!(clock.now_ns(), 101);
        assert_eq!(clock.reanchor(), Drift::default());
    }

    #[test]
    fn readers_see_whole_curves_while_they_are_replaced() {
        let same = |value: i64| {
            let line = Line {
                start_ns: value,
                utc_ns: value,
                slew_ns: value,
            };
            Curve { line, next: line }
        };
        let published = Published::new(same(0));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                while seen < if cfg!(miri) { 300 } else { 200_000 } {
                    let (curve, ()) = published.load_with(|| ());
                    assert_eq!(curve, same(curve.line.utc_ns));
                    assert!(curve.line.utc_ns >= seen, "an older curve after a newer one");
                    seen = curve.line.utc_ns;
                }
            });
            let mut value = 0;
            while !reader.is_finished() {
                value += 1;
                published.store(same(value));
            }
        });
    }

    #[test]
    fn readings_on_a_thread_never_go_back_while_another_re_anchors() {
        let clock = Clock::system();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut last_ns = clock.now_ns();
                for _ in 0..1_000_000 {
                    let now_ns = clock.now_ns();
                    assert!(now_ns >= last_ns, "{now_ns} after {last_ns}");
                    last_ns = now_ns;
                }
            });
            while !reader.is_finished() {
                clock.reanchor();
            }
        });
    }

    proptest! {
        /// Steps of the counter between readings, each with the error that a re-anchoring at that moment finds,
        /// if there is one.
        #[test]
        fn prop_time_never_goes_back_across_re_anchoring(
            steps in vec((0_i64..3 * SECOND_NS, prop::option::of(prop_oneof![
                -1_000_i64..1_000,
                -10_000_000_i64..10_000_000,
                -10_000_000_000_000_i64..10_000_000_000_000,
            ])), 1..200),
        ) {
            let mut curve = Curve::through(0, START_UTC_NS);
            let (mut elapsed_ns, mut last_ns) = (0, START_UTC_NS);
            for (step_ns, error_ns) in steps {
                // Near the moment a line begins or ends a reading is taken too.
                for probe_ns in [curve.next.start_ns - 1, curve.next.start_ns, elapsed_ns + step_ns] {
                    if probe_ns >= elapsed_ns {
                        elapsed_ns = probe_ns;
                        prop_assert!(curve.at(elapsed_ns) >= last_ns);
                        last_ns = curve.at(elapsed_ns);
                    }
                }
                curve = error_ns.and_then(|error_ns| curve.corrected(elapsed_ns, error_ns)).unwrap_or(curve);
                prop_assert_eq!(curve.at(elapsed_ns), last_ns, "a correction begins later than now");
            }
        }
    }
}
