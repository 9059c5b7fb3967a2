//! What a checkpoint is of: [`Identity`], [`Mark`], and the [`Manifest`] that is written with the pages.
//!
//! ```text
//!   BLAKE3 of the rest, 32 bytes │ the manifest as JSON
//! ```
//!
//! Invariant: a manifest that is decoded is, bit for bit, one that was encoded.

use pinion_runtime::state::{Digest, PAGE_LEN, Region};
use serde::{Deserialize, Serialize};

use crate::error::Reason;

/// Version of what this crate writes; another one is foreign.
pub const FORMAT: u32 = 1;

const HASH_LEN: usize = 32;

/// Whose state it is. All but `build` must agree for a checkpoint to be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The journal's id.
    pub journal: u64,
    /// Hash of the feature set.
    pub set_hash: u64,
    /// Hash of the configuration that decides which regions there are and what their bytes mean.
    pub layout_hash: u64,
    /// Version of what the regions' bytes mean: raised by whoever changes that.
    pub schema: u32,
    /// Version of the program that wrote it, for people.
    pub build: String,
}

/// Up to where the journal is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Position in the journal after the last entry that is in it; durable there. Unit: bytes.
    pub position: u64,
    /// Index of the last input that is in it.
    pub input_index: u64,
    /// Sequence of the last event that is in it.
    pub sequence: u64,
    /// Sequence of the last of these whose decision has an action, and so must be recorded: labels and account
    /// updates behind it are decided without one.
    pub answered_sequence: u64,
    /// Rolling hash over the decisions of all of them, for the next to go on from.
    pub decision_hash: u64,
    /// Newest event time in it. Unit: ns since the Unix epoch.
    pub event_ns: i64,
    /// When it was made. Unit: ns since the Unix epoch.
    pub written_ns: i64,
}

/// A region as the manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionShape {
    /// Its name.
    pub name: String,
    /// Which one of those with this name.
    pub index: u32,
    /// Unit: bytes.
    pub len: u64,
}

impl RegionShape {
    /// Pages of the region.
    pub(crate) fn pages(&self) -> usize {
        (self.len as usize).div_ceil(PAGE_LEN)
    }
}

/// What is written with the pages, in the same atomic write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose state it is.
    pub identity: Identity,
    /// Up to where the journal is in it.
    pub mark: Mark,
    /// Counts checkpoints: a later one is higher.
    pub generation: u64,
    /// Pages that are stored: those that are not all zero.
    pub pages: u64,
    /// Names and lengths of all regions, in order.
    pub regions: Vec<RegionShape>,
    /// [`digest`](pinion_runtime::state::digest) of the state.
    pub state_hash: [u8; 32],
}

impl Manifest {
    /// As bytes, hash first.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("a manifest has no maps and no floats");
        let mut bytes = blake3::hash(&json).as_bytes().to_vec();
        bytes.extend(json);
        bytes
    }

    /// From bytes.
    ///
    /// Error: [`Reason::Damaged`], or [`Reason::Foreign`] if another version wrote it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Reason> {
        let (hash, json) = bytes
            .split_at_checked(HASH_LEN)
            .ok_or_else(|| damaged("it is too short"))?;
        if blake3::hash(json).as_bytes() != hash {
            return Err(damaged("its hash does not agree"));
        }
        let format = serde_json::from_slice::<Versioned>(json).map_err(damaged)?.format;
        same("format", format, FORMAT)?;
        serde_json::from_slice(json).map_err(damaged)
    }

    /// Whether this engine may use it, as far as the manifest tells.
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), Reason> {
        let found = &self.identity;
        same("journal", found.journal, identity.journal)?;
        same("set hash", found.set_hash, identity.set_hash)?;
        same("layout hash", found.layout_hash, identity.layout_hash)?;
        same("schema", found.schema, identity.schema)
    }

    /// Whether the regions are those of the engine's own state.
    pub(crate) fn check_regions(&self, expected: &[RegionShape]) -> Result<(), Reason> {
        same("number of regions", self.regions.len(), expected.len())?;
        for (found, expected) in self.regions.iter().zip(expected) {
            same("region", &found.name, &expected.name)?;
            same("region index", found.index, expected.index)?;
            same("region length", found.len, expected.len)?;
        }
        Ok(())
    }
}

/// What every version of a manifest has.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

fn damaged(what: impl ToString) -> Reason {
    Reason::Damaged(format!("manifest: {}", what.to_string()))
}

/// [`Reason::Foreign`] unless both are the same.
fn same<T: PartialEq + ToString>(field: &'static str, found: T, expected: T) -> Result<(), Reason> {
    if found == expected {
        return Ok(());
    }
    Err(Reason::Foreign {
        field,
        found: found.to_string(),
        expected: expected.to_string(),
    })
}

/// The shapes of a state's regions.
pub(crate) fn shapes<'a>(regions: impl IntoIterator<Item = Region<'a>>) -> Vec<RegionShape> {
    let shape = |region: Region<'_>| RegionShape {
        name: region.name.to_owned(),
        index: region.index,
        len: region.bytes.len() as u64,
    };
    regions.into_iter().map(shape).collect()
}

/// Tells `digest` that the pages of `shape` follow.
pub(crate) fn begin_region(digest: &mut Digest, shape: &RegionShape) {
    digest.begin_region(&shape.name, shape.index, shape.len);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT,
            identity: Identity {
                journal: u64::MAX,
                set_hash: 2,
                layout_hash: 3,
                schema: 4,
                build: "0.1.0".to_owned(),
            },
            mark: Mark {
                position: u64::MAX - 1,
                event_ns: i64::MIN,
                ..Mark::default()
            },
            generation: 7,
            pages: 8,
            regions: vec![RegionShape {
                name: "customers".to_owned(),
                index: 1,
                len: 9000,
            }],
            state_hash: [0xA5; 32],
        }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        assert_eq!(Manifest::decode(&manifest().encode()), Ok(manifest()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = manifest().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(Manifest::decode(&flipped), Err(Reason::Damaged(_))),
                "bit {bit}"
            );
        }
        for len in 0..bytes.len() {
            assert!(
                matches!(Manifest::decode(&bytes[..len]), Err(Reason::Damaged(_))),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn another_format_is_foreign_and_not_damaged() {
        let other = Manifest {
            format: FORMAT + 1,
            ..manifest()
        };
        let message = Manifest::decode(&other.encode()).unwrap_err().to_string();
        assert_eq!(message, "foreign: its format is 2, expected 1");
    }

    #[track_caller]
    fn check_foreign(change: impl FnOnce(&mut Identity), message: &str) {
        let mut identity = manifest().identity;
        change(&mut identity);
        assert_eq!(manifest().check(&identity).unwrap_err().to_string(), message);
    }

    #[test]
    fn whose_state_it_is_must_agree_but_for_the_build() {
        check_foreign(|i| i.set_hash = 9, "foreign: its set hash is 2, expected 9");
        check_foreign(|i| i.layout_hash = 9, "foreign: its layout hash is 3, expected 9");
        check_foreign(|i| i.schema = 9, "foreign: its schema is 4, expected 9");
        check_foreign(
            |i| i.journal = 9,
            "foreign: its journal is 18446744073709551615, expected 9",
        );
        let mut identity = manifest().identity;
        identity.build = "0.2.0".to_owned();
        assert_eq!(manifest().check(&identity), Ok(()));
    }
}
