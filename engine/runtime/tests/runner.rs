//! An agent on its thread: where it runs, how it starts, how it ends.

use std::fs;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pinion_runtime::agent::{Agent, StartError};
use pinion_runtime::clock::Clock;
use pinion_runtime::control::IngestGate;
use pinion_runtime::cores;
use pinion_runtime::counters::Counters;
use pinion_runtime::idle::IdleStrategy;
use pinion_runtime::ring::{Consumer, Producer, ring};
use pinion_runtime::runner::{Runner, RunnerError, RunnerHandle, RunnerOptions, give_way, spawn_helper};
use pinion_runtime::shutdown::stop_in_order;

const PATIENCE: Duration = Duration::from_secs(30);

/// An agent made of its duty cycle; not `Send`, as agents need not be.
struct Duty<F> {
    cycle: F,
    _not_send: Rc<()>,
}

fn duty<F>(cycle: F) -> Duty<F> {
    Duty {
        cycle,
        _not_send: Rc::new(()),
    }
}

impl<F: FnMut() -> usize> Agent for Duty<F> {
    fn name(&self) -> &str {
        "duty"
    }

    fn do_work(&mut self, _now_ns: i64) -> usize {
        (self.cycle)()
    }
}

fn options(name: &str) -> RunnerOptions {
    RunnerOptions {
        name: name.to_owned(),
        ..RunnerOptions::default()
    }
}

fn clock() -> Clock {
    Clock::manual(0).0
}

fn spawn<F: FnMut() -> usize + Send + 'static>(options: RunnerOptions, cycle: F) -> RunnerHandle {
    Runner::spawn(options, clock(), || Ok(duty(cycle))).unwrap()
}

/// What a thread sees of itself: its name, its cores, and the fields of its `stat`.
struct Seen {
    name: String,
    cores: Vec<usize>,
    stat: String,
}

/// Runs an agent with `options` that looks around once, until it is stopped.
fn look_around(options: RunnerOptions) -> Result<Seen, RunnerError> {
    let (send, receive) = mpsc::channel();
    let runner = spawn(options, move || {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let name = fs::read_to_string("/proc/thread-self/comm").unwrap();
        // Nobody listens after the first look.
        let _ = send.send(Seen {
            name: name.trim().to_owned(),
            cores: cores::available(),
            stat,
        });
        0
    });
    runner.wait_started(PATIENCE)?;
    let seen = receive.recv_timeout(PATIENCE).unwrap();
    runner.stop();
    runner.join()?;
    Ok(seen)
}

#[test]
fn thread_has_the_agents_name() {
    assert_eq!(look_around(options("ingest")).unwrap().name, "ingest");
    assert_eq!(
        look_around(options("payment-strategy")).unwrap().name,
        "payment-strateg"
    );
}

#[test]
fn thread_runs_on_its_core_alone() {
    for core in cores::available() {
        let seen = look_around(RunnerOptions {
            core: Some(core),
            ..options("pinned")
        })
        .unwrap();
        assert_eq!(seen.cores, [core]);
    }
    assert_eq!(
        look_around(options("unpinned")).unwrap().cores,
        cores::available()
    );
}

#[test]
fn core_that_is_not_there_is_refused() {
    for core in [1_023, 1_024, usize::MAX] {
        let error = look_around(RunnerOptions {
            core: Some(core),
            ..options("pinned")
        })
        .err()
        .unwrap();
        let expected = format!("agent pinned: cannot be pinned to core {core}, expected a core that");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn helper_of_a_pinned_agent_is_not_pinned() {
    let available = cores::available();
    let options = RunnerOptions {
        core: Some(available[0]),
        ..options("pinned")
    };
    let (send, receive) = mpsc::channel();
    let runner = Runner::spawn(options, clock(), move || {
        send.send(spawn_helper("helper", cores::available)?.join().unwrap())?;
        Ok(duty(|| 0))
    });
    let runner = runner.unwrap();
    assert_eq!(receive.recv_timeout(PATIENCE).unwrap(), available);
    runner.stop();
    runner.join().unwrap();
}

#[test]
fn thread_that_gives_way_is_in_the_idle_class_and_so_is_what_it_spawns() {
    let policy = || {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat_field(&stat, 41).to_owned()
    };
    let seen = spawn_helper("polite", move || {
        let before = policy();
        give_way().unwrap();
        let child = thread::spawn(policy).join().unwrap();
        [before, policy(), child]
    });
    assert_eq!(
        seen.unwrap().join().unwrap(),
        ["0", "5", "5"],
        "SCHED_OTHER, SCHED_IDLE"
    );
}

/// Field of `stat` after the name, counted from 1 as the manual does.
fn stat_field(stat: &str, field: usize) -> &str {
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    after_name.split_whitespace().nth(field - 3).unwrap()
}

#[test]
fn realtime_class_is_had_or_refused_with_the_reason() {
    let priority = 7;
    match look_around(RunnerOptions {
        realtime_priority: Some(priority),
        ..options("urgent")
    }) {
        Ok(seen) => {
            assert_eq!(stat_field(&seen.stat, 40), "7");
            assert_eq!(stat_field(&seen.stat, 41), libc::SCHED_FIFO.to_string());
        }
        Err(error) => {
            println!("no real-time class here: {error}");
            assert!(error.to_string().contains("real-time priority 7 was refused"));
            assert!(
                error
                    .to_string()
                    .contains("expected CAP_SYS_NICE or an rtprio limit (ulimit -r) of at least 7")
            );
        }
    }
}

#[test]
fn realtime_priority_that_does_not_exist_is_refused() {
    for priority in [0, 100] {
        let options = RunnerOptions {
            realtime_priority: Some(priority),
            ..options("urgent")
        };
        let error = look_around(options).err().unwrap();
        assert!(matches!(error, RunnerError::Realtime { .. }), "{error}");
    }
}

#[test]
fn panic_is_an_outcome_with_its_message() {
    let runner = spawn(options("clumsy"), || panic!("{} apples", 3));
    assert_eq!(
        runner.join().unwrap_err().to_string(),
        "agent clumsy: panicked: 3 apples"
    );
    let runner = Runner::spawn(
        options("clumsy"),
        clock(),
        || -> Result<Box<dyn Agent>, StartError> { panic!("before the start") },
    );
    let runner = runner.unwrap();
    assert!(runner.wait_started(PATIENCE).is_err());
    assert_eq!(
        runner.join().unwrap_err().to_string(),
        "agent clumsy: panicked: before the start"
    );
}

#[test]
fn agent_that_does_not_start_says_why_to_everybody_who_asks() {
    let refuse = || -> Result<Box<dyn Agent>, StartError> { Err(StartError::message("bank is empty")) };
    let runner = Runner::spawn(options("score"), clock(), refuse).unwrap();
    let expected = "agent score: did not start: bank is empty";
    assert_eq!(runner.wait_started(PATIENCE).unwrap_err().to_string(), expected);
    assert!(runner.is_finished());
    assert_eq!(runner.join().unwrap_err().to_string(), expected);
}

#[test]
fn agent_that_takes_long_to_start_goes_on_starting() {
    let (send, receive) = mpsc::channel::<()>();
    let build = move || {
        receive.recv().map_err(StartError::from)?;
        Ok(duty(|| 0))
    };
    let runner = Runner::spawn(options("slow"), clock(), build).unwrap();
    let error = runner.wait_started(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.to_string(), "agent slow: not started after 1ms");
    send.send(()).unwrap();
    runner.wait_started(PATIENCE).unwrap();
    runner.stop();
    runner.join().unwrap();
}

#[test]
fn name_that_no_thread_can_have_is_refused() {
    for name in ["", "a\0b"] {
        let spawned = Runner::spawn(options(name), clock(), || Ok(duty(|| 0)));
        assert!(matches!(spawned, Err(RunnerError::Name { .. })), "{name:?}");
    }
}

#[test]
fn stop_wakes_an_agent_that_sleeps() {
    let idle = IdleStrategy::Sleep {
        ns: 3_600_000_000_000,
    };
    let (send, receive) = mpsc::channel();
    let runner = spawn(
        RunnerOptions {
            idle,
            ..options("sleepy")
        },
        move || {
            // Nobody listens after the first cycle.
            let _ = send.send(());
            0
        },
    );
    receive.recv_timeout(PATIENCE).unwrap();
    runner.stop();
    runner.join_within(PATIENCE).unwrap();
}

#[test]
fn dropped_handle_stops_its_agent() {
    let (alive, dropped) = mpsc::channel::<()>();
    drop(spawn(options("left"), move || {
        let _alive = &alive;
        0
    }));
    assert_eq!(
        dropped.recv_timeout(PATIENCE),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn agent_that_never_drains_is_closed_and_reported() {
    let options = RunnerOptions {
        drain_max: Duration::from_millis(5),
        ..options("busy")
    };
    let runner = spawn(options, || 1);
    runner.stop();
    assert_eq!(
        runner.join().unwrap_err().to_string(),
        "agent busy: not drained 5ms after the stop"
    );
}

#[test]
fn agent_that_does_not_return_is_left_behind() {
    let is_released = Arc::new(AtomicBool::new(false));
    let in_duty = is_released.clone();
    let runner = spawn(options("stuck"), move || {
        while !in_duty.load(Ordering::Acquire) {
            thread::yield_now();
        }
        0
    });
    runner.wait_started(PATIENCE).unwrap();
    runner.stop();
    let error = runner.join_within(Duration::from_millis(5)).unwrap_err();
    assert_eq!(error.to_string(), "agent stuck: still running 5ms after the stop");
    is_released.store(true, Ordering::Release);
}

#[test]
fn cycles_and_work_are_counted() {
    let counters = Counters::in_memory(8);
    let mut left = 5;
    let options = RunnerOptions {
        counters: Some(counters.clone()),
        ..options("ingest")
    };
    let runner = spawn(options, move || {
        left -= 1.min(left);
        1.min(left)
    });
    runner.stop();
    runner.join().unwrap();
    assert_eq!(counters.value("agent.ingest.work"), Some(4));
    assert!(counters.value("agent.ingest.cycles") >= Some(5));
    assert_eq!(
        counters.value("agent.ingest.cycle_ns_max"),
        Some(0),
        "a manual clock stands still"
    );
}

/// Feeds numbers while the gate is open.
struct Source {
    gate: IngestGate,
    output: Producer<u64>,
    fed: Arc<AtomicUsize>,
}

impl Agent for Source {
    fn name(&self) -> &str {
        "source"
    }

    fn do_work(&mut self, _now_ns: i64) -> usize {
        let work_count = usize::from(self.gate.is_open() && self.output.try_push(&1));
        self.fed.fetch_add(work_count, Ordering::Relaxed);
        work_count
    }
}

/// Takes numbers one at a time, but only every third cycle: an idle cycle does not mean that it is drained.
struct Reluctant {
    input: Consumer<u64>,
    cycle: usize,
    taken: Arc<AtomicUsize>,
    closed: Sender<()>,
}

impl Agent for Reluctant {
    fn name(&self) -> &str {
        "reluctant"
    }

    fn do_work(&mut self, _now_ns: i64) -> usize {
        self.cycle += 1;
        if !self.cycle.is_multiple_of(3) {
            return 0;
        }
        let work_count = self.input.read_batch(1, |_| ());
        self.taken.fetch_add(work_count, Ordering::Relaxed);
        work_count
    }

    fn is_drained(&self) -> bool {
        self.input.is_empty()
    }

    fn on_close(&mut self) {
        self.closed.send(()).unwrap();
    }
}

#[test]
fn stop_in_order_drains_everything_that_was_taken_in() {
    let (output, input) = ring(64);
    let (gate, fed, taken) = (IngestGate::new(), Arc::default(), Arc::default());
    let (closed, is_closed) = mpsc::channel();
    let source = Source {
        gate: gate.clone(),
        output,
        fed: Arc::clone(&fed),
    };
    let reluctant = Reluctant {
        input,
        cycle: 0,
        taken: Arc::clone(&taken),
        closed,
    };
    let idle = |name| RunnerOptions {
        idle: IdleStrategy::Yield,
        ..options(name)
    };
    let runners = vec![
        Runner::spawn(idle("source"), clock(), || Ok(source)).unwrap(),
        Runner::spawn(idle("reluctant"), clock(), || Ok(reluctant)).unwrap(),
    ];
    while taken.load(Ordering::Relaxed) < 1_000 {
        thread::yield_now();
    }
    gate.close();
    let stopped = stop_in_order(runners, PATIENCE);
    let names: Vec<_> = stopped.iter().map(|stopped| stopped.name.as_str()).collect();
    assert_eq!(names, ["source", "reluctant"]);
    assert!(
        stopped.iter().all(|stopped| stopped.outcome.is_ok()),
        "{stopped:?}"
    );
    assert_eq!(fed.load(Ordering::Relaxed), taken.load(Ordering::Relaxed));
    is_closed.try_recv().unwrap();
}

#[test]
fn agent_is_built_driven_and_closed_on_one_thread() {
    struct Homebody(Arc<Mutex<Vec<thread::ThreadId>>>);
    impl Homebody {
        fn note(&self) {
            self.0.lock().unwrap().push(thread::current().id());
        }
    }
    impl Agent for Homebody {
        fn name(&self) -> &str {
            "homebody"
        }
        fn on_start(&mut self) -> Result<(), StartError> {
            self.note();
            Ok(())
        }
        fn do_work(&mut self, _now_ns: i64) -> usize {
            self.note();
            0
        }
        fn on_close(&mut self) {
            self.note();
        }
    }
    let threads = Arc::new(Mutex::new(Vec::new()));
    let homebody = Homebody(threads.clone());
    let runner = Runner::spawn(options("homebody"), clock(), move || {
        homebody.note();
        Ok(homebody)
    });
    let runner = runner.unwrap();
    runner.wait_started(PATIENCE).unwrap();
    runner.stop();
    runner.join().unwrap();
    let threads = threads.lock().unwrap();
    assert!(threads.len() >= 4);
    assert!(threads.iter().all(|thread| *thread == threads[0]));
    assert_ne!(threads[0], thread::current().id());
}
