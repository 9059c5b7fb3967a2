//! `pinion run`: an engine, until somebody asks it to end.
//!
//! ```text
//!   configuration ─▶ Engine::start (recorded inputs taken again) ─▶ "ready" ─▶ conduct ─▶ accounts
//! ```

use std::time::{Duration, Instant};

use pinion_node::{Accounts, Config, Engine, LaneAccount, NodeError, Summary, conduct};
use pinion_runtime::cores::{Group, Plan};
use serde_json::{Value, json};

use crate::args::{ConfigArguments, Output};
use crate::exit::{Ended, Failure};
use crate::frames::hash_text;
use crate::out::{Out, grouped, table};
use crate::{configuration, signals};

/// Actions with the lane that has them.
const PAYMENT_ACTIONS: [&str; 3] = ["approve", "review", "decline"];
const MARKET_ACTIONS: [&str; 2] = ["buy", "sell"];

/// Runs it.
///
/// # Errors
/// It could not start, an agent ended by itself, or not everything inside was decided in time.
pub fn run(arguments: &ConfigArguments, output: Output) -> Result<Ended, Failure> {
    let (config, _) = configuration::load_with_set(arguments)?;
    let signal = signals::watch()?;
    let started = Instant::now();
    let engine = Engine::start(&config)?;
    announce(&config, &engine, started.elapsed());
    let summary = conduct(engine, &signal).inspect_err(|error| {
        if let NodeError::NotDrained { accounts, .. } = error {
            table(&account_rows(accounts))
                .iter()
                .for_each(|line| eprintln!("{line}"));
        }
    })?;
    tell(&summary, output)?;
    Ok(Ended::Well)
}

fn announce(config: &Config, engine: &Engine, took: Duration) {
    eprintln!(
        "pinion {}, node {}, config {}",
        env!("CARGO_PKG_VERSION"),
        config.engine.node_id,
        hash_text(config.decision_hash())
    );
    for line in plan_lines(engine.plan()) {
        eprintln!("  {line}");
    }
    let recovered = engine.recovered();
    eprintln!(
        "  journal {}: {} recorded inputs, {} bytes of a torn tail cut off",
        config.journal().dir.display(),
        grouped(recovered.inputs),
        grouped(recovered.truncated_len)
    );
    eprintln!("  {recovered}");
    let bus = &config.bus;
    eprintln!(
        "  bus {}: market on {}, payments on {}, decisions on {}",
        bus.aeron_dir().display(),
        bus.market,
        bus.payments,
        bus.decisions
    );
    eprintln!("ready after {:.1} s", took.as_secs_f64());
}

/// The threads of a plan, one line each.
pub fn plan_lines(plan: &Plan) -> Vec<String> {
    let core = |core: Option<usize>| core.map_or("any core".to_owned(), |core| format!("core {core}"));
    let thread = |group: &Group| {
        let roles: Vec<String> = group.roles.iter().map(ToString::to_string).collect();
        let priority = group
            .realtime_priority
            .map(|priority| format!(", real-time priority {priority}"));
        let place = core(group.core);
        format!(
            "thread {} on {place}, {}{}: {}",
            group.name,
            group.idle,
            priority.unwrap_or_default(),
            roles.join(", ")
        )
    };
    let control = format!("thread control on {}", core(plan.control_core));
    plan.groups.iter().map(thread).chain([control]).collect()
}

fn tell(summary: &Summary, output: Output) -> Result<(), Failure> {
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&json_of(summary))?,
        Output::Text => {
            for line in table(&account_rows(&summary.accounts)) {
                out.line(line)?;
            }
            out.line(format!(
                "stopped in {:.1} s with nothing inside; journal written to {} and durable to {}",
                summary.took.as_secs_f64(),
                grouped(summary.written_position),
                grouped(summary.durable_position)
            ))?;
        }
    }
    out.flush()
}

fn json_of(summary: &Summary) -> Value {
    json!({
        "accounts": accounts_json(&summary.accounts),
        "journal": {
            "written_position": summary.written_position,
            "durable_position": summary.durable_position,
        },
        "stop_ms": u64::try_from(summary.took.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Accounts with actions by name and hashes as text.
pub fn accounts_json(accounts: &Accounts) -> Value {
    json!({
        "market": lane_json(&accounts.market, &MARKET_ACTIONS),
        "payments": lane_json(&accounts.payments, &PAYMENT_ACTIONS),
        "inside": accounts.inside(),
        "decision_hash": hash_text(accounts.decision_hash()),
    })
}

fn lane_json(lane: &LaneAccount, actions: &[&str]) -> Value {
    let named = actions.iter().chain(&["none"]);
    let actions: serde_json::Map<_, _> = named
        .map(|action| ((*action).to_owned(), json!(lane.action(action))))
        .collect();
    json!({
        "accepted": lane.accepted,
        "recorded": lane.recorded,
        "restored": lane.restored,
        "duplicates": lane.duplicates,
        "rejected": lane.rejected,
        "missing": lane.missing,
        "lost_unacknowledged": lane.lost_unacknowledged,
        "decided": lane.decided,
        "published": lane.published,
        "unheard": lane.unheard,
        "actions": actions,
        "decision_hash": hash_text(lane.decision_hash),
    })
}

/// Accounts as rows of a table: one column per lane.
pub fn account_rows(accounts: &Accounts) -> Vec<Vec<String>> {
    let (market, payments) = (&accounts.market, &accounts.payments);
    let row = |name: &str, value: fn(&LaneAccount) -> u64| {
        vec![name.to_owned(), grouped(value(market)), grouped(value(payments))]
    };
    let action = |name: &str| {
        let count = |lane: &LaneAccount, actions: &[&str]| match actions.contains(&name) || name == "none" {
            true => grouped(lane.action(name)),
            false => "-".to_owned(),
        };
        vec![
            format!("  {name}"),
            count(market, &MARKET_ACTIONS),
            count(payments, &PAYMENT_ACTIONS),
        ]
    };
    let heading = ["", "market", "payments"].map(str::to_owned).to_vec();
    let mut rows = vec![
        heading,
        row("accepted", |lane| lane.accepted),
        row("recorded before", |lane| lane.recorded),
        row("in a checkpoint", |lane| lane.restored),
        row("duplicates", |lane| lane.duplicates),
        row("rejected", |lane| lane.rejected),
        row("missing", |lane| lane.missing),
        row("lost while down", |lane| lane.lost_unacknowledged),
        row("decided", |lane| lane.decided),
    ];
    rows.extend(["none", "approve", "review", "decline", "buy", "sell"].map(action));
    rows.push(row("published", |lane| lane.published));
    rows.push(row("unheard", |lane| lane.unheard));
    rows.push(vec![
        "decision hash".to_owned(),
        hash_text(market.decision_hash),
        hash_text(payments.decision_hash),
    ]);
    rows
}
