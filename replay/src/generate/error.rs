//! What a generator refuses to start with.

/// A parameter is out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} is {found}, expected {expected}")]
pub struct GenerateError {
    /// The parameter with its section.
    pub key: &'static str,
    /// Its value.
    pub found: String,
    /// Its range.
    pub expected: &'static str,
}

/// An error unless `is_good`.
pub(crate) fn require(
    is_good: bool,
    key: &'static str,
    found: impl ToString,
    expected: &'static str,
) -> Result<(), GenerateError> {
    if is_good {
        Ok(())
    } else {
        Err(GenerateError {
            key,
            found: found.to_string(),
            expected,
        })
    }
}
