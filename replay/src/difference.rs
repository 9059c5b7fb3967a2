//! What can differ between a recorded decision and its replay, and how it is shown to people.
//!
//! Invariant: every byte of a decision's core belongs to exactly one field, so two cores that differ have a
//! field that differs.

use std::fmt;

use pinion_schemas::records::DecisionRecord;
use pinion_schemas::wire::{Action, Lane};
use serde::Serialize;

/// One field of a decision that was replayed as something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// Name of the field in `DecisionRecord`.
    pub field: &'static str,
    /// Its value in the journal.
    pub recorded: String,
    /// Its value in the replay.
    pub replayed: String,
}

/// Which decision: the event that it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Which {
    /// The lane: `market` or `payments`.
    pub lane: &'static str,
    /// Place of the event in its lane.
    pub sequence: u64,
    /// Place of the event among all inputs.
    pub input_index: u64,
    /// The transaction, or nothing.
    pub subject: String,
}

/// Where a replay and its journal part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Difference {
    /// The journal, or a part of it, was written under another configuration; nothing was replayed.
    Configuration {
        /// Hash of the configuration in the journal.
        recorded: String,
        /// Hash of the configuration in force.
        in_force: String,
        /// The first segment that was written under it.
        segment_id: u64,
    },
    /// The decision is another one.
    Fields {
        /// The decision.
        which: Which,
        /// Every field that differs, in the order of the record.
        fields: Vec<FieldDifference>,
    },
    /// The replay decided what the journal has no decision for, though it has later ones or was closed in order.
    Missing {
        /// The decision.
        which: Which,
        /// What the replay decided.
        replayed: String,
    },
    /// The journal has a decision that the replay did not come to.
    Extra {
        /// The decision.
        which: Which,
        /// What was recorded.
        recorded: String,
    },
    /// Recorded inputs that this configuration does not accept.
    Refused {
        /// How many.
        inputs: u64,
    },
}

impl Difference {
    /// Compares the cores of two decisions on one event.
    pub fn between(recorded: &DecisionRecord, replayed: &DecisionRecord) -> Option<Self> {
        if recorded.core() == replayed.core() {
            return None;
        }
        let pairs = fields(recorded).into_iter().zip(fields(replayed));
        let differing = pairs.filter(|(recorded, replayed)| recorded != replayed);
        let fields = differing.map(|((field, recorded), (_, replayed))| FieldDifference {
            field,
            recorded,
            replayed,
        });
        Some(Self::Fields {
            which: Which::of(replayed),
            fields: fields.collect(),
        })
    }

    pub(crate) fn missing(replayed: &DecisionRecord) -> Self {
        Self::Missing {
            which: Which::of(replayed),
            replayed: in_words(replayed),
        }
    }

    pub(crate) fn extra(recorded: &DecisionRecord) -> Self {
        Self::Extra {
            which: Which::of(recorded),
            recorded: in_words(recorded),
        }
    }
}

impl Which {
    fn of(record: &DecisionRecord) -> Self {
        Self {
            lane: lane_name(Lane(record.lane)),
            sequence: record.sequence,
            input_index: record.input_index,
            subject: record.subject.to_string(),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (input {}", self.lane, self.sequence, self.input_index)?;
        match self.subject.as_str() {
            "" => f.write_str(")"),
            subject => write!(f, ", {subject})"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration {
                recorded,
                in_force,
                segment_id,
            } => write!(
                f,
                "the journal was written under another configuration: segment {segment_id} has config hash \
                 {recorded}, the one in force has {in_force}"
            ),
            Self::Fields { which, fields } => {
                write!(f, "{which} was decided differently:")?;
                fields.iter().try_for_each(|field| write!(f, "\n  {field}"))
            }
            Self::Missing { which, replayed } => {
                write!(
                    f,
                    "{which} has no recorded decision, the replay decided: {replayed}"
                )
            }
            Self::Extra { which, recorded } => {
                write!(
                    f,
                    "{which} was not decided by the replay, recorded is: {recorded}"
                )
            }
            Self::Refused { inputs } => {
                write!(
                    f,
                    "{inputs} recorded inputs are refused by this configuration, expected 0"
                )
            }
        }
    }
}

impl fmt::Display for FieldDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<18} recorded {}, replayed {}",
            self.field, self.recorded, self.replayed
        )
    }
}

/// The lane's name for people.
pub(crate) fn lane_name(lane: Lane) -> &'static str {
    if lane == Lane::Market {
        "market"
    } else {
        "payments"
    }
}

/// The action's name for people, or its number.
pub(crate) fn action_name(action: u8) -> String {
    let name = Action(action).variant_name().map(str::to_lowercase);
    name.unwrap_or_else(|| action.to_string())
}

fn in_words(record: &DecisionRecord) -> String {
    format!(
        "{} with score {}, value {}",
        action_name(record.action),
        record.score,
        record.value
    )
}

/// Every field of the core with its value as text; equal bytes give equal text and different bytes different text.
fn fields(record: &DecisionRecord) -> [(&'static str, String); 21] {
    let hash = |hash: u64| format!("{hash:016x}");
    let score = format!("{} ({:08x})", record.score, record.score.to_bits());
    let reasons = record.reasons.map(|reason| reason.to_string()).join(" ");
    let deviations = record.deviations.map(|hundredths| hundredths.to_string());
    [
        ("sequence", record.sequence.to_string()),
        ("input_session", record.input_session.to_string()),
        ("input_sequence", record.input_sequence.to_string()),
        ("event_ns", record.event_ns.to_string()),
        ("value", record.value.to_string()),
        ("quantity", record.quantity.to_string()),
        ("model_hash", hash(record.model_hash)),
        ("strategy_hash", hash(record.strategy_hash)),
        ("config_hash", hash(record.config_hash)),
        ("reasons", reasons),
        ("input_publisher_id", record.input_publisher_id.to_string()),
        ("score", score),
        ("lane", record.lane.to_string()),
        ("action", action_name(record.action)),
        ("reason_count", record.reason_count.to_string()),
        ("flags", format!("{:#04x}", record.flags)),
        ("reserved", hex(&record.reserved)),
        ("subject", record.subject.0.escape_ascii().to_string()),
        ("instrument", record.instrument.to_string()),
        ("deviations", deviations.join(" ")),
        ("reserved_2", hex(&record.reserved_2)),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_schemas::ids::Id;
    use pinion_schemas::records::DECISION_CORE_LEN;
    use zerocopy::{FromBytes as _, IntoBytes as _};

    fn record() -> DecisionRecord {
        DecisionRecord {
            sequence: 7,
            input_index: 12,
            score: 0.5,
            lane: Lane::Payment.0,
            action: Action::Review.0,
            subject: Id::new("t-7").unwrap(),
            ..DecisionRecord::default()
        }
    }

    fn with_byte_changed(place: usize) -> DecisionRecord {
        let mut bytes = record().as_bytes().to_vec();
        bytes[place] ^= 1;
        DecisionRecord::read_from_bytes(&bytes).unwrap()
    }

    #[test]
    fn every_byte_of_the_core_belongs_to_one_field() {
        for place in 0..DECISION_CORE_LEN {
            let Some(Difference::Fields { fields, .. }) =
                Difference::between(&record(), &with_byte_changed(place))
            else {
                panic!("byte {place} is not seen");
            };
            assert_eq!(fields.len(), 1, "byte {place}: {fields:?}");
        }
    }

    #[test]
    fn what_follows_the_core_may_differ() {
        for place in DECISION_CORE_LEN..size_of::<DecisionRecord>() {
            assert_eq!(Difference::between(&record(), &with_byte_changed(place)), None);
        }
    }

    #[test]
    fn difference_names_decision_field_and_both_values() {
        let replayed = DecisionRecord {
            action: Action::Decline.0,
            score: 0.75,
            ..record()
        };
        let shown = Difference::between(&record(), &replayed).unwrap().to_string();
        assert_eq!(
            shown,
            "payments 7 (input 12, t-7) was decided differently:\n\
             \x20 score              recorded 0.5 (3f000000), replayed 0.75 (3f400000)\n\
             \x20 action             recorded review, replayed decline"
        );
    }
}
