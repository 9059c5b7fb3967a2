//! `pinion features compare`: the features of the Fraud Detection Handbook beside the published ones.

use pinion_replay::compare::{self, CompareError, Comparison, Handbook, Place};
use pinion_replay::export::ExportError;
use serde_json::{Value, json};

use crate::args::{FeaturesCompareArguments, Output};
use crate::exit::{Ended, Failure};
use crate::out::{Out, grouped};

/// Compares every value.
///
/// # Errors
/// A file cannot be read, or they are not of the same transactions.
pub fn run(arguments: &FeaturesCompareArguments, output: Output) -> Result<Ended, Failure> {
    let FeaturesCompareArguments { raw, published, ties } = arguments;
    let outcome = compare::handbook(raw, published, ties.as_deref()).map_err(refused)?;
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&handbook_json(&outcome))?,
        Output::Text => text(&mut out, &outcome)?,
    }
    out.flush()?;
    Ok(if outcome.all.is_equal() {
        Ended::Well
    } else {
        Ended::WithFindings
    })
}

fn refused(error: CompareError) -> Failure {
    match error {
        CompareError::Import(error) | CompareError::Export(ExportError::Import(error)) => error.into(),
        error => Failure::could_not(error),
    }
}

fn text(out: &mut Out, outcome: &Handbook) -> Result<(), Failure> {
    comparison_text(out, "all rows", &outcome.all)?;
    if let Some(ties) = &outcome.ties {
        comparison_text(out, "tied rows, in the order of ids", &ties.in_order_of_id)?;
        comparison_text(
            out,
            "tied rows, in the publication's own order",
            &ties.as_published,
        )?;
    }
    let merged = outcome.usage.merged_events + outcome.usage.unkept_events;
    out.line(format!("events merged or not kept: {}", grouped(merged)))
}

fn comparison_text(out: &mut Out, what: &str, comparison: &Comparison) -> Result<(), Failure> {
    out.line(format!(
        "{what}: {} rows, {} values compared; counts different: {}; means and shares different by more than {:.0e}: {}",
        grouped(comparison.rows),
        grouped(comparison.values),
        grouped(comparison.counts_different),
        compare::RELATIVE_MAX,
        grouped(comparison.ratios_different),
    ))?;
    let place = comparison.worst.as_ref().map_or(String::new(), |place| {
        format!(
            ": transaction {}, {} is {}, published {}",
            place.transaction_id, place.slot, place.found, place.expected
        )
    });
    out.line(format!(
        "  worst relative difference {:.2e}{place}",
        comparison.worst_relative
    ))
}

fn handbook_json(outcome: &Handbook) -> Value {
    json!({
        "all": comparison_json(&outcome.all),
        "ties": outcome.ties.as_ref().map(|ties| json!({
            "in_order_of_id": comparison_json(&ties.in_order_of_id),
            "as_published": comparison_json(&ties.as_published),
        })),
        "merged_events": outcome.usage.merged_events,
        "unkept_events": outcome.usage.unkept_events,
    })
}

fn comparison_json(comparison: &Comparison) -> Value {
    let place = |place: &Place| {
        json!({
            "transaction_id": place.transaction_id,
            "slot": place.slot,
            "found": place.found,
            "expected": place.expected,
        })
    };
    json!({
        "rows": comparison.rows,
        "values": comparison.values,
        "counts_different": comparison.counts_different,
        "ratios_different": comparison.ratios_different,
        "worst_relative": comparison.worst_relative,
        "worst": comparison.worst.as_ref().map(place),
    })
}
