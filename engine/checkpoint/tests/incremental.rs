//! What is written: the pages that changed, no others, and all that is needed to have the state again.

mod support;

use pinion_checkpoint::{Backend, Source, Writer, restore_by};
use pinion_runtime::state::{PAGE_LEN, Region, RegionMut, State};
use proptest::collection::vec;
use proptest::prelude::*;
use support::*;

#[test]
fn program_can_be_a_probe() {
    be_a_probe();
}

#[test]
fn writer_can_move_to_its_thread() {
    fn check<T: Send>() {}
    check::<Writer>();
}

/// One region.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flat(Vec<u8>);

impl State for Flat {
    fn regions(&self) -> Vec<Region<'_>> {
        vec![Region {
            name: "flat",
            index: 0,
            bytes: &self.0,
        }]
    }

    fn regions_mut(&mut self) -> Vec<RegionMut<'_>> {
        vec![RegionMut {
            name: "flat",
            index: 0,
            bytes: &mut self.0,
        }]
    }
}

fn three_changed_pages_are_written(backend: Backend) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), backend);
    let mut state = Flat(vec![0; 10_000 * PAGE_LEN]);
    for page in 0..9000 {
        fill(&mut state.0[page * PAGE_LEN..][..PAGE_LEN], page as u64 + 1);
    }
    let mut writer = Writer::new(&config, &identity());
    let first = writer.write(&state, mark(1)).unwrap();
    assert_eq!(
        (first.pages, first.removed),
        (9000, 0),
        "pages that are all zero are left out"
    );

    for page in [0, 4567, 9999] {
        state.0[page * PAGE_LEN + 5] ^= 1;
    }
    state.0[77 * PAGE_LEN..][..PAGE_LEN].fill(0);
    let second = writer.write(&state, mark(2)).unwrap();
    assert_eq!((second.pages, second.removed), (3, 1));
    assert_eq!(second.bytes, 3 * PAGE_LEN as u64);
    assert_eq!(second.manifest.pages, 9000, "one new, one gone");

    let third = writer.write(&state, mark(3)).unwrap();
    assert_eq!((third.pages, third.removed, third.manifest.generation), (0, 0, 3));
}

#[test]
fn three_changed_pages_of_ten_thousand_are_written() {
    BACKENDS.into_iter().for_each(three_changed_pages_are_written);
}

#[test]
fn next_writer_goes_on_from_what_the_store_holds() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), backend);
        let mut model = Model::at(20);
        write(&mut Writer::new(&config, &identity()), &model);
        model.counters_changed();
        let written = write(&mut Writer::new(&config, &identity()), &model);
        assert_eq!((written.pages, written.removed), (1, 0), "{backend:?}");
        assert_eq!(written.manifest.generation, 2);
    }
}

/// A change by hand.
trait OnePage {
    fn counters_changed(&mut self);
}

impl OnePage for Model {
    fn counters_changed(&mut self) {
        let mut regions = self.regions_mut();
        regions[2].bytes[50] ^= 1;
    }
}

#[test]
fn what_was_written_is_restored_and_hashed_like_the_state() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), backend);
        let mut writer = Writer::new(&config, &identity());
        let mut model = Model::new();
        for _ in 0..30 {
            model.step();
            let written = write(&mut writer, &model);
            assert_eq!(written.manifest.state_hash, model.digest());
        }
        drop(writer);
        let (sequence, outcome) = check_whole(&config, "restored");
        assert_eq!(sequence, 30);
        let restored = outcome.restored.unwrap();
        assert_eq!(
            (restored.source, restored.manifest.identity),
            (Source::Store, identity())
        );
        assert_eq!(outcome.refused, []);
    }
}

#[test]
fn state_that_was_in_use_is_overwritten_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), Backend::Sled);
    write(&mut Writer::new(&config, &identity()), &Model::at(10));
    let mut used = Model::at(500);
    let outcome = restore_by(&probe(), &config, &identity(), NO_LIMITS, &mut used);
    assert!(outcome.restored.is_some());
    used.sequence = 10;
    assert!(used == Model::at(10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Rounds of changes, each a checkpoint, by writers that come and go: what is restored is what was last written.
    #[test]
    fn prop_any_changes_by_any_writers_are_restored(
        is_redb: bool,
        rounds in vec((any::<bool>(), vec((0..20 * PAGE_LEN, any::<u8>()), 0..20), any::<Option<u8>>()), 1..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), if is_redb { Backend::Redb } else { Backend::Sled });
        let mut state = Flat(vec![0; 20 * PAGE_LEN - 100]);
        let mut writer = None;
        for (is_new, changes, cleared) in &rounds {
            for (place, value) in changes {
                let place = place % state.0.len();
                state.0[place] = *value;
            }
            if let Some(page) = cleared {
                let start = (*page as usize % 19) * PAGE_LEN;
                state.0[start..][..PAGE_LEN].fill(0);
            }
            if *is_new {
                writer = None;
            }
            let writer = writer.get_or_insert_with(|| Writer::new(&config, &identity()));
            writer.write(&state, mark(1)).unwrap();
        }
        drop(writer);
        let mut restored = Flat(vec![7; state.0.len()]);
        let outcome = restore_by(&probe(), &config, &identity(), NO_LIMITS, &mut restored);
        prop_assert!(outcome.restored.is_some(), "{:?}", outcome);
        prop_assert_eq!(restored, state);
    }
}
