//! State as plain memory: what must be kept to go on later, and one hash that says whether two are the same.
//!
//! ```text
//!   State::regions ─▶ Region "customers" 0 │page│page│ 0  │page│…       a page: PAGE_LEN bytes, the last one shorter
//!                     Region "customers" 1 │page│ 0  │ 0  │…            0: all zero, never read twice nor stored
//!                                             │
//!                              page_hash ─────┴─▶ Digest ─▶ [u8; 32]
//! ```
//!
//! Start at [`State`]. [`digest`] hashes a whole state; [`Digest`] takes the same hash from the hashes of pages,
//! for who keeps those anyway.
//!
//! Invariant: two states have the same digest exactly if they have the same regions in the same order, with the
//! same names, numbers, lengths and bytes (as far as BLAKE3, cut to 128 bits for a page, tells bytes apart).

/// Bytes of a page; the last page of a region is what is left.
pub const PAGE_LEN: usize = 4096;

/// One piece of a state, to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region<'a> {
    /// What it holds, such as "customers".
    pub name: &'static str,
    /// Which one of those with this name, from 0.
    pub index: u32,
    /// All of it.
    pub bytes: &'a [u8],
}

/// One piece of a state, to be filled.
#[derive(Debug, PartialEq, Eq)]
pub struct RegionMut<'a> {
    /// What it holds, such as "customers".
    pub name: &'static str,
    /// Which one of those with this name, from 0.
    pub index: u32,
    /// All of it.
    pub bytes: &'a mut [u8],
}

/// Plain memory of fixed size: all that must be kept to go on later.
///
/// The same configuration gives the same regions in the same order and with the same lengths, before the first
/// event and after the last; name and index together are different for each. A fresh state is mostly zero bytes:
/// memory from `vec![0; n]` takes no room until it is written, and a page that is all zero is never stored.
pub trait State {
    /// All regions, to be read. Cost: allocates the list; no byte of a region is touched.
    fn regions(&self) -> Vec<Region<'_>>;

    /// The same regions, to be filled with what [`State::regions`] gave earlier under the same configuration. What
    /// is filled in was checked before: this cannot fail.
    fn regions_mut(&mut self) -> Vec<RegionMut<'_>>;
}

/// Hash of a page's bytes: BLAKE3 cut to 128 bits, or [`PAGE_HASH_ZERO`] if all of them are zero.
pub type PageHash = [u8; 16];

/// Stands for a page that is all zero, of any length.
pub const PAGE_HASH_ZERO: PageHash = [0; 16];

/// Hash of one page. Cost: about 1 µs per [`PAGE_LEN`] bytes, a tenth of it when they are all zero.
pub fn page_hash(page: &[u8]) -> PageHash {
    if is_zero(page) {
        return PAGE_HASH_ZERO;
    }
    let hash = blake3::hash(page);
    let (head, _) = hash.as_bytes().split_at(size_of::<PageHash>());
    head.try_into().expect("a hash has 32 bytes")
}

/// Whether all bytes are zero, looked at 64 at a time.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<64>();
    blocks
        .iter()
        .all(|block| block.iter().fold(0, |seen, byte| seen | byte) == 0)
        && rest.iter().all(|&byte| byte == 0)
}

/// Hash of a whole state: BLAKE3 over each region's name, index and length and the hashes of its pages.
///
/// Cost: [`page_hash`] for every page.
pub fn digest(state: &dyn State) -> [u8; 32] {
    let mut digest = Digest::new();
    for region in state.regions() {
        digest.begin_region(region.name, region.index, region.bytes.len() as u64);
        for page in region.bytes.chunks(PAGE_LEN) {
            digest.page(&page_hash(page));
        }
    }
    digest.finish()
}

/// Takes [`digest`] from the hashes of pages: each region begins, then come its pages in order.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    hasher: blake3::Hasher,
}

impl Digest {
    /// Nothing taken yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The pages that follow belong to this region. Unit: `len` in bytes.
    pub fn begin_region(&mut self, name: &str, index: u32, len: u64) {
        self.hasher.update(&(name.len() as u64).to_le_bytes());
        self.hasher.update(name.as_bytes());
        self.hasher.update(&index.to_le_bytes());
        self.hasher.update(&len.to_le_bytes());
    }

    /// The next page's [`page_hash`].
    pub fn page(&mut self, hash: &PageHash) {
        self.hasher.update(hash);
    }

    /// The digest of all that was taken.
    pub fn finish(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regions as they come, all of one name.
    struct Pieces(Vec<Vec<u8>>);

    impl State for Pieces {
        fn regions(&self) -> Vec<Region<'_>> {
            let numbered = self.0.iter().zip(0..);
            numbered
                .map(|(bytes, index)| Region {
                    name: "pieces",
                    index,
                    bytes,
                })
                .collect()
        }

        fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
            let numbered = self.0.iter_mut().zip(0..);
            numbered
                .map(|(bytes, index)| RegionMut {
                    name: "pieces",
                    index,
                    bytes,
                })
                .collect()
        }
    }

    #[track_caller]
    fn check_differ(first: &[&[u8]], second: &[&[u8]]) {
        let of = |pieces: &[&[u8]]| digest(&Pieces(pieces.iter().map(|bytes| bytes.to_vec()).collect()));
        assert_ne!(of(first), of(second));
        assert_eq!(of(first), of(first));
    }

    #[test]
    fn digest_tells_bytes_lengths_and_borders_apart() {
        check_differ(&[b"ab"], &[b"ac"]);
        check_differ(&[&[0; 10]], &[&[0; 11]]);
        check_differ(&[&[0; PAGE_LEN]], &[&[0; PAGE_LEN + 1]]);
        check_differ(&[&[1; 10], &[1; 20]], &[&[1; 20], &[1; 10]]);
        check_differ(&[&[0; 10], &[0; 10]], &[&[0; 20]]);
        check_differ(&[&[]], &[]);
    }

    #[test]
    fn one_bit_anywhere_changes_the_hash_of_a_page() {
        let fresh = vec![0; PAGE_LEN];
        for place in [0, 1, 63, 64, 4000, PAGE_LEN - 1] {
            let mut page = fresh.clone();
            page[place] = 0x80;
            assert_ne!(page_hash(&page), PAGE_HASH_ZERO, "byte {place}");
            let mut tail = vec![0; 100];
            tail[place % 100] = 1;
            assert_ne!(page_hash(&tail), PAGE_HASH_ZERO, "byte {place} of a short page");
        }
        assert_eq!(page_hash(&fresh), PAGE_HASH_ZERO);
        assert_eq!(page_hash(&[]), PAGE_HASH_ZERO);
    }

    #[test]
    fn what_was_read_can_be_filled_in_elsewhere() {
        let from = Pieces(vec![vec![7; 5000], vec![0; 100]]);
        let mut to = Pieces(vec![vec![0; 5000], vec![1; 100]]);
        for (region, target) in from.regions().iter().zip(to.regions_mut()) {
            assert_eq!((region.name, region.index), (target.name, target.index));
            target.bytes.copy_from_slice(region.bytes);
        }
        assert_eq!(digest(&from), digest(&to));
    }

    #[test]
    fn golden_digest_does_not_change_with_the_build() {
        let state = Pieces(vec![vec![1; PAGE_LEN + 1], vec![0; 3 * PAGE_LEN]]);
        let hex: String = digest(&state)[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, "e9e9ec004d57c27d");
    }
}
