//! Reason codes. `docs/reason-codes.md` shows the same table to people.
//!
//! | codes | whose |
//! |---|---|
//! | 0 | none |
//! | 1 to 999 | the model: 1 + index of the feature that put the payment near frauds, or stands far from usual |
//! | 1000 to 1099 | the host of strategies |
//! | 1100 to 1199 | score-bands |
//! | 1200 to 1299 | book-imbalance |
//! | 10000 and up | modules of others |

/// The event was decided without a score.
pub const DEGRADED: u16 = 1000;
/// The module is quarantined; the configured fallback decided.
pub const QUARANTINED: u16 = 1001;
/// The module's answer was not valid; the configured fallback decided.
pub const INVALID_ANSWER: u16 = 1002;
/// The event was decided without a score, because those before it left no time for it.
pub const SHED: u16 = 1003;

/// The score is at or above the band for declining.
pub const SCORE_HIGH: u16 = 1100;
/// The score is at or above the band for review.
pub const SCORE_MEDIUM: u16 = 1101;
/// The amount is above the limit for approval without review.
pub const AMOUNT_HIGH: u16 = 1102;

/// More quantity is bid than asked.
pub const BOOK_LEANS_TO_BID: u16 = 1200;
/// More quantity is asked than bid.
pub const BOOK_LEANS_TO_ASK: u16 = 1201;
