//! The parameters of a module, as they come out of the configuration.
//!
//! Invariant: a module reads every key by a typed getter, and [`Parameters::finish`] refuses the rest, so a
//! misspelt parameter never passes unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number; whole numbers too.
    Number(f64),
    /// A text.
    Text(String),
    /// A truth value.
    Flag(bool),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// A parameter that a module cannot take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterError {
    /// The key.
    pub key: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, expected {}", self.key, self.found, self.expected)
    }
}

impl std::error::Error for ParameterError {}

/// Keys and values, in the order of the keys.
///
/// ```
/// use pinion_strategies_api::Parameters;
/// let mut parameters = Parameters::default();
/// parameters.set_number("decline_at", 0.9);
/// assert_eq!(parameters.number("decline_at", 0.8, 0.0..=1.0), Ok(0.9));
/// assert_eq!(parameters.number("review_at", 0.5, 0.0..=1.0), Ok(0.5));
/// assert!(parameters.finish().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    values: BTreeMap<String, Value>,
    known: BTreeSet<&'static str>,
}

impl Parameters {
    /// Sets a value.
    pub fn set(&mut self, key: &str, value: Value) {
        self.values.insert(key.to_owned(), value);
    }

    /// Sets a number.
    pub fn set_number(&mut self, key: &str, value: f64) {
        self.set(key, Value::Number(value));
    }

    /// A number in `range`, or `default` if the key is not set.
    ///
    /// # Errors
    /// [`ParameterError`] if it is no number or outside the range.
    pub fn number(
        &mut self,
        key: &'static str,
        default: f64,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<f64, ParameterError> {
        self.known.insert(key);
        let value = match self.values.get(key) {
            None => return Ok(default),
            Some(value) => value,
        };
        match value {
            Value::Number(number) if range.contains(number) => Ok(*number),
            other => Err(ParameterError {
                key: key.to_owned(),
                found: other.to_string(),
                expected: format!("a number from {} to {}", range.start(), range.end()),
            }),
        }
    }

    /// Refuses keys that no getter asked for.
    ///
    /// # Errors
    /// [`ParameterError`] with the first such key and those that there are.
    pub fn finish(&self) -> Result<(), ParameterError> {
        let Some(key) = self.values.keys().find(|key| !self.known.contains(key.as_str())) else {
            return Ok(());
        };
        let known: Vec<&str> = self.known.iter().copied().collect();
        Err(ParameterError {
            key: key.clone(),
            found: "an unknown parameter".to_owned(),
            expected: format!("one of {}", known.join(", ")),
        })
    }

    /// `key=value` lines in the order of the keys: the same parameters give the same text.
    pub fn canonical(&self) -> String {
        self.values
            .iter()
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_range_and_wrong_type_name_the_key() {
        let mut parameters = Parameters::default();
        parameters.set_number("at", 2.0);
        parameters.set("name", Value::Text("x".to_owned()));
        let error = parameters.number("at", 0.5, 0.0..=1.0).unwrap_err();
        assert_eq!(error.to_string(), "at is 2, expected a number from 0 to 1");
        let error = parameters.number("name", 0.5, 0.0..=1.0).unwrap_err();
        assert_eq!(error.to_string(), "name is \"x\", expected a number from 0 to 1");
    }

    #[test]
    fn misspelt_parameter_is_refused() {
        let mut parameters = Parameters::default();
        parameters.set_number("declin_at", 0.5);
        parameters.number("decline_at", 0.9, 0.0..=1.0).unwrap();
        let error = parameters.finish().unwrap_err();
        assert_eq!(
            error.to_string(),
            "declin_at is an unknown parameter, expected one of decline_at"
        );
    }
}
