//! The sets that are part of the program, for tools and tests that need one without its file.
//!
//! Invariant: they are the files in `features/`, read when the program was built.

use super::FeatureSet;

impl FeatureSet {
    /// `features/payments-v1.toml`: the small set, which `models/fraud-v1` takes.
    ///
    /// ```
    /// use pinion_features::FeatureSet;
    /// assert_eq!(FeatureSet::payments_v1().slot_names()[0], "amount_minor");
    /// ```
    pub fn payments_v1() -> Self {
        Self::parse(include_str!("../../../../features/payments-v1.toml"))
            .expect("the set that ships is valid: its tests read it")
    }

    /// `features/payments-v2.toml`: the default, which `models/fraud-v2` takes.
    ///
    /// ```
    /// use pinion_features::FeatureSet;
    /// assert_eq!(FeatureSet::payments_v2().slot_names()[1], "customer_mean_minor");
    /// ```
    pub fn payments_v2() -> Self {
        Self::parse(include_str!("../../../../features/payments-v2.toml"))
            .expect("the set that ships is valid: its tests read it")
    }
}
