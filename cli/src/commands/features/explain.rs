//! `pinion features explain`: what a feature is, in words.

use pinion_features::set::explain;
use serde_json::json;

use crate::args::{FeatureSetArguments, Output};
use crate::exit::{Ended, Failure};
use crate::out::Out;

/// Says it.
///
/// # Errors
/// The set has no feature of the name, or is refused.
pub fn run(name: &str, arguments: &FeatureSetArguments, output: Output) -> Result<Ended, Failure> {
    let (_, file) = super::open(arguments)?;
    let path = file.path.display();
    let Some(words) = explain::feature(&file.set, name) else {
        let help = match explain::nearest(&file.set, name) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None => format!("`pinion features list {path}` shows all"),
        };
        return Err(Failure::could_not(format!(
            "{path} has no feature \"{name}\"; {help}"
        )));
    };
    let mut out = Out::new();
    match output {
        Output::Text => out.line(words.trim_end())?,
        Output::Json => out.json(&json!({ "name": name, "lines": words.lines().collect::<Vec<_>>() }))?,
    }
    out.flush()?;
    Ok(Ended::Well)
}
