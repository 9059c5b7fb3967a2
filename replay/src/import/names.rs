//! The words that stand for enums in the project's own CSV files. Empty stands for the enum's zero.

use pinion_schemas::wire::{AccountChange, BookAction, Channel, LabelSource, Outcome, Side, Verdict};

pub(crate) const CHANNELS: &[(Channel, &str)] = &[
    (Channel::Unknown, ""),
    (Channel::CardPresent, "card-present"),
    (Channel::CardNotPresent, "card-not-present"),
    (Channel::Atm, "atm"),
    (Channel::Transfer, "transfer"),
];

pub(crate) const OUTCOMES: &[(Outcome, &str)] = &[
    (Outcome::Unknown, ""),
    (Outcome::Approved, "approved"),
    (Outcome::Declined, "declined"),
];

pub(crate) const VERDICTS: &[(Verdict, &str)] = &[
    (Verdict::None, ""),
    (Verdict::Genuine, "genuine"),
    (Verdict::Fraud, "fraud"),
    (Verdict::Erased, "erased"),
];

pub(crate) const LABEL_SOURCES: &[(LabelSource, &str)] = &[
    (LabelSource::Unknown, ""),
    (LabelSource::Chargeback, "chargeback"),
    (LabelSource::Analyst, "analyst"),
    (LabelSource::Customer, "customer"),
    (LabelSource::Expiry, "expiry"),
];

pub(crate) const ACCOUNT_CHANGES: &[(AccountChange, &str)] = &[
    (AccountChange::None, ""),
    (AccountChange::Opened, "opened"),
    (AccountChange::LimitChanged, "limit-changed"),
    (AccountChange::Blocked, "blocked"),
    (AccountChange::Unblocked, "unblocked"),
    (AccountChange::Closed, "closed"),
];

pub(crate) const SIDES: &[(Side, &str)] = &[(Side::None, ""), (Side::Bid, "bid"), (Side::Ask, "ask")];

pub(crate) const BOOK_ACTIONS: &[(BookAction, &str)] = &[
    (BookAction::None, ""),
    (BookAction::Add, "add"),
    (BookAction::Modify, "modify"),
    (BookAction::Cancel, "cancel"),
    (BookAction::Clear, "clear"),
    (BookAction::Fill, "fill"),
];

/// The word of a value; empty for a value without one.
pub(crate) fn word_of<T: PartialEq>(words: &[(T, &'static str)], value: &T) -> &'static str {
    words
        .iter()
        .find(|(known, _)| known == value)
        .map_or("", |(_, word)| word)
}

/// The value of a word.
pub(crate) fn value_of<T: Copy>(words: &[(T, &str)], word: &str) -> Option<T> {
    words
        .iter()
        .find(|(_, known)| *known == word)
        .map(|(value, _)| *value)
}

/// The words, for an error message.
pub(crate) fn expected<T>(words: &[(T, &str)]) -> String {
    let words: Vec<_> = words
        .iter()
        .map(|(_, word)| *word)
        .filter(|word| !word.is_empty())
        .collect();
    format!("empty, {}", words.join(", "))
}
