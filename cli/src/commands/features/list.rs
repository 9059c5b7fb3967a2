//! `pinion features list`: a set as a table, one line per slot of the vector.

use pinion_features::set::{FeatureSet, canonical, explain};
use serde_json::{Value, json};

use crate::args::{FeatureSetArguments, Output};
use crate::exit::{Ended, Failure};
use crate::out::Out;

/// Lists it.
///
/// # Errors
/// The configuration or the set is refused.
pub fn run(arguments: &FeatureSetArguments, output: Output) -> Result<Ended, Failure> {
    let (_, file) = super::open(arguments)?;
    let mut out = Out::new();
    match output {
        Output::Text => out.line(explain::list(&file.set).trim_end())?,
        Output::Json => slots(&file.set).iter().try_for_each(|slot| out.json(slot))?,
    }
    out.flush()?;
    Ok(Ended::Well)
}

/// One object per slot; its meaning is what the hash of the set is made of.
fn slots(set: &FeatureSet) -> Vec<Value> {
    let lines = canonical::slot_lines(set).into_iter();
    let features = set.features.iter();
    let features =
        features.flat_map(|feature| feature.slot_names().into_iter().map(move |slot| (slot, feature)));
    let slot = |(index, ((slot, feature), line)): (usize, ((String, _), String))| {
        let feature: &pinion_features::set::Feature = feature;
        json!({
            "slot": index,
            "name": slot,
            "feature": feature.name,
            "description": feature.description,
            "unit": explain::unit_of(feature),
            "meaning": line.split_once(" = ").map_or(line.as_str(), |(_, meaning)| meaning),
        })
    };
    features.zip(lines).enumerate().map(slot).collect()
}
