//! Values of a file with their places, read one at a time; what is wrong is collected.
//!
//! ```text
//!   Source (text, findings) ◀── Section (one table) ── Found (one value) ──word, duration, number…──▶ Option
//! ```
//!
//! Invariant: a reader that returns `None` has left a finding, unless it says otherwise.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SetFinding;
use crate::set::WINDOW_NS_MAX;
use crate::set::duration;
use crate::set::names::{Names, nearest, words};

/// A text being read.
pub(super) struct Source<'a> {
    text: &'a str,
    findings: RefCell<Vec<SetFinding>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            findings: RefCell::new(Vec::new()),
        }
    }

    /// Keeps a finding.
    pub(super) fn refuse(&self, message: String, span: Range<usize>, help: Option<String>) {
        let span = Some(span);
        self.findings
            .borrow_mut()
            .push(SetFinding { message, span, help });
    }

    /// What was wrong, in the order of the text.
    pub(super) fn take_findings(&self) -> Vec<SetFinding> {
        let mut findings = self.findings.take();
        findings.sort_by_key(|finding| finding.span.as_ref().map(|span| span.start));
        findings
    }
}

/// One table of the text.
#[derive(Clone)]
pub(super) struct Section<'a> {
    pub(super) source: &'a Source<'a>,
    /// What a message begins with: empty, or `feature "name": `.
    pub(super) label: String,
    /// What stands before a key: empty, or `filter.`.
    pub(super) prefix: String,
    pub(super) table: &'a DeTable<'a>,
    pub(super) span: Range<usize>,
}

impl<'a> Section<'a> {
    /// Keeps the finding that a key says something wrong, at its value, or at the section if it is left out.
    pub(super) fn refuse(&self, key: &str, wrong: &str) {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        let message = format!("{} {wrong}", self.place(key));
        self.source.refuse(message, span, None);
    }

    fn place(&self, key: &str) -> String {
        format!("{}{}{key}", self.label, self.prefix)
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of a key; `None` without a finding if the key is left out.
    pub(super) fn find(&self, key: &str) -> Option<Found<'a>> {
        self.table.get(key).map(|value| Found {
            source: self.source,
            label: self.label.clone(),
            key: format!("{}{key}", self.prefix),
            value,
        })
    }

    /// The value of a key that must be there.
    pub(super) fn require(&self, key: &str, expected: &str) -> Option<Found<'a>> {
        let found = self.find(key);
        if found.is_none() {
            self.refuse(key, &format!("is missing, expected {expected}"));
        }
        found
    }

    /// The value of a key that may be left out.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        default: T,
        read: impl FnOnce(Found<'a>) -> Option<T>,
    ) -> Option<T> {
        self.find(key).map_or(Some(default), read)
    }

    /// Refuses the keys that are not known. Returns whether there are any.
    pub(super) fn refuse_unknown(&self, known: &[&str]) -> bool {
        let unknown = self
            .table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()));
        let mut any = false;
        for key in unknown {
            any = true;
            let word = key.get_ref();
            let message = format!("{}unknown key {}{word}", self.label, self.prefix);
            let help = nearest(word, known.iter().copied()).map_or_else(
                || format!("expected one of: {}", known.join(", ")),
                |near| format!("did you mean {}{near}?", self.prefix),
            );
            self.source.refuse(message, key.span(), Some(help));
        }
        any
    }

    /// Refuses keys that are known, but say nothing here.
    pub(super) fn refuse_meaningless(&self, keys: &[&str], of: &str) {
        for key in keys.iter().filter(|key| self.has(key)) {
            self.refuse(key, &format!("has no meaning for {of}"));
        }
    }
}

/// One value of the text.
#[derive(Clone)]
pub(super) struct Found<'a> {
    source: &'a Source<'a>,
    /// The section's.
    label: String,
    /// With the section's prefix.
    key: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Found<'a> {
    /// Keeps the finding that something else was expected.
    pub(super) fn refuse<T>(&self, expected: &str) -> Option<T> {
        self.refuse_with_help(expected, None)
    }

    fn refuse_with_help<T>(&self, expected: &str, help: Option<String>) -> Option<T> {
        let message = format!(
            "{}{} is {}, expected {expected}",
            self.label,
            self.key,
            self.shown()
        );
        self.source.refuse(message, self.value.span(), help);
        None
    }

    /// The value as it stands in the text, if it stands on one line.
    fn shown(&self) -> &'a str {
        let text = self.source.text.get(self.value.span()).unwrap_or_default();
        match self.value.get_ref() {
            DeValue::Table(_) if text.is_empty() || !text.starts_with('{') => "a table",
            DeValue::Array(_) if text.contains('\n') => "a list",
            _ if text.contains('\n') => "a text of several lines",
            _ => text,
        }
    }

    /// Any text.
    pub(super) fn text(&self, expected: &str) -> Option<&'a str> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.refuse(expected),
        }
    }

    /// One of the words of a table.
    pub(super) fn word<T: Copy>(&self, names: &Names<T>) -> Option<T> {
        self.word_with(names, &one_of(&words(names)))
    }

    /// The same, with other words for what is expected.
    pub(super) fn word_with<T: Copy>(&self, names: &Names<T>, expected: &str) -> Option<T> {
        let text = self.text(expected)?;
        let found = names.iter().find(|(name, _)| *name == text);
        match found {
            Some((_, value)) => Some(*value),
            None => self.refuse_word(expected, text, &words(names)),
        }
    }

    /// Keeps the finding that a word is none of those expected, with the nearest.
    pub(super) fn refuse_word<T>(&self, expected: &str, found: &str, words: &[&str]) -> Option<T> {
        let near = nearest(found, words.iter().copied());
        self.refuse_with_help(expected, near.map(|near| format!("did you mean \"{near}\"?")))
    }

    /// A length of time of at least `low_ns`. Unit: ns.
    pub(super) fn duration(&self, low_ns: i64) -> Option<i64> {
        let text = self.text(DURATION)?;
        let Some(length_ns) = duration::parse(text) else {
            return self.refuse(DURATION);
        };
        if !(low_ns..=WINDOW_NS_MAX).contains(&length_ns) {
            let (low, high) = (duration::short(low_ns), duration::short(WINDOW_NS_MAX));
            return self.refuse(&format!("{low} to {high}"));
        }
        Some(length_ns)
    }

    /// A whole number in a range.
    pub(super) fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let expected = format!("a whole number, {} to {}", range.start(), range.end());
        let DeValue::Integer(integer) = self.value.get_ref() else {
            return self.refuse(&expected);
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        number
            .filter(|number| range.contains(number))
            .or_else(|| self.refuse(&expected))
    }

    /// A finite number that a vector can hold.
    pub(super) fn number(&self) -> Option<f32> {
        let text = match self.value.get_ref() {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            _ => return self.refuse(NUMBER),
        };
        let number = text.parse::<f64>().map(|number| number as f32);
        let finite = number.ok().filter(|number| number.is_finite());
        finite.or_else(|| self.refuse(NUMBER))
    }

    /// The text, if it is one; `None` without a finding if not.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// True or false.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => self.refuse("true or false"),
        }
    }

    /// The values of a list; `None` without a finding if it is not a list.
    pub(super) fn list(&self) -> Option<Vec<Found<'a>>> {
        let DeValue::Array(values) = self.value.get_ref() else {
            return None;
        };
        let found = |value| Found {
            value,
            ..self.clone()
        };
        Some(values.iter().map(found).collect())
    }

    /// The table's keys, named with the key of the table; `None` without a finding if it is not a table.
    pub(super) fn section(&self) -> Option<Section<'a>> {
        let DeValue::Table(table) = self.value.get_ref() else {
            return None;
        };
        Some(Section {
            source: self.source,
            label: self.label.clone(),
            prefix: format!("{}.", self.key),
            table,
            span: self.value.span(),
        })
    }
}

const DURATION: &str = "a whole number and a unit of ns, us, ms, s, m, h, d, such as \"10m\"";
const NUMBER: &str = "a finite number";

/// The words with commas, as something expected.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [word] => (*word).to_owned(),
        [first, second] => format!("{first} or {second}"),
        _ => format!("one of {}", words.join(", ")),
    }
}
