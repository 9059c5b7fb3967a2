//! `pinion features digest`: one hash over all that the payment lane knows, for tests and operators.

use pinion_node::admin::{Answer, Request};

use super::{config_of, connect, standing_words, unanswered};
use crate::args::{EngineArguments, Output};
use crate::exit::{Ended, Failure};
use crate::out::Out;

/// Prints it.
///
/// # Errors
/// No engine answers.
pub fn run(arguments: &EngineArguments, output: Output) -> Result<Ended, Failure> {
    let mut client = connect(&config_of(arguments)?)?;
    let answer = client.ask(&Request::FeaturesDigest, |_| ()).map_err(unanswered)?;
    let Answer::Digest(digest) = answer else {
        return Err(Failure::could_not("the engine answered another question"));
    };
    let mut out = Out::new();
    match output {
        Output::Json => out.json(&digest)?,
        Output::Text => {
            out.line(&digest.digest)?;
            out.line(standing_words(&digest.replica))?;
        }
    }
    out.flush()?;
    Ok(Ended::Well)
}
