//! What the features are: the list that a model is trained on and that its manifest names.
//!
//! The set is that of the Fraud Detection Handbook, chapter 3, with amounts in minor units.
//!
//! Invariant: the position of a feature in [`FEATURES`] is its position in the vector, and its reason code
//! less one.

use pinion_schemas::records::FEATURES_MAX;

/// One second. Unit: ns.
pub const SECOND_NS: i64 = 1_000_000_000;

/// One day. Unit: ns.
pub const DAY_NS: i64 = 86_400 * SECOND_NS;

/// Length of the windows. Unit: days.
pub const WINDOW_DAYS: [i64; 3] = [1, 7, 30];

/// Terminal windows end this long before the transaction: what was fraud is known only later. Unit: days.
pub const LABEL_DELAY_DAYS: i64 = 7;

/// Hours of the day up to this one, UTC, are night.
pub const NIGHT_HOUR_MAX: i64 = 6;

/// One feature. `T` is the transaction's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Name in manifests and training sets.
    pub name: &'static str,
    /// Unit of the value.
    pub unit: &'static str,
    /// Over which time.
    pub window: &'static str,
    /// Of what, and how.
    pub source: &'static str,
}

const fn feature(
    name: &'static str,
    unit: &'static str,
    window: &'static str,
    source: &'static str,
) -> Feature {
    Feature {
        name,
        unit,
        window,
        source,
    }
}

const COUNT_SOURCE: &str = "transactions of the customer, this one included";
const MEAN_SOURCE: &str = "mean of amount_minor over the customer's transactions, this one included";
const TERMINAL_COUNT_SOURCE: &str = "transactions at the terminal";
const FRAUD_SHARE_SOURCE: &str = "share labelled fraud of the transactions at the terminal, 0 if none";

/// The features in the order of the vector.
pub const FEATURES: [Feature; 15] = [
    feature("amount_minor", "minor units", "T", "amount_minor"),
    feature("is_weekend", "0 or 1", "T", "Saturday or Sunday, UTC"),
    feature("is_night", "0 or 1", "T", "hour 0 to 6, UTC"),
    feature("customer_count_1d", "transactions", "(T-1d, T]", COUNT_SOURCE),
    feature("customer_mean_minor_1d", "minor units", "(T-1d, T]", MEAN_SOURCE),
    feature("customer_count_7d", "transactions", "(T-7d, T]", COUNT_SOURCE),
    feature("customer_mean_minor_7d", "minor units", "(T-7d, T]", MEAN_SOURCE),
    feature("customer_count_30d", "transactions", "(T-30d, T]", COUNT_SOURCE),
    feature(
        "customer_mean_minor_30d",
        "minor units",
        "(T-30d, T]",
        MEAN_SOURCE,
    ),
    feature(
        "terminal_count_1d",
        "transactions",
        "(T-8d, T-7d]",
        TERMINAL_COUNT_SOURCE,
    ),
    feature(
        "terminal_fraud_share_1d",
        "0 to 1",
        "(T-8d, T-7d]",
        FRAUD_SHARE_SOURCE,
    ),
    feature(
        "terminal_count_7d",
        "transactions",
        "(T-14d, T-7d]",
        TERMINAL_COUNT_SOURCE,
    ),
    feature(
        "terminal_fraud_share_7d",
        "0 to 1",
        "(T-14d, T-7d]",
        FRAUD_SHARE_SOURCE,
    ),
    feature(
        "terminal_count_30d",
        "transactions",
        "(T-37d, T-7d]",
        TERMINAL_COUNT_SOURCE,
    ),
    feature(
        "terminal_fraud_share_30d",
        "0 to 1",
        "(T-37d, T-7d]",
        FRAUD_SHARE_SOURCE,
    ),
];

/// Position of the transaction's own features.
pub(crate) const AMOUNT_INDEX: usize = 0;
pub(crate) const WEEKEND_INDEX: usize = 1;
pub(crate) const NIGHT_INDEX: usize = 2;
/// Position of the first customer window; each takes two places.
pub(crate) const CUSTOMER_INDEX: usize = 3;
/// Position of the first terminal window; each takes two places.
pub(crate) const TERMINAL_INDEX: usize = CUSTOMER_INDEX + 2 * WINDOW_DAYS.len();

const _: () = assert!(FEATURES.len() <= FEATURES_MAX);
const _: () = assert!(FEATURES.len() == TERMINAL_INDEX + 2 * WINDOW_DAYS.len());

/// Stable number of the feature set: the first eight bytes, little endian, of the BLAKE3 hash of one line
/// `name|unit|window|source` per feature.
///
/// The sizes of the tables are not part of it: they bound memory and do not change what a feature means.
///
/// Cost: hashes 2 KiB: at start only.
pub fn feature_set_hash() -> u64 {
    let mut hasher = blake3::Hasher::new();
    for feature in &FEATURES {
        for part in [
            feature.name,
            "|",
            feature.unit,
            "|",
            feature.window,
            "|",
            feature.source,
            "\n",
        ] {
            hasher.update(part.as_bytes());
        }
    }
    let hash = hasher.finalize();
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a slice of eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_words_joined_by_underscores() {
        for (index, feature) in FEATURES.iter().enumerate() {
            assert!(
                feature
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert!(
                FEATURES[..index].iter().all(|other| other.name != feature.name),
                "{}",
                feature.name
            );
        }
    }

    /// A model is refused when this changes: change it knowingly.
    #[test]
    fn golden_feature_set_hash() {
        assert_eq!(format!("{:016x}", feature_set_hash()), "2679971aa01e1468");
    }
}
