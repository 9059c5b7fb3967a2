//! The short hash by which configurations, models, modules and feature sets are told apart.
//!
//! Invariant: the same bytes give the same number on every machine and in every version.

/// The first eight bytes, little endian, of the BLAKE3 hash of `bytes`.
///
/// Cost: about 1 µs for a few KiB: at start only.
///
/// ```
/// assert_ne!(pinion_runtime::hash::short(b"a"), pinion_runtime::hash::short(b"b"));
/// ```
pub fn short(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    let (head, _) = hash.as_bytes().split_at(size_of::<u64>());
    u64::from_le_bytes(head.try_into().expect("a hash has 32 bytes"))
}
