//! The answers about features, read from the replica.
//!
//! Invariant: reading changes nothing: the next vector is the same whether or not anybody asked.

use std::collections::BTreeMap;
use std::time::SystemTime;

use pinion_features::set::{
    Aggregate, Entity, EntityKey, Feature, FeatureKind, FeatureSet, canonical, explain,
};
use pinion_ingest::refusal::Field;
use pinion_schemas::ids::{DENSE_ID_NONE, Id};
use pinion_schemas::records::{FEATURES_MAX, PaymentRecord, payment_kind};

use super::{Digest, EntityAnswer, Features, SetName, SlotValue, Standing, hash_text};
use crate::replica::Replica;

/// The kinds of entity by name.
const KINDS: [(&str, Entity, Field); 6] = [
    ("customer", Entity::Customer, Field::Customer),
    ("terminal", Entity::Terminal, Field::Terminal),
    ("card", Entity::Card, Field::Card),
    ("merchant", Entity::Merchant, Field::Merchant),
    ("device", Entity::Device, Field::Device),
    ("account", Entity::Account, Field::Account),
];

/// A set by name.
pub(crate) fn set_name(set: &FeatureSet) -> SetName {
    SetName {
        name: set.name.clone(),
        version: set.version,
        hash: hash_text(canonical::hash(set)),
    }
}

/// One hash over the replica's state.
pub(crate) fn digest(replica: &Replica, standing: Standing) -> Digest {
    let hex = replica
        .digest()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Digest {
        replica: standing,
        digest: hex,
    }
}

/// The values of the features over `entity`, a name for each kind, as of a time or as of [`newest_or_now`].
pub(crate) fn get(
    replica: &Replica,
    standing: Standing,
    entity: &BTreeMap<String, String>,
    as_of_ns: Option<i64>,
) -> Result<Features, String> {
    let asked = asked(replica, entity)?;
    let as_of_ns = as_of_ns.unwrap_or_else(|| newest_or_now(standing.event_ns, wall_ns()));
    let mut probe = PaymentRecord::default();
    probe.origin.kind = payment_kind::TRANSACTION;
    probe.origin.event_ns = as_of_ns;
    for kind in KINDS {
        let dense = asked.iter().find(|one| one.kind == kind.1);
        *place_of(&mut probe, kind.1) = dense.map_or(DENSE_ID_NONE, |one| one.dense);
    }
    let mut vector = [0.0; FEATURES_MAX];
    replica.store().peek(&probe, &mut vector);
    let kinds: Vec<Entity> = asked.iter().map(|one| one.kind).collect();
    Ok(Features {
        set: set_name(replica.set()),
        replica: standing,
        as_of_ns,
        entities: asked.iter().map(|one| one.answer(replica)).collect(),
        slots: slots(replica.set(), &kinds, &vector),
    })
}

/// The newest event of the lane, so that a replay of years ago is read where it stands; but not later than now: one
/// event that is dated far ahead must not move every window beyond all others.
fn newest_or_now(newest_ns: i64, now_ns: i64) -> i64 {
    newest_ns.min(now_ns)
}

/// The wall clock. Unit: ns since the Unix epoch.
fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(i64::MAX, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}

/// An entity that was asked for.
struct Asked {
    name: String,
    kind: Entity,
    kind_name: &'static str,
    dense: u32,
}

impl Asked {
    fn answer(&self, replica: &Replica) -> EntityAnswer {
        let is_known = self.dense != DENSE_ID_NONE;
        let newest_ns = || {
            let mut dense = [DENSE_ID_NONE; KINDS.len()];
            dense[self.kind as usize] = self.dense;
            replica.store().newest_ns(EntityKey::One(self.kind), &dense)
        };
        EntityAnswer {
            kind: self.kind_name.to_owned(),
            name: self.name.clone(),
            is_known,
            newest_ns: is_known.then(newest_ns).flatten(),
        }
    }
}

fn asked(replica: &Replica, entity: &BTreeMap<String, String>) -> Result<Vec<Asked>, String> {
    if entity.is_empty() {
        return Err("entity has no name, expected at least one such as {\"customer\": \"123\"}".to_owned());
    }
    let one = |(kind, name): (&String, &String)| {
        let known = KINDS.iter().find(|(known, ..)| known == kind);
        let Some(&(kind_name, kind, field)) = known else {
            let kinds: Vec<&str> = KINDS.iter().map(|(name, ..)| *name).collect();
            return Err(format!(
                "entity.{kind} is no kind, expected one of {}",
                kinds.join(", ")
            ));
        };
        let id = Id::new(name).filter(|id| !id.is_none());
        let id =
            id.ok_or_else(|| format!("entity.{kind_name} is \"{name}\", expected a name of 1 to 36 bytes"))?;
        Ok(Asked {
            name: name.clone(),
            kind,
            kind_name,
            dense: replica.intake().dense_of(field, &id),
        })
    };
    entity.iter().map(one).collect()
}

fn place_of(record: &mut PaymentRecord, kind: Entity) -> &mut u32 {
    match kind {
        Entity::Customer => &mut record.customer,
        Entity::Terminal => &mut record.terminal,
        Entity::Card => &mut record.card,
        Entity::Merchant => &mut record.merchant,
        Entity::Device => &mut record.device,
        Entity::Account => &mut record.account,
    }
}

/// The places of the vector that are over these kinds alone.
fn slots(set: &FeatureSet, kinds: &[Entity], vector: &[f32; FEATURES_MAX]) -> Vec<SlotValue> {
    let mut slots = Vec::new();
    let mut index = 0;
    for feature in &set.features {
        for name in feature.slot_names() {
            if is_over(set, feature, kinds) {
                let value = vector[index];
                let unit = explain::unit_of(feature);
                slots.push(SlotValue {
                    index,
                    name,
                    value,
                    unit,
                });
            }
            index += 1;
        }
    }
    slots
}

/// Whether a feature is over history alone, and of no other kinds: what compares the current transaction with
/// history has no value while there is none.
fn is_over(set: &FeatureSet, feature: &Feature, kinds: &[Entity]) -> bool {
    match &feature.kind {
        FeatureKind::Current(_) => false,
        FeatureKind::Window(window) if matches!(window.aggregate, Aggregate::ZScore(_)) => false,
        FeatureKind::Window(window) => match window.entity {
            EntityKey::One(kind) => kinds.contains(&kind),
            EntityKey::Pair(first, second) => kinds.contains(&first) && kinds.contains(&second),
        },
        FeatureKind::Ratio {
            numerator,
            denominator,
        } => [numerator, denominator]
            .into_iter()
            .all(|&part| is_over(set, &set.features[part], kinds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_event_is_where_windows_end_unless_it_is_dated_ahead() {
        assert_eq!(newest_or_now(10, 20), 10);
        assert_eq!(newest_or_now(4_000, 20), 20);
    }

    #[test]
    fn what_needs_a_current_transaction_is_left_out() {
        let feature = |name: &str, keys: &str| format!("[[feature]]\nname = \"{name}\"\n{keys}\n");
        let of_card = |aggregate: &str| {
            format!(
                "entity = \"card\"\nsource = \"amount_minor\"\nwindow = \"1d\"\naggregate = \"{aggregate}\""
            )
        };
        let text = [
            "name = \"s\"\nversion = 1\n".to_owned(),
            feature("amount", "transform = \"raw\"\nsource = \"amount_minor\""),
            feature("mean", &of_card("mean")),
            feature("sum", &of_card("sum")),
            feature("unusual", &of_card("z_score")),
            feature("amount_to_mean", "ratio = [\"amount\", \"mean\"]"),
            feature("mean_to_unusual", "ratio = [\"mean\", \"unusual\"]"),
            feature("sum_to_mean", "ratio = [\"sum\", \"mean\"]"),
        ];
        let set = FeatureSet::parse(&text.concat()).unwrap();
        let slots = slots(&set, &[Entity::Card], &[0.0; FEATURES_MAX]);
        let found: Vec<(usize, &str)> = slots
            .iter()
            .map(|slot| (slot.index, slot.name.as_str()))
            .collect();
        assert_eq!(found, [(1, "mean"), (2, "sum"), (6, "sum_to_mean")]);
    }
}
