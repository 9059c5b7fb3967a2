//! `pinion model`: what the fraud model says of a payment, and why; its other commands are in [`super::train`],
//! [`super::model_compare`], [`super::model_swap`] and [`super::model_bench`].
//!
//! Invariant: what is shown was computed from the journal by the serving code; whether it is what was decided then is
//! said beside it.

use pinion_replay::explain::{Explained, Wanted, explain};
use pinion_replay::import::time::format_time;
use pinion_replay::session::Progress as Step;
use pinion_schemas::records::{Score, decision_flag};
use pinion_score::histories::OWN_MIN;
use serde_json::{Value, json};

use super::{model_bench, train};
use crate::args::{ModelCommand, ModelExplainArguments, Output};
use crate::commands::{model_compare, model_swap};
use crate::configuration;
use crate::exit::{Ended, Failure};
use crate::frames::hash_text;
use crate::out::{Out, table};
use crate::progress::Progress;

/// Does it.
///
/// # Errors
/// The configuration is refused, the journal cannot be read, or the trainer cannot be run.
pub fn run(command: &ModelCommand, output: Output) -> Result<Ended, Failure> {
    match command {
        ModelCommand::Explain(arguments) => explain_payment(arguments, output),
        ModelCommand::Train(arguments) => train::train(arguments),
        ModelCommand::Compare(arguments) => model_compare::run(arguments, output),
        ModelCommand::Swap(arguments) => model_swap::run(arguments, output),
        ModelCommand::Bench(arguments) => model_bench::run(arguments, output),
    }
}

fn explain_payment(arguments: &ModelExplainArguments, output: Output) -> Result<Ended, Failure> {
    let (config, _) = configuration::load_with_set(&arguments.configuration)?;
    let journal = arguments.journal.clone().unwrap_or_else(|| config.journal().dir);
    let sequence = Wanted::Sequence(arguments.sequence.unwrap_or_default());
    let wanted = arguments.event.map_or(sequence, Wanted::Transaction);
    let mut progress = Progress::new("explain", None);
    let step = |step: Step| {
        progress.set_total(step.inputs);
        progress.set(step.done);
    };
    let explained = explain(&config, &journal, wanted, step)?;
    progress.finish();
    let Some(explained) = explained else {
        eprintln!("{}: {} is in it", journal.display(), missing(arguments));
        return Ok(Ended::WithFindings);
    };
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&as_json(&explained))?,
        Output::Text => as_text(&mut out, &explained)?,
    }
    out.flush()?;
    Ok(match explained.is_as_recorded() {
        Some(false) => Ended::WithFindings,
        _ => Ended::Well,
    })
}

fn missing(arguments: &ModelExplainArguments) -> String {
    match (&arguments.event, arguments.sequence) {
        (Some(id), _) => format!("no transaction {id}"),
        (None, sequence) => format!("no transaction at sequence {}", sequence.unwrap_or_default()),
    }
}

fn as_text(out: &mut Out, explained: &Explained) -> Result<(), Failure> {
    let (payment, score) = (&explained.payment, &explained.score);
    let (name, version) = &explained.model;
    out.line(format!(
        "payment {}, sequence {}, {}",
        payment.transaction_id,
        payment.origin.sequence,
        format_time(payment.origin.event_ns)
    ))?;
    out.line(format!(
        "{}; {name} version {version}, hash {}",
        score_words(score),
        hash_text(score.model_hash)
    ))?;
    out.line(recorded_words(explained))?;
    out.line("")?;
    let head = ["case", "label", "similarity", "stands for"]
        .map(str::to_owned)
        .to_vec();
    let cases = explained.cases.iter().map(|case| {
        vec![
            case.name.to_string(),
            label(case.is_fraud).to_owned(),
            format!("{:.4}", case.similarity),
            format!("{:.1}", case.weight),
        ]
    });
    for line in table(&[head].into_iter().chain(cases).collect::<Vec<_>>()) {
        out.line(line)?;
    }
    out.line("")?;
    out.line("effect: what the feature adds to the fraud share of a payment that is as usual; they add up")?;
    out.line(own_words(explained))?;
    for line in table(&feature_rows(explained)) {
        out.line(line)?;
    }
    Ok(())
}

fn score_words(score: &Score) -> String {
    if score.flags & decision_flag::SHED != 0 {
        "no score: shed, because those before it left no time for it".to_owned()
    } else if score.flags & decision_flag::DEGRADED != 0 {
        "no score: the encoder failed on it".to_owned()
    } else {
        let Score {
            score, fraud_share, ..
        } = score;
        format!("score {score:.6}, fraud share {fraud_share:.6} among the nearest cases")
    }
}

fn label(is_fraud: bool) -> &'static str {
    if is_fraud { "fraud" } else { "genuine" }
}

fn recorded_words(explained: &Explained) -> String {
    match (&explained.recorded, explained.is_as_recorded()) {
        (Some(_), Some(true)) => "the recorded decision has this score, to the last bit".to_owned(),
        (Some(recorded), _) => format!(
            "the recorded decision has score {:.6} of the model with hash {}",
            recorded.score,
            hash_text(recorded.model_hash)
        ),
        (None, _) => "no decision is recorded".to_owned(),
    }
}

/// The features that the model takes, those that add most to the fraud share first; its reasons are marked.
fn feature_rows(explained: &Explained) -> Vec<Vec<String>> {
    let head = ["feature", "value", "effect", "from training", "from own", ""];
    let own_deviations = own_deviations(explained);
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (slot, name) in by_effect(explained) {
        let own = own_deviations
            .as_ref()
            .map_or_else(|| "-".to_owned(), |own| format!("{:+.1}", own[slot]));
        rows.push(vec![
            name,
            explained.vector[slot].to_string(),
            format!("{:+.3}", explained.effects[slot]),
            format!("{:+.1}", explained.deviations[slot]),
            own,
            reason_rank(explained, slot).map_or_else(String::new, |rank| format!("reason {rank}")),
        ]);
    }
    rows
}

fn by_effect(explained: &Explained) -> Vec<(usize, String)> {
    let names = explained.set.slot_names().into_iter();
    let mut slots: Vec<_> = names.enumerate().take(explained.deviations.len()).collect();
    let rank = |slot: usize| (explained.effects[slot], explained.deviations[slot].abs());
    slots.sort_by(|(a, _), (b, _)| {
        let ((effect_a, far_a), (effect_b, far_b)) = (rank(*a), rank(*b));
        effect_b.total_cmp(&effect_a).then(far_b.total_cmp(&far_a))
    });
    slots
}

fn own_deviations(explained: &Explained) -> Option<Vec<f32>> {
    let own = explained.own.as_ref();
    own.map(|own| own.deviations(&explained.vector))
}

fn own_words(explained: &Explained) -> String {
    let entity = explained.entity.name();
    match &explained.own {
        Some(own) => format!(
            "from own: in standard deviations of the {entity}'s {} transactions before",
            own.transactions
        ),
        None => format!("from own: fewer than {OWN_MIN} transactions of the {entity} are known"),
    }
}

/// Which reason of the score a feature is, from 1.
fn reason_rank(explained: &Explained, slot: usize) -> Option<usize> {
    let count = usize::from(explained.score.reason_count);
    let mut reasons = explained.score.reasons[..count].iter();
    let place = reasons.position(|&code| usize::from(code) == slot + 1);
    place.map(|place| place + 1)
}

fn as_json(explained: &Explained) -> Value {
    let (payment, score) = (&explained.payment, &explained.score);
    let (name, version) = &explained.model;
    let own = own_deviations(explained);
    let features = by_effect(explained).into_iter().map(|(slot, name)| {
        json!({
            "name": name,
            "value": explained.vector[slot],
            "effect": explained.effects[slot],
            "deviations": explained.deviations[slot],
            "own_deviations": own.as_ref().map(|own| own[slot]),
            "reason": reason_rank(explained, slot),
        })
    });
    let cases = explained.cases.iter().map(|case| {
        json!({
            "case": case.name.to_string(),
            "label": label(case.is_fraud),
            "similarity": case.similarity,
            "weight": case.weight,
        })
    });
    json!({
        "transaction_id": payment.transaction_id.to_string(),
        "sequence": payment.origin.sequence,
        "event_ns": payment.origin.event_ns,
        "feature_set": { "name": explained.set.name, "version": explained.set.version },
        "model": { "name": name, "version": version, "hash": hash_text(score.model_hash) },
        "score": score.score,
        "is_degraded": score.flags & decision_flag::DEGRADED != 0,
        "is_shed": score.flags & decision_flag::SHED != 0,
        "fraud_share": score.fraud_share,
        "recorded_score": explained.recorded.as_ref().map(|recorded| recorded.score),
        "is_as_recorded": explained.is_as_recorded(),
        "cases": cases.collect::<Vec<_>>(),
        "own_entity": explained.entity.name(),
        "own_transactions": explained.own.as_ref().map(|own| own.transactions),
        "features": features.collect::<Vec<_>>(),
    })
}
